"""The HTTP client for operators.

Four promises, none of which `urllib3` gives by itself:

- **A call ends when its time is up**, however slowly the other side drips. Every read and write of
  the socket gets what is left of the call's time, so a byte a second helps nobody.
- **It is known whether anything left us.** The socket notes the first byte of the request that is
  handed to the network: before it every trouble is `NotSent`, after it it is `LostReply`. A reset
  on a kept connection therefore counts as `LostReply`, as it may have been either.
- **It leads only where a contract may lead**: see `allowed_networks`.
- **Nothing is done behind our back**: no repeats, no redirects, no proxies or passwords from the
  environment, no cookies.

The time of a call includes the lookup of the name, every address of the host that is tried, and the TLS
handshake.
"""

import logging
import math
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from json import dumps
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from cabinet.clock import now, real_now
from operators.backoff import http_date
from operators.client import allowed_networks
from operators.client.redaction import Redactor
from operators.ports import CallKind, ErrorClass, LostReply, NotSent, Reply

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 20.0
MAX_BODY_BYTES = 1024 * 1024
_CHUNK_BYTES = 16 * 1024
# ValueError: a body over the limit, an address or a header that cannot be sent.
_TROUBLES = (urllib3.exceptions.HTTPError, OSError, ValueError)
PRIVATE = "Персональные данные: ответ не сохраняется."
LOGGED_IN = "Ответ входа не сохраняется."
# Shorter digits are statuses, ports and versions; longer ones may be a number or a card.
_LONG_DIGITS = re.compile(r"\d{7,}")


# --- what is kept of a call ------------------------------------------------------------------------


@dataclass(frozen=True)
class CallContext:
    """What a call is about: the card's ICCID and, where there is one, the command's primary key."""

    iccid: str = ""
    command_id: int | None = None


NO_CONTEXT = CallContext()


@dataclass(frozen=True)
class HttpExchange:
    """One HTTP exchange: secrets and personal data masked, long digits cut to the last four.

    `status` is None and `error` says why where no whole answer came; `date_skew` as in `Reply`. `at`
    is when the exchange began, by the product's clock. `request` and `reply` are at most 4 kB each.
    `error_class` stands on the last exchange of a call: what the adapter made of the whole call; None
    where that is no refusal.
    """

    account: str
    kind: CallKind
    method: str
    url: str
    status: int | None
    seconds: float
    error: str = ""
    date_skew: float | None = None
    code: str = ""
    context: CallContext = NO_CONTEXT
    at: datetime | None = None
    request: str = field(default="", repr=False)
    reply: str = field(default="", repr=False)
    error_class: ErrorClass | None = None

    @property
    def result(self) -> str:
        """The transport's result as stored in the log: ok, http_4xx, lost_reply, not_sent_dns…"""
        if self.status is None:
            return f"not_sent_{self.code}" if self.code else "lost_reply"
        return "ok" if 200 <= self.status < 300 else f"http_{self.status // 100}xx"


# --- sockets that know the request they serve ------------------------------------------------------
# Until when, and whether its first byte has left. `urllib3` tells neither: its timeouts start anew with
# every byte, and its exceptions do not say on which side of the first byte they were raised.


@dataclass
class _Deadline:
    """The request that this thread is making: when it must end, and whether a byte of it has left."""

    ends_at: float
    sent: bool = False

    def left(self) -> float:
        """Seconds until the end. Raises TimeoutError where the time is up."""
        remaining = self.ends_at - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the call's time is up")
        return remaining


# urllib3 gives its sockets no request to look at: the thread's own one is found here.
_current: ContextVar[_Deadline] = ContextVar("operators_request_deadline")


class _DeadlineSocket(socket.socket):
    """A socket whose reads and writes share the time of the _current request."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(_current.get().left())
        return super().recv_into(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        request = _current.get()
        self.settimeout(request.left())
        request.sent = True
        super().sendall(*args, **kwargs)


class _DeadlineTlsSocket(_DeadlineSocket, ssl.SSLSocket):
    """The same under TLS; the handshake ends by the time limit of the connected socket."""


class _Plain(HTTPConnection):
    """Connects only to addresses that are allowed, at that moment and on that socket."""

    def _new_conn(self) -> socket.socket:
        left = _current.get().left
        seconds = self.timeout if isinstance(self.timeout, int | float) else left()
        return allowed_networks.connect(
            _DeadlineSocket,
            (self._dns_host, self.port),
            seconds=seconds,
            left=left,
            options=self.socket_options or (),
        )


class _Tls(_Plain, HTTPSConnection):
    """The TLS context wraps the connected socket into `_DeadlineTlsSocket`."""


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Tls


def _tls_context(ca_bundle: str) -> ssl.SSLContext:
    """Checks certificates against the account's own roots, or the well-known ones without them."""
    if ca_bundle:
        context = ssl.create_default_context(cadata=ca_bundle)
    else:
        context = ssl.create_default_context(cafile=certifi.where())
    context.sslsocket_class = _DeadlineTlsSocket
    return context


