"""What should be against what is, and the brake before every automatic switch-off."""

from collections import Counter
from datetime import timedelta
from itertools import product

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection, transaction

from cabinet.actors import SYSTEM
from cabinet.messaging import alerts
from cabinet.models import Alert, AuditEvent
from smartcards import commands, queries, rules, safety_brake
from smartcards.dispatch import outbox, worker
from smartcards.models import Brake, Command, CommandStep, SmartCard
from smartcards.reconciliation import out_of_step, reconcile
from smartcards.rules import CardRefused
from smartcards.states import AlertKind, CommandKind, CommandState, OperatorState, Origin
from smartcards.tests.cards import (
    NOW,
    STAFF,
    cover,
    make_account,
    make_card,
    make_command,
    make_live_subscription,
    make_merchant,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def merchant():
    return make_merchant()


def working(merchant, subscription, **fields):
    card = make_card(merchant, confirmed=OperatorState.ACTIVE, desired_on=True, **fields)
    cover(card, subscription, since=NOW - timedelta(days=1))
    return card


def queued() -> list[tuple[int, str, int, str]]:
    return list(Command.objects.order_by("pk").values_list("card", "kind", "origin", "reason"))


def test_database_finds_exactly_the_cards_that_the_rule_would_switch(merchant):
    live = make_live_subscription(merchant, cards=500)
    ended_at = NOW - timedelta(hours=1)
    ended = make_live_subscription(merchant, until=ended_at, entitled_until=ended_at)
    reasons, desired, payers = ["", "voluntary", "debt"], [None, True, False], [None, live, ended]
    for state, reason, on, payer in product(OperatorState, reasons, desired, payers):
        card = make_card(merchant, confirmed=state, block_reason=reason, desired_on=on)
        if payer is not None:
            cover(card, payer)
        if reason == "voluntary" and payer is live:
            make_command(card)

    found = set(out_of_step.cards_out_of_step(NOW).values_list("pk", flat=True))

    facts = {card.pk: queries.facts_of(card, NOW) for card in queries.cards_of(merchant)}
    switched = {pk for pk, known in facts.items() if rules.next_command(known) is not None}
    assert len(switched) > 20
    assert found == switched


def test_paid_card_that_works_is_left_alone(merchant):
    working(merchant, make_live_subscription(merchant))

    assert reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW) == 0
    assert out_of_step.merchants_out_of_step(NOW) == set()


def test_end_of_entitlement_switches_off_at_that_instant(merchant):
    end = NOW + timedelta(days=30)
    card = working(merchant, make_live_subscription(merchant, entitled_until=end))

    before = reconcile.reconcile_just_ended(at=end - timedelta(microseconds=1))
    after = reconcile.reconcile_just_ended(at=end)

    assert before == 0
    assert after == 1
    assert queued() == [(card.pk, CommandKind.DEACTIVATE, Origin.RECONCILE, "не оплачена")]
    card.refresh_from_db()
    assert card.desired_on is True


def test_card_comes_back_by_itself_when_it_is_paid_again(merchant):
    ended = make_live_subscription(merchant, entitled_until=NOW)
    card = make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=True)
    cover(card, ended, since=NOW - timedelta(days=1))
    make_live_subscription(merchant)

    reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW)

    assert queued() == [
        (
            card.pk,
            CommandKind.ACTIVATE,
            Origin.PAID,
            "оплата есть, смарт-карта должна работать",
        )
    ]


def test_card_switched_off_by_a_person_does_not_come_back(merchant):
    card = make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=False)
    cover(card, make_live_subscription(merchant))

    assert reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW) == 0


def test_twice_is_once(merchant):
    working(merchant, make_live_subscription(merchant, entitled_until=NOW))

    reconcile.reconcile_all(at=NOW)
    reconcile.reconcile_all(at=NOW)

    assert Command.objects.count() == 1


def test_failure_is_repeated_by_itself_but_not_at_once(merchant):
    card = make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=True)
    cover(card, make_live_subscription(merchant))
    make_command(card, state=CommandState.FAILED, error="transient", finished_at=NOW)

    at_once = reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW + timedelta(seconds=30))
    later = reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW + timedelta(seconds=60))

    assert at_once == 0
    assert later == 1


