"""The market's hooks: who knocks, what is said, keep it, answer. Nothing is processed in a request.

Every hook is served with and without the `/api/vN` prefix, since the market's portal has a free
address for each. Error bodies are those of Evotor's table (doc_errors_returned.md, 2018):
1001 wrong application token, 1002 wrong user token, 1006 wrong log-in data, 2001 broken JSON,
2002 missing field, 2003 bad value.

On accounts: `user/create` makes the account of a userId, and a repeat gets the same token. There
are no accounts with a password here, so `user/verify` trusts the market's word about a userId that
we know and answers 1006 to one that we do not; 2004 and 2005 (the data belong to somebody else)
cannot happen. `user/token` alone is enough to work: it makes the account too.
"""

import zlib
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import RawPostDataException, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt

from cabinet import clock
from subscriptions.evotor import auth, inbox, queries, services
from subscriptions.evotor.auth import Caller
from subscriptions.evotor.hooks import Hook
from subscriptions.evotor.schema import (
    USER_KEYS,
    SchemaError,
    parse_user_create,
    parse_user_token,
    parse_user_verify,
    read_json,
)

WRONG_APPLICATION = 1001
WRONG_USER = 1002
WRONG_LOGIN = 1006
BROKEN = 2001

View = Callable[..., HttpResponse]


class Turned(Exception):
    """A request that is turned away: the HTTP status and the market's own error code."""

    def __init__(self, status: int, code: int) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code


def _hook(method: str) -> Callable[[View], View]:
    """A view of the market: one method, no session, refusals as the market documents them."""

    def decorate(view: View) -> View:
        @wraps(view)
        def answered(request: HttpRequest, **kwargs: Any) -> HttpResponse:
            if request.method != method:
                return JsonResponse({}, status=405, headers={"Allow": method})
            try:
                return view(request, **kwargs)
            except Turned as turned:
                return JsonResponse({"errors": [{"code": turned.code}]}, status=turned.status)
            except SchemaError as broken:
                return JsonResponse(broken.body(), status=400)

        # The market's servers have neither our cookies nor our log-in; the token is the proof.
        return csrf_exempt(login_not_required(answered))

    return decorate


@_hook("POST")
def user_create(request: HttpRequest) -> HttpResponse:
    """Register a merchant: 200 with our token for this user, the same one at each repeat."""
    _application(request)
    wanted = parse_user_create(_payload(request))
    account = services.register(request=wanted, at=clock.now())
    return JsonResponse({"userId": wanted.user_id, "token": account.token})


@_hook("POST")
def user_verify(request: HttpRequest) -> HttpResponse:
    """Log in a merchant who is known here; the market bills, so `hasBilling` is always false."""
    _application(request)
    user_id = parse_user_verify(_payload(request)).user_id
    account = queries.account_of(user_id)
    if account is None:
        raise Turned(401, WRONG_LOGIN)
    return JsonResponse({"userId": user_id, "hasBilling": False, "token": account.token})


@_hook("POST")
def user_token(request: HttpRequest) -> HttpResponse:
    """Keep the key to the market's cloud."""
    _application(request)
    services.keep_cloud_token(request=parse_user_token(_payload(request)), at=clock.now())
    return JsonResponse({})


@_hook("POST")
def subscription_event(request: HttpRequest) -> HttpResponse:
    """A billing event."""
    caller = _application_or_user(request)
    body = _body(request)
    payload = _object(read_json(body))
    return _keep(Hook.SUBSCRIPTION, caller, body, _user_id(payload), _text(payload.get("type")))


@_hook("POST")
def installation_event(request: HttpRequest) -> HttpResponse:
    """An install or a removal."""
    caller = _application_or_user(request)
    body = _body(request)
    payload = _object(read_json(body))
    user_id = _user_id(_object(payload.get("data")))
    return _keep(Hook.INSTALLATION, caller, body, user_id, _text(payload.get("type")))


@_hook("PUT")
def devices(request: HttpRequest) -> HttpResponse:
    """Terminals as they are now."""
    return _inventory(request, Hook.DEVICES)


@_hook("PUT")
def stores(request: HttpRequest) -> HttpResponse:
    """Shops as they are now."""
    return _inventory(request, Hook.STORES)


