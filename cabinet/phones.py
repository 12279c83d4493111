"""Telephone numbers as people type them, and as we keep them: E.164 without plus."""

import re

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType

_MOBILE = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})


def e164(text: str) -> str | None:
    """«8 (912) 345-67-89» as «79123456789»; None for what is no telephone number. Without a country it is Russia."""
    number = _parsed(text)
    return f"{number.country_code}{number.national_number}" if number else None


def mobile(text: str) -> str | None:
    """The same, where it is a mobile number of the +7 zone: the law asks for one to sign people in."""
    number = _parsed(text)
    if (
        number is None
        or number.country_code != 7
        or phonenumbers.number_type(number) not in _MOBILE
    ):
        return None
    return e164(text)


def _parsed(text: str) -> PhoneNumber | None:
    digits = re.sub(r"\D", "", text)
    with_country = len(digits) == 11 and digits.startswith("7")  # as we store it ourselves
    try:
        number = phonenumbers.parse(f"+{digits}" if with_country else text, "RU")
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_valid_number(number) else None