def test_permanent_failure_is_not_repeated_by_itself(merchant):
    card = make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=True)
    cover(card, make_live_subscription(merchant))
    make_command(card, state=CommandState.FAILED, error="not_found", finished_at=NOW)

    assert reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW + timedelta(days=3)) == 0


def test_merchants_out_of_step_are_those_with_something_to_send(merchant):
    ended = make_live_subscription(merchant, entitled_until=NOW)
    working(merchant, ended)
    content = make_merchant("ИП Довольный")
    working(content, make_live_subscription(content))
    waiting = make_merchant("ИП Ждущий")
    cover(
        make_card(waiting, confirmed=OperatorState.INACTIVE, desired_on=True),
        make_live_subscription(waiting),
    )

    assert out_of_step.merchants_out_of_step(NOW) == {merchant.pk, waiting.pk}


def test_too_many_automatic_switch_offs_engage_the_brake(merchant):
    account = make_account(brake_cards=3, brake_percent=100)
    subscription = make_live_subscription(merchant, cards=10, entitled_until=NOW)
    for _ in range(5):
        working(merchant, subscription, account=account)

    reconcile.reconcile_all(at=NOW)

    state = Brake.objects.get()
    assert Command.objects.count() == 3
    assert state.engaged_at == NOW
    assert state.engaged_because == "МТС: за час отключилось бы больше 3 смарт-карт"
    assert list(Alert.objects.values_list("key", flat=True)) == ["brake"]


def test_engaged_brake_stops_switch_offs_and_nothing_else(merchant):
    subscription = make_live_subscription(merchant, cards=5)
    ended = make_live_subscription(merchant, cards=1, entitled_until=NOW)
    Brake.objects.create(pk=1, engaged_at=NOW, engaged_because="проверка")
    off = make_card(merchant, confirmed=OperatorState.ACTIVE, desired_on=True)
    on = make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=True)
    cover(on, subscription)
    assert ended.pk

    reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW)

    assert [(card, kind) for card, kind, _, _ in queued()] == [(on.pk, CommandKind.ACTIVATE)]
    assert off.pk


def test_decision_of_a_person_is_never_braked(merchant):
    Brake.objects.create(pk=1, tap_closed_at=NOW, tap_closed_by="Сергей", tap_reason="проверка")
    card = make_card(merchant, confirmed=OperatorState.ACTIVE, desired_on=False)
    cover(card, make_live_subscription(merchant))

    reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW)

    assert queued() == [(card.pk, CommandKind.DEACTIVATE, Origin.PERSON, "")]


def test_released_brake_counts_anew_and_lets_the_rest_go(merchant):
    account = make_account(brake_cards=3, brake_percent=100)
    subscription = make_live_subscription(merchant, cards=10, entitled_until=NOW)
    for _ in range(5):
        working(merchant, subscription, account=account)
    reconcile.reconcile_all(at=NOW)

    safety_brake.release(
        reason="это конец подписки большой сети", by=STAFF, at=NOW + timedelta(minutes=5)
    )
    reconcile.reconcile_all(at=NOW + timedelta(minutes=5))

    assert Command.objects.count() == 5
    assert Alert.objects.filter(closed_at=None).count() == 0
    released = AuditEvent.objects.get(action="released")
    assert released.reason == "это конец подписки большой сети"
    assert released.actor_kind == "staff"


def test_tap_and_release_need_a_reason():
    for move in (safety_brake.release, safety_brake.close_tap):
        with pytest.raises(CardRefused):
            move(reason=" ", by=STAFF, at=NOW)


def test_closed_tap_holds_back_what_is_queued_already(merchant):
    card = working(merchant, make_live_subscription(merchant, entitled_until=NOW))
    reconcile.reconcile_all(at=NOW)
    safety_brake.close_tap(reason="похоже на ошибку", by=STAFF, at=NOW)

    claimed = outbox.claim(account=card.account, at=NOW)
    safety_brake.open_tap(reason="разобрались", by=STAFF, at=NOW)
    claimed_after = outbox.claim(account=card.account, at=NOW)

    assert claimed is None
    assert claimed_after is not None


def test_restored_database_starts_in_report_only_mode(merchant):
    Brake.objects.create()
    Brake.objects.update(database_mark="another cluster:1")
    working(merchant, make_live_subscription(merchant, entitled_until=NOW))
    waiting = make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=True)
    assert waiting.pk

    safety_brake.watch(at=NOW)
    reconcile.reconcile_all(at=NOW)

    assert Brake.objects.get().report_only_at == NOW
    assert Command.objects.count() == 0


