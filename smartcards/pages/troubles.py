"""What keeps switches waiting: an operator that is down or at work on its systems, a contract that we have
switched off, and our own brake.

The queue is kept through all of it, and every sentence says so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo

from django.db.models import Count, Exists, OuterRef, Q

from cabinet import wording
from cabinet.models import Merchant
from cabinet.states import ActorKind
from operators.board import maintenance
from operators.models import OperatorAccount
from smartcards import queries
from smartcards.models import Brake, Command, SmartCard
from smartcards.pages import words
from smartcards.rules import CardFacts
from smartcards.states import CommandKind, CommandState, Confirmed, Origin


class Cause(StrEnum):
    """Why commands do not leave for the operator; only `PAUSED` is our own doing."""

    PAUSED = "paused"
    DOWN = "down"
    WORKS = "works"


@dataclass(frozen=True)
class Trouble:
    """`head` is the beginning of every sentence about it, without the dot."""

    cause: Cause
    head: str

    def holds(self, state: str) -> bool:
        """Whether a command in that state waits for the end of it."""
        return state in _HELD[self.cause]


_ON_THEIR_WAY = frozenset(
    {
        CommandState.QUEUED,
        CommandState.SENDING,
        CommandState.ACCEPTED,
        CommandState.CHECKING,
    }
)
# While the operator works on its systems nothing new leaves, but answers are asked for.
_HELD = {
    Cause.PAUSED: _ON_THEIR_WAY,
    Cause.DOWN: _ON_THEIR_WAY,
    Cause.WORKS: frozenset({CommandState.QUEUED}),
}
_DEEDS = {CommandKind.ACTIVATE: "включим", CommandKind.DEACTIVATE: "отключим"}
_ENDINGS = {
    Cause.PAUSED: "сами, когда возобновим её",
    Cause.DOWN: "сами",
    Cause.WORKS: "после них",
}
_AFTER = {
    Cause.PAUSED: "когда возобновим работу с ним",
    Cause.DOWN: "когда оператор ответит",
    Cause.WORKS: "когда работы закончатся",
}


def trouble_of(account: OperatorAccount, zone: tzinfo, at: datetime) -> Trouble | None:
    """What is wrong with the operator now, in the merchant's hours; no query.

    A contract that staff have switched off outweighs whatever the operator does: nobody asks it.
    """
    if not account.enabled:
        return Trouble(Cause.PAUSED, _paused_head(account))
    works = _works_end(account, at)
    since = account.broken_since
    # It has gone silent within its own announced works: their end is known, and nothing else is wrong.
    if works is not None and (since is None or _works_end(account, since) == works):
        return Trouble(Cause.WORKS, _works_head(account, works, zone, at))
    return Trouble(Cause.DOWN, _down_head(account, since, zone, at)) if since else None


def _works_end(account: OperatorAccount, at: datetime) -> datetime | None:
    window = maintenance(account.maintenance_windows, at)
    return window.ends_at if window and window.starts_at is None else None


def _paused_head(account: OperatorAccount) -> str:
    return f"Мы приостановили работу с оператором «{account.title}»"


def _down_head(account: OperatorAccount, since: datetime, zone: tzinfo, at: datetime) -> str:
    then = f"{words.by_then(since, zone, at)}{wording.NBSP}({words.zone_name(zone, at)})"
    return f"У {words.of_operator(account.title)} сбой с{wording.NBSP}{then}"


def _works_head(account: OperatorAccount, ends: datetime, zone: tzinfo, at: datetime) -> str:
    name = words.zone_name(zone, at)
    # Operators write of Moscow hours: only another zone has to be named.
    named = "" if name == words.HOME else f"{wording.NBSP}({name})"
    then = f"{words.by_then(ends, zone, at)}{named}"
    return f"У {words.of_operator(account.title)} технические работы до{wording.NBSP}{then}"


def about_command(found: Trouble, command: Command) -> str:
    """«У МТС сбой с 10:42 (МСК), включим сами», and where the request is."""
    said = _ahead(found, _DEEDS[CommandKind(command.kind)])
    if command.state == CommandState.QUEUED:
        return f"{said} Запрос ждёт в очереди и не потеряется."
    return f"{said} Запрос не потерян: уточним его у оператора, {_AFTER[found.cause]}."


def before_switch(found: Trouble, kind: CommandKind) -> str:
    """The same before a person confirms a switch."""
    return f"{_ahead(found, _DEEDS[kind])} Запрос подождёт в очереди и не потеряется."


def before_any_switch(found: Trouble) -> str:
    """Where nothing has been asked for yet."""
    return f"{found.head}. Новый запрос подождёт в очереди, выполним его, {_AFTER[found.cause]}."


def _ahead(found: Trouble, deed: str) -> str:
    return f"{found.head}, {deed} {_ENDINGS[found.cause]}."


def before_switches(
    cards: Iterable[SmartCard], kind: CommandKind, zone: tzinfo, at: datetime
) -> tuple[str, ...]:
    """The sentences of all operators of these cards, each once; no query."""
    accounts = {card.account_id: card.account for card in cards}
    found = (trouble_of(account, zone, at) for account in accounts.values())
    return tuple(before_switch(trouble, kind) for trouble in found if trouble is not None)


# --- all cards of a merchant ----------------------------------------------------------------------


def troubles_of(merchant: Merchant, at: datetime) -> tuple[str, ...]:
    """A sentence for each operator of the merchant's cards that is in trouble: one query, two where any is.

    A contract that we have switched off is told of where something waits for it: it may be over for good.
    """
    zone = ZoneInfo(merchant.timezone)
    found = {
        account.pk: trouble
        for account in _suspects(merchant)
        if (trouble := trouble_of(account, zone, at)) is not None
    }
    waiting = _waiting(merchant, found) if found else {}
    return tuple(
        _about_cards(trouble, waiting.get(pk, {}))
        for pk, trouble in found.items()
        if pk in waiting or trouble.cause is not Cause.PAUSED
    )


def _suspects(merchant: Merchant) -> list[OperatorAccount]:
    """Operators that are down, paused or name hours of works, and have to do with these cards."""
    # A withdrawn card that still works is to be switched off.
    to_do = Q(withdrawn_at=None) & ~Q(confirmed=Confirmed.RETIRED) | Q(confirmed=Confirmed.ACTIVE)
    cards = SmartCard.objects.of(merchant).filter(to_do, account=OuterRef("pk"))
    suspected = Q(enabled=False) | Q(broken_since__isnull=False) | ~Q(maintenance_windows=[])
    rows = OperatorAccount.objects.filter(suspected, Exists(cards))
    return sorted(rows, key=lambda account: (wording.sort_key(account.title), account.pk))


def _waiting(merchant: Merchant, found: Mapping[int, Trouble]) -> dict[int, dict[CommandKind, int]]:
    """How many cards of these accounts wait to be switched on, and how many off."""
    rows = (
        Command.objects.filter(
            card__merchant=merchant, account__in=found, state__in=_HELD[Cause.DOWN]
        )
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


def _about_cards(found: Trouble, waiting: Mapping[CommandKind, int]) -> str:
    if not waiting:
        return (
            f"{found.head}. Новые запросы подождут в очереди, выполним их, {_AFTER[found.cause]}."
        )
    [kind, *other] = waiting
    verb = wording.plural(sum(waiting.values()), "Ждёт", "Ждут", "Ждут")
    said = _ahead(found, "переключим" if other else _DEEDS[kind])
    return f"{said} {verb} {wording.cards(sum(waiting.values()))}, запросы не потеряются."


# --- our own brake --------------------------------------------------------------------------------


def brake_on(command: Command) -> str:
    """Why this command waits for us and not for the operator; one query for one in the queue, else none."""
    if command.state != CommandState.QUEUED:
        return ""
    brake = _brake()
    if not _stops(brake, command):
        return ""
    if brake.report_only_at is not None:
        return (
            "Сервис восстановлен из копии: сотрудники проверяют запросы, прежде чем их отправить."
        )
    return f"{BRAKED} Смарт-карта пока работает, потом отключим её сами."


def _stops(brake: Brake, command: Command) -> bool:
    """The same as the dispatcher leaves in the queue."""
    if brake.report_only_at is not None:
        asked_by_nobody = command.asked_by_kind == ActorKind.SYSTEM
        return asked_by_nobody or command.created_at < brake.report_only_at
    off_by_itself = command.kind == CommandKind.DEACTIVATE and command.origin == Origin.RECONCILE
    return off_by_itself and queries.is_braked(brake)


def stays_on(facts: CardFacts) -> bool:
    """It works unpaid and would be switched off by itself: what our brake is there for."""
    command = facts.open_command
    queued = command is None or (command.kind, command.state) == _QUEUED_OFF
    unpaid = bool(facts.wished_on) and not facts.paid
    return unpaid and queued and facts.confirmed == Confirmed.ACTIVE


_QUEUED_OFF = (CommandKind.DEACTIVATE, CommandState.QUEUED)


def is_braked() -> bool:
    """Whether cards are not switched off by themselves now; one query."""
    return queries.is_braked(_brake())


def _brake() -> Brake:
    """The row as it is: a page that is only read makes none."""
    return Brake.objects.filter(pk=1).first() or Brake()


BRAKED = "Автоматические отключения приостановлены до проверки сотрудниками сервиса."
