"""Only the application is believed about money and installation."""

import importlib
import json
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.urls import reverse

from cabinet.actors import Actor
from cabinet.enums import ActorKind
from cabinet.errors import Refused
from cabinet.models import Alert, AuditEvent, Merchant, User
from subscriptions.evotor import inbox, queries, tasks
from subscriptions.evotor.models import (
    Delivery,
    Hook,
    InstallationEvent,
    Problem,
    Sender,
    SubscriptionEvent,
)
from subscriptions.evotor.schemas import UserCreate
from subscriptions.evotor.services import register
from subscriptions.evotor.tests import market
from subscriptions.models import Installation, Subscription

pytestmark = pytest.mark.django_db

STAFF = Actor(ActorKind.STAFF, "Ольга Поддержкина", 7)
FREE = (
    market.created(deviceNumber=500),
    market.activated(nextBillingDate="2098-01-01T00:00:00Z"),
)


@pytest.fixture
def merchant() -> Merchant:
    market.make_module()
    return register(request=UserCreate(user_id=market.USER), at=market.NOW).merchant


def bring(*payloads, sender=Sender.USER, at=market.NOW, spaces=0) -> list[Delivery]:
    """Stored and processed with the token of `sender`."""
    stored = []
    for payload in payloads:
        about = payload.get("data", payload)
        row = inbox.store(
            hook=Hook.INSTALLATION if "data" in payload else Hook.SUBSCRIPTION,
            body=json.dumps(payload).encode() + b" " * spaces,
            user_id=about["userId"],
            event_type=payload["type"],
            authorized_as=sender,
            at=at,
        )
        stored.append(row)
    market.work(at)
    return stored


def unproved() -> list[int]:
    parked = Delivery.objects.filter(parked_for="unproved").order_by("pk")
    return list(parked.values_list("pk", flat=True))


def open_alerts() -> list[tuple[Any, ...]]:
    rows = Alert.objects.filter(closed_at=None).order_by("key")
    return list(rows.values_list("key", "seen_times", "merchant_id"))


def test_events_with_a_user_token_change_nothing(merchant):
    removed = market.moved("ApplicationInstalled", market.BOUGHT, 1)

    rows = bring(*FREE, removed)

    assert unproved() == [row.pk for row in rows]
    assert SubscriptionEvent.objects.count() == 0
    assert InstallationEvent.objects.count() == 0
    assert Subscription.objects.count() == 0
    assert Installation.objects.count() == 0
    assert open_alerts() == [(f"evotor.unproved.{market.USER}", 3, merchant.pk)]
    assert "EVOTOR_EVENT_TOKENS" in Alert.objects.get().text


def test_events_with_a_user_token_are_answered_200(client):
    market.make_module()
    token = market.register(client)

    answer = market.send(client, "subscription/event", FREE[0], headers=market.bearer(token))
    market.work()

    assert answer.status_code == 200
    assert Delivery.objects.get().parked_for == "unproved"


def test_setting_believes_events_with_a_user_token(merchant, settings):
    bring(*FREE)
    settings.EVOTOR_EVENT_TOKENS = ["application", "user"]

    tasks.sweep()

    assert market.subscription().paid_cards == 500
    assert open_alerts() == [(f"evotor.far_billing.{market.USER}", 1, merchant.pk)]


@pytest.mark.parametrize("spaces", [0, 1], ids=["same body", "same number"])
def test_application_token_proves_an_unaccepted_event(merchant, spaces):
    bring(market.created(), market.activated())

    bring(market.created(), market.activated(), sender=Sender.APPLICATION, spaces=spaces)
    # The storage keeps the same body once, and says who has proved it since.
    Delivery.objects.filter(repeats=1).update(authorized_as=Sender.APPLICATION)
    tasks.sweep()

    assert market.subscription().paid_until == market.FIRST_END
    assert unproved() == []
    assert open_alerts() == []


def test_proved_event_is_applied_beside_an_unreadable_unaccepted_one(merchant):
    (unaccepted,) = bring(market.created())
    Delivery.objects.update(body="[]")  # by the rules of then it could be read

    bring(market.created(), sender=Sender.APPLICATION, spaces=1)

    assert unproved() == [unaccepted.pk]
    assert market.deliveries() == [
        ("parked", Delivery.objects.get(pk=unaccepted.pk).note),
        ("done", ""),
    ]
    assert Subscription.objects.count() == 1


def test_unaccepted_event_does_not_occupy_its_number(merchant):
    bring(*FREE)

    bring(market.created(), market.activated(), sender=Sender.APPLICATION)
    tasks.sweep()

    row = market.subscription()
    assert (row.paid_cards, row.paid_until) == (2, market.FIRST_END)
    assert market.deliveries() == [("done", inbox.OTHER_NUMBER)] * 2 + [("done", "")] * 2
    assert open_alerts() == []


def test_application_token_proves_an_installation(merchant):
    event = market.moved("ApplicationInstalled", market.BOUGHT, 1)
    bring(event)

    bring(event, sender=Sender.APPLICATION, spaces=1)
    tasks.sweep()

    assert Installation.objects.get().removed_at is None
    assert market.deliveries() == [("done", inbox.REPEAT), ("done", "")]


def test_repeat_with_a_user_token_is_no_matter_for_staff(merchant):
    bring(market.created(), sender=Sender.APPLICATION)

    bring(market.created(), spaces=1)

    assert market.deliveries() == [("done", ""), ("done", inbox.REPEAT)]
    assert open_alerts() == []


