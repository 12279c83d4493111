"""What staff type into the search of cards and commands."""

import re

from django.db.models import Q, QuerySet

from cabinet import phones
from cabinet.models import Member, Merchant

# Fewer digits would match half of the cards.
_FEWEST_DIGITS = 4
_WHOLE_ICCID = 17


def cards_matching(text: str, *, at: str = "") -> Q:
    """Cards by ICCID or its part, number, userId, ИНН, ОГРН, name or phone of the company or its people.

    `at` leads from the searched rows to the card: «card__» for commands.
    """
    words = text.strip()
    digits = re.sub(r"\D", "", words)
    if _is_whole_iccid(words, digits):
        return Q(**{f"{at}iccid__startswith": digits})
    found = Q(**{f"{at}merchant__in": _merchants(words, digits)})
    if len(digits) >= _FEWEST_DIGITS:
        found |= Q(**{f"{at}iccid__contains": digits}) | Q(**{f"{at}msisdn": _phone(words, digits)})
    return found


def _is_whole_iccid(words: str, digits: str) -> bool:
    """Enough digits for one, printed in groups or not; a userId of the market is no ICCID."""
    looks = re.fullmatch(r"[\d\s-]+[FfФф]?", words) and not re.fullmatch(r"\d\d-\d{15}", words)
    return bool(looks) and len(digits) >= _WHOLE_ICCID


def _merchants(words: str, digits: str) -> QuerySet[Merchant]:
    found = Q(name__icontains=words) | Q(evotor_user_id=words)
    if len(digits) >= _FEWEST_DIGITS:
        phone = _phone(words, digits)
        people = Member.objects.filter(user__phone=phone).values("merchant_id")
        found |= Q(inn=digits) | Q(ogrn=digits) | Q(phone=phone) | Q(pk__in=people)
    return Merchant.objects.filter(found)


def _phone(words: str, digits: str) -> str:
    return phones.e164(words) or digits