@_hook("PUT")
def employees(request: HttpRequest) -> HttpResponse:
    """People of the shops: read, checked for form and let go. We have no use for their data."""
    _application_or_user(request)
    read_json(_body(request))
    return JsonResponse({})


@csrf_exempt  # as above: a stranger to our cookies
@login_not_required
def unknown(request: HttpRequest) -> HttpResponse:
    """A hook that we do not serve."""
    return JsonResponse({}, status=404)


def _application(request: HttpRequest) -> None:
    if auth.application(request.headers.get("Authorization", "")) is None:
        raise Turned(401, WRONG_APPLICATION)


def _application_or_user(request: HttpRequest) -> Caller:
    caller = auth.application_or_user(request.headers.get("Authorization", ""))
    if caller is None:
        is_event = request.method == "POST"
        raise Turned(401, WRONG_APPLICATION if is_event else WRONG_USER)
    return caller


def _inventory(request: HttpRequest, hook: Hook) -> HttpResponse:
    caller = _application_or_user(request)
    body = _body(request)
    told = {*_owners(read_json(body)), request.headers.get("X-Evotor-User-Id", "")} - {""}
    if len(told) > 1:
        raise Turned(401, WRONG_USER)
    return _keep(hook, caller, body, told.pop() if told else caller.user_id, "")


def _owners(payload: object) -> set[str]:
    """The users that version 2 names in its rows."""
    rows = payload.get("items") if isinstance(payload, Mapping) else payload
    if not isinstance(rows, list):
        return set()
    return {_text(_object(row).get("user_id")) for row in rows}


def _keep(hook: Hook, caller: Caller, body: bytes, user_id: str, event_type: str) -> HttpResponse:
    """Store what an authentic caller says about whom it may speak for, whatever it says."""
    if not caller.speaks_for(user_id):
        raise Turned(401, WRONG_USER)
    inbox.store(
        hook=hook,
        body=body,
        user_id=user_id[:18],
        event_type=event_type[:60],
        authorized_as=caller.kind,
        at=clock.now(),
    )
    return JsonResponse({})


def _payload(request: HttpRequest) -> object:
    return read_json(_body(request))


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _user_id(values: Mapping[str, object]) -> str:
    """The user as the schema reads it: the first of its keys that is there."""
    return _text(next((values[key] for key in USER_KEYS if key in values), ""))


def _text(value: object) -> str:
    """A storable short text, or an empty one; the raw body keeps what it really was."""
    if not isinstance(value, str):
        return ""
    return value.encode("ascii", "replace").decode().replace("\x00", "?")


def _body(request: HttpRequest) -> bytes:
    """The body, unzipped where it came so; at most ten megabytes before and after.

    Raises Turned 413 for more and 400 for what cannot be read.
    """
    limit = settings.EVOTOR_HOOK_MAX_BYTES
    if _announced(request) > limit:
        raise Turned(413, BROKEN)
    try:
        raw: bytes = _stream(request).read(limit + 1)
    except (OSError, RawPostDataException, UnreadablePostError) as broken:
        raise Turned(400, BROKEN) from broken
    if "gzip" in request.headers.get("Content-Encoding", "").lower():
        raw = _unzipped(raw, limit)
    if len(raw) > limit:
        raise Turned(413, BROKEN)
    return raw


def _announced(request: HttpRequest) -> int:
    length = request.headers.get("Content-Length") or "0"
    # A number of thousands of digits would refuse to be read; nobody needs its value.
    return int(length[:16]) if length.isdecimal() else 0


def _stream(request: HttpRequest) -> Any:
    # Django reads nothing without a length; a server that marks the end of a chunked body itself
    # (PEP 3333 extension `wsgi.input_terminated`) can be read to that end.
    environ = request.META
    if environ.get("wsgi.input_terminated") and not environ.get("CONTENT_LENGTH"):
        return environ["wsgi.input"]
    return request


def _unzipped(raw: bytes, limit: int) -> bytes:
    """At most one byte more than `limit`, so that a small body cannot fill the memory."""
    unzip = zlib.decompressobj(wbits=31)
    try:
        body: bytes = unzip.decompress(raw, limit + 1)
    except zlib.error as broken:
        raise Turned(400, BROKEN) from broken
    if not unzip.eof and len(body) <= limit:
        raise Turned(400, BROKEN)
    return body
