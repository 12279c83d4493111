"""Many cards at once: the database groups them by facts in one query, the rules judge.

Ten thousand cards have a few dozen different sets of facts, so the rules stay in Python and are
asked once for each set; a filter by state becomes a filter by the sets that have it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any

from django.core.cache import cache
from django.db.models import (
    BooleanField,
    Case,
    Count,
    FilteredRelation,
    Q,
    QuerySet,
    Value,
    When,
)
from redis import RedisError

from cabinet.models import Merchant
from smartcards.models import SmartCard
from smartcards.rules import CardFacts, OpenCommand
from smartcards.states import OPEN_COMMANDS, CommandKind, CommandState, OperatorState
from subscriptions.rules import CLOCKS_APART

_FACTS = (
    "confirmed",
    "block_reason",
    "desired_on",
    "desired_by_kind",
    "covered",
    "entitled",
    "moving__kind",
    "moving__state",
    "withdrawn_because",
    "replaced",
    "held_back",
)

_ANY = Q()
COUNTED_EACH_TIME = 1000
KEPT_SECONDS = 10


@dataclass(frozen=True)
class Group:
    """Cards of one contract with equal facts: how many there are, and how many of them are asked for."""

    key: tuple[Any, ...]
    facts: CardFacts
    account_id: int
    count: int
    found: int


def with_columns(cards: QuerySet[SmartCard], at: datetime) -> QuerySet[SmartCard]:
    """The same cards with their facts as columns: `covered`, `entitled` and the command on its way."""
    return with_open(cards).annotate(
        covered=_yes(Q(cover__isnull=False)),
        entitled=_yes(_pays_now(at)),
        replaced=_yes(Q(replaced_by__isnull=False)),
        held_back=_yes(Q(may_hold_until__gt=at)),
    )


def with_open(cards: QuerySet[SmartCard]) -> QuerySet[SmartCard]:
    """The same cards with the relations `cover` and `moving`: the open coverage and the command on its way."""
    return cards.annotate(
        cover=FilteredRelation("coverages", condition=Q(coverages__till=None)),
        moving=FilteredRelation("commands", condition=Q(commands__state__in=OPEN_COMMANDS)),
    )


def _yes(condition: Q) -> Case:
    return Case(
        When(condition, then=Value(True)), default=Value(False), output_field=BooleanField()
    )


def _pays_now(at: datetime) -> Q:
    # The same two instants as in `subscriptions.rules.is_entitled`.
    until = Q(cover__subscription__entitled_until=None) | Q(
        cover__subscription__entitled_until__gt=at
    )
    return until & Q(cover__subscription__entitled_from__lte=at + CLOCKS_APART)


def groups_of(merchant: Merchant, at: datetime) -> list[Group]:
    """All cards of a merchant. Those of a large one may be counted a few seconds ago.

    Ten thousand cards take as long to be counted as the rest of the page takes.
    """
    key = f"card-groups:{merchant.pk}"
    try:
        known: list[Group] | None = cache.get(key)
        if known is None:
            known = groups(SmartCard.objects.of(merchant), at)
            if total(known) > COUNTED_EACH_TIME:
                cache.set(key, known, KEPT_SECONDS)
    except RedisError:
        # Only the counts of a page hang on it.
        return groups(SmartCard.objects.of(merchant), at)
    return known


def groups(cards: QuerySet[SmartCard], at: datetime, *, found: Q = _ANY) -> list[Group]:
    """The sets of facts among these cards by contract, and how many of each are `found`, in one query."""
    matches = Count("pk", filter=found) if found else Count("pk")
    counted = with_columns(cards, at).values_list(*_FACTS, "account")
    rows = counted.annotate(count=Count("pk"), found=matches).order_by()
    return [Group(row[:-3], _facts(row, at), *row[-3:]) for row in rows]


def _facts(row: tuple[Any, ...], at: datetime) -> CardFacts:
    given = dict(zip(_FACTS, row, strict=False))
    kind, state = given.pop("moving__kind"), given.pop("moving__state")
    command = None
    if state is not None:
        # Who asked and when differ inside a group; nothing that is asked of a group depends on it.
        command = OpenCommand(CommandKind(kind), CommandState(state), asked_by="", created_at=at)
    confirmed, withdrawn = OperatorState(given.pop("confirmed")), given.pop("withdrawn_because")
    return CardFacts(confirmed=confirmed, open_command=command, withdrawn=withdrawn, **given)


def of_groups(
    cards: QuerySet[SmartCard], chosen: Iterable[Group], at: datetime
) -> QuerySet[SmartCard]:
    """Only the cards whose facts are in these groups."""
    keys = dict.fromkeys(group.key for group in chosen)
    alternatives = [Q(**dict(zip(_FACTS, key, strict=True))) for key in keys]
    if not alternatives:
        return cards.none()
    return with_columns(cards, at).filter(reduce(or_, alternatives))


def total(found: Iterable[Group], wanted: Callable[[CardFacts], bool] = lambda _facts: True) -> int:
    """How many cards of these groups are as wanted."""
    return sum(group.count for group in found if wanted(group.facts))
