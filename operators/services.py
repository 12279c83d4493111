"""The way from a contract's row to a working adapter, and what is noted about its answers."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from math import ceil

import redis
from django.conf import settings
from django.db import transaction
from django.utils.crypto import salted_hmac
from redis.exceptions import LockError

from cabinet import alerts, audit
from cabinet.actors import SYSTEM, Actor
from cabinet.clock import now, real_now
from cabinet.crypto import Undecryptable, decrypt, encrypt
from cabinet.errors import Refused
from cabinet.wake import wake
from operators import breaker, exchanges, quota, registry
from operators.http import NOTHING_OF_OURS, About, Exchange
from operators.lanes import beside_the_line
from operators.models import OperatorAccount
from operators.ports import (
    OUR_QUOTA,
    TOKENS_AWAY,
    LockTaken,
    Operator,
    TokensAway,
    TokenStore,
    Unavailable,
)
from operators.signals import keys_in_order
from operators.witness import OwnTokens

# What is left in the database where it is not needed: it may be unreadable.
SECRETS = ("credentials", "callback_secret")
# «Проверить связь» keeps one of the few threads of the web waiting: for its turn beside a line that may
# only call alone, and for the operator, at most so long each (seconds).
LANE_PATIENCE = 3.0
PING_SECONDS = 5
# A skew is worth a write when it moves by this much.
_SKEW_STEP = 5.0


@dataclass(frozen=True)
class RedisTokens:
    """Access tokens in Redis, encrypted; raises TokensAway where Redis does not answer, LockTaken where
    another keeps a lock for longer than `patience` seconds (`lock_seconds` where none are given).

    `of` is the mark of the address and the keys that a token was given for: with another mark it is
    not found, so that it is never sent elsewhere nor taken for a proof of other keys.
    """

    url: str
    lock_seconds: float
    of: str = ""
    patience: float | None = None

    def get(self, key: str) -> str | None:
        with _redis_is_there():
            stored = quota.client(self.url).get(self._name(key))
        try:
            return decrypt(str(stored)) if stored else None
        except Undecryptable:
            return None

    def put(self, key: str, value: str, ttl: float) -> None:
        with _redis_is_there():
            quota.client(self.url).set(self._name(key), encrypt(value), px=max(1, int(ttl * 1000)))

    def forget(self, key: str) -> None:
        with _redis_is_there():
            quota.client(self.url).delete(self._name(key))

    def _name(self, key: str, word: str = "token") -> str:
        return f"{word}:{key}:{self.of}" if self.of else f"{word}:{key}"

    @contextmanager
    def lock(self, key: str) -> Iterator[object]:
        lock = quota.client(self.url).lock(
            self._name(key, "token-lock"),
            timeout=self.lock_seconds,
            blocking_timeout=self.lock_seconds if self.patience is None else self.patience,
        )
        with _redis_is_there():
            taken = lock.acquire()
        if not taken:
            raise LockTaken("Другой процесс слишком долго входит к оператору")
        try:
            yield lock
        finally:
            _let_go(lock)


@contextmanager
def _redis_is_there() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise TokensAway("Redis не отвечает") from error


def _let_go(lock: "redis.lock.Lock") -> None:
    try:
        lock.release()
    except (LockError, redis.RedisError):
        return  # it ran out by itself, or Redis is away: either way it is no longer ours


def _mark(account: OperatorAccount) -> str:
    """Tells one address with its keys from another, and nothing of the keys."""
    place = [account.adapter, account.base_url, account.credentials, account.profile]
    told = json.dumps(place, sort_keys=True)
    return salted_hmac("operators.services.tokens", told, algorithm="sha256").hexdigest()[:16]


def workers_tokens(account: OperatorAccount) -> RedisTokens:
    """Where the workers keep the access tokens of this address and these keys."""
    return RedisTokens(settings.REDIS_URL, lock_seconds=account.timeout_seconds, of=_mark(account))


def connect(
    account: OperatorAccount,
    *,
    heard: Callable[[Exchange], None],
    urgency: quota.Urgency = quota.Urgency.CLICK,
    about: About = NOTHING_OF_OURS,
    tokens: TokenStore | None = None,
    timeout_seconds: float | None = None,
) -> Operator:
    """An adapter for one question to the operator; the quota is asked before every call. Nothing is
    sent yet.

    `heard` is told of every exchange, in the thread that made it: collect there, and hand the list to
    `note_exchanges` where a database connection is at hand. `about` says in the log which card and
    command it was for. `tokens` and `timeout_seconds` are the workers' own where none are given.
    """
    return registry.make(
        account=account.code,
        adapter=account.adapter,
        base_url=account.base_url,
        credentials=account.credentials,
        ca_bundle=account.ca_bundle,
        timeout_seconds=timeout_seconds or account.timeout_seconds,
        concurrency=account.concurrency,
        tokens=tokens or workers_tokens(account),
        on_exchange=heard,
        admit=quota.Turnstile(account, urgency),
        about=about,
        profile=account.profile,
    )


def note_exchanges(account: OperatorAccount, heard: Sequence[Exchange]) -> None:
    """Keep the log of exchanges, and what staff ask first: the last answer, the last error, the clock."""
    if not heard:
        return
    moment = real_now()
    exchanges.keep(account, heard, at=moment)
    changes: dict[str, object] = {}
    if any(exchange.status is not None for exchange in heard):
        changes["last_answer_at"] = moment
    errors = [text for exchange in heard if (text := _error(exchange))]
    if errors:
        changes |= {"last_error": errors[-1][:300], "last_error_at": moment}
    skews = [exchange.date_skew for exchange in heard if exchange.date_skew is not None]
    if skews and abs(skews[-1] - (account.clock_skew_seconds or 0)) > _SKEW_STEP:
        changes["clock_skew_seconds"] = skews[-1]
    OperatorAccount.objects.filter(pk=account.pk).update(**changes)


def _error(exchange: Exchange) -> str:
    if exchange.status is None:
        return exchange.error
    return f"HTTP {exchange.status}" if exchange.status >= 400 else ""


@dataclass(frozen=True)
class Link:
    """What asking an operator for its health came to, with a Russian sentence for staff.

    `was_asked` is false where nothing left us, because of our own quota, of a line that must call
    alone, or because Redis is away: that says nothing of the operator, neither good nor bad.
    """

    works: bool
    sentence: str
    was_asked: bool = True


def ping(account: OperatorAccount) -> Link:
    """«Проверить связь»: whether the operator lets us in by this address and these keys. Calls it.

    Logs in anew, as the workers' token says nothing of the keys. Where the operator takes one call at
    a time, its line is waited for `LANE_PATIENCE` seconds; an answer for at most `PING_SECONDS`. Where
    it lets us in, whatever waits for the keys is told (`operators.signals`).
    """
    with beside_the_line(account, patience=LANE_PATIENCE) as ours:
        if not ours:
            return Link(False, _LINE_BUSY, was_asked=False)
        seconds = min(PING_SECONDS, account.timeout_seconds)
        return _asked(account, tokens=OwnTokens(), timeout_seconds=seconds)


def probe(account: OperatorAccount) -> Link:
    """The breaker's question, whether the operator is back; with the workers' token, or every probe
    would log in. Otherwise as `ping`. Calls the operator; the caller holds the account's lane.
    """
    return _asked(account, tokens=None, timeout_seconds=account.timeout_seconds)


def _asked(account: OperatorAccount, *, tokens: TokenStore | None, timeout_seconds: float) -> Link:
    heard: list[Exchange] = []
    try:
        if quota.seconds_to_wait(account) <= quota.LONGEST_NAP:
            quota.note_call(account)
        said = connect(
            account, heard=heard.append, tokens=tokens, timeout_seconds=timeout_seconds
        ).ping()
    except quota.QuotaAway:
        return Link(False, _REDIS_AWAY, was_asked=False)
    except Unavailable as trouble:
        quota.obey(account, [trouble])
        return _refused(account, trouble)
    finally:
        note_exchanges(account, heard)
    keys_in_order.send(sender=None, account_id=account.pk, by=SYSTEM, at=now())
    return Link(True, said)


_REDIS_AWAY = (
    "Связь не проверена: не отвечает Redis, а без счётчика вызовов ничего не отправляется."
)
_KEYS_AWAY = (
    "Связь не проверена: не отвечает Redis, где лежат ключи доступа,"
    " или к оператору слишком долго входит другой процесс."
)
_LINE_BUSY = (
    "Связь не проверена: этот оператор принимает только один вызов за раз,"
    " и сейчас ему уходят команды. Повторите через\u00a0минуту."
)
_NO_TURN = "Связь не проверена: наша квота вызовов этого оператора занята. Повторите через "
_PAUSED = "Связь не проверена: оператор попросил подождать. Повторите через "


def _refused(account: OperatorAccount, trouble: Unavailable) -> Link:
    if trouble.code == TOKENS_AWAY:
        return Link(False, _KEYS_AWAY, was_asked=False)
    if trouble.code == OUR_QUOTA:
        return Link(False, _why_later(account, trouble), was_asked=False)
    return Link(False, f"Связи нет: {trouble.text or trouble.error} {trouble.code}".strip())


def _why_later(account: OperatorAccount, trouble: Unavailable) -> str:
    try:
        paused = quota.pause_left(account)
    except quota.QuotaAway:
        return _REDIS_AWAY
    wait = ceil(max(paused, trouble.retry_after or 1))
    told = f"{wait}\u00a0с" if wait <= 120 else f"{ceil(wait / 60)}\u00a0мин"
    return f"{_PAUSED if paused else _NO_TURN}{told}."


def working_account(account_id: int, *, at: datetime) -> OperatorAccount | None:
    """The contract, if it is switched on and its keys can be read; staff are told where they cannot.

    A lost key of encryption keeps one operator waiting, never the others.
    """
    try:
        account = OperatorAccount.objects.filter(pk=account_id, enabled=True).first()
        if account is not None:
            _ = account.credentials, account.callback_secret
    except Undecryptable:
        alerts.raise_alert(
            key=_keys_alert(account_id),
            text="Ключи договора с оператором не читаются: команды ждут. Введите ключи заново.",
            at=at,
            link=f"/admin/operators/operatoraccount/{account_id}/change/",
        )
        return None
    return account


def note_new_keys(*, account_id: int, by: Actor, at: datetime) -> None:
    """Staff typed the keys anew: the matter of unreadable ones is settled, what waits for keys is told."""
    alerts.close_alert(key=_keys_alert(account_id), by=by, at=at)
    keys_in_order.send(sender=None, account_id=account_id, by=by, at=at)


def _keys_alert(account_id: int) -> str:
    return f"operator:account:{account_id}:keys"


class BreakerRefused(Refused):
    """The breaker stays as it is."""


@transaction.atomic
def close_breaker(*, account: OperatorAccount, reason: str, by: Actor, at: datetime) -> None:
    """Staff know that the operator is back: commands leave again, and the next troubles are counted anew.

    Raises BreakerRefused without a reason, and where the breaker is closed already.
    """
    if not reason.strip():
        raise BreakerRefused("Укажите, почему предохранитель можно закрыть.")
    account = OperatorAccount.objects.select_for_update().defer(*SECRETS).get(pk=account.pk)
    if not breaker.is_open(account):
        raise BreakerRefused("Предохранитель уже закрыт.")
    breaker.note(account, good=1, bad=0, at=at, by_switches=True)
    audit.record(
        target=account,
        action="account.breaker_closed",
        text=f"Закрыт предохранитель договора с оператором «{account.title}»",
        reason=reason,
        by=by,
        at=at,
        merchant_id=None,
    )
    wake("smartcards.dispatch", account_id=account.pk)
