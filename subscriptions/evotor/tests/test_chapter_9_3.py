"""The list of test cases in chapter 9.3 of our dossier on Evotor, one by one."""

import gzip
import json
import time

import pytest
from django.db import connection

from cabinet.celery import app
from cabinet.tasks import task_queue
from subscriptions.evotor import tasks
from subscriptions.evotor.models import Delivery
from subscriptions.evotor.tests import market
from subscriptions.models import Subscription

pytestmark = pytest.mark.django_db

TYPES = {
    "created": market.created(1),
    "addons": market.event(
        2, "AddonsUpdated", market.BOUGHT, addons=[{"id": "smartcard", "quantity": 2}]
    ),
    "activated": market.activated(2),
    "renewed": market.renewed(3),
    "terms": market.event(3, "SubscriptionTermsChanged", market.NOW, deviceNumber=1),
    "requested": market.event(3, "SubscriptionTerminationRequested", market.NOW),
    "terminated": market.terminated(3, market.NOW),
}
REQUIRED = ("subscriptionId", "productId", "userId", "timestamp", "sequenceNumber")
OWN = {
    "created": ("trialPeriodDuration",),
    "addons": ("addons",),
    "activated": ("nextBillingDate",),
    "renewed": ("nextBillingDate",),
}
WITHOUT = [(name, key) for name in TYPES for key in (*REQUIRED, *OWN.get(name, ()))]


@pytest.fixture(autouse=True)
def _known(client):
    market.make_module()
    market.register(client)


def post(client, payload, **keys):
    answer = market.send(client, "subscription/event", payload, **keys)
    market.work()
    return answer.status_code


@pytest.mark.parametrize("name", TYPES)
def test_each_type_with_its_required_keys(client, name):
    assert post(client, TYPES[name]) == 200
    assert market.deliveries() == [("done", "")]


@pytest.mark.parametrize(("name", "key"), WITHOUT)
def test_each_type_with_one_required_key_less_is_parked(client, name, key):
    payload = {left: value for left, value in TYPES[name].items() if left != key}

    status = post(client, payload)

    assert status == 200
    assert market.deliveries() == [("parked", f"Непонятное содержание: 2002 missing {key}")]


@pytest.mark.parametrize("name", TYPES)
def test_unknown_keys_are_passed_over(client, name):
    strange = {"глубже": ["\u0000", "\ud800", 10**400, 1e300]}

    assert post(client, TYPES[name] | {"новое": strange}) == 200
    assert market.deliveries() == [("done", "")]


def test_unknown_type(client):
    assert post(client, market.event(1, "SubscriptionFrozen", market.NOW)) == 200
    assert market.deliveries() == [("parked", "Неизвестный тип события: SubscriptionFrozen")]


def test_wrong_and_missing_token(client):
    assert post(client, market.created(), headers={}) == 401
    assert post(client, market.created(), headers=market.bearer("wrong")) == 401


def test_user_token_of_another_user(client):
    token = market.register(client, market.STRANGER)

    assert post(client, market.created(), headers=market.bearer(token)) == 401


def test_duplicate_number(client):
    assert [post(client, market.created()), post(client, market.created())] == [200, 200]
    assert Subscription.objects.count() == 1


def test_gap(client):
    post(client, market.created(1))
    post(client, market.terminated(3, market.FIRST_END))

    assert market.subscription().terminated_at is None


def test_number_one_on_a_known_subscription_with_other_content(client):
    post(client, market.created())
    post(client, market.created(planId="kassovye-3m"))

    assert market.subscription().plan_id == "kassovye-1m"
    assert market.deliveries()[1][0] == "parked"


def test_created_twice_with_different_ids_for_one_user(client):
    post(client, market.created())
    post(client, market.created(subscriptionId="b1d7c0de-8f2e-4a4e-9b3c-2f6d5a1e7c90"))

    assert Subscription.objects.count() == 2


