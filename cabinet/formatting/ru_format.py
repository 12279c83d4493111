"""Russian formats: plurals, money, days, times, durations, telephone and card numbers.

Pure functions: no clock, no settings. Money is integer kopecks, instants are aware and are shown in the given
zone, days are calendar days of the merchant. Parts that belong together are joined by a non-breaking space.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

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
MONTH_NAMES = (
    "январь",
    "февраль",
    "март",
    "апрель",
    "май",
    "июнь",
    "июль",
    "август",
    "сентябрь",
    "октябрь",
    "ноябрь",
    "декабрь",
)
NEAR_DAYS = {-1: "вчера", 0: "сегодня", 1: "завтра"}


class Tone(StrEnum):
    """What a status means for the reader; each has its own colour and shape."""

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
    """A number with its noun: «21 касса»."""
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


def money(kopecks: int) -> str:
    """A sum given in kopecks: «1 234,50 ₽», whole rubles as «1 234 ₽»."""
    rubles, rest = divmod(abs(kopecks), 100)
    sign = MINUS if kopecks < 0 else ""
    fraction = f",{rest:02}" if rest else ""
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


def month(value: date) -> str:
    """«январь 2027 г.»."""
    return f"{MONTH_NAMES[value.month - 1]} {value.year}{NBSP}г."


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
    """A half-open interval as the days in the zone on which it begins and ends.

    The end is the day that «до …» names too, also where it is the very beginning of that day.
    """
    return day_range(since.astimezone(zone).date(), till.astimezone(zone).date())


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
    named = near or (day_short(local) if local.year == today.year else day(local))
    return f"{named} в{NBSP}{clock_time(at, zone)}"


def by_then(at: datetime, zone: tzinfo, now: datetime) -> str:
    """What stands after «до», «с» and «не раньше»: «12:40» of today, «23 ноября, 12:40» of another day."""
    local, hour = at.astimezone(zone).date(), clock_time(at, zone)
    return hour if local == now.astimezone(zone).date() else f"{day_short(local)}, {hour}"


HOME = "МСК"
_MOSCOW = ZoneInfo("Europe/Moscow")


def zone_name(zone: tzinfo, at: datetime) -> str:
    """«МСК», «МСК+7»: how a time zone is named in Russia."""
    ahead = _offset(at, zone) - _offset(at, _MOSCOW)
    hours, minutes = divmod(abs(ahead) // 60, 60)
    sign = MINUS if ahead < 0 else "+"
    return f"{HOME}{sign}{hours}{f':{minutes:02}' if minutes else ''}" if ahead else HOME


def _offset(at: datetime, zone: tzinfo) -> int:
    offset = at.astimezone(zone).utcoffset() or timedelta()
    return int(offset.total_seconds())


def moment_there(at: datetime, zone: tzinfo) -> str:
    """An instant for who may read it in another zone: «28 февраля, 15:56 по Москве», «…, 17:56 (МСК+2)»."""
    name = zone_name(zone, at)
    where = f"по{NBSP}Москве" if name == HOME else f"({name})"
    return f"{day_short(at.astimezone(zone).date())}, {clock_time(at, zone)}{NBSP}{where}"


# Durations

UNITS = (
    (86400, ("день", "дня", "дней")),
    (3600, ("час", "часа", "часов")),
    (60, ("минута", "минуты", "минут")),
    (1, ("секунда", "секунды", "секунд")),
)
# Smallest length that uses the unit, length of the unit, its genitive singular and plural forms.
ABOUT = (
    (22 * 3600, 86400, "суток", ("дня", "дней")),
    (55 * 60, 3600, "часа", ("часа", "часов")),
    (50, 60, "минуты", ("минуты", "минут")),
)


def duration(length: timedelta) -> str:
    """The two greatest units, the rest dropped: «3 дня», «1 час 30 минут», «45 секунд»."""
    left = max(0, int(length.total_seconds()))
    parts = []
    for seconds, forms in UNITS:
        number, left = divmod(left, seconds)
        if number:
            parts.append(counted(number, *forms))
        elif parts:
            break
    return " ".join(parts[:2]) or counted(0, *UNITS[-1][1])


def about(length: timedelta) -> str:
    """A rounded length: «меньше минуты», «около 2 минут», «около часа», «около 3 дней»."""
    seconds = length.total_seconds()
    for threshold, unit, alone, forms in ABOUT:
        if seconds >= threshold:
            number = int(seconds / unit + 0.5)
            return f"около{NBSP}{_genitive(number, alone, forms)}"
    return f"меньше{NBSP}минуты"


def _genitive(number: int, alone: str, forms: tuple[str, str]) -> str:
    one, many = forms
    return alone if number == 1 else counted(number, one, many, many)


# Telephone, card and device numbers


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
    """An ICCID in groups of four, as printed on the card; the last may be shorter."""
    bare = re.sub(r"\s", "", text)
    return tuple(bare[start : start + 4] for start in range(0, len(bare), 4))


# Order


def sort_key(text: str) -> str:
    """Sort key of Russian texts: case folded, ё as е, NFC, single spaces."""
    folded = unicodedata.normalize("NFC", text).casefold().replace("ё", "е")
    return " ".join(folded.split())


def natural_key(text: str) -> str:
    """The same for names with numbers: «Касса 2» comes before «Касса 10»."""
    return re.sub("[0-9]+", lambda found: found.group().zfill(10), sort_key(text))
