"""The market's cloud API: shops and terminals of one merchant. The only module that calls it.

Evotor REST API v2 (rest_overview.html, 2024–2026): Bearer token of user/token, pages by cursor,
402 and 403 where the module is not installed or has no permission, 429 with Retry-After.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import requests
import urllib3
from django.conf import settings
from django.core.cache import cache

from subscriptions.evotor import services
from subscriptions.evotor.models import Account
from subscriptions.evotor.schemas import (
    ROW,
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
    # Odd rows and fields that were left out of what was read so far.
    dropped: list[str] = field(default_factory=list, repr=False)
    _ends_at: list[float] = field(default_factory=list, repr=False)

    def stores(self) -> list[Store]:
        """All shops. Raises CloudRefused, CloudBusy or CloudTrouble."""
        return self._all("stores", parse_stores)

    def devices(self) -> list[Device]:
        """All terminals. Raises CloudRefused, CloudBusy or CloudTrouble."""
        return self._all("devices", parse_devices)

    def _all(self, name: str, parse: Callable[[object, list[str]], Sequence[Row]]) -> list[Row]:
        return [row for page in self._pages(name) for row in _parsed(parse, page, self.dropped)]

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
            with requests.Session() as session, self._response(session, name, params) as response:
                _check(response)
                return read_json(_read(response, self._ends_at[0]))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as trouble:
            raise CloudTrouble(type(trouble).__name__) from trouble
        except SchemaError as broken:
            raise CloudTrouble("not JSON") from broken

    def _response(
        self, session: requests.Session, name: str, params: dict[str, str]
    ) -> requests.Response:
        session.trust_env = False
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


def _check(response: requests.Response) -> None:
    if response.status_code == 429:
        raise CloudBusy(_pause(response))
    if response.status_code in {401, 402, 403}:
        raise CloudRefused(f"status {response.status_code}")
    if response.status_code != 200:
        raise CloudTrouble(f"status {response.status_code}")


def _pause(response: requests.Response) -> float:
    seconds = response.headers.get("Retry-After") or response.headers.get("X-RateLimit-Reset") or ""
    return min(float(seconds), LONGEST_PAUSE) if seconds.isdecimal() else USUAL_PAUSE


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


def _parsed(
    parse: Callable[[object, list[str]], Sequence[Row]], page: object, dropped: list[str]
) -> Sequence[Row]:
    try:
        return parse(page, dropped)
    except SchemaError as broken:
        raise CloudTrouble(f"unexpected answer: {broken}") from broken


def _next_cursor(page: object) -> str:
    paging = page.get("paging") if isinstance(page, dict) else None
    cursor = paging.get("next_cursor") if isinstance(paging, dict) else None
    return cursor if isinstance(cursor, str) else ""


logger = logging.getLogger(__name__)

# After a failure the next try waits; a new token asks at once.
TROUBLE_SECONDS = 600


def sync_shops(*, merchant_id: int, at: datetime) -> bool:
    """Read a merchant's shops and terminals from the cloud; whether the copy is fresh now.

    No transaction is open during the calls. A refusal (the module is removed) keeps the copy as it
    is until tomorrow; «too many calls» and troubles are obeyed and tried again later.
    """
    rows = Account.objects.select_related("merchant").exclude(cloud_token_fingerprint="")
    account = rows.filter(merchant_id=merchant_id).first()
    # One at a time, and not again for a while after a trouble; a success takes the mark away.
    if account is None or not cache.add(_pause_key(account), "1", timeout=TROUBLE_SECONDS):
        return False
    cloud = Cloud(settings.EVOTOR_API_URL, account.cloud_token)
    try:
        stores, devices = cloud.stores(), cloud.devices()
    except CloudRefused as refused:
        logger.info("The cloud refuses merchant %s: %s", merchant_id, refused)
        services.note_synced(merchant=account.merchant, at=at)
        return False
    except CloudBusy as busy:
        cache.set(_pause_key(account), "1", timeout=max(1, int(busy.seconds)))
        return False
    except CloudTrouble as trouble:
        logger.warning("The cloud has no answer about merchant %s: %s", merchant_id, trouble)
        return False
    whole = ROW not in cloud.dropped
    services.keep_shops(merchant=account.merchant, stores=stores, at=at, whole=whole)
    services.keep_terminals(merchant=account.merchant, devices=devices, at=at, whole=whole)
    services.note_synced(merchant=account.merchant, at=at)
    cache.delete(_pause_key(account))
    return True


def _pause_key(account: Account) -> str:
    # With the token's own fingerprint: a new token does not wait for the old one.
    return f"evotor.pause.{account.cloud_token_fingerprint}"
