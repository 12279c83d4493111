"""What is odd and decides nothing discards nothing; what is odd and decides is put before staff."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from cabinet.models import Alert
from subscriptions.evotor.models import Delivery, Hook, Sender
from subscriptions.evotor.schemas import UserCreate
from subscriptions.evotor.services import register
from subscriptions.evotor.tests import market
from subscriptions.models import Installation
from subscriptions.rules import state_of
from subscriptions.states import SubscriptionState

pytestmark = pytest.mark.django_db

LEFT_OUT = "Применено без непонятного: {}."
ODD_CHARGES = [
    {"amount": "300.00", "currency": "RUB"},
    {"amount": 300, "currency": "rub"},
    {"amount": 300, "currency": 643},
    {"amount": 300},
    {"amount": 300.005, "currency": "RUB"},
    300,
]


@pytest.fixture
def merchant():
    market.make_module()
    return register(request=UserCreate(user_id=market.USER), at=market.NOW).merchant


def alerts() -> list[str]:
    return list(Alert.objects.filter(closed_at=None).values_list("key", flat=True))


@pytest.mark.parametrize("charged", ODD_CHARGES, ids=str)
def test_odd_charge_does_not_discard_the_payment(merchant, charged):
    market.deliver(market.created(), market.activated(chargedSum=charged))

    row = market.subscription()
    assert (row.paid_until, row.charged_kopecks) == (market.FIRST_END, None)
    assert market.deliveries() == [("done", ""), ("done", LEFT_OUT.format("chargedSum"))]
    assert alerts() == ["evotor.dropped.subscription/event.chargedSum"]


@pytest.mark.parametrize("charged", ODD_CHARGES, ids=str)
def test_odd_renewal_after_a_stop_keeps_the_card_paid(merchant, charged):
    stop = market.event(3, "SubscriptionTerminationRequested", market.NOW)
    market.deliver(market.created(), market.activated(), stop)

    market.deliver(market.renewed(4, market.NOW, chargedSum=charged))
    market.deliver(market.terminated(5, market.SECOND_END), at=market.SECOND_END)

    row = market.subscription()
    assert row.entitled_until == market.SECOND_END


@pytest.mark.parametrize("plan", [{"planId": 12}, {"planId": None}, {}], ids=str)
def test_odd_plan_is_told_and_the_rest_applied(merchant, plan):
    event = market.created(deviceNumber=3)
    del event["planId"]

    market.deliver(event | plan, market.activated())

    row = market.subscription()
    assert (row.paid_cards, row.tariff, row.paid_until) == (3, None, market.FIRST_END)
    assert market.deliveries()[0] == ("done", LEFT_OUT.format("planId"))


@pytest.mark.parametrize(
    ("addons", "cards"),
    [
        ([{"id": "smartcard", "quantity": 1}, {"id": 5}], 5),
        ([{"id": "smartcard", "quantity": 9}, "?"], 11),
        ([{"id": "smartcard", "quantity": 1}], 3),
    ],
    ids=["falls not", "rises", "whole list falls"],
)
def test_partial_options_add_and_remove_nothing(merchant, addons, cards):
    three = [{"id": "smartcard", "quantity": 3}]
    market.deliver(market.created(), market.event(2, "AddonsUpdated", market.BOUGHT, addons=three))

    market.deliver(market.event(3, "AddonsUpdated", market.NOW, addons=addons))

    assert market.subscription().paid_cards == cards


def test_unreadable_type_with_a_good_number_leaves_no_gap(merchant):
    market.deliver(market.created(), market.activated(), market.event(3, 5, market.NOW))

    market.deliver(market.terminated(4, market.FIRST_END), at=market.FIRST_END)

    assert market.subscription().terminated_at == market.FIRST_END
    assert market.deliveries()[2] == ("parked", "Неизвестный тип события: тип не прочитан")


def of_nobody(number, **own):
    """An event whose type, owner and module cannot be read."""
    odd = market.event(number, 5, market.NOW, productId=[])
    del odd["userId"]
    return odd | own


def test_unreadable_owner_with_a_good_number_leaves_no_gap(merchant):
    market.deliver(market.created(), market.activated(), of_nobody(3))

    market.deliver(market.terminated(4, market.FIRST_END), at=market.FIRST_END)

    assert market.subscription().terminated_at == market.FIRST_END
    assert market.deliveries()[2] == ("parked", "Неизвестный тип события: тип не прочитан")


def test_unreadable_owner_closes_the_gap_at_once(merchant):
    market.deliver(market.created(), market.activated(), market.terminated(4, market.NOW))
    before = market.subscription().terminated_at

    market.deliver(of_nobody(3))

    assert before is None
    assert market.subscription().terminated_at == market.NOW


def test_unreadable_owner_of_the_first_event_discards_no_payment(merchant):
    market.deliver(of_nobody(1))

    market.deliver(market.created(2), market.activated(3))

    assert market.subscription().paid_until == market.FIRST_END
    assert market.deliveries() == [
        ("parked", "Неизвестный клиент: номер не прочитан"),
        ("done", ""),
        ("done", ""),
    ]


def test_end_stamped_hours_ahead_is_put_before_staff(merchant):
    ahead = market.FIRST_END + market.days(365)
    market.deliver(market.created(), market.activated())

    market.deliver(market.terminated(3, ahead))

    assert market.subscription().entitled_until == ahead
    assert alerts() == ["evotor.ahead"]


def test_early_stamp_counts_from_the_first_of_its_instant(merchant):
    ahead = market.NOW + timedelta(hours=5)
    market.deliver(market.created(at=ahead), market.activated(at=ahead))

    market.deliver(market.event(3, "SubscriptionPaused", ahead), at=market.NOW + timedelta(hours=1))

    assert market.subscription().entitled_from == market.NOW


def push(client, hook, rows, **headers):
    token = market.register(client)
    market.send(client, hook, rows, method="PUT", headers=market.bearer(token) | headers)
    market.work()


def test_one_odd_terminal_does_not_park_the_list(client, merchant):
    odd = {"uuid": "b", "name": "К" * 600, "timezoneOffset": "+3", "imei": 5, "storeUuid": 1}
    rows = [{"uuid": "a", "name": "Касса 1"}, odd, {"uuid": 7}, "строка"]

    push(client, "inventories/devices", rows)

    names = list(merchant.terminals.order_by("evotor_id").values_list("name", "imei"))
    assert names == [("Касса 1", ""), ("К" * 200, "")]
    assert market.deliveries() == [
        ("done", LEFT_OUT.format("imei, storeUuid, строка списка")),
    ]


def test_rows_of_another_owner_are_refused(merchant):
    stranger = register(request=UserCreate(user_id=market.STRANGER), at=market.NOW).merchant
    row = Delivery.objects.create(
        hook=Hook.DEVICES,
        body_hash="1",
        body=json.dumps(
            [{"id": "a", "user_id": market.USER}, {"id": "b", "user_id": market.STRANGER}]
        ),
        user_id=market.USER,
        authorized_as="клиент",
        received_at=market.NOW,
    )

    market.work()

    row.refresh_from_db()
    assert row.parked_for == "foreign_rows"
    assert merchant.terminals.count() == 0
    assert stranger.terminals.count() == 0


@pytest.mark.parametrize("body", ["{}", '{"items": 5}'])
def test_object_without_rows_is_put_before_staff(merchant, body):
    row = Delivery.objects.create(
        hook=Hook.DEVICES,
        body_hash="1",
        body=body,
        user_id=market.USER,
        authorized_as=Sender.USER,
        received_at=market.NOW,
    )

    market.work()

    row.refresh_from_db()
    assert (row.state, row.parked_for) == ("parked", "bad_form")
    assert merchant.terminals.count() == 0
    assert alerts() == [f"evotor.bad_form.{Hook.DEVICES}"]


def test_far_billing_date_is_applied_and_put_before_staff(merchant):
    market.deliver(market.created(), market.activated(nextBillingDate="2199-12-31T00:00:00Z"))

    assert market.subscription().paid_until == datetime(2199, 12, 31, tzinfo=UTC)
    assert alerts() == [f"evotor.far_billing.{market.USER}"]
    assert Alert.objects.get().merchant_id == merchant.pk


def test_payment_stamped_hours_ahead_counts_from_its_arrival(merchant):
    ahead = market.NOW + timedelta(hours=5)

    market.deliver(market.created(), market.activated(at=ahead))

    row = market.subscription()
    assert state_of(row, market.NOW) is SubscriptionState.ACTIVE
    assert (row.entitled_from, row.paid_until) == (market.NOW, market.FIRST_END)
    assert alerts() == ["evotor.ahead"]


@pytest.mark.parametrize("order", [1, -1], ids=["removal first", "install first"])
def test_removal_and_install_in_one_millisecond_is_installed(merchant, order):
    moves = [
        market.moved("ApplicationUninstalled", market.NOW, 3),
        market.moved("ApplicationInstalled", market.NOW, 2),
    ]
    market.deliver(market.moved("ApplicationInstalled", market.BOUGHT, 1), *moves[::order])

    rows = Installation.objects.order_by("installed_at").values_list("installed_at", "removed_at")
    assert list(rows) == [(market.BOUGHT, market.NOW), (market.NOW, None)]
