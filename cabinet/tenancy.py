"""Tenancy: rows of a merchant are read through `.of(merchant)`."""

from typing import Any, Self, TypeVar

from django.db import models

RowT = TypeVar("RowT", bound=models.Model)


class MerchantQuerySet(models.QuerySet[RowT, RowT]):
    """Rows that belong to a merchant."""

    def of(self, merchant: Any) -> Self:
        """Only this merchant's rows."""
        return self.filter(merchant=merchant)
