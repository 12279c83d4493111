"""A browser as the journey sees it, behind a pipe to its driver."""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

_START_SECONDS = 60.0
_SLACK = 5.0  # seconds that a driver may be later than it was told to be


class Stuck(Exception):
    """The journey cannot go on in this browser; says where."""


class Browser(Protocol):
    """What a person does with a browser. Every method raises Stuck."""

    deadline: float  # by time.monotonic(): nothing waits longer
    complaints: list[str]  # thrown by scripts, not loaded, wider than the screen

    def version(self) -> str: ...
    def open(self, url: str) -> None: ...
    def press(self, text: str) -> None: ...
    def fill(self, label: str, value: str) -> None: ...
    def see(self, text: str, *, seconds: float = 15) -> None: ...
    def shot(self, path: Path) -> None: ...
    def close(self) -> None: ...


@dataclass
class Piped:
    """A driver process that takes one JSON line for each order and answers with one."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    deadline: float = 0.0
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.deadline = self.deadline or time.monotonic() + _START_SECONDS
        self._rest = b""
        self._process = subprocess.Popen(
            self.argv,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._browser = 0
        try:
            self._browser = int(self._answer(_START_SECONDS).get("pid", 0))
        except Stuck:
            self.close()
            raise

    def version(self) -> str:
        return str(self._order("version")["version"])

    def open(self, url: str) -> None:
        self._order("open", url)

    def press(self, text: str) -> None:
        self._order("press", text)

    def fill(self, label: str, value: str) -> None:
        self._order("fill", label, value=value)

    def see(self, text: str, *, seconds: float = 15) -> None:
        self._order("see", text, seconds=seconds)

    def shot(self, path: Path) -> None:
        over = self._order("shot", str(path.with_suffix(".png")))["overflow"]
        if over > 0:
            self.complaints.append(f"{path.stem}: {over} px wider than the screen")

    def close(self) -> None:
        """The driver is asked to end the browser; whoever stays is ended by its id."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=10)
                break
            _end_group(self._process.pid, number)
        for pid in {self._browser, self._process.pid} - {0}:
            _end_group(pid, signal.SIGKILL)
        self._process.wait(timeout=10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _order(self, what: str, text: str = "", *, seconds: float = 15, value: str = "") -> Any:
        assert self._process.stdin is not None
        order = {"do": what, "text": text, "value": value, "seconds": seconds}
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise Stuck("the driver is gone") from error
        return self._answer(seconds + _SLACK)

    def _answer(self, seconds: float) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self._line(seconds))
        self.complaints += said.get("heard", [])
        if "error" in said:
            raise Stuck(" ".join(f"{said['error']} {said.get('text', '')}".split())[:700])
        return said

    def _line(self, seconds: float) -> bytes:
        assert self._process.stdout is not None
        end = min(time.monotonic() + seconds, self.deadline)
        while b"\n" not in self._rest:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise Stuck("no answer in time")
            read = os.read(self._process.stdout.fileno(), 65536)
            if not read:
                raise Stuck("the browser or its driver has ended")
            self._rest += read
        line, self._rest = self._rest.split(b"\n", 1)
        # A browser may print before its driver speaks.
        return line if line.startswith(b"{") else self._line(seconds)


def _end_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
