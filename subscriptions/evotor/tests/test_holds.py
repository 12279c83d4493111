"""A received payment that is not processed yet keeps its merchant's cards on."""

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from cabinet import clock
from cabinet.actors import Actor
from cabinet.enums import ActorKind
from cabinet.errors import Refused
from cabinet.models import Alert, AuditEvent, Merchant, User
from subscriptions.evotor import holds, queries, tasks
from subscriptions.evotor.models import Delivery, Hook, Problem, Sender
from subscriptions.evotor.tests import market
from subscriptions.models import Module, Subscription
from subscriptions.tests.conftest import merchants_to_reconcile

pytestmark = pytest.mark.django_db

END = market.FIRST_END
STAFF = Actor(ActorKind.STAFF, "Ольга Поддержкина", 7)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def module():
    return market.make_module()


@pytest.fixture
def merchant(module):
    return make_merchant(market.USER)


def make_merchant(user_id: str, name: str = "ИП Проверкин") -> Merchant:
    return Merchant.objects.create(evotor_user_id=user_id, name=name, created_at=market.BOUGHT)


def make_ended(merchant: Merchant, end=END, external_id: str = "1") -> Subscription:
    return Subscription.objects.create(
        merchant=merchant,
        module=Module.objects.get(),
        external_id=external_id,
        created_at=market.BOUGHT,
        entitled_from=market.BOUGHT,
        entitled_until=end,
    )


def make_delivery(**fields) -> Delivery:
    facts = {
        "hook": Hook.SUBSCRIPTION,
        "body_hash": f"hash {Delivery.objects.count()}",
        "body": "{}",
        "user_id": market.USER,
        "event_type": "SubscriptionRenewed",
        "authorized_as": Sender.APPLICATION,
        "received_at": END - 10 * MINUTE,
    }
    return Delivery.objects.create(**(facts | fields))


def make_unproved(**fields) -> Delivery:
    facts = {"authorized_as": Sender.USER, "state": "parked", "parked_for": Problem.UNPROVED}
    return make_delivery(**(facts | fields))


def held(at=END) -> list[int]:
    return list(queries.merchants_with_unprocessed_payment(at))


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "new"},
        {"state": "failed", "next_try_at": END + MINUTE},
        {"state": "new", "event_type": "SubscriptionTerminated"},
        {"state": "new", "authorized_as": Sender.USER, "accepted_at": END - MINUTE},
        {"state": "new", "received_at": END + MINUTE},
        {"state": "new", "received_at": END - 20 * MINUTE, "holds_until": END + MINUTE},
    ],
    ids=["new", "retried", "any type", "accepted", "clock went back", "prolonged"],
)
def test_unprocessed_payment_event_holds_its_merchant(merchant, fields):
    make_merchant(market.STRANGER, "ИП Чужой")

    make_delivery(**fields)

    assert held() == [merchant.pk]


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "done"},
        {"state": "parked", "parked_for": Problem.BAD_FORM},
        {"state": "failed", "next_try_at": None},
        {"state": "new", "hook": Hook.DEVICES},
        {"state": "new", "hook": Hook.INSTALLATION},
        {"state": "new", "authorized_as": Sender.USER},
        {"state": "new", "received_at": END - 15 * MINUTE},
        {"state": "new", "holds_until": END},
    ],
    ids=["done", "parked", "given up", "list", "install", "user", "15 minutes", "released"],
)
def test_other_deliveries_hold_nobody(merchant, fields):
    make_delivery(**fields)

    assert held() == []


def test_setting_believes_user_tokens(merchant, settings):
    settings.EVOTOR_EVENT_TOKENS = ["application", "user"]

    make_delivery(authorized_as=Sender.USER)

    assert held() == [merchant.pk]


def test_unproved_renewal_holds_a_paid_end_for_a_day(merchant):
    make_ended(merchant)
    make_unproved()

    known = {
        "before the end": held(END - MINUTE),
        "at the end": held(END),
        "in the last minute": held(END + timedelta(hours=24) - MINUTE),
        "a day later": held(END + timedelta(hours=24)),
    }

    assert known == {
        "before the end": [],
        "at the end": [merchant.pk],
        "in the last minute": [merchant.pk],
        "a day later": [],
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"event_type": "SubscriptionCreated"},
        {"received_at": END + MINUTE},
        {"parked_for": Problem.BAD_FORM},
        {"hook": Hook.INSTALLATION},
        {"user_id": market.STRANGER},
    ],
    ids=["gives nothing", "came after the end", "unreadable", "install", "another merchant"],
)
def test_other_unproved_events_do_not_hold_a_paid_end(merchant, fields):
    make_merchant(market.STRANGER, "ИП Чужой")
    make_ended(merchant)

    make_unproved(**fields)

    assert held() == []


def test_unproved_renewals_hold_only_once(merchant):
    make_ended(merchant)
    make_ended(merchant, end=END - market.days(31), external_id="2")
    make_unproved(received_at=END - market.days(40), holds_until=END - market.days(30))

    make_unproved()

    assert held() == []


# Staff


def reasons() -> list[tuple[Any, ...]]:
    rows = Alert.objects.filter(closed_at=None)
    return list(rows.values_list("key", "seen_times", "merchant_id"))


