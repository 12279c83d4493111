"""The one HTTP door to the operators, and the only importer of `requests` here.

Three promises, none of which `requests` gives by itself:

- **A call ends when its time is up**, however slowly the other side drips. Every read and write of
  the socket gets what is left of the call's time, so a byte a second helps nobody.
- **It is known whether anything left us.** The socket notes the first byte of the request that is
  handed to the network: before it every trouble is `NotSent`, after it it is `LostReply`. A reset
  on a kept connection therefore counts as `LostReply`, as it may have been either.
- **Nothing is done behind our back**: no repeats, no redirects, no proxies or passwords from the
  environment, no cookies.

Names are resolved by the system and may take longer than the call; the call is then given up before
its first byte leaves.
"""

import logging
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import certifi
import requests
import requests.adapters
import urllib3

from cabinet.clock import now, real_now
from operators.heard import NOTHING_OF_OURS, About, Exchange
from operators.masking import Masker
from operators.ports import CallKind, LostReply, NotSent, Reply
from operators.sockets import Call, PlainPool, TimedTls, TlsPool, current

__all__ = [
    "NOTHING_OF_OURS",
    "About",
    "Door",
    "Exchange",
    "always_open",
    "masked",
    "spending",
    "unmeasured",
]

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 20.0
MAX_BODY_BYTES = 1024 * 1024
_CHUNK_BYTES = 16 * 1024
# ValueError: a body over the limit, an address or a header that cannot be sent.
_TROUBLES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError)
PRIVATE = "Персональные данные: ответ не сохраняется."
LOGGED_IN = "Ответ входа не сохраняется."
# Shorter digits are statuses, ports and versions; longer ones may be a number or a card.
_LONG_DIGITS = re.compile(r"\d{7,}")


def _tls_context(ca_bundle: str) -> ssl.SSLContext:
    """Checks certificates against the account's own roots, or the well-known ones without them."""
    if ca_bundle:
        context = ssl.create_default_context(cadata=ca_bundle)
    else:
        context = ssl.create_default_context(cafile=certifi.where())
    context.sslsocket_class = TimedTls
    return context


