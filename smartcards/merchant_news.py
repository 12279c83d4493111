"""What people of a merchant learn by message: cards went off or came back, a long switch ended, an operator is out.

Looked up from the rows that stand there now, so that what is over by the time it is looked at is told to nobody, and
what many cards share is one message. Only one process at a time looks.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import DatabaseError, transaction
from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Concat

from cabinet.enums import ActorKind, MessageEvent
from cabinet.formatting import ru_format
from cabinet.messaging.event_rules import EVENT_RULES
from cabinet.messaging.events import notify
from cabinet.models import Merchant, Notice
from cabinet.tasks import advisory_lock
from operators.models import OperatorAccount
from smartcards.models import Command, OffNotice, SmartCard
from smartcards.presentation import display_format
from smartcards.presentation.outages import OutageCause, outage_of
from smartcards.states import CommandKind, CommandState, OperatorState, Origin
from subscriptions.queries import live_subscriptions

logger = logging.getLogger(__name__)

_OFF = (OperatorState.INACTIVE, OperatorState.HELD, OperatorState.RETIRED)
# Cards that go off or on together are counted together: until none has for this long, or the first waits longer.
SETTLED, FIRST_WAITS = timedelta(minutes=2), timedelta(minutes=10)
# A merchant learns of cards no more often than this; what comes meanwhile is counted with the next.
APART = timedelta(hours=1)
# A shorter switch is seen on the page by whoever asked for it.
LONG_SWITCH = timedelta(minutes=15)
RECENT = timedelta(hours=1)
SHORTEST_OUTAGE = timedelta(minutes=10)
_OUTAGES_KNOWN = timedelta(days=7)


def notify_all(*, at: datetime) -> None:
    """Look for everything of this module and store the messages."""
    with advisory_lock.only_one("smartcards.notify") as ours:
        for step in _STEPS if ours else ():
            try:
                step(at)
            except DatabaseError:
                logger.exception("Messages of one kind wait for the next run")


# --- cards went off -------------------------------------------------------------------------------


def cards_off(at: datetime) -> None:
    """Cards that are wanted on and went off, by themselves or by the operator's hand."""
    groups = _unknown_off().order_by().values("merchant_id")
    for group in groups.annotate(first=Min("off_since"), last=Max("off_since")):
        merchant = Merchant.objects.get(pk=group["merchant_id"])
        if _is_time(group, at) and not _lately(merchant, MessageEvent.CARDS_OFF, at):
            _notify_off(merchant, at)


def _unknown_off() -> QuerySet[SmartCard]:
    """Nobody of their merchants knows of these yet."""
    known = OffNotice.objects.filter(card=OuterRef("pk"), ended_at=None)
    return SmartCard.objects.filter(
        ~Exists(known),
        confirmed__in=_OFF,
        desired_on=True,
        off_since__isnull=False,
        withdrawn_at=None,
        merchant__isnull=False,
    )


def _is_time(group: Mapping[str, Any], at: datetime) -> bool:
    return bool(group["last"] <= at - SETTLED or group["first"] <= at - FIRST_WAITS)


def _lately(merchant: Merchant, event: MessageEvent, at: datetime) -> bool:
    rows = Notice.objects.filter(merchant_id=merchant.pk, event=event)
    return rows.filter(created_at__gt=at - APART, created_at__lte=at).exists()


@transaction.atomic
def _notify_off(merchant: Merchant, at: datetime) -> None:
    cards = list(_unknown_off().filter(merchant=merchant).order_by("pk"))
    if not cards:
        return
    rows = [OffNotice(card=card, merchant=merchant, made_at=at) for card in cards]
    first = OffNotice.objects.bulk_create(rows)[0]
    verb = ru_format.plural(len(cards), "Отключена", "Отключены", "Отключено")
    notify(
        merchant=merchant,
        event=MessageEvent.CARDS_OFF,
        context={
            "went_off": f"{verb} {ru_format.cards(len(cards))}",
            "why": _why_off(merchant, cards, at),
        },
        at=at,
        key=f"cards_off:{first.pk}",
    )


