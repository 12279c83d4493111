"""Files of cards become cards in stock."""

import threading
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, connection, transaction
from django.urls import reverse
from stdnum import luhn

from cabinet.accounts.services.staff_sign_in import staff_actor
from cabinet.celery import app
from cabinet.models import AuditEvent, Merchant, User
from operators.models import OperatorAccount
from operators.tests.declarative_server import SMALL
from smartcards.models import SmartCard, StockImport
from smartcards.states import ImportState, RemarkKind
from smartcards.stock import importing
from smartcards.stock.csv_file import UnreadableFile
from smartcards.stock.importing import MAX_ATTEMPTS, StockRefused
from smartcards.tasks import import_stock, sweep
from smartcards.tests.test_stock_file import (
    BARE,
    FULL,
    MIDDLE,
    NO_CHECK_DIGIT,
    ONE,
    PHONE,
    THREE,
    numbered,
)

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
NO_NUMBER = "Нет номера телефона, а этот оператор находит карты по нему: включить её не получится."
BEELINE = f"897019912345678901{luhn.calc_check_digit('897019912345678901')}"
BEELINE_MISPRINTED = f"{BEELINE[:-1]}{(int(BEELINE[-1]) + 1) % 10}"
FOREIGN = "Начало номера — как у карт «Билайн», а выбран оператор «МТС»."


@pytest.fixture
def account(db):
    # Finds its cards by their numbers, not by telephone.
    return make_account(adapter="tmf640")


@pytest.fixture
def user(db):
    return make_user()


def make_account(code="mts", title="МТС", adapter="mts"):
    return OperatorAccount.objects.create(
        code=code, title=title, adapter=adapter, base_url="http://127.0.0.1:9"
    )


def make_user():
    return User.objects.create_user("vera", "long-enough-word", is_staff=True, name="Вера")


def enqueued():
    """What was enqueued for files of cards, oldest first; the queue is empty then."""
    with app.connection_for_read() as broker:
        queue = broker.SimpleQueue("reconciliation", no_ack=True)
        messages = [queue.get_nowait() for _ in range(queue.qsize())]
    return [(message.headers["task"], message.payload[1]) for message in messages]


def begin(account, user, data, key=None):
    row = importing.begin_import(
        form_key=key or uuid.uuid4(),
        account=account,
        file_name="cards.csv",
        data=data if isinstance(data, bytes) else data.encode(),
        by=staff_actor(user),
        at=NOW,
    )
    importing.proceed(row, at=NOW)
    row.refresh_from_db()
    return row


def load(row, user, *, skip_errors=False, accepted=()):
    changed = importing.request_load(
        import_id=row.pk, skip_errors=skip_errors, accepted=accepted, by=staff_actor(user), at=NOW
    )
    importing.proceed(changed, at=NOW)
    row.refresh_from_db()
    return row


def remarks(row, kind):
    return [(one["line"], one["sentence"]) for one in importing.report_of(row).shown.get(kind, [])]


def stock():
    return list(SmartCard.objects.order_by("iccid").values_list("iccid", flat=True))


# --- the check --------------------------------------------------------------------------------------


def test_check_says_what_a_load_would_do_and_stores_no_card(account, user):
    SmartCard.objects.create(iccid=THREE, account=account, imported_at=NOW)

    row = begin(account, user, f"ICCID;Цена\n{ONE};1\nbad\n{THREE}\n{BARE}\n{BEELINE}\n")

    report = importing.report_of(row)
    assert row.state == ImportState.CHECKED
    assert row.good == 1
    assert report.doubtful == 2
    assert report.counts == {"error": 1, "known": 1, "number": 1, "operator": 1}
    assert report.ignored == ["«Цена»"]
    assert remarks(row, RemarkKind.NUMBER) == [(5, NO_CHECK_DIGIT)]
    assert remarks(row, RemarkKind.OPERATOR) == [(6, FOREIGN)]
    assert stock() == [THREE]


def test_unclear_encoding_is_asked_for_before_the_check(account, user):
    data = f"iccid;;label\n{ONE};;Касса\n".encode("cp866")

    asked = begin(account, user, data)
    state_before, readings = asked.state, importing.report_of(asked).readings
    chosen = importing.choose_encoding(
        import_id=asked.pk, encoding="cp866", by=staff_actor(user), at=NOW
    )
    importing.proceed(chosen, at=NOW)
    asked.refresh_from_db()
    loaded = load(asked, user)

    assert state_before == ImportState.CHOOSING
    assert readings[0]["encoding"] == "cp866"
    assert loaded.state == ImportState.LOADED
    assert SmartCard.objects.get().label == "Касса"


