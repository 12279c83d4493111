"""The database finds what the rule finds, and what does not differ or may not go costs nothing for each card."""

import time
from collections import Counter
from datetime import timedelta
from typing import NamedTuple

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from cabinet.models import Alert, Merchant
from smartcards import queries, rules, safety_brake
from smartcards.models import Brake, Command, Coverage, FairShare, SmartCard
from smartcards.reconciliation import out_of_step, reconcile
from smartcards.states import CommandState, OperatorState
from smartcards.tests.cards import (
    NOW,
    cover,
    make_account,
    make_card,
    make_command,
    make_live_subscription,
    make_merchant,
    make_module,
)
from smartcards.tests.locks import held_elsewhere, sweeping_elsewhere
from subscriptions.models import Subscription

pytestmark = pytest.mark.django_db


@pytest.fixture
def merchant():
    return make_merchant()


def cards_of_chain(merchant, number, *, paid=True, **fields):
    """So many cards that are desired on, and work where nothing else is said."""
    end = None if paid else NOW
    subscription = make_live_subscription(merchant, cards=number, entitled_until=end)
    values = {"confirmed": OperatorState.ACTIVE, "desired_on": True, **fields}
    cards = [make_card(merchant, **values) for _ in range(number)]
    for card in cards:
        cover(card, subscription, since=NOW - timedelta(days=1))
    return cards


# --- the rule in SQL ------------------------------------------------------------------------------

offsets = st.none() | st.sampled_from([-86_400 * 3, -3600, -601, -600, -1, 0, 1, 600, 601, 3600])
cards = st.fixed_dictionaries(
    {
        "confirmed": st.sampled_from(OperatorState),
        "block_reason": st.sampled_from(["", "voluntary", "debt", "imei"]),
        "desired_on": st.sampled_from([None, True, False]),
        "begins": offsets,
        "lasts": st.none() | st.sampled_from([0, 1, 600, 3600, 86_400 * 3]),
        "covered": st.sampled_from(["open", "closed", "no"]),
        "closed_ago": st.sampled_from([0, 3600, 86_399]),
        "command": st.none() | st.sampled_from(CommandState),
    }
)


def make_drawn(merchant, drawn) -> SmartCard:
    begins = None if drawn["begins"] is None else NOW + timedelta(seconds=drawn["begins"])
    ends = None
    if begins is not None and drawn["lasts"] is not None:
        ends = begins + timedelta(seconds=drawn["lasts"])
    paid_by = Subscription.objects.create(
        merchant=merchant,
        module=make_module(),
        external_id=f"drawn {Subscription.objects.count()}",
        created_at=NOW,
        entitled_from=begins,
        entitled_until=ends,
    )
    card = make_card(
        merchant,
        confirmed=drawn["confirmed"],
        block_reason=drawn["block_reason"],
        desired_on=drawn["desired_on"],
    )
    if drawn["covered"] != "no":
        till = None
        if drawn["covered"] == "closed":
            till = NOW - timedelta(seconds=drawn["closed_ago"])
        cover(card, paid_by, since=NOW - timedelta(days=30), till=till)
    if drawn["command"] is not None:
        make_command(card, state=drawn["command"])
    return card


class Found(NamedTuple):
    """Cards that somebody has a command for, by the kind of it."""

    kinds: dict[int, str]


@settings(max_examples=60)
@given(drawn=st.lists(cards, min_size=1, max_size=8))
def test_database_and_rule_find_the_same_commands(drawn):
    with transaction.atomic():
        merchant = make_merchant()
        for one in drawn:
            make_drawn(merchant, one)

        by_database = {
            card.pk: "activate" if card.desired_on and card.is_paid else "deactivate"
            for card in out_of_step.cards_out_of_step(NOW)
        }

        facts = {card.pk: queries.facts_of(card, NOW) for card in queries.cards_of(merchant)}
        by_rule = {
            pk: kind.value
            for pk, known in facts.items()
            if (kind := rules.next_command(known)) is not None
        }
        assert Found(by_database) == Found(by_rule)
        transaction.set_rollback(True)


@settings(max_examples=60)
@given(drawn=st.lists(cards, min_size=1, max_size=8))
def test_sweep_misses_only_uncovered_cards_that_were_never_covered(drawn):
    with transaction.atomic():
        merchant = make_merchant()
        for one in drawn:
            make_drawn(merchant, one)
        due = out_of_step.cards_out_of_step(NOW)

        by_index = {
            pk
            for where in out_of_step.where_cards_may_differ(NOW)
            for pk in due.filter(where).values_list("pk", flat=True)
        }

        known = Coverage.objects.values("card")
        never_entitled = Coverage.objects.filter(subscription__entitled_from=None).values("card")
        everything = due.filter(desired_on=False) | due.filter(pk__in=known)
        missed = set(everything.values_list("pk", flat=True)) - by_index
        assert missed <= set(never_entitled.values_list("card", flat=True))
        transaction.set_rollback(True)


