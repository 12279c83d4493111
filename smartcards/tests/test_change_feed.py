"""Reading an operator's list of changes: pages, crashes, strangers' cards, and who goes first."""

import logging
import time
from dataclasses import fields
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.conf import settings as django_settings
from django.core.cache import cache

from cabinet.actors import SYSTEM
from cabinet.models import Alert, AuditEvent
from operators.connections import connect
from operators.limits import breaker, quota
from operators.models import OperatorAccount
from operators.ports import (
    BlockReason,
    Changes,
    ErrorClass,
    OurCode,
    Reading,
    Sim,
    SimState,
    Unavailable,
)
from operators.services import note_new_keys
from operators.tests.sandbox_operator import own_clock, running
from smartcards import queries, services
from smartcards.dispatch import change_feed, polling, worker
from smartcards.dispatch.change_feed import RecordedPage
from smartcards.models import SmartCard
from smartcards.reconciliation import reconcile
from smartcards.states import CommandState, OperatorState, StateSource
from smartcards.tests.cards import (
    NOW,
    OWNER,
    cover,
    make_account,
    make_card,
    make_command,
    make_live_subscription,
    make_merchant,
)
from smartcards.tests.dispatch_setup import Drained, MovedClock
from smartcards.tests.listing import SCRIPT, Script

__all__ = ["own_clock"]

pytestmark = pytest.mark.django_db

OFF = Reading(SimState.INACTIVE, BlockReason.DEBT, msisdn="79105550099", imei="356938035643809")
ON = Reading(SimState.ACTIVE)


def now():
    return NOW


@pytest.fixture(autouse=True)
def _fresh(settings):
    settings.OPERATORS = settings.OPERATORS | {"listing": "smartcards.tests.listing.Listing"}
    quota.client(django_settings.REDIS_URL).flushdb()
    cache.clear()
    blank = Script()
    for one in fields(Script):
        setattr(SCRIPT, one.name, getattr(blank, one.name))


@pytest.fixture
def account() -> OperatorAccount:
    return make_account("listing", adapter="listing", changes_since=NOW - timedelta(hours=1))


@pytest.fixture
def merchant():
    return make_merchant()


def known(card: SmartCard) -> dict[str, object]:
    card.refresh_from_db()
    return {
        "confirmed": (card.confirmed, card.block_reason, card.confirmed_from),
        "seen": (card.seen_msisdn, card.seen_imei),
        "read_at": card.read_at,
    }


def read_changes(account: OperatorAccount, clock, **fields) -> int:
    return change_feed.read_changes(connect(account), clock, **fields)


def since_of(account: OperatorAccount):
    return OperatorAccount.objects.get(pk=account.pk).changes_since


# --- pages -------------------------------------------------------------------------------------


def test_list_is_read_to_the_end_and_its_time_kept(account, merchant):
    cards = [make_card(merchant, account=account, confirmed=OperatorState.ACTIVE) for _ in range(3)]
    SCRIPT.pages = [[(cards[0].iccid, OFF)], [], [(cards[1].iccid, OFF)]]

    noted = read_changes(account, now)

    since = NOW - timedelta(hours=1, minutes=5)
    expected = {
        "confirmed": (OperatorState.INACTIVE, "debt", StateSource.READING),
        "seen": ("79105550099", "356938035643809"),
        "read_at": NOW,
    }
    assert noted == 2
    assert SCRIPT.asked == [(since, ""), (since, "1"), (since, "2")]
    assert [known(card) for card in cards[:2]] == [expected, expected]
    assert known(cards[2])["read_at"] is None
    assert since_of(account) == NOW


def test_very_first_list_goes_back_a_week(merchant):
    account = make_account("listing", adapter="listing")

    read_changes(account, now)

    assert SCRIPT.asked == [(NOW - timedelta(days=7, minutes=5), "")]
    assert since_of(account) == NOW


def test_list_is_not_asked_for_all_the_time(account):
    account.changes_since = NOW - timedelta(minutes=4, seconds=59)
    noted_early, asked_early = read_changes(account, now), list(SCRIPT.asked)

    account.changes_since = NOW - timedelta(minutes=5)
    read_changes(account, now)

    assert noted_early == 0
    assert asked_early == []
    assert [cursor for _, cursor in SCRIPT.asked] == [""]


