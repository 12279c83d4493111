"""From an operator account's row to a working adapter: sessions, and «Проверить связь»."""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from typing import Generic, TypeVar

from django.conf import settings
from django.utils.crypto import salted_hmac

from cabinet.actors import SYSTEM
from cabinet.clock import now
from operators import registry
from operators.classification import Classification, classify
from operators.client.http import NO_CONTEXT, CallContext, CallRecord, HttpClient, HttpExchange
from operators.client.redaction import Redactor, allowlist_of, redacted
from operators.client.tokens import AccountTokens, OwnTokens, RedisTokens, TokenStore
from operators.limits import quota
from operators.limits.account_lock import beside_worker
from operators.models import OperatorAccount
from operators.ports import (
    Connection,
    ErrorClass,
    Operator,
    OurCode,
    Rejected,
    Unavailable,
    Unknown,
)
from operators.services import record_exchanges
from operators.signals import keys_in_order

logger = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

# «Проверить связь» keeps one of the few threads of the web waiting: for its turn beside a worker that may
# only call alone, and for the operator, at most so long each (seconds).
LOCK_PATIENCE = 3.0
PING_SECONDS = 5


@dataclass(frozen=True)
class CallOutcome(Generic[ResultT]):
    """One finished call of an adapter. An operator's trouble is a result, too: nothing is raised.

    `result` is what the adapter's method returned, or `Unavailable` where it raised; where our own code
    broke, its code is `classification.BROKEN`. `exchanges` are complete in every case. `seconds` is the
    time of the call, waiting for the quota included.
    """

    result: ResultT | Unavailable
    exchanges: tuple[HttpExchange, ...] = ()
    seconds: float = 0.0

    @property
    def never_arrived(self) -> bool:
        """Whether the last exchange found no operator at all, so that its trouble is about no card."""
        return bool(self.exchanges) and self.exchanges[-1].result.startswith("not_sent_")

    @property
    def refusal(self) -> str:
        """The code and the masked text of a refusal; empty for any other result."""
        if not isinstance(self.result, Rejected | Unknown | Unavailable):
            return ""
        return redacted(f"{self.result.code} {self.result.text}".strip())[:200]

    @cached_property
    def classification(self) -> Classification:
        """What the result means for the command, the account and staff."""
        return classify(self.result)


@dataclass
class OperatorSession:
    """One adapter of an account with its HTTP client: used by one thread at a time, for any number of calls.

    `seconds` is the longest that one call may take, however many HTTP exchanges it needs, plus what the
    token store lets it wait for a lock.
    """

    account: OperatorAccount
    operator: Operator
    http: HttpClient
    seconds: float

    def call(
        self,
        ask: Callable[[Operator], ResultT],
        *,
        admit: quota.QuotaGate,
        context: CallContext = NO_CONTEXT,
    ) -> CallOutcome[ResultT]:
        """Make one call, with no transaction open: it waits for the network. Never raises.

        `admit` takes a place in the quota before every exchange. `context` stands in the log.
        """
        started = time.monotonic()
        record = CallRecord(context, admit, started + self.seconds)
        self.http.call = record
        result: ResultT | Unavailable
        try:
            result = ask(self.operator)
        except Unavailable as trouble:
            result = trouble
        except Exception:
            # A broken adapter must not lose a command that may have been done.
            logger.exception("The adapter of %s broke", self.account.code)
            result = Unavailable(ErrorClass.TRANSIENT, OurCode.BROKEN, "ошибка в нашем коде")
        outcome = CallOutcome(result, tuple(record.exchanges), time.monotonic() - started)
        error = outcome.classification.error
        if error is None or not record.exchanges:
            return outcome
        last = replace(record.exchanges[-1], error_class=error)
        return replace(outcome, exchanges=(*record.exchanges[:-1], last))


def connect(
    account: OperatorAccount,
    *,
    tokens: TokenStore | None = None,
    timeout_seconds: float | None = None,
) -> OperatorSession:
    """A session with the operator of this account. Nothing is sent yet.

    `tokens` and `timeout_seconds` are the workers' own where none are given. Raises what
    the adapter's class raises: what is wrong with an account is known before anything is claimed for it.
    """
    seconds = timeout_seconds or account.timeout_seconds
    # Tells one address with its keys from another, and nothing of the keys: a token is never sent elsewhere,
    # nor taken for a proof of other keys.
    parts = [account.adapter, account.base_url, account.credentials, account.profile]
    text = json.dumps(parts, sort_keys=True)
    mark = salted_hmac("operators.services.tokens", text, algorithm="sha256").hexdigest()[:16]
    store = tokens or RedisTokens(settings.REDIS_URL, account.timeout_seconds)
    adapter = registry.adapter_class(account.adapter)
    redactor = Redactor(
        account.credentials.values(), allowlist_of(account.adapter, adapter, account.profile)
    )
    http = HttpClient(
        account=account.code,
        ca_bundle=account.ca_bundle,
        total_seconds=seconds,
        connections=account.concurrency,
        redactor=redactor,
    )
    connection = Connection(
        account=account.code,
        base_url=account.base_url,
        credentials=account.credentials,
        http=http,
        tokens=AccountTokens(store, f"token:{account.code}:{mark}", redactor),
        profile=account.profile,
    )
    return OperatorSession(account, adapter(connection), http, seconds)


