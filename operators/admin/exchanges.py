"""The log of exchanges for staff: to be looked at only."""

from django.contrib import admin
from django.db.models import Q
from django.urls import reverse
from django.utils.html import format_html

from cabinet.admin.readonly import to_the_second
from operators.admin.log_admin import LogAdmin, digits_in, is_iccid
from operators.models import Exchange


@admin.register(Exchange)
class ExchangeAdmin(LogAdmin):
    """Found by the whole ICCID or by the number of a command."""

    heading = "Обмены с операторами"
    list_display = ("when", "account", "kind", "result", "card", "command", "status", "took")
    list_filter = ("account", "kind", "result", "at")
    search_help_text = "ICCID целиком или номер команды; хранится 30 дней"
    ordering = ("-at", "-pk")
    readonly_fields = ("when", "card", "command", "took", "shown_request", "shown_reply")
    fields = ("when", "account", "kind", "card", "command", "method", "url", "status", "took", "result",
              "shown_request", "shown_reply")  # fmt: skip

    def found_by(self, term: str) -> Q:
        """By a whole ICCID, or by a command's number."""
        digits = digits_in(term)
        if is_iccid(digits):
            return Q(iccid=digits)
        return Q(command_id=int(digits)) if digits else Q(pk=None)

    @admin.display(description="когда", ordering="at")
    def when(self, exchange: Exchange) -> str:
        """When it began, to the second."""
        return to_the_second(exchange.at)

    @admin.display(description="команда")
    def command(self, exchange: Exchange) -> str:
        """A link to the command."""
        if exchange.command_id is None:
            return "—"
        url = reverse("admin:smartcards_command_change", args=[exchange.command_id])
        return format_html('<a href="{}">№ {}</a>', url, exchange.command_id)

    @admin.display(description="длительность")
    def took(self, exchange: Exchange) -> str:
        """Seconds."""
        if exchange.seconds is None:
            return "—"
        return f"{exchange.seconds:.2f}".replace(".", ",") + "\u00a0с"

    @admin.display(description="запрос")
    def shown_request(self, exchange: Exchange) -> str:
        """What was sent, masked."""
        return format_html('<pre class="exchange-text">{}</pre>', exchange.request or "—")

    @admin.display(description="ответ")
    def shown_reply(self, exchange: Exchange) -> str:
        """What came back, masked."""
        return format_html('<pre class="exchange-text">{}</pre>', exchange.reply or "—")
