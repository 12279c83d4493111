"""What events charged: nothing is lost by what comes later; the migration fills it in."""

from importlib import import_module

import pytest
from django.apps import apps
from django.db import IntegrityError, transaction

from subscriptions.evotor.schemas import UserCreate
from subscriptions.evotor.services import register
from subscriptions.evotor.tests import market
from subscriptions.models import Charge

pytestmark = pytest.mark.django_db


@pytest.fixture
def known():
    market.make_module()
    return register(request=UserCreate(user_id=market.USER), at=market.NOW).merchant


def charged() -> list[tuple[int, str, int | None]]:
    return list(Charge.objects.order_by("number").values_list("number", "kind", "kopecks"))


def change(number: int, day: int, **own):
    at = market.BOUGHT + market.days(day)
    return market.event(number, "SubscriptionTermsChanged", at, **own)


ROUBLES = {"amount": 100, "currency": "RUB"}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param(
            [market.renewed(3, market.NOW, nextBillingDate=market.FIRST_END.isoformat())],
            [(3, "payment", 60_000)],
            id="a payment that brings no later date",
        ),
        pytest.param(
            [
                market.renewed(
                    3, market.NOW, nextBillingDate=market.FIRST_END.isoformat(), chargedSum=None
                )
            ],
            [],
            id="a free resumption",
        ),
        pytest.param(
            [market.renewed(3, chargedSum={"amount": 7, "currency": "USD"})],
            [(3, "payment", None)],
            id="another currency",
        ),
        pytest.param([change(3, 5, deviceNumber=1)], [(3, "change", 0)], id="fewer cards"),
        pytest.param(
            [change(3, 5, deviceNumber=4)], [(3, "change", None)], id="more cards without a sum"
        ),
        pytest.param(
            [change(3, 5, planId="kassovye-3m", chargedSum=ROUBLES)],
            [(3, "change", 10_000)],
            id="another tariff",
        ),
        pytest.param(
            [
                market.event(
                    3,
                    "AddonsUpdated",
                    market.NOW,
                    addons=[{"id": "smartcard", "quantity": 2}],
                ),
                change(4, 1, chargedSum=ROUBLES),
            ],
            [(3, "change", 10_000)],
            id="options and their sum",
        ),
        pytest.param([change(3, 5)], [], id="nothing changed"),
        pytest.param(
            [market.terminated(3, market.FIRST_END), change(4, 60, chargedSum=ROUBLES)],
            [(4, "payment", 10_000)],
            id="a sum after the end",
        ),
    ],
)
def test_each_event_charges_what_it_says(known, events, expected):
    market.deliver(market.created(), market.activated(), *events)

    assert charged() == [(2, "payment", 60_000), *expected]


def test_change_on_trial_charges_nothing(known):
    market.deliver(market.created(trialPeriodDuration="P14DT"), change(2, 5, deviceNumber=4))

    assert charged() == []


def test_late_event_of_an_earlier_number_corrects_a_charge(known):
    market.deliver(market.created(), market.activated(), change(4, 5, deviceNumber=2))
    before = charged()

    market.deliver(change(3, 4, deviceNumber=4, chargedSum=ROUBLES))

    assert before == [(2, "payment", 60_000)]
    assert charged() == [
        (2, "payment", 60_000),
        (3, "change", 10_000),
        (4, "change", 0),
    ]


def test_migration_fills_charges_of_stored_events(known):
    market.deliver(market.created(), market.activated(), change(3, 5, deviceNumber=4))
    before = market.kept(market.subscription())["charges"]
    Charge.objects.all().delete()
    fill = import_module("subscriptions.evotor.migrations.0008_fill_charges").fill

    fill(apps, None)
    fill(apps, None)

    assert market.kept(market.subscription())["charges"] == before


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({}, "charge_once_for_an_event"),
        ({"number": 7, "kind": "gift"}, "charge_kind_known"),
        ({"number": 7, "ends_at": market.BOUGHT - market.days(1)}, "charge_dates_in_order"),
    ],
)
def test_database_refuses_charges_that_cannot_be(known, fields, constraint):
    market.deliver(market.created(), market.activated())
    row = Charge.objects.get()
    row.pk = None
    for name, value in fields.items():
        setattr(row, name, value)

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        row.save(force_insert=True)