@dataclass(frozen=True)
class PingResult:
    """What asking an operator for its health came to, with a Russian sentence for staff.

    `was_asked` is false where nothing left us, because of our own quota, of a worker that must call
    alone, or because Redis is away: that says nothing of the operator, neither good nor bad. `only_refused`:
    it answered, and refused this very question (`_ALIVE`).
    """

    works: bool
    sentence: str
    was_asked: bool = True
    only_refused: bool = False

    @property
    def alive(self) -> bool:
        """Whether the operator answers, whatever it thinks of the question."""
        return self.works or self.only_refused


def ping(account: OperatorAccount) -> PingResult:
    """«Проверить связь»: whether the operator lets us in by this address and these keys. Calls it.

    Logs in anew, as the workers' token says nothing of the keys. Where the operator takes one call at
    a time, its worker is waited for `LOCK_PATIENCE` seconds; an answer for at most `PING_SECONDS`. Where
    it lets us in, `keys_in_order` is sent (`operators.signals`).
    """
    with beside_worker(account, patience=LOCK_PATIENCE) as ours:
        if not ours:
            return PingResult(False, _WORKER_BUSY, was_asked=False)
        seconds = min(PING_SECONDS, account.timeout_seconds)
        return probe(connect(account, tokens=OwnTokens(), timeout_seconds=seconds))


def probe(session: OperatorSession) -> PingResult:
    """The breaker's question, whether the operator is back: by a worker's session with the shared token,
    or every probe would log in. Calls the operator; the caller holds the account's lock.
    """
    account = session.account
    try:
        if quota.seconds_to_wait(account) <= quota.LONGEST_NAP:
            quota.note_call(account)
    except quota.QuotaAway:
        return PingResult(False, _REDIS_AWAY, was_asked=False)
    outcome = session.call(lambda operator: operator.ping(), admit=quota.QuotaGate(account))
    record_exchanges(account, outcome.exchanges)
    quota.apply_backoff(account, outcome.classification)
    if isinstance(outcome.result, Unavailable):
        return _refused(account, outcome.result)
    keys_in_order.send(sender=None, account_id=account.pk, by=SYSTEM, at=now())
    return PingResult(True, outcome.result)


# Refusals of one question by an operator that works: our contract may lack the right to it.
_ALIVE = (ErrorClass.INVALID, ErrorClass.FORBIDDEN, ErrorClass.NOT_FOUND)
_REDIS_AWAY = (
    "Связь не проверена: не отвечает Redis, а без счётчика вызовов ничего не отправляется."
)
_KEYS_AWAY = (
    "Связь не проверена: не отвечает Redis, где лежат ключи доступа,"
    " или к оператору слишком долго входит другой процесс."
)
_WORKER_BUSY = (
    "Связь не проверена: этот оператор принимает только один вызов за раз,"
    " и сейчас ему уходят команды. Повторите через\u00a0минуту."
)
_NO_TURN = "Связь не проверена: наша квота вызовов этого оператора занята. Повторите через "
_PAUSED = "Связь не проверена: оператор попросил подождать. Повторите через "


def _refused(account: OperatorAccount, trouble: Unavailable) -> PingResult:
    if trouble.code == OurCode.TOKENS_AWAY:
        return PingResult(False, _KEYS_AWAY, was_asked=False)
    if trouble.code == OurCode.QUOTA:
        return PingResult(False, _why_later(account, trouble), was_asked=False)
    said = redacted(f"{trouble.text or trouble.error} {trouble.code}".strip())
    if trouble.error in _ALIVE:
        return PingResult(
            False, f"Оператор отвечает, но проверку не принял: {said}", only_refused=True
        )
    return PingResult(False, f"Связи нет: {said}")


def _why_later(account: OperatorAccount, trouble: Unavailable) -> str:
    try:
        paused = quota.pause_left(account)
    except quota.QuotaAway:
        return _REDIS_AWAY
    wait = ceil(max(paused, trouble.retry_after or 1))
    length = f"{wait}\u00a0с" if wait <= 120 else f"{ceil(wait / 60)}\u00a0мин"
    return f"{_PAUSED if paused else _NO_TURN}{length}."
