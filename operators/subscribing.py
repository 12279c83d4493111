"""«Подписаться»: our address is registered at an operator's `/hub`, so that its events come by themselves.

An optional ability of a protocol, beside its switches. One subscription a contract; a new one takes
the place of the former, which is let go after it: an event that came twice is taken once.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.dispatch import receiver
from django.urls import reverse
from django.utils.crypto import salted_hmac

from cabinet import alerts, audit
from cabinet.actors import Actor
from cabinet.crypto import Undecryptable
from operators import quota, registry
from operators.callbacks import secrets_of
from operators.heard import Exchange
from operators.hub import Call, Hub, HubRefused
from operators.lanes import beside_the_line
from operators.models import Callback, HubSubscription, OperatorAccount
from operators.ports import (
    CallKind,
    ErrorClass,
    LockTaken,
    Operator,
    Reply,
    TokensAway,
    Unavailable,
)
from operators.services import (
    LANE_PATIENCE,
    PING_SECONDS,
    SECRETS,
    RedisTokens,
    connect,
    note_exchanges,
)
from operators.signals import keys_in_order
from operators.waits import retry_after
from operators.witness import OwnTokens

_UNSIGNED = "Впишите в договоре «Ключ подписи уведомлений»: без него события не принимаются."
_LINE_BUSY = (
    "Этот оператор принимает только один вызов за раз, и сейчас ему уходят команды."
    " Повторите через\u00a0минуту."
)
_TAKEN = "Подпиской уже занят другой сотрудник. Повторите через\u00a0минуту."
_REDIS_AWAY = "Не отвечает Redis, а без счётчика вызовов ничего не отправляется. Повторите позже."
# How long one person has a contract's `/hub` at most: the turn of its line, and two calls.
_HELD_SECONDS = 2 * (LANE_PATIENCE + 2 * PING_SECONDS)
_PAUSES = {429: ErrorClass.RATE_LIMITED, 503: ErrorClass.MAINTENANCE}
_UNREADABLE = "Ключи договора не читаются: ключ шифрования сменился. Введите их заново."


@dataclass(frozen=True)
class HubView:
    """What staff see of one contract that may be subscribed.

    `outdated` are Russian sentences about what has changed since; `lack` is what keeps us from
    subscribing, "" for nothing. `last_event_at` is of the last thirty days.
    """

    account: OperatorAccount
    address: str
    hub: HubSubscription | None
    last_event_at: datetime | None
    outdated: tuple[str, ...]
    lack: str


def accounts_with_hub() -> QuerySet[OperatorAccount]:
    """The contracts whose operators have `/hub`, without their secrets."""
    protocols = [code for code in registry.codes() if registry.capabilities(code).hub]
    return OperatorAccount.objects.filter(adapter__in=protocols).defer(*SECRETS)


def hub_views() -> list[HubView]:
    """Every contract whose operator has `/hub`, by title. Keys that cannot be read close no page."""
    rows = accounts_with_hub().select_related("hub").order_by("title", "pk")
    return [_view(account) for account in rows]


def _view(account: OperatorAccount) -> HubView:
    hub: HubSubscription | None = getattr(account, "hub", None)
    events = Callback.objects.filter(account=account).order_by("-received_at")
    return HubView(
        account=account,
        address=address_of(account),
        hub=hub,
        last_event_at=events.values_list("received_at", flat=True).first(),
        outdated=_outdated(hub, account) if hub else (),
        lack=_lack(account),
    )


def address_of(account: OperatorAccount) -> str:
    """Where the operator is to send its events."""
    return settings.PUBLIC_URL + reverse("operator_callback", kwargs={"code": account.code})


def _lack(account: OperatorAccount) -> str:
    try:
        return "" if secrets_of(account) else _UNSIGNED
    except Undecryptable:
        return _UNREADABLE


def _mark(account: OperatorAccount) -> str:
    """A hash of the secrets, the same in whatever order they stand; "" where they cannot be read."""
    try:
        secrets = "\n".join(sorted(secrets_of(account)))
    except Undecryptable:
        return ""
    return salted_hmac("operators.hub", secrets, algorithm="sha256").hexdigest()


def _outdated(hub: HubSubscription, account: OperatorAccount) -> tuple[str, ...]:
    """What has changed since, as sentences; the subscription does not work as it should."""
    found = {
        "Адрес кабинета изменился, а события идут на прежний.": hub.callback != address_of(account),
        "Адрес API оператора изменился, а подписка осталась на прежнем.": not _is_here(
            hub, account
        ),
        "Ключ подписи с тех пор менялся.": hub.secret_mark != _mark(account),
    }
    return tuple(said for said, is_so in found.items() if is_so)


def _is_here(hub: HubSubscription, account: OperatorAccount) -> bool:
    return hub.base_url == account.base_url


def subscribe(*, account: OperatorAccount, by: Actor, at: datetime) -> str:
    """Ask the operator to send its events to us, and let the former subscription go. Calls the operator.

    Gives what staff have to do about the former one, "" where nothing is left. Raises HubRefused.
    """
    if lack := _lack(account):
        raise HubRefused(lack)
    with _line(account) as hub:
        former = HubSubscription.objects.filter(account=account).first()
        number = hub.subscribe(address_of(account))
        _keep(account, number, by=by, at=at)
        return _let_go(hub, former, account) if former and former.number != number else ""


@transaction.atomic
def _keep(account: OperatorAccount, number: str, *, by: Actor, at: datetime) -> None:
    known = {
        "number": number,
        "callback": address_of(account),
        "base_url": account.base_url,
        "secret_mark": _mark(account),
        "since": at,
    }
    HubSubscription.objects.update_or_create(account=account, defaults=known)
    text = f"Оформлена подписка на уведомления оператора по договору «{account.title}»"
    _note(account, "account.subscribed", text, by=by, at=at)


def _let_go(hub: Hub, former: HubSubscription, account: OperatorAccount) -> str:
    left = f"Прежняя подписка № {former.number} у оператора осталась: попросите её снять."
    # A number means something at its own address only.
    if not _is_here(former, account):
        return left
    try:
        return "" if hub.unsubscribe(former.number) else left
    except HubRefused as refusal:
        return f"{left} {refusal.sentence}"


def unsubscribe(*, account: OperatorAccount, by: Actor, at: datetime) -> str:
    """Ask the operator to send no more. Calls the operator; a refusal changes nothing.

    Gives what staff have to do by hand, "" where nothing is left. Raises HubRefused.
    """
    with _line(account) as hub:
        former = HubSubscription.objects.filter(account=account).first()
        if former is None:
            raise HubRefused("Подписки уже нет.")
        is_gone = _is_here(former, account) and hub.unsubscribe(former.number)
        _forget(account, by=by, at=at)
    if is_gone:
        return ""
    return f"Отсюда её снять нельзя: попросите оператора снять подписку № {former.number}."


@transaction.atomic
def _forget(account: OperatorAccount, *, by: Actor, at: datetime) -> None:
    HubSubscription.objects.filter(account=account).delete()
    text = f"Снята подписка на уведомления оператора по договору «{account.title}»"
    _note(account, "account.unsubscribed", text, by=by, at=at)


def _note(account: OperatorAccount, action: str, text: str, *, by: Actor, at: datetime) -> None:
    audit.record(target=account, action=action, text=text, by=by, at=at, merchant_id=None)
    alerts.close_alert(key=_alert(account.pk), by=by, at=at)


@contextmanager
def _line(account: OperatorAccount) -> Iterator[Hub]:
    """The operator's `/hub` for one person at a time, so that two clicks leave one subscription.

    Keeps a thread of the web as «Проверить связь» does: for its turn at most `LANE_PATIENCE` seconds, for
    each of its one or two calls, logging in included, at most `PING_SECONDS`; of two people the second is
    refused at once. Raises HubRefused.
    """
    heard: list[Exchange] = []
    locks = RedisTokens(settings.REDIS_URL, lock_seconds=_HELD_SECONDS, patience=0)
    seconds = min(PING_SECONDS, account.timeout_seconds)
    try:
        with ExitStack() as held:
            held.enter_context(locks.lock(f"hub:{account.code}"))
            if not held.enter_context(beside_the_line(account, patience=LANE_PATIENCE)):
                raise HubRefused(_LINE_BUSY)
            if quota.seconds_to_wait(account) <= quota.LONGEST_NAP:
                quota.note_call(account)
            operator = connect(
                account, heard=heard.append, tokens=OwnTokens(), timeout_seconds=seconds
            )
            yield Hub(_obeying(account, operator))
    except LockTaken as taken:
        raise HubRefused(_TAKEN) from taken
    except (TokensAway, quota.QuotaAway) as away:
        raise HubRefused(_REDIS_AWAY) from away
    except Undecryptable as unreadable:
        raise HubRefused(_UNREADABLE) from unreadable
    finally:
        note_exchanges(account, heard)


def _obeying(account: OperatorAccount, operator: Operator) -> Call:
    """How the adapter calls below the contract's address; the pauses that it is asked for are kept."""

    def call(method: str, path: str, kind: CallKind, **parts: Any) -> Reply:
        try:
            reply = operator.call(method, path, kind, **parts)
        except Unavailable as trouble:
            quota.obey(account, [trouble])
            raise
        if reply.status in _PAUSES:
            pause = retry_after(reply, default=None)
            quota.obey(account, [Unavailable(_PAUSES[reply.status], str(reply.status), "", pause)])
        return reply

    return call


