"""The cloud API over real HTTP: pages, refusals, limits, slow and broken servers."""

import json
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.core.cache import cache

from cabinet.models import Shop, Terminal
from subscriptions.evotor import queries
from subscriptions.evotor.cloud import Cloud, CloudBusy, CloudRefused, CloudTrouble, sync_shops
from subscriptions.evotor.models import Account
from subscriptions.evotor.schemas import UserCreate, UserToken
from subscriptions.evotor.services import keep_cloud_token, register
from subscriptions.evotor.tests import market


class Handler(BaseHTTPRequestHandler):
    """Answers by the script of its server and notes what was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        status, headers, body = self.server.script.popleft()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        length = headers.get("Content-Length") or str(len(body))
        if "Content-Length" not in headers:
            self.send_header("Content-Length", length)
        self.end_headers()
        if self.server.drip:
            self.drip(body)
        else:
            self.wfile.write(body)
        if int(length) > len(body):
            self.close_connection = True

    def drip(self, body):
        for byte in body:
            if self.server.stop.wait(0.05):
                return
            try:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
            except OSError:
                return

    def log_message(self, *args):
        """Quiet."""


@pytest.fixture
def cloud_server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.script, server.asked, server.drip = deque(), [], False
    server.stop = threading.Event()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.stop.set()
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)


def answer(payload, status=200, **headers):
    return status, headers, json.dumps(payload).encode()


def cloud_sample(name):
    return json.loads((market.DATA / "samples" / "cloud-v2" / f"{name}.json").read_text("utf-8"))


def page(*ids, cursor=""):
    paging = {"next_cursor": cursor} if cursor else {}
    return answer({"items": [{"id": one, "name": one} for one in ids], "paging": paging})


def test_pages_are_followed_by_their_cursor(cloud_server):
    cloud_server.script += [page("a", "b", cursor="x y"), page("c")]

    stores = Cloud(cloud_server.url + "/", "secret").stores()

    assert [store.id for store in stores] == ["a", "b", "c"]
    assert [path for path, _ in cloud_server.asked] == ["/stores", "/stores?cursor=x+y"]
    for _, headers in cloud_server.asked:
        assert headers["Authorization"] == "Bearer secret"
        assert headers["Accept"] == "application/vnd.evotor.v2+json"


def test_pages_that_do_not_end_are_given_up(cloud_server):
    cloud_server.script += [page("a", cursor="x"), page("a", cursor="x")]

    with pytest.raises(CloudTrouble, match="do not end"):
        Cloud(cloud_server.url, "secret").stores()


@pytest.mark.parametrize("status", [401, 402, 403])
def test_removed_module_is_a_refusal(cloud_server, status):
    cloud_server.script.append(answer(cloud_sample("error"), status))

    with pytest.raises(CloudRefused):
        Cloud(cloud_server.url, "secret").devices()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "17"}, 17),
        ({"X-RateLimit-Reset": "5"}, 5),
        ({}, 60),
        ({"Retry-After": "999999"}, 3600),
        ({"Retry-After": "soon"}, 60),
    ],
)
def test_too_many_calls_say_how_long_to_wait(cloud_server, headers, seconds):
    cloud_server.script.append(answer({}, 429, **headers))

    with pytest.raises(CloudBusy) as busy:
        Cloud(cloud_server.url, "secret").stores()

    assert busy.value.seconds == seconds


@pytest.mark.parametrize(
    "broken",
    [
        (500, {}, b"oops"),
        (302, {"Location": "http://127.0.0.1:1/"}, b""),
        (200, {}, b"<html>"),
        (200, {}, b'{"items": 5}'),
        (200, {"Content-Length": "1000"}, b'{"items"'),
    ],
)
def test_broken_answers_are_troubles(cloud_server, broken):
    cloud_server.script.append(broken)

    with pytest.raises(CloudTrouble):
        Cloud(cloud_server.url, "secret").stores()

    assert len(cloud_server.asked) == 1


def test_dripping_server_is_left_when_the_time_is_up(cloud_server):
    cloud_server.drip = True
    cloud_server.script.append(page(*["a" * 60] * 20))
    started = time.monotonic()

    with pytest.raises(CloudTrouble):
        Cloud(cloud_server.url, "secret", total_seconds=0.5).stores()

    assert time.monotonic() - started < 5


def test_nobody_at_the_address_is_a_trouble():
    with pytest.raises(CloudTrouble):
        Cloud("http://127.0.0.1:1", "secret").stores()


def test_token_is_in_no_words_of_the_client():
    assert "secret" not in repr(Cloud("http://127.0.0.1:1", "secret"))


# Into the local copy


@pytest.fixture
def merchant(db, settings, cloud_server):
    settings.EVOTOR_API_URL = cloud_server.url
    cache.clear()
    found = register(request=UserCreate(user_id=market.USER), at=market.NOW).merchant
    keep_cloud_token(request=UserToken(user_id=market.USER, token="cloud"), at=market.NOW)
    return found


def test_sync_copies_shops_and_terminals(cloud_server, merchant):
    stores = cloud_sample("stores") | {"paging": {}}
    cloud_server.script += [answer(stores), answer(cloud_sample("devices"))]

    done = sync_shops(merchant_id=merchant.pk, at=market.NOW)

    shop = Shop.objects.get()
    assert done is True
    assert shop.name == "Мой магазин"
    assert shop.address == "Россия, Москва, Старопанский переулок"
    assert shop.seen_at == market.NOW
    rows = Terminal.objects.order_by("name").values_list("name", "imei", "model", "shop_id")
    assert list(rows) == [
        ("Моя касса №3", "123456789012345", "7_3", shop.pk),
        ("Моя касса №4", "", "", shop.pk),
    ]
    assert queries.accounts_to_sync(at=market.NOW) == []
    assert queries.accounts_to_sync(at=market.NOW + market.days(2)) == [merchant.pk]


def test_list_with_an_odd_row_removes_nothing(cloud_server, merchant):
    cloud_server.script += [page("s1"), page("d1", "d2"), page("s1"), page("d1", 7)]

    for _ in range(2):
        sync_shops(merchant_id=merchant.pk, at=market.NOW)

    assert dict(Terminal.objects.values_list("evotor_id", "gone_at")) == {"d1": None, "d2": None}


def test_what_disappeared_over_there_is_marked_and_comes_back(cloud_server, merchant):
    cloud_server.script += [page("s1", "s2"), page("d1", "d2"), page("s1"), page("d1")]
    sync_shops(merchant_id=merchant.pk, at=market.NOW)
    later = market.NOW + market.days(1)
    sync_shops(merchant_id=merchant.pk, at=later)

    assert dict(Shop.objects.values_list("evotor_id", "gone_at")) == {"s1": None, "s2": later}
    assert dict(Terminal.objects.values_list("evotor_id", "gone_at")) == {"d1": None, "d2": later}

    cloud_server.script += [page("s1", "s2"), page("d1", "d2")]
    sync_shops(merchant_id=merchant.pk, at=later)
    assert Shop.objects.exclude(gone_at=None).count() == 0


def test_what_was_seen_since_the_reading_began_is_not_gone(cloud_server, merchant):
    cloud_server.script += [page("s1"), page("d1")]
    newer = {"merchant": merchant, "name": "Новое", "seen_at": market.NOW + market.days(1)}
    Shop.objects.create(evotor_id="s2", **newer)
    Terminal.objects.create(evotor_id="d2", **newer)

    sync_shops(merchant_id=merchant.pk, at=market.NOW)

    assert dict(Shop.objects.values_list("evotor_id", "gone_at")) == {"s1": None, "s2": None}
    assert dict(Terminal.objects.values_list("evotor_id", "gone_at")) == {"d1": None, "d2": None}


def test_refusal_keeps_the_local_copy(cloud_server, merchant):
    cloud_server.script += [page("s1"), page("d1"), answer({}, 403)]
    sync_shops(merchant_id=merchant.pk, at=market.NOW)

    done = sync_shops(merchant_id=merchant.pk, at=market.NOW + market.days(1))
    again = sync_shops(merchant_id=merchant.pk, at=market.NOW + market.days(1))

    assert done is False
    assert again is False
    assert len(cloud_server.asked) == 3
    assert [(shop.evotor_id, shop.gone_at) for shop in Shop.objects.all()] == [("s1", None)]
    assert Account.objects.get().synced_at == market.NOW + market.days(1)


def test_half_an_answer_changes_nothing(cloud_server, merchant):
    cloud_server.script += [page("s1"), (500, {}, b"")]

    sync_shops(merchant_id=merchant.pk, at=market.NOW)

    assert Shop.objects.count() == 0
    assert Account.objects.get().synced_at is None


def test_too_many_calls_are_obeyed_until_a_new_token(cloud_server, merchant):
    cloud_server.script += [answer({}, 429, **{"Retry-After": "600"}), page("s1"), page("d1")]
    first = sync_shops(merchant_id=merchant.pk, at=market.NOW)

    second = sync_shops(merchant_id=merchant.pk, at=market.NOW)
    keep_cloud_token(request=UserToken(user_id=market.USER, token="newer"), at=market.NOW)
    third = sync_shops(merchant_id=merchant.pk, at=market.NOW)

    assert first is False
    assert second is False
    assert third is True
    assert len(cloud_server.asked) == 3


def test_merchant_without_a_cloud_token_is_not_asked_for(cloud_server, db):
    account = register(request=UserCreate(user_id=market.STRANGER), at=market.NOW)

    assert sync_shops(merchant_id=account.merchant_id, at=market.NOW) is False
    assert cloud_server.asked == []
