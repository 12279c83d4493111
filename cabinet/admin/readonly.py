"""Bases and parts of admin pages: read-only rows, filters, formats."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.html import format_html
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
    """Filter by an empty or filled field, with labels that say what this means."""

    labels: tuple[str, str] = ("пусто", "не пусто")

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Django's, with our labels and its counts."""
        everything, *two = super().choices(changelist)
        yield everything
        for label, choice in zip(self.labels, two, strict=True):
            count = str(choice["display"]).partition(" (")[2]
            yield choice | {"display": f"{label} ({count}" if count else label}


def presence(empty: str, filled: str) -> type[PresenceFilter]:
    """The filter class with these labels for rows where the field is empty and filled."""
    return type("Presence", (PresenceFilter,), {"labels": (empty, filled)})


class ChoiceFilter(admin.SimpleListFilter):
    """Filter on the field `parameter_name` by the values that `lookups` gives.

    Django's own filter would show the stored codes, and read the whole table to find them.
    """

    parameter_name: str

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        """All rows where nothing is chosen."""
        return queryset.filter(**{self.parameter_name: self.value()}) if self.value() else queryset


class ReadOnlyInline(admin.TabularInline):  # type: ignore[type-arg]
    """Related rows, read-only."""

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


def link(text: object, url: str) -> str:
    """The text as a link."""
    return format_html('<a href="{}">{}</a>', url, text)


def changed_labels(form: ModelForm[Any]) -> str:
    """«ИНН, телефон»: labels of the changed fields."""
    labels = (form.fields[name].label or name for name in form.changed_data if name in form.fields)
    return ", ".join(str(label) for label in labels)
