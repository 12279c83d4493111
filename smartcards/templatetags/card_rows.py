"""The list of cards, fifty lines a page: `{% load card_rows %}`.

Written here and not in a template: fifty times thirty nodes and their includes took half of the page's time.
"""

from typing import Any
from zoneinfo import ZoneInfo

from django import template
from django.template import Context
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import mark_safe

from cabinet.formatting import ru_format
from cabinet.templatetags import ru, ui
from smartcards.presentation.actions import ActionButton
from smartcards.presentation.card_list import CardRow
from smartcards.presentation.display_format import CardName
from smartcards.presentation.payment import Payment
from subscriptions.payments import end_text

register = template.Library()
_ROW = '<tr><th scope="row">{}<a href="{}">{}</a>{}</th><td>{} {}</td><td>{}{}</td><td>{}</td><td>{}</td></tr>\n'
_BOX = '<input class="tick" type="checkbox" form="mass" name="card" value="{}" aria-label="{}"{}>'
_CHECKED = mark_safe(" checked")
_SUB = '<span class="sub">{}</span>'
_HINT = ' <span class="hint">{}</span>'


@register.simple_tag(takes_context=True)
def card_row(context: Context, row: CardRow) -> str:
    """`{% card_row row %}`: one line of the table."""
    name = row.name
    label = name.label if name.label != name.title else ""
    shop = name.shop if row.shows_shop else ""
    return format_html(
        _ROW,
        _box(row, shown=bool(context.get("mass_url"))),
        reverse("card", args=[name.pk]),
        name.title,
        _quieter(", ".join(filter(None, (shop, label)))),
        ui.iccid(name.groups),
        format_html(_SUB, _operator(name)),
        ui.pill(row.pill),
        _quieter(row.note),
        payment(context, row.payment),
        card_button(context, row.button, name.pk) if row.button else "",
    )


def _box(row: CardRow, *, shown: bool) -> str:
    if row.ticked is None or not shown:
        return ""
    return format_html(_BOX, row.name.pk, row.name.title, _CHECKED if row.ticked else "")


def _quieter(text: str) -> str:
    return format_html(_SUB, text) if text else ""


def _operator(name: CardName) -> str:
    if not name.msisdn:
        return name.operator
    # Neither its spaces nor a hyphen before a digit breaks a number at the end of a line.
    return f"{name.operator} · {ru_format.phone(name.msisdn)}"


@register.simple_tag(takes_context=True)
def payment(context: Context, found: Payment) -> str:
    """`{% payment view.payment %}`: is it paid, till when."""
    until = _until(context, found) if found.until else ""
    return format_html("{}{}{}", found.text, until, _quieter(found.hint))


def _until(context: Context, found: Payment) -> str:
    now = context.get("now")
    if found.until is None or not found.is_end or now is None:
        return format_html(" {}", ru.day_near(context, found.until))
    zone = ZoneInfo(str(timezone.get_current_timezone()))
    return format_html(" {}", end_text(found.until, zone, now))


@register.simple_tag(takes_context=True)
def card_button(context: Context, button: ActionButton, pk: int) -> str:
    """`{% card_button button pk %}`: it posts at once, or leads to the page that asks first; with what explains it."""
    address = reverse(button.route, args=[pk])
    look: dict[str, Any] = {"variant": button.variant, "reason": button.reason}
    if button.asks_first:
        shown = ui.button(button.action.label, url=address, **look)
    else:
        shown = ui.action(context, button.action.label, address, **look)
    return format_html("{}{}{}", shown, _help(button), _hint(button.hint))


def _help(button: ActionButton) -> str:
    link = button.help_link
    if link is None:
        return ""
    return _hint(format_html('<a href="{}">{}</a>', reverse(link.route), link.text))


def _hint(text: str) -> str:
    return format_html(_HINT, text) if text else ""
