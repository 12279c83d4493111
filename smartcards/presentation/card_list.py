"""The first page: does everything work, what needs the merchant, and the cards by shop and terminal."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from django.db.models import QuerySet

from cabinet.accounts import rules as roles
from cabinet.enums import Right, Role
from cabinet.formatting import ru_format
from cabinet.formatting.ru_format import Pill
from cabinet.models import Merchant
from smartcards import queries, texts
from smartcards.listing import card_filter, card_groups
from smartcards.listing.card_filter import HAS_STATE, CardFilter, StateFilter
from smartcards.listing.card_groups import Group
from smartcards.listing.card_pages import CardPage, Sort, card_page
from smartcards.models import SmartCard
from smartcards.presentation import (
    actions,
    display_format,
    notices,
    outages,
    payment,
    switch_conditions,
)
from smartcards.presentation.actions import ActionButton, CardAction
from smartcards.presentation.display_format import CardName
from smartcards.presentation.list_options import Field, ListQuery, fields_above
from smartcards.presentation.notices import CardCounts, Notice, PayButton
from smartcards.presentation.payment import Paid, Payment
from smartcards.rules import CardFacts

_STATES = {
    StateFilter.ALL: "Все",
    StateFilter.ATTENTION: "Требуют внимания",
    StateFilter.WORKS: "Работают",
    StateFilter.SWITCHING: "Переключаются",
    StateFilter.NEW: "Новые",
    StateFilter.OFF: "Отключены",
    StateFilter.UNPAID: "Не оплачены",
    StateFilter.UNCLEAR: "Уточняются",
    StateFilter.HELD_BACK: "Ждут интернета",
    StateFilter.WITHDRAWN: "Выведены",
    StateFilter.RETIRED: "Списаны",
}
_MASS_ACTIONS = (
    ("activate", "Активировать", Right.ACTIVATE),
    ("deactivate", "Деактивировать", Right.DEACTIVATE),
    ("choose", "Выбрать для оплаты", Right.CHOOSE_CARDS),
    ("unchoose", "Не оплачивать", Right.CHOOSE_CARDS),
)


@dataclass(frozen=True)
class FilterLink:
    """One link of the filter by state, with how many cards it would show."""

    title: str
    value: str
    count: int
    current: bool


@dataclass(frozen=True)
class CardRow:
    """One card of the list. `ticked` is None where the role works with no more than one card."""

    name: CardName
    pill: Pill
    payment: Payment
    button: ActionButton | None
    note: str = ""
    ticked: bool | None = None
    shows_shop: bool = False


@dataclass(frozen=True)
class ShopGroup:
    """The cards of one shop, or those without a terminal; one group without a title where shops do not order.

    `shop` is its number, None for cards without one. `continued`: the page before has begun it.
    """

    title: str
    rows: tuple[CardRow, ...]
    shop: int | None = None
    continued: bool = False


@dataclass(frozen=True)
class MassBar:
    """What may be done with many cards at once; `elsewhere` are ticked cards that this page does not show."""

    actions: tuple[tuple[str, str], ...]
    ticked: int
    elsewhere: tuple[int, ...]


@dataclass(frozen=True)
class NoCards:
    """Shown instead of the list to a merchant without cards: what to do next."""

    title: str
    text: str


@dataclass(frozen=True)
class CardListPage:
    """Everything the first page shows. `found` counts the cards that match the query.

    `outages`: sentences about operators that do not take requests now.
    """

    counts: CardCounts
    outages: tuple[str, ...]
    notices: tuple[Notice, ...]
    no_cards: NoCards
    filters: tuple[FilterLink, ...]
    fields: tuple[Field, ...]
    shops: tuple[ShopGroup, ...]
    page: CardPage
    found: int
    query: ListQuery
    mass: MassBar | None
    pay: PayButton | None


def card_list_page(
    *,
    merchant: Merchant,
    role: Role,
    query: ListQuery,
    at: datetime,
    ticked: frozenset[int] = frozenset(),
) -> CardListPage:
    """The first page; seven queries, however many cards, one or two more while something is wrong."""
    groups = _groups(merchant, query, at)
    chosen = [group for group in groups if query.wanted.fits(group.facts)]
    rows = _found(merchant, query.wanted, chosen, at)
    contracts = {group.account_id for group in groups}
    page = card_page(rows, merchant=merchant, wanted=query.page, contracts=contracts, at=at)
    zone = ZoneInfo(merchant.timezone)
    paid = payment.paid_slots(page.subscriptions, zone, at)
    mass = _mass_bar(role, page, ticked)
    return CardListPage(
        counts=notices.count_cards(groups),
        outages=outages.outages_of(merchant, at),
        notices=notices.notices(groups, paid, role, is_braked=outages.is_braked),
        no_cards=_no_cards(paid, role),
        filters=_filters(groups, query.wanted),
        fields=fields_above(merchant, [row.title for row in page.contracts.values()], query),
        shops=_by_shop(page, query.page.sort, _Rows(role, zone, at, ticked if mass else None)),
        page=page,
        found=sum(group.found for group in chosen),
        query=query,
        mass=mass,
        pay=notices.pay_button(groups, paid, role),
    )


def _groups(merchant: Merchant, query: ListQuery, at: datetime) -> list[Group]:
    if not query.narrowed:
        return card_groups.groups_of(merchant, at)
    # What is looked for has to be found at once, also where a card's facts are new.
    found = card_filter.written(query.wanted)
    return card_groups.groups(SmartCard.objects.of(merchant), at, found=found)


def _found(
    merchant: Merchant, wanted: CardFilter, chosen: Sequence[Group], at: datetime
) -> QuerySet[SmartCard]:
    rows = SmartCard.objects.of(merchant).filter(card_filter.written(wanted))
    return card_groups.of_groups(rows, chosen, at) if wanted.judges_facts else rows


def _mass_bar(role: Role, page: CardPage, ticked: frozenset[int]) -> MassBar | None:
    allowed = tuple((name, text) for name, text, right in _MASS_ACTIONS if roles.may(role, right))
    elsewhere = ticked - {card.pk for card in page.cards}
    return MassBar(allowed, len(ticked), tuple(sorted(elsewhere))) if allowed else None


def _no_cards(paid: Paid, role: Role) -> NoCards:
    title = "Смарт-карт пока нет"
    if paid.slots:
        slots = ru_format.counted(paid.slots, "место", "места", "мест")
        title = f"Оплачено {slots}, а смарт-карт пока нет"
    if not roles.may(role, Right.ORDER):
        return NoCards(title, _ORDERED_BY_OTHERS)
    return NoCards(title, _ORDER_FOR_SLOTS if paid.slots else _ORDER_FIRST)


_ORDERED_BY_OTHERS = (
    "Смарт-карты заказывает владелец или администратор. После доставки они появятся здесь."
)
_ORDER_FOR_SLOTS = (
    "Закажите смарт-карты. Когда они придут, вставьте их в кассы, отметьте в разделе «Выбрать карты» и нажмите "
    "«Активировать». Если заказ уже оформлен, карты появятся здесь после доставки."
)
_ORDER_FIRST = (
    "Закажите смарт-карты: они придут готовыми к работе, вставить их в кассы можно самому. "
    "Чтобы они заработали, понадобится подписка."
)


def _filters(groups: Sequence[Group], wanted: CardFilter) -> tuple[FilterLink, ...]:
    filters = [
        FilterLink(title, state, card_groups.total(groups, HAS_STATE[state]), state == wanted.state)
        for state, title in _STATES.items()
    ]
    return tuple(chip for chip in filters if chip.count or chip.current)


@dataclass(frozen=True)
class _Rows:
    """What all rows of a page are made with."""

    role: Role
    zone: ZoneInfo
    at: datetime
    ticked: frozenset[int] | None

    def row(self, card: SmartCard, *, shows_shop: bool = False) -> CardRow:
        """The row of a card that came through `card_page`."""
        facts = queries.facts_of(card, self.at)
        return CardRow(
            name=display_format.name_of(card),
            pill=texts.pill(facts),
            payment=payment.payment_of(card, self.at),
            button=self._button(card, facts),
            note=switch_conditions.held_back(card, self.zone, self.at) if facts.held_back else "",
            ticked=None if self.ticked is None else card.pk in self.ticked,
            shows_shop=shows_shop,
        )

    def _button(self, card: SmartCard, facts: CardFacts) -> ActionButton | None:
        button = next(iter(actions.action_buttons(facts, self.role)), None)
        if button is None or button.action is not CardAction.ACTIVATE:
            return button
        costs = switch_conditions.activation_terms(card, self.zone, self.at).asks_first
        return replace(button, costs=costs)


def _by_shop(page: CardPage, sort: Sort, rows: _Rows) -> tuple[ShopGroup, ...]:
    if sort is not Sort.SHOP:
        cards = tuple(rows.row(card, shows_shop=True) for card in page.cards)
        return (ShopGroup("", cards),) if cards else ()
    before = _shop_of(page.ahead) if page.ahead else None
    return tuple(
        ShopGroup(title, tuple(map(rows.row, cards)), shop, continued=(title, shop) == before)
        for (title, shop), cards in groupby(page.cards, key=_shop_of)
    )


def _shop_of(card: SmartCard) -> tuple[str, int | None]:
    """The title over the card, and the number of its shop."""
    if card.terminal is None:
        return "Без кассы", None
    shop = card.terminal.shop
    return (shop.name, shop.pk) if shop else ("Без магазина", None)
