"""One telephone number is one card in use; what stands twice already is found by a command."""

import threading
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from stdnum import luhn

from cabinet.models import Alert, AuditEvent
from operators.ports import Reading, SimState
from smartcards import queries, replacement, rules, services
from smartcards.admin.forms import NumberForm
from smartcards.dispatch import state_sync
from smartcards.models import SmartCard
from smartcards.reconciliation import discrepancy_actions, duplicates, reconcile
from smartcards.reconciliation.duplicates import SharedNumber
from smartcards.rules import CardRefused
from smartcards.states import OperatorState, WithdrawalReason
from smartcards.tests.cards import NOW, OWNER, STAFF, make_account, make_card, make_merchant
from smartcards.tests.dispatch_setup import Stand, standing

pytestmark = pytest.mark.django_db

PHONE, OTHER_PHONE = "79120000001", "79120000002"
ICCID = "8970102000000000008"
WITHDRAWN = {
    "withdrawn_at": NOW,
    "withdrawn_because": WithdrawalReason.LOST,
    "desired_on": False,
}


def write(card, msisdn=PHONE):
    discrepancy_actions.write_number(card=card, msisdn=msisdn, reason="", by=STAFF, at=NOW)


def accept(card):
    discrepancy_actions.accept_number(card=card, reason="звонил оператор", by=STAFF, at=NOW)


def refusal_of(action, card):
    with pytest.raises(CardRefused) as refusal:
        action(card)
    return refusal.value.sentence


def by_iccid():
    """A contract whose operator needs no telephone number."""
    return make_account("partner", adapter="tmf640", title="Партнёр")


# --- a number is written --------------------------------------------------------------------------


def test_number_of_a_card_in_use_is_refused():
    bearer, card = make_card(msisdn=PHONE), make_card(msisdn="")

    assert refusal_of(write, card) == rules.number_is_taken(bearer.iccid)
    assert rules.number_is_taken("1") == "Этот номер записан у другой смарт-карты: 1."


def test_number_of_a_retired_card_is_free():
    make_card(msisdn=PHONE, confirmed=OperatorState.RETIRED)
    written, read = make_card(msisdn=""), make_card(msisdn="", account=by_iccid())

    state_sync.record_reading(read, Reading(SimState.NEW, msisdn=PHONE), at=NOW)
    SmartCard.objects.filter(pk=read.pk).update(confirmed=OperatorState.RETIRED)
    write(written)

    assert SmartCard.objects.filter(msisdn=PHONE).count() == 3


def test_reported_number_of_another_card_is_not_accepted():
    bearer = make_card(msisdn=OTHER_PHONE)
    card = make_card(make_merchant(), msisdn=PHONE, seen_msisdn=OTHER_PHONE)

    assert refusal_of(accept, card) == rules.number_is_taken(bearer.iccid)


def test_operator_by_iccid_may_report_number_of_another_card():
    account = by_iccid()
    make_card(account=account, msisdn=OTHER_PHONE)
    card = make_card(make_merchant(), account=account, msisdn=PHONE, seen_msisdn=OTHER_PHONE)

    accept(card)

    card.refresh_from_db()
    assert card.msisdn == OTHER_PHONE


def test_reported_number_is_accepted_as_we_write_numbers():
    card = make_card(make_merchant(), msisdn=PHONE, seen_msisdn="9120000002")

    accept(card)

    card.refresh_from_db()
    assert card.msisdn == OTHER_PHONE


@pytest.mark.parametrize("reported", ["+7 912 000-00-01", "8 (912) 000-00-01", "9120000001"])
def test_reported_number_is_kept_as_we_write_numbers(reported):
    card = make_card(make_merchant(), msisdn=PHONE)

    state_sync.record_reading(card, Reading(SimState.NEW, msisdn=reported), at=NOW)

    card.refresh_from_db()
    assert card.seen_msisdn == PHONE


