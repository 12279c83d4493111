"""What should be against what is, and the brake before every automatic switch-off."""

from datetime import timedelta

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection, transaction

from cabinet.models import Alert, AuditEvent
from smartcards import brake, commands, dispatch, line, queries, reconcile
from smartcards.models import Brake, Command, CommandStep, SmartCard
from smartcards.rules import CardRefused
from smartcards.states import CommandKind, CommandState, Confirmed, Origin
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
    card = make_card(merchant, confirmed=Confirmed.ACTIVE, wished_on=True, **fields)
    cover(card, subscription, since=NOW - timedelta(days=1))
    return card


def queued() -> list[tuple[int, str, int, str]]:
    return list(Command.objects.order_by("pk").values_list("card", "kind", "origin", "reason"))


def test_paid_card_that_works_is_left_alone(merchant):
    working(merchant, make_live_subscription(merchant))

    assert reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW) == 0
    assert queries.merchants_out_of_step(NOW) == set()


def test_end_of_what_was_paid_switches_off_at_that_instant_and_not_before(merchant):
    end = NOW + timedelta(days=30)
    card = working(merchant, make_live_subscription(merchant, entitled_until=end))

    before = reconcile.reconcile_just_ended(at=end - timedelta(microseconds=1))
    after = reconcile.reconcile_just_ended(at=end)

    assert (before, after) == (0, 1)
    assert queued() == [(card.pk, CommandKind.DEACTIVATE, Origin.RECONCILE, "не оплачена")]
    card.refresh_from_db()
    assert card.wished_on is True


def test_card_comes_back_by_itself_when_it_is_paid_again(merchant):
    ended = make_live_subscription(merchant, entitled_until=NOW)
    card = make_card(merchant, confirmed=Confirmed.INACTIVE, wished_on=True)
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
    card = make_card(merchant, confirmed=Confirmed.INACTIVE, wished_on=False)
    cover(card, make_live_subscription(merchant))

    assert reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW) == 0


def test_twice_is_once(merchant):
    working(merchant, make_live_subscription(merchant, entitled_until=NOW))

    reconcile.reconcile_all(at=NOW)
    reconcile.reconcile_all(at=NOW)

    assert Command.objects.count() == 1


def test_failure_is_repeated_by_itself_but_not_at_once(merchant):
    card = make_card(merchant, confirmed=Confirmed.INACTIVE, wished_on=True)
    cover(card, make_live_subscription(merchant))
    make_command(card, state=CommandState.FAILED, error="transient", finished_at=NOW)

    at_once = reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW + timedelta(seconds=30))
    later = reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW + timedelta(seconds=60))

    assert (at_once, later) == (0, 1)


def test_permanent_failure_is_not_repeated_by_itself(merchant):
    card = make_card(merchant, confirmed=Confirmed.INACTIVE, wished_on=True)
    cover(card, make_live_subscription(merchant))
    make_command(card, state=CommandState.FAILED, error="not_found", finished_at=NOW)

    assert reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW + timedelta(days=3)) == 0


def test_merchants_out_of_step_are_exactly_those_with_something_to_send(merchant):
    ended = make_live_subscription(merchant, entitled_until=NOW)
    working(merchant, ended)
    content = make_merchant("ИП Довольный")
    working(content, make_live_subscription(content))
    waiting = make_merchant("ИП Ждущий")
    cover(
        make_card(waiting, confirmed=Confirmed.INACTIVE, wished_on=True),
        make_live_subscription(waiting),
    )

    assert queries.merchants_out_of_step(NOW) == {merchant.pk, waiting.pk}


def test_too_many_automatic_switch_offs_engage_the_brake_and_tell_staff(merchant):
    account = make_account(brake_cards=3, brake_percent=100)
    subscription = make_live_subscription(merchant, cards=10, entitled_until=NOW)
    for _ in range(5):
        working(merchant, subscription, account=account)

    reconcile.reconcile_all(at=NOW)

    state = Brake.objects.get()
    assert (Command.objects.count(), state.engaged_at) == (3, NOW)
    assert state.engaged_because == "МТС: за час отключилось бы больше 3 смарт-карт"
    assert list(Alert.objects.values_list("key", flat=True)) == ["brake"]


def test_engaged_brake_stops_switch_offs_and_nothing_else(merchant):
    subscription = make_live_subscription(merchant, cards=5)
    ended = make_live_subscription(merchant, cards=1, entitled_until=NOW)
    Brake.objects.create(pk=1, engaged_at=NOW, engaged_because="проверка")
    off = make_card(merchant, confirmed=Confirmed.ACTIVE, wished_on=True)
    on = make_card(merchant, confirmed=Confirmed.INACTIVE, wished_on=True)
    cover(on, subscription)
    assert ended.pk

    reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW)

    assert [(card, kind) for card, kind, _, _ in queued()] == [(on.pk, CommandKind.ACTIVATE)]
    assert off.pk


