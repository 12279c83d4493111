"""Госуслуги before a card is switched on: one state is taken, and what it stops or lets through."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cabinet.enums import Role
from cabinet.models import Alert
from operators.models import Exchange
from operators.ports import ErrorClass, Identity, IdentityState, Rejected, Sim, Unavailable
from smartcards import queries, texts
from smartcards.dispatch import outbox
from smartcards.models import SmartCard
from smartcards.presentation.card import Failure, card_page
from smartcards.states import CommandKind, CommandState, OperatorState
from smartcards.tests.cards import NOW, make_account, make_card, make_merchant
from smartcards.tests.dispatch_setup import Stand, standing

pytestmark = pytest.mark.django_db

STOPPED = {
    IdentityState.WAITING,
    IdentityState.REFUSED,
    IdentityState.MISMATCH,
    IdentityState.NOT_FOUND,
}


@pytest.fixture
def mts(tmp_path: Path) -> Iterator[Stand]:
    with standing("mts", tmp_path) as stand:
        yield stand


def sim_of(card: SmartCard) -> Sim:
    return Sim(card.iccid, card.msisdn)


def set_identity(stand: Stand, card: SmartCard, identity: str) -> None:
    """From now on the played operator says this of the card's owner."""
    stand.bench.put(sim_of(card), identity=identity)


@pytest.mark.parametrize("state", IdentityState)
def test_only_a_number_that_is_surely_not_confirmed_is_refused(state):
    expected = None
    if state in STOPPED:
        text = "номер не подтверждён на Госуслугах"
        expected = Rejected(ErrorClass.FORBIDDEN, f"identity:{state}", text)

    assert outbox.REFUSALS.get(state) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [(ErrorClass.RATE_LIMITED, None), (ErrorClass.TRANSIENT, Identity(IdentityState.UNKNOWN))],
)
def test_what_could_not_be_asked_refuses_nothing(error, expected):
    identity = outbox.identity_of(Unavailable(error, "", ""))

    assert identity == expected
    assert IdentityState.UNKNOWN not in outbox.REFUSALS


@pytest.mark.parametrize("state", sorted(STOPPED))
def test_each_identity_refusal_has_advice_for_merchant_and_staff(state):
    sentence = texts.failure("forbidden", f"identity:{state}")

    assert sentence.startswith(
        "Оператор не включит смарт-карту: номер не подтверждён на Госуслугах. "
    )
    assert "Что сделать: " in sentence
    assert len(sentence) <= 300
    assert texts.staff_advice("forbidden", f"identity:{state}").startswith("Госуслуги: ")


@pytest.mark.parametrize(
    ("card", "kind", "due"),
    [
        ({}, CommandKind.ACTIVATE, True),
        ({}, CommandKind.DEACTIVATE, False),
        ({"identity": "confirmed", "identity_at": NOW - timedelta(hours=23)}, "activate", False),
        ({"identity": "confirmed", "identity_at": NOW - timedelta(hours=24)}, "activate", True),
        ({"identity": "unknown", "identity_at": NOW - timedelta(hours=1)}, "activate", False),
        ({"identity": "refused", "identity_at": NOW - timedelta(minutes=1)}, "activate", True),
    ],
)
def test_confirmed_identity_lasts_a_day_and_refusal_is_rechecked(card, kind, due):
    row = make_card(make_merchant(), **card)

    assert outbox.asks_identity(row, CommandKind(kind), at=NOW) is due


def test_operator_without_identity_is_not_asked():
    account = make_account("partner", adapter="tmf640")

    row = make_card(make_merchant(), account=account)

    assert outbox.asks_identity(row, CommandKind.ACTIVATE, at=NOW) is False


