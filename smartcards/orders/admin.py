"""Orders for staff: a list, one order, a page for each step of it. Every step calls a service."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_http_methods

from cabinet import clock
from cabinet.admin.readonly import ReadOnlyAdmin
from cabinet.admin.staff import actor_of, may
from cabinet.errors import Refused
from smartcards.orders import queries, rules, services
from smartcards.orders.forms import NoFieldsForm, PackForm, ReasonForm, ShipForm
from smartcards.orders.models import Order
from smartcards.orders.rules import CannotPack
from smartcards.orders.states import OrderState

STEP_RIGHT = "orders.change_order"
TAKE = "take"


@dataclass(frozen=True)
class Step:
    """A page of one step: its word in the address, its button, its form, what it calls."""

    name: str
    title: str
    done: str
    to: OrderState
    form: type[Form]
    run: Callable[..., Order]


STEPS = (
    Step(
        "pack", "Собрать заказ", "Заказ собран.", OrderState.PACKED, PackForm, services.pack_order
    ),
    Step(
        "ship", "Отправить", "Заказ отправлен.", OrderState.SHIPPED, ShipForm, services.ship_order
    ),
    Step(
        "deliver",
        "Отметить доставленным",
        "Заказ доставлен, смарт-карты появились у клиента.",
        OrderState.DELIVERED,
        NoFieldsForm,
        services.deliver_order,
    ),
    Step(
        "unpack",
        "Разобрать",
        "Заказ разобран, смарт-карты вернулись на склад.",
        OrderState.ACCEPTED,
        ReasonForm,
        services.unpack_order,
    ),
    Step(
        "cancel",
        "Отменить заказ",
        "Заказ отменён.",
        OrderState.CANCELLED,
        ReasonForm,
        services.cancel_order,
    ),
)


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    """States are changed by the steps only, so that every change has its rule and its record."""

    list_display = ("number", "state", "created_at", "merchant", "account", "quantity", "recipient")
    list_display_links = ("number",)
    list_filter = ("state", "account", "created_at")
    list_select_related = ("merchant", "account")
    ordering = ("-created_at", "-pk")
    # Only makes the field of the search appear: what is searched is in `queries.matching`.
    search_fields = ("pk",)
    search_help_text = (
        "Номер заказа, телефон, ИНН, ICCID, userId, трек-номер, клиент или получатель"
    )
    change_form_template = "admin/orders/order/change_form.html"
    fields = (
        "state",
        "merchant",
        "account",
        "quantity",
        "inn",
        "recipient",
        "phone",
        "address",
        "comment",
        "track_number",
        "packed_iccids",
        "created_at",
        "created_by",
        "packed_at",
        "shipped_at",
        "delivered_at",
        "cancelled_at",
    )
    readonly_fields = ("packed_iccids",)

    @admin.display(description="заказ", ordering="pk")
    def number(self, order: Order) -> str:
        return f"№ {order.pk}"

    @admin.display(description="собранные смарт-карты")
    def packed_iccids(self, order: Order) -> str:
        return ", ".join(card.iccid for card in queries.packed_cards(order)) or "—"

    def has_view_permission(self, request: HttpRequest, obj: Order | None = None) -> bool:
        return super().has_view_permission(request, obj) or _may_step(request)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Order], search_term: str
    ) -> tuple[QuerySet[Order], bool]:
        if not search_term.strip():
            return queryset, False
        return queryset.filter(queries.matching(search_term)), True

    def get_urls(self) -> list[URLPattern]:
        pages = [
            path(
                f"<int:pk>/{step.name}/",
                self.admin_site.admin_view(_step_view(self, step)),
                name=f"orders_order_{step.name}",
            )
            for step in STEPS
        ]
        return [*pages, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        order = self.get_object(request, object_id)
        steps = _possible(order) if order and _may_step(request) else []
        title = {"title": f"Заказ № {order.pk}", "subtitle": None} if order else {}
        context = {"steps": steps} | title | (extra_context or {})
        return super().change_view(request, object_id, form_url, context)

    def step_page(self, request: HttpRequest, pk: int, *, step: Step) -> HttpResponse:
        """Ask, do, go back to the order; a refusal stays on the page with what was typed."""
        order = self._order(request, pk)
        if request.method != "POST":
            return self._ask(request, order, step, step.form())
        if step.form is PackForm and request.POST.get("do") == TAKE:
            return self._ask(request, order, step, _from_stock(order))
        form = step.form(request.POST)
        try:
            if form.is_valid():
                return self._do(request, order, step, form)
        except CannotPack as refusal:
            form.add_error(None, refusal.sentence)
            for problem in refusal.problems:
                form.add_error("iccids", f"{problem.iccid}: {problem.sentence}")
        except Refused as refusal:
            form.add_error(None, refusal.sentence)
        return self._ask(request, order, step, form)

    def _order(self, request: HttpRequest, pk: int) -> Order:
        if not _may_step(request):
            raise PermissionDenied
        order = Order.objects.select_related("account", "merchant").filter(pk=pk).first()
        if order is None:
            raise Http404
        return order

    def _do(self, request: HttpRequest, order: Order, step: Step, form: Form) -> HttpResponse:
        step.run(order=order, by=actor_of(request), at=clock.now(), **form.cleaned_data)
        messages.success(request, step.done)
        return redirect("admin:orders_order_change", order.pk)

    def _ask(self, request: HttpRequest, order: Order, step: Step, form: Form) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "title": f"{step.title}: заказ № {order.pk}",
            "opts": self.opts,
            "order": order,
            "step": step,
            "form": form,
            "packs": step.form is PackForm,
            "in_stock": queries.stock_of(order.account).count() if step.form is PackForm else 0,
            "possible": rules.can_move(state=OrderState(order.state), to=step.to),
        }
        return TemplateResponse(request, "admin/orders/order/step.html", context)


def _step_view(page: OrderAdmin, step: Step) -> Callable[..., HttpResponse]:
    return require_http_methods(["GET", "HEAD", "POST"])(partial(page.step_page, step=step))


def _may_step(request: HttpRequest) -> bool:
    return may(request, STEP_RIGHT)


def _possible(order: Order) -> list[tuple[str, str]]:
    """Addresses and titles of the steps the order may take now."""
    state = OrderState(order.state)
    return [
        (reverse(f"admin:orders_order_{step.name}", args=[order.pk]), step.title)
        for step in STEPS
        if rules.can_move(state=state, to=step.to)
    ]


def _from_stock(order: Order) -> PackForm:
    """The oldest cards of the stock, as many as were ordered or as there are."""
    iccids = queries.stock_of(order.account).values_list("iccid", flat=True)[: order.quantity]
    return PackForm(initial={"iccids": "\n".join(iccids)})
