"""One page of a list of cards: by the last card of the page before, so that it costs the same however far it is."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db.models import Exists, F, OuterRef, Prefetch, Q, QuerySet

from cabinet.models import Merchant
from operators.models import SECRETS, OperatorAccount
from smartcards.listing.card_groups import with_open
from smartcards.models import Command, Coverage, SmartCard
from subscriptions.models import Period, Subscription

# Of a card and its terminal: what its line shows and `queries.facts_of` reads.
_SHOWN = (
    *("iccid", "msisdn", "label", "account", "terminal__name", "terminal__shop__name"),
    *("confirmed", "block_reason", "desired_on", "desired_by_kind", "withdrawn_because"),
    *("replaced_by", "off_since", "may_hold_until"),
)
# Of the command on its way: what `queries.facts_of` reads.
_OPEN = ("kind", "state", "asked_by", "asked_by_kind", "created_at")
SIZES = (50, 100, 200)


class Sort(StrEnum):
    """The order of a list; the value is in the address."""

    SHOP = ""
    NUMBER = "number"
    NEWEST = "newest"


# Cards that are equal by the column are in the order of their numbers.
_COLUMN = {Sort.SHOP: "list_key", Sort.NUMBER: "iccid", Sort.NEWEST: "handed_at"}


@dataclass(frozen=True)
class PageQuery:
    """Which page: the cards behind the card `after`, or the ones ahead of `before`; from the start without either.

    Both are numbers of cards that the page before has shown.
    """

    sort: Sort = Sort.SHOP
    size: int = SIZES[0]
    after: int | None = None
    before: int | None = None

    @property
    def anchor(self) -> int | None:
        """The card that the page begins or ends at."""
        return self.after or self.before

    @property
    def order(self) -> tuple[str, str]:
        """The order in which the rows are read: away from the anchor."""
        descending = (self.sort is Sort.NEWEST) != (self.before is not None)
        sign = "-" if descending else ""
        return f"{sign}{_COLUMN[self.sort]}", f"{sign}pk"


@dataclass(frozen=True)
class CardPage:
    """Cards in their order with what `queries.facts_of` and `queries.switch_terms_of` read.

    `previous` and `next` are what the neighbouring pages begin from, None where there are none. `ahead` is the
    card before the first one, where it was read. `subscriptions`: those that pay for these cards, and all others
    of the merchant that are not over. `contracts`: those of all the merchant's cards.
    """

    cards: tuple[SmartCard, ...]
    ahead: SmartCard | None
    previous: int | None
    next: int | None
    subscriptions: tuple[Subscription, ...]
    contracts: dict[int, OperatorAccount]


def card_page(
    cards: QuerySet[SmartCard],
    *,
    merchant: Merchant,
    wanted: PageQuery,
    contracts: Collection[int] | None = None,
    at: datetime,
) -> CardPage:
    """One page of these cards of the merchant: four queries; the first page where the wanted one is gone.

    `contracts`: the numbers of those of all the merchant's cards, where the caller knows them.
    """
    window = _window(_rows(cards, merchant, wanted), wanted)
    if window is None:
        start = PageQuery(wanted.sort, wanted.size)
        return card_page(cards, merchant=merchant, wanted=start, contracts=contracts, at=at)
    shown = window.shown
    subscriptions = _complete(shown, merchant, at)
    known = None if contracts is None else {*contracts, *(card.account_id for card in shown)}
    found = _contracts(merchant, known)
    for card in shown:
        card.account = found[card.account_id]
    return CardPage(
        cards=tuple(shown),
        ahead=window.ahead,
        previous=shown[0].pk if window.has_previous else None,
        next=shown[-1].pk if window.has_next else None,
        subscriptions=subscriptions,
        contracts=found,
    )


@dataclass(frozen=True)
class _Window:
    """The cards of a page and what stands around them."""

    shown: list[SmartCard]
    ahead: SmartCard | None
    has_previous: bool
    has_next: bool


def _window(rows: list[SmartCard], wanted: PageQuery) -> _Window | None:
    """What to show of the rows around the anchor; None where the list has to be begun anew."""
    read = [card for card in rows if card.pk != wanted.anchor]
    shown, beyond = read[: wanted.size], read[wanted.size :]
    if wanted.before:
        # Fewer than a page are left ahead: it is the first page, and that is full.
        full = len(shown) == wanted.size
        ahead = beyond[0] if beyond else None
        return _Window(shown[::-1], ahead, bool(beyond), True) if full else None
    if wanted.after and not shown:
        return None
    ahead = rows[0] if rows and rows[0].pk == wanted.anchor else None
    return _Window(shown, ahead, wanted.after is not None, bool(beyond))


def _rows(cards: QuerySet[SmartCard], merchant: Merchant, wanted: PageQuery) -> list[SmartCard]:
    """The anchor, where it is still among the cards, the page, and one card more."""
    order = wanted.order
    numbers = cards.filter(_from_anchor(merchant, wanted)).order_by(*order).values("pk")
    # Only numbers are looked for by the order: whole rows with their contracts are several times slower.
    rows = with_open(SmartCard.objects.filter(pk__in=numbers[: wanted.size + 2])).annotate(
        paid_by=F("cover__subscription"), **{f"open_{name}": F(f"moving__{name}") for name in _OPEN}
    )
    return list(rows.select_related("terminal__shop").only(*_SHOWN).order_by(*order))


def _from_anchor(merchant: Merchant, wanted: PageQuery) -> Q:
    if wanted.anchor is None:
        return Q()
    column, way = _COLUMN[wanted.sort], "lt" if wanted.order[1].startswith("-") else "gt"
    key = SmartCard.objects.of(merchant).filter(pk=wanted.anchor).values(column)
    same = Q(**{f"pk__{way}e": wanted.anchor})
    # The first condition is what an index is entered by.
    return Q(**{f"{column}__{way}e": key}) & (Q(**{f"{column}__{way}": key}) | same)


def _complete(
    cards: Sequence[SmartCard], merchant: Merchant, at: datetime
) -> tuple[Subscription, ...]:
    """Give the cards what pays for them and what is on its way."""
    paying = _subscriptions_of(merchant, {vars(card)["paid_by"] for card in cards} - {None}, at)
    # Not saved rows: their subscription is all that is read of them. It is made once for all its cards.
    coverages = {pk: [Coverage(subscription=row)] for pk, row in paying.items()}
    for card in cards:
        vars(card)["open_coverages"] = coverages.get(vars(card)["paid_by"], [])
        vars(card)["open_commands"] = _commands_of(card)
    return tuple(paying.values())


def _contracts(merchant: Merchant, numbers: Collection[int] | None) -> dict[int, OperatorAccount]:
    """A contract is made once for all its cards: fifty of each take longer than the queries."""
    used = Exists(SmartCard.objects.of(merchant).filter(account=OuterRef("pk")))
    rows = OperatorAccount.objects.filter(used if numbers is None else Q(pk__in=numbers))
    return {row.pk: row for row in rows.defer(*SECRETS, "profile")}


def _subscriptions_of(
    merchant: Merchant, paid_by: Collection[int], at: datetime
) -> dict[int, Subscription]:
    lasting = Q(entitled_until=None) | Q(entitled_until__gt=at)
    rows = Subscription.objects.of(merchant).filter(lasting | Q(pk__in=paid_by))
    periods = Prefetch("periods", Period.objects.select_related("tariff"))
    return {row.pk: row for row in rows.select_related("tariff").prefetch_related(periods)}


def _commands_of(card: SmartCard) -> list[Command]:
    given = {name: vars(card)[f"open_{name}"] for name in _OPEN}
    return [Command(card_id=card.pk, **given)] if given["state"] else []
