"""The HTTP client: time, what left us, what is believed, what is logged. Real sockets on loopback."""

import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from operators.adapters import decoded
from operators.client import http
from operators.client.http import CallRecord, HttpClient, HttpExchange, masked
from operators.ports import CallKind, LostReply, NotSent, Reply
from operators.tests.lines import (
    OK,
    answering,
    client,
    closed_sessions,
    dripping,
    get,
    listening,
    read_request,
)

__all__ = ["closed_sessions"]


# --- time --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 200,
        b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + b"x" * 200,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc8\r\n" + b"x" * 200,
    ],
    ids=["head", "body", "chunks"],
)
def test_dripped_answer_ends_with_the_call_s_time(answer):
    with listening(dripping(answer, 0.05)) as url:
        started = time.monotonic()

        with pytest.raises(LostReply) as lost:
            get(client(total_seconds=1), url)

        assert lost.value.text == "оператор не успел ответить"
        assert 0.9 < time.monotonic() - started < 4


def test_silent_server_ends_with_the_call_s_time():
    def silent(line: socket.socket) -> None:
        while read_request(line):
            continue

    with listening(silent) as url:
        started = time.monotonic()

        with pytest.raises(LostReply):
            get(client(total_seconds=0.5), url)

        assert time.monotonic() - started < 3


def test_exchanges_of_one_call_share_its_deadline():
    with listening(dripping(OK, 0.01)) as url:
        asker = client(CallRecord(ends_at=time.monotonic() + 0.8))

        with pytest.raises(LostReply):
            _get_for_ever(asker, url)

        time.sleep(0.05)  # the socket's clock may be a little ahead of ours
        with pytest.raises(NotSent) as late:
            get(asker, url)

    assert late.value.cause == "timeout"


def _get_for_ever(asker: HttpClient, url: str) -> None:
    while True:
        get(asker, url)


# --- what left us ------------------------------------------------------------------------------


def test_refused_connection_is_not_sent():
    with pytest.raises(NotSent) as refused:
        get(client(), "http://127.0.0.1:1/")

    assert refused.value.cause == "refused"


def test_unknown_host_is_not_sent():
    with pytest.raises(NotSent) as unknown:
        get(client(), "http://operator.invalid/")

    assert unknown.value.cause == "dns"


@pytest.mark.parametrize("url", ["api.example", "ftp://127.0.0.1/", "http://", "http://[::1"])
def test_wrong_address_is_not_sent(url):
    with pytest.raises(NotSent) as wrong:
        get(client(), url)

    assert wrong.value.cause == "url"


def test_plain_server_asked_for_tls_is_not_sent():
    with listening(answering(OK)) as url, pytest.raises(NotSent) as broken:
        get(client(), url.replace("http:", "https:"))

    assert broken.value.cause == "tls"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 2",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab",
    ],
)
def test_answer_that_is_not_whole_is_lost(answer):
    with listening(answering(answer)) as url, pytest.raises(LostReply):
        get(client(), url)


def test_connection_reset_after_the_request_is_lost():
    def resetting(line: socket.socket) -> None:
        read_request(line)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with listening(resetting) as url, pytest.raises(LostReply):
        get(client(), url)


def test_kept_connection_that_breaks_at_the_second_request_is_lost():
    met = threading.Event()

    def once(line: socket.socket) -> None:
        read_request(line)
        line.sendall(OK)
        read_request(line)
        met.set()

    with listening(once) as url:
        asker = client()
        get(asker, url)

        with pytest.raises(LostReply):
            get(asker, url)

    assert met.is_set()


def test_connection_is_kept_for_the_next_call():
    connections = []

    def counted(line: socket.socket) -> None:
        connections.append(1)
        answering(OK, OK)(line)

    with listening(counted) as url:
        asker = client()
        get(asker, url)
        get(asker, url)

    assert len(connections) == 1


def test_changed_contract_lets_go_of_the_connection_it_had():
    let_go = threading.Event()

    def watching(line: socket.socket) -> None:
        answering(OK)(line)
        if not read_request(line):
            let_go.set()

    with listening(watching) as url:
        get(client(), url)
        get(client(connections=5), url)

        assert let_go.wait(5)


def test_header_that_cannot_be_written_is_not_sent():
    with listening(answering(OK)) as url, pytest.raises(NotSent) as unwritten:
        get(client(), url, headers={"X-Own": "two\nlines"})

    assert unwritten.value.cause == "network"
    assert unwritten.value.text == "нет соединения с оператором"


def test_closed_quota_gate_sends_nothing():
    def closed(kind: CallKind) -> None:
        raise NotSent("не сейчас", cause="quota", retry_after=3)

    with listening(answering(OK)) as url, pytest.raises(NotSent) as refused:
        get(client(CallRecord(admit=closed)), url)

    assert refused.value.cause == "quota"
    assert refused.value.retry_after == 3


