"""Events that operators sent us, for staff: to be looked at only; and who is asked to send them."""

import json
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_POST, require_safe

from cabinet import clock
from cabinet.admin.readonly import ReadOnlyAdmin
from cabinet.admin.staff import actor_of
from cabinet.errors import Refused
from operators import subscribing
from operators.admin_exchanges import CappedPaginator
from operators.events import EventType, known_type
from operators.masking import Masker
from operators.models import Callback

_KINDS = {
    EventType.SERVICE: "состояние смарт-карты",
    EventType.MONITOR: "исход запроса",
}
_OTHER = "other"
_UNKNOWN = "незнакомый тип"
_WHOLE_ICCID = 17
_HUBS = "operators_callback_hubs"
# What may be pressed, by the button's name: the deed, and what is said when it is done.
_DEEDS = {
    "subscribe": (subscribing.subscribe, "«{account}»: подписка оформлена, события пойдут сами."),
    "unsubscribe": (subscribing.unsubscribe, "«{account}»: подписка снята."),
}


class EventFilter(admin.SimpleListFilter):
    """What the event tells: partners write its type in any case of letters."""

    title = "о чём"
    parameter_name = "about"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        return [*((kind.value, title) for kind, title in _KINDS.items()), (_OTHER, _UNKNOWN)]

    def queryset(self, request: Any, queryset: QuerySet[Callback]) -> QuerySet[Callback]:
        chosen = self.value() or ""
        if chosen == _OTHER:
            known = [Q(event_type__iexact=kind) for kind in EventType]
            return queryset.exclude(known[0] | known[1])
        return queryset.filter(event_type__iexact=chosen) if chosen else queryset


@admin.register(Callback)
class CallbackAdmin(ReadOnlyAdmin):
    """Found by the whole ICCID or by the operator's number of a request."""

    list_display = ("got", "account", "about", "outcome", "card", "request_id")
    list_filter = ("state", EventFilter, "account", "received_at")
    list_select_related = ("account",)
    list_per_page = 50
    # Only makes the field of the search appear: Django's own search would pass the indexes by.
    search_fields = ("iccid",)
    search_help_text = "ICCID или номер запроса целиком; хранится 30 дней"
    ordering = ("-received_at", "-pk")
    change_list_template = "admin/operators/callback/change_list.html"
    paginator = CappedPaginator
    show_full_result_count = False
    fields = (
        "got",
        "happened",
        "account",
        "about",
        "event_type",
        "event_id",
        "card",
        "request_id",
        "state",
        "note",
        "laid_payload",
    )
    readonly_fields = ("got", "happened", "about", "card", "laid_payload")

    class Media:
        css = {"all": ["css/board.css"]}

    def changelist_view(self, request: Any, extra_context: dict[str, Any] | None = None) -> Any:
        title = {"title": "Уведомления операторов"}
        return super().changelist_view(request, title | (extra_context or {}))

    def get_search_results(
        self, request: Any, queryset: QuerySet[Callback], search_term: str
    ) -> tuple[QuerySet[Callback], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        digits = "".join(letter for letter in term if letter in "0123456789")
        card = Q(iccid=digits) if len(digits) >= _WHOLE_ICCID else Q()
        return queryset.filter(Q(request_id=term) | card), False

    @admin.display(description="получено", ordering="received_at")
    def got(self, row: Callback) -> str:
        return f"{timezone.localtime(row.received_at):%d.%m.%Y %H:%M:%S}"

    @admin.display(description="время события", ordering="occurred_at")
    def happened(self, row: Callback) -> str:
        return f"{timezone.localtime(row.occurred_at):%d.%m.%Y %H:%M:%S}"

    @admin.display(description="о чём")
    def about(self, row: Callback) -> str:
        kind = known_type(row.event_type)
        return _KINDS[kind] if kind else f"{_UNKNOWN}: {row.event_type}"

    @admin.display(description="исход", ordering="state")
    def outcome(self, row: Callback) -> str:
        state = row.get_state_display()
        return format_html("{}<br>{}", f"{state}:", row.note) if row.note else state

    @admin.display(description="смарт-карта")
    def card(self, row: Callback) -> str:
        if not row.iccid:
            return "—"
        url = f"{reverse('admin:smartcards_smartcard_changelist')}?q={row.iccid}"
        return format_html('<a href="{}">{}</a>', url, row.iccid)

    @admin.display(description="содержание")
    def laid_payload(self, row: Callback) -> str:
        """Masked once more: what processing needs stands in fields of its own."""
        shown = json.dumps(Masker().value(row.payload), ensure_ascii=False, indent=2)
        return format_html('<pre class="exchange-text">{}</pre>', shown)

    # --- subscriptions at the operators -------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        urls = [
            path("hubs/", self.admin_site.admin_view(require_safe(self.hubs)), name=_HUBS),
            path(
                "hubs/<int:pk>/",
                self.admin_site.admin_view(require_POST(self.press)),
                name="operators_callback_hub",
            ),
        ]
        return [*urls, *super().get_urls()]

    def hubs(self, request: HttpRequest) -> HttpResponse:
        """Whom we have asked to send events, and the buttons that ask."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = self.admin_site.each_context(request) | {
            "title": "Подписки на уведомления",
            "opts": self.opts,
            "hubs": subscribing.hub_views(),
            "may_press": _may_press(request),
        }
        return TemplateResponse(request, "admin/operators/callback/hubs.html", context)

    def press(self, request: HttpRequest, pk: int) -> HttpResponse:
        """«Подписаться» and «Отписаться». No transaction is open."""
        pressed = next((name for name in _DEEDS if name in request.POST), None)
        if pressed is None or not _may_press(request):
            raise PermissionDenied
        account = get_object_or_404(subscribing.accounts_with_hub(), pk=pk)
        deed, done = _DEEDS[pressed]
        try:
            left = deed(account=account, by=actor_of(request), at=clock.now())
        except Refused as refusal:
            messages.error(request, f"«{account}»: {refusal.sentence}")
        else:
            messages.success(request, done.format(account=account))
            if left:
                messages.warning(request, left)
        return redirect(f"admin:{_HUBS}")


def _may_press(request: HttpRequest) -> bool:
    """Who keeps contracts may subscribe them."""
    return request.user.has_perm("operators.change_operatoraccount")
