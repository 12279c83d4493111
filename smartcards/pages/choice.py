"""Choosing which cards are paid: a page of checkboxes, and what a choice would switch off."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.core.paginator import Page
from django.db.models import Count, Q

from cabinet.models import Merchant
from cabinet.wording import Pill
from smartcards import phrases, queries
from smartcards.models import Coverage, SmartCard
from smartcards.pages import estate, notices, words
from smartcards.pages.words import Number
from smartcards.queries import Places
from smartcards.states import CommandKind, Confirmed

PAGE_SIZE = 50


@dataclass(frozen=True)
class ChoiceRow:
    """A card with its box."""

    pk: int
    title: str
    place: str
    number: Number
    operator: str
    pill: Pill
    chosen: bool


@dataclass(frozen=True)
class Choice:
    """One page of the boxes; `places` counts over all pages."""

    rows: tuple[ChoiceRow, ...]
    places: Places
    page: Page[int]
    text: str

    @property
    def shown(self) -> str:
        """The cards of this page: boxes of other pages stay as they are."""
        return ",".join(str(row.pk) for row in self.rows)


def choice_page(
    *, merchant: Merchant, text: str, number: str, chosen: Collection[int] | None, at: datetime
) -> Choice:
    """The boxes as they are, or, with `chosen`, as the person has just left them."""
    # A card that is gone can be let go of, but no place is given to it any more.
    gone = Q(confirmed=Confirmed.RETIRED) | Q(withdrawn_at__isnull=False)
    offered = (~gone | Q(covered=True)) & estate.matching(text)
    cards = estate.with_columns(estate.estate(merchant), at)
    counts = cards.aggregate(
        found=Count("pk", filter=offered), taken=Count("pk", filter=Q(covered=True))
    )
    page = estate.page_of(
        cards.filter(offered), size=PAGE_SIZE, number=number, count=counts["found"]
    )
    return Choice(
        rows=tuple(_row(card, chosen, at) for card in estate.cards_of(page)),
        places=Places(total=notices.paid_places(merchant, at).places, taken=counts["taken"]),
        page=page,
        text=text,
    )


def _row(card: SmartCard, chosen: Collection[int] | None, at: datetime) -> ChoiceRow:
    facts = queries.facts_of(card, at)
    return ChoiceRow(
        pk=card.pk,
        title=words.title_of(card),
        place=card.terminal.shop.name if card.terminal and card.terminal.shop else "",
        number=words.number_of(card),
        operator=card.account.title,
        pill=phrases.pill(facts),
        chosen=facts.covered if chosen is None else card.pk in chosen,
    )


@dataclass(frozen=True)
class Change:
    """The whole choice after the boxes of one page, and the working cards that it would switch off."""

    chosen: frozenset[int]
    dropped: tuple[SmartCard, ...]

    @property
    def mark(self) -> str:
        """What the person has to have seen before confirming."""
        return ",".join(str(card.pk) for card in self.dropped)


def change_of(
    *, merchant: Merchant, shown: Collection[int], ticked: Collection[int], at: datetime
) -> Change:
    """Boxes on other pages keep what they are; a box that was not shown cannot be cleared."""
    rows = Coverage.objects.filter(card__merchant=merchant, till=None)
    covered = set(rows.values_list("card_id", flat=True))
    chosen = frozenset((covered - set(shown)) | set(ticked))
    # One that is being switched on would work in a minute.
    works = Q(confirmed=Confirmed.ACTIVE) | Q(moving__kind=CommandKind.ACTIVATE)
    leaving = estate.with_columns(estate.estate(merchant), at).filter(
        works, pk__in=covered - chosen
    )
    dropped = leaving.select_related("account", "terminal__shop").order_by("pk")
    return Change(chosen=chosen, dropped=tuple(dropped))


@dataclass(frozen=True)
class Leaving:
    """A working card that a choice would switch off."""

    title: str
    place: str
    number: Number


def leaving_of(change: Change) -> tuple[Leaving, ...]:
    """The cards to be switched off, as the page of confirmation lists them."""
    return tuple(
        Leaving(
            title=words.title_of(card),
            place=card.terminal.shop.name if card.terminal and card.terminal.shop else "",
            number=words.number_of(card),
        )
        for card in change.dropped
    )
