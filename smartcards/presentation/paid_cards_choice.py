"""Choosing which cards are paid: pages of boxes, kept until they are saved, and what a choice would switch off."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from zoneinfo import ZoneInfo

from django.db.models import Exists, OuterRef, Q, QuerySet

from cabinet.actors import Actor
from cabinet.formatting.ru_format import Pill
from cabinet.models import Merchant
from smartcards import queries, texts
from smartcards.listing import card_filter, card_groups, paid_cards_draft
from smartcards.listing.card_filter import CardFilter
from smartcards.listing.card_pages import CardPage, card_page
from smartcards.listing.paid_cards_draft import Ticks
from smartcards.models import Coverage, SmartCard
from smartcards.presentation import display_format, payment
from smartcards.presentation.display_format import CardName
from smartcards.presentation.list_options import Field, ListQuery, fields_above
from smartcards.queries import PaidSlots
from smartcards.states import CommandKind, OperatorState

# A person reads the first ones and the number of all.
_NAMED = 50


@dataclass(frozen=True)
class ChoiceRow:
    """A card with its box."""

    name: CardName
    pill: Pill
    chosen: bool


@dataclass(frozen=True)
class Choice:
    """One page of the boxes; `slots` and `ticks` count over all pages, `found` over those of the filter."""

    rows: tuple[ChoiceRow, ...]
    slots: PaidSlots
    ticks: Ticks
    page: CardPage
    fields: tuple[Field, ...]
    found: int
    query: ListQuery

    @property
    def shown(self) -> str:
        """The cards of this page: boxes of other pages stay as they are."""
        return ",".join(str(row.name.pk) for row in self.rows)

    @property
    def has_other_pages(self) -> bool:
        """Whether there is more than this page."""
        return self.page.previous is not None or self.page.next is not None


def choice_page(*, merchant: Merchant, by: Actor, query: ListQuery, at: datetime) -> Choice:
    """The boxes as the person has left them."""
    ticks = paid_cards_draft.ticks_of(merchant, by, at)
    cards = offered(merchant, query.wanted, at)
    page = card_page(cards, merchant=merchant, wanted=query.page, at=at)
    paid = payment.paid_slots(page.subscriptions, ZoneInfo(merchant.timezone), at)
    return Choice(
        rows=tuple(_row(card, ticks, at) for card in page.cards),
        slots=PaidSlots(total=paid.slots, taken=len(ticks.chosen)),
        ticks=ticks,
        page=page,
        fields=fields_above(merchant, [row.title for row in page.contracts.values()], query),
        found=cards.count() if page.previous or page.next else len(page.cards),
        query=query,
    )


def offered(merchant: Merchant, wanted: CardFilter, at: datetime) -> QuerySet[SmartCard]:
    """Those of the filter that may be ticked, or unticked where they are paid though out of use."""
    gone = Q(confirmed=OperatorState.RETIRED) | Q(withdrawn_at__isnull=False)
    covered = Exists(Coverage.objects.filter(card=OuterRef("pk"), till=None))
    found = card_filter.cards_matching(merchant=merchant, wanted=wanted, at=at)
    return found.filter(~gone | covered)


def _row(card: SmartCard, ticks: Ticks, at: datetime) -> ChoiceRow:
    return ChoiceRow(
        name=display_format.name_of(card),
        pill=texts.pill(queries.facts_of(card, at)),
        chosen=card.pk in ticks.chosen,
    )


@dataclass(frozen=True)
class Change:
    """The whole choice of a person, and the working cards that it would switch off."""

    chosen: frozenset[int]
    dropped: tuple[SmartCard, ...]

    @property
    def named(self) -> Sequence[SmartCard]:
        """The cards to be named; the rest are counted."""
        return self.dropped[:_NAMED]

    @property
    def unnamed(self) -> int:
        """How many more there are."""
        return len(self.dropped) - len(self.named)

    @property
    def mark(self) -> str:
        """What the person has to have seen before confirming."""
        return sha256(",".join(str(card.pk) for card in self.dropped).encode()).hexdigest()


def change_of(*, merchant: Merchant, by: Actor, at: datetime) -> Change:
    """The boxes of all pages; a ticked card that has left the company or its use meanwhile is left out."""
    ticks = paid_cards_draft.ticks_of(merchant, by, at)
    usable = offered(merchant, CardFilter(), at).filter(pk__in=ticks.ticked)
    chosen = (ticks.paid - ticks.unticked) | set(usable.values_list("pk", flat=True))
    # One that is being switched on would work in a minute.
    works = Q(confirmed=OperatorState.ACTIVE) | Q(moving__kind=CommandKind.ACTIVATE)
    leaving = card_groups.with_columns(SmartCard.objects.of(merchant), at).filter(
        works, pk__in=ticks.unticked
    )
    dropped = leaving.select_related("account", "terminal__shop").order_by("list_key", "pk")
    return Change(chosen=chosen, dropped=tuple(dropped))