# The kept connections of each account in this process, and what they were made for.
_kept: dict[str, tuple[tuple[int, str, int], urllib3.PoolManager]] = {}
_lock = threading.Lock()


def _connections(account: str, ca_bundle: str, size: int) -> urllib3.PoolManager:
    """Timed sockets under one TLS context; a changed CA bundle makes new ones."""
    # A forked worker must not talk over the sockets of its parent, hence the process id.
    made_for = (os.getpid(), ca_bundle, size)
    with _lock:
        kept = _kept.get(account)
        if kept is None or kept[0] != made_for:
            if kept is not None:
                kept[1].clear()
            context = _tls_context(ca_bundle)
            manager = urllib3.PoolManager(
                size, maxsize=size, ssl_context=context, cert_reqs="CERT_REQUIRED"
            )
            manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
            kept = _kept[account] = (made_for, manager)
        return kept[1]


def close_sessions() -> None:
    """Lets go of every kept connection of this process; the next call opens its own."""
    with _lock:
        for _, manager in _kept.values():
            manager.clear()
        _kept.clear()


_OUR_HEADERS = {"User-Agent": "cabinet/1", "Accept-Encoding": "identity"}


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


def no_limit(kind: CallKind) -> None:
    """The default of `CallRecord.admit`: every exchange may leave."""


@dataclass
class CallRecord:
    """One call of an adapter's method, which may take several HTTP exchanges.

    `admit` is asked before each exchange, and raises `NotSent` with code `quota` if it is not its turn.
    All exchanges together end at `ends_at` (of the monotonic clock): the caller's lease knows only the
    call. `exchanges` grows with each of them, also where the adapter breaks later.
    """

    context: CallContext = NO_CONTEXT
    admit: Callable[[CallKind], None] = no_limit
    ends_at: float = math.inf
    exchanges: list[HttpExchange] = field(default_factory=list)