def test_same_database_is_no_restore():
    safety_brake.watch(at=NOW)
    safety_brake.watch(at=NOW)

    state = Brake.objects.get()
    assert state.report_only_at is None
    assert state.engaged_at is None
    assert bool(state.database_mark) is True


def test_operators_clock_far_from_ours_engages_the_brake():
    make_account(clock_skew_seconds=-400.0)

    safety_brake.watch(at=NOW)

    assert Brake.objects.get().engaged_because == "Часы сервера и оператора «МТС» расходятся"


def test_late_command_raises_one_alert_that_closes_with_it(merchant):
    card = make_card(merchant, account=make_account(worst_seconds=3600))
    command = make_command(card, at=NOW)

    alerted = [
        reconcile.alert_overdue(at=NOW + timedelta(minutes=minutes)) for minutes in (59, 60, 61)
    ]

    assert alerted == [0, 1, 0]
    assert list(Alert.objects.values_list("key", "seen_times")) == [(f"late:{command.pk}", 1)]
    commands.move(command, CommandState.CANCELLED, at=NOW + timedelta(hours=2))
    assert Alert.objects.filter(closed_at=None).count() == 0


def test_card_on_an_ended_subscription_comes_back_by_the_sweep(merchant):
    ended = make_live_subscription(merchant, entitled_until=NOW - timedelta(hours=1))
    card = make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=True)
    cover(card, ended, since=NOW - timedelta(days=1))
    make_live_subscription(merchant)

    reconcile.reconcile_all(at=NOW)

    assert [(pk, kind) for pk, kind, _, _ in queued()] == [(card.pk, CommandKind.ACTIVATE)]


def test_restored_copy_queues_nothing_even_before_the_minute_s_watch(merchant):
    Brake.objects.create()
    Brake.objects.update(database_mark="another cluster:1")
    working(merchant, make_live_subscription(merchant, entitled_until=NOW))

    reconcile.reconcile_just_ended(at=NOW)

    assert Brake.objects.get().report_only_at == NOW
    assert Command.objects.count() == 0


def test_card_that_never_switches_is_alerted_and_retried_daily(merchant):
    card = make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=True)
    cover(card, make_live_subscription(merchant))
    for minute in range(7):
        at = NOW + timedelta(minutes=minute)
        make_command(card, state=CommandState.FAILED, error="transient", at=at, finished_at=at)

    too_early = reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW + timedelta(hours=23))
    next_day = reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW + timedelta(hours=25))

    assert too_early == 0
    assert next_day == 1
    assert list(Alert.objects.values_list("key", flat=True)) == [f"stuck:{card.pk}"]


def test_payment_stamped_ahead_of_our_clock_pays_already(merchant):
    subscription = make_live_subscription(merchant)
    type(subscription).objects.filter(pk=subscription.pk).update(
        entitled_from=NOW + timedelta(seconds=2)
    )
    working(merchant, subscription)

    assert reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW) == 0


def test_waiting_switch_offs_are_counted_by_the_brake(merchant):
    account = make_account(brake_cards=3, brake_percent=100)
    subscription = make_live_subscription(merchant, cards=10, entitled_until=NOW)
    for _ in range(5):
        working(merchant, subscription, account=account)
    reconcile.reconcile_all(at=NOW)
    Brake.objects.update(engaged_at=None, engaged_because="")

    reconcile.reconcile_all(at=NOW + timedelta(hours=4))

    assert Command.objects.count() == 3
    assert Brake.objects.get().engaged_at == NOW + timedelta(hours=4)


def test_brake_alert_is_raised_again_after_staff_close_it(merchant):
    safety_brake.close_tap(reason="проверка", by=STAFF, at=NOW)
    safety_brake.watch(at=NOW)
    Alert.objects.update(closed_at=NOW, closed_by="Сергей")

    safety_brake.watch(at=NOW + timedelta(minutes=1))
    open_before = Alert.objects.filter(closed_at=None).count()
    safety_brake.open_tap(reason="разобрались", by=STAFF, at=NOW + timedelta(minutes=2))

    assert open_before == 1
    assert Alert.objects.filter(closed_at=None).count() == 0


