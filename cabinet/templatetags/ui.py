"""Components that need more than an include: `{% load ui %}`."""

from typing import Any, Protocol

from django import template
from django.forms import BoundField, CheckboxInput, CheckboxSelectMultiple, RadioSelect

from cabinet import wording

register = template.Library()


class Status(Protocol):
    """What a pill is drawn from; `cabinet.wording.Pill` is one."""

    @property
    def tone(self) -> str: ...
    @property
    def text(self) -> str: ...


@register.inclusion_tag("ui/pill.html")
def pill(status: Status) -> dict[str, Any]:
    """`{% pill status %}`: a coloured word with a shape.

    Raises ValueError on a tone the style sheet does not know.
    """
    return {"tone": wording.Tone(status.tone), "text": status.text}


@register.inclusion_tag("ui/copyable.html")
def iccid_copy(iccid: str) -> dict[str, Any]:
    """`{% iccid_copy card.iccid %}`: fours apart on screen, one whole number when copied."""
    return {"groups": wording.iccid_groups(iccid), "whole": "".join(iccid.split())}


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
