"""Rows that staff read and nobody edits by hand."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.timezone import localtime


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Lists and pages without any way to write."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class PresenceFilter(admin.EmptyFieldListFilter):
    """Rows with the field empty or filled, in words that say what this means."""

    words: tuple[str, str] = ("пусто", "не пусто")

    def choices(self, changelist: Any) -> Iterator[Any]:
        anything, *two = super().choices(changelist)
        yield anything
        for word, choice in zip(self.words, two, strict=True):
            count = str(choice["display"]).partition(" (")[2]
            yield choice | {"display": f"{word} ({count}" if count else word}


def presence(empty: str, filled: str) -> type[PresenceFilter]:
    """The filter that calls rows with the field empty so, and the others so."""
    return type("Presence", (PresenceFilter,), {"words": (empty, filled)})


class WordFilter(admin.SimpleListFilter):
    """Rows whose field `parameter_name` has one of the words of `lookups`.

    Django's own filter would show the words as they are kept, and read the whole table for them.
    """

    parameter_name: str

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        return queryset.filter(**{self.parameter_name: self.value()}) if self.value() else queryset


class ReadOnlyInline(admin.TabularInline):  # type: ignore[type-arg]
    """Rows of a row, to be looked at."""

    extra = 0
    can_delete = False
    template = "admin/look_only_inline.html"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def to_the_second(at: datetime) -> str:
    """«22.11.2026 10:42:07» in the zone of the page."""
    return f"{localtime(at):%d.%m.%Y %H:%M:%S}"


def changed_labels(form: ModelForm[Any]) -> str:
    """«ИНН, телефон»: what was typed anew, in the words of the form."""
    labels = (form.fields[name].label or name for name in form.changed_data if name in form.fields)
    return ", ".join(str(label) for label in labels)
