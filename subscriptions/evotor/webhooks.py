"""The market's hooks: prove the caller, store the body, answer. Nothing is processed in a request.

Every hook is served with and without the `/api/vN` prefix, since the market's portal has a free
address for each. Error bodies are those of Evotor's table (doc_errors_returned.md, 2018):
1001 wrong application token, 1002 wrong user token, 1006 wrong log-in data, 2001 broken JSON,
2002 missing field, 2003 bad value. The table knows no limits and no failures: codes of 9000 and
more are ours, 429 and 503 come with `Retry-After`.

On accounts: `user/create` makes the account of a userId, and a repeat gets the same token. There
are no accounts with a password here, so `user/verify` trusts the market about a userId that we
know and answers 1006 to one that we do not; 2004 and 2005 (the data belong to somebody else) cannot
happen. `user/token` alone is enough to work: it makes the account too.

A list of shops, terminals or people is up to ten megabytes long, so it is stored unread: its owner is
the caller or who `X-Evotor-User-Id` names, and what its rows say about that is checked when it is
processed (`schemas.row_owners`).
"""

import base64
import hmac
import logging
import re
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, wraps

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse

from cabinet import clock
from cabinet.crypto import fingerprint
from cabinet.enums import EVOTOR_USER_ID
from cabinet.inbox.request_body import BodyBroken, BodyTooLong, read_limited
from cabinet.middleware import for_machines
from cabinet.tasks.lock_timeout import limit_lock_waits
from subscriptions.evotor import inbox, queries, services, user_limits
from subscriptions.evotor.models import Account, Hook, Sender
from subscriptions.evotor.schemas import (
    BROKEN_JSON,
    TYPE_CHARACTERS,
    SchemaError,
    event_header,
    parse_user_create,
    parse_user_token,
    parse_user_verify,
    read_json,
)
from subscriptions.models import Module

WRONG_APPLICATION = 1001
WRONG_USER = 1002
WRONG_LOGIN = 1006
TOO_MANY = 9429
FAILED = 9500
UNAVAILABLE = 9503

# A real event has less than one kilobyte.
EVENT_BYTES = 64 * 1024
# The market waits ten seconds for an answer, so a held merchant must be given up before.
LOCK_WAIT = 3.0
RETRY_AFTER = 30
# For how long a process believes what it has read of the modules' secrets.
SECRETS_SECONDS = 5
_USER_ID = re.compile(EVOTOR_USER_ID)
_LIST = re.compile(rb"(?:\xef\xbb\xbf)?\s*[\[{]")

logger = logging.getLogger(__name__)
View = Callable[..., HttpResponse]


@dataclass(frozen=True)
class Caller:
    """A proved caller; `user_id` (upper case) is empty for the application, which speaks for every user."""

    user_id: str = ""

    @property
    def sender(self) -> Sender:
        """Whose token proved the caller."""
        return Sender.USER if self.user_id else Sender.APPLICATION


