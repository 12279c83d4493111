"""Lists of cards come into stock."""

import threading
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from cabinet.actors import Actor
from cabinet.models import AuditEvent, Merchant, User
from cabinet.states import ActorKind
from operators.models import OperatorAccount
from operators.tests.described import SMALL
from smartcards import stock
from smartcards.models import SmartCard
from smartcards.numbers import DamagedBySpreadsheet
from smartcards.stock import Imported, StockRefused, check_stock, import_stock
from smartcards.stock_csv import (
    MAX_BYTES,
    MAX_LINES,
    Parsed,
    Problem,
    Row,
    UnreadableFile,
    as_csv,
    parse,
)

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
STAFF = Actor(ActorKind.STAFF, "Вера", 1)
NO_NUMBER = "Нет номера телефона, а этот оператор находит карты по нему: включить её не получится."
ONE, TWO, THREE = "8970101123456789019", "8970101000000000110", "89701011234567890123"
PHONE = "79123456789"


def numbered(index: int) -> str:
    """A number of a card without its check digit: nothing about it is doubtful."""
    return f"8970101{index + 1:010d}"


# Reading the file


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "cp1251", "utf-16", "utf-16-le", "utf-16-be"]
)
@pytest.mark.parametrize("sign", [";", ",", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("header", ["ICCID{}Номер телефона{}Подпись", "iccid{}Номер{}подпись", ""])
def test_a_list_is_read_whatever_it_was_saved_as(encoding, sign, newline, header):
    head = [header.format(sign, sign)] if header else []
    lines = [*head, sign.join([ONE, "8 (912) 345-67-89", "Касса"]), "", sign.join([THREE, "", ""])]

    parsed = parse(newline.join(lines).encode(encoding))

    first = len(head) + 1
    assert parsed == Parsed((Row(first, ONE, PHONE, "Касса"), Row(first + 2, THREE)), ())


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (ONE, (Row(1, ONE),)),
        (f"{ONE}\n{THREE}\n", (Row(1, ONE), Row(2, THREE))),
        (f'{ONE};;"Касса; у входа"', (Row(1, ONE, "", "Касса; у входа"),)),
        (f'{ONE};;"две\nстроки"\n{THREE}', (Row(1, ONE, "", "две строки"), Row(3, THREE))),
        (f'{ONE};;"без конца\n{THREE};;', (Row(1, ONE, "", "без конца"), Row(2, THREE))),
        (f'{ONE};;Кафе "Юг"\n{THREE}', (Row(1, ONE, "", 'Кафе "Юг"'), Row(2, THREE))),
        (f'="{ONE}";{PHONE}', (Row(1, ONE, PHONE),)),
        (f"sep=,\n{ONE},,Касса", (Row(2, ONE, "", "Касса"),)),
        (f"Подпись;Цена;ICCID\nКасса;10;{ONE}", (Row(2, ONE, "", "Касса"),)),
        (f"Номер;Подпись\n{ONE};Касса", (Row(2, ONE, "", "Касса"),)),
        (f";;\n;;\n{ONE};;", (Row(3, ONE),)),
        (f"{ONE};;Ка\x00сса", (Row(1, ONE, "", "Касса"),)),
        (
            f"{ONE};{PHONE}\n{THREE};{PHONE}",
            (
                Row(1, ONE, PHONE),
                Row(2, THREE, PHONE, "", "Тот же номер телефона стоит в строке 1."),
            ),
        ),
    ],
)
def test_a_list_is_read_as_it_was_meant(text, rows):
    assert parse(text.encode()) == Parsed(rows, ())


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
def test_a_bad_line_is_named_with_its_reason(text, problem):
    assert parse(text.encode()) == Parsed((), (problem,))


def test_a_repeated_card_is_named_with_both_lines():
    parsed = parse(f"{ONE}\n{THREE}\n{ONE[:4]} {ONE[4:]}F".encode())

    assert parsed == Parsed(
        (Row(1, ONE), Row(2, THREE)),
        (Problem(3, "ICCID", ONE, "Повтор: строки 1 и 3 — одна и та же карта."),),
    )


