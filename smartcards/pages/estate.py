"""All cards of a merchant at once, in one query: the database groups them by facts, the rules judge.

Ten thousand cards have a few dozen different sets of facts, so the rules stay in Python and are
asked once for each set; a filter by state becomes a filter by the sets that have it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import (
    BooleanField,
    Case,
    Count,
    F,
    FilteredRelation,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Lower, Replace

from cabinet.models import Merchant
from cabinet.wording import sort_key
from smartcards import queries
from smartcards.models import SmartCard
from smartcards.numbers import NotANumber, parse_msisdn
from smartcards.rules import CardFacts, OpenCommand
from smartcards.states import OPEN_COMMANDS, CommandKind, CommandState, Confirmed
from subscriptions.rules import CLOCKS_APART

_OPEN = sorted(state.value for state in OPEN_COMMANDS)
_FACTS = (
    "confirmed",
    "block_reason",
    "wished_on",
    "wished_by_kind",
    "covered",
    "entitled",
    "moving__kind",
    "moving__state",
    "withdrawn_because",
    "replaced",
    "held_back",
)
_BY_PLACE: tuple[str, ...] = (
    "tillless",
    "shopless",
    "shop_key",
    "terminal_key",
    "label_key",
    "pk",
)
_SEPARATORS = str.maketrans("", "", " \u00a0-()+.…")


@dataclass(frozen=True)
class Group:
    """Cards with equal facts: how many there are, and how many of them match the text."""

    key: tuple[Any, ...]
    facts: CardFacts
    count: int
    found: int


def estate(merchant: Merchant) -> QuerySet[SmartCard]:
    """The merchant's cards with the keys that Russian lists sort by and are searched by."""
    return SmartCard.objects.of(merchant).alias(
        tillless=_yes(Q(terminal=None)),
        shopless=_yes(Q(terminal__shop=None)),
        shop_key=_folded("terminal__shop__name"),
        terminal_key=_folded("terminal__name"),
        label_key=_folded("label"),
    )


def with_columns(cards: QuerySet[SmartCard], at: datetime) -> QuerySet[SmartCard]:
    """The same cards with their facts as columns: `covered`, `entitled` and the command on its way."""
    return cards.annotate(
        cover=FilteredRelation("coverages", condition=Q(coverages__till=None)),
        moving=FilteredRelation("commands", condition=Q(commands__state__in=_OPEN)),
    ).annotate(
        covered=_yes(Q(cover__isnull=False)),
        entitled=_yes(_pays_now(at)),
        replaced=_yes(Q(replaced_by__isnull=False)),
        held_back=_yes(Q(may_hold_until__gt=at)),
    )


def _yes(condition: Q) -> Case:
    return Case(
        When(condition, then=Value(True)), default=Value(False), output_field=BooleanField()
    )


def _pays_now(at: datetime) -> Q:
    # The same two instants as in `queries.is_live`.
    until = Q(cover__subscription__entitled_until=None) | Q(
        cover__subscription__entitled_until__gt=at
    )
    return until & Q(cover__subscription__entitled_from__lte=at + CLOCKS_APART)


def _folded(field: str) -> Replace:
    """`wording.sort_key` as the database says it."""
    return Replace(Lower(Coalesce(F(field), Value(""))), Value("ё"), Value("е"))


def page_of(
    cards: QuerySet[SmartCard], *, size: int, number: str, count: int | None = None
) -> Page[int]:
    """Numbers of cards by shop and till as Russian lists are sorted; cards without a till last.

    Only numbers are sorted: whole rows with their contracts are several times slower. A `count` that
    is known already saves the query that would be the slowest.
    """
    paginator: Paginator[int] = Paginator(
        cards.order_by(*_BY_PLACE).values_list("pk", flat=True), size
    )
    if count is not None:
        paginator.__dict__["count"] = count
    return paginator.get_page(number)


def cards_of(page: Page[int], *, terms: bool = False) -> list[SmartCard]:
    """The cards of a page, in its order, with what `queries.facts_of` reads: three queries."""
    order = {pk: place for place, pk in enumerate(page.object_list)}
    rows = queries.with_facts(SmartCard.objects.filter(pk__in=order), terms=terms)
    return sorted(rows, key=lambda card: order[card.pk])


def matching(text: str) -> Q:
    """Part of an ICCID, of a telephone number, of a label, of a shop's or a till's name."""
    words = sort_key(text)
    if not words:
        return Q()
    named = (
        Q(shop_key__contains=words) | Q(terminal_key__contains=words) | Q(label_key__contains=words)
    )
    digits = text.translate(_SEPARATORS)
    if not digits.isascii() or not digits.isdigit():
        return named
    return named | Q(iccid__contains=digits) | Q(msisdn__contains=_as_stored(digits))


def _as_stored(digits: str) -> str:
    """«8 912 345-67-89» is kept as 7912…; a part of a number is taken as it is."""
    try:
        return parse_msisdn(digits) if len(digits) == 11 else digits
    except NotANumber:
        return digits


def groups(cards: QuerySet[SmartCard], found: Q, at: datetime) -> list[Group]:
    """The sets of facts among these cards, in one query."""
    matches = Count("pk", filter=found) if found else Count("pk")
    counted = with_columns(cards, at).values_list(*_FACTS)
    rows = counted.annotate(count=Count("pk"), found=matches).order_by()
    return [
        Group(key=row[:-2], facts=_facts(row, at), count=row[-2], found=row[-1]) for row in rows
    ]


def _facts(row: tuple[Any, ...], at: datetime) -> CardFacts:
    given = dict(zip(_FACTS, row, strict=False))
    kind, state = given["moving__kind"], given["moving__state"]
    command = None
    if state is not None:
        # Who asked and when differ inside a group; nothing that is asked of a group depends on it.
        command = OpenCommand(CommandKind(kind), CommandState(state), asked_by="", created_at=at)
    return CardFacts(
        confirmed=Confirmed(given["confirmed"]),
        block_reason=given["block_reason"],
        wished_on=given["wished_on"],
        wished_by_kind=given["wished_by_kind"],
        covered=given["covered"],
        entitled=given["entitled"],
        open_command=command,
        withdrawn=given["withdrawn_because"],
        replaced=given["replaced"],
        held_back=given["held_back"],
    )


def of_groups(
    cards: QuerySet[SmartCard], chosen: Iterable[Group], at: datetime
) -> QuerySet[SmartCard]:
    """Only the cards whose facts are in these groups."""
    alternatives = [Q(**dict(zip(_FACTS, group.key, strict=True))) for group in chosen]
    if not alternatives:
        return cards.none()
    return with_columns(cards, at).filter(reduce(or_, alternatives))


def total(found: Iterable[Group], wanted: Callable[[CardFacts], bool] = lambda _facts: True) -> int:
    """How many cards of these groups are as wanted."""
    return sum(group.count for group in found if wanted(group.facts))
