"""Russian formatting in templates: `{% load ru %}`.

Instants are shown in Django's current time zone, which is the merchant's on the merchant's pages.
Every filter gives an empty string for an absent value, so `|default:"не указано"` works.
"""

import re
from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Any

from django import template
from django.template import Context
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from cabinet.formatting import ru_format

register = template.Library()
# Not the first word of a heading: nothing stands before it on its line.
_HYPHENATED = re.compile(r"(смарт-карт\w*)")
_WHOLE = '<span class="nowrap">{}</span>'


@register.simple_tag
def plural(number: int, one: str, few: str, many: str) -> str:
    """`{% plural n "карта" "карты" "карт" %}`: the form alone."""
    return ru_format.plural(number, one, few, many)


@register.simple_tag
def counted(number: int, one: str, few: str, many: str) -> str:
    """`{% counted n "касса" "кассы" "касс" %}`: number and form."""
    return ru_format.counted(number, one, few, many)


def _or_empty(shown: Callable[[Any], str]) -> Callable[[Any], str]:
    """The filter of a function of `ru_format`: an absent value gives an empty string."""
    return lambda value: "" if value is None else shown(value)


# `{{ n|cards }}`: «2 смарт-карты»; `{{ kopecks|money }}`: «1 234,50 ₽»; `{{ length|duration }}`: «1 час 30 минут».
_FILTERS: tuple[Callable[[Any], str], ...] = (
    *(ru_format.cards, ru_format.days, ru_format.months, ru_format.money, ru_format.duration),
    *(ru_format.phone, ru_format.phone_link, ru_format.grouped),
)
for function in _FILTERS:
    register.filter(function.__name__, _or_empty(function))
# `{{ day_or_instant|day }}`: «31 января 2027 г.»; `|day_short`: «31 января».
_DAY_FILTERS: tuple[Callable[[Any], str], ...] = (ru_format.day, ru_format.day_short)
for function in _DAY_FILTERS:
    register.filter(function.__name__, _or_empty(function), expects_localtime=True)


@register.filter
def moment_full(at: datetime | None) -> str:
    """`{{ at|moment_full }}`: «22 ноября 2026 г., 10:42»."""
    return "" if at is None else ru_format.moment_full(at, timezone.get_current_timezone())


@register.filter
def clock_time(at: datetime | None) -> str:
    """`{{ at|clock_time }}`: «10:42»."""
    return "" if at is None else ru_format.clock_time(at, timezone.get_current_timezone())


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
    return ru_format.moment(at, shown_in, now) if now else ru_format.moment_full(at, shown_in)


@register.simple_tag(takes_context=True)
def day_near(context: Context | dict[str, Any], at: datetime | None) -> str:
    """`{% day_near until %}`: «31 января» of the page's year, «31 января 2027 г.» in one piece of another."""
    if at is None:
        return ""
    zone = timezone.get_current_timezone()
    local, now = at.astimezone(zone), context.get("now")
    if now and local.year == now.astimezone(zone).year:
        return ru_format.day_short(local)
    return format_html(_WHOLE, ru_format.day(local))


@register.simple_tag
def period(since: datetime, till: datetime, zone: tzinfo | None = None) -> str:
    """`{% period since till %}`, half-open: «15 января — 14 февраля 2027 г.»."""
    return ru_format.period(since, till, zone or timezone.get_current_timezone())


@register.filter
def no_hyphen_break(text: str | None) -> SafeString:
    """`<h1>{{ title|no_hyphen_break }}</h1>`: no line break after «смарт-»; the text stays the same."""
    parts = _HYPHENATED.split(text or "")
    # `split` puts the matches at odd indexes.
    shown = [format_html(_WHOLE, part) if index % 2 else part for index, part in enumerate(parts)]
    return format_html_join("", "{}", ((part,) for part in shown))
