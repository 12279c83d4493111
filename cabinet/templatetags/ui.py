"""Components that need more than an include: `{% load ui %}`."""

from collections.abc import Sequence
from typing import Any

from django import template
from django.forms import BoundField, CheckboxInput, CheckboxSelectMultiple, RadioSelect
from django.template import Context
from django.utils.html import format_html

from cabinet.accounts.stale_forms import FOR_COMPANY
from cabinet.formatting import ru_format

register = template.Library()


# What a list shows fifty times is written here: a template for each of them takes half of the page's time.


@register.simple_tag
def pill(status: ru_format.Pill) -> str:
    """`{% pill status %}`: a coloured word with a shape.

    Raises ValueError on a tone the style sheet does not know.
    """
    tone = ru_format.Tone(status.tone)
    return format_html('<span class="pill pill-{}">{}</span>', tone, status.text)


_BUTTON = (
    '<span class="action"><button class="button button-{}" type="submit"{}{}>{}</button></span>'
)
_LINK = '<span class="action"><a class="button button-{}" href="{}"{}>{}</a></span>'
_DISABLED = (
    '<span class="action"><button class="button button-{}" type="button" disabled>{}</button>'
    ' <span class="reason">{}</span></span>'
)


@register.simple_tag
def button(text: str, **look: str) -> str:
    """`{% button "Найти" variant="secondary" %}`; `ui/button.html` names what else it may be given.

    With `url` it is a link, with `reason` it is disabled and says why, otherwise it submits its form.
    """
    variant = look.get("variant") or "primary"
    if reason := look.get("reason"):
        return format_html(_DISABLED, variant, text, reason)
    if url := look.get("url"):
        target = _attributes(' target="{}" rel="noopener"', look.get("target"))
        return format_html(_LINK, variant, url, target, text)
    named = _attributes(' name="{}" value="{}"', look.get("name"), look.get("value", ""))
    return format_html(
        _BUTTON, variant, named, _attributes(' form="{}"', look.get("form_id")), text
    )


def _attributes(shape: str, first: str | None, *others: str | None) -> str:
    """The attributes with their values; nothing where the first has none."""
    return format_html(shape, first, *others) if first else ""


_ACTION = '<form class="action" method="post" action="{}"{}>{}{}{}</form>'
_CSRF = '<input type="hidden" name="csrfmiddlewaretoken" value="{}">'


@register.simple_tag(takes_context=True)
def action(context: Context, text: str, url: str, **look: str) -> str:
    """`{% action "Активировать" url %}`: a form of one button, which posts; `ui/action.html` names what
    else it may be given.
    """
    shown = button(text, **look)
    if look.get("reason"):
        return shown
    target = _attributes(' target="{}"', look.get("target"))
    token = _attributes(_CSRF, context.get("csrf_token"))
    return format_html(_ACTION, url, target, token, company_field(context), shown)


@register.simple_tag
def iccid(groups: Sequence[str]) -> str:
    """`{% iccid card_name.groups %}`: the groups of digits, the last four apart and stronger."""
    first = " ".join(groups[:-1])
    return format_html('<span class="number iccid">{} <b>{}</b></span>', first, groups[-1])


@register.simple_tag(takes_context=True)
def company_field(context: Context) -> str:
    """`{% company_field %}` in every form of a company: which one it was opened for; nothing without a company.

    `accounts.access.merchant_page` refuses a form of another company than the one that is open.
    """
    merchant = context.get("merchant")
    if merchant is None:
        return ""
    return format_html('<input type="hidden" name="{}" value="{}">', FOR_COMPANY, merchant.pk)


@register.inclusion_tag("ui/copyable.html")
def iccid_copy(iccid: str) -> dict[str, Any]:
    """`{% iccid_copy card.iccid %}`: fours apart on screen, one whole number when copied."""
    return {"groups": ru_format.iccid_groups(iccid), "whole": "".join(iccid.split())}


@register.filter
def field_kind(bound: BoundField) -> str:
    """How `ui/field.html` lays a form field out: hidden, check, choices or line."""
    if bound.is_hidden:
        return "hidden"
    widget = bound.field.widget
    if isinstance(widget, RadioSelect | CheckboxSelectMultiple):
        return "choices"
    return "check" if isinstance(widget, CheckboxInput) else "line"


@register.filter
def note_tone(level_tag: str) -> str:
    """The look of a Django message: info, success, warning or error; debug is info."""
    return "info" if level_tag in {"", "debug"} else level_tag
