"""The log of exchanges for staff: to be looked at only."""

from functools import cached_property
from typing import Any, cast

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.html import format_html

from cabinet.admin.readonly import ReadOnlyAdmin
from operators.models import Exchange
from operators.ports import CallKind

_KINDS = {
    CallKind.AUTH: "вход",
    CallKind.SUBMIT: "команда",
    CallKind.CHECK: "вопрос о команде",
    CallKind.READ: "чтение состояния",
}


class CappedPaginator(Paginator[Any]):
    """Counts no further than anybody leafs: the log has millions of rows."""

    FARTHEST = 10_000

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Exchange]", self.object_list)
        return rows.order_by()[: self.FARTHEST].count()


@admin.register(Exchange)
class ExchangeAdmin(ReadOnlyAdmin):
    """Found by the whole ICCID or by the number of a command."""

    list_display = (
        "at",
        "account",
        "what_for",
        "card",
        "command",
        "method",
        "url",
        "status",
        "took",
        "result",
    )
    list_filter = ("account", "kind", "result", "at")
    list_select_related = ("account",)
    list_per_page = 50
    search_fields = ("=iccid", "=command_id")
    search_help_text = "ICCID целиком или номер команды; хранится 30 дней"
    ordering = ("-at", "-pk")
    paginator = CappedPaginator
    show_full_result_count = False
    fields = (
        "at",
        "account",
        "what_for",
        "card",
        "command",
        "method",
        "url",
        "status",
        "took",
        "result",
        "laid_request",
        "laid_reply",
    )
    readonly_fields = ("what_for", "card", "command", "took", "laid_request", "laid_reply")

    @admin.display(description="зачем", ordering="kind")
    def what_for(self, exchange: Exchange) -> str:
        return _KINDS.get(CallKind(exchange.kind), exchange.kind)

    @admin.display(description="смарт-карта", ordering="iccid")
    def card(self, exchange: Exchange) -> str:
        if not exchange.iccid:
            return "—"
        url = f"{reverse('admin:smartcards_smartcard_changelist')}?q={exchange.iccid}"
        return format_html('<a href="{}">{}</a>', url, exchange.iccid)

    @admin.display(description="команда", ordering="command_id")
    def command(self, exchange: Exchange) -> str:
        if exchange.command_id is None:
            return "—"
        url = reverse("admin:smartcards_command_change", args=[exchange.command_id])
        return format_html('<a href="{}">№ {}</a>', url, exchange.command_id)

    @admin.display(description="длительность", ordering="seconds")
    def took(self, exchange: Exchange) -> str:
        return f"{exchange.seconds:.2f}".replace(".", ",") + "\u00a0с"

    @admin.display(description="запрос")
    def laid_request(self, exchange: Exchange) -> str:
        return format_html("<pre>{}</pre>", exchange.request)

    @admin.display(description="ответ")
    def laid_reply(self, exchange: Exchange) -> str:
        return format_html("<pre>{}</pre>", exchange.reply or "—")