@dataclass
class HttpClient:
    """`ports.Http` for one account, used by one thread at a time; `call` is what it works for now."""

    account: str
    ca_bundle: str = field(default="", repr=False)
    connect_seconds: float = CONNECT_SECONDS
    total_seconds: float = TOTAL_SECONDS
    connections: int = 4
    redactor: Redactor = field(default=Redactor(), repr=False)
    call: CallRecord = field(default_factory=CallRecord)

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
        """One exchange within `total_seconds` and the end of the call.

        Raises `NotSent` or `LostReply`; see the module. Of a `private` answer, and of every login's,
        only the status is kept.

        Any status is an answer, redirects included. Bodies over 1 MB are a `LostReply`.
        """
        with suppress(*_TROUBLES):
            # Made ready before a place in the quota is taken: the exchange leaves right after it.
            _connections(self.account, self.ca_bundle, self.connections)
        self.call.admit(kind)
        address = f"{url}?{urlencode(params)}" if params else url
        parts = {"json": json, "data": data, "headers": headers, "auth": auth}
        began_at, started = now(), time.monotonic()
        result: Reply | NotSent | LostReply
        try:
            result = self._send(method, address, parts)
        except (NotSent, LostReply) as trouble:
            result = trouble
        try:
            self._note(kind, method, address, parts, result, private, began_at, started)
        except Exception:
            # A broken log must not hide the answer.
            logger.exception("Could not note the exchange with %s", self.account)
        if isinstance(result, Reply):
            return result
        raise result

    def _send(self, method: str, url: str, parts: Mapping[str, Any]) -> Reply:
        started = time.monotonic()
        deadline = _Deadline(min(started + self.total_seconds, self.call.ends_at))
        token = _current.set(deadline)
        try:
            connections = _connections(self.account, self.ca_bundle, self.connections)
            connect = min(self.connect_seconds, deadline.left())
            with connections.request(
                method,
                url,
                **_written(url, **parts),
                timeout=urllib3.Timeout(connect=connect, read=self.total_seconds),
                retries=False,
                redirect=False,
                preload_content=False,
            ) as response:
                answered_at = real_now()
                body = bytearray()
                for chunk in response.stream(_CHUNK_BYTES):
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        raise ValueError("the answer is over 1 MB")
                    deadline.left()
                response.release_conn()
        except _TROUBLES as why:
            if deadline.sent:
                raise LostReply(_lost_text(why)) from why
            raise _not_sent(why) from why
        finally:
            _current.reset(token)
        skew = _skew(response.headers.get("Date"), answered_at)
        seconds = time.monotonic() - started
        return Reply(response.status, response.headers, bytes(body), seconds, skew)

    def _note(
        self,
        kind: CallKind,
        method: str,
        url: str,
        parts: Mapping[str, Any],
        result: Reply | NotSent | LostReply,
        private: bool,
        began_at: datetime,
        started: float,
    ) -> None:
        """Log the exchange and add it to the call's, with everything masked."""
        shown_url, text = self.redactor.text(masked(url)), ""
        reply = result if isinstance(result, Reply) else None
        if reply and (private or kind is CallKind.AUTH):
            text = f"HTTP {reply.status}\n\n{LOGGED_IN if kind is CallKind.AUTH else PRIVATE}"
        elif reply:
            text = self.redactor.reply(reply)
        exchange = HttpExchange(
            account=self.account,
            kind=kind,
            method=method,
            url=shown_url,
            status=reply.status if reply else None,
            seconds=time.monotonic() - started,
            error="" if isinstance(result, Reply) else result.text,
            date_skew=reply.date_skew if reply else None,
            code=result.cause if isinstance(result, NotSent) else "",
            context=self.call.context,
            at=began_at,
            request=self.redactor.request(method, url, **parts, is_login=kind is CallKind.AUTH),
            reply=text,
        )
        self.call.exchanges.append(exchange)
        level = logging.INFO if reply else logging.WARNING
        shown = (self.account, kind, method, shown_url, exchange.status or exchange.error)
        logger.log(level, "%s %s %s %s -> %s in %.2f s", *shown, exchange.seconds)


def _written(
    url: str,
    *,
    json: Any,
    data: Mapping[str, str] | bytes | None,
    headers: Mapping[str, str] | None,
    auth: tuple[str, str] | None,
) -> dict[str, Any]:
    """The headers and the body that leave. Raises ValueError for an address without a scheme."""
    address = urllib3.util.parse_url(url)
    if address.scheme is None:
        raise urllib3.exceptions.LocationValueError("an address without a scheme")
    body: bytes | None = None
    sent = urllib3.HTTPHeaderDict(_OUR_HEADERS)
    if isinstance(data, bytes):
        body = data
    elif data:
        body, sent["Content-Type"] = urlencode(data).encode(), "application/x-www-form-urlencoded"
    elif json is not None:
        body, sent["Content-Type"] = dumps(json, allow_nan=False).encode(), "application/json"
    sent.update(headers or {})
    basic = ":".join(auth) if auth else unquote(address.auth or "")
    if basic:
        sent["Authorization"] = urllib3.make_headers(basic_auth=basic)["authorization"]
    return {"headers": sent, "body": body}


def _skew(date: str | None, answered_at: datetime) -> float | None:
    theirs = http_date(date or "")
    return (theirs - answered_at).total_seconds() if theirs else None


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
    (
        (allowed_networks.AddressNotAllowed,),
        "address",
        "адрес оператора ведёт во внутреннюю сеть, которой нет в\u00a0OPERATOR_NETWORKS",
    ),
    ((ssl.SSLError,), "tls", "не удалось установить защищённое соединение с оператором"),
    (
        (TimeoutError,),
        "timeout",
        "оператор не отвечает на соединение",
    ),
    ((ConnectionRefusedError,), "refused", "оператор не принимает соединение"),
    ((urllib3.exceptions.LocationValueError,), "url", "адрес оператора записан неверно"),
)


def _not_sent(trouble: BaseException) -> NotSent:
    causes = _causes(trouble)
    for kinds, code, text in _NOT_SENT:
        if any(isinstance(cause, kinds) for cause in causes):
            return NotSent(text, code)
    return NotSent("нет соединения с оператором", "network")


def _lost_text(trouble: BaseException) -> str:
    if any(isinstance(cause, TimeoutError) for cause in _causes(trouble)):
        return "оператор не успел ответить"
    return "ответ оператора не получен целиком"