def test_operator_without_a_list_is_not_asked(merchant):
    assert read_changes(make_account("mts"), now) == 0
    assert since_of(make_account("mts")) is None


def test_kept_time_is_the_beginning_of_the_reading(account, own_clock):
    clock = MovedClock()
    begun = clock()
    SCRIPT.pages = [[], []]

    def slowly() -> bool:
        clock.pass_(minutes=3)
        return False

    read_changes(account, clock, stop=slowly)

    kept = since_of(account)
    assert begun <= kept < begun + timedelta(minutes=1)


# --- what goes wrong ---------------------------------------------------------------------------


def test_broken_list_is_read_on_from_where_it_broke(account, merchant):
    cards = [make_card(merchant, account=account, confirmed=OperatorState.ACTIVE) for _ in range(3)]
    SCRIPT.pages = [[(card.iccid, OFF)] for card in cards]
    SCRIPT.fails_at = "1"

    noted, since = read_changes(account, now), since_of(account)
    SCRIPT.fails_at = None
    healed = read_changes(OperatorAccount.objects.get(pk=account.pk), now)

    assert noted == 1
    assert since == NOW - timedelta(hours=1)
    assert [cursor for _, cursor in SCRIPT.asked] == ["", "1", "1", "2"]
    assert healed == 2
    assert since_of(account) == NOW
    assert {known(card)["confirmed"][0] for card in cards} == {OperatorState.INACTIVE}


def test_lost_place_begins_the_list_again_and_changes_nothing_twice(account, merchant):
    card = make_card(merchant, account=account, confirmed=OperatorState.ACTIVE)
    SCRIPT.pages = [[(card.iccid, OFF)], []]
    SCRIPT.fails_at = "1"
    read_changes(account, now)
    cache.clear()
    SCRIPT.fails_at = None

    again = read_changes(account, now)

    assert again == 1
    assert [cursor for _, cursor in SCRIPT.asked] == ["", "1", "", "1"]
    assert AuditEvent.objects.filter(action="confirmed").count() == 1


def test_cursor_of_an_older_list_is_not_reused(account):
    SCRIPT.pages, SCRIPT.fails_at = [[], []], "1"
    read_changes(account, now)
    SCRIPT.fails_at = None
    account.changes_since = NOW - timedelta(minutes=30)

    read_changes(account, now)

    assert [cursor for _, cursor in SCRIPT.asked] == ["", "1", "", "1"]


def test_silent_operators_breaker_counts_and_stops_the_list(account):
    SCRIPT.fails_at = ""
    for _ in range(breaker.THRESHOLD + 2):
        read_changes(account, now)

    assert len(SCRIPT.asked) == breaker.THRESHOLD
    assert OperatorAccount.objects.get(pk=account.pk).broken_since is not None


def test_bad_row_does_not_hold_up_the_others(account, merchant, caplog):
    bad = make_card(merchant, account=account, confirmed=OperatorState.ACTIVE)
    good = make_card(merchant, account=account, confirmed=OperatorState.ACTIVE)
    too_long = Reading(SimState.INACTIVE, "a reason that fits into no column", msisdn="1")
    SCRIPT.pages = [[(bad.iccid, too_long), (good.iccid, OFF)]]

    with caplog.at_level(logging.ERROR):
        noted = read_changes(account, now)

    assert noted == 1
    assert f"Could not record a change of card {bad.pk}" in caplog.text
    assert known(bad)["confirmed"][0] == "active"
    assert known(good)["confirmed"][0] == "inactive"


def test_spent_quota_leaves_the_list_for_later(merchant):
    account = make_account(
        "listing", adapter="listing", per_minute=1, last_call_at=None, changes_since=None
    )
    quota.pause(account, 30)

    assert read_changes(account, now) == 0
    assert SCRIPT.asked == []
    assert since_of(account) is None


# --- whose cards -------------------------------------------------------------------------------


def test_list_updates_only_cards_of_its_contract(account, merchant):
    stock = make_card(None, account=account)
    foreign = make_card(merchant, account=make_account("mts"), confirmed=OperatorState.ACTIVE)
    ours = make_card(merchant, account=account)
    named = (stock.iccid, foreign.iccid, ours.iccid, "89990000000000000000")

    noted = change_feed.record(
        account, Changes(tuple((iccid, OFF) for iccid in named)), asked_at=NOW
    )

    assert noted == RecordedPage(recorded=2, deferred=0, unknown=2)
    assert [known(card)["read_at"] for card in (stock, foreign, ours)] == [NOW, None, NOW]