def test_wish_of_a_person_is_never_braked(merchant):
    Brake.objects.create(pk=1, tap_closed_at=NOW, tap_closed_by="Сергей", tap_reason="проверка")
    card = make_card(merchant, confirmed=Confirmed.ACTIVE, wished_on=False)
    cover(card, make_live_subscription(merchant))

    reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW)

    assert queued() == [(card.pk, CommandKind.DEACTIVATE, Origin.PERSON, "")]


def test_released_brake_counts_anew_and_lets_the_rest_go(merchant):
    account = make_account(brake_cards=3, brake_percent=100)
    subscription = make_live_subscription(merchant, cards=10, entitled_until=NOW)
    for _ in range(5):
        working(merchant, subscription, account=account)
    reconcile.reconcile_all(at=NOW)

    brake.release(reason="это конец подписки большой сети", by=STAFF, at=NOW + timedelta(minutes=5))
    reconcile.reconcile_all(at=NOW + timedelta(minutes=5))

    assert Command.objects.count() == 5
    assert Alert.objects.filter(closed_at=None).count() == 0
    assert AuditEvent.objects.filter(action="released").values_list(
        "reason", "actor_kind"
    ).get() == (
        "это конец подписки большой сети",
        "staff",
    )


def test_tap_and_release_need_a_reason():
    for move in (brake.release, brake.close_tap):
        with pytest.raises(CardRefused):
            move(reason=" ", by=STAFF, at=NOW)


def test_closed_tap_holds_back_what_is_queued_already(merchant):
    card = working(merchant, make_live_subscription(merchant, entitled_until=NOW))
    reconcile.reconcile_all(at=NOW)
    brake.close_tap(reason="похоже на ошибку", by=STAFF, at=NOW)

    claimed = dispatch.claim(account=card.account, at=NOW, limit=10)
    brake.open_tap(reason="разобрались", by=STAFF, at=NOW)
    claimed_after = dispatch.claim(account=card.account, at=NOW, limit=10)

    assert (len(claimed), len(claimed_after)) == (0, 1)


def test_restored_database_starts_in_report_only_mode(merchant):
    queries.brake_now()
    Brake.objects.update(database_mark="another cluster:1")
    working(merchant, make_live_subscription(merchant, entitled_until=NOW))
    waiting = make_card(merchant, confirmed=Confirmed.INACTIVE, wished_on=True)
    assert waiting.pk

    brake.watch(at=NOW)
    reconcile.reconcile_all(at=NOW)

    assert (Brake.objects.get().report_only_at, Command.objects.count()) == (NOW, 0)


def test_same_database_is_no_restore():
    brake.watch(at=NOW)
    brake.watch(at=NOW)

    state = Brake.objects.get()
    assert (state.report_only_at, state.engaged_at, bool(state.database_mark)) == (None, None, True)


def test_operators_clock_far_from_ours_engages_the_brake():
    make_account(clock_skew_seconds=-400.0)

    brake.watch(at=NOW)

    assert Brake.objects.get().engaged_because == "Часы сервера и оператора «МТС» расходятся"


def test_late_command_is_told_to_staff_once_and_closed_when_it_is_over(merchant):
    card = make_card(merchant, account=make_account(worst_seconds=3600))
    command = make_command(card, at=NOW)

    told = [reconcile.tell_late(at=NOW + timedelta(minutes=minutes)) for minutes in (59, 60, 61)]

    assert told == [0, 1, 0]
    assert list(Alert.objects.values_list("key", "seen_times")) == [(f"late:{command.pk}", 1)]
    commands.move(command, CommandState.CANCELLED, at=NOW + timedelta(hours=2))
    assert Alert.objects.filter(closed_at=None).count() == 0


def test_card_on_an_ended_subscription_comes_back_without_any_wake_up(merchant):
    ended = make_live_subscription(merchant, entitled_until=NOW - timedelta(hours=1))
    card = make_card(merchant, confirmed=Confirmed.INACTIVE, wished_on=True)
    cover(card, ended, since=NOW - timedelta(days=1))
    make_live_subscription(merchant)

    reconcile.reconcile_all(at=NOW)

    assert [(pk, kind) for pk, kind, _, _ in queued()] == [(card.pk, CommandKind.ACTIVATE)]


