"""The hooks over HTTP: proof, form, answers, what is kept."""

import base64
import gzip
import json
import threading
import zlib
from io import BytesIO

import pytest
from django.db import connection
from django.test import Client, RequestFactory

from cabinet.models import Merchant
from subscriptions.evotor import webhooks
from subscriptions.evotor.models import Account, Delivery
from subscriptions.evotor.tests import market
from subscriptions.models import Module

pytestmark = pytest.mark.django_db

EVENTS = ("subscription/event", "installation/event")
INVENTORIES = ("inventories/devices", "inventories/stores", "inventories/employees")


def errors(code, **keys):
    return {"errors": [{"code": code, **keys}]}


@pytest.fixture(autouse=True)
def _app_token(settings):
    settings.EVOTOR_APP_TOKENS = ["app-token-new", "app-token-old"]
    settings.EVOTOR_BASIC = ""


# Paths and methods


@pytest.mark.parametrize("prefix", ["/api/v1/", "/api/v2/", "/"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_hook_is_served_with_and_without_prefix_and_slash(client, prefix, slash):
    answer = client.post(
        f"{prefix}user/create{slash}",
        {"userId": market.USER},
        content_type="application/json",
        headers=market.bearer(),
    )

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("hook", "method"),
    [("user/create", "GET"), ("subscription/event", "PUT"), ("inventories/devices", "POST")],
)
def test_hook_refuses_other_methods(client, hook, method):
    answer = market.send(client, hook, {}, method=method)

    assert answer.status_code == 405
    assert answer.json() == {}
    assert answer["Allow"] in {"POST", "PUT"}


def test_hook_that_is_not_served_is_not_found(client):
    answer = market.send(client, "commodities", {})

    assert answer.status_code == 404
    assert answer.json() == {}


# Proof


@pytest.mark.parametrize("hook", ["user/create", "user/verify", "user/token", *EVENTS])
@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer wrong",
        "Bearer app-token-ne",
        "app-token-new",
        "Basic app-token-new",
        "Basic %%%",
        "Bearer токен",
    ],
)
def test_hook_turns_an_unproved_caller_away_and_keeps_nothing(client, hook, header):
    answer = market.send(client, hook, market.created(), headers={"Authorization": header})

    assert answer.status_code == 401
    assert answer.json() == errors(1001)
    assert Merchant.objects.count() == 0
    assert Delivery.objects.count() == 0


@pytest.mark.parametrize("hook", INVENTORIES)
def test_inventory_turns_an_unproved_caller_away(client, hook):
    answer = market.send(client, hook, [], method="PUT", headers={"Authorization": "Bearer no"})

    assert answer.status_code == 401
    assert answer.json() == errors(1002)


@pytest.mark.parametrize("token", ["app-token-new", "app-token-old", "module-token", "module-old"])
def test_hook_knows_every_application_token_while_rotating(client, token):
    module = market.make_module()
    module.app_tokens = "module-token\nmodule-old\n"
    module.save()

    answer = market.send(
        client, "user/create", {"userId": market.USER}, headers=market.bearer(token)
    )

    assert answer.status_code == 200


@pytest.mark.parametrize("login", ["setting:secret", "module:secret"])
def test_hook_knows_basic_log_ins(client, settings, login):
    settings.EVOTOR_BASIC = "setting:secret"
    Module.objects.create(
        code="m", title="М", market_product_id=market.PRODUCT, basic_auth="module:secret"
    )
    header = "Basic " + base64.b64encode(login.encode()).decode()

    answer = market.send(
        client, "user/create", {"userId": market.USER}, headers={"Authorization": header}
    )

    assert answer.status_code == 200


def test_empty_basic_log_in_opens_nothing(client):
    header = "Basic " + base64.b64encode(b"").decode()

    answer = market.send(
        client, "user/create", {"userId": market.USER}, headers={"Authorization": header}
    )

    assert answer.status_code == 401


@pytest.mark.parametrize("hook", ["user/create", "user/verify", "user/token"])
def test_request_hooks_do_not_know_the_user_token(client, hook):
    token = market.register(client)

    answer = market.send(
        client, hook, {"userId": market.USER, "token": "t"}, headers=market.bearer(token)
    )

    assert answer.status_code == 401
    assert answer.json() == errors(1001)


