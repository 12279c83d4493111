"""Where access tokens of operators are kept: in Redis for the workers, in memory for a single check."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

import redis
from redis.exceptions import LockError

from cabinet.crypto import Undecryptable, decrypt, encrypt
from operators.client.redaction import Redactor
from operators.limits import quota
from operators.ports import ErrorClass, OurCode, Token, Unavailable

# A token about to run out would run out on its way, or while a slow answer is awaited.
_TOKEN_MARGIN_SECONDS = 60.0
_SHORTEST_TOKEN_SECONDS = 5.0
_REDIS_AWAY = "Redis не отвечает"


class TokensAway(Exception):
    """The store does not answer, or another keeps its lock for too long. Nothing has been sent."""


class TokenStore(Protocol):
    """Access tokens by key. Every method may raise `TokensAway`."""

    def get(self, key: str) -> str | None: ...

    def put(self, key: str, value: str, ttl: float) -> None: ...

    def forget(self, key: str) -> None: ...

    def lock(self, key: str) -> AbstractContextManager[object]: ...


@dataclass(frozen=True)
class AccountTokens:
    """`ports.Tokens` in a store, under the account's key; the connection's redactor masks each of them."""

    store: TokenStore
    key: str
    redactor: Redactor

    def current(self, fetch: Callable[[], Token], *, stale: str | None = None) -> str:
        """See the port."""
        try:
            token = self.store.get(self.key)
            if not token or token == stale:
                token = self._renewed(fetch, stale)
        except TokensAway as away:
            text = "хранилище ключей доступа не отвечает"
            raise Unavailable(ErrorClass.TRANSIENT, OurCode.TOKENS_AWAY, text) from away
        try:
            packed = json.loads(token)  # several values in one
        except ValueError:
            packed = None
        self.redactor.learn([token, *(packed.values() if isinstance(packed, dict) else ())])
        return token

    def _renewed(self, fetch: Callable[[], Token], stale: str | None) -> str:
        with self.store.lock(self.key):
            kept = self.store.get(self.key)
            if kept is not None and kept != stale:
                return kept
            self.store.forget(self.key)
            token = fetch()
            life = max(token.seconds - _TOKEN_MARGIN_SECONDS, _SHORTEST_TOKEN_SECONDS)
            self.store.put(self.key, token.value, life)
            return token.value


@dataclass(frozen=True)
class RedisTokens:
    """Access tokens in Redis, encrypted; raises TokensAway also where another keeps a lock for longer than
    `lock_seconds`.
    """

    url: str
    lock_seconds: float

    def get(self, key: str) -> str | None:
        try:
            stored = quota.client(self.url).get(f"token:{key}")
            return decrypt(str(stored)) if stored else None
        except Undecryptable:
            return None
        except redis.RedisError as error:
            raise TokensAway(_REDIS_AWAY) from error

    def put(self, key: str, value: str, ttl: float) -> None:
        with _redis_errors():
            stored, milliseconds = encrypt(value), max(1, int(ttl * 1000))
            quota.client(self.url).set(f"token:{key}", stored, px=milliseconds)

    def forget(self, key: str) -> None:
        with _redis_errors():
            quota.client(self.url).delete(f"token:{key}")

    @contextmanager
    def lock(self, key: str) -> Iterator[object]:
        wait = self.lock_seconds
        lock = quota.client(self.url).lock(f"token-lock:{key}", timeout=wait, blocking_timeout=wait)
        with _redis_errors():
            taken = lock.acquire()
        if not taken:
            raise TokensAway("Другой процесс слишком долго входит к оператору")
        try:
            yield lock
        finally:
            # It ran out by itself, or Redis is away: either way it is no longer ours.
            with suppress(LockError, redis.RedisError):
                lock.release()


@contextmanager
def _redis_errors() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise TokensAway(_REDIS_AWAY) from error


@dataclass
class OwnTokens:
    """Access tokens of one check: logging in is tried for real, and the workers' tokens stay theirs."""

    _kept: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: str) -> str | None:
        return self._kept.get(key)

    def put(self, key: str, value: str, ttl: float) -> None:
        self._kept[key] = value

    def forget(self, key: str) -> None:
        self._kept.pop(key, None)

    def lock(self, key: str) -> AbstractContextManager[object]:
        return self._lock