class _Transport(requests.adapters.HTTPAdapter):
    """Sends through timed sockets and one TLS context, and never repeats a request."""

    def __init__(self, *, context: ssl.SSLContext, size: int) -> None:
        self._context = context
        super().__init__(pool_connections=size, pool_maxsize=size, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        # The inherited one would add the well-known roots to the account's own.
        parts = urlsplit(request.url or "")
        host = {"scheme": parts.scheme, "host": parts.hostname, "port": parts.port}
        return host, {"ssl_context": self._context, "cert_reqs": "CERT_REQUIRED"}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing to add: the context carries the roots and demands the check."""


_OUR_HEADERS = {"User-Agent": "cabinet/1", "Accept-Encoding": "identity"}


def _prepared(
    method: str, url: str, headers: Mapping[str, str] | None, **parts: Any
) -> requests.PreparedRequest:
    """The request as it leaves, made without a session: nothing is merged into it."""
    said = {**_OUR_HEADERS, **(headers or {})}
    return requests.Request(method, url, headers=said, **parts).prepare()


def unmeasured(exchange: Exchange) -> None:
    """The default hook: nobody measures."""


def masked(url: str) -> str:
    """The address as it may be logged: values of the query dropped, long digits cut."""
    try:
        parts = urlsplit(url)
        address = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
    except ValueError:
        return "…"
    names = "&".join(f"{name}=…" for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    path = _LONG_DIGITS.sub(lambda found: f"…{found.group()[-4:]}", parts.path)
    return f"{address}{path}{'?' if names else ''}{names}"


def always_open(kind: CallKind) -> None:
    """The default turnstile: always open."""


_spending: ContextVar[float] = ContextVar("operators_http_spending")


@contextmanager
def spending(seconds: float) -> Iterator[None]:
    """All calls of this thread inside together end within `seconds`.

    One question to an operator may take several calls (log in, ask, log in anew, ask again), and
    the caller's lease knows only the question.
    """
    ends_at = time.monotonic() + seconds
    # Inside another block the earlier end counts.
    token = _spending.set(min(ends_at, _spending.get(ends_at)))
    try:
        yield
    finally:
        _spending.reset(token)


@dataclass(frozen=True)
class Door:
    """`ports.Http` for one account; any thread may use it.

    `admit` is asked before each call, and raises `NotSent` with code `quota` if it is not its turn.
    """

    account: str
    ca_bundle: str = field(default="", repr=False)
    connect_seconds: float = CONNECT_SECONDS
    total_seconds: float = TOTAL_SECONDS
    connections: int = 4
    on_exchange: Callable[[Exchange], None] = unmeasured
    admit: Callable[[CallKind], None] = always_open
    about: About = NOTHING_OF_OURS
    masker: Masker = field(default=Masker(), repr=False)

    def request(
        self,
        method: str,
        url: str,
        *,
        kind: CallKind,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        data: Mapping[str, str] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        private: bool = False,
    ) -> Reply:
        """One exchange within `total_seconds` and what is left of `spending`.

        Raises `NotSent` or `LostReply`; see the module. Of a `private` answer, and of every login's,
        only the status is told.

        Any status is an answer, redirects included. Bodies over 1 MB are a `LostReply`.
        """
        self.admit(kind)
        started = time.monotonic()
        address = _address(url, params)
        said = partial(
            self.masker.request, method, address, headers=headers, auth=auth, body=json, form=data
        )
        note = partial(
            self._note,
            said,
            kind=kind,
            method=method,
            url=address,
            started=started,
            at=now(),
            unkept=LOGGED_IN if kind is CallKind.AUTH else PRIVATE if private else "",
        )
        try:
            reply = self._exchange(
                method, address, json=json, data=data, headers=headers, auth=auth
            )
        except (NotSent, LostReply) as trouble:
            note(error=trouble.text, code=getattr(trouble, "code", ""))
            raise
        note(reply=reply)
        return reply

    def _exchange(self, method: str, url: str, **parts: Any) -> Reply:
        ends_at = time.monotonic() + self.total_seconds
        call = Call(ends_at=min(ends_at, _spending.get(ends_at)))
        token = current.set(call)
        try:
            call.left()
            return self._send(call, method, url, **parts)
        except _TROUBLES as why:
            if call.sent:
                raise LostReply(_lost_text(why)) from why
            raise _not_sent(why) from why
        finally:
            current.reset(token)

    def _send(self, call: Call, method: str, url: str, **parts: Any) -> Reply:
        transport = _transports.of(self.account, self.ca_bundle, self.connections)
        started = time.monotonic()
        # The transport alone: a session would add redirects, cookies and passwords of the machine.
        with transport.send(
            _prepared(method, url, **parts),
            timeout=(min(self.connect_seconds, call.left()), self.total_seconds),
            stream=True,
        ) as response:
            heard_at = real_now()
            body = _body(response, call)
        return Reply(
            status=response.status_code,
            headers=response.headers,
            body=body,
            seconds=time.monotonic() - started,
            date_skew=_skew(response.headers.get("Date"), heard_at),
        )

    def _note(
        self,
        said: Callable[[], str],
        *,
        started: float,
        url: str,
        reply: Reply | None = None,
        unkept: str = "",
        **facts: Any,
    ) -> None:
        """Log the call and tell the hook. Never raises: the operator has answered by now."""
        seconds = time.monotonic() - started
        try:
            exchange = Exchange(
                account=self.account,
                url=self.masker.words(masked(url)),
                status=reply.status if reply else None,
                seconds=seconds,
                date_skew=reply.date_skew if reply else None,
                about=self.about,
                request=said(),
                reply=self._heard(reply, unkept),
                **facts,
            )
            _log(exchange)
            self.on_exchange(exchange)
        except Exception:
            # A broken measure must not hide the answer.
            logger.exception("Could not note the exchange with %s", self.account)

    def _heard(self, reply: Reply | None, unkept: str) -> str:
        """What is kept of an answer, or the sentence why it is not."""
        if reply is None:
            return ""
        return f"HTTP {reply.status}\n\n{unkept}" if unkept else self.masker.reply(reply)


def _log(exchange: Exchange) -> None:
    logger.log(
        logging.WARNING if exchange.status is None else logging.INFO,
        "%s %s %s %s -> %s in %.2f s",
        exchange.account,
        exchange.kind,
        exchange.method,
        exchange.url,
        exchange.status or exchange.error,
        exchange.seconds,
    )


def _address(url: str, params: Mapping[str, str] | None) -> str:
    return f"{url}?{urlencode(params)}" if params else url


def _body(response: requests.Response, call: Call) -> bytes:
    """The whole body. Raises ValueError over the limit, and what the socket raises."""
    body = bytearray()
    for chunk in response.iter_content(_CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ValueError("the answer is over 1 MB")
        call.left()
    return bytes(body)


def _skew(date: str | None, heard_at: datetime) -> float | None:
    if not date:
        return None
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return None
    return (theirs.replace(tzinfo=theirs.tzinfo or UTC) - heard_at).total_seconds()


def _causes(trouble: BaseException) -> list[BaseException]:
    """The exception and everything it was raised from, outermost first."""
    chain: list[BaseException] = []
    cause: BaseException | None = trouble
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return chain


# The first match wins; a failed name or handshake also looks like a failed connection.
_NOT_SENT: tuple[tuple[tuple[type[BaseException], ...], str, str], ...] = (
    ((socket.gaierror,), "dns", "не удалось найти адрес оператора"),
    ((ssl.SSLError,), "tls", "не удалось установить защищённое соединение с оператором"),
    ((TimeoutError, requests.Timeout), "timeout", "оператор не отвечает на соединение"),
    ((ConnectionRefusedError,), "refused", "оператор не принимает соединение"),
    (
        (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema,
         requests.exceptions.InvalidSchema, urllib3.exceptions.LocationParseError),
        "url",
        "адрес оператора записан неверно",
    ),
)  # fmt: skip


def _not_sent(trouble: BaseException) -> NotSent:
    causes = _causes(trouble)
    for kinds, code, text in _NOT_SENT:
        if any(isinstance(cause, kinds) for cause in causes):
            return NotSent(text, code)
    return NotSent("нет соединения с оператором", "network")


def _lost_text(trouble: BaseException) -> str:
    if any(isinstance(cause, TimeoutError | requests.Timeout) for cause in _causes(trouble)):
        return "оператор не успел ответить"
    return "ответ оператора не получен целиком"


class _Transports:
    """One set of kept connections for an account, in this process; a changed CA bundle makes a new one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[tuple[int, str, int], _Transport]] = {}

    def of(self, account: str, ca_bundle: str, size: int) -> _Transport:
        # A forked worker must not talk over the sockets of its parent, hence the process id.
        key = (os.getpid(), ca_bundle, size)
        with self._lock:
            kept = self._kept.get(account)
            if kept is None or kept[0] != key:
                if kept is not None:
                    kept[1].close()
                kept = (key, _Transport(context=_tls_context(ca_bundle), size=size))
                self._kept[account] = kept
            return kept[1]

    def close(self) -> None:
        with self._lock:
            for _, transport in self._kept.values():
                transport.close()
            self._kept.clear()


_transports = _Transports()


def close_sessions() -> None:
    """Lets go of every kept connection of this process; the next call opens its own."""
    _transports.close()