# --- many late commands --------------------------------------------------------------------------


def test_late_commands_with_open_alerts_do_not_fill_the_limit(merchant):
    account = make_account(worst_seconds=3600)
    known = [make_command(make_card(merchant, account=account), at=NOW) for _ in range(200)]
    Alert.objects.bulk_create(
        Alert(
            key=f"late:{command.pk}",
            kind=AlertKind.COMMAND_LATE,
            target_id=command.pk,
            text="",
            raised_at=NOW,
        )
        for command in known
    )
    newer = make_command(make_card(merchant, account=account), at=NOW + timedelta(minutes=1))

    alerted = reconcile.alert_overdue(at=NOW + timedelta(hours=2))

    assert alerted == 1
    assert Alert.objects.filter(key=f"late:{newer.pk}", closed_at=None).exists()


def test_late_command_alert_is_raised_again_after_staff_close_it(merchant):
    card = make_card(merchant, account=make_account(worst_seconds=3600))
    command = make_command(card, at=NOW)
    reconcile.alert_overdue(at=NOW + timedelta(hours=2))
    Alert.objects.update(closed_at=NOW, closed_by="Сергей")

    reconcile.alert_overdue(at=NOW + timedelta(hours=3))

    assert list(Alert.objects.filter(closed_at=None).values_list("key", flat=True)) == [
        f"late:{command.pk}"
    ]


# --- failures of before --------------------------------------------------------------------------


def refused(merchant, kind=CommandKind.ACTIVATE, at=NOW, **fields):
    """A card whose switch the operator refused for good at that time; everything else is older."""
    confirmed = OperatorState.INACTIVE if kind == CommandKind.ACTIVATE else OperatorState.ACTIVE
    values = {"desired_at": NOW - timedelta(hours=2), "desired_on": True, **fields}
    card = make_card(merchant, confirmed=confirmed, **values)
    make_command(card, kind=kind, state=CommandState.FAILED, error="not_found", at=at)
    return card


def switches(card) -> list[str]:
    """What was queued for the card after the refusal."""
    rows = Command.objects.filter(card=card, state=CommandState.QUEUED)
    return list(rows.values_list("kind", flat=True))


def test_new_decision_is_tried_whatever_failed_before(merchant):
    card = refused(merchant, desired_at=NOW + timedelta(hours=1))
    cover(card, make_live_subscription(merchant), since=NOW - timedelta(hours=3))

    reconcile.reconcile_all(at=NOW + timedelta(hours=2))

    assert switches(card) == ["activate"]


def test_new_coverage_is_tried_whatever_failed_before(merchant):
    card = refused(merchant)
    cover(card, make_live_subscription(merchant), since=NOW + timedelta(hours=1))

    reconcile.reconcile_all(at=NOW + timedelta(hours=2))

    assert switches(card) == ["activate"]


def test_payment_after_the_end_is_tried_whatever_failed_before_it(merchant):
    card = refused(merchant)
    subscription = make_live_subscription(merchant, entitled_from=NOW + timedelta(hours=1))
    cover(card, subscription, since=NOW - timedelta(hours=3))

    reconcile.reconcile_all(at=NOW + timedelta(hours=2))

    assert switches(card) == ["activate"]


def test_next_paid_month_is_tried_despite_earlier_failures(merchant):
    card = refused(merchant)
    subscription = make_live_subscription(merchant, until=NOW + timedelta(hours=1))
    cover(card, subscription, since=NOW - timedelta(hours=3))
    subscription.periods.create(
        kind="paid",
        cards=1,
        starts_at=NOW + timedelta(hours=1),
        ends_at=NOW + timedelta(days=31),
    )

    reconcile.reconcile_all(at=NOW + timedelta(minutes=59))
    in_the_old_month = switches(card)
    reconcile.reconcile_all(at=NOW + timedelta(hours=1))
    in_the_new_month = switches(card)
    Command.objects.filter(card=card, state=CommandState.QUEUED).update(
        state=CommandState.FAILED,
        error="not_found",
        sent_at=NOW + timedelta(hours=1),
        finished_at=NOW + timedelta(hours=1),
    )
    reconcile.reconcile_all(at=NOW + timedelta(days=20))

    assert in_the_old_month == []
    assert in_the_new_month == ["activate"]
    assert switches(card) == []