def _alert(account_id: int) -> str:
    return f"operator:account:{account_id}:hub"


@receiver(keys_in_order, dispatch_uid="operators.subscribing")
def note_outdated(*, account_id: int, by: Actor, at: datetime, **_kwargs: Any) -> None:
    """Staff are told where a contract was changed since it was subscribed."""
    _tell_outdated(_subscribed().filter(pk=account_id), by=by, at=at)


def note_all_outdated(*, by: Actor, at: datetime) -> None:
    """The same of every subscription, whatever changed it: our own address changes without a click."""
    _tell_outdated(_subscribed(), by=by, at=at)


def _subscribed() -> QuerySet[OperatorAccount]:
    return OperatorAccount.objects.filter(hub__isnull=False).select_related("hub").defer(*SECRETS)


def _tell_outdated(accounts: Iterable[OperatorAccount], *, by: Actor, at: datetime) -> None:
    for account in accounts:
        outdated = _outdated(account.hub, account)
        if not outdated:
            alerts.close_alert(key=_alert(account.pk), by=by, at=at)
            continue
        alerts.raise_alert(
            key=_alert(account.pk),
            text=f"{account}: подписка на уведомления устарела. {' '.join(outdated)} Подпишитесь заново.",
            at=at,
            link=reverse("admin:operators_callback_hubs"),
        )
