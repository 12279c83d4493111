"""The first page: does everything work, what needs the merchant, and the cards by shop and till."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from zoneinfo import ZoneInfo

from django.core.paginator import Page

from cabinet import rules as roles
from cabinet import wording
from cabinet.models import Merchant
from cabinet.states import Right, Role
from cabinet.wording import Pill
from smartcards import phrases, queries, rules
from smartcards.models import SmartCard
from smartcards.pages import estate, notices, offers, payment, terms, troubles, words
from smartcards.pages.estate import Group
from smartcards.pages.notices import Notice, Paid, Tally
from smartcards.pages.offers import Deed, Offer
from smartcards.pages.payment import Payment
from smartcards.pages.words import Number
from smartcards.rules import CardFacts
from smartcards.states import CardState

PAGE_SIZE = 50


class Shelf(StrEnum):
    """What the list may be narrowed to; the value stands in the address."""

    ALL = ""
    ATTENTION = "attention"
    WORKS = "works"
    SWITCHING = "switching"
    NEW = "new"
    OFF = "off"
    UNPAID = "unpaid"
    UNCLEAR = "unclear"
    HELD_BACK = "held_back"
    WITHDRAWN = "withdrawn"
    RETIRED = "retired"


def _in_state(*states: CardState) -> Callable[[CardFacts], bool]:
    return lambda facts: rules.card_state(facts) in states


_SHELVES: dict[Shelf, tuple[str, Callable[[CardFacts], bool]]] = {
    Shelf.ALL: ("Все", lambda _facts: True),
    Shelf.ATTENTION: ("Требуют внимания", notices.needs_merchant),
    Shelf.WORKS: ("Работают", _in_state(CardState.ACTIVE)),
    Shelf.SWITCHING: ("Переключаются", _in_state(CardState.ACTIVATING, CardState.DEACTIVATING)),
    Shelf.NEW: ("Новые", _in_state(CardState.NEW)),
    Shelf.OFF: ("Отключены", _in_state(CardState.INACTIVE)),
    Shelf.UNPAID: ("Не оплачены", notices.lacks_payment),
    Shelf.UNCLEAR: ("Уточняются", _in_state(CardState.UNCLEAR)),
    Shelf.HELD_BACK: ("Ждут интернета", notices.is_held_back),
    Shelf.WITHDRAWN: ("Выведены", lambda facts: bool(facts.withdrawn)),
    Shelf.RETIRED: ("Списаны", _in_state(CardState.RETIRED)),
}


@dataclass(frozen=True)
class Wish:
    """What the visitor asked for in the address: part of a name or number, a shelf, a page."""

    text: str = ""
    shelf: Shelf = Shelf.ALL
    page: str = "1"


@dataclass(frozen=True)
class Chip:
    """One word of the filter by state, with how many cards it would show."""

    title: str
    value: str
    count: int
    current: bool


@dataclass(frozen=True)
class CardRow:
    """One card of the list."""

    pk: int
    title: str
    label: str
    operator: str
    number: Number
    msisdn: str
    pill: Pill
    payment: Payment
    offer: Offer | None
    note: str = ""


@dataclass(frozen=True)
class Place:
    """The cards of one shop, or those without a till."""

    title: str
    rows: tuple[CardRow, ...]


@dataclass(frozen=True)
class NoCards:
    """What stands in the place of the list of a merchant without cards: what to do next."""

    title: str
    text: str


@dataclass(frozen=True)
class Overview:
    """Everything the first page shows. `found` counts the cards that match the wish.

    `troubles`: sentences about operators that do not take requests now.
    """

    tally: Tally
    troubles: tuple[str, ...]
    notices: tuple[Notice, ...]
    no_cards: NoCards
    chips: tuple[Chip, ...]
    places: tuple[Place, ...]
    page: Page[int]
    found: int
    wish: Wish

    @property
    def narrowed(self) -> bool:
        """Whether the visitor has asked for less than everything."""
        return bool(self.wish.text or self.wish.shelf)


def overview(*, merchant: Merchant, role: Role, wish: Wish, at: datetime) -> Overview:
    """The first page; eight queries, however many cards, one or two more while something is wrong."""
    cards, text = estate.estate(merchant), estate.matching(wish.text)
    groups = estate.groups(cards, text, at)
    tally = notices.tally_of(groups, notices.paid_places(merchant, at))
    on_shelf = [group for group in groups if _SHELVES[wish.shelf][1](group.facts)]
    found = sum(group.found for group in on_shelf)
    rows = cards.filter(text) if text else cards
    if wish.shelf is not Shelf.ALL:
        rows = estate.of_groups(rows, on_shelf, at)
    page = estate.page_of(rows, size=PAGE_SIZE, number=wish.page, count=found)
    return Overview(
        tally=tally,
        troubles=troubles.troubles_of(merchant, at),
        notices=notices.notices(tally, role, braked=bool(tally.stays_on) and troubles.is_braked()),
        no_cards=_no_cards(tally.paid, role),
        chips=_chips(groups, wish),
        places=_places(estate.cards_of(page, terms=True), merchant, role, at),
        page=page,
        found=found,
        wish=wish,
    )


def _no_cards(paid: Paid, role: Role) -> NoCards:
    title = "Смарт-карт пока нет"
    if paid.places:
        places = wording.counted(paid.places, "место", "места", "мест")
        title = f"Оплачено {places}, а смарт-карт пока нет"
    if not roles.may(role, Right.ORDER):
        return NoCards(title, _ORDERED_BY_OTHERS)
    return NoCards(title, _ORDER_FOR_PLACES if paid.places else _ORDER_FIRST)


_ORDERED_BY_OTHERS = (
    "Смарт-карты заказывает владелец или администратор. После доставки они появятся здесь."
)
_ORDER_FOR_PLACES = (
    "Закажите смарт-карты. Когда они придут, вставьте их в кассы, отметьте в разделе «Выбрать карты» и нажмите "
    "«Активировать». Если заказ уже оформлен, карты появятся здесь после доставки."
)
_ORDER_FIRST = (
    "Закажите смарт-карты: они придут готовыми к работе, вставить их в кассы можно самому. "
    "Чтобы они заработали, понадобится подписка."
)


def _chips(groups: Sequence[Group], wish: Wish) -> tuple[Chip, ...]:
    chips = [
        Chip(title, shelf.value, estate.total(groups, wanted), shelf is wish.shelf)
        for shelf, (title, wanted) in _SHELVES.items()
    ]
    return tuple(chip for chip in chips if chip.count or chip.current)


def _places(
    cards: Iterable[SmartCard], merchant: Merchant, role: Role, at: datetime
) -> tuple[Place, ...]:
    by_shop = groupby(cards, key=_place_title)
    return tuple(
        Place(title, tuple(row_of(card, merchant, role, at) for card in group))
        for title, group in by_shop
    )


def _place_title(card: SmartCard) -> str:
    if card.terminal is None:
        return "Без кассы"
    return card.terminal.shop.name if card.terminal.shop else "Без магазина"


def row_of(card: SmartCard, merchant: Merchant, role: Role, at: datetime) -> CardRow:
    """The line of a card that came through `queries.with_facts`."""
    facts = queries.facts_of(card, at)
    title = words.title_of(card)
    return CardRow(
        pk=card.pk,
        title=title,
        label=card.label if card.label != title else "",
        operator=card.account.title,
        number=words.number_of(card),
        msisdn=card.msisdn,
        pill=phrases.pill(facts),
        payment=payment.payment_of(card, at),
        offer=_main_offer(card, facts, role, at),
        note=terms.held_back(card, ZoneInfo(merchant.timezone), at) if facts.held_back else "",
    )


def _main_offer(card: SmartCard, facts: CardFacts, role: Role, at: datetime) -> Offer | None:
    found = next(iter(offers.offers(facts, role)), None)
    if found is not None and found.deed is Deed.ACTIVATE:
        return replace(found, costs=terms.asks_before_activation(card, at))
    return found