@pytest.mark.django_db(transaction=True)
def test_number_is_not_read_while_somebody_writes_numbers():
    card = make_card(msisdn="")
    held, done = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            services.lock_numbers()
            held.set()
            done.wait(10)
        connection.close()

    aside = threading.Thread(target=hold)
    aside.start()
    held.wait(10)
    with transaction.atomic():
        state_sync.record_reading(card, Reading(SimState.NEW, msisdn=PHONE), at=NOW)
    done.set()
    aside.join(10)

    card.refresh_from_db()
    assert card.msisdn == ""
    assert card.seen_msisdn == PHONE
    assert card.read_due_at is None


@pytest.mark.django_db(transaction=True)
def test_two_staff_write_one_number_at_once_and_one_gets_it():
    cards = [make_card(msisdn=""), make_card(msisdn="")]
    together = threading.Barrier(2)
    refused = []

    def write_aside(card):
        together.wait(10)
        try:
            write(card)
        except CardRefused as refusal:
            refused.append(refusal.sentence)
        connection.close()

    people = [threading.Thread(target=write_aside, args=[card]) for card in cards]
    for person in people:
        person.start()
    for person in people:
        person.join(10)

    [bearer] = SmartCard.objects.filter(msisdn=PHONE)
    assert refused == [rules.number_is_taken(bearer.iccid)]


def test_number_of_a_withdrawn_card_moves_to_the_new_one():
    old = make_card(make_merchant(), msisdn=PHONE, confirmed=OperatorState.INACTIVE)
    replacement.withdraw(card=old, because=WithdrawalReason.LOST, by=OWNER, at=NOW)
    fresh = make_card(msisdn="")

    write(old, "")
    write(fresh)

    journal = AuditEvent.objects.filter(action="number_written").order_by("pk")
    assert [(row.target_id, row.text, row.details) for row in journal] == [
        (old.pk, "У смарт-карты больше нет номера", {"before": PHONE, "after": ""}),
        (fresh.pk, "Записан номер смарт-карты", {"before": "", "after": PHONE}),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"confirmed": OperatorState.INACTIVE},
        {"confirmed": OperatorState.ACTIVE, **WITHDRAWN},
        {"confirmed": OperatorState.UNKNOWN, **WITHDRAWN},
    ],
    ids=["in use", "on", "not known to be off"],
)
def test_number_of_a_card_that_may_be_switched_stays(fields):
    card = make_card(make_merchant(), msisdn=PHONE, **fields)

    assert refusal_of(lambda one: write(one, ""), card) == (
        "Убрать номер можно только у отключённой смарт-карты, выведенной из работы."
    )


def test_form_of_the_number_takes_a_blank_one():
    form = NumberForm({"msisdn": " ", "reason": "номер на новой карте"})

    assert form.is_valid()
    assert form.cleaned_data == {"msisdn": "", "reason": "номер на новой карте"}


# --- a list of cards ------------------------------------------------------------------------------


def test_numbers_of_a_list_are_compared_with_cards_and_rows():
    account = make_account()
    known = make_card(msisdn=PHONE)
    make_card(msisdn="79120000003", confirmed=OperatorState.RETIRED)
    make_card(msisdn="79120000004", account=by_iccid())
    rows = [
        ("89701020000000001", PHONE),
        ("89701020000000002", OTHER_PHONE),
        ("89701020000000003", OTHER_PHONE),
        ("89701020000000004", "79120000003"),
        ("89701020000000005", "79120000004"),
        ("89701020000000006", ""),
        ("89701020000000007", ""),
        (known.iccid, PHONE),
        (f"{known.iccid}{luhn.calc_check_digit(known.iccid)}", PHONE),
    ]

    taken = queries.numbers_taken(account, rows)

    assert taken == {
        "89701020000000001": rules.number_is_taken(known.iccid),
        "89701020000000003": rules.number_is_taken("89701020000000002"),
    }


def test_operator_that_needs_no_number_takes_repeated_ones():
    account = by_iccid()
    make_card(account=account, msisdn=PHONE)

    assert queries.numbers_taken(account, [(ICCID, PHONE), (ICCID[:-1], PHONE)]) == {}


# --- two cards that bear one number already -------------------------------------------------------


@pytest.fixture
def mts(tmp_path: Path) -> Iterator[Stand]:
    with standing("mts", tmp_path) as stand:
        yield stand


def twin_of(card, **fields):
    """Another card in use under the same number."""
    return make_card(make_merchant("Сосед"), account=card.account, msisdn=card.msisdn, **fields)