@pytest.mark.parametrize("state", [CommandState.QUEUED, CommandState.ACCEPTED])
def test_card_with_an_unfinished_command_is_read_later(account, merchant, state):
    card = make_card(merchant, account=account, confirmed=OperatorState.ACTIVE, read_at=NOW)
    SmartCard.objects.update(read_due_at=NOW)
    make_command(card, state=state)

    noted = change_feed.record(account, Changes(((card.iccid, OFF),)), asked_at=NOW)

    assert noted == RecordedPage(deferred=1)
    assert known(card) == {
        "confirmed": ("active", "", StateSource.REQUEST),
        "seen": ("", ""),
        "read_at": NOW,
    }
    assert card.read_due_at is None


def test_newer_word_is_not_overwritten_by_an_older_page(account, merchant):
    card = make_card(
        merchant,
        account=account,
        confirmed=OperatorState.ACTIVE,
        confirmed_at=NOW + timedelta(seconds=1),
    )

    noted = change_feed.record(account, Changes(((card.iccid, OFF),)), asked_at=NOW)

    assert noted == RecordedPage(deferred=1)
    assert known(card)["confirmed"][0] == OperatorState.ACTIVE


def test_list_with_states_only_is_no_reading(account, merchant):
    earlier = NOW - timedelta(days=2)
    card = make_card(
        merchant,
        account=account,
        confirmed=OperatorState.ACTIVE,
        seen_msisdn="79105550099",
        seen_imei="356938035643809",
        read_at=earlier,
    )

    change_feed.record(account, Changes(((card.iccid, Reading(SimState.INACTIVE)),)), asked_at=NOW)

    assert known(card) == {
        "confirmed": ("inactive", "", StateSource.READING),
        "seen": ("79105550099", "356938035643809"),
        "read_at": earlier,
    }


# --- in the worker -------------------------------------------------------------------------------


def test_worker_lets_what_is_due_go_before_each_page(account, merchant):
    card = make_card(merchant, account=account, confirmed=OperatorState.INACTIVE)
    cover(card, make_live_subscription(merchant))
    services.request_activation(card=card, by=OWNER, at=NOW)
    SCRIPT.pages = [[], []]

    done = worker.drain_account(account_id=account.pk, clock=now, reading=True, budget=5)

    assert SCRIPT.submitted == ["activate 0"]
    assert len(SCRIPT.asked) == 2
    assert done[0] == 1
    assert since_of(account) == NOW


def test_card_is_read_daily_despite_the_list(account, merchant):
    for due_in in (timedelta(hours=1), timedelta(0)):
        make_card(merchant, account=account, read_due_at=NOW + due_in)
        make_card(merchant, account=make_account("mts"), read_due_at=NOW + due_in)

    due = {
        code: len(polling.stale_cards(account=make_account(code), at=NOW, limit=9))
        for code in ("listing", "mts")
    }

    assert due == {"listing": 1, "mts": 1}


def test_plain_wake_up_asks_for_no_list(account):
    worker.drain_account(account_id=account.pk, clock=now, budget=5)

    assert SCRIPT.asked == []


def test_change_at_a_played_operator_is_found_by_its_list(tmp_path, own_clock, merchant):
    keys = {"username": "demo-user", "api_key": "demo-api-key"}
    clock = MovedClock()
    with running("control_center", keys, tmp_path / "sandbox.json") as bench:
        account = make_account(
            "cc",
            adapter="control_center",
            base_url=f"{bench.url}/operators/control_center",
            credentials=keys,
            concurrency=1,
            changes_since=clock() - timedelta(hours=1),
        )
        cards = [
            make_card(merchant, account=account, confirmed=OperatorState.ACTIVE) for _ in range(60)
        ]
        for card in cards:
            bench.put(Sim(card.iccid, card.msisdn), state="active")
        bench.put(Sim(cards[7].iccid, cards[7].msisdn), state="inactive")

        noted = read_changes(account, clock)

    states = list(SmartCard.objects.order_by("pk").values_list("confirmed", flat=True))
    assert noted == 60
    assert [number for number, state in enumerate(states) if state == "inactive"] == [7]