@pytest.mark.parametrize(
    ("hook", "payload"),
    [
        ("subscription/event", market.created()),
        ("installation/event", market.moved("ApplicationInstalled", market.BOUGHT, 1)),
    ],
)
def test_user_token_proves_events_of_its_own_user(client, hook, payload):
    token = market.register(client)

    answer = market.send(client, hook, payload, headers=market.bearer(token))

    assert answer.status_code == 200
    assert list(Delivery.objects.values_list("hook", "user_id", "authorized_as")) == [
        (hook, market.USER, "клиент")
    ]


@pytest.mark.parametrize(
    ("hook", "payload"),
    [
        ("subscription/event", market.created()),
        ("subscription/event", market.created(userId=None, userUuid=market.STRANGER)),
        ("subscription/event", {}),
        ("subscription/event", []),
        ("installation/event", market.moved("ApplicationInstalled", market.BOUGHT, 1)),
        ("installation/event", {"userId": market.STRANGER}),
    ],
)
def test_user_token_of_a_stranger_proves_nothing(client, hook, payload):
    market.register(client)
    stranger = market.register(client, market.STRANGER)

    answer = market.send(client, hook, payload, headers=market.bearer(stranger))

    assert answer.status_code == 401
    assert answer.json() == errors(1002)
    assert Delivery.objects.count() == 0


def test_inventory_of_another_named_user_is_refused(client):
    token = market.register(client, market.STRANGER)

    answer = market.send(
        client,
        "inventories/devices",
        [],
        method="PUT",
        headers=market.bearer(token) | {"X-Evotor-User-Id": market.USER},
    )

    assert answer.status_code == 401
    assert answer.json() == errors(1002)
    assert Delivery.objects.count() == 0


# user/create, user/verify, user/token


def test_create_makes_a_merchant_and_repeats_the_token(client):
    first = market.send(client, "user/create", market.sample("user_create"))
    second = market.send(client, "user/create", market.sample("user_create_with_legacy_key"))

    account = Account.objects.get()
    assert first.json() == second.json() == {"userId": market.USER, "token": account.token}
    assert account.merchant.evotor_user_id == market.USER
    assert account.custom_fields == {"customField": "+79990000000"}
    assert len(account.token) == 43
    assert set(account.token) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
    )


def test_tokens_lie_encrypted(client):
    token = market.register(client)
    market.send(client, "user/token", {"userId": market.USER, "token": "cloud-secret"})

    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM evotor_account")
        stored = str(cursor.fetchall())

    assert token not in stored
    assert "cloud-secret" not in stored


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", errors(2001)),
        (b"{", errors(2001)),
        (b"\xff\xfe", errors(2001)),
        (b'{"userId": NaN}', errors(2001)),
        (b"{}", errors(2002, reason="missing", subject="userId")),
        (
            b'{"userId": "1"}',
            errors(2003, reason="incorrect", subject="userId", value="1"),
        ),
        (
            b'{"userId": null}',
            errors(2003, reason="incorrect", subject="userId", value="null"),
        ),
    ],
)
def test_create_says_what_is_wrong(client, body, expected):
    answer = market.send(client, "user/create", body)

    assert answer.status_code == 400
    assert answer.json() == expected
    assert Merchant.objects.count() == 0


def test_verify_gives_the_token_of_a_known_user(client):
    token = market.register(client)

    answer = market.send(client, "user/verify", market.sample("user_verify"))

    assert answer.json() == {"userId": market.USER, "hasBilling": False, "token": token}


def test_verify_of_an_unknown_user_is_wrong_log_in_data(client):
    answer = market.send(client, "user/verify", market.sample("user_verify"))

    assert answer.status_code == 401
    assert answer.json() == errors(1006)


@pytest.mark.parametrize("name", ["user_token", "user_token_legacy_key"])
def test_cloud_token_alone_makes_the_account_and_is_replaced(client, name):
    first = market.send(client, "user/token", {"userId": market.USER, "token": "older"})
    second = market.send(client, "user/token", market.sample(name))

    assert [first.status_code, second.status_code] == [200, 200]
    account = Account.objects.get()
    assert account.merchant.evotor_user_id == market.USER
    assert account.cloud_token == "f46b89a5-8e80-4591-b0aa-94551790444b"


def test_wrong_token_is_never_repeated_in_the_answer(client):
    answer = market.send(client, "user/token", {"userId": market.USER, "token": "се крет"})

    assert answer.status_code == 400
    assert answer.json() == errors(2003, reason="incorrect", subject="token")


# Notifications