def test_ten_thousand_lines_with_one_bad_name_the_line():
    lines = [numbered(index) for index in range(10_000)]
    lines[7_654] = "89701x"

    parsed = parse("\r\n".join(lines).encode())

    sentence = "ICCID состоит только из цифр: 17–20 цифр, они напечатаны на карте."
    assert len(parsed.rows) == 9_999
    assert parsed.problems == (Problem(7_655, "ICCID", "89701x", sentence),)


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
        ("Телефон;Подпись\n1;2".encode(), "В заголовке файла нет столбца «ICCID»."),
    ],
)
def test_what_is_no_list_is_refused_with_a_clear_sentence(data, sentence):
    with pytest.raises(UnreadableFile) as caught:
        parse(data)

    assert caught.value.sentence == sentence


def _accounted(data: bytes) -> None:
    """No card is there twice, and nothing is there that the database or a file would not take."""
    try:
        parsed = parse(data)
    except UnreadableFile:
        return
    iccids = [row.iccid for row in parsed.rows]
    assert len(iccids) == len(set(iccids))
    assert as_csv(parsed.problems).count(b"\r\n") == len(parsed.problems) + 1
    assert all("\x00" not in row.label for row in parsed.rows)


@given(st.binary(max_size=400))
def test_any_bytes_are_rows_problems_or_a_refusal(data):
    _accounted(data)


_PIECES = st.sampled_from(
    [
        ONE,
        THREE,
        "8,97E+18",
        PHONE,
        ";",
        ",",
        "\t",
        "\n",
        "\r\n",
        "\r",
        '"',
        "\x00",
        "ICCID",
        "Номер",
        "Касса",
        " ",
        "sep=;",
        "F",
    ]
)


@given(st.lists(_PIECES, max_size=40), st.sampled_from(["utf-8", "utf-8-sig", "cp1251", "utf-16"]))
def test_any_mixture_of_pieces_is_rows_problems_or_a_refusal(pieces, encoding):
    _accounted("".join(pieces).encode(encoding))


@given(st.lists(st.sampled_from([ONE, TWO, THREE, "bad", '"', ""]), max_size=12))
def test_no_line_that_names_a_card_is_lost(lines):
    data = "\n".join(f"{line};;" for line in lines).encode()

    try:
        parsed = parse(data)
    except UnreadableFile:
        assert not any(lines)
        return
    seen = {row.line for row in parsed.rows} | {problem.line for problem in parsed.problems}
    assert {number for number, line in enumerate(lines, 1) if line in {ONE, TWO, THREE}} <= seen


def test_the_file_of_problems_runs_no_formulas():
    problems = (Problem(2, "ICCID", "=1+1", "ICCID не указан."),)

    assert as_csv(problems).decode("utf-8-sig") == (
        "Строка;Поле;Значение;Что не так\r\n2;ICCID;'=1+1;ICCID не указан.\r\n"
    )


# Loading it


@pytest.fixture
def account(db):
    return OperatorAccount.objects.create(
        code="mts", title="МТС", adapter="mts", base_url="http://127.0.0.1:9"
    )


def load(account, text, *, take_good=False):
    return import_stock(
        account=account, parsed=parse(text.encode()), take_good=take_good, by=STAFF, at=NOW
    )


def test_cards_come_into_stock_with_their_numbers_and_labels(account):
    done = load(account, f"{ONE};{PHONE};Касса\n{THREE}")

    assert done == Imported(
        added=2, skipped=(), problems=(), warnings=(Problem(2, "ICCID", THREE, NO_NUMBER),)
    )
    kept = SmartCard.objects.order_by("pk").values_list(
        "iccid", "msisdn", "label", "account", "confirmed", "imported_at"
    )
    assert list(kept) == [
        (ONE, PHONE, "Касса", account.pk, "new", NOW),
        (THREE, "", "", account.pk, "new", NOW),
    ]
    assert SmartCard.objects.filter(merchant=None, handed_at=None).count() == 2


def test_a_load_is_written_down_once(account):
    load(account, f"{ONE}\n{THREE}")

    event = AuditEvent.objects.get()
    assert (
        event.target,
        event.target_id,
        event.action,
        event.text,
        event.actor_name,
        event.at,
    ) == (
        "operatoraccount",
        account.pk,
        "stock_imported",
        "На склад поступило: 2\u00a0смарт-карты",
        "Вера",
        NOW,
    )


