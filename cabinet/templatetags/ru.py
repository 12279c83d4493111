"""Russian formatting in templates: `{% load ru %}`.

Instants are shown in Django's current time zone, which is the merchant's on the merchant's pages.
Every filter gives an empty string for an absent value, so `|default:"не указано"` works.
"""

import re
from datetime import date, datetime, timedelta, tzinfo
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from cabinet import wording

register = template.Library()
# Not the first word of a heading: nothing stands before it on its line.
_HYPHENATED = re.compile(r"(смарт-карт\w*)")
_WHOLE = '<span class="nowrap">{}</span>'


@register.simple_tag
def plural(number: int, one: str, few: str, many: str) -> str:
    """`{% plural n "карта" "карты" "карт" %}`: the form alone."""
    return wording.plural(number, one, few, many)


@register.simple_tag
def counted(number: int, one: str, few: str, many: str) -> str:
    """`{% counted n "касса" "кассы" "касс" %}`: number and form."""
    return wording.counted(number, one, few, many)


@register.filter
def cards(number: int | None) -> str:
    """`{{ n|cards }}`: «2 смарт-карты»."""
    return "" if number is None else wording.cards(number)


@register.filter
def days(number: int | None) -> str:
    """`{{ n|days }}`: «3 дня»."""
    return "" if number is None else wording.days(number)


@register.filter
def months(number: int | None) -> str:
    """`{{ n|months }}`: «12 месяцев»."""
    return "" if number is None else wording.months(number)


@register.filter
def money(kopecks: int | None) -> str:
    """`{{ kopecks|money }}`: «1 234,50 ₽»."""
    return "" if kopecks is None else wording.money(kopecks)


@register.filter
def money_exact(kopecks: int | None) -> str:
    """`{{ kopecks|money_exact }}`: «1 234,00 ₽», for documents and columns of sums."""
    return "" if kopecks is None else wording.money(kopecks, always_kopecks=True)


@register.filter(expects_localtime=True)
def day(value: date | None) -> str:
    """`{{ day_or_instant|day }}`: «31 января 2027 г.»."""
    return "" if value is None else wording.day(value)


@register.filter(expects_localtime=True)
def day_short(value: date | None) -> str:
    """`{{ day_or_instant|day_short }}`: «31 января»."""
    return "" if value is None else wording.day_short(value)


@register.filter
def moment_full(at: datetime | None) -> str:
    """`{{ at|moment_full }}`: «22 ноября 2026 г., 10:42»."""
    return "" if at is None else wording.moment_full(at, timezone.get_current_timezone())


@register.filter
def clock_time(at: datetime | None) -> str:
    """`{{ at|clock_time }}`: «10:42»."""
    return "" if at is None else wording.clock_time(at, timezone.get_current_timezone())


@register.filter
def iso(at: datetime | None) -> str:
    """`{{ at|iso }}` for the `datetime` attribute of `<time>`."""
    return "" if at is None else at.isoformat(timespec="seconds")


@register.simple_tag(takes_context=True)
def moment(context: dict[str, Any], at: datetime | None, zone: tzinfo | None = None) -> str:
    """`{% moment at %}`: «сегодня в 10:42» from the page's `now`; without it the full date."""
    if at is None:
        return ""
    shown_in = zone or timezone.get_current_timezone()
    now = context.get("now")
    return wording.moment(at, shown_in, now) if now else wording.moment_full(at, shown_in)


@register.simple_tag
def day_range(first: date, last: date) -> str:
    """`{% day_range first last %}`, both days included: «1–31 января 2027 г.»."""
    return wording.day_range(first, last)


@register.simple_tag
def period(since: datetime, till: datetime, zone: tzinfo | None = None) -> str:
    """`{% period since till %}`, half-open: «15 января — 14 февраля 2027 г.»."""
    return wording.period(since, till, zone or timezone.get_current_timezone())


@register.filter
def duration(length: timedelta | None) -> str:
    """`{{ length|duration }}`: «1 час 30 минут»."""
    return "" if length is None else wording.duration(length)


@register.filter
def about(length: timedelta | None) -> str:
    """`{{ length|about }}`: «около 2 минут»."""
    return "" if length is None else wording.about(length)


@register.filter
def phone(text: str | None) -> str:
    """`{{ msisdn|phone }}`: «+7 912 345-67-89»."""
    return wording.phone(text or "")


@register.filter
def phone_link(text: str | None) -> str:
    """`<a href="tel:{{ msisdn|phone_link }}">`: «+79123456789»."""
    return wording.phone_link(text or "")


@register.filter
def iccid(text: str | None) -> str:
    """`{{ iccid|iccid }}`: «8970 1011 2345 6789 019»."""
    return wording.iccid(text or "")


@register.filter
def imei(text: str | None) -> str:
    """`{{ imei|imei }}`: «35693803 564380 9»."""
    return wording.imei(text or "")


@register.filter
def whole_words(text: str | None) -> SafeString:
    """`<h1>{{ title|whole_words }}</h1>`: a line never ends after «смарт-»; the letters stay as they are."""
    parts = _HYPHENATED.split(text or "")
    # What the pattern has found stands at the odd places.
    said = [format_html(_WHOLE, part) if place % 2 else part for place, part in enumerate(parts)]
    return format_html_join("", "{}", ((part,) for part in said))
