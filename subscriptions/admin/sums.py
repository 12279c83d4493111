"""Sums of the admin: kept in kopecks, shown in roubles."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import Model

from cabinet import wording


def roubles(field: str, title: str) -> Callable[[Any, Model], str]:
    """A method of an admin: the sum that the model keeps in kopecks, for people."""

    @admin.display(description=title, ordering=field)
    def shown(_admin: Any, row: Model) -> str:
        kopecks = getattr(row, field)
        return "—" if kopecks is None else wording.money(kopecks)

    return shown