def test_restored_copy_queues_nothing_even_before_the_minute_s_watch(merchant):
    queries.brake_now()
    Brake.objects.update(database_mark="another cluster:1")
    working(merchant, make_live_subscription(merchant, entitled_until=NOW))

    reconcile.reconcile_just_ended(at=NOW)

    assert (Brake.objects.get().report_only_at, Command.objects.count()) == (NOW, 0)


def test_card_that_never_switches_is_told_to_staff_and_tried_every_day(merchant):
    card = make_card(merchant, confirmed=Confirmed.INACTIVE, wished_on=True)
    cover(card, make_live_subscription(merchant))
    for minute in range(7):
        at = NOW + timedelta(minutes=minute)
        make_command(card, state=CommandState.FAILED, error="transient", at=at, finished_at=at)

    too_early = reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW + timedelta(hours=23))
    next_day = reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW + timedelta(hours=25))

    assert (too_early, next_day) == (0, 1)
    assert list(Alert.objects.values_list("key", flat=True)) == [f"stuck:{card.pk}"]


def test_payment_stamped_ahead_of_our_clock_pays_already(merchant):
    subscription = make_live_subscription(merchant)
    type(subscription).objects.filter(pk=subscription.pk).update(
        entitled_from=NOW + timedelta(seconds=2)
    )
    working(merchant, subscription)

    assert reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW) == 0


def test_switch_offs_that_wait_for_hours_are_counted_by_the_brake(merchant):
    account = make_account(brake_cards=3, brake_percent=100)
    subscription = make_live_subscription(merchant, cards=10, entitled_until=NOW)
    for _ in range(5):
        working(merchant, subscription, account=account)
    reconcile.reconcile_all(at=NOW)
    Brake.objects.update(engaged_at=None, engaged_because="")

    reconcile.reconcile_all(at=NOW + timedelta(hours=4))

    assert Command.objects.count() == 3
    assert Brake.objects.get().engaged_at == NOW + timedelta(hours=4)


def test_staff_are_reminded_of_the_brake_though_they_closed_the_matter(merchant):
    brake.close_tap(reason="проверка", by=STAFF, at=NOW)
    brake.watch(at=NOW)
    Alert.objects.update(closed_at=NOW, closed_by="Сергей")

    brake.watch(at=NOW + timedelta(minutes=1))
    open_before = Alert.objects.filter(closed_at=None).count()
    brake.open_tap(reason="разобрались", by=STAFF, at=NOW + timedelta(minutes=2))

    assert (open_before, Alert.objects.filter(closed_at=None).count()) == (1, 0)


# --- many late commands --------------------------------------------------------------------------


def test_late_commands_that_staff_know_of_keep_nobody_waiting(merchant):
    account = make_account(worst_seconds=3600)
    known = [make_command(make_card(merchant, account=account), at=NOW) for _ in range(200)]
    Alert.objects.bulk_create(
        Alert(key=f"late:{command.pk}", text="", raised_at=NOW) for command in known
    )
    newer = make_command(make_card(merchant, account=account), at=NOW + timedelta(minutes=1))

    told = reconcile.tell_late(at=NOW + timedelta(hours=2))

    assert told == 1
    assert Alert.objects.filter(key=f"late:{newer.pk}", closed_at=None).exists()


def test_late_command_is_told_again_when_staff_closed_the_matter_and_it_lasts(merchant):
    card = make_card(merchant, account=make_account(worst_seconds=3600))
    command = make_command(card, at=NOW)
    reconcile.tell_late(at=NOW + timedelta(hours=2))
    Alert.objects.update(closed_at=NOW, closed_by="Сергей")

    reconcile.tell_late(at=NOW + timedelta(hours=3))

    assert list(Alert.objects.filter(closed_at=None).values_list("key", flat=True)) == [
        f"late:{command.pk}"
    ]


# --- failures of before --------------------------------------------------------------------------


def refused(merchant, kind=CommandKind.ACTIVATE, at=NOW, **fields):
    """A card whose switch the operator refused for good at that time; everything else is older."""
    confirmed = Confirmed.INACTIVE if kind == CommandKind.ACTIVATE else Confirmed.ACTIVE
    values = {"wished_at": NOW - timedelta(hours=2), "wished_on": True, **fields}
    card = make_card(merchant, confirmed=confirmed, **values)
    make_command(card, kind=kind, state=CommandState.FAILED, error="not_found", at=at)
    return card


def switches(card) -> list[str]:
    """What was queued for the card after the refusal."""
    rows = Command.objects.filter(card=card, state=CommandState.QUEUED)
    return list(rows.values_list("kind", flat=True))