def test_renewed_after_terminated(client):
    for payload in (
        market.created(),
        market.activated(),
        market.terminated(3, market.FIRST_END),
        market.renewed(4, market.FIRST_END + market.days(1)),
    ):
        post(client, payload)

    row = market.subscription()
    assert row.terminated_at is None
    assert row.paid_until == market.SECOND_END


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (
            "planId",
            "kassovye-3m",
            {"plan_id": "kassovye-3m", "paid_cards": 2, "paid_until": market.FIRST_END},
        ),
        (
            "deviceNumber",
            5,
            {"plan_id": "kassovye-1m", "paid_cards": 5, "paid_until": market.FIRST_END},
        ),
        (
            "nextBillingDate",
            market.SECOND_END.isoformat(),
            {"plan_id": "kassovye-1m", "paid_cards": 2, "paid_until": market.SECOND_END},
        ),
        (
            "chargedSum",
            {"amount": 1, "currency": "RUB"},
            {"plan_id": "kassovye-1m", "paid_cards": 2, "paid_until": market.FIRST_END},
        ),
    ],
)
def test_terms_changed_with_one_key(client, key, value, expected):
    post(client, market.created())
    post(client, market.activated())
    post(client, market.event(3, "SubscriptionTermsChanged", market.NOW, **{key: value}))

    row = market.subscription()
    assert {name: getattr(row, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("sent", "days"), [("P14DT", 14), ("P07DT", 7), ("P0DT", None), ("P14D", 14)]
)
def test_trial_durations(client, sent, days):
    post(client, market.created(trialPeriodDuration=sent))

    expected = None if days is None else market.BOUGHT + market.days(days)
    assert market.subscription().trial_until == expected


@pytest.mark.parametrize(
    "sent",
    [
        "2025-03-01T10:00:00.000+0000",
        "2025-03-01T10:00:00Z",
        "2025-03-01T10:00:00+00:00",
        "2025-03-01T13:00:00+0300",
        "1740823200000",
        1740823200000,
    ],
)
def test_spellings_of_time(client, sent):
    post(client, market.created(timestamp=sent))

    assert market.subscription().created_at == market.BOUGHT


def test_upper_case_uuid_is_the_same_subscription(client):
    post(client, market.created())
    post(
        client,
        market.activated(
            subscriptionId=market.SUBSCRIPTION.upper(), productId=market.PRODUCT.upper()
        ),
    )

    assert market.subscription().paid_until == market.FIRST_END


def test_amount_without_an_error_of_floats(client):
    post(client, market.created())
    post(client, market.activated(chargedSum={"amount": 2416.67, "currency": "RUB"}))

    assert market.subscription().charged_kopecks == 241_667


def test_wrong_product(client):
    assert post(client, market.created(productId="c0d01x35-5193-4cc2-9bfb-be20e0679498")) == 200
    assert Subscription.objects.count() == 0


def test_three_days_of_repeats(client):
    for _ in range(3 * 24 * 60 // 60):
        market.send(client, "subscription/event", market.created())

    assert list(Delivery.objects.values_list("repeats", flat=True)) == [71]


def test_answer_needs_no_broker_and_no_worker(
    client, monkeypatch, caplog, django_capture_on_commit_callbacks
):
    monkeypatch.setattr(task_queue._pause, "ends_at", 0.0)
    monkeypatch.setitem(app.conf, "broker_write_url", "redis://127.0.0.1:1/0")

    with django_capture_on_commit_callbacks(execute=True):
        answer = market.send(client, "subscription/event", market.created())
    time.sleep(3 * task_queue.SOON_SECONDS)

    assert answer.status_code == 200
    assert "Could not send evotor.drain" in caplog.text
    tasks.sweep()
    assert market.deliveries() == [("done", "")]


def test_event_is_stored_in_few_queries(client, django_assert_max_num_queries):
    with django_assert_max_num_queries(8, connection=connection):
        market.send(client, "subscription/event", market.created())


def test_gzip_body(client):
    status = post(
        client,
        gzip.compress(json.dumps(market.created()).encode()),
        headers=market.bearer() | {"Content-Encoding": "gzip"},
    )

    assert status == 200
    assert Subscription.objects.count() == 1


def test_not_json(client):
    assert post(client, b"userId=01") == 400


def test_body_over_ten_megabytes(client):
    assert post(client, b" " * (10 * 1024 * 1024 + 1)) == 413
