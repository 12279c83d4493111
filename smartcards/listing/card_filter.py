"""Which cards a person means: what is typed and chosen above the list, kept in the address, and the cards it finds."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from functools import reduce
from itertools import groupby
from operator import and_
from typing import Self
from urllib.parse import urlencode

from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Lower, Replace

from cabinet.errors import Refused
from cabinet.formatting import plain_text
from cabinet.formatting.ru_format import sort_key
from cabinet.models import Merchant
from operators.models import OperatorAccount
from smartcards import rules
from smartcards.listing import card_groups
from smartcards.models import SmartCard
from smartcards.rules import CardFacts
from smartcards.states import CardState

MAX_LENGTH = 100
# Instead of a shop's number: cards without a terminal, and those whose terminal has no shop.
NO_SHOP = "none"
# The names in the address; shorter than the fields where it was so before.
_ADDRESS = {
    "text": "q",
    "state": "state",
    "shop": "shop",
    "operator": "operator",
    "payment": "payment",
}


class StateFilter(StrEnum):
    """What the list may be narrowed to by state; the value is in the address."""

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


class PaymentFilter(StrEnum):
    """What the list may be narrowed to by payment; the value is in the address."""

    ALL = ""
    PAID = "paid"
    ENDED = "ended"
    NOT_CHOSEN = "not_chosen"


HAS_STATE: dict[str, Callable[[CardFacts], bool]] = {
    StateFilter.ALL: lambda _facts: True,
    StateFilter.ATTENTION: rules.needs_merchant,
    StateFilter.WORKS: rules.is_in(CardState.ACTIVE),
    StateFilter.SWITCHING: rules.is_in(CardState.ACTIVATING, CardState.DEACTIVATING),
    StateFilter.NEW: rules.is_in(CardState.NEW),
    StateFilter.OFF: rules.is_in(CardState.INACTIVE),
    StateFilter.UNPAID: rules.lacks_payment,
    StateFilter.UNCLEAR: rules.is_in(CardState.UNCLEAR),
    StateFilter.HELD_BACK: rules.is_held_back,
    StateFilter.WITHDRAWN: lambda facts: bool(facts.withdrawn),
    StateFilter.RETIRED: rules.is_in(CardState.RETIRED),
}
HAS_PAYMENT: dict[str, Callable[[CardFacts], bool]] = {
    PaymentFilter.ALL: lambda _facts: True,
    PaymentFilter.PAID: lambda facts: facts.paid,
    PaymentFilter.ENDED: lambda facts: facts.covered and not facts.entitled,
    PaymentFilter.NOT_CHOSEN: lambda facts: not facts.covered,
}


@dataclass(frozen=True)
class CardFilter:
    """What is asked for, as in the address; an empty field asks for nothing.

    `shop` is its number or `NO_SHOP`, `operator` the name that the merchant sees.
    """

    text: str = ""
    state: str = ""
    shop: str = ""
    operator: str = ""
    payment: str = ""

    @classmethod
    def from_data(cls, data: Mapping[str, str]) -> Self:
        """The filter of an address or of the hidden fields of a form; what makes no sense is left out."""
        given = {name: _line(data.get(field, "")) for name, field in _ADDRESS.items()}
        number = given["shop"]
        known = {
            "state": given["state"] in HAS_STATE,
            "payment": given["payment"] in HAS_PAYMENT,
            "shop": number == NO_SHOP or (re.fullmatch("[0-9]{1,18}", number) is not None),
        }
        return cls(**{name: text if known.get(name, True) else "" for name, text in given.items()})

    def as_fields(self) -> tuple[tuple[str, str], ...]:
        """Names and values for hidden fields, only those that ask for something."""
        given = asdict(self)
        return tuple((field, given[name]) for name, field in _ADDRESS.items() if given[name])

    def as_query(self) -> str:
        """The same as a part of an address, without «?»; empty where everything is asked for."""
        return urlencode(self.as_fields())

    @property
    def judges_facts(self) -> bool:
        """Whether rules have to judge each card, beyond what is written on it."""
        return bool(self.state or self.payment)

    def fits(self, facts: CardFacts) -> bool:
        """Whether a card with these facts has the state and the payment."""
        return HAS_STATE[self.state](facts) and HAS_PAYMENT[self.payment](facts)


def _line(text: str) -> str:
    try:
        line = plain_text.checked(text)
    except Refused:
        return ""
    return line if len(line) <= MAX_LENGTH else ""


def cards_matching(*, merchant: Merchant, wanted: CardFilter, at: datetime) -> QuerySet[SmartCard]:
    """The merchant's cards that the filter means, in no order, as rows that may be counted, changed or joined.

    One query more, over sets of facts, where a state or a payment is asked for.
    """
    rows = SmartCard.objects.of(merchant).filter(written(wanted))
    if not wanted.judges_facts:
        return rows
    chosen = [group for group in card_groups.groups(rows, at) if wanted.fits(group.facts)]
    found = card_groups.of_groups(rows, chosen, at)
    return SmartCard.objects.of(merchant).filter(pk__in=found.values("pk"))


def written(wanted: CardFilter) -> Q:
    """The part of the filter that needs no judgement: the text, the shop, the operator; empty where none is given."""
    found = matching(wanted.text)
    if wanted.shop:
        number = None if wanted.shop == NO_SHOP else int(wanted.shop)
        found &= Q(terminal__shop=number)
    if wanted.operator:
        found &= Q(account__title=wanted.operator)
    return found


def matching(text: str) -> Q:
    """Cards that have every word of the text somewhere.

    In the ICCID, the number, the IMEI, the terminal's serial number, the label, the terminal's, the shop's or
    the operator's name. Digits may be written in groups, a number as «8 (912) 345».
    """
    runs = groupby(sort_key(text).split(), key=lambda word: bool(_DIGITS.fullmatch(word)))
    return reduce(
        and_, (each for is_number, words in runs for each in _each(is_number, [*words])), Q()
    )


def _each(is_number: bool, words: list[str]) -> Iterator[Q]:
    if not is_number or not _digits_of("".join(words)):
        yield from (_named(word) for word in words)
    else:
        yield _numbered(words)


_DIGITS = re.compile(r"[0-9+().…-]+")
_SIGNS = re.compile(r"[+()…-]")
# From here on groups of digits are one number: fewer may also be several («2 0701»).
_ONE_NUMBER = 10
_SHORT = 2
_TRUNK = 4


def _digits_of(text: str) -> str:
    return re.sub("[^0-9]", "", text)


def _contains(text: str) -> Q:
    return Q(search_text__contains=text)


def _named(word: str) -> Q:
    folded = Replace(Lower(F("title")), Value("ё"), Value("е"))
    operators = OperatorAccount.objects.alias(key=folded).filter(key__contains=word)
    return _contains(word) | Q(account__in=operators.values("pk"))


def _numbered(words: list[str]) -> Q:
    """Groups of digits as one number, or each of them where they may be several."""
    digits = _digits_of("".join(words))
    found = _contains(digits) | _contains(" ".join(words))
    # «8 912…» is kept as 7912…: a line of its own in the text.
    if digits.startswith("8") and len(digits) >= _TRUNK:
        found |= _contains(f"\n7{digits[1:]}")
    if len(digits) >= _ONE_NUMBER or _SIGNS.search("".join(words)):
        return found
    each = reduce(and_, (_whole(word) if len(word) <= _SHORT else _named(word) for word in words))
    return each if len(digits) <= _SHORT else found | each


def _whole(number: str) -> Q:
    """«2» means «Касса 2» and neither «Касса 12» nor the hundreds of cards whose ICCID has a 2 somewhere."""
    return Q(list_key__contains=number.zfill(10))
