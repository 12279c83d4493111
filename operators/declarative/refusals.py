"""A reply decoded, and what it refuses by the codes and statuses of a description."""

import json
import re
from collections.abc import Mapping
from typing import Any

from operators.backoff import retry_after
from operators.declarative.jmespath_expressions import Expression
from operators.declarative.schema import Errors
from operators.ports import Already, ErrorClass, OperatorError, Reply, SubmitResult

# `{status, headers, body}` and, where one is chosen, `row`.
Answer = Mapping[str, Any]
# The usual meaning of a status; a description may say otherwise.
STATUSES = {
    400: ErrorClass.INVALID,
    401: ErrorClass.AUTH,
    403: ErrorClass.FORBIDDEN,
    404: ErrorClass.NOT_FOUND,
    405: ErrorClass.CONFIGURATION,
    408: ErrorClass.UNKNOWN_OUTCOME,
    409: ErrorClass.CONFLICT_PENDING,
    410: ErrorClass.NOT_FOUND,
    415: ErrorClass.CONFIGURATION,
    425: ErrorClass.TRANSIENT,
    429: ErrorClass.RATE_LIMITED,
    499: ErrorClass.UNKNOWN_OUTCOME,
    503: ErrorClass.MAINTENANCE,
}
_OTHER_STATUSES = {
    3: ErrorClass.CONFIGURATION,
    4: ErrorClass.INVALID,
    5: ErrorClass.TRANSIENT,
}
_CHARSET = re.compile(r"charset=\"?([\w.:-]+)", re.IGNORECASE)

# --- decoding ---------------------------------------------------------------------------------------


def answer_of(reply: Reply) -> Answer:
    """What expressions are searched in: `status`, `headers` by lower-case names, and the decoded `body`."""
    headers = {name.lower(): value for name, value in reply.headers.items()}
    return {"status": reply.status, "headers": headers, "body": _decoded(reply)}


def _decoded(reply: Reply) -> Any:
    """The body as JSON, by the charset that it declares; None where it is empty or no JSON."""
    found = _CHARSET.search(str(reply.headers.get("Content-Type", "")))
    charset = found[1].lower() if found else "utf-8"
    try:
        # Of Unicode the reader of JSON finds out the kind itself, a mark of order included.
        is_unicode = charset.startswith("utf")
        return _unwrapped(json.loads(reply.body if is_unicode else reply.body.decode(charset)))
    except (ValueError, LookupError, RecursionError):
        return None


def _unwrapped(value: Any) -> Any:
    """The same with texts that are JSON themselves decoded: a TMF640 monitor wraps one in the other."""
    if isinstance(value, dict):
        return {name: _unwrapped(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_unwrapped(inner) for inner in value]
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return _unwrapped(json.loads(value))
    except ValueError:
        return value


# --- refusals ---------------------------------------------------------------------------------------


def refusal_of(errors: Errors, reply: Reply, answer: Answer) -> OperatorError | None:
    """The refusal of a reply; None for 2xx without a code that the description lists."""
    code = _first_text(errors.code, answer)
    known = errors.codes.get(_code(errors, answer))
    if known is None and 200 <= reply.status < 300:
        return None
    error = known or errors.statuses.get(reply.status) or _usual_class(reply.status)
    text = _first_text(errors.text, answer) or f"оператор ответил {reply.status}"
    pause = pause_of(reply)
    if pause is None and error is ErrorClass.RATE_LIMITED:
        pause = errors.rate_limited_pause
    return OperatorError(error, code or str(reply.status), text[:200], pause)


def switch_refusal(errors: Errors, reply: Reply, answer: Answer) -> SubmitResult | None:
    """What a refusal proves of a switch; surely not made only by a listed code or a status 400–499."""
    refused = refusal_of(errors, reply, answer)
    if refused is None:
        return None
    if refused.error is ErrorClass.ALREADY:
        return Already(refused.code)
    is_told = _code(errors, answer) in errors.codes or 400 <= reply.status < 500
    return refused.switch_result() if is_told else refused.unknown()


def _code(errors: Errors, answer: Answer) -> str:
    return _first_text(errors.code, answer).casefold()


def _usual_class(status: int) -> ErrorClass:
    return STATUSES.get(status) or _OTHER_STATUSES.get(status // 100, ErrorClass.UNKNOWN_OUTCOME)


def pause_of(reply: Reply) -> float | None:
    """How long the operator asks to wait, in seconds; None where it does not say."""
    return retry_after(reply, default=None) or None


def _first_text(expressions: tuple[Expression, ...], answer: Answer) -> str:
    return next((text for one in expressions if (text := one.text(answer))), "")
