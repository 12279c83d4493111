"""Госуслуги before a card is switched on: one word is taken, and what it stops or lets through."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cabinet.models import Alert
from cabinet.states import Role
from operators.models import Exchange
from operators.ports import ErrorClass, Identity, IdentityState, Rejected, Sim
from smartcards import identity, phrases, queries
from smartcards.models import SmartCard
from smartcards.pages.card import Failure, card_page
from smartcards.states import CommandKind, CommandState, Confirmed
from smartcards.tests.cards import NOW, make_account, make_card, make_merchant
from smartcards.tests.stand import Stand, standing

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


def say(stand: Stand, card: SmartCard, word: str) -> None:
    """From now on the played operator says this of the card's owner."""
    stand.bench.put(sim_of(card), identity=word)


@pytest.mark.parametrize("state", IdentityState)
def test_only_a_number_that_is_surely_not_confirmed_is_refused(state):
    expected = None
    if state in STOPPED:
        text = "номер не подтверждён на Госуслугах"
        expected = Rejected(ErrorClass.FORBIDDEN, f"identity:{state}", text)

    assert identity.refusal_of(Identity(state)) == expected


def test_what_could_not_be_asked_refuses_nothing():
    assert identity.refusal_of(None) is None


@pytest.mark.parametrize("state", sorted(STOPPED))
def test_each_refusal_tells_the_merchant_and_staff_what_to_do_and_fits_the_journal(state):
    said = phrases.failure("forbidden", f"identity:{state}")

    assert said.startswith("Оператор не включит смарт-карту: номер не подтверждён на Госуслугах. ")
    assert "Что сделать: " in said
    assert len(said) <= 300
    assert phrases.staff_advice("forbidden", f"identity:{state}").startswith("Госуслуги: ")


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
def test_a_good_word_holds_for_a_day_and_a_bad_one_is_asked_about_again(card, kind, due):
    row = make_card(make_merchant(), **card)

    assert identity.is_due(row, CommandKind(kind), at=NOW) is due


def test_operator_that_tells_nothing_of_it_is_not_asked():
    account = make_account("partner", adapter="tmf640")

    row = make_card(make_merchant(), account=account)

    assert identity.is_due(row, CommandKind.ACTIVATE, at=NOW) is False


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("Activated", "confirmed"),
        ("ActivatedPortIn", "confirmed"),
        ("NotRequired", "not_required"),
        ("Migration", "unknown"),
        ("SomethingNew", "unknown"),
    ],
)
def test_card_with_a_good_or_unclear_word_is_switched_on_and_only_the_state_is_kept(
    mts, word, kept
):
    card = mts.card()
    say(mts, card, word)
    mts.activate(card)

    mts.work()
    mts.run(seconds=6)

    card.refresh_from_db()
    assert (card.identity, card.confirmed) == (kept, Confirmed.ACTIVE)
    assert mts.effects(card) == ["activate"]


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("WaitingForAcceptance", "waiting"),
        ("WaitingForCheck", "waiting"),
        ("Refusal", "refused"),
        ("MismatchOfData", "mismatch"),
        ("NotFoundInEsia", "not_found"),
        ("RequestNotFoundInEsia", "not_found"),
    ],
)
def test_card_that_is_not_confirmed_is_not_sent_and_the_merchant_reads_why(mts, word, state):
    card = mts.card()
    say(mts, card, word)
    command = mts.activate(card)

    mts.work()

    command.refresh_from_db()
    card.refresh_from_db()
    assert (command.state, command.error, command.code, command.text) == (
        CommandState.FAILED,
        "forbidden",
        f"identity:{state}",
        phrases.failure("forbidden", f"identity:{state}"),
    )
    assert (card.identity, mts.calls(card)["submit"], mts.effects(card)) == (state, 0, [])
    assert phrases.staff_advice("forbidden", command.code) in Alert.objects.get().text


def test_page_of_a_card_that_is_not_confirmed_says_what_to_do_and_the_state(mts):
    card = mts.card()
    say(mts, card, "Refusal")
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
        phrases.failure("forbidden", "identity:refused"),
        "Потом нажмите «Активировать» ещё раз.",
        None,
    )
    assert page.identity == "отказано"


def test_once_the_person_has_confirmed_the_next_click_goes_through(mts):
    card = mts.card()
    say(mts, card, "WaitingForAcceptance")
    mts.activate(card)
    mts.work()

    say(mts, card, "Activated")
    mts.activate(card)
    mts.run(seconds=1)
    mts.run(seconds=6)

    card.refresh_from_db()
    assert (card.identity, card.confirmed) == ("confirmed", Confirmed.ACTIVE)


@pytest.mark.parametrize("kind", ["http_500", "garbage", "drop_before", "half_body"])
def test_what_cannot_be_read_never_stops_a_switch_and_is_not_asked_again_for_a_day(mts, kind):
    card = mts.card()
    mts.bench.fault("read", kind)
    mts.activate(card)

    mts.work()
    mts.run(seconds=6)

    card.refresh_from_db()
    assert (card.identity, card.confirmed) == ("unknown", Confirmed.ACTIVE)
    assert identity.is_due(card, CommandKind.ACTIVATE, at=mts.clock()) is False


def test_deactivation_asks_nothing(mts):
    card = mts.card(state="active", wished_on=True)
    mts.deactivate(card)

    mts.work()
    mts.run(seconds=6)

    card.refresh_from_db()
    assert (card.identity, mts.calls(card)["read"], mts.effects(card)) == ("", 0, ["deactivate"])


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
        word
        for word in ("Примеров", "Пример", "1970-01-01", "0000 000000", card.msisdn)
        if word in everything
    ] == []
