"""Half a request holds no thread of the web server for longer than the deadline; a too long one gets our page."""

import os
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection

import pytest

from cabinet import web_worker
from cabinet.launcher.environment import PROJECT
from cabinet.launcher.ports import free_port

THREADS = 2
NEXT_BYTES, DEADLINE = 1.0, 1.5
APP = f"""
from cabinet import web_worker

web_worker.NEXT_BYTES_SECONDS, web_worker.REQUEST_SECONDS = {NEXT_BYTES}, {DEADLINE}


def app(environ, start_response):
    if environ["PATH_INFO"] == "/broken":
        raise RuntimeError("broken")
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
WHOLE = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody"
HALF_HEADERS, HALF_BODY = WHOLE[:40], WHOLE[:-2]


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """A server with two threads under our worker, as in production but for its size and deadline."""
    folder = tmp_path_factory.mktemp("web")
    (folder / "deadline_app.py").write_text(APP, encoding="utf-8")
    with served("deadline_app:app", "--pythonpath", str(folder)) as port:
        yield port


@pytest.fixture(scope="module")
def product():
    """The same server with the product itself; with DEBUG its pages need no collected static files."""
    with served("cabinet.wsgi", DEBUG="1") as port:
        yield port


@contextmanager
def served(*application, **environment):
    port = free_port()
    worker = "cabinet.web_worker.DeadlineThreadWorker"
    options = ("--bind", f"127.0.0.1:{port}", "--threads", str(THREADS), "--worker-class", worker)
    command = [sys.executable, "-m", "gunicorn", *application, *options, "--no-control-socket"]
    process = subprocess.Popen(
        [*command, "--keep-alive", "20", "--log-level", "error"],
        cwd=PROJECT,
        env=os.environ | environment,
    )
    try:
        wait_until_answered(port)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_until_answered(port):
    ends_at = time.monotonic() + 60
    while time.monotonic() < ends_at:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=20).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server does not answer")


@contextmanager
def connected(port):
    with closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as connection:
        yield connection


def exchanged(port, *pieces):
    with connected(port) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return answered(connection)


def answered(connection):
    """The whole answer, which ends with the body that was sent."""
    received = b""
    while not received.endswith(b"body"):
        piece = connection.recv(4096)
        if not piece:
            break
        received += piece
    return received


@pytest.mark.parametrize("half", [HALF_HEADERS, HALF_BODY], ids=["headers", "body"])
def test_half_a_request_frees_its_thread_soon(port, half):
    halves = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(THREADS)]
    for connection in halves:
        connection.sendall(half)
    time.sleep(0.2)
    started = time.monotonic()

    answer = exchanged(port, WHOLE)

    waited = time.monotonic() - started
    for connection in halves:
        connection.close()
    assert answer.endswith(b"body")
    assert waited < NEXT_BYTES + 10


def test_dripping_body_is_cut_off_at_the_deadline(port):
    started = time.monotonic()

    with connected(port) as connection:
        connection.sendall(WHOLE[:-4].replace(b"Length: 4", b"Length: 400"))
        while time.monotonic() - started < 20 and is_open(connection):
            time.sleep(0.1)

    assert DEADLINE <= time.monotonic() - started < 20


def is_open(connection):
    """Whether one byte more was taken."""
    try:
        connection.sendall(b"x")
    except OSError:
        return False
    return True


def test_second_request_of_a_connection_has_its_own_deadline(port):
    with connected(port) as connection:
        connection.sendall(WHOLE)
        first = answered(connection)
        time.sleep(DEADLINE + 0.2)
        connection.sendall(WHOLE[:-2])
        time.sleep(0.1)
        connection.sendall(WHOLE[-2:])
        second = answered(connection)

    assert [first[-4:], second[-4:]] == [b"body", b"body"]


def fetched(port, address, headers=None):
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    with closing(connection):
        connection.request("GET", address, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()


@pytest.mark.parametrize("length", [4_100, 5_000, 9_000, 500_000])
def test_too_long_address_gets_our_page(product, length):
    status, headers, page = fetched(product, "/orders/?q=" + "a" * length)

    assert status == 414
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Connection"] == "close"
    assert "<h1>Слишком длинный адрес</h1>" in page
    assert "aaaa" not in page


def test_address_without_an_end_is_cut_off(product):
    started = time.monotonic()

    with connected(product) as connection:
        connection.sendall(b"GET /")
        with suppress(OSError):
            while time.monotonic() - started < 60:
                connection.sendall(b"a" * 65536)

    # Much more than the two seconds: a busy machine takes its time.
    assert time.monotonic() - started < web_worker.DRAIN_SECONDS + 40


def test_too_long_cookie_gets_our_page(product):
    status, _headers, page = fetched(product, "/", {"Cookie": "a=" + "b" * 60_000})

    assert status == 431
    assert "<h1>Запрос слишком большой</h1>" in page


def test_address_that_is_just_not_too_long_is_served(product):
    status, headers, _page = fetched(product, "/orders/?q=" + "a" * 4_000)

    assert status == 302
    assert headers["Location"].startswith("/login/?next=/orders/")


def test_other_bad_requests_are_answered_by_gunicorn(product):
    answer = exchanged(product, b"GET / HTTP/9.9\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ")


def test_error_log_names_no_query(tmp_path):
    (tmp_path / "deadline_app.py").write_text(APP, encoding="utf-8")
    log = tmp_path / "error.log"
    logged = ("--pythonpath", str(tmp_path), "--error-logfile", str(log))

    with served("deadline_app:app", *logged) as port:
        status, _headers, _page = fetched(port, "/broken?token=secret")

    assert status == 500
    assert "Error handling request GET /broken" in log.read_text(encoding="utf-8")
    assert "secret" not in log.read_text(encoding="utf-8")