def test_payment_stamped_ahead_of_our_clock_excuses_no_failure_yet(merchant):
    card = refused(merchant)
    subscription = make_live_subscription(merchant, entitled_from=NOW + timedelta(minutes=9))
    cover(card, subscription, since=NOW - timedelta(hours=3))

    reconcile.reconcile_all(at=NOW + timedelta(minutes=1))

    assert switches(card) == []


def test_next_end_switches_off_despite_earlier_failures(merchant):
    card = refused(merchant, kind=CommandKind.DEACTIVATE)
    subscription = make_live_subscription(
        merchant,
        at=NOW + timedelta(days=2),
        until=NOW + timedelta(days=30),
        entitled_until=NOW + timedelta(days=30),
    )
    cover(card, subscription, since=NOW - timedelta(days=40))

    reconcile.reconcile_all(at=NOW + timedelta(days=30))

    assert switches(card) == ["deactivate"]


def test_uncovered_card_keeps_its_failures(merchant):
    card = refused(merchant, kind=CommandKind.DEACTIVATE)

    reconcile.reconcile_all(at=NOW + timedelta(days=3))

    assert switches(card) == []


# --- matters that are well again -----------------------------------------------------------------


@pytest.fixture
def stuck(merchant):
    """A paid card that failed to come on four times; staff know."""
    card = make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=True)
    cover(card, make_live_subscription(merchant))
    for minute in range(reconcile.FAILURES_TO_ALERT):
        at = NOW + timedelta(minutes=minute)
        make_command(card, state=CommandState.FAILED, error="transient", at=at, finished_at=at)
    reconcile.reconcile_all(at=NOW + timedelta(minutes=5))
    assert open_matters() == [f"stuck:{card.pk}"]
    return card


def open_matters() -> list[str]:
    rows = Alert.objects.filter(closed_at=None)
    return list(rows.order_by("key").values_list("key", flat=True))


@pytest.mark.parametrize(
    "well",
    [
        {"confirmed": OperatorState.ACTIVE},
        {"desired_on": False},
        {"confirmed": OperatorState.RETIRED},
    ],
    ids=["it works", "nobody wants it on", "it is retired"],
)
def test_stuck_alert_closes_when_the_card_is_in_step(stuck, well):
    SmartCard.objects.filter(pk=stuck.pk).update(**well)

    reconcile.reconcile_all(at=NOW + timedelta(minutes=6))

    assert open_matters() == []
    assert Alert.objects.get().closed_by == "сервис"


def test_stuck_alert_lasts_while_the_next_attempt_is_under_way(stuck):
    reconcile.reconcile_all(at=NOW + timedelta(hours=3))

    assert switches(stuck) == ["activate"]
    assert open_matters() == [f"stuck:{stuck.pk}"]


def test_alert_about_a_deleted_card_is_closed():
    alerts.raise_about(AlertKind.CARD_STUCK, 404, text="", at=NOW)

    reconcile.reconcile_all(at=NOW)

    assert open_matters() == []


def test_alerts_of_other_kinds_are_left_alone():
    for key in ("brake", "late:1", "stuck:abc", "operator:account:1:broken"):
        Alert.objects.create(key=key, text="", raised_at=NOW)

    reconcile.reconcile_all(at=NOW)

    assert open_matters() == ["brake", "late:1", "operator:account:1:broken", "stuck:abc"]


def test_unusable_contract_alert_closes_when_it_can_be_used():
    account = make_account("partner", adapter="telegraph", title="Партнёр")
    worker.drain_account(account_id=account.pk, clock=lambda: NOW)
    key = f"account_unusable:{account.pk}"
    raised = open_matters()

    worker.drain_account(account_id=account.pk, clock=lambda: NOW)
    while_it_is_broken = open_matters()
    make_account("partner", adapter="tmf640")
    worker.drain_account(account_id=account.pk, clock=lambda: NOW + timedelta(minutes=1))

    assert raised == [key]
    assert while_it_is_broken == [key]
    assert open_matters() == []


def test_unusable_contract_alert_lasts_while_the_contract_is_disabled():
    account = make_account("partner", adapter="tmf640", enabled=False)
    key = f"account_unusable:{account.pk}"
    alerts.raise_about(AlertKind.ACCOUNT_UNUSABLE, account.pk, text="", at=NOW)

    worker.drain_account(account_id=account.pk, clock=lambda: NOW)

    assert open_matters() == [key]


