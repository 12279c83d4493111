"""What is written about contracts with operators: of their calls, and by staff."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction

from cabinet import audit
from cabinet.actors import Actor
from cabinet.clock import real_now
from cabinet.crypto import Undecryptable
from cabinet.errors import Refused
from cabinet.messaging import alerts
from cabinet.tasks.task_queue import enqueue_on_commit
from operators.classification import Health
from operators.client import exchange_log
from operators.client.http import HttpExchange
from operators.limits import breaker, quota
from operators.models import SECRETS, OperatorAccount
from operators.ports import CallKind, ErrorClass
from operators.signals import keys_in_order

# A skew is worth a write when it moves by this much.
_SKEW_STEP = 5.0


def record_exchanges(account: OperatorAccount, exchanges: Sequence[HttpExchange]) -> None:
    """Keep the log of exchanges, and what staff ask first: the last answer, the last error, the clock, and
    since when our keys are refused. `account` is brought up to date with that.

    Of the keys every call tells, whoever it was for, and the last exchange that does counts: where nothing
    is to be switched, it is readings and polls that meet the refusal first.
    """
    if not exchanges:
        return
    moment = real_now()
    exchange_log.keep(account, exchanges, at=moment)
    changes: dict[str, object] = {}
    are_refused = account.keys_refused_since is not None
    for exchange in exchanges:
        error = exchange.error
        if exchange.status is not None:
            changes["last_answer_at"] = moment
            error = f"HTTP {exchange.status}" if exchange.status >= 400 else ""
        if error:
            changes |= {"last_error": error[:300], "last_error_at": moment}
        if exchange.error_class is ErrorClass.AUTH:
            are_refused = True
        elif exchange.error_class is None and exchange.result == "ok":
            are_refused = are_refused and exchange.kind is CallKind.AUTH
    if are_refused != (account.keys_refused_since is not None):
        account.keys_refused_since = moment if are_refused else None
        changes["keys_refused_since"] = account.keys_refused_since
    skews = [exchange.date_skew for exchange in exchanges if exchange.date_skew is not None]
    if skews and abs(skews[-1] - (account.clock_skew_seconds or 0)) > _SKEW_STEP:
        changes["clock_skew_seconds"] = skews[-1]
    OperatorAccount.objects.filter(pk=account.pk).update(**changes)


def working_account(account_id: int, *, at: datetime) -> OperatorAccount | None:
    """The contract, if it is switched on and its keys can be read; staff are alerted where they cannot.

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
    """Staff typed the keys anew: close the alert about unreadable ones, send `keys_in_order`.

    The alert about a description that a migration could not convert is closed too: a form is saved with a
    good one only.
    """
    description = f"operator:account:{account_id}:description"
    alerts.close_alerts(keys=[_keys_alert(account_id), description], by=by, at=at)
    keys_in_order.send(sender=None, account_id=account_id, by=by, at=at)


def _keys_alert(account_id: int) -> str:
    return f"operator:account:{account_id}:keys"


class PauseRefused(Refused):
    """There is no pause to lift, or its length is out of bounds."""


def lift_pause(*, account: OperatorAccount, reason: str, by: Actor, at: datetime) -> None:
    """Staff know that the operator did not mean the pause it asked for: calls leave again.

    Raises PauseRefused without a reason, without a pause, and where Redis does not answer.
    """
    if not reason.strip():
        raise PauseRefused("Укажите, почему паузу можно снять.")
    try:
        lifted = quota.lift_pause(account)
    except quota.QuotaAway as away:
        raise PauseRefused("Redis не отвечает: снять паузу сейчас нельзя.") from away
    if not lifted:
        raise PauseRefused("Паузы уже нет.")
    with transaction.atomic():
        audit.record(
            target=account,
            action="account.pause_lifted",
            text=f"Снята пауза, о которой просил оператор «{account.title}»",
            reason=reason,
            by=by,
            at=at,
            merchant_id=None,
        )
        enqueue_on_commit("smartcards.dispatch", account_id=account.pk)


# «Взять паузу» lasts at most so long.
LONGEST_SILENCE_HOURS = 24


@transaction.atomic
def silence_alerts(
    *, account: OperatorAccount, hours: int, reason: str, by: Actor, at: datetime
) -> None:
    """«Взять паузу»: no alerts about this operator's outages and late commands for so many hours; 0 ends it.

    Nothing else stops. Raises PauseRefused without a reason, with more than `LONGEST_SILENCE_HOURS` and where
    there is no pause to end.
    """
    if not reason.strip():
        raise PauseRefused("Укажите, почему оповещения не нужны.")
    if not 0 <= hours <= LONGEST_SILENCE_HOURS:
        raise PauseRefused(f"Не больше {LONGEST_SILENCE_HOURS} часов.")
    if not hours and (account.silent_until is None or account.silent_until <= at):
        raise PauseRefused("Паузы уже нет.")
    until = at + timedelta(hours=hours) if hours else None
    OperatorAccount.objects.filter(pk=account.pk).update(silent_until=until)
    audit.record(
        target=account,
        action="account.alerts_silenced",
        text=f"Оповещения об операторе «{account.title}» "
        + (f"приостановлены на {hours} ч" if hours else "возобновлены"),
        reason=reason,
        by=by,
        at=at,
        merchant_id=None,
    )


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
    if account.broken_since is None:
        raise BreakerRefused("Предохранитель уже закрыт.")
    breaker.record_result(account, Health.GOOD, at=at, by_switches=True)
    audit.record(
        target=account,
        action="account.breaker_closed",
        text=f"Закрыт предохранитель договора с оператором «{account.title}»",
        reason=reason,
        by=by,
        at=at,
        merchant_id=None,
    )
    enqueue_on_commit("smartcards.dispatch", account_id=account.pk)
