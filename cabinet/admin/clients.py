"""The client of rows that keep only a number of it: shown by name and phone, found by them."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import JSONObject, Upper
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from cabinet.accounts.queries import named_or_numbered
from cabinet.admin.actor import may
from cabinet.admin.readonly import link
from cabinet.formatting import ru_format
from cabinet.models import Merchant

# Who has this right talks to merchants.
SEES_PEOPLE = "cabinet.view_member"
_FACTS = {"pk": "pk", "name": "name", "user_id": "evotor_user_id"}


class ClientMixin:
    """The admin of rows that name their client by a field that is no foreign key.

    Rows get `client_facts`, None where there is no such client. The phone only for whoever talks to merchants.
    """

    # The lookup of a client by the row's own field, and that field.
    client_lookup: ClassVar[str] = "pk"
    client_field: ClassVar[str] = "merchant_id"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The rows with what `client` shows."""
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        own = Merchant.objects.filter(**{self.client_lookup: OuterRef(self.client_field)})
        facts = _FACTS | ({"phone": "phone"} if may(request, SEES_PEOPLE) else {})
        named = Subquery(own.values(facts=JSONObject(**facts))[:1])
        annotated: QuerySet[Any] = rows.annotate(client_facts=named)
        return annotated

    @admin.display(description="клиент")
    def client(self, row: Any) -> str:
        """Link to the client's page, with the phone below."""
        facts = row.client_facts
        if facts is None:
            return self.unknown_client(row)
        name = facts["name"] or facts["user_id"] or f"клиент {facts['pk']}"
        shown = link(name, reverse("admin:cabinet_merchant_whole", kwargs={"pk": facts["pk"]}))
        phone = facts.get("phone")
        if not phone:
            return shown
        return format_html('{}<br><span class="nowrap">{}</span>', shown, ru_format.phone(phone))

    def unknown_client(self, row: Any) -> str:
        """What is shown where there is no such client."""
        return "—"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """What Django finds, and the rows of the clients with that name, phone, ИНН or userId."""
        rows, twice = super().get_search_results(request, queryset, search_term)  # type: ignore[misc]
        if not search_term.strip():
            return rows, twice
        return rows | queryset.filter(self.found_by(search_term.strip())), twice

    def found_by(self, term: str) -> Q:
        """The rows that a typed name or number means besides what Django's search finds."""
        return Q(**{f"{self.client_field}__in": self.client_keys(term)})

    def client_keys(self, term: str) -> QuerySet[Any, Any]:
        """What the rows of the clients that are meant have in their field."""
        return Merchant.objects.filter(named_or_numbered(term)).values("pk")


class UserIdMixin(ClientMixin):
    """The same for rows that have the market's `user_id`; it stays where nobody has registered with it."""

    client_lookup = "evotor_user_id__iexact"
    client_field = "user_id"

    def unknown_client(self, row: Any) -> str:
        return row.user_id or "—"

    def client_keys(self, term: str) -> QuerySet[Any, Any]:
        """Their userIds, as the market's messages are stored."""
        found = Merchant.objects.filter(named_or_numbered(term), evotor_user_id__isnull=False)
        return found.values(stored=Upper("evotor_user_id"))
