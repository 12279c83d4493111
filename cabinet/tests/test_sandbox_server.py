"""The sandbox's server: routing, errors, misbehaving wires, the kept state, the clock's part."""

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils.module_loading import import_string
from werkzeug.routing import Rule

from cabinet.sandbox.clock import ClockPart
from cabinet.sandbox.http import (
    Part,
    Request,
    Response,
    Wire,
    html_response,
    json_response,
    redirect,
    route,
)
from cabinet.sandbox.server import SandboxServer, serving

BODY = b'{"answer": "0123456789"}'
PAUSE = 0.03  # seconds before a slow answer, or between two of its bytes


class Echo(Part):
    """A part made for the tests: it answers with what it got and misbehaves on demand."""

    name = "echo"

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def routes(self) -> list[Rule]:
        return [
            route("POST", "/echo/<who>", self._echo),
            route("GET", "/count", self._counted),
            route("GET", "/fails", self._fails),
            route("GET", "/page", lambda _request: html_response("<p>Ёж</p>")),
            route("GET", "/away", lambda _request: redirect("/page")),
            route("GET", "/wire/<wire>", self._wire),
        ]

    def panel(self) -> str:
        return "<h2>Эхо</h2>"

    def dump(self) -> Any:
        return {"count": self.count}

    def load(self, data: Any) -> None:
        self.count = data["count"]

    def _echo(self, request: Request, who: str) -> Response:
        return json_response(
            {
                "who": who,
                "query": request.args.to_dict(flat=False),
                "json": request.json,
                "token": request.headers["x-token"],
            },
            201,
            X_Answer="yes",
        )

    def _counted(self, _request: Request) -> Response:
        with self._lock:
            self.count += 1
            return json_response(self.count)

    def _fails(self, _request: Request) -> Response:
        raise RuntimeError("the part broke")

    def _wire(self, _request: Request, wire: str) -> Response:
        return Response(BODY, wire=Wire(wire), seconds=PAUSE)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "sandbox.json"


@pytest.fixture
def server(state: Path) -> Iterator[SandboxServer]:
    with serving([Echo(), ClockPart()], port=0, state=state) as running:
        yield running


@pytest.fixture
def line(server: SandboxServer) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)) as opened:
        yield opened


@pytest.fixture
def clock_file(settings, tmp_path: Path) -> Path:
    settings.SANDBOX = True
    settings.CLOCK_FILE = tmp_path / "clock"
    return tmp_path / "clock"


def ask(line, method, path, body=None, **headers):
    line.request(method, path, body, headers)
    answer = line.getresponse()
    return answer.status, answer.headers, answer.read()