def test_event_is_kept_raw_and_not_processed_in_the_request(client):
    body = json.dumps(market.created()).encode()

    answer = market.send(client, "subscription/event", body)

    row = Delivery.objects.get()
    assert answer.status_code == 200
    assert row.body.encode() == body
    assert row.state == Delivery.State.NEW
    assert row.attempts == 0
    assert row.user_id == market.USER
    assert row.event_type == "SubscriptionCreated"
    assert row.authorized_as == "приложение"


def test_repeat_of_an_event_is_counted_and_kept_once(client):
    for _ in range(3):
        market.send(client, "subscription/event", market.created())

    assert list(Delivery.objects.values_list("repeats", flat=True)) == [2]


@pytest.mark.parametrize("hook", EVENTS)
@pytest.mark.parametrize("payload", [{}, [], 1, "x", None, {"type": 5}, {"type": "\x00"}])
def test_authentic_nonsense_is_kept_and_answered_200(client, hook, payload):
    answer = market.send(client, hook, payload)
    market.work()

    assert answer.status_code == 200
    assert [state for state, _ in market.deliveries()] == ["parked"]


@pytest.mark.parametrize("hook", EVENTS)
def test_event_that_is_not_json_is_refused(client, hook):
    answer = market.send(client, hook, b"<xml/>")

    assert answer.status_code == 400
    assert answer.json() == errors(2001)


def test_deeply_nested_body_is_refused(client):
    answer = market.send(client, "subscription/event", b"[" * 60_000)

    assert answer.status_code == 400
    assert answer.json() == errors(2001)


def test_employees_are_read_and_let_go(client):
    people = [{"uuid": "u", "name": "Иван", "stores": [], "role": "ADMIN"}]

    answer = market.send(client, "inventories/employees", people, method="PUT")

    assert answer.status_code == 200
    assert Delivery.objects.count() == 0


# Size and coding


def test_gzip_body_is_read(client):
    answer = market.send(
        client,
        "subscription/event",
        gzip.compress(json.dumps(market.created()).encode()),
        headers=market.bearer() | {"Content-Encoding": "gzip"},
    )

    assert answer.status_code == 200
    assert json.loads(Delivery.objects.get().body) == market.created()


@pytest.mark.parametrize(
    "body", [b"not gzip", gzip.compress(b"{}" * 100, mtime=0)[:-9]], ids=["not_gzip", "cut_short"]
)
def test_broken_gzip_is_refused(client, body):
    answer = market.send(
        client,
        "subscription/event",
        body,
        headers=market.bearer() | {"Content-Encoding": "gzip"},
    )

    assert answer.status_code == 400
    assert answer.json() == errors(2001)


def test_gzip_bomb_is_refused_before_it_unfolds(client):
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1024 * 1024)) for _ in range(64)) + packer.flush()

    answer = market.send(
        client,
        "subscription/event",
        bomb,
        headers=market.bearer() | {"Content-Encoding": "gzip"},
    )

    assert answer.status_code == 413


class Unread(BytesIO):
    """A body that nobody may touch."""

    def read(self, *args):
        raise AssertionError("the body was read")


def test_announced_length_is_refused_without_reading():
    request = RequestFactory().post(
        "/user/create", b"", content_type="application/json", headers=market.bearer()
    )
    request.META["CONTENT_LENGTH"] = "99999999999999999999"
    request._stream = Unread()

    assert webhooks.user_create(request).status_code == 413


def test_chunked_body_is_read_where_the_server_marks_its_end():
    body = json.dumps(market.created()).encode()
    request = RequestFactory().post(
        "/subscription/event", b"", content_type="application/json", headers=market.bearer()
    )
    request.META.pop("CONTENT_LENGTH", None)
    request.META |= {"wsgi.input": BytesIO(body), "wsgi.input_terminated": True}

    answer = webhooks.subscription_event(request)

    assert answer.status_code == 200
    assert Delivery.objects.get().body.encode() == body


# All at once


def at_once(number, act):
    """The results of `act` called by so many threads at the same moment."""
    results, start = [], threading.Barrier(number)

    def run():
        try:
            start.wait(timeout=30)
            results.append(act())
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
def test_fifty_registrations_at_once_make_one_merchant_with_one_token():
    answers = at_once(50, lambda: market.register(Client()))

    assert answers == [Account.objects.get().token] * 50
    assert Merchant.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_fifty_identical_events_at_once_are_one_delivery():
    answers = at_once(
        50, lambda: market.send(Client(), "subscription/event", market.created()).status_code
    )

    assert answers == [200] * 50
    assert list(Delivery.objects.values_list("repeats", flat=True)) == [49]
