"""What staff type into the search of cards and commands."""

import re
from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django_stubs_ext import StrOrPromise

from cabinet.accounts.queries import named_or_numbered
from cabinet.formatting import phone_numbers
from cabinet.models import Merchant
from operators.ports import iccid_spellings
from smartcards.models import SmartCard

# Fewer digits would match half of the cards.
_FEWEST_DIGITS = 4
_WHOLE_ICCID = 17
_FEW = 2000


def cards_matching(text: str, *, at: str = "") -> Q:
    """Cards by ICCID or its part, number, userId, ИНН, ОГРН, name or phone of the company or its people.

    `at` leads from the searched rows to the card: «card__» for commands. Two queries unless the ICCID is whole.
    """
    text = text.strip()
    digits = re.sub(r"\D", "", text)
    if _is_whole_iccid(text, digits):
        spelled = Q(**{f"{at}iccid__in": iccid_spellings(digits)})
        return spelled | Q(**{f"{at}iccid__startswith": digits})
    merchants = Merchant.objects.filter(named_or_numbered(text)).values_list("pk", flat=True)
    of_merchants = SmartCard.objects.filter(merchant__in=_named(merchants))
    # Each question is answered by its own index: one condition with «or» would read all cards.
    found = of_merchants.values_list("pk", flat=True)
    if len(digits) >= _FEWEST_DIGITS:
        phone = phone_numbers.e164(text) or digits
        by_iccid = SmartCard.objects.filter(iccid__contains=digits)
        by_number = SmartCard.objects.filter(msisdn=phone)
        others = [rows.values_list("pk", flat=True) for rows in (by_iccid, by_number)]
        found = found.union(*others)
    return Q(**{f"{at}pk__in": _named(found)})


def _named(numbers: QuerySet[Any, int]) -> list[int] | QuerySet[Any, int]:
    """A few are named one by one: to look for the newest hundred of them the database would read all cards."""
    few = list(numbers[: _FEW + 1])
    return few if len(few) <= _FEW else numbers


def _is_whole_iccid(text: str, digits: str) -> bool:
    """Enough digits for one, printed in groups or not; a userId of the market is no ICCID."""
    looks = re.fullmatch(r"[\d\s-]+[FfФф]?", text) and not re.fullmatch(r"\d\d-\d{15}", text)
    return bool(looks) and len(digits) >= _WHOLE_ICCID


class CardSearchMixin:
    """The search of an admin whose rows are cards or, by `card_path` («card__»), lead to one."""

    # Only makes the field of the search appear: what is searched is in `cards_matching`.
    search_fields: ClassVar[list[str] | tuple[str, ...]] = ("pk",)
    search_help_text: ClassVar[StrOrPromise | None] = (
        "ICCID или его часть, номер, userId, ИНН, ОГРН, название клиента, телефон его сотрудника"
    )
    show_full_result_count = False
    card_path = ""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Rows of the matching cards; all rows where nothing is typed."""
        if not search_term.strip():
            return queryset, False
        return queryset.filter(cards_matching(search_term, at=self.card_path)), False