def test_one_bad_line_stops_the_whole_list(account):
    done = load(account, f"{ONE}\nbad")

    assert (done.added, len(done.problems), SmartCard.objects.count()) == (0, 1, 0)
    assert not AuditEvent.objects.exists()


def test_good_lines_are_taken_where_staff_choose_so(account):
    done = load(account, f"{ONE}\nbad", take_good=True)

    assert (done.added, len(done.problems)) == (1, 1)
    assert SmartCard.objects.get().iccid == ONE


def test_the_same_list_again_changes_nothing(account):
    load(account, f"{ONE};{PHONE};Касса\n{THREE}")

    again = load(account, f"{ONE};79990000000;Другая\n{THREE}")

    assert again == Imported(
        added=0,
        skipped=(
            Problem(1, "ICCID", ONE, "Уже на складе."),
            Problem(2, "ICCID", THREE, "Уже на складе."),
        ),
        problems=(),
        warnings=(),
    )
    assert SmartCard.objects.filter(msisdn=PHONE, label="Касса").count() == 1
    assert AuditEvent.objects.count() == 1


def test_a_known_card_is_reported_without_naming_its_client(account):
    merchant = Merchant.objects.create(name="Секрет", created_at=NOW)
    other = OperatorAccount.objects.create(
        code="beeline", title="Билайн", adapter="mts", base_url="http://127.0.0.1:9"
    )
    card = {"msisdn": "", "imported_at": NOW}
    SmartCard.objects.create(iccid=ONE, account=account, merchant=merchant, handed_at=NOW, **card)
    SmartCard.objects.create(iccid=THREE, account=other, **card)

    done = load(account, f"{ONE}\n{THREE}\n{numbered(1)}")

    assert (done.added, [problem.sentence for problem in done.skipped]) == (
        1,
        ["Уже у клиента.", "Уже на складе: Билайн."],
    )


KNOWS_NUMBERS = SMALL | {"key": "msisdn"}
NAMES_THE_NUMBER = SMALL | {
    "calls": SMALL["calls"]
    | {"deactivate": SMALL["calls"]["deactivate"] | {"path": "/numbers/{msisdn10}/off"}}
}


@pytest.mark.parametrize(
    ("adapter", "profile", "warned"),
    [
        ("mts", None, [2]),
        ("tmf640", None, []),
        ("declared", SMALL, []),
        ("declared", KNOWS_NUMBERS, [2]),
        ("declared", NAMES_THE_NUMBER, [2]),
        ("gone", None, []),
    ],
    ids=["mts", "by-iccid", "described", "described-by-number", "number-in-a-call", "no-protocol"],
)
def test_lines_without_a_number_are_warned_of_where_the_operator_needs_it(
    account, adapter, profile, warned
):
    account.adapter, account.profile = adapter, profile or {}
    account.save()

    done = load(account, f"{ONE};{PHONE}\n{THREE}")

    assert done.added == 2
    assert [(one.line, one.sentence) for one in done.warnings] == [(2, NO_NUMBER) for _ in warned]


def test_a_card_of_another_operator_is_loaded_with_a_warning(account):
    beeline = "8970199123456789012"

    done = load(account, f"{beeline};{PHONE}")

    sentence = "Начало номера — как у карт «Билайн», а выбран оператор «МТС»."
    assert done == Imported(1, (), (), (Problem(1, "ICCID", beeline, sentence),))


def test_a_check_says_what_a_load_would_do_and_writes_nothing(account):
    parsed = parse(f"{ONE}\nbad\n{THREE}".encode())

    checked = check_stock(account=account, parsed=parsed, take_good=True)

    assert (checked.added, len(checked.problems), SmartCard.objects.count()) == (2, 1, 0)


def test_several_batches_are_one_load(account, monkeypatch):
    monkeypatch.setattr(stock, "BATCH", 7)

    done = load(account, "\n".join(numbered(index) for index in range(50)))

    assert (done.added, SmartCard.objects.count()) == (50, 50)