def test_new_wish_is_tried_whatever_failed_before_it(merchant):
    card = refused(merchant, wished_at=NOW + timedelta(hours=1))
    cover(card, make_live_subscription(merchant), since=NOW - timedelta(hours=3))

    reconcile.reconcile_all(at=NOW + timedelta(hours=2))

    assert switches(card) == ["activate"]


def test_new_place_is_tried_whatever_failed_before_it(merchant):
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


def test_next_paid_month_is_tried_once_whatever_failed_in_the_last(merchant):
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

    assert (in_the_old_month, in_the_new_month, switches(card)) == ([], ["activate"], [])


def test_payment_stamped_ahead_of_our_clock_excuses_no_failure_yet(merchant):
    card = refused(merchant)
    subscription = make_live_subscription(merchant, entitled_from=NOW + timedelta(minutes=9))
    cover(card, subscription, since=NOW - timedelta(hours=3))

    reconcile.reconcile_all(at=NOW + timedelta(minutes=1))

    assert switches(card) == []


def test_end_of_another_payment_switches_off_whatever_failed_at_the_last_end(merchant):
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


def test_card_without_any_place_keeps_its_failures(merchant):
    card = refused(merchant, kind=CommandKind.DEACTIVATE)

    reconcile.reconcile_all(at=NOW + timedelta(days=3))

    assert switches(card) == []


# --- matters that are well again -----------------------------------------------------------------


@pytest.fixture
def stuck(merchant):
    """A paid card that failed to come on four times; staff know."""
    card = make_card(merchant, confirmed=Confirmed.INACTIVE, wished_on=True)
    cover(card, make_live_subscription(merchant))
    for minute in range(reconcile.STUBBORN):
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
        {"confirmed": Confirmed.ACTIVE},
        {"wished_on": False},
        {"confirmed": Confirmed.RETIRED},
    ],
    ids=["it works", "nobody wants it on", "it is retired"],
)
def test_matter_of_a_card_that_does_not_switch_ends_when_it_is_as_it_should_be(stuck, well):
    SmartCard.objects.filter(pk=stuck.pk).update(**well)

    reconcile.reconcile_all(at=NOW + timedelta(minutes=6))

    assert open_matters() == []
    assert Alert.objects.get().closed_by == "сервис"


def test_matter_of_a_card_that_does_not_switch_lasts_while_the_next_try_is_on_its_way(stuck):
    reconcile.reconcile_all(at=NOW + timedelta(hours=3))

    assert switches(stuck) == ["activate"]
    assert open_matters() == [f"stuck:{stuck.pk}"]


def test_matter_of_a_card_that_is_gone_is_closed():
    Alert.objects.create(key="stuck:404", text="", raised_at=NOW)

    reconcile.reconcile_all(at=NOW)

    assert open_matters() == []


def test_matters_about_other_things_are_left_alone():
    for key in ("brake", "late:1", "stuck:abc", "operator:account:1:broken"):
        Alert.objects.create(key=key, text="", raised_at=NOW)

    reconcile.reconcile_all(at=NOW)

    assert open_matters() == ["brake", "late:1", "operator:account:1:broken", "stuck:abc"]


def test_matter_of_a_contract_ends_when_it_can_be_used_again():
    account = make_account("partner", adapter="telegraph", title="Партнёр")
    line.work(account_id=account.pk, clock=lambda: NOW)
    key = f"operator:account:{account.pk}:unusable"
    raised = open_matters()

    reconcile.reconcile_all(at=NOW)
    while_it_is_broken = open_matters()
    make_account("partner", adapter="tmf640")
    reconcile.reconcile_all(at=NOW + timedelta(minutes=1))

    assert (raised, while_it_is_broken, open_matters()) == ([key], [key], [])


def test_matter_of_a_contract_that_is_switched_off_lasts():
    account = make_account("partner", adapter="tmf640", enabled=False)
    key = f"operator:account:{account.pk}:unusable"
    Alert.objects.create(key=key, text="", raised_at=NOW)

    reconcile.reconcile_all(at=NOW)

    assert open_matters() == [key]


# --- many cards of one merchant ------------------------------------------------------------------


def come_on(merchant, number, **fields):
    """So many paid and wished cards that are off."""
    subscription = make_live_subscription(merchant, cards=number)
    cards = [
        make_card(merchant, confirmed=Confirmed.INACTIVE, wished_on=True, **fields)
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
    reconcile._reconcile_card(one, NOW)

    queued = reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW)

    later = NOW + timedelta(minutes=9)
    facts = (CommandKind.ACTIVATE, "queued", Origin.PAID, "сервис")
    why = "оплата есть, смарт-карта должна работать"
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


