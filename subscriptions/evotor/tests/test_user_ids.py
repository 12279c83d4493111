"""User ids may be hexadecimal: two spellings of one are one company, and answers repeat the request's."""

import threading

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client

from cabinet import clock
from cabinet.models import Merchant
from cabinet.tests.people import AT, make_merchant
from subscriptions.evotor import inbox, tasks
from subscriptions.evotor.models import Account, Delivery
from subscriptions.evotor.panels import deliveries
from subscriptions.evotor.sandbox.actions import ActionRequest
from subscriptions.evotor.sandbox.cloud_api import devices, stores
from subscriptions.evotor.sandbox.hooks import Answer
from subscriptions.evotor.sandbox.market import Market
from subscriptions.evotor.tests import market

pytestmark = pytest.mark.django_db

SPELLED = "0a-00000Bc00000dEF"
OTHERWISE = "0A-00000bC00000Def"
FOUND = SPELLED.upper()


def of_user(payload, user_id):
    return payload | {"userId": user_id}


def test_create_keeps_the_spelling_and_answers_in_the_requests(client):
    first = market.send(client, "user/create", {"userId": SPELLED})
    second = market.send(client, "user/create", {"userId": OTHERWISE})

    account = Account.objects.get()
    assert account.merchant.evotor_user_id == SPELLED
    assert first.json() == {"userId": SPELLED, "token": account.token}
    assert second.json() == {"userId": OTHERWISE, "token": account.token}


def test_verify_and_token_find_another_spelling(client):
    token = market.register(client, SPELLED)

    verified = market.send(client, "user/verify", {"userId": OTHERWISE})
    kept = market.send(client, "user/token", {"userId": OTHERWISE, "token": "cloud"})

    assert verified.json() == {"userId": OTHERWISE, "hasBilling": False, "token": token}
    assert kept.status_code == 200
    assert Account.objects.get().cloud_token == "cloud"


@pytest.mark.parametrize(
    "user_id", ["0g-000000000000001", "01-00000000000001", "01-00000000000000я"]
)
def test_other_letters_and_lengths_are_no_user_id(client, user_id):
    answer = market.send(client, "user/create", {"userId": user_id})

    assert answer.status_code == 400
    assert Merchant.objects.count() == 0


def test_database_refuses_a_second_spelling_and_other_letters():
    make_merchant(evotor_user_id=SPELLED)

    with pytest.raises(IntegrityError, match="merchant_evotor_user_id_once"), transaction.atomic():
        make_merchant(evotor_user_id=OTHERWISE)
    with (
        pytest.raises(IntegrityError, match="merchant_evotor_user_id_format"),
        transaction.atomic(),
    ):
        make_merchant(evotor_user_id="0g-000000000000001")


def test_paid_events_of_both_spellings_are_one_subscription(client):
    market.make_module()
    market.register(client, SPELLED)

    market.send(client, "subscription/event", of_user(market.created(), SPELLED))
    market.send(client, "subscription/event", of_user(market.activated(), OTHERWISE))
    installed = market.moved("ApplicationInstalled", market.BOUGHT, 1, userId=OTHERWISE)
    market.send(client, "installation/event", installed)
    market.work()

    bought = market.subscription()
    assert market.deliveries() == [("done", "")] * 3
    assert bought.merchant.evotor_user_id == SPELLED
    assert bought.paid_until == market.FIRST_END
    assert bought.merchant.installations.count() == 1
    assert set(Delivery.objects.values_list("user_id", flat=True)) == {FOUND}
    assert len(deliveries(bought.merchant, clock.now()).rows) == 3


def test_own_token_proves_events_in_another_spelling(client):
    token = market.register(client, SPELLED)
    created = of_user(market.created(), OTHERWISE)

    own = market.send(client, "subscription/event", created, headers=market.bearer(token))
    by_header = market.send(
        client,
        "inventories/stores",
        [],
        method="PUT",
        headers=market.bearer(token) | {"X-Evotor-User-Id": OTHERWISE},
    )

    assert [own.status_code, by_header.status_code] == [200, 200]


def test_events_before_the_user_wait_for_another_spelling(client):
    market.make_module()
    market.send(client, "subscription/event", of_user(market.created(), OTHERWISE))
    market.work()
    assert [row.state for row in market.deliveries()] == ["parked"]

    market.register(client, SPELLED)
    requeued = inbox.requeue_known_users()
    tasks.sweep()

    assert requeued == 1
    assert market.deliveries() == [("done", "")]


def test_entry_knows_the_user_in_either_spelling(client):
    token = market.register(client, SPELLED)

    answers = [
        client.get(
            "/evotor/enter/", {"uid": uid, "token": token}, headers={"sec-fetch-dest": "document"}
        )
        for uid in (SPELLED, OTHERWISE)
    ]

    assert [answer.status_code for answer in answers] == [303, 303]


@pytest.mark.django_db(transaction=True)
def test_two_spellings_at_once_make_one_merchant():
    start, tokens = threading.Barrier(16), []

    def create(user_id):
        try:
            start.wait(timeout=30)
            tokens.append(market.register(Client(), user_id))
        finally:
            connection.close()

    threads = [threading.Thread(target=create, args=(one,)) for one in [SPELLED, OTHERWISE] * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert tokens == [Account.objects.get().token] * 16


def test_sandbox_market_plays_a_hexadecimal_user():
    posted = []

    def post(hook):
        posted.append(hook)
        return Answer(200, {"userId": hook.user_id, "token": "t"})

    playing = Market(post=post)
    wanted = ActionRequest(at=AT, plan_id="kassovye-1m", devices=1)
    playing.act("install", SPELLED, market.PRODUCT, wanted, AT)

    assert {hook.user_id for hook in posted} == {SPELLED}
    assert playing.account(SPELLED).token == "t"
    assert len(stores(SPELLED)) == 2
    assert len(devices(SPELLED)) == 4
