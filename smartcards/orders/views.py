"""The merchant's pages of orders: the list, a new one, one order, its papers, cancelling it, getting it."""

from functools import partial
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from cabinet import clock
from cabinet.accounts import rules as roles
from cabinet.accounts.access import MerchantRequest, merchant_page, own_or_404, redirect_with_error
from cabinet.enums import Right, Role
from cabinet.errors import Refused
from cabinet.formatting import ru_format
from cabinet.formatting.ru_format import NBSP
from cabinet.tasks.deadlock_retry import retry_on_deadlock
from smartcards.orders import queries, rules, services, texts
from smartcards.orders.forms import OrderForm, first_values, repeated_values
from smartcards.orders.models import Order
from smartcards.orders.paper_files import PDF, as_attachment, pdf_file
from smartcards.orders.states import OrderState, PaperKind
from smartcards.rules import shown_name

PAGE_SIZE = 20
_BEFORE_PARCEL = frozenset({OrderState.ACCEPTED, OrderState.PACKED})
PREVIEW, CONFIRM, EDIT = "preview", "confirm", "edit"


@require_safe
@merchant_page(Right.SEE_ORDERS)
def orders(request: MerchantRequest) -> HttpResponse:
    """All orders of the merchant, newest first."""
    paginator = Paginator(queries.orders_of(request.merchant), PAGE_SIZE)
    page = paginator.get_page(request.GET.get("page"))
    rows = [_row(order) for order in page]
    return _render(request, "orders/orders.html", {"page": page, "rows": rows})


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
    """Where the order is, what is in it, what it costs, its papers."""
    row = _own(request, pk)
    invoice = next((one for one in row.valid_papers if one.kind == PaperKind.INVOICE), None)
    state = OrderState(row.state)
    context = {
        "order": row,
        "title": _title(row),
        "ordered": texts.operators(row),
        "state_pill": texts.pill(row.state),
        "steps": texts.steps(row, timezone.get_current_timezone(), invoice),
        "invoice": invoice,
        "invoice_status": texts.invoice_status(invoice) if invoice else None,
        "papers": row.valid_papers,
        "sums": _sums_of(row),
        "total": texts.price(row.total_kopecks),
        "usual_time": texts.usual_time(queries.order_terms()) if state in _BEFORE_PARCEL else "",
        "track_link": texts.track_link(row),
        "packed": queries.packed_cards(row),
        "delivered": state == OrderState.DELIVERED,
        "history": [
            (event, shown_name(event.actor_kind, event.actor_name))
            for event in queries.history_of(row)
        ],
        "can_cancel": rules.can_move(state=state, to=OrderState.CANCELLED)
        and not (invoice and invoice.paid_on),
        "can_receive": state == OrderState.SHIPPED,
    }
    return _render(request, "orders/order.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@merchant_page(Right.ORDER)
def order_cancel(request: MerchantRequest, pk: int) -> HttpResponse:
    """Asks once more, then cancels."""
    row = _own(request, pk)
    try:
        if request.method != "POST":
            rules.check_move(state=OrderState(row.state), to=OrderState.CANCELLED)
            rules.check_may_cancel(queries.invoice_of(row))
            return _ask(request, "orders/order_cancel.html", row)
        cancel = partial(services.cancel_order, order=row, by=request.actor, at=clock.now())
        retry_on_deadlock(cancel)
    except Refused as refusal:
        return redirect_with_error(request, refusal, reverse("order", kwargs={"pk": row.pk}))
    messages.success(request, f"{_title(row)} отменён.")
    return redirect("order", pk=row.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@merchant_page(Right.ORDER)
def order_received(request: MerchantRequest, pk: int) -> HttpResponse:
    """Asks once more, then the cards are in the merchant's list."""
    row = _own(request, pk)
    try:
        if row.state == OrderState.DELIVERED:
            return redirect("order", pk=row.pk)
        if request.method != "POST":
            rules.check_move(state=OrderState(row.state), to=OrderState.DELIVERED)
            return _ask(request, "orders/order_received.html", row)
        receive = partial(services.deliver_order, order=row, by=request.actor, at=clock.now())
        retry_on_deadlock(receive)
    except Refused as refusal:
        return redirect_with_error(request, refusal, reverse("order", kwargs={"pk": row.pk}))
    messages.success(request, _arrived(row))
    return redirect("cards")


@require_safe
@merchant_page(Right.SEE_ORDERS)
def order_paper(request: MerchantRequest, pk: int, paper: int) -> HttpResponse:
    """A valid document of the order as a file."""
    order = own_or_404(Order.objects.all(), request.merchant, pk=pk)
    row = get_object_or_404(queries.valid_papers(), order=order, pk=paper)
    # A file to keep: the old browsers of tills show no PDF.
    return HttpResponse(pdf_file(row), content_type=PDF, headers=as_attachment(row))


def _row(order: Order) -> dict[str, Any]:
    return {
        "order": order,
        "ordered": texts.operators(order),
        "price": texts.price(order.total_kopecks) if order.total_kopecks else "",
        "track_link": texts.track_link(order),
        "status": texts.pill(order.state),
    }


def _own(request: MerchantRequest, pk: int) -> Order:
    """The merchant's own order with its lines and valid documents, else 404."""
    return own_or_404(queries.whole_orders(), request.merchant, pk=pk)


def _ask(request: MerchantRequest, template: str, row: Order) -> HttpResponse:
    context = {"order": row, "title": _title(row), "ordered": texts.operators(row)}
    return _render(request, template, context)


def _sums_of(row: Order) -> list[texts.PriceRow]:
    lines = [(line.account.title, line.quantity, line.price_kopecks) for line in row.lines.all()]
    return texts.price_rows(lines, row.delivery_kopecks)


def _arrived(row: Order) -> str:
    verb = ru_format.plural(row.quantity, "появилась", "появились", "появились")
    return f"{ru_format.cards(row.quantity)} {verb} в{NBSP}списке."


def _title(order: Order) -> str:
    return f"Заказ №{NBSP}{order.pk}"


def _initial(request: MerchantRequest) -> dict[str, Any]:
    repeat = request.GET.get("repeat", "")
    if not (repeat.isascii() and repeat.isdigit()):
        return first_values(request.member)
    return repeated_values(_own(request, int(repeat[:20])))


def _form(request: MerchantRequest, form: OrderForm) -> HttpResponse:
    context = {"form": form, "lead": texts.terms_lead(queries.order_terms())}
    return _render(request, "orders/order_new.html", context)


def _preview(request: MerchantRequest, form: OrderForm, note: str = "") -> HttpResponse:
    terms, wanted = queries.order_terms(), form.wanted()
    number = sum(wanted.values())
    lines = [(account.title, cards, terms.card_kopecks) for account, cards in wanted.items()]
    total = rules.price_of(number, terms)
    context = {
        "form": form,
        "chosen": form.cleaned_data,
        "number": number,
        "sums": texts.price_rows(lines, terms.delivery_kopecks),
        "agreed": total,
        "total": texts.price(total),
        "usual_time": texts.usual_time(terms),
        "note": note,
    }
    return _render(request, "orders/order_preview.html", context)


def _agreed(request: MerchantRequest) -> int:
    """The sum that the preview showed, in kopecks; 0 where it cannot be read."""
    text = request.POST.get("agreed", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else 0


def _place(request: MerchantRequest, form: OrderForm) -> HttpResponse:
    try:
        placed = retry_on_deadlock(
            partial(
                services.place_order,
                merchant=request.merchant,
                wanted=form.wanted(),
                details=form.details(),
                agreed_kopecks=_agreed(request),
                key=form.cleaned_data["key"],
                by=request.actor,
                at=clock.now(),
            )
        )
    except rules.PriceChanged as refusal:
        return _preview(request, form, refusal.sentence)
    except Refused as refusal:
        form.add_error(None, refusal.sentence)
        return _form(request, form)
    messages.success(request, f"{_title(placed)} принят.")
    return redirect("order", pk=placed.pk)


def _render(request: MerchantRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    may_order = roles.may(Role(request.member.role), Right.ORDER)
    return render(request, template, {"now": clock.now(), "may_order": may_order} | context)