def raw(server, request):
    """Every byte until the end of the connection, and the error it ended with."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.server_port), 5) as bare:
        bare.sendall(request)
        try:
            while chunk := bare.recv(4096):
                received += chunk
        except ConnectionResetError:
            return received, "reset"
    return received, "closed"


def get(path, *, version="1.1"):
    return f"GET {path} HTTP/{version}\r\nHost: localhost\r\n\r\n".encode()


def test_view_gets_path_query_body_and_headers(line):
    status, headers, body = ask(
        line, "POST", "/echo/%D1%91%D0%B6?a=1&a=2", b'{"n": 1}', **{"X-Token": "t"}
    )

    assert status == 201
    assert headers["X-Answer"] == "yes"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {
        "who": "ёж",
        "query": {"a": ["1", "2"]},
        "json": {"n": 1},
        "token": "t",
    }


def test_connection_is_kept_for_many_requests(line):
    counts, own_ports = [], set()
    for _ in range(3):
        counts.append(json.loads(ask(line, "GET", "/count")[2]))
        own_ports.add(line.sock.getsockname())

    assert counts == [1, 2, 3]
    assert len(own_ports) == 1


def test_page_and_redirect(line):
    page = ask(line, "GET", "/page")
    away = ask(line, "GET", "/away")

    assert page[0] == 200
    assert page[1]["Content-Type"] == "text/html; charset=utf-8"
    assert page[2].decode() == "<p>Ёж</p>"
    assert away[0] == 303
    assert away[1]["Location"] == "/page"
    assert away[2] == b""


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("GET", "/nowhere", None, 404, "Nothing at /nowhere."),
        ("DELETE", "/count", None, 405, "Only GET here."),
        ("POST", "/echo/x", b"not json", 400, "The body is not JSON."),
        ("GET", "/fails", None, 500, "The sandbox failed, see its log."),
    ],
)
def test_errors_are_answered_in_json(line, method, path, body, status, error):
    answer = ask(line, method, path, body)

    assert answer[0] == status
    assert json.loads(answer[2]) == {"error": error}


def test_failure_of_a_view_is_logged_without_the_query(line, caplog):
    ask(line, "GET", "/fails?token=secret-word")

    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "The sandbox failed at GET /fails"
    ]
    assert "secret-word" not in caplog.text


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Content-Length: many", 400),
        ("Content-Length: 99999999999", 413),
        ("Transfer-Encoding: chunked", 411),
    ],
)
def test_unreadable_body_is_refused_and_connection_closed(server, header, status):
    received, end = raw(server, f"POST /count HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode())

    assert received.split(b" ")[1] == str(status).encode()
    assert end == "closed"


def test_cut_resets_the_connection_without_a_byte(server):
    received, end = raw(server, get("/wire/cut"))

    assert received == b""
    assert end == "reset"


def test_half_announces_all_and_sends_half(server):
    received, end = raw(server, get("/wire/half"))

    head, _, body = received.partition(b"\r\n\r\n")
    assert body == BODY[: len(BODY) // 2]
    assert end == "closed"
    assert f"Content-Length: {len(BODY)}".encode() in head.split(b"\r\n")


def test_drip_sends_all_byte_by_byte(server):
    began = time.monotonic()

    with socket.create_connection(("127.0.0.1", server.server_port), 5) as bare:
        bare.sendall(get("/wire/drip"))
        received = bare.recv(4096)
        sizes = []
        while not received.endswith(BODY):
            chunk = bare.recv(4096)
            sizes.append(len(chunk))
            received += chunk

    assert time.monotonic() - began >= len(BODY) * PAUSE
    assert len(sizes) > 3  # a busy reader gets some bytes together


def test_slow_answer_waits_and_is_whole(line):
    began = time.monotonic()

    assert ask(line, "GET", "/wire/normal")[2] == BODY
    assert time.monotonic() - began >= PAUSE


def test_cut_connection_harms_no_other(server, line):
    ask(line, "GET", "/count")

    raw(server, get("/wire/cut"))

    assert ask(line, "GET", "/count")[2] == b"2"


def test_first_page_is_composed_of_panels(line, clock_file):
    status, _, body = ask(line, "GET", "/")
    style = ask(line, "GET", "/sandbox.css")

    page = body.decode()
    assert status == 200
    assert page.count('<section class="panel">') == 2
    assert page.index("<h2>Эхо</h2>") < page.index("<h2>Время</h2>")
    assert style[0] == 200
    assert style[1]["Content-Type"] == "text/css; charset=utf-8"


def test_state_is_written_soon_and_restored(state):
    with serving([Echo()], port=0, state=state) as server:
        raw(server, get("/count", version="1.0"))
        deadline = time.monotonic() + 5
        while not state.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        soon = json.loads(state.read_text(encoding="utf-8"))
        raw(server, get("/count", version="1.0"))
    at_the_end = json.loads(state.read_text(encoding="utf-8"))
    with serving([Echo()], port=0, state=state) as server:
        received, _ = raw(server, get("/count", version="1.0"))

    assert soon == {"echo": {"count": 1}}
    assert at_the_end == {"echo": {"count": 2}}
    assert received.endswith(b"\r\n\r\n3")


@pytest.mark.parametrize("unreadable", ['{"echo": {"cou', '{"echo": {"another": 1}}'])
def test_unreadable_state_is_set_aside(state, unreadable):
    state.write_text(unreadable, encoding="utf-8")

    with serving([Echo()], port=0, state=state) as server:
        received, _ = raw(server, get("/count", version="1.0"))

    assert received.endswith(b"\r\n\r\n1")
    assert state.with_suffix(".broken").read_text(encoding="utf-8") == unreadable


def test_icon_is_the_cabinets_own(line):
    status, headers, body = ask(line, "GET", "/favicon.ico")

    icon = Path(__file__).parents[2] / "static/img/favicon.ico"
    assert status == 200
    assert headers["Content-Type"] == "image/x-icon"
    assert body == icon.read_bytes()


def test_busy_port_is_an_os_error_and_writes_nothing(server, state, tmp_path):
    with (
        pytest.raises(OSError, match="in use"),
        serving([Echo()], port=server.server_port, state=tmp_path / "other.json"),
    ):
        pass

    assert not (tmp_path / "other.json").exists()


def test_clock_moves_by_json_and_resets(line, clock_file):
    moved = ask(line, "POST", "/clock", b'{"advance_seconds": 3600}')
    shown = ask(line, "GET", "/clock")
    reset = ask(line, "POST", "/clock", b'{"reset": true}')

    assert [json.loads(answer[2])["offset_seconds"] for answer in (moved, shown, reset)] == [
        3600.0,
        3600.0,
        0.0,
    ]
    assert [answer[0] for answer in (moved, shown, reset)] == [200, 200, 200]


def test_clock_moves_by_a_button_and_returns_to_the_page(line, clock_file):
    answer = ask(
        line,
        "POST",
        "/clock",
        b"advance_seconds=86400",
        **{"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert answer[0] == 303
    assert answer[1]["Location"] == "/"
    assert float(clock_file.read_text(encoding="ascii")) == 86400.0
    assert "сдвиг +1\N{NO-BREAK SPACE}сут" in ClockPart().panel().replace(
        "&nbsp;", "\N{NO-BREAK SPACE}"
    )


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"advance_seconds": "soon"}', b'{"advance_seconds": 1e300}']
)
def test_clock_refuses_an_invalid_body(line, clock_file, body):
    assert ask(line, "POST", "/clock", body)[0] == 400
    assert not clock_file.exists()


def test_clock_factory_is_named_in_settings(settings):
    factories = {path: import_string(path) for path in settings.SANDBOX_PARTS if "clock" in path}

    assert factories == {"cabinet.sandbox.clock.ClockPart": ClockPart}


def test_command_refuses_to_start_outside_the_sandbox(settings):
    settings.SANDBOX = False

    with pytest.raises(CommandError, match="SANDBOX=0"):
        call_command("sandbox")


def test_product_is_imported_without_werkzeug():
    code = (
        "import sys; sys.modules['werkzeug'] = None; import django; django.setup(); "
        "import cabinet.urls, cabinet.management.commands.sandbox"
    )

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
