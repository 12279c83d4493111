"""What a hook takes and how it fails: sizes, rates of a merchant's own token, held rows, odd addresses."""

import gzip
import json
import threading
import time

import pytest
from django.core.cache import caches
from django.db import connection, transaction

from cabinet import clock
from cabinet.models import Merchant
from subscriptions.evotor import user_limits, webhooks
from subscriptions.evotor.models import Account, Delivery
from subscriptions.evotor.tests import market
from subscriptions.models import Module

pytestmark = pytest.mark.django_db

LISTS = ("inventories/devices", "inventories/stores")
TOO_MANY = {"errors": [{"code": 9429}]}
UNAVAILABLE = {"errors": [{"code": 9503}]}


@pytest.fixture(autouse=True)
def _app_token(settings):
    settings.EVOTOR_APP_TOKENS = ["app-token"]


@pytest.fixture
def redis_cache(settings):
    """The cache as in production, empty."""
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": settings.REDIS_URL,
            "OPTIONS": {"socket_timeout": 0.3, "socket_connect_timeout": 0.3},
        }
    }
    caches["default"].clear()


@pytest.fixture
def no_redis(settings):
    """The cache as in production, and nobody at its address."""
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
        }
    }


def put(client, hook, body, token):
    return market.send(client, hook, body, method="PUT", headers=market.bearer(token))


# Who calls


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
@pytest.mark.parametrize("secret", ["пароль", "\xff\xfe", "YQ==\u0430", "é:é", "\x00"])
def test_odd_authorization_is_nobody(client, scheme, secret):
    answer = market.send(client, "user/create", {}, headers={"Authorization": f"{scheme} {secret}"})

    assert answer.status_code == 401
    assert answer.json() == {"errors": [{"code": 1001}]}


def test_revoked_application_token_ends_within_seconds(client, monkeypatch):
    module = market.make_module()
    Module.objects.filter(pk=module.pk).update(app_tokens="leaked-token")
    now = 1_000.0
    monkeypatch.setattr(webhooks.time, "monotonic", lambda: now)

    before = market.send(
        client, "user/create", {"userId": market.USER}, headers=market.bearer("leaked-token")
    )
    Module.objects.filter(pk=module.pk).update(app_tokens="")
    now += webhooks.SECRETS_SECONDS
    after = market.send(
        client, "user/create", {"userId": market.USER}, headers=market.bearer("leaked-token")
    )

    assert webhooks.SECRETS_SECONDS <= 5
    assert [before.status_code, after.status_code] == [200, 401]


def test_application_token_is_proved_without_a_query(client, django_assert_num_queries):
    market.send(client, "subscription/event", market.created())

    with django_assert_num_queries(1) as insert:
        answer = market.send(client, "subscription/event", market.activated())

    assert answer.status_code == 200
    assert insert.captured_queries[0]["sql"].startswith('INSERT INTO "evotor_delivery"')


def test_hook_touches_no_session_and_no_person(client):
    client.cookies["cabinet_session"] = "an-old-session"

    answer = market.send(client, "user/create", {"userId": market.USER})

    assert answer.status_code == 200
    assert answer.cookies == {}
    assert not hasattr(answer.wsgi_request, "session")
    assert not hasattr(answer.wsgi_request, "user")


# Whose word it is


def test_later_application_token_upgrades_the_same_body(client):
    token = market.register(client)
    market.send(client, "subscription/event", market.created(), headers=market.bearer(token))
    Delivery.objects.update(state=Delivery.State.PARKED, parked_for="bad_form", attempts=1)

    market.send(client, "subscription/event", market.created())
    market.send(client, "subscription/event", market.created(), headers=market.bearer(token))

    rows = Delivery.objects.values("authorized_as", "state", "attempts", "repeats")
    assert list(rows) == [
        {"authorized_as": "приложение", "state": "new", "attempts": 0, "repeats": 2}
    ]


def test_user_token_never_takes_the_applications_word_back(client):
    token = market.register(client)
    market.send(client, "subscription/event", market.created())
    Delivery.objects.update(state=Delivery.State.DONE)

    market.send(client, "subscription/event", market.created(), headers=market.bearer(token))

    assert list(Delivery.objects.values_list("authorized_as", "state")) == [("приложение", "done")]


# Size


@pytest.mark.parametrize("hook", ["subscription/event", "installation/event", "user/create"])
def test_event_of_more_than_64_kilobytes_is_refused(client, hook):
    payload = market.created() | {"data": {"userId": market.USER}, "filler": ""}
    payload["filler"] = "x" * (webhooks.EVENT_BYTES - len(json.dumps(payload)))

    fits = market.send(client, hook, payload)
    too_long = market.send(client, hook, json.dumps(payload).encode() + b" ")

    assert fits.status_code != 413
    assert too_long.status_code == 413