def test_switch_off_that_would_close_another_shop_is_not_sent(mts):
    card = mts.card(state="active", desired_on=True)
    twin_of(card, confirmed=OperatorState.ACTIVE, desired_on=True)
    command = mts.deactivate(card)

    mts.work()

    command.refresh_from_db()
    assert command.state == "failed"
    assert command.code == "shared_msisdn"
    assert command.text == (
        "Этот номер записан и у другой смарт-карты, которая должна работать, поэтому оператору ничего "
        "не отправлено. Номер исправит наш сотрудник."
    )
    assert mts.effects(card) == []
    assert [alert.text for alert in Alert.objects.order_by("pk")] == [
        (
            "МТС: отказ «invalid» shared_msisdn. номер записан и у другой смарт-карты "
            "Этот номер записан и у другой карты, которая должна работать: оператор отключил бы её. Найдите "
            "обе карты по номеру и исправьте: «Записать номер…». Оператору ничего не отправлено, обмена с ним "
            "нет."
        )
    ]


def test_switch_off_leaves_by_itself_once_numbers_are_apart(mts):
    card = mts.card(state="active", desired_on=True)
    other = twin_of(card, confirmed=OperatorState.ACTIVE, desired_on=True)
    mts.deactivate(card)
    mts.work()

    too_early = reconcile.reconcile_all(at=mts.clock())
    write(other, OTHER_PHONE)
    after = reconcile.reconcile_all(at=mts.clock())
    mts.work()

    assert too_early == 0
    assert after == 1
    assert mts.effects(card) == ["deactivate"]


@pytest.mark.parametrize(
    "fields",
    [
        {"confirmed": OperatorState.ACTIVE, "desired_on": False},
        {"confirmed": OperatorState.RETIRED, "desired_on": True},
        {},
    ],
    ids=["not wanted", "retired", "new"],
)
def test_twin_that_need_not_work_holds_no_switch_off(mts, fields):
    card = mts.card(state="active", desired_on=True)
    twin_of(card, **fields)
    mts.deactivate(card)

    mts.work()

    assert mts.effects(card) == ["deactivate"]


def test_operator_by_iccid_switches_a_card_with_a_repeated_number():
    card = make_card(account=by_iccid(), msisdn=PHONE)
    twin_of(card, desired_on=True)

    assert queries.switches_another_card_off(card) is False


# --- what stands twice already --------------------------------------------------------------------


def find_duplicates():
    out = StringIO()
    call_command("find_duplicates", stdout=out)
    return out.getvalue()


def test_command_finds_nothing_in_clean_data():
    make_card(iccid=ICCID, msisdn="")
    make_card(iccid=f"{ICCID}5", msisdn="")
    make_card(msisdn=PHONE)
    make_card(msisdn=PHONE, confirmed=OperatorState.RETIRED)
    for _ in range(2):
        make_card(msisdn=OTHER_PHONE, account=by_iccid())

    assert find_duplicates() == "Повторов нет.\n"


def test_command_lists_duplicates_and_fails():
    whole = f"{ICCID}{luhn.calc_check_digit(ICCID)}"
    make_card(iccid=whole)
    make_card(iccid=ICCID)
    cards = [make_card(msisdn=PHONE) for _ in range(3)]
    out = StringIO()

    with pytest.raises(CommandError) as failed:
        call_command("find_duplicates", stdout=out)

    iccids = tuple(sorted(card.iccid for card in cards))
    assert str(failed.value) == "Повторов: 2."
    assert failed.value.returncode == 1
    assert duplicates.spelled_twice() == [(ICCID, whole)]
    assert duplicates.shared_numbers() == [SharedNumber("МТС", iccids)]
    assert out.getvalue().splitlines() == [
        f"Одна смарт-карта записана дважды: {ICCID} и {whole}.",
        f"Один номер у нескольких смарт-карт, МТС: {', '.join(iccids)}.",
    ]


def test_query_count_of_duplicates_does_not_grow(django_assert_num_queries):
    for _ in range(3):
        make_card(msisdn=PHONE)

    with django_assert_num_queries(3):
        duplicates.spelled_twice()
        duplicates.shared_numbers()