def test_card_that_was_refused_goes_by_itself_and_waits_its_time(merchant):
    refused, *others = come_on(merchant, 3)
    make_command(refused, state=CommandState.FAILED, error="transient", finished_at=NOW)

    queued = reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW + timedelta(seconds=30))

    assert (queued, switches(refused)) == (2, [])
    assert [switches(card) for card in others] == [["activate"]] * 2


def test_nothing_is_queued_together_in_report_only_mode(merchant):
    cards = come_on(merchant, 3)
    Brake.objects.create(report_only_at=NOW)

    queued = reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW)

    assert (queued, rows_of(cards)) == (0, [])


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


def test_poisoned_card_steps_aside_and_staff_are_told_until_it_is_cured(merchant):
    subscription = make_live_subscription(merchant, cards=2)
    bad, good = (
        make_card(merchant, confirmed=Confirmed.INACTIVE, wished_on=True) for _ in range(2)
    )
    for card in (bad, good):
        cover(card, subscription)
    poison("smartcards_command", bad)

    done = reconcile.reconcile_all(at=NOW)
    told = open_matters()
    cure("smartcards_command")
    healed = reconcile.reconcile_all(at=NOW + timedelta(minutes=1))

    assert (done, told, healed, open_matters()) == (1, [f"reconcile:{bad.pk}"], 1, [])
    assert (switches(bad), switches(good)) == (["activate"], ["activate"])


def test_time_that_is_over_is_no_fault_of_the_card(merchant):
    card = make_card(merchant, confirmed=Confirmed.INACTIVE, wished_on=True)
    cover(card, make_live_subscription(merchant))

    def over(execute, sql, *arguments):
        if "FOR UPDATE" in sql and "smartcards_smartcard" in sql:
            raise SoftTimeLimitExceeded
        return execute(sql, *arguments)

    with connection.execute_wrapper(over), pytest.raises(SoftTimeLimitExceeded):
        reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW)
    queued_by_the_next = reconcile.reconcile_merchant(merchant_id=merchant.pk, at=NOW)

    assert (list(Alert.objects.all()), queued_by_the_next) == ([], 1)


def test_poisoned_merchant_never_stops_those_behind_it(merchant, caplog):
    crowded = make_live_subscription(merchant, cards=1)
    cards = [make_card(merchant, confirmed=Confirmed.INACTIVE) for _ in range(2)]
    for card in cards:
        cover(card, crowded)
    behind = make_merchant("ИП Следующий")
    waits = make_card(behind, confirmed=Confirmed.INACTIVE, wished_on=True)
    cover(waits, make_live_subscription(behind))
    poison("smartcards_coverage", cards[1])

    done = reconcile.reconcile_all(at=NOW)

    assert (done, switches(waits)) == (1, ["activate"])
    assert f"Could not reconcile merchant {merchant.pk}, the next sweep tries again" in (
        caplog.messages
    )


def test_merchant_who_is_gone_has_nothing_to_compare():
    assert reconcile.reconcile_merchant(merchant_id=404, at=NOW) == 0


# --- the brake, seldom ---------------------------------------------------------------------------


def test_engaged_brake_keeps_its_first_reason_and_tells_again():
    with transaction.atomic():
        brake.engage(brake.lock_brake(), because="первая причина", at=NOW)
    Alert.objects.update(closed_at=NOW, closed_by="Сергей")

    with transaction.atomic():
        brake.engage(brake.lock_brake(), because="вторая причина", at=NOW + timedelta(minutes=1))

    state = Brake.objects.get()
    assert (state.engaged_at, state.engaged_because) == (NOW, "первая причина")
    assert AuditEvent.objects.filter(action="engaged").count() == 1
    assert list(Alert.objects.filter(closed_at=None).values_list("text", flat=True)) == [
        "Автоматические отключения остановлены. вторая причина."
    ]


def test_opened_tap_leaves_the_matter_of_an_engaged_brake():
    with transaction.atomic():
        brake.engage(brake.lock_brake(), because="слишком много", at=NOW)
    brake.close_tap(reason="на всякий случай", by=STAFF, at=NOW)

    brake.open_tap(reason="разобрались", by=STAFF, at=NOW)

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

    brake.watch(at=NOW)

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

    brake.watch(at=NOW)

    assert Brake.objects.get().engaged_because == "Часы сервера и базы данных расходятся"


def test_clock_a_little_apart_is_no_reason():
    make_account(clock_skew_seconds=90.0)

    brake.watch(at=NOW)

    assert Brake.objects.get().engaged_at is None