# --- what is believed --------------------------------------------------------------------------


def test_redirect_is_an_answer_and_not_followed():
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    with listening(answering(answer)) as url:
        reply = get(client(), url)

    assert reply.status == 302
    assert reply.headers["location"] == "http://127.0.0.1:1/"


def test_proxy_of_the_environment_is_not_used(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with listening(answering(OK)) as url:
        reply = get(client(), url)

    assert reply.status == 200


def test_cookies_are_not_sent_back():
    seen = []

    def baking(line: socket.socket) -> None:
        for _ in range(2):
            seen.append(read_request(line).lower())
            line.sendall(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\n\r\n"))

    with listening(baking) as url:
        asker = client()
        get(asker, url)
        get(asker, url)

    assert len(seen) == 2
    assert not any(b"cookie" in request for request in seen)


@pytest.mark.parametrize(
    ("size", "fits"), [(http.MAX_BODY_BYTES, True), (http.MAX_BODY_BYTES + 1, False)]
)
def test_body_over_the_limit_is_lost(size, fits):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    with listening(answering(answer)) as url:
        if fits:
            assert len(get(client(), url).body) == size
        else:
            with pytest.raises(LostReply):
                get(client(), url)


@pytest.mark.parametrize(
    ("header", "skew"),
    [
        (timedelta(hours=2), 7200),
        (timedelta(hours=-1), -3600),
        (None, None),
        ("soon", None),
        ("Fri, 31 Dec 99999999999999999999 23:59:59 GMT", None),
    ],
)
def test_clock_of_the_operator_is_compared_with_ours(header, skew):
    date = header
    if isinstance(header, timedelta):
        date = format_datetime(datetime.now(UTC) + header, usegmt=True)
    line = f"\r\nDate: {date}".encode() if date else b""
    with listening(answering(OK.replace(b"\r\n\r\n", line + b"\r\n\r\n"))) as url:
        reply = get(client(), url)

    assert reply.date_skew == (skew if skew is None else pytest.approx(skew, abs=2))


def test_answer_is_decoded_or_none():
    assert decoded(Reply(200, {}, b'{"a": 1}')) == {"a": 1}
    assert decoded(Reply(200, {}, b"<html>")) is None
    assert decoded(Reply(200, {}, b"[" * 100_000)) is None
    assert decoded(Reply(200, {}, b'{"a\\u0000": ["b\\ud800"]}')) == {"a\ufffd": ["b\ufffd"]}
    assert decoded(Reply(200, {}, b'"%s"' % (b"[" * 100_000))) is None


# --- what is noted -----------------------------------------------------------------------------


def test_exchange_is_noted_without_secrets(caplog):
    caplog.set_level("INFO")
    noted: list[HttpExchange] = []
    with listening(answering(OK)) as url:
        get(
            client(CallRecord(exchanges=noted)),
            f"{url}/devices/89701010000000000015",
            params={"msisdn": "79990000001"},
            headers={"Authorization": "Bearer hidden"},
        )

    expected = HttpExchange(
        account="test",
        kind=CallKind.READ,
        method="GET",
        url=f"{url}/devices/…0015?msisdn=…",
        status=200,
        seconds=noted[0].seconds,
        at=noted[0].at,
        request=f"GET {url}/devices/…0015?msisdn=…0001\nAuthorization: •••",
        reply="HTTP 200\nContent-Length: 2\n\n{}",
    )
    assert noted == [expected]
    assert noted[0].result == "ok"
    assert 0 < noted[0].seconds < 5
    assert "hidden" not in caplog.text
    assert "79990000001" not in caplog.text


def test_failed_exchange_is_noted_with_its_reason():
    noted: list[HttpExchange] = []

    with pytest.raises(NotSent):
        get(client(CallRecord(exchanges=noted)), "http://127.0.0.1:1/")

    assert [(exchange.status, exchange.error, exchange.result) for exchange in noted] == [
        (None, "оператор не принимает соединение", "not_sent_refused")
    ]


def test_broken_log_does_not_hide_the_answer(caplog):
    class Full(list):
        def append(self, _exchange: HttpExchange) -> None:
            raise RuntimeError("no room for figures")

    with listening(answering(OK)) as url:
        reply = get(client(CallRecord(exchanges=Full())), url)

    assert reply.status == 200
    assert "Could not note the exchange with test" in caplog.text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:word@api.example/x", "https://api.example/x"),
        ("https://api.example:8443/s/89701010000000000015", "https://api.example:8443/s/…0015"),
        ("https://api.example/x?token=a&token=b&n=", "https://api.example/x?token=…&token=…&n=…"),
        ("https://api.example/v4/8100#part", "https://api.example/v4/8100"),
        ("https://[::1", "…"),
    ],
)
def test_address_is_masked(url, shown):
    assert masked(url) == shown