def test_encoding_chosen_wrongly_is_chosen_again(account, user):
    row = begin(account, user, f"iccid;;label\n{ONE};;Касса\n".encode("koi8-r"))

    for encoding in ("cp1251", "koi8-r"):
        chosen = importing.choose_encoding(
            import_id=row.pk, encoding=encoding, by=staff_actor(user), at=NOW
        )
        importing.proceed(chosen, at=NOW)
    row.refresh_from_db()
    load(row, user)

    assert SmartCard.objects.get().label == "Касса"


def test_file_that_is_no_list_is_refused_and_forgotten(account, user):
    row = begin(account, user, "Телефон;Подпись\n1;2")

    assert row.state == ImportState.REFUSED
    assert row.refusal == (
        "В заголовке файла нет столбца «ICCID». Есть столбцы: «Телефон», «Подпись»."
    )
    assert row.file is None


def test_refusal_names_long_headings_whole(account, user):
    headings = ";".join(f"Подпись {'я' * 80} {number}" for number in range(12))

    row = begin(account, user, f"Телефон;{headings}")

    assert row.state == ImportState.REFUSED
    assert row.refusal.endswith("я…», ….")


def test_foreign_file_is_refused_before_anything_is_stored(account, user):
    with pytest.raises(UnreadableFile):
        begin(account, user, b"PK\x03\x04rest")

    assert not StockImport.objects.exists()


@pytest.mark.parametrize(
    ("adapter", "profile", "warned"),
    [
        ("mts", None, True),
        ("tmf640", None, False),
        ("declared", SMALL, False),
        ("declared", SMALL | {"key": "msisdn"}, True),
        (
            "declared",
            SMALL
            | {
                "calls": SMALL["calls"]
                | {"deactivate": SMALL["calls"]["deactivate"] | {"path": "/numbers/{msisdn}/off"}}
            },
            True,
        ),
        ("gone", None, False),
    ],
    ids=["mts", "by-iccid", "described", "described-by-number", "number-in-a-call", "no-protocol"],
)
def test_missing_number_is_noted_where_operator_needs_it(account, user, adapter, profile, warned):
    account.adapter, account.profile = adapter, profile or {}
    account.save()

    row = begin(account, user, f"{ONE};{PHONE}\n{THREE}")

    assert row.good == 2
    assert remarks(row, RemarkKind.NOTE) == ([(2, NO_NUMBER)] if warned else [])


# --- known cards ------------------------------------------------------------------------------------


def test_known_card_is_reported_without_naming_its_client(account, user):
    merchant = Merchant.objects.create(name="Секрет", created_at=NOW)
    other = make_account("beeline", "Билайн")
    card = {"msisdn": "", "imported_at": NOW}
    SmartCard.objects.create(iccid=ONE, account=account, merchant=merchant, handed_at=NOW, **card)
    SmartCard.objects.create(iccid=THREE, account=other, **card)

    row = begin(account, user, f"{ONE}\n{THREE}\n{numbered(1)}")

    assert row.good == 1
    assert remarks(row, RemarkKind.KNOWN) == [
        (1, "Уже у клиента."),
        (2, "Уже на складе: Билайн."),
    ]


@pytest.mark.parametrize(("known", "written"), [(BARE, FULL), (FULL, BARE), (FULL, f"{BARE}F")])
def test_card_known_with_or_without_check_digit_is_not_loaded_again(account, user, known, written):
    SmartCard.objects.create(iccid=known, account=account, imported_at=NOW)

    row = begin(account, user, f"{written}\n{ONE}")
    load(row, user)

    sentence = f"Это карта {known}: номера отличаются только контрольной цифрой. Уже на складе."
    assert remarks(row, RemarkKind.KNOWN) == [(1, sentence)]
    assert stock() == sorted([known, ONE])


def test_exact_card_comes_before_the_one_with_check_digit(account, user):
    for iccid in (BARE, FULL):
        SmartCard.objects.create(iccid=iccid, account=account, imported_at=NOW)

    row = begin(account, user, BARE)

    assert remarks(row, RemarkKind.KNOWN) == [(1, "Уже на складе.")]