# --- many cards of one merchant ------------------------------------------------------------------


def come_on(merchant, number, **fields):
    """So many paid and desired cards that are off."""
    subscription = make_live_subscription(merchant, cards=number)
    cards = [
        make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=True, **fields)
        for _ in range(number)
    ]
    for card in cards:
        cover(card, subscription, since=NOW - timedelta(days=1))
    return cards


def rows_of(cards) -> list[tuple[object, ...]]:
    found = Command.objects.filter(card__in=cards).order_by("pk")
    names = ("card", "kind", "state", "origin", "asked_by", "reason", "created_at", "due_at")
    return list(found.values_list(*names))


def test_many_cards_are_queued_together_as_one_by_one(merchant):
    account = make_account(cooldown_seconds=600)
    one, *many = come_on(merchant, 4, account=account)
    for card in (one, many[1]):
        minute_ago = NOW - timedelta(minutes=1)
        make_command(card, state=CommandState.DONE, at=minute_ago, finished_at=minute_ago)
    why = "оплата есть, смарт-карта должна работать"
    how = {"kind": CommandKind.ACTIVATE, "origin": Origin.PAID, "by": SYSTEM, "reason": why}
    commands.create(card=one, at=NOW, **how)

    queued = reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW)

    later = NOW + timedelta(minutes=9)
    facts = (CommandKind.ACTIVATE, "queued", Origin.PAID, "сервис")
    new = [row for row in rows_of([one, *many]) if row[2] == "queued"]
    assert queued == 3
    assert new == [
        (one.pk, *facts, why, NOW, later),
        (many[0].pk, *facts, why, NOW, NOW),
        (many[1].pk, *facts, why, NOW, later),
        (many[2].pk, *facts, why, NOW, NOW),
    ]
    turns = Command.objects.filter(state="queued").order_by("pk").values_list("turn", flat=True)
    assert list(turns) == [1, 2, 3, 4]
    steps = CommandStep.objects.filter(command__state="queued").values_list("state", "text")
    assert list(steps) == [("queued", why)] * 4


def test_refused_card_is_retried_alone_after_its_pause(merchant):
    refused, *others = come_on(merchant, 3)
    make_command(refused, state=CommandState.FAILED, error="transient", finished_at=NOW)

    queued = reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW + timedelta(seconds=30))

    assert queued == 2
    assert switches(refused) == []
    assert [switches(card) for card in others] == [["activate"]] * 2


def test_nothing_is_queued_together_in_report_only_mode(merchant):
    cards = come_on(merchant, 3)
    Brake.objects.create(report_only_at=NOW)

    queued = reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW)

    assert queued == 0
    assert rows_of(cards) == []


# --- what is poisoned ----------------------------------------------------------------------------


