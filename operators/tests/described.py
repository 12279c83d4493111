"""What the tests of described operators share: a bench whose adapter works by a profile, and tiny servers."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cabinet.sandbox.http import Request, Response, Route, json_response
from cabinet.sandbox.server import serving
from operators import http, registry
from operators.declared.validate import validate
from operators.ports import Operator
from operators.tests.bench import Bench, MemoryTokens

# The least that a profile can be.
SMALL: dict[str, Any] = {
    "title": "Малый",
    "calls": {
        "activate": {
            "method": "POST",
            "path": "/sims/{iccid}/on",
            "success": {"200": "state"},
            "answer": {"iccid": "iccid", "state": "state"},
        },
        "deactivate": {
            "method": "POST",
            "path": "/sims/{iccid}/off",
            "success": {"200": "state"},
            "answer": {"iccid": "iccid", "state": "state"},
        },
    },
    "states": {"words": {"on": "active", "off": "inactive"}},
}
SEEN = {"iccid": "iccid", "state": "state"}
EXAMPLES = Path(__file__).parents[1] / "declared" / "examples"


def profile(switch: Mapping[str, Any], **parts: Any) -> dict[str, Any]:
    """A description both of whose switches are this call; `calls` are the others."""
    usual = {"method": "POST", "path": "/on", "success": {"200": "state"}, "answer": SEEN}
    call = {**usual, **switch}
    calls = {"activate": call, "deactivate": call} | parts.pop("calls", {})
    words = {"words": {"on": "active", "off": "inactive"}}
    return {"title": "Трудный", "calls": calls, "states": words} | parts


def problems(switch: Mapping[str, Any], **parts: Any) -> list[str]:
    """What staff are told of such a description."""
    return [str(one) for one in validate(profile(switch, **parts))]


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def described(
    profile: Mapping[str, Any],
    base_url: str,
    credentials: Mapping[str, str],
    *,
    account: str = "test-declared",
    timeout: float = 5,
    tokens: Any = None,
    heard: Callable[[http.Exchange], None] = http.unmeasured,
) -> Operator:
    return registry.make(
        account=account,
        on_exchange=heard,
        adapter="declared",
        base_url=base_url,
        credentials=credentials,
        tokens=tokens or MemoryTokens(),
        timeout_seconds=timeout,
        profile=profile,
    )


@dataclass(frozen=True)
class DescribedBench(Bench):
    """The same played operator, spoken to by a profile."""

    profile: Mapping[str, Any] = field(default_factory=dict)

    def operator(self, *, timeout: float = 5, tokens: Any = None, **credentials: str) -> Operator:
        return described(
            self.profile,
            f"{self.url}/operators/{self.code}",
            dict(self.credentials) | credentials,
            account=f"test-{self.code}",
            timeout=timeout,
            tokens=tokens,
        )


Handler = Callable[[Request], Response]


@dataclass
class Played:
    """A part of the sandbox with one table of addresses; keeps what it was asked."""

    handlers: Mapping[str, Handler]
    asked: list[Request] = field(default_factory=list)
    name: str = "shape"

    def routes(self) -> list[Route]:
        lines = ((line, *line.split(" ")) for line in self.handlers)
        return [Route(method, path, self._noted(line)) for line, method, path in lines]

    def _noted(self, line: str) -> Handler:
        def handler(request: Request) -> Response:
            self.asked.append(request)
            return self.handlers[line](request)

        return handler

    def paths(self) -> list[str]:
        return [f"{one.method} {one.path}" for one in self.asked]

    def panel(self) -> str:
        return ""

    def dump(self) -> Any:
        return None

    def load(self, data: Any) -> None:
        """Nothing is kept."""


@contextmanager
def played(
    tmp_path: Path,
    profile: Mapping[str, Any],
    credentials: Mapping[str, str],
    handlers: Mapping[str, Handler],
) -> Iterator[tuple[Operator, Played]]:
    with standing(tmp_path, handlers) as (url, part):
        yield described(profile, url, credentials), part


@contextmanager
def standing(tmp_path: Path, handlers: Mapping[str, Handler]) -> Iterator[tuple[str, Played]]:
    """The address of a tiny server, and what it was asked."""
    part = Played(handlers)
    with serving([part], port=0, state=tmp_path / "shape.json") as server:
        yield f"http://127.0.0.1:{server.server_port}", part
    http.close_sessions()


def says(data: Any, status: int = 200, **headers: str) -> Handler:
    return lambda _request: json_response(data, status, **headers)