def test_thorough_sweep_finds_a_card_that_was_never_covered(merchant):
    card = make_card(merchant, confirmed=OperatorState.ACTIVE, desired_on=True)

    found = [reconcile.reconcile_all(at=NOW), reconcile.reconcile_all(at=NOW, thorough=True)]

    assert found == [0, 1]
    assert Command.objects.get().card_id == card.pk


# --- what it costs --------------------------------------------------------------------------------


def queries_of(run) -> int:
    safety_brake.watch(at=NOW)  # makes the brake's row once
    with CaptureQueriesContext(connection) as made:
        run()
    return len(made)


@pytest.mark.parametrize(
    "fields",
    [
        {"confirmed": OperatorState.INACTIVE},
        {"desired_on": False},
        {"paid": False},
        {},
    ],
    ids=["to switch on", "switched off by a person", "unpaid", "nothing to do"],
)
def test_queries_do_not_grow_with_the_number_of_cards(fields):
    make_account(brake_cards=100, brake_percent=100)
    costs = []
    for number in (3, 30):
        company = make_merchant(f"ООО «{number}»")
        cards_of_chain(company, number, **fields)
        costs.append(
            queries_of(lambda pk=company.pk: reconcile.reconcile_merchant(merchant_id=pk, at=NOW))
        )

    assert costs[0] == costs[1]


def test_refused_cards_cost_no_query_each():
    costs = []
    for number in (3, 30):
        company = make_merchant(f"ООО «{number}»")
        for card in cards_of_chain(company, number, confirmed=OperatorState.INACTIVE):
            make_command(card, state=CommandState.FAILED, error="not_found", finished_at=NOW)
        costs.append(
            queries_of(lambda pk=company.pk: reconcile.reconcile_merchant(merchant_id=pk, at=NOW))
        )

    assert costs[0] == costs[1]
    assert not Command.objects.filter(state=CommandState.QUEUED).exists()


@pytest.mark.parametrize(
    "brake",
    [
        {"engaged_at": NOW, "engaged_because": "проверка"},
        {"tap_closed_at": NOW, "tap_closed_by": "Сергей", "tap_reason": "проверка"},
    ],
)
def test_cards_held_by_the_brake_are_not_found(merchant, brake):
    Brake.objects.create(pk=1, **brake)
    cards_of_chain(merchant, 3, paid=False)

    assert list(out_of_step.due_cards(NOW)) == []
    assert out_of_step.merchants_out_of_step(NOW) == set()


def test_brake_that_engages_ends_the_work_of_that_batch(merchant, monkeypatch):
    monkeypatch.setattr(reconcile, "BATCH_SIZE", 4)
    account = make_account(brake_cards=3, brake_percent=100)
    cards_of_chain(merchant, 12, paid=False, account=account)

    with CaptureQueriesContext(connection) as made:
        queued = reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW)

    locked = [
        one["sql"] for one in made if "FOR UPDATE" in one["sql"] and "smartcard" in one["sql"]
    ]
    assert queued == 3
    assert len([sql for sql in locked if "SKIP LOCKED" in sql]) == 1
    assert Brake.objects.get().engaged_because == "МТС: за час отключилось бы больше 3 смарт-карт"


def test_limit_of_each_contract_is_counted_apart():
    limited = make_account("limited", title="Первый", brake_cards=2, brake_percent=100)
    free = make_account("free", title="Второй", brake_cards=50, brake_percent=100)
    company = make_merchant()
    cards_of_chain(company, 4, paid=False, account=free)
    cards_of_chain(company, 4, paid=False, account=limited)

    reconcile.reconcile_merchant(merchant_id=company.pk, at=NOW)

    assert Counter(Command.objects.values_list("account__code", flat=True)) == {
        "free": 4,
        "limited": 2,
    }


def test_share_of_an_account_counts_as_before():
    account = make_account(brake_cards=50, brake_percent=20)
    company = make_merchant()
    cards_of_chain(company, 60, account=account)
    other = make_merchant("ИП Другой")
    cards_of_chain(other, 20, paid=False, account=account)

    reconcile.reconcile_all(at=NOW)

    assert Command.objects.count() == 80 * 20 // 100


# --- merchants in turn, one sweep at a time -------------------------------------------------------


def test_brake_that_engages_before_its_lock_holds_the_batch(merchant):
    cards_of_chain(merchant, 2, paid=False)
    Brake.objects.get_or_create(pk=1)

    def engaging(execute, sql, *arguments):
        if sql.endswith("FOR UPDATE") and "smartcards_brake" in sql:
            Brake.objects.update(engaged_at=NOW, engaged_because="МТС: слишком много")
        return execute(sql, *arguments)

    with connection.execute_wrapper(engaging):
        queued = reconcile.reconcile_all(at=NOW)

    assert Brake.objects.get().engaged_at == NOW
    assert queued == 0
    assert Command.objects.count() == 0


