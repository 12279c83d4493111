"""Tables as files: what Russian Excel opens, and what people upload."""

import csv
import io
import zipfile
from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from cabinet.formatting.table_files import (
    MAX_BYTES,
    MAX_ROWS,
    UnreadableTable,
    csv_rows,
    read_table,
    roubles,
    write_xlsx,
)

MIDNIGHT = datetime.fromisoformat("2027-02-28T00:00")
AFTERNOON = datetime.fromisoformat("2027-02-28T15:56")
ICCID = "89701010000000000062"
ROWS = [
    ("Подпись", "ICCID", "Дней", "Сумма, ₽", "До", "Когда"),
    (
        *("Касса «Ёлка»; зал", ICCID, 31, Decimal("-1234.50")),
        *(date(2027, 2, 28), AFTERNOON),
    ),
    (None, "007", 0, Decimal("0.00"), None, None),
]
FORMULAS = ["=1+1", "+7 912", "-5", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠1"]
# What a person can type: control characters have no place in a workbook.
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12).map(str.strip)


def csv_bytes(rows) -> bytes:
    return b"".join(csv_rows(rows))


def xlsx_bytes(rows) -> bytes:
    with write_xlsx(rows, "Лист") as file:
        return file.read()


def test_csv_is_what_russian_excel_opens():
    assert (
        csv_bytes(ROWS)
        == (
            "\ufeffПодпись;ICCID;Дней;Сумма, ₽;До;Когда\r\n"
            f'"Касса «Ёлка»; зал";\t{ICCID};31;-1234,50;28.02.2027;28.02.2027 15:56\r\n'
            ";\t007;0;0,00;;\r\n"
        ).encode()
    )


def test_csv_comes_in_pieces_before_the_rows_end():
    taken = []

    def rows():
        for number in range(1000):
            taken.append(number)
            yield (number,)

    pieces = csv_rows(rows())
    next(pieces)
    next(pieces)

    assert len(taken) == 200


@pytest.mark.parametrize("text", FORMULAS)
def test_csv_formula_is_a_text(text):
    row = next(csv.reader(io.StringIO(csv_bytes([[text]]).decode("utf-8-sig"), newline="")))

    assert row == [f"'{text}"]


@pytest.mark.parametrize("text", [*FORMULAS[:4], "#N/A", ICCID, "TRUE"])
def test_xlsx_text_is_a_text(text):
    cell = load_workbook(io.BytesIO(xlsx_bytes([["Подпись"], [text]]))).active["A2"]

    assert (cell.value, cell.data_type, cell.number_format) == (text, "s", "@")


def test_xlsx_keeps_numbers_days_and_instants():
    sheet = load_workbook(io.BytesIO(xlsx_bytes(ROWS))).active

    assert [cell.value for cell in sheet[2]] == [
        *("Касса «Ёлка»; зал", ICCID, 31, -1234.5),
        *(MIDNIGHT, AFTERNOON),
    ]
    assert [cell.number_format for cell in sheet[2]] == [
        *("@", "@", "General", "#,##0.00", "DD.MM.YYYY", "DD.MM.YYYY HH:MM")
    ]
    assert [cell.font.bold for cell in sheet[1]] == [True] * 6
    assert sheet.freeze_panes == "A2"


def test_xlsx_drops_characters_that_a_workbook_cannot_hold():
    assert read_table(io.BytesIO(xlsx_bytes([["a\x00\x0bb"]]))) == [("ab",)]


def test_sheet_title_is_one_that_excel_takes():
    with write_xlsx([["a"]], "Отчёт: [январь] 2027/2028, все магазины и кассы") as file:
        assert load_workbook(file).sheetnames == ["Отчёт   январь  2027 2028, все"]


@given(st.integers(-(10**12), 10**12))
def test_roubles_keep_every_kopeck(kopecks):
    assert roubles(kopecks) * 100 == kopecks
    assert roubles(kopecks).as_tuple().exponent == -2


@pytest.mark.parametrize("as_bytes", [csv_bytes, xlsx_bytes])
def test_written_table_is_read_back(as_bytes):
    assert read_table(io.BytesIO(as_bytes(ROWS)))[1][:3] == ("Касса «Ёлка»; зал", ICCID, "31")


@given(texts)
def test_text_in_csv_is_read_back_as_it_was(text):
    assert read_table(io.BytesIO(csv_bytes([["Подпись", "Ещё"], [text, "x"]])))[1] == (text, "x")


@given(texts)
def test_text_in_xlsx_is_read_back_as_it_was(text):
    assert read_table(io.BytesIO(xlsx_bytes([["Подпись", "Ещё"], [text, "x"]])))[1] == (text, "x")


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        ("Касса;Подпись\r\n1;Зал\r\n".encode("cp1251"), [("Касса", "Подпись"), ("1", "Зал")]),
        ("Касса\tПодпись\n1\tЗал".encode("utf-16"), [("Касса", "Подпись"), ("1", "Зал")]),
        (b"sep=,\r\na,b\r\n", [("a", "b")]),
        ('a;"две\nстроки"\n;\n\n'.encode(), [("a", "две\nстроки")]),
        (b"a\n\nb\n", [("a",), (), ("b",)]),
    ],
)
def test_csv_of_other_programs_is_read(data, rows):
    assert read_table(io.BytesIO(data)) == rows


def test_xlsx_of_people_is_read():
    book = Workbook()
    for row in (["ICCID", "До"], [8.9701e19, MIDNIGHT], [], [7.0, 1.5], [None, None]):
        book.active.append(row)
    file = io.BytesIO()
    book.save(file)

    assert read_table(io.BytesIO(file.getvalue())) == [
        ("ICCID", "До"),
        ("8,97010E+19", "28.02.2027"),
        (),
        ("7", "1,5"),
    ]


def huge_book() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as parts:
        for number in range(3):
            parts.writestr(f"xl/{number}.xml", b" " * 90_000_000)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "Таблица пустая."),
        (b"\n;;\n", "Таблица пустая."),
        (b"a" * (MAX_BYTES + 1), "Файл больше 10\u00a0МБ. Разделите его на\u00a0части."),
        (b"%PDF-1.7", "Сохраните таблицу как книгу Excel (xlsx) или\u00a0как CSV."),
        (b"PK\x03\x04 no book", "Книга Excel не\u00a0читается. Сохраните её заново."),
        (huge_book(), "Книга слишком большая. Разделите её на\u00a0части."),
        (
            b"a\n" * (MAX_ROWS + 1),
            "В\u00a0таблице больше 20\u00a0000\u00a0строк. Разделите её на\u00a0части.",
        ),
    ],
    ids=["empty", "blank", "large", "pdf", "broken", "bomb", "long"],
)
def test_unreadable_table_is_refused_with_a_sentence(data, sentence):
    with pytest.raises(UnreadableTable) as refusal:
        read_table(io.BytesIO(data))

    assert refusal.value.sentence == sentence


@given(st.binary(max_size=300))
def test_any_bytes_are_rows_or_a_refusal(data):
    for prefix in (b"", b"PK\x03\x04"):
        try:
            rows = read_table(io.BytesIO(prefix + data))
        except UnreadableTable:
            continue
        assert all(isinstance(text, str) for row in rows for text in row)
