"""A file of cards is read into rows and problems."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn

from cabinet.formatting.text_encoding import Reading, readings
from smartcards.numbers import DamagedBySpreadsheet
from smartcards.stock.csv_file import (
    MAX_BYTES,
    MAX_LINES,
    Problem,
    Row,
    UnreadableFile,
    as_csv,
    encoding_of,
    read,
)

ONE, TWO, THREE = "8970101123456789019", "8970101000000000110", "89701011234567890123"
BARE, FULL = "8970101000000000006", "89701010000000000062"
# Its last digit is its check digit, and another check digit may follow it.
MIDDLE = f"{BARE[:-1]}{luhn.calc_check_digit(BARE[:-1])}"
PHONE = "79123456789"
NINE_LETTERS = "«а», «б», «в», «г», «д», «е», «ж», «з», «и»"
NO_CHECK_DIGIT = "Контрольная цифра не сходится. Сверьте номер с картой."
NOT_DIGITS = "ICCID состоит только из цифр: 17–20 цифр, они напечатаны на карте."
NOT_READ = (
    "Буквы в строке не читаются: она в другой кодировке. Сохраните файл заново как «CSV UTF-8»."
)


def entries(data: bytes, encoding: str = "") -> list[Row | Problem]:
    return list(read(data, encoding or encoding_of(data)).entries)


def numbered(index: int) -> str:
    """A number of a card without its check digit: nothing about it is doubtful."""
    return f"8970101{index + 1:010d}"


# --- encodings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1251", "cp866", "koi8-r"],
)
@pytest.mark.parametrize("sign", [";", ",", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("header", ["ICCID{}Номер телефона{}Подпись", "iccid{}Номер{}подпись"])
def test_list_with_known_headings_is_read_in_every_encoding(encoding, sign, newline, header):
    head = header.format(sign, sign)
    lines = [head, sign.join([ONE, "8 (912) 345-67-89", "Касса"]), "", sign.join([THREE, "", ""])]

    found = entries(newline.join(lines).encode(encoding))

    assert found == [Row(2, ONE, PHONE, "Касса"), Row(4, THREE)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_list_without_header_is_read_where_bytes_prove_encoding(encoding):
    assert entries(f"{ONE};;Касса\n{THREE}".encode(encoding)) == [
        Row(1, ONE, "", "Касса"),
        Row(2, THREE),
    ]


@pytest.mark.parametrize("encoding", ["cp1251", "cp866", "koi8-r", "mac-cyrillic"])
def test_single_byte_encoding_without_known_heading_is_to_be_chosen(encoding):
    data = f"iccid;phone;label\n{ONE};;Касса у входа\n".encode(encoding)

    likeliest = readings(data)[0]

    assert encoding_of(data) == ""
    assert likeliest.encoding == encoding
    assert likeliest.lines == (f"{ONE};;Касса у входа",)


def test_readings_show_first_lines_in_every_encoding():
    found = readings(f"iccid;;label\n{ONE};;Зал\n{THREE};;Юг".encode("cp866"))

    assert found[0] == Reading("cp866", "DOS (866)", (f"{ONE};;Зал", f"{THREE};;Юг"))
    assert {one.title for one in found} == {
        "DOS (866)",
        "Windows (1251)",
        "КОИ-8",
        "Mac OS",
        "UTF-8",
    }


def test_damaged_byte_in_utf8_names_its_row():
    header = "ICCID;Телефон;Подпись\n".encode()
    good, bad = f"{ONE};{PHONE};Касса\n".encode(), THREE.encode() + b";;\xff\xd0\xb0\n"

    found = entries(header + good + bad)

    assert found == [
        Row(2, ONE, PHONE, "Касса"),
        Problem(3, "вся строка", f"{THREE};;\ufffdа", NOT_READ),
    ]


def test_damaged_byte_in_long_russian_labels_names_its_row():
    good = f"{ONE};;Касса у входа\n".encode()

    assert entries(good + THREE.encode() + b";;\xff") == [
        Row(1, ONE, "", "Касса у входа"),
        Problem(2, "вся строка", f"{THREE};;\ufffd", NOT_READ),
    ]


def test_single_odd_byte_is_never_read_by_a_guess():
    assert encoding_of(f"iccid;;label\n{ONE};;".encode() + b"\xff") == ""


def test_utf8_row_within_another_encoding_is_named():
    data = f"ICCID;Телефон;Подпись\n{ONE};;Зал\n".encode("cp1251") + f"{THREE};;Юг".encode()

    assert entries(data) == [
        Row(2, ONE, "", "Зал"),
        Problem(3, "вся строка", f"{THREE};;Юг".encode().decode("cp1251"), NOT_READ),
    ]


@given(
    st.sampled_from(["cp1251", "cp866", "koi8-r", "utf-8", "utf-16"]),
    st.text(
        "абвгдежзийклмнопрстуфхцчшщъыьэюяАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЭЮЯ", min_size=1, max_size=40
    ),
)
def test_label_is_stored_as_written_or_not_at_all(encoding, label):
    data = f"ICCID;Подпись\n{ONE};{label}".encode(encoding)

    [found] = entries(data)

    assert isinstance(found, Problem) or found == Row(2, ONE, "", label)


# --- rows as a spreadsheet shows them ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (ONE, [Row(1, ONE)]),
        (f"{ONE}\n{THREE}\n", [Row(1, ONE), Row(2, THREE)]),
        (f'{ONE};;"Касса; у входа"', [Row(1, ONE, "", "Касса; у входа")]),
        (f'{ONE};;"две\nстроки"\n{THREE}', [Row(1, ONE, "", "две строки"), Row(2, THREE)]),
        (
            f'"две\r\nстроки";{ONE}\r\n\r\n{THREE}',
            [
                Problem(1, "ICCID", "две\nстроки", NOT_DIGITS),
                Row(3, THREE),
            ],
        ),
        (
            f'Подпись;ICCID\n"две\r\nстроки";{ONE}\nЗал;{THREE}',
            [Row(2, ONE, "", "две строки"), Row(3, THREE, "", "Зал")],
        ),
        (
            f'Подпись;ICCID\n"Зал;{ONE}\n"Юг;{THREE}',
            [
                Problem(2, "ICCID", "", "ICCID не указан."),
                Problem(3, "ICCID", "", "ICCID не указан."),
            ],
        ),
        (f'{ONE};;"без конца\n{THREE};;', [Row(1, ONE, "", "без конца"), Row(2, THREE)]),
        (f'{ONE};;Кафе "Юг"\n{THREE}', [Row(1, ONE, "", 'Кафе "Юг"'), Row(2, THREE)]),
        (
            f'{ONE};;Экран 15"\n{THREE};;Экран 16"',
            [Row(1, ONE, "", 'Экран 15"'), Row(2, THREE, "", 'Экран 16"')],
        ),
        (
            f'Подпись;ICCID\nЭкран 15";{ONE}\nЭкран 16";{THREE}',
            [Row(2, ONE, "", 'Экран 15"'), Row(3, THREE, "", 'Экран 16"')],
        ),
        (f'="{ONE}";{PHONE}', [Row(1, ONE, PHONE)]),
        (f"sep=,\n{ONE},,Касса", [Row(1, ONE, "", "Касса")]),
        (f"sep=;\nICCID;Подпись\n{ONE};Касса", [Row(2, ONE, "", "Касса")]),
        (f"Подпись;Цена;ICCID\nКасса;10;{ONE}", [Row(2, ONE, "", "Касса")]),
        (f"Номер;Подпись\n{ONE};Касса", [Row(2, ONE, "", "Касса")]),
        (
            f"ООО «Поставщик»\nСписок от 1 ноября\n\nICCID;Подпись\n{ONE};Зал",
            [Row(5, ONE, "", "Зал")],
        ),
        (f";;\n;;\n{ONE};;", [Row(3, ONE)]),
        (f"{ONE};;Ка\x00сса", [Row(1, ONE, "", "Касса")]),
        (f"\u200bI\u0421\u0421ID;По\u00adдпись\n{ONE};Зал", [Row(2, ONE, "", "Зал")]),
        (
            f"{ONE};{PHONE}\n{THREE};{PHONE}",
            [
                Row(1, ONE, PHONE),
                Row(2, THREE, PHONE, note="Тот же номер телефона стоит в строке 1."),
            ],
        ),
    ],
)
def test_list_is_read_as_it_was_meant(text, rows):
    assert entries(text.encode()) == rows


def test_columns_that_are_not_read_are_named():
    assert read(f"ICCID;Цена;;Тел. абонента\n{ONE};1;;2".encode(), "utf-8").ignored == (
        "«Цена»",
        "«Тел. абонента»",
    )


def test_title_above_header_that_names_a_card_stays_a_row():
    assert entries(f"{ONE[:16]};Зал\n8,97E+18\nICCID;Подпись\n".encode())[:2] == [
        Problem(1, "ICCID", ONE[:16], "В ICCID 16\u00a0цифр, а должно быть от 17 до 20."),
        Problem(2, "ICCID", "8,97E+18", DamagedBySpreadsheet().sentence),
    ]


# --- problems ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("8,97E+18", Problem(1, "ICCID", "8,97E+18", DamagedBySpreadsheet().sentence)),
        ("8.97E+18;;Касса", Problem(1, "ICCID", "8.97E+18", DamagedBySpreadsheet().sentence)),
        (
            f"{ONE[:16]};;",
            Problem(1, "ICCID", ONE[:16], "В ICCID 16\u00a0цифр, а должно быть от 17 до 20."),
        ),
        (";;Касса", Problem(1, "ICCID", "", "ICCID не указан.")),
        (
            f"{ONE};12",
            Problem(
                1,
                "номер телефона",
                "12",
                "В номере телефона 2\u00a0цифры, а нужно 11, например +7 912 345-67-89.",
            ),
        ),
        (
            f"{ONE};;{'я' * 101}",
            Problem(1, "подпись", "я" * 59 + "…", "Подпись длиннее 100 знаков."),
        ),
        (
            f"{ONE};;Касса;ещё",
            Problem(1, "подпись", "ещё", "В строке лишние столбцы. Возьмите подпись в кавычки."),
        ),
    ],
)
def test_bad_row_is_named_with_its_reason(text, problem):
    assert entries(text.encode()) == [problem]


@pytest.mark.parametrize(
    ("numbers", "problem"),
    [
        (
            (ONE, THREE, f"{ONE[:4]} {ONE[4:]}F"),
            Problem(3, "ICCID", ONE, "Повтор: строки 1 и 3 — одна и та же карта."),
        ),
        (
            (FULL, ONE, f"{BARE}F"),
            Problem(
                3,
                "ICCID",
                BARE,
                "Повтор: строки 1 и 3 — одна и та же карта, "
                "номера отличаются только контрольной цифрой.",
            ),
        ),
        (
            (MIDDLE[:-1], f"{MIDDLE}{luhn.calc_check_digit(MIDDLE)}", MIDDLE),
            Problem(
                3,
                "ICCID",
                MIDDLE,
                "Не понять, какая это карта: номер похож и на строку 1, и на строку 2.",
            ),
        ),
    ],
    ids=["same digits", "with and without check digit", "two could be meant"],
)
def test_repeated_card_is_named_with_both_rows(numbers, problem):
    assert [one for one in entries("\n".join(numbers).encode()) if isinstance(one, Problem)] == [
        problem
    ]


def test_doubtful_number_is_a_row_with_its_doubt():
    assert entries(BARE.encode()) == [Row(1, BARE, doubt=NO_CHECK_DIGIT)]


def test_ten_thousand_rows_with_one_bad_name_the_row():
    lines = [numbered(index) for index in range(10_000)]
    lines[7_654] = "89701x"

    found = entries("\r\n".join(lines).encode())

    assert sum(isinstance(one, Row) for one in found) == 9_999
    assert found[7_654] == Problem(7_655, "ICCID", "89701x", NOT_DIGITS)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "Файл пустой."),
        (b"\n \r\n", "Файл пустой."),
        (b"1" * (MAX_BYTES + 1), "Файл больше 20 МБ. Разделите его на части."),
        (
            b"\n" * (MAX_LINES + 1),
            "В файле 200\u00a0001\u00a0строка, а можно не больше 200\u00a0000. Разделите его на части.",
        ),
        (
            b"PK\x03\x04rest",
            "Это книга Excel (xlsx), а нужен файл CSV: «Сохранить как» → «CSV UTF-8».",
        ),
        (
            "Прайс\nТелефон;Подпись;Цена\n1;2;3".encode(),
            "В заголовке файла нет столбца «ICCID». Есть столбцы: «Телефон», «Подпись», «Цена».",
        ),
        (
            ("Подпись;" + ";".join("абвгдежзийкл")).encode(),
            f"В заголовке файла нет столбца «ICCID». Есть столбцы: «Подпись», {NINE_LETTERS}, ….",
        ),
        (
            f"{ONE}\n\n{THREE}{';' * 100}".encode(),
            "В строке 3 больше 100 столбцов: это не список смарт-карт.",
        ),
    ],
)
def test_what_is_no_list_is_refused_with_a_clear_sentence(data, sentence):
    with pytest.raises(UnreadableFile) as caught:
        entries(data)

    assert caught.value.sentence == sentence


@pytest.mark.parametrize("line", [b";" * (MAX_BYTES - 1), b";" * 104 + b"\n"])
def test_file_of_delimiters_alone_is_refused_quickly(line):
    data = line * (MAX_BYTES // len(line))
    begin = time.process_time()

    with pytest.raises(UnreadableFile) as caught:
        entries(data)

    assert caught.value.sentence == "В строке 1 больше 100 столбцов: это не список смарт-карт."
    # Of the processor's time: it was 227 seconds.
    assert time.process_time() - begin < 20


# --- anything at all --------------------------------------------------------------------------------


def _accounted(data: bytes) -> None:
    """No card is there twice, and nothing is there that the database or a file would not take."""
    try:
        found = entries(data, encoding_of(data) or "cp1251")
    except UnreadableFile:
        return
    iccids = [one.iccid for one in found if isinstance(one, Row)]
    problems = [one for one in found if isinstance(one, Problem)]
    assert len(iccids) == len(set(iccids))
    assert as_csv(problems).count(b"\r\n") == len(problems) + 1
    assert all("\x00" not in one.label for one in found if isinstance(one, Row))
    assert all("\x00" not in one.value for one in problems)


@given(st.binary(max_size=400))
def test_any_bytes_are_rows_problems_or_a_refusal(data):
    _accounted(data)


@given(st.binary(max_size=400))
def test_any_bytes_have_readings(data):
    assert all("\x00" not in line for one in readings(data) for line in one.lines)


_PIECES = st.sampled_from(
    [
        *(ONE, THREE, BARE, FULL, "8,97E+18", PHONE, ";", ",", "\t", "\n", "\r\n", "\r", '"'),
        *("\x00", "ICCID", "Номер", "Касса", " ", "sep=;", "F"),
    ]
)


@given(st.lists(_PIECES, max_size=40), st.sampled_from(["utf-8", "utf-8-sig", "cp1251", "utf-16"]))
def test_any_mixture_of_pieces_is_rows_problems_or_a_refusal(pieces, encoding):
    _accounted("".join(pieces).encode(encoding))


@given(st.lists(st.sampled_from([ONE, TWO, THREE, "bad", '"', ""]), max_size=12))
def test_no_row_that_names_a_card_is_lost(lines):
    data = "\n".join(f"{line};;" for line in lines).encode()

    try:
        found = entries(data)
    except UnreadableFile:
        assert not any(lines)
        return
    named = [line for line in lines if line in {ONE, TWO, THREE}]
    seen = [one for one in found if isinstance(one, Row) or one.sentence.startswith("Повтор")]
    assert len(seen) == len(named)


def test_file_of_problems_runs_no_formulas():
    problems = [Problem(2, "ICCID", "=1+1", "ICCID не указан.")]

    assert as_csv(problems).decode("utf-8-sig") == (
        "Строка;Поле;Значение;Что не так\r\n2;ICCID;'=1+1;ICCID не указан.\r\n"
    )