def _why_off(merchant: Merchant, cards: list[SmartCard], at: datetime) -> str:
    by_us = sum(_is_ours(card) for card in cards)
    if not by_us:
        return "Так решил оператор связи. Что делать, написано на странице карты."
    if by_us == len(cards) and not live_subscriptions(at).filter(merchant=merchant).exists():
        return "Оплата закончилась. После продления подписки всё включится само."
    return "Причина написана на странице каждой карты."


def _is_ours(card: SmartCard) -> bool:
    return card.confirmed == OperatorState.INACTIVE and card.block_reason == "voluntary"


# --- cards came back ------------------------------------------------------------------------------


def cards_back(at: datetime) -> None:
    """Cards of which it is known that they went off work again."""
    _note_changes(at)
    groups = OffNotice.objects.filter(ended_at=None, back_at__isnull=False).order_by()
    for group in groups.values("merchant_id").annotate(first=Min("back_at"), last=Max("back_at")):
        merchant = Merchant.objects.get(pk=group["merchant_id"])
        if _is_time(group, at) and not _lately(merchant, MessageEvent.CARDS_BACK, at):
            _notify_back(merchant, at)


def _note_changes(at: datetime) -> None:
    """Since when they work; one that went off again does not, and one that is not wanted on is waited for by nobody."""
    rows = OffNotice.objects.filter(ended_at=None)
    given_up = ~Q(card__desired_on=True) | ~Q(card__merchant=F("merchant"))
    rows.filter(Q(card__withdrawn_at__isnull=False) | given_up).update(ended_at=at)
    rows.filter(back_at=None, card__confirmed=OperatorState.ACTIVE).update(back_at=at)
    again = rows.filter(back_at__isnull=False)
    again.exclude(card__confirmed=OperatorState.ACTIVE).update(back_at=None)


@transaction.atomic
def _notify_back(merchant: Merchant, at: datetime) -> None:
    rows = OffNotice.objects.filter(merchant=merchant, ended_at=None, back_at__isnull=False)
    known = list(rows.select_for_update(of=("self",)).order_by("pk").values_list("pk", flat=True))
    if not known:
        return
    OffNotice.objects.filter(pk__in=known).update(ended_at=at)
    works = ru_format.plural(len(known), "Снова работает", "Снова работают", "Снова работают")
    notify(
        merchant=merchant,
        event=MessageEvent.CARDS_BACK,
        context={"works": f"{works} {ru_format.cards(len(known))}"},
        at=at,
        key=f"cards_back:{known[0]}",
    )


# --- switches that took long ----------------------------------------------------------------------


def long_switches(at: datetime) -> None:
    """A person's switch that took long has ended or failed."""
    known = Notice.objects.filter(event__in=_SWITCHES.values(), target_id=OuterRef("pk"))
    rows = Command.objects.filter(
        ~Exists(known),
        account__in=OperatorAccount.objects.values("pk"),
        finished_at__gt=at - RECENT,
        finished_at__lte=at,
        finished_at__gte=F("created_at") + LONG_SWITCH,
        state__in=list(_SWITCHES),
        origin=Origin.PERSON,
        asked_by_kind=ActorKind.PERSON,
        card__merchant__isnull=False,
    )
    for command in rows.select_related(*_NAMED).order_by("pk"):
        _notify_switch(command, at)


_SWITCHES: dict[str, MessageEvent] = {
    CommandState.DONE: MessageEvent.SWITCH_DONE,
    CommandState.FAILED: MessageEvent.SWITCH_FAILED,
}
_NAMED = ("card__merchant", "card__account", "card__terminal__shop")
_DONE = {
    CommandKind.ACTIVATE: "смарт-карта включена",
    CommandKind.DEACTIVATE: "смарт-карта отключена",
}
_FAILED = {
    CommandKind.ACTIVATE: "включить смарт-карту не удалось",
    CommandKind.DEACTIVATE: "отключить смарт-карту не удалось",
}


