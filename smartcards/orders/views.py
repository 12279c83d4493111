"""The merchant's pages of orders: the list, a new one, one order, cancelling it."""

from functools import partial
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from cabinet import clock
from cabinet.access import MerchantRequest, merchant_page, own_or_404, refuse
from cabinet.conflicts import through_conflicts
from cabinet.errors import Refused
from cabinet.states import Right, Role
from cabinet.wording import NBSP
from smartcards.orders import phrases, queries, rules, services
from smartcards.orders.forms import OrderForm, first_values, repeated_values
from smartcards.orders.models import Order
from smartcards.orders.states import OrderState

PAGE_SIZE = 20
PREVIEW, CONFIRM, EDIT = "preview", "confirm", "edit"


@require_safe
@merchant_page(Right.SEE_ORDERS)
def orders(request: MerchantRequest) -> HttpResponse:
    """All orders of the merchant, newest first."""
    rows = Paginator(queries.orders_of(request.merchant), PAGE_SIZE)
    page = rows.get_page(request.GET.get("page"))
    lines = [(row, phrases.pill(row.state)) for row in page]
    return _render(request, "orders/orders.html", {"page": page, "lines": lines})


@require_http_methods(["GET", "HEAD", "POST"])
@merchant_page(Right.ORDER)
def order_new(request: MerchantRequest) -> HttpResponse:
    """Fill the form in, look at it whole, confirm. A step back loses nothing."""
    if request.method != "POST":
        return _form(request, OrderForm(initial=_initial(request)))
    form = OrderForm(request.POST)
    step = request.POST.get("step", PREVIEW)
    if not form.is_valid() or step == EDIT:
        return _form(request, form)
    return _place(request, form) if step == CONFIRM else _preview(request, form)


@require_safe
@merchant_page(Right.SEE_ORDERS)
def order(request: MerchantRequest, pk: int) -> HttpResponse:
    """Where the order is, and what is in it."""
    row = own_or_404(Order.objects.select_related("account"), request.merchant, pk=pk)
    context = {
        "order": row,
        "title": _title(row),
        "state_pill": phrases.pill(row.state),
        "steps": phrases.steps(row, timezone.get_current_timezone()),
        "packed": queries.packed_cards(row),
        "delivered": row.state == OrderState.DELIVERED,
        "history": [(event, phrases.who(event)) for event in queries.history_of(row)],
        "can_cancel": rules.can_cancel(state=OrderState(row.state)),
    }
    return _render(request, "orders/order.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@merchant_page(Right.ORDER)
def order_cancel(request: MerchantRequest, pk: int) -> HttpResponse:
    """Asks once more, then cancels."""
    row = own_or_404(Order.objects.select_related("account"), request.merchant, pk=pk)
    try:
        if request.method != "POST":
            rules.check_cancel(state=OrderState(row.state))
            return _render(
                request, "orders/order_cancel.html", {"order": row, "title": _title(row)}
            )
        cancel = partial(services.cancel_order, order=row, by=request.actor, at=clock.now())
        through_conflicts(cancel)
    except Refused as refusal:
        return refuse(request, refusal, reverse("order", kwargs={"pk": row.pk}))
    messages.success(request, f"{_title(row)} отменён.")
    return redirect("order", pk=row.pk)


def _title(order: Order) -> str:
    return f"Заказ №{NBSP}{order.pk}"


def _initial(request: MerchantRequest) -> dict[str, Any]:
    repeat = request.GET.get("repeat", "")
    if not (repeat.isascii() and repeat.isdigit()):
        return first_values(request.member)
    return repeated_values(own_or_404(Order.objects.all(), request.merchant, pk=int(repeat[:20])))


def _form(request: MerchantRequest, form: OrderForm) -> HttpResponse:
    offers = queries.operators_on_offer().exists()
    return _render(request, "orders/order_new.html", {"form": form, "offers": offers})


def _preview(request: MerchantRequest, form: OrderForm) -> HttpResponse:
    return _render(
        request, "orders/order_preview.html", {"form": form, "chosen": form.cleaned_data}
    )


def _place(request: MerchantRequest, form: OrderForm) -> HttpResponse:
    try:
        placed = through_conflicts(
            partial(
                services.place_order,
                merchant=request.merchant,
                account=form.cleaned_data["account"],
                details=form.details(),
                key=form.cleaned_data["key"],
                by=request.actor,
                at=clock.now(),
            )
        )
    except Refused as refusal:
        form.add_error(None, refusal.sentence)
        return _form(request, form)
    messages.success(request, f"{_title(placed)} принят.")
    return redirect("order", pk=placed.pk)


def _render(request: MerchantRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    may_order = rules.can_order(role=Role(request.member.role))
    return render(request, template, {"now": clock.now(), "may_order": may_order} | context)