def test_telephone_number_of_another_card_is_refused(user):
    account = make_account()
    SmartCard.objects.create(iccid=THREE, msisdn=PHONE, account=account, imported_at=NOW)
    free = "79120000099"
    data = f"ICCID;Телефон\n{ONE};{PHONE}\n{FULL};{free}\n{MIDDLE};{free}\n"

    row = load(begin(account, user, data), user, skip_errors=True)

    assert remarks(row, RemarkKind.ERROR) == [
        (2, f"Этот номер записан у другой смарт-карты: {THREE}."),
        (4, f"Этот номер записан у другой смарт-карты: {FULL}."),
    ]
    assert stock() == sorted([THREE, FULL])


def test_number_that_could_mean_two_cards_is_refused_in_words(account, user):
    longer = f"{MIDDLE}{luhn.calc_check_digit(MIDDLE)}"
    for iccid in (MIDDLE[:-1], longer):
        SmartCard.objects.create(iccid=iccid, account=account, imported_at=NOW)

    row = begin(account, user, MIDDLE)

    assert row.good == 0
    sentence = (
        f"Не понять, какая это карта: номер похож на {MIDDLE[:-1]} и {longer}. "
        "Впишите его так, как он записан у нас."
    )
    assert remarks(row, RemarkKind.ERROR) == [(1, sentence)]


# --- the load ---------------------------------------------------------------------------------------


def test_cards_come_into_stock_with_their_numbers_and_labels(account, user):
    row = load(begin(account, user, f"{ONE};{PHONE};Касса\n{THREE}"), user)

    kept = SmartCard.objects.order_by("pk").values_list(
        "iccid", "msisdn", "label", "account", "confirmed", "imported_at"
    )
    assert list(kept) == [
        (ONE, PHONE, "Касса", account.pk, "new", NOW),
        (THREE, "", "", account.pk, "new", NOW),
    ]
    assert SmartCard.objects.filter(merchant=None, handed_at=None).count() == 2
    assert (row.state, row.added, row.file) == (ImportState.LOADED, 2, None)


def test_load_is_written_down_once(account, user):
    load(begin(account, user, f"{ONE}\n{THREE}"), user)

    event = AuditEvent.objects.get()
    assert event.target == "operatoraccount"
    assert event.target_id == account.pk
    assert event.action == "stock_imported"
    assert event.text == "На склад поступило: 2\u00a0смарт-карты"
    assert event.actor_name == "Вера"
    assert event.at == NOW


def test_row_with_an_error_stops_the_whole_load(account, user):
    row = begin(account, user, f"{ONE}\nbad")

    with pytest.raises(StockRefused) as caught:
        load(row, user)

    assert caught.value.sentence == (
        "В файле есть ошибки. Исправьте файл или отметьте, что строки с ошибками не нужны."
    )
    assert stock() == []
    assert not AuditEvent.objects.exists()


def test_rows_with_errors_are_skipped_where_staff_say_so(account, user):
    row = load(begin(account, user, f"{ONE}\nbad"), user, skip_errors=True)

    assert row.added == 1
    assert stock() == [ONE]


@pytest.mark.parametrize(
    ("accepted", "loaded"),
    [
        ((), [ONE]),
        ((RemarkKind.NUMBER,), [BARE, ONE]),
        ((RemarkKind.OPERATOR,), [ONE, BEELINE]),
        ((RemarkKind.NUMBER, RemarkKind.OPERATOR), [BARE, ONE, BEELINE, BEELINE_MISPRINTED]),
    ],
)
def test_doubtful_cards_are_loaded_only_where_accepted(account, user, accepted, loaded):
    row = begin(account, user, "\n".join([ONE, BARE, BEELINE, BEELINE_MISPRINTED]))

    load(row, user, accepted=accepted)

    assert stock() == sorted(loaded)


def test_nothing_to_load_is_refused(account, user):
    row = begin(account, user, BARE)

    with pytest.raises(StockRefused) as caught:
        load(row, user)

    assert caught.value.sentence == "Загружать нечего: ни одной новой смарт-карты не выбрано."


def test_same_list_again_changes_nothing(account, user):
    load(begin(account, user, f"{ONE};{PHONE};Касса\n{THREE}"), user)

    again = begin(account, user, f"{ONE};79990000000;Другая\n{THREE}")

    assert again.good == 0
    assert remarks(again, RemarkKind.KNOWN) == [(1, "Уже на складе."), (2, "Уже на складе.")]
    assert SmartCard.objects.filter(msisdn=PHONE, label="Касса").count() == 1