def _notify_switch(command: Command, at: datetime) -> None:
    card, kind = command.card, CommandKind(command.kind)
    ended_at = command.finished_at or at
    if card.merchant is None:
        return
    notify(
        merchant=card.merchant,
        event=_SWITCHES[command.state],
        context={
            "card": display_format.name_of(card).title,
            "pk": card.pk,
            "done": _DONE[kind],
            "failed": _FAILED[kind],
            "why": command.text,
            "took": ru_format.about(ended_at - command.created_at),
        },
        at=at,
        key=f"switch:{command.pk}",
        happened_at=ended_at,
        target_id=command.pk,
    )


# --- operators out of order -----------------------------------------------------------------------


def outages_began(at: datetime) -> None:
    """An operator has been out for `SHORTEST_OUTAGE`: only those learn of it who wait for a switch there."""
    newest = at - EVENT_RULES[MessageEvent.OUTAGE_BEGAN].lifetime
    rows = OperatorAccount.objects.filter(
        enabled=True, broken_since__lte=at - SHORTEST_OUTAGE, broken_since__gt=newest
    )
    for account in rows.order_by("pk"):
        for pk, number in _waiting(account).items():
            _notify_outage(account, Merchant.objects.get(pk=pk), number, at)


def _waiting(account: OperatorAccount) -> dict[int, int]:
    """How many cards of each merchant wait for this operator because somebody wanted so."""
    rows = Command.objects.filter(
        account=account,
        state__in=[CommandState.QUEUED, CommandState.SENDING, CommandState.CHECKING],
        origin__in=[Origin.PERSON, Origin.PAID, Origin.MASS],
        card__merchant__isnull=False,
    )
    return dict(
        rows.order_by().values_list("card__merchant_id").annotate(number=Count("pk")).order_by()
    )


def _notify_outage(account: OperatorAccount, merchant: Merchant, number: int, at: datetime) -> None:
    zone, since = ZoneInfo(merchant.timezone), account.broken_since
    outage = outage_of(account, zone, at)
    # Announced works are shown on the pages long before.
    if since is None or outage is None or outage.cause is not OutageCause.DOWN:
        return
    waits = ru_format.plural(number, "Ждёт", "Ждут", "Ждут")
    notify(
        merchant=merchant,
        event=MessageEvent.OUTAGE_BEGAN,
        context={
            "operator": account.title,
            "since": ru_format.moment_there(since, zone),
            "waiting": f"{waits} {ru_format.cards(number)}.",
        },
        at=at,
        key=f"outage:{account.pk}:{since:%Y%m%dT%H%M%S}:{merchant.pk}",
        happened_at=since,
        target_id=account.pk,
    )


_END = ":end"


def outages_ended(at: datetime) -> None:
    """The end of an outage, for those who learnt of its beginning."""
    ended = Notice.objects.filter(key=Concat(OuterRef("key"), Value(_END)))
    rows = Notice.objects.filter(
        ~Exists(ended), event=MessageEvent.OUTAGE_BEGAN, created_at__gt=at - _OUTAGES_KNOWN
    )
    accounts = OperatorAccount.objects.in_bulk()
    for began in rows.order_by("pk"):
        account = accounts.get(began.target_id or 0)
        merchant = Merchant.objects.filter(pk=began.merchant_id).first()
        if account and merchant and account.broken_since != began.happened_at:
            notify(
                merchant=merchant,
                event=MessageEvent.OUTAGE_ENDED,
                context={"operator": account.title},
                at=at,
                key=began.key + _END,
                target_id=account.pk,
                ends=began.key,
            )


_STEPS = (cards_off, cards_back, long_switches, outages_began, outages_ended)