def test_staff_accept_one_event_with_a_reason(merchant):
    first, second = bring(market.created(), market.activated())

    number = inbox.accept(
        rows=Delivery.objects.filter(pk=first.pk), reason="Проверено", by=STAFF, at=market.NOW
    )
    market.work()

    assert number == 1
    assert unproved() == [second.pk]
    assert market.subscription().paid_until is None
    assert open_alerts() == [(f"evotor.unproved.{market.USER}", 2, merchant.pk)]
    logged = AuditEvent.objects.filter(action="event_accepted")
    assert list(logged.values_list("actor_name", "merchant_id", "reason")) == [
        (STAFF.name, merchant.pk, "Проверено")
    ]


def test_staff_accept_all_events_of_one_merchant(client, merchant):
    register(request=UserCreate(user_id=market.STRANGER), at=market.NOW)
    client.force_login(User.objects.create_superuser("olga", "long password 12", name="Ольга"))
    (foreign,) = bring(market.created(userId=market.STRANGER, subscriptionId=market.PRODUCT))
    first, _ = bring(market.created(), market.activated())
    address = reverse("admin:evotor_delivery_accept_all", args=[first.pk])

    refused = client.post(address, {"reason": ""})
    before = unproved()
    client.post(address, {"reason": "Проверено в кабинете разработчика"})
    market.work()

    assert refused.context["form"].errors == {"reason": ["Укажите причину."]}
    assert len(before) == 3
    assert unproved() == [foreign.pk]
    assert market.subscription().paid_until == market.FIRST_END
    assert open_alerts() == [
        (
            f"evotor.unproved.{market.STRANGER}",
            1,
            Merchant.objects.get(evotor_user_id=market.STRANGER).pk,
        )
    ]


@pytest.mark.parametrize("reason", ["", "  "])
def test_acceptance_without_a_reason_is_refused(merchant, reason):
    bring(market.created())

    with pytest.raises(Refused, match="Укажите причину"):
        inbox.accept(rows=Delivery.objects.all(), reason=reason, by=STAFF, at=market.NOW)

    assert len(unproved()) == 1


def test_acceptance_of_what_is_believed_is_refused(merchant):
    bring(market.created(), sender=Sender.APPLICATION)

    with pytest.raises(Refused, match="уже принято"):
        inbox.accept(rows=Delivery.objects.all(), reason="Да", by=STAFF, at=market.NOW)


def test_accepted_payment_holds_until_it_is_processed(merchant):
    bring(market.created(), market.activated())
    later = market.NOW + market.days(1)

    inbox.accept(rows=Delivery.objects.all(), reason="Проверено", by=STAFF, at=later)
    waiting = list(queries.merchants_with_unprocessed_payment(later))
    market.work(later)

    assert waiting == [merchant.pk]
    assert list(queries.merchants_with_unprocessed_payment(later)) == []


def test_proved_payment_holds_whatever_was_decided_before(merchant):
    (row,) = bring(market.activated(1))
    later = market.NOW + market.days(1)
    Delivery.objects.update(holds_until=market.NOW)

    inbox.store(
        hook=Hook.SUBSCRIPTION,
        body=row.body.encode(),
        user_id=market.USER,
        event_type=row.event_type,
        authorized_as=Sender.APPLICATION,
        at=later,
    )

    assert list(queries.merchants_with_unprocessed_payment(later)) == [merchant.pk]


def test_accepted_event_conflicts_with_a_proved_number(merchant):
    (row,) = bring(market.created(deviceNumber=500))
    Delivery.objects.update(accepted_at=market.NOW)
    bring(market.created(), sender=Sender.APPLICATION)

    tasks.sweep()

    row.refresh_from_db()
    assert market.subscription().paid_cards == 2
    assert row.parked_for == Problem.CONFLICT


def test_events_stored_before_stay_accepted(merchant):
    rows = bring(market.created(), market.moved("ApplicationInstalled", market.BOUGHT, 1))
    inbox.store(
        hook=Hook.DEVICES,
        body=b"[]",
        user_id=market.USER,
        event_type="",
        authorized_as=Sender.USER,
        at=market.NOW,
    )
    migration = importlib.import_module("subscriptions.evotor.migrations.0005_accept_stored_events")

    migration.accept(apps, None)

    accepted = Delivery.objects.filter(accepted_at=market.NOW)
    assert list(accepted.order_by("pk")) == rows
    assert all(queries.is_believed(row) for row in accepted)


def test_open_alerts_of_deliveries_become_one_of_a_cause(merchant):
    odd = bring(*(market.created() | {"sequenceNumber": text} for text in "abc"))
    Alert.objects.all().delete()
    for row in odd:
        Alert.objects.create(key=f"evotor.delivery.{row.pk}", text="…", raised_at=market.NOW)
    migration = importlib.import_module(
        "subscriptions.evotor.migrations.0006_one_alert_for_one_cause"
    )

    migration.merge(apps, None)

    assert open_alerts() == [("evotor.bad_form.subscription/event", 1, None)]


def test_hundred_odd_events_are_one_alert(merchant):
    odd = [market.created() | {"sequenceNumber": f"№ {number}"} for number in range(100)]

    bring(*odd, sender=Sender.APPLICATION, at=market.NOW + timedelta(seconds=1))

    assert open_alerts() == [("evotor.bad_form.subscription/event", 100, None)]
