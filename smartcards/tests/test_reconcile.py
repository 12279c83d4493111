"""What should be against what is, and the brake before every automatic switch-off."""

from datetime import timedelta

import pytest

from cabinet.models import Alert, AuditEvent
from smartcards import brake, commands, dispatch, queries, reconcile
from smartcards.models import Brake, Command
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
            Origin.RECONCILE,
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

    for minutes in (59, 60, 61):
        reconcile.tell_late(at=NOW + timedelta(minutes=minutes))

    assert list(Alert.objects.values_list("key", "seen_times")) == [(f"late:{command.pk}", 2)]
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
