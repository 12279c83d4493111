"""How the cabinet says things in Russian: plurals, money, days, times, numbers.

Pure functions: no clock, no settings. Money is integer kopecks, instants are aware and are shown in
the zone that is given, days are calendar days of the merchant. What must not be torn apart at the
end of a line is joined by a non-breaking space.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from enum import StrEnum

import phonenumbers

NBSP = "\u00a0"
MINUS = "\u2212"
DASH = "\u2014"
RANGE = "\u2013"

MONTHS = (
    "января",
    "февраля",
    "марта",
    "апреля",
    "мая",
    "июня",
    "июля",
    "августа",
    "сентября",
    "октября",
    "ноября",
    "декабря",
)
NEAR_DAYS = {-1: "вчера", 0: "сегодня", 1: "завтра"}


class Tone(StrEnum):
    """The mood of a status; each has its own colour and its own shape."""

    WORKS = "works"
    PROGRESS = "progress"
    OFF = "off"
    ATTENTION = "attention"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Pill:
    """A status as it is shown: a short Russian text and its tone."""

    tone: Tone
    text: str


# Counts


def plural(number: int | float | Decimal, one: str, few: str, many: str) -> str:
    """The form of a noun after the number: 1 карта, 2 карты, 5 карт; fractions take the second."""
    if number != int(number):
        return few
    last_two = abs(int(number)) % 100
    last = last_two % 10
    if last == 1 and last_two != 11:
        return one
    if 2 <= last <= 4 and not 12 <= last_two <= 14:
        return few
    return many


def grouped(number: int) -> str:
    """A whole number with its thousands apart and a true minus: «−1 234»."""
    digits = f"{abs(number):,}".replace(",", NBSP)
    return f"{MINUS}{digits}" if number < 0 else digits


def counted(number: int, one: str, few: str, many: str) -> str:
    """A number with its noun, never torn apart: «21 касса»."""
    return f"{grouped(number)}{NBSP}{plural(number, one, few, many)}"


def cards(number: int) -> str:
    """«2 смарт-карты»."""
    return counted(number, "смарт-карта", "смарт-карты", "смарт-карт")


def days(number: int) -> str:
    """«3 дня»."""
    return counted(number, "день", "дня", "дней")


def months(number: int) -> str:
    """«12 месяцев»."""
    return counted(number, "месяц", "месяца", "месяцев")


# Money


def money(kopecks: int, *, always_kopecks: bool = False) -> str:
    """A sum given in kopecks: «1 234,50 ₽», whole rubles as «1 234 ₽» unless `always_kopecks`."""
    rubles, rest = divmod(abs(kopecks), 100)
    sign = MINUS if kopecks < 0 else ""
    fraction = f",{rest:02}" if rest or always_kopecks else ""
    return f"{sign}{grouped(rubles)}{fraction}{NBSP}₽"


def kopecks(text: str) -> int:
    """The sum a person typed or `money` wrote, in kopecks: «1 234,5», «−1 234.50 ₽», «1234».

    Raises ValueError where the text is not a sum of rubles with at most two digits of kopecks.
    """
    bare = re.sub(r"\s|₽$", "", text.strip()).replace(MINUS, "-").replace(",", ".")
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]{1,2})?", bare):
        raise ValueError(f"not a sum of money: {text!r}")
    return int(Decimal(bare) * 100)


# Days and instants


def day_short(value: date) -> str:
    """«31 января»."""
    return f"{value.day}{NBSP}{MONTHS[value.month - 1]}"


def day(value: date) -> str:
    """«31 января 2027 г.»."""
    return f"{day_short(value)} {value.year}{NBSP}г."


def day_range(first: date, last: date) -> str:
    """Both days included: «1–31 января 2027 г.», «15 января — 14 февраля 2027 г.»."""
    if first == last:
        return day(first)
    if first.year != last.year:
        return f"{day(first)}{NBSP}{DASH} {day(last)}"
    if first.month != last.month:
        return f"{day_short(first)}{NBSP}{DASH} {day(last)}"
    return f"{first.day}{RANGE}{day(last)}"


def period(since: datetime, till: datetime, zone: tzinfo) -> str:
    """A half-open stretch of time as its first and last days in the zone, both included."""
    last = (till - timedelta(microseconds=1)).astimezone(zone).date()
    first = since.astimezone(zone).date()
    return day_range(first, max(first, last))


def clock_time(at: datetime, zone: tzinfo) -> str:
    """«10:42»."""
    return at.astimezone(zone).strftime("%H:%M")


def moment_full(at: datetime, zone: tzinfo) -> str:
    """«22 ноября 2026 г., 10:42»."""
    local = at.astimezone(zone)
    return f"{day(local)}, {clock_time(at, zone)}"


def moment(at: datetime, zone: tzinfo, now: datetime) -> str:
    """An instant seen from `now`: «сегодня в 10:42», «31 января в 10:42».

    An instant of another year has its year: «31 января 2026 г. в 10:42».
    """
    local, today = at.astimezone(zone).date(), now.astimezone(zone).date()
    near = NEAR_DAYS.get((local - today).days)
    said = near or (day_short(local) if local.year == today.year else day(local))
    return f"{said} в{NBSP}{clock_time(at, zone)}"


# Durations

UNITS = (
    (86400, ("день", "дня", "дней")),
    (3600, ("час", "часа", "часов")),
    (60, ("минута", "минуты", "минут")),
    (1, ("секунда", "секунды", "секунд")),
)
# From how many seconds on a unit is spoken of, its length, and its words after «около».
ABOUT = (
    (22 * 3600, 86400, "суток", ("дня", "дней")),
    (55 * 60, 3600, "часа", ("часа", "часов")),
    (50, 60, "минуты", ("минуты", "минут")),
)


def duration(length: timedelta) -> str:
    """The two greatest units, the rest dropped: «3 дня», «1 час 30 минут», «45 секунд»."""
    left = max(0, int(length.total_seconds()))
    said = []
    for seconds, forms in UNITS:
        number, left = divmod(left, seconds)
        if number:
            said.append(counted(number, *forms))
        elif said:
            break
    return " ".join(said[:2]) or counted(0, *UNITS[-1][1])


def about(length: timedelta) -> str:
    """A length one may promise: «меньше минуты», «около 2 минут», «около часа», «около 3 дней»."""
    seconds = length.total_seconds()
    for threshold, unit, alone, forms in ABOUT:
        if seconds >= threshold:
            number = int(seconds / unit + 0.5)
            return f"около{NBSP}{_about_words(number, alone, forms)}"
    return f"меньше{NBSP}минуты"


def _about_words(number: int, alone: str, forms: tuple[str, str]) -> str:
    one, many = forms
    return alone if number == 1 else counted(number, one, many, many)


# Numbers of people and things


def phone(text: str) -> str:
    """A telephone number in E.164, with or without plus, as «+7 912 345-67-89».

    What is not a number comes back as it is.
    """
    digits = re.sub(r"\D", "", text)
    if re.fullmatch(r"7\d{10}", digits):
        return f"+7{NBSP}{digits[1:4]}{NBSP}{digits[4:7]}-{digits[7:9]}-{digits[9:]}"
    try:
        parsed = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return text
    shown = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    return shown.replace(" ", NBSP)


def phone_link(text: str) -> str:
    """The same number for a `tel:` link: «+79123456789»; empty for what has no digits."""
    digits = re.sub(r"\D", "", text)
    return f"+{digits}" if digits else ""


def iccid_groups(text: str) -> tuple[str, ...]:
    """An ICCID cut into fours as it is printed on the plastic; the last may be shorter."""
    bare = re.sub(r"\s", "", text)
    return tuple(bare[start : start + 4] for start in range(0, len(bare), 4))


def iccid(text: str) -> str:
    """«8970 1011 2345 6789 019»."""
    return NBSP.join(iccid_groups(text))


def imei(text: str) -> str:
    """«35693803 564380 9»: type, serial, check digit (3GPP TS 23.003).

    Another length comes back as it is.
    """
    bare = re.sub(r"\D", "", text)
    if len(bare) not in {14, 15}:
        return text
    return NBSP.join(part for part in (bare[:8], bare[8:14], bare[14:]) if part)


# Order


def sort_key(text: str) -> str:
    """What Russian lists are sorted by: case folded, ё as е, composed letters, single spaces."""
    folded = unicodedata.normalize("NFC", text).casefold().replace("ё", "е")
    return " ".join(folded.split())
