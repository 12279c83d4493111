"""One small module for each operator, and below what every one of them needs.

An adapter is mostly a table «their code → our word»; the unknown is a word too. Adapters import
`operators.ports` and this package, nothing else of ours, and not each other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from operators.ports import (
    Accepted,
    CallKind,
    Connection,
    ErrorClass,
    LostReply,
    NotJson,
    NotSent,
    Rejected,
    Reply,
    TokensAway,
    Unavailable,
    Unknown,
)
from operators.waits import asked_pause, retry_after

# A token about to run out would run out on its way, or while a slow answer is awaited.
_TOKEN_MARGIN_SECONDS = 60.0
_SHORTEST_TOKEN_SECONDS = 5.0
_LOGIN_PAUSE = 20.0


@dataclass(frozen=True)
class Trouble:
    """What an operator's refusal says, in our words; `retry_after` in seconds."""

    error: ErrorClass
    code: str
    text: str
    retry_after: float | None = None

    def unavailable(self) -> Unavailable:
        """For questions: nothing was learned, and no outcome of a question is unknown."""
        unclear = self.error is ErrorClass.UNKNOWN_OUTCOME
        error = ErrorClass.TRANSIENT if unclear else self.error
        return Unavailable(error, self.code, self.text, self.retry_after)

    def rejected(self) -> Rejected:
        """For a switch that surely was not made."""
        return Rejected(self.error, self.code, self.text, self.retry_after)

    def unknown(self) -> Unknown:
        """For a switch that may have been made all the same."""
        return Unknown(self.text, self.error, self.code, self.retry_after)


@dataclass(frozen=True)
class Token:
    """A fresh access token and its life in seconds."""

    value: str
    seconds: float


class TokenKeeper:
    """Hands out an account's token; of many callers with a stale one only the first fetches.

    `fetch` asks the operator, raising `Unavailable`. Every method raises what `fetch` raises, and
    `Unavailable` of class `TRANSIENT` where the store of tokens is away.
    """

    def __init__(self, connection: Connection, fetch: Callable[[], Token]) -> None:
        self._store = connection.tokens
        self._key = f"token:{connection.account}"
        self._fetch = fetch

    def current(self) -> str:
        """The kept token, or a new one."""
        return self._guarded(lambda: self._store.get(self._key) or self._renewed(stale=None))

    def renew(self, stale: str) -> str:
        """A token other than `stale`; does not ask the operator if another worker just did."""
        return self._guarded(lambda: self._renewed(stale=stale))

    def _renewed(self, *, stale: str | None) -> str:
        with self._store.lock(self._key):
            kept = self._store.get(self._key)
            if kept is not None and kept != stale:
                return kept
            self._store.forget(self._key)
            token = self._fetch()
            life = max(token.seconds - _TOKEN_MARGIN_SECONDS, _SHORTEST_TOKEN_SECONDS)
            self._store.put(self._key, token.value, life)
            return token.value

    def _guarded(self, ask: Callable[[], str]) -> str:
        try:
            return ask()
        except TokensAway as away:
            raise Unavailable(
                ErrorClass.TRANSIENT, "tokens_away", "хранилище ключей доступа не отвечает"
            ) from away


def not_sent(trouble: NotSent) -> Unavailable:
    """Nothing left us: as good as not asked."""
    errors = {"url": ErrorClass.CONFIGURATION, "quota": ErrorClass.RATE_LIMITED}
    error = errors.get(trouble.code, ErrorClass.TRANSIENT)
    return Unavailable(error, f"not_sent_{trouble.code}", trouble.text, trouble.retry_after)


def lost_reply(trouble: LostReply) -> Unavailable:
    """For questions only: asking again is harmless."""
    return Unavailable(ErrorClass.TRANSIENT, "lost_reply", trouble.text)


def rejected(trouble: Unavailable) -> Rejected:
    """What stopped us before the switch was asked for."""
    return Rejected(trouble.error, trouble.code, trouble.text, trouble.retry_after)


def taken_unseen(request_id: str, trouble: Unavailable) -> Accepted:
    """A switch that was taken, whose proof could not be read; the operator may have asked us to wait."""
    return Accepted(request_id, trouble.retry_after, asked_pause(trouble) or None)


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
    except NotSent as trouble:
        raise not_sent(trouble) from trouble
    except LostReply as trouble:
        raise lost_reply(trouble) from trouble
    return _token(reply)


def _token(reply: Reply) -> Token:
    if reply.status != 200:
        raise _login_trouble(reply).unavailable()
    body = mapping(decoded(reply))
    value, seconds = body.get("access_token"), body.get("expires_in", 300)
    if not isinstance(value, str) or not value or not isinstance(seconds, int | float):
        raise Unavailable(ErrorClass.TRANSIENT, "no_token", "оператор не выдал ключ доступа")
    return Token(value, float(seconds))


def _login_trouble(reply: Reply) -> Trouble:
    pause, status = retry_after(reply, default=None), str(reply.status)
    if reply.status == 429:
        pause = _LOGIN_PAUSE if pause is None else pause
        return Trouble(ErrorClass.RATE_LIMITED, status, "слишком много входов подряд", pause)
    if reply.status in {400, 401, 403}:
        return Trouble(ErrorClass.AUTH, status, "оператор не принял ключи договора", pause)
    if reply.status >= 500:
        return Trouble(ErrorClass.TRANSIENT, status, "вход у оператора не работает", pause)
    return Trouble(ErrorClass.CONFIGURATION, status, "адрес входа не тот", pause)


def decoded(reply: Reply) -> Any:
    """The body as JSON, also where it is JSON inside a JSON string; None where it is neither."""
    try:
        body = reply.json()
        return Reply(0, {}, body.encode()).json() if isinstance(body, str) else body
    except NotJson:
        return None


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[dict[str, Any]]:
    """The JSON objects of a list; an object alone is a list of one."""
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, dict)]
