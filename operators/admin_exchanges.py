"""The log of exchanges for staff: to be looked at only."""

from functools import cached_property
from typing import Any, cast

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from cabinet.admin.readonly import ReadOnlyAdmin
from operators.exchanges import UNHEARD
from operators.models import CALL_KINDS, Exchange

_WHOLE_ICCID = 17
_NOT_SENT = "not_sent_"
_RESULTS = {
    "ok": "принято",
    "http_3xx": "переадресация",
    "http_4xx": "отказ",
    "http_5xx": "сбой",
    "lost_reply": "ответ потерян",
    UNHEARD: "ответ не записан вовремя",
    _NOT_SENT: "не отправлено",
}


class CappedPaginator(Paginator[Any]):
    """Counts no further than anybody leafs: the log has millions of rows."""

    FARTHEST = 10_000

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Exchange]", self.object_list)
        return rows.order_by()[: self.FARTHEST].count()


class KindFilter(admin.SimpleListFilter):
    """Known words: Django's own filter would read the whole log for them."""

    title = "зачем"
    parameter_name = "what_for"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        return list(CALL_KINDS.items())

    def queryset(self, request: Any, queryset: QuerySet[Exchange]) -> QuerySet[Exchange]:
        return queryset.filter(kind=self.value()) if self.value() in CALL_KINDS else queryset


class ResultFilter(admin.SimpleListFilter):
    """How the call ended, as the transport saw it."""

    title = "исход"
    parameter_name = "ended"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        return list(_RESULTS.items())

    def queryset(self, request: Any, queryset: QuerySet[Exchange]) -> QuerySet[Exchange]:
        chosen = self.value()
        return queryset.filter(result__startswith=chosen) if chosen in _RESULTS else queryset


@admin.register(Exchange)
class ExchangeAdmin(ReadOnlyAdmin):
    """Found by the whole ICCID or by the number of a command."""

    list_display = ("when", "account", "what_for", "ended", "card", "command", "status", "took")
    list_filter = ("account", KindFilter, ResultFilter, "at")
    list_select_related = ("account",)
    list_per_page = 50
    # Only makes the field of the search appear: Django's own search would pass the indexes by.
    search_fields = ("iccid",)
    search_help_text = "ICCID целиком или номер команды; хранится 30 дней"
    ordering = ("-at", "-pk")
    paginator = CappedPaginator
    show_full_result_count = False
    fields = (
        "when",
        "account",
        "what_for",
        "card",
        "command",
        "method",
        "url",
        "status",
        "took",
        "ended",
        "laid_request",
        "laid_reply",
    )
    readonly_fields = (
        "when",
        "what_for",
        "card",
        "command",
        "took",
        "ended",
        "laid_request",
        "laid_reply",
    )

    class Media:
        css = {"all": ["css/board.css"]}

    def changelist_view(self, request: Any, extra_context: dict[str, Any] | None = None) -> Any:
        title = {"title": "Обмены с операторами"}
        return super().changelist_view(request, title | (extra_context or {}))

    def get_search_results(
        self, request: Any, queryset: QuerySet[Exchange], search_term: str
    ) -> tuple[QuerySet[Exchange], bool]:
        digits = "".join(letter for letter in search_term if letter in "0123456789")
        if not search_term.strip():
            return queryset, False
        if not digits:
            return queryset.none(), False
        named = {"iccid": digits} if len(digits) >= _WHOLE_ICCID else {"command_id": int(digits)}
        return queryset.filter(**named), False

    @admin.display(description="когда", ordering="at")
    def when(self, exchange: Exchange) -> str:
        return f"{timezone.localtime(exchange.at):%d.%m.%Y %H:%M:%S}"

    @admin.display(description="зачем")
    def what_for(self, exchange: Exchange) -> str:
        return CALL_KINDS.get(exchange.kind, exchange.kind)

    @admin.display(description="смарт-карта")
    def card(self, exchange: Exchange) -> str:
        if not exchange.iccid:
            return "—"
        url = f"{reverse('admin:smartcards_smartcard_changelist')}?q={exchange.iccid}"
        return format_html('<a href="{}">{}</a>', url, exchange.iccid)

    @admin.display(description="команда")
    def command(self, exchange: Exchange) -> str:
        if exchange.command_id is None:
            return "—"
        url = reverse("admin:smartcards_command_change", args=[exchange.command_id])
        return format_html('<a href="{}">№ {}</a>', url, exchange.command_id)

    @admin.display(description="длительность")
    def took(self, exchange: Exchange) -> str:
        if exchange.seconds is None:
            return "—"
        return f"{exchange.seconds:.2f}".replace(".", ",") + "\u00a0с"

    @admin.display(description="исход")
    def ended(self, exchange: Exchange) -> str:
        if exchange.result.startswith(_NOT_SENT):
            return f"{_RESULTS[_NOT_SENT]}: {exchange.result.removeprefix(_NOT_SENT)}"
        return _RESULTS.get(exchange.result, exchange.result)

    @admin.display(description="запрос")
    def laid_request(self, exchange: Exchange) -> str:
        return format_html('<pre class="exchange-text">{}</pre>', exchange.request or "—")

    @admin.display(description="ответ")
    def laid_reply(self, exchange: Exchange) -> str:
        return format_html('<pre class="exchange-text">{}</pre>', exchange.reply or "—")