@pytest.mark.django_db(transaction=True)
def test_a_second_load_at_the_same_time_is_refused():
    account = OperatorAccount.objects.create(
        code="mts", title="МТС", adapter="mts", base_url="http://127.0.0.1:9"
    )
    refusals = []

    def second():
        try:
            load(account, ONE)
        except StockRefused as refusal:
            refusals.append(refusal.sentence)
        finally:
            connection.close()

    with transaction.atomic():
        load(account, ONE)
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(20)

    assert refusals == ["Сейчас загружается другой список. Повторите через минуту."]
    assert SmartCard.objects.count() == 1


# The page of the admin

URL = "admin:smartcards_smartcard_import"


@pytest.fixture
def staff(client, db):
    user = User.objects.create_user("vera", "long-enough-word", is_staff=True, name="Вера")
    wanted = ["add_smartcard", "view_smartcard", "change_smartcard"]
    user.user_permissions.set(Permission.objects.filter(codename__in=wanted))
    client.force_login(user)
    return client


def post(client, account, text="", **fields):
    sent = {"account": account.pk, "on_problems": "nothing", "do": "check"} | fields
    if text:
        sent["file"] = SimpleUploadedFile("cards.csv", text.encode())
    return client.post(reverse(URL), sent)


def test_a_checked_file_is_loaded_without_choosing_it_again(staff, account):
    checked = post(staff, account, f"{ONE}\n{THREE}")
    held = checked.context["form"]["held"].value()
    before = SmartCard.objects.count()

    loaded = post(staff, account, do="load", held=held)

    assert (before, SmartCard.objects.count()) == (0, 2)
    assert "Проверено, ещё не загружено" in checked.content.decode()
    assert (loaded.status_code, loaded.url) == (
        302,
        reverse("admin:smartcards_smartcard_changelist"),
    )
    assert AuditEvent.objects.get().actor_name == "Вера"


def test_the_first_fifty_problems_are_shown_and_all_are_in_the_file(staff, account):
    text = "\n".join(["bad"] * 60)

    shown = post(staff, account, text).content.decode()
    taken = post(staff, account, text, do="problems")

    assert shown.count("<td>bad</td>") == 50
    assert "И ещё 10\u00a0строк" in shown
    assert taken["Content-Disposition"] == 'attachment; filename="problems.csv"'
    assert len(taken.content.decode("utf-8-sig").splitlines()) == 61


def test_a_load_of_a_list_with_a_bad_line_stays_on_the_page(staff, account):
    page = post(staff, account, f"{ONE}\nbad", do="load").content.decode()

    assert "Не загружено ничего" in page
    assert "ICCID состоит только из цифр" in page
    assert SmartCard.objects.count() == 0


@pytest.mark.parametrize("held", ["", "ерунда", "AAAA", "eJw="])
def test_no_file_is_asked_for(staff, account, held):
    page = post(staff, account, held=held)

    assert page.context["form"].errors == {"file": ["Выберите файл."]}


def test_an_empty_file_is_told_to_be_empty_and_not_asked_for_again(staff, account):
    sent = {"account": account.pk, "on_problems": "nothing", "do": "check"}

    page = staff.post(reverse(URL), sent | {"file": SimpleUploadedFile("cards.csv", b"")})

    assert page.context["form"].errors == {"file": ["Файл пустой."]}


def test_an_unreadable_file_is_explained_on_its_field(staff, account):
    page = post(staff, account, "Телефон;Подпись\n1;2")

    assert page.context["form"].errors == {"file": ["В заголовке файла нет столбца «ICCID»."]}


def test_a_file_is_kept_where_the_operator_was_forgotten(staff, account):
    sent = {"on_problems": "nothing", "do": "check", "file": SimpleUploadedFile("c", ONE.encode())}

    form = staff.post(reverse(URL), sent).context["form"]

    assert set(form.errors) == {"account"}
    assert form["held"].value()


@pytest.mark.parametrize("codename", ["view_smartcard", "change_smartcard"])
def test_staff_without_the_right_do_not_load(client, db, account, codename):
    user = User.objects.create_user("ivan", "long-enough-word", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename=codename))
    client.force_login(user)

    assert post(client, account, ONE, do="load").status_code == 403
    assert SmartCard.objects.count() == 0


def test_a_visitor_is_sent_to_sign_in(client, db, account):
    assert post(client, account, ONE, do="load").status_code == 302
    assert SmartCard.objects.count() == 0