def test_card_that_came_between_check_and_load_is_left_alone(account, user):
    row = begin(account, user, f"{ONE}\n{THREE}")
    SmartCard.objects.create(iccid=ONE, account=account, label="Раньше", imported_at=NOW)

    load(row, user)

    assert row.added == 1
    assert SmartCard.objects.get(iccid=ONE).label == "Раньше"


def test_load_asked_for_twice_is_one(account, user):
    row = load(begin(account, user, ONE), user)

    again = importing.request_load(
        import_id=row.pk, skip_errors=False, accepted=(), by=staff_actor(user), at=NOW
    )

    assert again.state == ImportState.LOADED
    assert AuditEvent.objects.count() == 1


def test_form_sent_twice_is_one_import(account, user):
    key = uuid.uuid4()

    first, second = begin(account, user, ONE, key), begin(account, user, ONE, key)
    other_file = begin(account, user, THREE, key)

    assert second.pk == first.pk
    assert other_file.pk != first.pk
    assert StockImport.objects.count() == 2


# --- long files -------------------------------------------------------------------------------------


@pytest.fixture
def in_batches(monkeypatch):
    monkeypatch.setattr(importing, "BATCH", 7)
    monkeypatch.setattr(importing, "SHORT_LINES", 20)


def test_long_file_waits_for_a_worker(account, user, in_batches):
    data = "\n".join(numbered(index) for index in range(50))

    row = begin(account, user, data)
    before = row.state
    import_stock(import_id=row.pk)
    row.refresh_from_db()
    checked, good, total, done = row.state, row.good, row.total, row.done
    load(row, user)
    loading = row.state
    import_stock(import_id=row.pk)
    row.refresh_from_db()

    assert [before, checked, loading, row.state] == ["checking", "checked", "loading", "loaded"]
    assert {"good": good, "total": total, "done": done} == {"good": 50, "total": 50, "done": 50}
    assert row.added == 50
    assert len(stock()) == 50


def test_sweep_finds_a_file_whose_message_was_lost(account, user, in_batches):
    row = begin(account, user, "\n".join(numbered(index) for index in range(50)))
    enqueued()

    sweep()

    assert enqueued() == [("smartcards.import_stock", {"import_id": row.pk})]


def test_interrupted_load_goes_on_where_it_stopped(account, user, in_batches):
    row = load(begin_checked(account, user, 50), user)
    first = [numbered(index) for index in range(14)]
    SmartCard.objects.bulk_create(
        SmartCard(iccid=iccid, account=account, imported_at=NOW) for iccid in first
    )
    StockImport.objects.filter(pk=row.pk).update(done=14, added=14, attempts=1)

    import_stock(import_id=row.pk)
    row.refresh_from_db()

    assert (row.state, row.added) == (ImportState.LOADED, 50)
    assert AuditEvent.objects.get().text == "На склад поступило: 50\u00a0смарт-карт"


def test_interrupted_check_begins_anew(account, user, in_batches):
    row = begin(account, user, "\n".join(numbered(index) for index in range(50)))
    StockImport.objects.filter(pk=row.pk).update(done=14, total=50, attempts=1)

    import_stock(import_id=row.pk)
    row.refresh_from_db()

    assert (row.state, row.good) == (ImportState.CHECKED, 50)


def test_file_that_fails_again_and_again_is_given_up(account, user, in_batches):
    row = load(begin_checked(account, user, 50), user)
    StockImport.objects.filter(pk=row.pk).update(done=14, added=14, attempts=MAX_ATTEMPTS)

    import_stock(import_id=row.pk)
    row.refresh_from_db()

    assert row.state == ImportState.REFUSED
    assert row.refusal == (
        "Файл не удалось обработать. Разделите его на части или сообщите разработчикам."
    )
    assert AuditEvent.objects.get().text == "На склад поступило: 14\u00a0смарт-карт"


def begin_checked(account, user, number):
    row = begin(account, user, "\n".join(numbered(index) for index in range(number)))
    importing.work(import_id=row.pk, at=NOW)
    row.refresh_from_db()
    return row


