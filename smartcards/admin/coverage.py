"""Which cards are paid by which subscription: to be looked at only."""

from django.contrib import admin

from cabinet.admin.readonly import ReadOnlyAdmin, presence
from smartcards.models import Coverage


@admin.register(Coverage)
class CoverageAdmin(ReadOnlyAdmin):
    """Found by ICCID, company or ИНН."""

    list_display = ("card", "subscription", "since", "till")
    list_filter = (("till", presence("действует", "кончилось")), "card__account")
    list_select_related = (
        "card__account",
        "subscription__merchant",
        "subscription__module",
        "subscription__tariff",
    )
    search_fields = ("=card__iccid", "card__merchant__name", "=card__merchant__inn")
    search_help_text = "ICCID, название клиента, ИНН"
    ordering = ("-since", "-pk")
    show_full_result_count = False
