"""What a reply refuses, by the tables of a profile; and what an answer to a login gives."""

import json
import math
from dataclasses import dataclass
from typing import Any

from operators.declared.paths import Path, unwrapped
from operators.declared.profile import Call, Errors, Named, Profile
from operators.declared.sources import header_of
from operators.masking import charset_of
from operators.ports import (
    Already,
    ErrorClass,
    Rejected,
    Reply,
    SubmitResult,
    Unavailable,
    Unknown,
)
from operators.waits import seconds_of

# After these a switch may have been made all the same.
UNSURE = {ErrorClass.UNKNOWN_OUTCOME, ErrorClass.TRANSIENT, ErrorClass.MAINTENANCE}


@dataclass(frozen=True)
class Refusal:
    """What a reply refuses. `sure`: the switch was surely not made."""

    error: ErrorClass
    code: str
    text: str
    retry_after: float | None
    sure: bool

    def unavailable(self) -> Unavailable:
        """For questions: nothing was learned, and no outcome of a question is unknown."""
        unclear = self.error is ErrorClass.UNKNOWN_OUTCOME
        error = ErrorClass.TRANSIENT if unclear else self.error
        return Unavailable(error, self.code, self.text, self.retry_after)

    def submit_result(self) -> SubmitResult:
        """For switches."""
        if self.error is ErrorClass.ALREADY:
            return Already(self.code)
        if self.sure:
            return Rejected(self.error, self.code, self.text, self.retry_after)
        return Unknown(self.text, self.error, self.code, self.retry_after)


def body_of(reply: Reply) -> Any:
    """The body as JSON, by the charset that it declares; None where it is empty or no JSON."""
    try:
        charset = charset_of(str(reply.headers.get("Content-Type", "")))
        known = charset.startswith("utf")
        # Without a foreign charset the reader of JSON finds out itself, marks of order included.
        return unwrapped(json.loads(reply.body if known else reply.body.decode(charset)))
    except ValueError:
        return None


# --- refusals ---------------------------------------------------------------------------------------


def refusal_of(errors: Errors, call: Call, reply: Reply) -> Refusal | None:
    """The refusal a reply carries, whatever its status; None if it carries none."""
    body = body_of(reply)
    code = said_at(errors.code, body)
    bad = bool(code) and code.casefold() not in errors.fine
    if reply.status in call.statuses and not (bad and reply.status < 300):
        return None
    if reply.status in call.success and not bad:
        return None
    known = errors.codes.get(code.casefold()) if bad else None
    error = known or _status_class(errors, reply.status)
    text = said_at(errors.text, body) or f"оператор ответил {reply.status}"
    return Refusal(
        error,
        (code if bad else "") or str(reply.status),
        text[:200],
        pause(errors, error, reply),
        sure=_is_sure(errors, error, reply.status, code.casefold() if known else ""),
    )


def _status_class(errors: Errors, status: int) -> ErrorClass:
    if status >= 500:
        return errors.statuses.get(status, ErrorClass.TRANSIENT)
    if status >= 400:
        return errors.statuses.get(status, ErrorClass.INVALID)
    if status >= 300:
        return errors.statuses.get(status, ErrorClass.CONFIGURATION)
    # A success that was not agreed on, or a success that carries an error of an unknown kind.
    return ErrorClass.UNKNOWN_OUTCOME


def _is_sure(errors: Errors, error: ErrorClass, status: int, known_code: str) -> bool:
    if status in errors.not_done or known_code in errors.not_done_codes:
        return True
    if error in UNSURE or 300 <= status < 400:
        return False
    return bool(known_code) or 400 <= status < 500


def pause(errors: Errors, error: ErrorClass, reply: Reply) -> float | None:
    path = errors.retry_after_path
    inside = path.word(body_of(reply)) if path is not None else ""
    said = reply.headers.get(errors.retry_after, "").strip() or inside
    given = _seconds(said) or seconds_of(said, reply) or None
    if given is not None:
        return min(given, errors.longest_pause)
    return errors.rate_limited_pause if error is ErrorClass.RATE_LIMITED else None


def said_at(paths: tuple[Path, ...], body: Any) -> str:
    return next((said for path in paths if (said := path.word(body))), "")


def garbage() -> Unavailable:
    """An answer that cannot be read."""
    return Unavailable(ErrorClass.TRANSIENT, "garbage", "ответ оператора не разобрать")


# --- tokens -----------------------------------------------------------------------------------------


def token_of(profile: Profile, reply: Reply) -> tuple[str, float]:
    """The token of an answer to a login, and its life in seconds. Raises `Unavailable`."""
    login, body = profile.login, body_of(reply)
    if not 200 <= reply.status < 300:
        raise _login_trouble(profile.errors, reply)
    prefix = login.place.prefix if login.place is not None else ""
    value = _token(login.token, reply, body).removeprefix(prefix)
    if not value:
        raise _no_token(profile.errors, body)
    life = login.seconds.word(body) if login.seconds is not None else ""
    return value, _seconds(life) or login.default_seconds


def _token(where: Path | Named | None, reply: Reply, body: Any) -> str:
    if isinstance(where, Named):
        return header_of(where, reply.headers)
    return where.word(body) if where is not None else ""


def _no_token(errors: Errors, body: Any) -> Unavailable:
    """A login that succeeded without a token; its code may say why."""
    code = said_at(errors.code, body)
    known = errors.codes.get(code.casefold())
    if known is None:
        return Unavailable(ErrorClass.TRANSIENT, "no_token", "оператор не выдал ключ доступа")
    return Unavailable(known, code, said_at(errors.text, body)[:200] or "оператор не впустил")


def _seconds(said: str) -> float | None:
    """The life that was told, as a number or as the text of one; None without a usable one."""
    try:
        life = float(said)
    except ValueError:
        return None
    return life if math.isfinite(life) and life > 0 else None


def _login_trouble(errors: Errors, reply: Reply) -> Unavailable:
    error, text = _login_class(reply.status)
    return Unavailable(error, str(reply.status), text, pause(errors, error, reply))


def _login_class(status: int) -> tuple[ErrorClass, str]:
    if status == 429:
        return ErrorClass.RATE_LIMITED, "слишком много входов подряд"
    if status in {400, 401, 403, 422}:
        return ErrorClass.AUTH, "оператор не принял ключи договора"
    if status >= 500:
        return ErrorClass.TRANSIENT, "вход у оператора не работает"
    return ErrorClass.CONFIGURATION, "адрес входа не тот"