def test_small_merchant_is_not_behind_a_chain(monkeypatch):
    monkeypatch.setattr(reconcile, "BATCH_SIZE", 3)
    chain, kiosk = make_merchant("Сеть"), make_merchant("Киоск")
    cards_of_chain(chain, 5, confirmed=OperatorState.INACTIVE)
    [small] = cards_of_chain(kiosk, 1, confirmed=OperatorState.INACTIVE)

    reconcile.reconcile_all(at=NOW)

    order = list(Command.objects.order_by("pk").values_list("card", flat=True))
    assert order.index(small.pk) < 3


def test_time_budget_leaves_the_rest_to_the_next_sweep(merchant, monkeypatch):
    monkeypatch.setattr(reconcile, "SWEEP_SECONDS", 0.0)
    cards_of_chain(merchant, 3, confirmed=OperatorState.INACTIVE)

    in_no_time = reconcile.reconcile_all(at=NOW)
    monkeypatch.setattr(reconcile, "SWEEP_SECONDS", 20.0)
    by_the_next = reconcile.reconcile_all(at=NOW)

    assert in_no_time == 0
    assert by_the_next == 3


def test_wake_up_that_runs_out_of_time_is_sent_again(
    merchant, monkeypatch, django_capture_on_commit_callbacks
):
    monkeypatch.setattr(reconcile, "BATCH_SIZE", 1)
    monkeypatch.setattr(reconcile, "MERCHANT_SECONDS", 2.0)
    card, _ = cards_of_chain(merchant, 2, confirmed=OperatorState.INACTIVE)

    def slow(execute, sql, *arguments):
        if sql.startswith('INSERT INTO "smartcards_command"'):
            time.sleep(reconcile.MERCHANT_SECONDS)
        return execute(sql, *arguments)

    with connection.execute_wrapper(slow), django_capture_on_commit_callbacks() as woken:
        queued = reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW)

    assert queued == 1
    assert [(wake.args, wake.keywords) for wake in woken] == [
        (("smartcards.dispatch",), {"account_id": card.account_id}),
        (("smartcards.reconcile_merchant",), {"merchant_id": merchant.pk}),
    ]


def test_turns_of_several_merchants_are_given_in_one_statement():
    account = make_account()
    rows = []
    for name, number in (("А", 2), ("Б", 3)):
        rows += cards_of_chain(make_merchant(name), number, account=account, confirmed="inactive")

    reconcile.reconcile_all(at=NOW)
    Command.objects.update(state=CommandState.CANCELLED, finished_at=NOW)
    reconcile.reconcile_all(at=NOW)

    turns = Command.objects.order_by("card", "pk").values_list("card__merchant__name", "turn")
    by_merchant = {"А": [], "Б": []}
    for name, turn in turns:
        by_merchant[name].append(turn)
    assert {name: sorted(found) for name, found in by_merchant.items()} == {
        "А": [1, 2, 3, 4],
        "Б": [1, 2, 3, 4, 5, 6],
    }


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("sweep", [reconcile.reconcile_all, reconcile.reconcile_just_ended])
def test_second_sweep_at_a_time_does_nothing(sweep):
    cards_of_chain(make_merchant(), 2, paid=False)

    with sweeping_elsewhere(f"smartcards.{sweep.__name__}"):
        beside = sweep(at=NOW)
    after = sweep(at=NOW)

    assert beside == 0
    assert after == 2


@pytest.mark.django_db(transaction=True)
def test_card_held_by_somebody_else_waits_for_the_next_sweep():
    company = make_merchant()
    held, *others = cards_of_chain(company, 3, confirmed=OperatorState.INACTIVE)

    with held_elsewhere(SmartCard.objects.filter(pk=held.pk)):
        meanwhile = reconcile.reconcile_merchant(merchant_id=company.pk, at=NOW)
    after = reconcile.reconcile_merchant(merchant_id=company.pk, at=NOW)

    assert meanwhile == len(others)
    assert after == 1


@pytest.mark.django_db(transaction=True)
def test_held_queue_is_no_fault_of_its_cards(monkeypatch):
    monkeypatch.setattr(reconcile, "_LOCK_PATIENCE", 0.1)
    company = make_merchant()
    cards_of_chain(company, 2, confirmed=OperatorState.INACTIVE)
    reconcile.reconcile_merchant(merchant_id=company.pk, at=NOW)
    Command.objects.update(state=CommandState.CANCELLED, finished_at=NOW)

    with held_elsewhere(FairShare.objects.all()):
        meanwhile = reconcile.reconcile_merchant(merchant_id=company.pk, at=NOW)
    after = reconcile.reconcile_merchant(merchant_id=company.pk, at=NOW)

    assert meanwhile == 0
    assert after == 2
    assert list(Alert.objects.order_by("pk")) == []


@pytest.mark.django_db(transaction=True)
def test_unchanged_merchant_waits_for_nobody_who_holds_it():
    company = make_merchant()
    cards_of_chain(company, 2)

    with held_elsewhere(Merchant.objects.filter(pk=company.pk)):
        queued = reconcile.reconcile_merchant(merchant_id=company.pk, at=NOW)

    assert queued == 0
