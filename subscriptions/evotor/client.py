"""The market's cloud API: shops and terminals of one merchant. The only door to it.

Evotor REST API v2 (rest_overview.html, 2024–2026): Bearer token of user/token, pages by cursor,
402 and 403 where the module is not installed or has no permission, 429 with Retry-After.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import requests
import urllib3

from subscriptions.evotor.schema import (
    Device,
    SchemaError,
    Store,
    parse_devices,
    parse_stores,
    read_json,
)

MEDIA_TYPE = "application/vnd.evotor.v2+json"
CONNECT_SECONDS = 4.0
READ_SECONDS = 10.0
TOTAL_SECONDS = 60.0
MOST_BYTES = 10 * 1024 * 1024
PIECE_BYTES = 64 * 1024
MOST_PAGES = 200
LONGEST_PAUSE = 3600.0
USUAL_PAUSE = 60.0

Row = TypeVar("Row", Device, Store)


class CloudTrouble(Exception):
    """The cloud gave no usable answer now; later it may."""


class CloudRefused(CloudTrouble):
    """The cloud does not answer this token: removed module, no permission, a token taken back."""


class CloudBusy(CloudTrouble):
    """Too many calls; ask again after `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"asked to wait {seconds:.0f} s")
        self.seconds = seconds


@dataclass(frozen=True)
class Cloud:
    """The cloud as one merchant's token sees it. All calls of one object share `total_seconds`."""

    base_url: str
    token: str = field(repr=False)
    total_seconds: float = TOTAL_SECONDS
    _ends_at: list[float] = field(default_factory=list, repr=False)

    def stores(self) -> list[Store]:
        """All shops. Raises CloudRefused, CloudBusy or CloudTrouble."""
        return self._all("stores", parse_stores)

    def devices(self) -> list[Device]:
        """All terminals. Raises CloudRefused, CloudBusy or CloudTrouble."""
        return self._all("devices", parse_devices)

    def _all(self, name: str, parse: Callable[[object], tuple[Row, ...]]) -> list[Row]:
        return [row for page in self._pages(name) for row in _parsed(parse, page)]

    def _pages(self, name: str) -> Iterator[object]:
        seen: set[str] = set()
        cursor = ""
        while True:
            page = self._get(name, {"cursor": cursor} if cursor else {})
            yield page
            cursor = _next_cursor(page)
            if not cursor:
                return
            if cursor in seen or len(seen) >= MOST_PAGES:
                raise CloudTrouble("the cloud's pages do not end")
            seen.add(cursor)

    def _get(self, name: str, params: dict[str, str]) -> object:
        if not self._ends_at:
            self._ends_at.append(time.monotonic() + self.total_seconds)
        try:
            with _session() as session, self._response(session, name, params) as response:
                _check(response)
                return read_json(_read(response, self._ends_at[0]))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as trouble:
            raise CloudTrouble(type(trouble).__name__) from trouble
        except SchemaError as broken:
            raise CloudTrouble("not JSON") from broken

    def _response(
        self, session: requests.Session, name: str, params: dict[str, str]
    ) -> requests.Response:
        left = self._ends_at[0] - time.monotonic()
        if left <= 0:
            raise CloudTrouble("the time is up")
        return session.get(
            f"{self.base_url.rstrip('/')}/{name}",
            params=params,
            headers={"Authorization": f"Bearer {self.token}", "Accept": MEDIA_TYPE},
            timeout=(min(CONNECT_SECONDS, left), min(READ_SECONDS, left)),
            allow_redirects=False,  # a redirect would carry the merchant's token elsewhere
            stream=True,
        )


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session


def _check(response: requests.Response) -> None:
    if response.status_code == 429:
        raise CloudBusy(_pause(response))
    if response.status_code in {401, 402, 403}:
        raise CloudRefused(f"status {response.status_code}")
    if response.status_code != 200:
        raise CloudTrouble(f"status {response.status_code}")


def _pause(response: requests.Response) -> float:
    told = response.headers.get("Retry-After") or response.headers.get("X-RateLimit-Reset") or ""
    return min(float(told), LONGEST_PAUSE) if told.isdecimal() else USUAL_PAUSE


def _read(response: requests.Response, ends_at: float) -> bytes:
    body = bytearray()
    # What has come is taken at once: a server that drips holds us for one read past the deadline.
    while piece := response.raw.read1(PIECE_BYTES, decode_content=True):
        body += piece
        if len(body) > MOST_BYTES:
            raise CloudTrouble("the answer is too long")
        if time.monotonic() > ends_at:
            raise CloudTrouble("the time is up")
    return bytes(body)


def _parsed(parse: Callable[[object], tuple[Row, ...]], page: object) -> tuple[Row, ...]:
    try:
        return parse(page)
    except SchemaError as broken:
        raise CloudTrouble(f"unexpected answer: {broken}") from broken


def _next_cursor(page: object) -> str:
    paging = page.get("paging") if isinstance(page, dict) else None
    cursor = paging.get("next_cursor") if isinstance(paging, dict) else None
    return cursor if isinstance(cursor, str) else ""