def poison(table: str, card) -> None:
    """From now on the database refuses every row of this table about this card."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE EXCEPTION 'poisoned'; END $$"
        )
        cursor.execute(
            f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {table}"
            f" FOR EACH ROW WHEN (NEW.card_id = {card.pk}) EXECUTE FUNCTION refuse()"
        )


def cure(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER refuse ON {table}")


def test_broken_card_is_skipped_with_an_alert_until_repaired(merchant):
    subscription = make_live_subscription(merchant, cards=2)
    bad, good = (
        make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=True) for _ in range(2)
    )
    for card in (bad, good):
        cover(card, subscription)
    poison("smartcards_command", bad)

    done = reconcile.reconcile_all(at=NOW)
    alerted = open_matters()
    cure("smartcards_command")
    healed = reconcile.reconcile_all(at=NOW + timedelta(minutes=1))

    assert done == 1
    assert alerted == [f"reconcile:{bad.pk}"]
    assert healed == 1
    assert open_matters() == []
    assert switches(bad) == ["activate"]
    assert switches(good) == ["activate"]


def test_time_that_is_over_is_no_fault_of_the_card(merchant):
    card = make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=True)
    cover(card, make_live_subscription(merchant))

    def over(execute, sql, *arguments):
        if "FOR UPDATE" in sql and "smartcards_smartcard" in sql:
            raise SoftTimeLimitExceeded
        return execute(sql, *arguments)

    with connection.execute_wrapper(over), pytest.raises(SoftTimeLimitExceeded):
        reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW)
    queued_by_the_next = reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW)

    assert list(Alert.objects.all()) == []
    assert queued_by_the_next == 1


def test_poisoned_merchant_never_stops_those_behind_it(merchant, caplog):
    crowded = make_live_subscription(merchant, cards=1)
    cards = [make_card(merchant, confirmed=OperatorState.INACTIVE) for _ in range(2)]
    for card in cards:
        cover(card, crowded)
    behind = make_merchant("ИП Следующий")
    waits = make_card(behind, confirmed=OperatorState.INACTIVE, desired_on=True)
    cover(waits, make_live_subscription(behind))
    poison("smartcards_coverage", cards[1])

    done = reconcile.reconcile_all(at=NOW, thorough=True)

    assert done == 1
    assert switches(waits) == ["activate"]
    assert f"Could not reconcile merchant {merchant.pk}, the next sweep tries again" in (
        caplog.messages
    )


def test_merchant_who_is_gone_has_nothing_to_compare():
    assert reconcile.reconcile_merchant(merchant_id=404, at=NOW) == 0


# --- the brake, seldom ---------------------------------------------------------------------------


def test_engaged_brake_keeps_its_first_reason_and_alerts_again():
    with transaction.atomic():
        safety_brake.engage(safety_brake.lock_brake(), because="первая причина", at=NOW)
    Alert.objects.update(closed_at=NOW, closed_by="Сергей")

    with transaction.atomic():
        safety_brake.engage(
            safety_brake.lock_brake(), because="вторая причина", at=NOW + timedelta(minutes=1)
        )

    state = Brake.objects.get()
    assert state.engaged_at == NOW
    assert state.engaged_because == "первая причина"
    assert AuditEvent.objects.filter(action="engaged").count() == 1
    assert list(Alert.objects.filter(closed_at=None).values_list("text", flat=True)) == [
        "Автоматические отключения остановлены. вторая причина."
    ]


def test_opened_tap_leaves_the_alert_of_an_engaged_brake():
    with transaction.atomic():
        safety_brake.engage(safety_brake.lock_brake(), because="слишком много", at=NOW)
    safety_brake.close_tap(reason="на всякий случай", by=STAFF, at=NOW)

    safety_brake.open_tap(reason="разобрались", by=STAFF, at=NOW)

    assert open_matters() == ["brake"]
    assert queries.is_braked(Brake.objects.get())


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ({"engaged_at": NOW, "engaged_because": "слишком много"}, "слишком много"),
        ({"report_only_at": NOW}, "База восстановлена из копии"),
    ],
)
def test_staff_are_reminded_why_switch_offs_stand_still(state, why):
    Brake.objects.create(pk=1, **state)

    safety_brake.watch(at=NOW)

    assert list(Alert.objects.values_list("text", flat=True)) == [
        f"Автоматические отключения остановлены. {why}."
    ]


def test_database_clock_far_from_ours_engages_the_brake():
    with connection.cursor() as cursor:
        # What stands before the database's own function of this name is asked instead of it.
        cursor.execute(
            "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
            " AS $$ SELECT pg_catalog.clock_timestamp() + interval '3 minutes' $$"
        )
        cursor.execute("SET LOCAL search_path = public, pg_catalog")

    safety_brake.watch(at=NOW)

    assert Brake.objects.get().engaged_because == "Часы сервера и базы данных расходятся"


def test_clock_a_little_apart_is_no_reason():
    make_account(clock_skew_seconds=90.0)

    safety_brake.watch(at=NOW)

    assert Brake.objects.get().engaged_at is None


@pytest.mark.parametrize(("number", "origin"), [(5, Origin.PERSON), (6, Origin.MASS)])
def test_many_switch_offs_that_people_asked_for_are_mass_work(merchant, number, origin):
    for _ in range(number):
        make_card(merchant, confirmed=OperatorState.ACTIVE, desired_on=False)
    alone = make_card(make_merchant("Киоск"), confirmed=OperatorState.ACTIVE, desired_on=False)

    reconcile.reconcile_all(at=NOW)

    rows = Command.objects.values_list("card__merchant__name", "origin")
    assert Counter(rows) == {(merchant.name, origin): number, ("Киоск", Origin.PERSON): 1}
    assert alone.commands.get().kind == CommandKind.DEACTIVATE