@pytest.mark.parametrize("hook", LISTS)
def test_list_is_stored_unread_up_to_ten_megabytes(client, settings, hook):
    token = market.register(client)
    body = b"[" + b"{}," * (settings.EVOTOR_HOOK_MAX_BYTES // 3 - 1)
    body += b"]" * (settings.EVOTOR_HOOK_MAX_BYTES - len(body))

    fits = put(client, hook, body, token)
    too_long = put(client, hook, body + b" ", token)

    assert [fits.status_code, too_long.status_code] == [200, 413]
    row = Delivery.objects.get()
    assert (row.user_id, row.authorized_as) == (market.USER, "клиент")
    assert row.body.encode() == body


@pytest.mark.parametrize("body", [b"", b"<xml/>", b'"text"', b"\xff[]", b"[\xff]"])
def test_list_that_is_no_json_list_is_refused(client, body):
    answer = put(client, "inventories/stores", body, market.register(client))

    assert answer.status_code == 400
    assert answer.json() == {"errors": [{"code": 2001}]}


def test_list_of_the_application_is_of_the_named_user(client):
    named = market.bearer() | {"X-Evotor-User-Id": market.USER}
    odd = market.bearer() | {"X-Evotor-User-Id": "не userId"}

    for body, headers in ((b"[1]", named), (b"[2]", odd), (b"[3]", market.bearer())):
        market.send(client, "inventories/stores", body, method="PUT", headers=headers)

    assert list(Delivery.objects.order_by("pk").values_list("user_id", flat=True)) == [
        market.USER,
        "",
        "",
    ]


# Rate


def at_one_minute(monkeypatch):
    at = clock.real_now().replace(second=0)
    monkeypatch.setattr(user_limits.clock, "real_now", lambda: at)


def test_own_token_is_limited_by_requests_a_minute(client, redis_cache, monkeypatch):
    at_one_minute(monkeypatch)
    token, other = market.register(client), market.register(client, market.STRANGER)
    for _ in range(user_limits.REQUESTS):
        put(client, "inventories/stores", b"[]", token)

    refused = put(client, "inventories/stores", b"[]", token)
    others = put(client, "inventories/stores", b"[]", other)
    applications = market.send(client, "subscription/event", market.created())

    assert refused.status_code == 429
    assert refused.json() == TOO_MANY
    assert refused["Retry-After"] == "30"
    assert [others.status_code, applications.status_code] == [200, 200]


def test_own_token_is_limited_by_unzipped_bytes(client, redis_cache, monkeypatch):
    at_one_minute(monkeypatch)
    token = market.register(client)
    zipped = {"Content-Encoding": "gzip"} | market.bearer(token)
    bodies = [b"[" + b" " * (10 * 1024 * 1024 - 4) + b"%d]" % number for number in range(3)]

    answers = [
        market.send(
            client, "inventories/stores", gzip.compress(body), method="PUT", headers=zipped
        ).status_code
        for body in bodies
    ]

    assert answers == [200, 200, 429]


def test_window_of_the_limit_ends(client, redis_cache, monkeypatch):
    at_one_minute(monkeypatch)
    assert not user_limits.is_over_bytes(market.USER, user_limits.BYTES)
    assert user_limits.is_over_bytes(market.USER, 1)

    later = clock.real_now().timestamp() + user_limits.SECONDS
    monkeypatch.setattr(
        user_limits.clock, "real_now", lambda: clock.datetime.fromtimestamp(later, clock.UTC)
    )

    assert not user_limits.is_over_bytes(market.USER, 1)


def test_without_redis_only_the_size_is_limited(client, no_redis, settings):
    token = market.register(client)
    for _ in range(3):
        assert put(client, "inventories/stores", b"[]", token).status_code == 200

    too_long = put(client, "inventories/stores", b" " * (settings.EVOTOR_HOOK_MAX_BYTES + 1), token)

    assert too_long.status_code == 413


# Held rows


@pytest.fixture
def held_merchant(transactional_db, client):
    """Another connection holds the merchant's row until the test ends."""
    market.register(client)
    held, over = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            Merchant.objects.select_for_update().get()
            held.set()
            over.wait(timeout=60)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(timeout=30)
    yield
    over.set()
    thread.join()


@pytest.mark.usefixtures("held_merchant")
@pytest.mark.parametrize("hook", ["user/create", "user/token"])
def test_held_merchant_is_answered_json_after_one_wait(client, hook):
    started = time.monotonic()

    answer = market.send(client, hook, {"userId": market.USER, "token": "t"})

    assert webhooks.LOCK_WAIT <= time.monotonic() - started < 2 * webhooks.LOCK_WAIT
    assert answer.status_code == 503
    assert answer.json() == UNAVAILABLE
    assert answer["Retry-After"] == "30"


@pytest.mark.usefixtures("held_merchant")
def test_held_merchant_delays_no_event(client):
    started = time.monotonic()

    answer = market.send(client, "subscription/event", market.created())

    assert answer.status_code == 200
    assert time.monotonic() - started < webhooks.LOCK_WAIT


def test_what_nobody_thought_of_is_json_too(client, caplog):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE evotor_delivery ADD CONSTRAINT never CHECK (repeats > 0)")

    answer = market.send(client, "subscription/event", market.created())

    assert answer.status_code == 500
    assert answer.json() == {"errors": [{"code": 9500}]}
    assert "A hook could not be answered" in caplog.text


# Addresses


def post_to(client, path, payload):
    """The path as a server gives it: the test client takes `//api` for a host."""
    json_body = {"content_type": "application/json", "headers": market.bearer()}
    return client.post("/", payload, PATH_INFO=path, **json_body)


@pytest.mark.parametrize(
    "path",
    [
        "//api/v1/user/create",
        "/api//v1//user//create",
        "/API/v1/user/create",
        "/Api/V2/User/Create/",
        "//user/create//",
    ],
)
def test_hook_is_found_with_doubled_slashes_and_any_case(client, path):
    answer = post_to(client, path, {"userId": market.USER})

    assert answer.status_code == 200
    assert answer.json()["token"] == Account.objects.get().token


@pytest.mark.parametrize("path", ["/API/v1/commodities", "//api/v3/x", "/api/", "//API//"])
def test_unknown_hook_is_json_however_it_is_spelled(client, path):
    answer = post_to(client, path, {})

    assert answer.status_code == 404
    assert answer.json() == {}
