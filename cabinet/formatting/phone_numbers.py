"""Parsing of telephone numbers. Stored as E.164 without plus."""

import re

import phonenumbers
from django.conf import settings
from phonenumbers import PhoneNumber, PhoneNumberType

_MOBILE = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})


def e164(text: str) -> str | None:
    """«8 (912) 345-67-89» as «79123456789»; None where it is no valid number. Default country: Russia."""
    number = _parsed(text)
    return f"{number.country_code}{number.national_number}" if number else None


def mobile(text: str) -> str | None:
    """The same for a mobile number of the countries in SMS_COUNTRIES; otherwise None.

    Numbers of +7 are Russian or Kazakh: the country is told by the digits after it.
    """
    number = _parsed(text)
    is_mobile = number is not None and phonenumbers.number_type(number) in _MOBILE
    return e164(text) if is_mobile and not is_foreign(text) else None


def is_foreign(text: str) -> bool:
    """Whether it is a valid number of a country that SMS_COUNTRIES does not list."""
    number = _parsed(text)
    if number is None:
        return False
    return phonenumbers.region_code_for_number(number) not in settings.SMS_COUNTRIES


def masked(phone: str) -> str:
    """«+7912•••11» for logs and journals: enough to tell two apart, too little to call."""
    return f"+{phone[:4]}•••{phone[-2:]}"


def _parsed(text: str) -> PhoneNumber | None:
    digits = re.sub(r"\D", "", text)
    with_country = len(digits) == 11 and digits.startswith("7")  # as we store it ourselves
    try:
        number = phonenumbers.parse(f"+{digits}" if with_country else text, "RU")
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_valid_number(number) else None