@pytest.mark.parametrize(
    ("identity", "kept"),
    [
        ("Activated", "confirmed"),
        ("ActivatedPortIn", "confirmed"),
        ("NotRequired", "not_required"),
        ("Migration", "unknown"),
        ("SomethingNew", "unknown"),
    ],
)
def test_confirmed_or_unclear_identity_allows_activation_and_stores_state(mts, identity, kept):
    card = mts.card()
    set_identity(mts, card, identity)
    mts.activate(card)

    mts.work()
    mts.run(seconds=6)

    card.refresh_from_db()
    assert card.identity == kept
    assert card.confirmed == OperatorState.ACTIVE
    assert mts.effects(card) == ["activate"]


@pytest.mark.parametrize(
    ("identity", "state"),
    [
        ("WaitingForAcceptance", "waiting"),
        ("WaitingForCheck", "waiting"),
        ("Refusal", "refused"),
        ("MismatchOfData", "mismatch"),
        ("NotFoundInEsia", "not_found"),
        ("RequestNotFoundInEsia", "not_found"),
    ],
)
def test_unconfirmed_card_is_not_sent_and_reason_is_shown(mts, identity, state):
    card = mts.card()
    set_identity(mts, card, identity)
    command = mts.activate(card)

    mts.work()

    command.refresh_from_db()
    card.refresh_from_db()
    assert command.state == CommandState.FAILED
    assert command.error == "forbidden"
    assert command.code == f"identity:{state}"
    assert command.text == texts.failure("forbidden", f"identity:{state}")
    assert card.identity == state
    assert mts.calls(card)["submit"] == 0
    assert mts.effects(card) == []
    assert texts.staff_advice("forbidden", command.code) in Alert.objects.get().text


def test_unconfirmed_card_page_shows_identity_state_and_advice(mts):
    card = mts.card()
    set_identity(mts, card, "Refusal")
    mts.activate(card)
    mts.work()

    page = card_page(
        card=queries.cards_of(mts.merchant).get(),
        merchant=mts.merchant,
        role=Role.OWNER,
        at=mts.clock(),
    )

    assert page.failure == Failure(
        "Включить не удалось",
        texts.failure("forbidden", "identity:refused"),
        "Потом нажмите «Активировать» ещё раз.",
        None,
    )
    assert page.identity == "отказано"


def test_once_the_person_has_confirmed_the_next_click_goes_through(mts):
    card = mts.card()
    set_identity(mts, card, "WaitingForAcceptance")
    mts.activate(card)
    mts.work()

    set_identity(mts, card, "Activated")
    mts.activate(card)
    mts.run(seconds=1)
    mts.run(seconds=6)

    card.refresh_from_db()
    assert card.identity == "confirmed"
    assert card.confirmed == OperatorState.ACTIVE


@pytest.mark.parametrize("kind", ["http_500", "garbage", "drop_before", "half_body"])
def test_unreadable_identity_never_stops_a_switch(mts, kind):
    card = mts.card()
    mts.bench.fault("read", kind)
    mts.activate(card)

    mts.work()
    mts.run(seconds=6)

    card.refresh_from_db()
    assert card.identity == "unknown"
    assert card.confirmed == OperatorState.ACTIVE
    assert outbox.asks_identity(card, CommandKind.ACTIVATE, at=mts.clock()) is False


def test_deactivation_asks_nothing(mts):
    card = mts.card(state="active", desired_on=True)
    mts.deactivate(card)

    mts.work()
    mts.run(seconds=6)

    card.refresh_from_db()
    assert card.identity == ""
    assert mts.calls(card)["read"] == 0
    assert mts.effects(card) == ["deactivate"]


def test_nothing_personal_of_the_answer_is_kept_or_logged(mts, caplog):
    caplog.set_level("DEBUG")
    card = mts.card()
    mts.activate(card)

    mts.work()

    rows = Exchange.objects.filter(url__contains="PersonalDataInfo")
    assert list(rows.values_list("status", "reply")) == [
        (200, "HTTP 200\n\nПерсональные данные: ответ не сохраняется.")
    ]
    everything = "".join(f"{row.url}{row.request}{row.reply}" for row in rows) + caplog.text
    assert [
        identity
        for identity in ("Примеров", "Пример", "1970-01-01", "0000 000000", card.msisdn)
        if identity in everything
    ] == []
