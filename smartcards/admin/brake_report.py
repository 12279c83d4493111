"""What the brake's page shows: the counts of the hour, and what would be switched now."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, QuerySet

from cabinet.models import AuditEvent
from operators.models import OperatorAccount
from smartcards import queries, rules, safety_brake, texts
from smartcards.models import Brake, SmartCard
from smartcards.reconciliation import out_of_step
from smartcards.rules import CardFacts
from smartcards.states import CommandKind, OperatorState

SHOWN = 200
JOURNAL_LINES = 20


@dataclass(frozen=True)
class Counted:
    """Automatic switch-offs of one account within the hour, and how many are let through."""

    account: str
    switched_off: int
    limit: int
    active: int

    @property
    def reached(self) -> bool:
        """Whether the brake holds this account."""
        return self.switched_off >= self.limit


@dataclass(frozen=True)
class Difference:
    """A card whose state is not its target, and what the service would do about it."""

    card: SmartCard
    kind: CommandKind
    state: str
    why: str


@dataclass(frozen=True)
class Differences:
    """All of one kind: how many, and the first of them."""

    kind: CommandKind
    total: int
    first: Sequence[Difference]

    @property
    def more(self) -> int:
        """How many are not shown."""
        return self.total - len(self.first)


def counts(state: Brake, at: datetime) -> list[Counted]:
    """One entry for each account, by title."""
    off = _by_account(safety_brake.switched_off_in_window(state, at))
    active = _by_account(SmartCard.objects.filter(confirmed=OperatorState.ACTIVE))
    # Without the secrets: the page must open even where these cannot be read.
    accounts = OperatorAccount.objects.only("title", "brake_cards", "brake_percent")
    found = []
    for account in accounts.order_by("title", "pk"):
        works = active.get(account.pk, 0)
        limit = rules.brake_limit(
            cards=account.brake_cards,
            percent=account.brake_percent,
            active=works,
            floor=safety_brake.SHARE_FLOOR,
        )
        found.append(Counted(account.title, off.get(account.pk, 0), limit, works))
    return found


def _by_account(rows: QuerySet[Any]) -> dict[int, int]:
    return dict(rows.order_by().values_list("account").annotate(Count("pk")))


def differences(at: datetime) -> list[Differences]:
    """What would go off, then what would come on, were nothing in the way. Sends nothing."""
    found = list(_found(at))
    return [
        Differences(kind, len(rows), rows[:SHOWN])
        for kind in (CommandKind.DEACTIVATE, CommandKind.ACTIVATE)
        for rows in ([row for row in found if row.kind == kind],)
    ]


def _found(at: datetime) -> Iterator[Difference]:
    cards = queries.with_facts(out_of_step.cards_out_of_step(at))
    for card in cards.select_related("merchant").order_by("merchant_id", "pk"):
        facts = queries.facts_of(card, at)
        if (kind := rules.next_command(facts)) is not None:
            yield Difference(card, kind, texts.staff_state(facts), _why(facts, kind))


def _why(facts: CardFacts, kind: CommandKind) -> str:
    if kind == CommandKind.ACTIVATE:
        return "оплата есть, смарт-карта должна работать"
    if not facts.desired_on:
        return "отключение запросил человек"
    return "подписка не действует" if facts.covered else "не выбрана для оплаты"


def brake_events() -> list[AuditEvent]:
    """Who stopped and released, the latest first."""
    return list(AuditEvent.objects.filter(target="brake").order_by("-at", "-pk")[:JOURNAL_LINES])
