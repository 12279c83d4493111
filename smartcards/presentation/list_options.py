"""The fields above a list of cards, and what was asked for with them."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from cabinet.formatting import ru_format
from cabinet.models import Merchant, Shop
from smartcards.listing.card_filter import NO_SHOP, CardFilter, PaymentFilter
from smartcards.listing.card_pages import SIZES, PageQuery, Sort

# More of them make a list that nobody reads; a shop is found by its name then.
MOST_SHOPS = 100
_PAYMENTS = (
    (PaymentFilter.PAID, "Оплачены"),
    (PaymentFilter.ENDED, "Подписка закончилась"),
    (PaymentFilter.NOT_CHOSEN, "Не выбраны для оплаты"),
)
_SORTS = (
    (Sort.SHOP, "По магазинам и кассам"),
    (Sort.NUMBER, "По ICCID"),
    (Sort.NEWEST, "Сначала новые"),
)


@dataclass(frozen=True)
class ListQuery:
    """What the visitor asked for in the address: which cards, in what order, which page of them."""

    wanted: CardFilter = field(default_factory=CardFilter)
    page: PageQuery = field(default_factory=PageQuery)

    @property
    def address(self) -> dict[str, str]:
        """The same as a part of an address, without which page of the list it is."""
        found = dict(self.wanted.as_fields())
        if self.page.sort:
            found["sort"] = self.page.sort
        if self.page.size != SIZES[0]:
            found["size"] = str(self.page.size)
        return found

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """Hidden fields of a form that comes back to the same page of the same list."""
        places = (("after", self.page.after), ("before", self.page.before))
        asked = ((name, str(number)) for name, number in places if number)
        return (*self.address.items(), *asked)

    @property
    def narrowed(self) -> bool:
        """Whether less than everything was asked for."""
        return self.wanted != CardFilter()

    @property
    def refined(self) -> bool:
        """Whether a field beside the text was used."""
        return bool(self.page.sort) or self.wanted != CardFilter(
            self.wanted.text, self.wanted.state
        )


@dataclass(frozen=True)
class Option:
    """One choice of a field."""

    value: str
    title: str
    current: bool


@dataclass(frozen=True)
class Field:
    """A field with its choices; `everything` is the choice that asks for nothing, "" where there is none."""

    name: str
    label: str
    everything: str
    options: tuple[Option, ...]


def fields_above(
    merchant: Merchant, operators: Iterable[str], query: ListQuery
) -> tuple[Field, ...]:
    """The fields that offer a choice: one query. `operators` by the names that the merchant sees."""
    wanted, titles = query.wanted, sorted(set(operators), key=ru_format.natural_key)
    sizes = [(str(size), str(size)) for size in SIZES]
    fields = (
        _field("shop", "Магазин", "Все магазины", _shops(merchant), wanted.shop),
        _field(
            "operator",
            "Оператор",
            "Все операторы",
            zip(titles, titles, strict=True),
            wanted.operator,
        ),
        _field("payment", "Оплата", "Любая", _PAYMENTS, wanted.payment),
        _field("sort", "Порядок", "", _SORTS, query.page.sort),
        _field("size", "На странице", "", sizes, str(query.page.size)),
    )
    return tuple(one for one in fields if len(one.options) > 1)


def _field(
    name: str, label: str, everything: str, options: Iterable[tuple[str, str]], current: str
) -> Field:
    choices = (Option(value, title, value == current) for value, title in options)
    return Field(name, label, everything, tuple(choices))


def _shops(merchant: Merchant) -> list[tuple[str, str]]:
    """The merchant's shops in Russian order; none where there is too much of a choice."""
    rows = Shop.objects.of(merchant).filter(gone_at=None).values_list("pk", "name")
    found = sorted(rows[: MOST_SHOPS + 1], key=lambda row: ru_format.natural_key(row[1]))
    if not 1 < len(found) <= MOST_SHOPS:
        return []
    return [*((str(pk), name) for pk, name in found), (NO_SHOP, "Без магазина")]