def caller_of(header: str, *, users: bool) -> Caller | None:
    """The application, where the `Authorization` header has a token (Bearer) or log-in (Basic) of it.

    With `users`, also the merchant whose own token the header has. Compared in constant time and in
    full: how many secrets there are may be learnt from the clock, what they are may not. A secret that
    was taken from a module is believed for `SECRETS_SECONDS` more.
    """
    scheme, _, secret = header.strip().partition(" ")
    secret = secret.strip()
    bearers, logins = _module_secrets(int(time.monotonic() // SECRETS_SECONDS))
    match scheme.lower():
        case "bearer":
            known = [*settings.EVOTOR_APP_TOKENS, *bearers]
        case "basic":
            secret = _decoded(secret)
            known = [settings.EVOTOR_BASIC, *logins]
        case _:
            return None
    # A list, so that a match takes as long as none. An empty secret is set nowhere.
    found = [bool(one) and hmac.compare_digest(one.encode(), secret.encode()) for one in known]
    if any(found):
        return Caller()
    if not users or scheme.lower() != "bearer" or not secret:
        return None
    # Looked up by a keyed hash: what the index gives away is of no use without the key.
    accounts = Account.objects.filter(token_fingerprint=fingerprint(secret))
    user_id = accounts.values_list("merchant__evotor_user_id", flat=True).first()
    return Caller(user_id.upper()) if user_id else None


@lru_cache(maxsize=1)
def _module_secrets(_interval: int) -> tuple[list[str], list[str]]:
    """Bearer tokens and Basic log-ins of all modules, read once in an interval."""
    rows = list(Module.objects.values_list("app_tokens", "basic_auth"))
    bearers = [row.strip() for tokens, _ in rows for row in tokens.splitlines()]
    return bearers, [basic for _, basic in rows]


def _decoded(secret: str) -> str:
    try:
        return base64.b64decode(secret, validate=True).decode()
    except ValueError:  # no Base64, no ASCII, no UTF-8
        return ""


class HookRejected(Exception):
    """A request that is refused: the HTTP status and the market's own error code."""

    def __init__(self, status: int, code: int) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code


def _hook(
    method: str, error_code: int, *, users: bool = False, most_bytes: int | None = EVENT_BYTES
) -> Callable[[View], View]:
    """A view of the market: one method, no session, refusals as the market documents them.

    The view gets the proved caller, with `users` also a merchant, and the body of at most
    `most_bytes` (None: EVOTOR_HOOK_MAX_BYTES); without a caller it is refused with `error_code`.
    Whatever goes wrong is answered with JSON.
    """

    def decorate(view: View) -> View:
        @for_machines
        @wraps(view)
        def answer(request: HttpRequest) -> HttpResponse:
            if request.method != method:
                return JsonResponse({}, status=405, headers={"Allow": method})
            try:
                caller = _proved(request, users=users, error_code=error_code)
                limit = settings.EVOTOR_HOOK_MAX_BYTES if most_bytes is None else most_bytes
                return view(request, caller, _body(request, caller, limit))
            except Exception as error:  # noqa: BLE001 what nobody thought of is logged and answered too
                return _refusal(error)

        return answer

    return decorate


def _proved(request: HttpRequest, *, users: bool, error_code: int) -> Caller:
    """Who calls. Raises HookRejected 401, and 429 for a merchant who calls too often."""
    caller = caller_of(request.META.get("HTTP_AUTHORIZATION", ""), users=users)
    if caller is None:
        raise HookRejected(401, error_code)
    if caller.user_id and user_limits.is_over_requests(caller.user_id):
        raise HookRejected(429, TOO_MANY)
    return caller


def _refusal(error: Exception) -> HttpResponse:
    """The documented JSON body for an error of a hook."""
    match error:
        case SchemaError():
            return JsonResponse(error.body(), status=400)
        case HookRejected():
            status, code = error.status, error.code
        case (
            OperationalError() | InterfaceError()
        ):  # a merchant's row is held, or the database is away
            status, code = 503, UNAVAILABLE
        case _:
            logger.error("A hook could not be answered", exc_info=error)
            status, code = 500, FAILED
    retry = {"Retry-After": str(RETRY_AFTER)} if status in {429, 503} else {}
    return JsonResponse({"errors": [{"code": code}]}, status=status, headers=retry)


@_hook("POST", WRONG_APPLICATION)
def user_create(_request: HttpRequest, _caller: Caller, body: bytes) -> HttpResponse:
    """Register a merchant: 200 with our token for this user, the same one at each repeat."""
    wanted = parse_user_create(read_json(body))
    with transaction.atomic():
        limit_lock_waits(LOCK_WAIT)
        account = services.register(request=wanted, at=clock.now())
    return JsonResponse({"userId": wanted.user_id, "token": account.token})


@_hook("POST", WRONG_APPLICATION)
def user_verify(_request: HttpRequest, _caller: Caller, body: bytes) -> HttpResponse:
    """Log in a merchant who is known here; the market bills, so `hasBilling` is always false."""
    user_id = parse_user_verify(read_json(body)).user_id
    account = Account.objects.filter(merchant=queries.merchant_of(user_id)).first()
    if account is None:
        raise HookRejected(401, WRONG_LOGIN)
    return JsonResponse({"userId": user_id, "hasBilling": False, "token": account.token})


@_hook("POST", WRONG_APPLICATION)
def user_token(_request: HttpRequest, _caller: Caller, body: bytes) -> HttpResponse:
    """Keep the key to the market's cloud."""
    wanted = parse_user_token(read_json(body))
    with transaction.atomic():
        limit_lock_waits(LOCK_WAIT)
        services.keep_cloud_token(request=wanted, at=clock.now())
    return JsonResponse({})


@_hook("POST", WRONG_APPLICATION, users=True)
def subscription_event(_request: HttpRequest, caller: Caller, body: bytes) -> HttpResponse:
    """Store a billing event; whatever an authentic caller sends is stored."""
    header = event_header(read_json(body))
    return _store(Hook.SUBSCRIPTION, caller, body, header.user_id, header.type)


@_hook("POST", WRONG_APPLICATION, users=True)
def installation_event(_request: HttpRequest, caller: Caller, body: bytes) -> HttpResponse:
    """Store an install or a removal; whatever an authentic caller sends is stored."""
    header = event_header(read_json(body))
    return _store(Hook.INSTALLATION, caller, body, header.data_user_id, header.type)


@_hook("PUT", WRONG_USER, users=True, most_bytes=None)
def devices(request: HttpRequest, caller: Caller, body: bytes) -> HttpResponse:
    """Store the terminals as they are now."""
    return _store_list(request, caller, Hook.DEVICES, body)


@_hook("PUT", WRONG_USER, users=True, most_bytes=None)
def stores(request: HttpRequest, caller: Caller, body: bytes) -> HttpResponse:
    """Store the shops as they are now."""
    return _store_list(request, caller, Hook.STORES, body)


@_hook("PUT", WRONG_USER, users=True, most_bytes=None)
def employees(_request: HttpRequest, _caller: Caller, _body: bytes) -> HttpResponse:
    """People of the shops: accepted, not read and not stored. We have no use for their data."""
    return JsonResponse({})


@for_machines
def unknown(_request: HttpRequest) -> HttpResponse:
    """A hook that we do not serve."""
    return JsonResponse({}, status=404)


def _store_list(request: HttpRequest, caller: Caller, hook: Hook, body: bytes) -> HttpResponse:
    named = request.META.get("HTTP_X_EVOTOR_USER_ID", "")
    if not caller.user_id and not _USER_ID.fullmatch(named):
        named = ""
    try:
        body.decode()
    except UnicodeDecodeError as broken:
        raise HookRejected(400, BROKEN_JSON) from broken
    if not _LIST.match(body):
        raise HookRejected(400, BROKEN_JSON)
    return _store(hook, caller, body, named.upper() or caller.user_id, None)


def _store(
    hook: Hook, caller: Caller, body: bytes, user_id: str | None, event_type: str | None
) -> HttpResponse:
    """Store what a caller says about whom it may speak for, whatever it says."""
    if caller.user_id and caller.user_id != user_id:
        raise HookRejected(401, WRONG_USER)
    inbox.store(
        hook=hook,
        body=body,
        user_id=user_id or "",
        event_type=(event_type or "")[:TYPE_CHARACTERS],
        authorized_as=caller.sender,
        at=clock.now(),
    )
    return JsonResponse({})


def _body(request: HttpRequest, caller: Caller, limit: int) -> bytes:
    """The body, unzipped where it came so; at most `limit` bytes before and after.

    Raises HookRejected 413 for more, 400 for what cannot be read, and 429 where a merchant has sent
    too much within a minute.
    """
    try:
        raw = read_limited(request, limit)
        is_zipped = "gzip" in request.META.get("HTTP_CONTENT_ENCODING", "").lower()
        body = _unzipped(raw, limit) if is_zipped else raw
    except BodyTooLong as too_long:
        raise HookRejected(413, BROKEN_JSON) from too_long
    except (BodyBroken, zlib.error) as broken:
        raise HookRejected(400, BROKEN_JSON) from broken
    if caller.user_id and user_limits.is_over_bytes(caller.user_id, len(body)):
        raise HookRejected(429, TOO_MANY)
    return body


def _unzipped(raw: bytes, limit: int) -> bytes:
    """Raises BodyTooLong and BodyBroken. A small body cannot fill the memory."""
    unzip = zlib.decompressobj(wbits=31)
    body: bytes = unzip.decompress(raw, limit + 1)
    if len(body) > limit:
        raise BodyTooLong
    if not unzip.eof:
        raise BodyBroken
    return body