@pytest.mark.django_db(transaction=True)
def test_only_one_file_is_worked_on_at_a_time():
    account, user = make_account(adapter="tmf640"), make_user()
    row = begin(account, user, ONE)
    importing.request_load(
        import_id=row.pk, skip_errors=False, accepted=(), by=staff_actor(user), at=NOW
    )
    states = []

    def second():
        importing.work(import_id=row.pk, at=NOW)
        states.append(StockImport.objects.get().state)
        connection.close()

    with importing.advisory_lock.only_one("stock_import"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(20)
    importing.work(import_id=row.pk, at=NOW)

    assert states == ["loading"]
    assert StockImport.objects.get().state == "loaded"
    assert stock() == [ONE]


# --- what is kept -----------------------------------------------------------------------------------


def test_files_that_nobody_loads_are_deleted_after_a_day(account, user):
    checked = begin(account, user, ONE)
    loaded = load(begin(account, user, THREE), user)

    importing.purge(at=NOW + timedelta(days=1))
    both = StockImport.objects.count()
    importing.purge(at=NOW + timedelta(days=1, seconds=1))
    after_a_day = list(StockImport.objects.values_list("pk", flat=True))
    importing.purge(at=NOW + timedelta(days=30, seconds=1))

    assert both == 2
    assert checked.pk not in after_a_day
    assert after_a_day == [loaded.pk]
    assert StockImport.objects.count() == 0


def test_file_is_discarded_only_while_it_waits_for_a_person(account, user):
    checked, loaded = begin(account, user, ONE), load(begin(account, user, THREE), user)

    gone = importing.discard(import_id=checked.pk, by=staff_actor(user), at=NOW)
    stays = importing.discard(import_id=loaded.pk, by=staff_actor(user), at=NOW)

    assert {"checked": gone, "loaded": stays} == {"checked": True, "loaded": False}
    assert StockImport.objects.get() == loaded


@pytest.mark.parametrize(
    ("constraint", "fields"),
    [
        ("stock_import_state_known", {"state": "new", "file": None}),
        ("stock_import_file_until_over", {"file": None}),
        ("stock_import_file_until_over", {"state": "loaded"}),
        ("stock_import_refused_has_reason", {"refusal": "Файл пустой."}),
        ("stock_import_refused_has_reason", {"state": "refused", "file": None}),
        ("key", {}),
    ],
)
def test_database_refuses_an_import_that_cannot_be(account, constraint, fields):
    usual = {
        "key": uuid.UUID(int=1),
        "account": account,
        "file_name": "cards.csv",
        "file": b"1",
        "created_at": NOW,
        "changed_at": NOW,
    }
    if constraint == "key":
        StockImport.objects.create(**usual)

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        StockImport.objects.create(**usual | fields)


# --- pages of the admin -----------------------------------------------------------------------------

URL = "admin:smartcards_smartcard_import"


@pytest.fixture
def staff(client, user):
    wanted = ["add_smartcard", "view_smartcard", "change_smartcard"]
    user.user_permissions.set(Permission.objects.filter(codename__in=wanted))
    client.force_login(user)
    return client


def send(client, account, data="", **fields):
    sent = {"account": account.pk if account else "", "key": uuid.uuid4()} | fields
    if data:
        sent["file"] = SimpleUploadedFile(
            "cards.csv", data if isinstance(data, bytes) else data.encode()
        )
    return client.post(reverse(URL), sent)


def text(answer):
    return answer.content.decode().replace("\u00a0", " ").replace("&nbsp;", " ")


def test_checked_file_is_loaded_by_one_button(staff, account):
    sent = send(staff, account, f"{ONE}\n{THREE}")
    checked = text(staff.get(sent.url))
    before = stock()

    loaded = staff.post(sent.url, {"do": "load"})
    page = text(staff.get(loaded.url))

    assert before == []
    assert "Проверено, ещё не загружено" in checked
    assert "Годных: <b>2 смарт-карты</b>" in checked
    assert "Поступило на склад: <b>2 смарт-карты</b>" in page
    assert stock() == [THREE, ONE]
    assert AuditEvent.objects.get().actor_name == "Вера"


def test_ticks_stand_under_the_warnings_they_are_about(staff, account):
    sent = send(staff, account, f"{ONE}\n{BARE}\n{BEELINE}\nbad")

    page = text(staff.get(sent.url))
    staff.post(sent.url, {"do": "load", "accepted": ["operator"], "skip_errors": "on"})

    assert page.count('name="accepted" value="number"') == 1
    assert page.count('name="accepted" value="operator"') == 1
    assert page.count('name="skip_errors"') == 1
    assert stock() == [ONE, BEELINE]


def test_refused_load_keeps_its_ticks(staff, account):
    sent = send(staff, account, f"{ONE}\n{BARE}\nbad")

    page = text(staff.post(sent.url, {"do": "load", "accepted": ["number"]}))

    assert "В файле есть ошибки. Исправьте файл" in page
    assert 'value="number" checked' in page
    assert stock() == []


def test_encoding_is_chosen_on_the_page(staff, account):
    sent = send(staff, account, f"iccid;;label\n{ONE};;Касса".encode("cp866"))
    asked = text(staff.get(sent.url))

    refused = text(staff.post(sent.url, {"do": "encoding", "encoding": "ebcdic"}))
    chosen = staff.post(sent.url, {"do": "encoding", "encoding": "cp866"})
    checked = text(staff.get(chosen.url))

    assert 'value="cp866" checked' in asked
    assert f"{ONE};;Касса" in asked
    assert "Как читается файл?" in refused
    assert "Кодировка: DOS (866)" in checked


def test_fifty_remarks_are_shown_and_all_are_downloadable(staff, account):
    sent = send(staff, account, "\n".join(["bad"] * 60))

    shown = text(staff.get(sent.url))
    taken = staff.get(f"{sent.url}remarks/")

    assert shown.count("<td>bad</td>") == 50
    assert "И ещё 10 строк" in shown
    assert taken["Content-Disposition"] == 'attachment; filename="problems.csv"'
    assert len(taken.content.decode("utf-8-sig").splitlines()) == 61


def test_long_file_shows_its_progress_and_can_be_come_back_to(staff, account, in_batches):
    sent = send(staff, account, "\n".join(numbered(index) for index in range(50)))
    StockImport.objects.update(total=50, done=21)

    page, listed = text(staff.get(sent.url)), text(staff.get(reverse(URL)))
    live = text(staff.get(f"{sent.url}progress/?seen=checking"))
    other = text(staff.get(f"{sent.url}progress/?seen=loading"))

    assert "Проверяем: 42 %, 21 строка" in page
    assert f'data-refresh-url="{sent.url}progress/?seen=checking"' in page
    assert "Проверяем: 42 %, 21 строка" in live
    assert 'data-refresh-done="reload"' in other
    assert f'<a href="{sent.url}">cards.csv</a>' in listed


def test_pages_do_not_work_over_a_long_file(staff, account, in_batches):
    send(staff, account, "\n".join(numbered(index) for index in range(50)))

    assert StockImport.objects.get().attempts == 0
    assert stock() == []


def test_form_sent_twice_leads_to_one_import(staff, account):
    key = uuid.uuid4()

    first, second = (send(staff, account, ONE, key=key) for _ in range(2))
    loads = [staff.post(first.url, {"do": "load"}) for _ in range(2)]

    assert first.url == second.url
    assert {answer.url for answer in loads} == {first.url}
    assert stock() == [ONE]
    assert AuditEvent.objects.count() == 1


def test_discarded_file_is_gone(staff, account):
    sent = send(staff, account, ONE)

    answer = staff.post(sent.url, {"do": "discard"})

    assert answer.url == reverse(URL)
    assert staff.get(sent.url).status_code == 404


@pytest.mark.parametrize(
    ("data", "fields", "errors"),
    [
        ("", {}, {"file": ["Выберите файл."]}),
        (ONE, {"without": "account"}, {"account": ["Выберите оператора."]}),
        (ONE, {"key": "x"}, {"key": ["Откройте эту страницу заново."]}),
        (
            b"%PDF-1.4",
            {},
            {"file": ["Это документ PDF, а нужен файл CSV: «Сохранить как» → «CSV UTF-8»."]},
        ),
    ],
)
def test_form_that_cannot_be_taken_says_why(staff, account, data, fields, errors):
    page = send(staff, None if fields.get("without") else account, data, **fields)

    assert page.context["form"].errors == errors
    assert not StockImport.objects.exists()


def test_empty_file_is_reported_as_empty(staff, account):
    page = send(staff, account, file=SimpleUploadedFile("cards.csv", b""))

    assert page.context["form"].errors == {"file": ["Файл пустой."]}


@pytest.mark.parametrize("codename", ["view_smartcard", "change_smartcard"])
def test_staff_without_the_right_do_not_load(client, user, account, codename):
    row = begin(account, user, ONE)
    user.user_permissions.set(Permission.objects.filter(codename=codename))
    client.force_login(user)
    own = reverse(f"{URL}_one", args=[row.pk])

    answers = [
        send(client, account, THREE),
        client.get(own),
        client.post(own, {"do": "load"}),
        client.get(reverse(f"{URL}_remarks", args=[row.pk])),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403, 403]
    assert stock() == []


def test_visitor_is_sent_to_sign_in(client, account):
    assert send(client, account, ONE).status_code == 302
    assert not StockImport.objects.exists()
