"""One small module for each operator, and below what every one of them needs.

An adapter is mostly a table «their code → our error class or state»; the unknown has one too. Adapters import
`operators.ports` and this package, nothing else of ours, and not each other.
"""

import json
from typing import Any

from operators.backoff import lifetime_of, retry_after
from operators.classification import classify
from operators.ports import (
    Accepted,
    CallKind,
    Check,
    CheckState,
    Connection,
    ErrorClass,
    LostReply,
    Reading,
    Rejected,
    Reply,
    SimState,
    Token,
    Unavailable,
    stored_text,
)
from operators.ports import OperatorError as OperatorError
from operators.ports import garbage as garbage
from operators.ports import wrong_id as wrong_id

_LOGIN_PAUSE = 20.0


def lost_reply(trouble: LostReply) -> Unavailable:
    """For questions only: asking again is harmless."""
    return Unavailable(ErrorClass.TRANSIENT, "lost_reply", trouble.text)


def rejected(trouble: Unavailable) -> Rejected:
    """What stopped us before the switch was asked for."""
    return Rejected(trouble.error, trouble.code, trouble.text, trouble.retry_after)


def taken_unseen(request_id: str, trouble: Unavailable) -> Accepted:
    """A switch that was taken, whose proof could not be read; the operator may have asked us to wait."""
    return Accepted(request_id, trouble.retry_after, classify(trouble).pause or None)


def check_of_reading(seen: Reading, *, is_done: bool) -> Check:
    """How a switch is doing that the operator gives no number for, by the card's state alone."""
    if is_done:
        return Check(CheckState.COMPLETED, code=seen.raw)
    if seen.state is SimState.RETIRED:
        text = "смарт-карта списана у оператора"
        return Check(CheckState.FAILED, seen.raw, text, ErrorClass.INVALID)
    return Check(CheckState.PENDING, code=seen.raw)


def oauth_token(connection: Connection, url: str, *, key: str, secret: str) -> Token:
    """A token by OAuth2 client credentials, sent as HTTP Basic. Raises `Unavailable`."""
    try:
        reply = connection.http.request(
            "POST",
            url,
            kind=CallKind.AUTH,
            data={"grant_type": "client_credentials"},
            headers={"Accept": "application/json"},
            auth=(key, secret),
        )
    except LostReply as trouble:
        raise lost_reply(trouble) from trouble
    return _token(reply)


def _token(reply: Reply) -> Token:
    if reply.status != 200:
        raise login_refusal(reply).unavailable()
    body = mapping(decoded(reply))
    value = body.get("access_token")
    if not isinstance(value, str) or not value:
        raise Unavailable(ErrorClass.TRANSIENT, "no_token", "оператор не выдал ключ доступа")
    return Token(value, lifetime_of(body.get("expires_in")))


def login_refusal(reply: Reply) -> OperatorError:
    """Why a login was refused, by the status of its answer alone."""
    pause, status = retry_after(reply, default=None), str(reply.status)
    if reply.status == 429:
        pause = _LOGIN_PAUSE if pause is None else pause
        return OperatorError(ErrorClass.RATE_LIMITED, status, "слишком много входов подряд", pause)
    if reply.status in {400, 401, 403, 422}:
        return OperatorError(ErrorClass.AUTH, status, "оператор не принял ключи договора", pause)
    if reply.status >= 500:
        return OperatorError(ErrorClass.TRANSIENT, status, "вход у оператора не работает", pause)
    return OperatorError(ErrorClass.CONFIGURATION, status, "адрес входа не тот", pause)


def decoded(reply: Reply) -> Any:
    """The body as JSON, also where it is JSON inside a JSON string; None where it is neither.

    Its texts can be stored (`ports.stored_text`).
    """
    try:
        body = json.loads(reply.body)
        return _storable(json.loads(body) if isinstance(body, str) else body)
    except (ValueError, RecursionError):
        return None


def _storable(value: Any) -> Any:
    if isinstance(value, dict):
        return {stored_text(name): _storable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_storable(inner) for inner in value]
    return stored_text(value) if isinstance(value, str) else value


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[dict[str, Any]]:
    """The JSON objects of a list; an object alone is a list of one."""
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, dict)]