def test_events_waiting_too_long_are_one_alert(merchant):
    stranger = make_merchant(market.STRANGER, "ИП Чужой")
    rows = [make_delivery(user_id=one.evotor_user_id) for one in (merchant, stranger, merchant)]

    holds.review(at=END + 4 * MINUTE)
    too_early = reasons()
    holds.review(at=END + 5 * MINUTE)
    holds.review(at=END + 6 * MINUTE)
    raised = reasons()
    Delivery.objects.filter(pk__in=[row.pk for row in rows]).update(state="done")
    holds.review(at=END + 7 * MINUTE)

    assert too_early == []
    assert raised == [("evotor.waits_too_long", 1, None)]
    assert "2\N{NO-BREAK SPACE}клиента" in Alert.objects.get().text
    assert reasons() == []


def test_staff_prolong_a_hold_by_an_hour(merchant):
    row = make_delivery()
    at = END + 10 * MINUTE

    before = held(at)
    holds.prolong(delivery=row, reason="Разбираемся", by=STAFF, at=at)

    assert before == []
    assert held(at + 59 * MINUTE) == [merchant.pk]
    assert held(at + 60 * MINUTE) == []
    assert logged() == [("hold_prolonged", STAFF.name, merchant.pk, "Разбираемся")]


def test_staff_release_a_hold_before_its_time(merchant):
    row = make_delivery()

    holds.release(delivery=row, reason="Мусор", by=STAFF, at=END)

    assert held(END) == []
    assert merchants_to_reconcile() == [merchant.pk]
    assert logged() == [("hold_released", STAFF.name, merchant.pk, "Мусор")]


def test_prolonged_hold_that_is_over_is_told_again(merchant):
    row = make_delivery()
    holds.prolong(delivery=row, reason="Разбираемся", by=STAFF, at=END)
    holds.review(at=END + 59 * MINUTE)
    meanwhile = reasons()

    holds.review(at=END + 60 * MINUTE)

    assert meanwhile == []
    assert reasons() == [("evotor.waits_too_long", 1, None)]


def test_released_hold_is_not_told_again(merchant):
    row = make_delivery()
    holds.release(delivery=row, reason="Мусор", by=STAFF, at=END)

    holds.review(at=END + 60 * MINUTE)

    assert reasons() == []


@pytest.mark.parametrize("decide", [holds.prolong, holds.release])
def test_decision_about_a_hold_needs_a_reason(merchant, decide):
    row = make_delivery()

    with pytest.raises(Refused, match="Укажите причину"):
        decide(delivery=row, reason=" ", by=STAFF, at=END)


@pytest.mark.parametrize("decide", [holds.prolong, holds.release])
def test_decision_about_what_does_not_hold_is_refused(merchant, decide):
    row = make_delivery(state="done")

    with pytest.raises(Refused, match="удержива"):
        decide(delivery=row, reason="Да", by=STAFF, at=END)


def test_held_paid_end_is_told_to_staff_and_kept(merchant):
    make_ended(merchant)
    row = make_unproved()

    holds.review(at=END + MINUTE)
    holds.review(at=END + 2 * MINUTE)
    raised = reasons()
    holds.review(at=END + timedelta(hours=24))

    row.refresh_from_db()
    assert raised == [(f"evotor_unproved_holds:{merchant.pk}", 1, merchant.pk)]
    assert row.holds_until == END + timedelta(hours=24)
    assert reasons() == []


def test_second_unproved_event_does_not_hold_the_next_end(merchant):
    row = make_ended(merchant)
    make_unproved()
    holds.review(at=END + MINUTE)
    row.entitled_until = END + market.days(31)
    row.save()

    make_unproved(received_at=END + market.days(30))

    assert held(END + market.days(31) + MINUTE) == []


def test_released_paid_end_is_held_no_more(merchant):
    make_ended(merchant)
    row = make_unproved()

    holds.release(delivery=row, reason="Ключ украден", by=STAFF, at=END + MINUTE)

    assert held(END + 2 * MINUTE) == []


def test_sweep_reviews_what_holds(merchant):
    make_delivery(
        received_at=clock.now() - 16 * MINUTE,
        state="failed",
        attempts=3,
        next_try_at=clock.now() + MINUTE,
    )

    tasks.sweep()

    assert reasons() == [("evotor.waits_too_long", 1, None)]


@pytest.mark.parametrize("action", ["prolong", "release"])
def test_staff_decide_about_a_hold_on_its_page(client, merchant, action):
    client.force_login(User.objects.create_superuser("olga", "long password 12", name="Ольга"))
    row = make_delivery(received_at=clock.now())
    address = reverse(f"admin:evotor_delivery_{action}", args=[row.pk])

    page = client.get(reverse("admin:evotor_delivery_change", args=[row.pk]))
    client.post(address, {"reason": "Так решили"})

    row.refresh_from_db()
    assert address in page.content.decode()
    assert row.holds_until is not None


def logged() -> list[tuple[Any, ...]]:
    return list(AuditEvent.objects.values_list("action", "actor_name", "merchant_id", "reason"))
