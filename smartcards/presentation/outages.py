"""What keeps switches waiting: an operator that is down or at work on its systems, a contract that we have
switched off, and our own brake.

The queue is kept meanwhile, and every sentence states it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo

from django.db.models import Count, Exists, OuterRef, Q

from cabinet.formatting import ru_format
from cabinet.models import Merchant
from operators.limits.maintenance import maintenance
from operators.models import OperatorAccount
from smartcards import queries
from smartcards.models import Command, SmartCard
from smartcards.presentation import display_format
from smartcards.rules import CardFacts
from smartcards.states import CommandKind, CommandState, OperatorState


class OutageCause(StrEnum):
    """Why commands do not leave for the operator; only `PAUSED` is our own doing."""

    PAUSED = "paused"
    DOWN = "down"
    WORKS = "works"


_ON_THEIR_WAY = frozenset(
    {
        CommandState.QUEUED,
        CommandState.SENDING,
        CommandState.ACCEPTED,
        CommandState.CHECKING,
    }
)


@dataclass(frozen=True)
class Outage:
    """`head` is the beginning of every sentence about it, without the dot."""

    cause: OutageCause
    head: str

    def holds(self, state: str) -> bool:
        """Whether a command in that state waits for the end of it."""
        # While the operator works on its systems nothing new leaves, but answers are asked for.
        works = self.cause is OutageCause.WORKS
        return state == CommandState.QUEUED if works else state in _ON_THEIR_WAY

    def then(self, action: str) -> str:
        """«У МТС сбой с 10:42 (МСК), включим сами.»"""
        ending = {
            OutageCause.PAUSED: "сами, когда возобновим её",
            OutageCause.DOWN: "сами",
            OutageCause.WORKS: "после них",
        }[self.cause]
        return f"{self.head}, {action} {ending}."

    @property
    def end(self) -> str:
        """When it is over, as the end of a sentence: «когда оператор ответит»."""
        return {
            OutageCause.PAUSED: "когда возобновим работу с ним",
            OutageCause.DOWN: "когда оператор ответит",
            OutageCause.WORKS: "когда работы закончатся",
        }[self.cause]


_VERBS = {CommandKind.ACTIVATE: "включим", CommandKind.DEACTIVATE: "отключим"}


def outage_of(account: OperatorAccount, zone: tzinfo, at: datetime) -> Outage | None:
    """What is wrong with the operator now, in the merchant's hours; no query.

    A contract that staff have switched off outweighs whatever the operator does: nobody asks it.
    """
    if not account.enabled:
        return Outage(OutageCause.PAUSED, f"Мы приостановили работу с оператором «{account.title}»")
    works = _works_end(account, at)
    since = account.broken_since
    # It has gone silent within its own announced works: their end is known, and nothing else is wrong.
    if works is not None and (since is None or _works_end(account, since) == works):
        return Outage(OutageCause.WORKS, _works_head(account, works, zone, at))
    return Outage(OutageCause.DOWN, _down_head(account, since, zone, at)) if since else None


def _works_end(account: OperatorAccount, at: datetime) -> datetime | None:
    window = maintenance(account.maintenance_windows, at)
    return window.ends_at if window and window.starts_at is None else None


def _down_head(account: OperatorAccount, since: datetime, zone: tzinfo, at: datetime) -> str:
    then = f"{ru_format.by_then(since, zone, at)}{ru_format.NBSP}({ru_format.zone_name(zone, at)})"
    return f"У {display_format.of_operator(account.title)} сбой с{ru_format.NBSP}{then}"


def _works_head(account: OperatorAccount, ends: datetime, zone: tzinfo, at: datetime) -> str:
    name = ru_format.zone_name(zone, at)
    # Operators write of Moscow hours: only another zone has to be named.
    named = "" if name == ru_format.HOME else f"{ru_format.NBSP}({name})"
    then = f"{ru_format.by_then(ends, zone, at)}{named}"
    return (
        f"У {display_format.of_operator(account.title)} технические работы до{ru_format.NBSP}{then}"
    )


def about_command(found: Outage, command: Command) -> str:
    """«У МТС сбой с 10:42 (МСК), включим сами», and where the request is."""
    sentence = found.then(_VERBS[CommandKind(command.kind)])
    if command.state == CommandState.QUEUED:
        return f"{sentence} Запрос ждёт в очереди и не потеряется."
    return f"{sentence} Запрос не потерян: уточним его у оператора, {found.end}."


def before_any_switch(found: Outage) -> str:
    """Where nothing has been asked for yet."""
    return f"{found.head}. Новый запрос подождёт в очереди, выполним его, {found.end}."


def before_switches(
    cards: Iterable[SmartCard], kind: CommandKind, zone: tzinfo, at: datetime
) -> tuple[str, ...]:
    """Before a person confirms switches: a sentence for each operator of these cards in trouble; no query."""
    accounts = {card.account_id: card.account for card in cards}
    found = (outage_of(account, zone, at) for account in accounts.values())
    return tuple(
        f"{outage.then(_VERBS[kind])} Запрос подождёт в очереди и не потеряется."
        for outage in found
        if outage is not None
    )


# --- all cards of a merchant ----------------------------------------------------------------------


def outages_of(merchant: Merchant, at: datetime) -> tuple[str, ...]:
    """A sentence for each operator of the merchant's cards that is in trouble: one query, two where any is.

    A contract that we have switched off is mentioned only where something waits for it: it may be over for good.
    """
    zone = ZoneInfo(merchant.timezone)
    found = {
        account.pk: outage
        for account in _suspects(merchant)
        if (outage := outage_of(account, zone, at)) is not None
    }
    waiting = _waiting(merchant, found) if found else {}
    return tuple(
        _about_cards(outage, waiting.get(pk, {}))
        for pk, outage in found.items()
        if pk in waiting or outage.cause is not OutageCause.PAUSED
    )


def _suspects(merchant: Merchant) -> list[OperatorAccount]:
    """Operators that are down, paused or name hours of works, and have to do with these cards."""
    # A withdrawn card that still works is to be switched off.
    to_do = Q(withdrawn_at=None) & ~Q(confirmed=OperatorState.RETIRED) | Q(
        confirmed=OperatorState.ACTIVE
    )
    cards = SmartCard.objects.of(merchant).filter(to_do, account=OuterRef("pk"))
    suspected = Q(enabled=False) | Q(broken_since__isnull=False) | ~Q(maintenance_windows=[])
    rows = OperatorAccount.objects.filter(suspected, Exists(cards))
    return sorted(rows, key=lambda account: (ru_format.sort_key(account.title), account.pk))


def _waiting(merchant: Merchant, found: Mapping[int, Outage]) -> dict[int, dict[CommandKind, int]]:
    """How many cards of these accounts wait to be switched on, and how many off."""
    rows = (
        Command.objects.filter(card__merchant=merchant, account__in=found, state__in=_ON_THEIR_WAY)
        .order_by()
        .values_list("account_id", "kind", "state")
        .annotate(number=Count("pk"))
    )
    counts: dict[int, dict[CommandKind, int]] = {}
    for account_id, kind, state, number in rows:
        if found[account_id].holds(state):
            kinds = counts.setdefault(account_id, {})
            kinds[CommandKind(kind)] = kinds.get(CommandKind(kind), 0) + number
    return counts


def _about_cards(found: Outage, waiting: Mapping[CommandKind, int]) -> str:
    if not waiting:
        return f"{found.head}. Новые запросы подождут в очереди, выполним их, {found.end}."
    [kind, *other] = waiting
    number = sum(waiting.values())
    verb = ru_format.plural(number, "Ждёт", "Ждут", "Ждут")
    sentence = found.then("переключим" if other else _VERBS[kind])
    return f"{sentence} {verb} {ru_format.cards(number)}, запросы не потеряются."


# --- our own brake --------------------------------------------------------------------------------


def brake_on(command: Command) -> str:
    """Why this command waits for us and not for the operator; two queries for one in the queue, else none."""
    if command.state != CommandState.QUEUED:
        return ""
    brake = queries.brake_now()
    if not Command.objects.filter(queries.stopped_by(brake), pk=command.pk).exists():
        return ""
    if brake.report_only_at is not None:
        return (
            "Сервис восстановлен из копии: сотрудники проверяют запросы, прежде чем их отправить."
        )
    return f"{BRAKED} Смарт-карта пока работает, потом отключим её сами."


def stays_on(facts: CardFacts) -> bool:
    """It works unpaid and would be switched off by itself: what our brake is there for."""
    command = facts.open_command
    queued = command is None or (command.kind, command.state) == _QUEUED_OFF
    unpaid = bool(facts.desired_on) and not facts.paid
    return unpaid and queued and facts.confirmed == OperatorState.ACTIVE


_QUEUED_OFF = (CommandKind.DEACTIVATE, CommandState.QUEUED)


def is_braked() -> bool:
    """Whether cards are not switched off by themselves now; one query."""
    return queries.is_braked(queries.brake_now())


BRAKED = "Автоматические отключения приостановлены до проверки сотрудниками сервиса."
