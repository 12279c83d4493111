"""What the two logs of operators have in common for staff: exchanges and events, millions of rows, read-only."""

from abc import abstractmethod
from functools import cached_property
from typing import Any, ClassVar, cast

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.urls import reverse
from django.utils.html import format_html

from cabinet.admin.readonly import ReadOnlyAdmin

_SHORTEST_ICCID = 17


class CappedPaginator(Paginator[Any]):
    """Counts no further than anybody leafs: the log has millions of rows."""

    FARTHEST = 10_000

    @cached_property
    def count(self) -> int:
        """The number of rows, at most `FARTHEST`."""
        rows = cast("QuerySet[Model]", self.object_list)
        return rows.order_by()[: self.FARTHEST].count()


class LogAdmin(ReadOnlyAdmin):
    """Rows about cards, found by whole numbers only, which have indexes."""

    heading: ClassVar[str]
    list_select_related = ("account",)
    list_per_page = 50
    # Only makes the field of the search appear: Django's own search would not use the indexes.
    search_fields = ("iccid",)
    paginator = CappedPaginator
    show_full_result_count = False

    class Media:
        css = {"all": ["css/board.css"]}

    def changelist_view(self, request: Any, extra_context: dict[str, Any] | None = None) -> Any:
        """The list under its own heading."""
        return super().changelist_view(request, {"title": self.heading} | (extra_context or {}))

    def get_search_results(
        self, request: Any, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """The rows that `found_by` names; no row comes twice."""
        term = search_term.strip()
        return queryset.filter(self.found_by(term)) if term else queryset, False

    @abstractmethod
    def found_by(self, term: str) -> Q:
        """The rows that a typed number names; the ICCID is tried first."""

    @admin.display(description="смарт-карта")
    def card(self, row: Any) -> str:
        """A link to the smart card."""
        if not row.iccid:
            return "—"
        url = f"{reverse('admin:smartcards_smartcard_changelist')}?q={row.iccid}"
        return format_html('<a href="{}">{}</a>', url, row.iccid)


def digits_in(term: str) -> str:
    """The ASCII digits of what was typed."""
    return "".join(character for character in term if character in "0123456789")


def is_iccid(digits: str) -> bool:
    """Whether so many digits are a whole ICCID."""
    return len(digits) >= _SHORTEST_ICCID
