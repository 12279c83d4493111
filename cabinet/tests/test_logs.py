"""Nobody writes lines of their own into the logs."""

import logging
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from cabinet.launcher.ports import free_port
from cabinet.logs.lines import OneLineFormatter, escaped

FORGED = "/x\n2026-11-29 12:00:00,000 INFO cabinet: вход администратора\x1b[2K\r\u202e\u2028"


def test_control_characters_are_written_out():
    assert escaped(FORGED) == (
        "/x\\n2026-11-29 12:00:00,000 INFO cabinet: вход администратора\\x1b[2K\\r\\u202e\\u2028"
    )


@given(st.text())
def test_any_text_is_one_line_without_controls(text):
    written = escaped(text)

    assert len(written.splitlines()) <= 1
    assert "\x1b" not in written


def test_ordinary_text_stays_as_it_is():
    text = "Оплачено: 500 ₽ до\u00a01 января — «Ромашка» 😀"

    assert escaped(text) == text


def test_a_record_is_one_line_and_its_traceback_is_indented():
    error = ValueError(FORGED)
    cause = (ValueError, error, None)
    record = logging.LogRecord("cabinet", logging.ERROR, "f.py", 1, "Page %s", (FORGED,), cause)

    first, *others = OneLineFormatter("%(levelname)s %(message)s").format(record).split("\n")

    assert first == f"ERROR Page {escaped(FORGED)}"
    assert {line[:4] for line in others} == {"  | "}


def test_the_settings_use_it_for_every_handler():
    formatters = {handler["formatter"] for handler in settings.LOGGING["handlers"].values()}

    assert {settings.LOGGING["formatters"][name]["()"] for name in formatters} == {
        "cabinet.logs.lines.OneLineFormatter"
    }


APPLICATION = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]
"""


def test_access_log_of_gunicorn_has_one_line_for_a_request(tmp_path: Path):
    (tmp_path / "hello.py").write_text(APPLICATION, encoding="utf-8")
    port, log = free_port(), tmp_path / "access.log"
    command = (
        *(sys.executable, "-m", "gunicorn", "hello:application", "--bind", f"127.0.0.1:{port}"),
        *("--pythonpath", f"{tmp_path},{settings.BASE_DIR}", "--no-control-socket"),
        *("--logger-class", "cabinet.logs.access.AccessLogger", "--access-logfile", str(log)),
        *("--access-logformat", '%(m)s %(U)s %(s)s "%(a)s"'),
    )
    with subprocess.Popen(command, cwd=tmp_path) as server:
        try:
            _ask(port, "/a%0aFORGED%1b%5b2K", {"User-Agent": "b"})
        finally:
            server.terminate()
            server.wait(20)

    assert log.read_text(encoding="utf-8") == ('GET /a\\nFORGED\\x1b[2K 200 "b"\n')


def _ask(port: int, path: str, headers: dict[str, str]) -> None:
    deadline = time.monotonic() + 20
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path, headers=headers)
            connection.getresponse().read()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                pytest.fail("Gunicorn did not start.")
            time.sleep(0.1)
        else:
            return
        finally:
            connection.close()