# --- keys that cannot be read ------------------------------------------------------------------


def test_contract_with_lost_keys_waits_and_alerts_staff(account, merchant, settings):
    OperatorAccount.objects.filter(pk=account.pk).update(credentials={"token": "тайна"})
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]

    done = worker.drain_account(account_id=account.pk, clock=now, reading=True, budget=5)

    assert done == Drained(sent=0, asked=0)
    assert SCRIPT.asked == []
    assert list(Alert.objects.values_list("key", "text", "closed_at")) == [
        (
            f"operator:account:{account.pk}:keys",
            "Ключи договора с оператором не читаются: команды ждут. Введите ключи заново.",
            None,
        )
    ]


def test_matter_of_lost_keys_is_settled_by_new_ones(account, settings):

    OperatorAccount.objects.filter(pk=account.pk).update(credentials={"token": "тайна"})
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]
    worker.drain_account(account_id=account.pk, clock=now, budget=5)

    note_new_keys(account_id=account.pk, by=SYSTEM, at=NOW)

    assert list(Alert.objects.values_list("closed_at", flat=True)) == [NOW]


def test_lost_keys_do_not_affect_reconcile_and_pages(account, settings):
    merchants = [make_merchant(), make_merchant()]
    for merchant, of in zip(merchants, (account, make_account("mts")), strict=True):
        card = make_card(merchant, account=of, confirmed=OperatorState.INACTIVE, desired_on=True)
        cover(card, make_live_subscription(merchant))
    OperatorAccount.objects.filter(pk=account.pk).update(credentials={"token": "тайна"})
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]

    queued = reconcile.reconcile_all(at=NOW)

    assert queued == 2
    assert {row.code for row in queries.readable_accounts()} == {"listing", "mts"}


# --- in turn, and without Redis ------------------------------------------------------------------


def test_list_waits_for_its_turn(account):
    begun = time.monotonic()
    quota.pause(account, 1)

    read_changes(account, now)

    assert [cursor for _, cursor in SCRIPT.asked] == [""]
    assert time.monotonic() - begun > 0.9


def test_list_is_not_requested_without_quota_server(account, settings, caplog):
    OperatorAccount.objects.filter(pk=account.pk).update(per_second=5)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    read_changes(OperatorAccount.objects.get(pk=account.pk), now)

    assert SCRIPT.asked == []
    assert "The quota of listing cannot be read, its list is not asked for" in caplog.messages


def test_list_is_read_without_the_place_that_only_saves_work(account, merchant, settings, caplog):
    card = make_card(merchant, account=account, confirmed=OperatorState.ACTIVE)
    SCRIPT.pages = [[], [(card.iccid, OFF)]]
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
        }
    }

    noted = read_changes(account, now)

    assert noted == 1
    assert since_of(account) == NOW
    assert "The position in the list of listing: ConnectionError" in caplog.messages


def test_wait_for_our_quota_does_not_count_against_the_operator(account):
    SCRIPT.fails_at = ""
    SCRIPT.error = Unavailable(ErrorClass.RATE_LIMITED, OurCode.QUOTA, "")

    noted = read_changes(account, now)

    account.refresh_from_db()
    assert noted == 0
    assert account.failures_in_a_row == 0
    assert account.changes_since == NOW - timedelta(hours=1)


@pytest.mark.parametrize(
    ("error", "seconds", "waits"),
    [
        (ErrorClass.RATE_LIMITED, 30.0, True),
        (ErrorClass.RATE_LIMITED, None, True),
        (ErrorClass.MAINTENANCE, 30.0, True),
        (ErrorClass.NOT_FOUND, 30.0, False),
    ],
)
def test_pause_that_the_operator_asks_for_is_kept_by_everybody(account, error, seconds, waits):
    SCRIPT.fails_at = ""
    SCRIPT.error = Unavailable(error, "429", "", retry_after=seconds)

    read_changes(account, now)

    assert (quota.seconds_to_wait(account) > 0) is waits


def test_worker_without_time_asks_for_no_list(account):
    worker.drain_account(account_id=account.pk, clock=now, reading=True, budget=0)

    assert SCRIPT.asked == []
