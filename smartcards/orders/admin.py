"""Orders for staff: a list, one order, a page for each step of it; the terms of orders; the seller.

Every step calls a service.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join

from cabinet.admin.actor import may, record_change
from cabinet.admin.confirm_action import ConfirmAction, ConfirmActionAdmin, service_call
from cabinet.admin.readonly import changed_labels
from cabinet.errors import Refused
from cabinet.forms.reason import NoFieldsForm
from smartcards.orders import queries, rules, services, texts
from smartcards.orders.forms import (
    OrderReasonForm,
    PackForm,
    PaymentForm,
    SellerForm,
    ShipForm,
    TermsForm,
)
from smartcards.orders.models import Order, OrderLine, OrderPaper, OrderTerms, Seller
from smartcards.orders.paper_files import PDF, as_attachment, pdf_file
from smartcards.orders.rules import CannotPack
from smartcards.orders.states import OrderState, PaperKind


def _step(
    name: str,
    title: str,
    done: str,
    to: OrderState,
    form: type[Form],
    service: Callable[..., Order],
) -> ConfirmAction[Order]:
    """A step of an order, possible where the table of transitions has it."""

    def check(order: Order, _at: datetime) -> None:
        rules.check_move(state=OrderState(order.state), to=to)

    return ConfirmAction(name, title, title, done, form, service_call("order", service), check)


def _payment_step(
    name: str,
    title: str,
    done: str,
    form: type[Form],
    service: Callable[..., Order],
    rule: Callable[[Order, OrderPaper | None], OrderPaper],
) -> ConfirmAction[Order]:
    """What is done with the счёт of an order, for whoever may change documents."""

    def check(order: Order, _at: datetime) -> None:
        rule(order, queries.invoice_of(order))

    run = service_call("order", service)
    return ConfirmAction(name, title, title, done, form, run, check, permission=_MAY_PAY)


_MAY_PAY = "orders.change_orderpaper"
STEPS = (
    _step(
        "pack", "Собрать заказ", "Заказ собран.", OrderState.PACKED, PackForm, services.pack_order
    ),
    _step(
        "ship", "Отправить", "Заказ отправлен.", OrderState.SHIPPED, ShipForm, services.ship_order
    ),
    _step(
        "deliver",
        "Отметить доставленным",
        "Заказ доставлен, смарт-карты появились у клиента.",
        OrderState.DELIVERED,
        NoFieldsForm,
        services.deliver_order,
    ),
    _step(
        "unpack",
        "Разобрать",
        "Заказ разобран, смарт-карты вернулись на склад.",
        OrderState.ACCEPTED,
        OrderReasonForm,
        services.unpack_order,
    ),
    _step(
        "cancel",
        "Отменить заказ",
        "Заказ отменён.",
        OrderState.CANCELLED,
        OrderReasonForm,
        services.cancel_order,
    ),
    _payment_step(
        "pay",
        "Отметить оплату",
        "Оплата отмечена.",
        PaymentForm,
        services.record_payment,
        rules.check_payable,
    ),
    _payment_step(
        "reissue",
        "Выставить счёт заново",
        "Прежний счёт аннулирован, выставлен новый.",
        OrderReasonForm,
        services.reissue_invoice,
        rules.check_payable,
    ),
    _payment_step(
        "unpay",
        "Снять отметку об оплате",
        "Отметка об оплате снята.",
        OrderReasonForm,
        services.withdraw_payment,
        rules.check_payment_can_be_withdrawn,
    ),
)


class UnpaidFilter(admin.SimpleListFilter):
    """Orders by what became of their счёт."""

    title = "оплата"
    parameter_name = "paid"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Free orders are in neither."""
        return [("no", "ждут оплаты"), ("yes", "оплачены")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Order]) -> QuerySet[Order]:
        """All where nothing is chosen."""
        if self.value() not in {"no", "yes"}:
            return queryset
        invoices = queries.valid_papers().filter(
            kind=PaperKind.INVOICE, paid_on__isnull=self.value() == "no"
        )
        return queryset.filter(pk__in=invoices.order_by().values("order"))


@admin.register(Order)
class OrderAdmin(ConfirmActionAdmin):
    """States are changed by the steps only, so that every change has its rule and its record."""

    list_display = ("number", "state", "created_at", "ordered", "price", "merchant")
    list_display_links = ("number",)
    list_filter = ("state", UnpaidFilter, "lines__account", "created_at")
    list_select_related = ("merchant",)
    ordering = ("-created_at", "-pk")
    # Only makes the field of the search appear: what is searched is in `queries.matching`.
    search_fields = ("pk",)
    search_help_text = (
        "Номер заказа, телефон, ИНН, ICCID, userId, трек-номер, клиент или получатель"
    )
    fields = (
        "state",
        "merchant",
        "ordered",
        "price",
        "papers",
        "company",
        "inn",
        "recipient",
        "phone",
        "address",
        "comment",
        "carrier",
        "track_number",
        "packed_iccids",
        "created_at",
        "created_by",
        "packed_at",
        "shipped_at",
        "delivered_at",
        "cancelled_at",
    )
    readonly_fields = ("ordered", "price", "papers", "packed_iccids")
    confirm_template = "admin/orders/order/step.html"
    confirm_permission = "orders.change_order"
    confirm_actions = STEPS

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """The recipient's phone only for whoever packs and ships."""
        packs = may(request, self.confirm_permission)
        return tuple(name for name in self.fields if packs or name != "phone")

    @admin.display(description="заказ", ordering="pk")
    def number(self, order: Order) -> str:
        """«№ 7»."""
        return f"№ {order.pk}"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Order]:
        """With their lines and documents."""
        return queries.whole_orders()

    def get_urls(self) -> list[URLPattern]:
        """Also the documents as files."""
        wrapped = self.admin_site.admin_view(self.paper)
        route = path("<int:pk>/papers/<int:paper>/", wrapped, name="orders_order_paper")
        return [route, *super().get_urls()]

    def paper(self, request: HttpRequest, pk: int, paper: int) -> HttpResponse:
        """A document of the order, a cancelled one too."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = get_object_or_404(OrderPaper, order=pk, pk=paper)
        return HttpResponse(pdf_file(row), content_type=PDF, headers=as_attachment(row))

    @admin.display(description="заказано")
    def ordered(self, order: Order) -> str:
        """«5 смарт-карт, Билайн — 3, МТС — 2»."""
        return texts.ordered_in_full(order)

    @admin.display(description="сумма")
    def price(self, order: Order) -> str:
        """«1 200 ₽, не оплачен», «бесплатно»."""
        invoices = [one for one in order.valid_papers if one.kind == PaperKind.INVOICE]
        paid = [f", {texts.invoice_status(one).text.lower()}" for one in invoices]
        return texts.price(order.total_kopecks) + "".join(paid)

    @admin.display(description="документы")
    def papers(self, order: Order) -> str:
        """Each with a link to its file; void ones say so."""
        links = (
            (
                reverse("admin:orders_order_paper", args=[order.pk, paper.pk]),
                f"{paper}{' (аннулирован)' if paper.cancelled_at else ''}",
            )
            for paper in order.papers.all()
        )
        return format_html_join(", ", '<a href="{}">{}</a>', links) or "—"

    @admin.display(description="собранные смарт-карты")
    def packed_iccids(self, order: Order) -> str:
        """The cards taken from stock for it."""
        return ", ".join(card.iccid for card in queries.packed_cards(order)) or "—"

    def has_view_permission(self, request: HttpRequest, obj: Order | None = None) -> bool:
        """Whoever may do the steps of an order sees it too."""
        return super().has_view_permission(request, obj) or may(request, self.confirm_permission)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Order], search_term: str
    ) -> tuple[QuerySet[Order], bool]:
        """Orders that `queries.matching` finds; all where nothing is typed."""
        if not search_term.strip():
            return queryset, False
        return queryset.filter(queries.matching(search_term)), True

    def page_title(self, row: Order) -> str:
        """«Заказ № 7»."""
        return f"Заказ № {row.pk}"

    def facts_shown(self, row: Order) -> list[tuple[str, str]]:
        """What is ordered, what it costs and, before packing, whether the stock has it."""
        facts = [
            ("Клиент", str(row.merchant)),
            ("Заказано", self.ordered(row)),
            ("Сумма", self.price(row)),
            ("Состояние", row.get_state_display()),
        ]
        if row.state == OrderState.ACCEPTED:
            facts += [
                (f"Новых на складе: {line.account.title}", str(_in_stock(line)))
                for line in row.lines.all()
            ]
        return facts

    def confirm_form(self, request: HttpRequest, action: ConfirmAction[Any], row: Order) -> Form:
        """With `?take` the form of packing is filled in from the stock."""
        if action.form is PackForm and request.method != "POST" and "take" in request.GET:
            # The oldest cards of the stock, as many of each operator as were ordered or as there are.
            iccids = [
                iccid
                for line in row.lines.all()
                for iccid in queries.stock_of(line.account).values_list("iccid", flat=True)[
                    : line.quantity
                ]
            ]
            return PackForm(initial={"iccids": "\n".join(iccids)})
        return super().confirm_form(request, action, row)

    def add_refusal(self, form: Form, refusal: Refused) -> None:
        """Also what is wrong with each card that cannot be packed."""
        super().add_refusal(form, refusal)
        if isinstance(refusal, CannotPack):
            for iccid, sentence in refusal.problems.items():
                form.add_error("iccids", f"{iccid}: {sentence}")


def _in_stock(line: OrderLine) -> int:
    return queries.stock_of(line.account).count()


class _OneRowAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A table of one row: it is made once and never deleted; every change is in the audit log."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only where there is no row yet."""
        return super().has_add_permission(request) and not self.model.objects.exists()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False

    def changed(self, form: Any) -> str:
        """«Продавец: ИНН, БИК», for the audit log."""
        return f"{str(self.opts.verbose_name).capitalize()}: {changed_labels(form)}"


@admin.register(OrderTerms)
class OrderTermsAdmin(_OneRowAdmin):
    """Prices, usual time, limits; they hold for new orders."""

    form = TermsForm
    list_display = ("__str__", "card", "delivery", "days_from", "days_to")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The names of the changed fields go to the audit log."""
        super().save_model(request, obj, form, change)
        record_change(request, obj, "order_terms_changed", self.changed(form))

    @admin.display(description="смарт-карта")
    def card(self, terms: OrderTerms) -> str:
        """«300 ₽», «бесплатно»."""
        return texts.price(terms.card_kopecks)

    @admin.display(description="доставка")
    def delivery(self, terms: OrderTerms) -> str:
        """«300 ₽», «бесплатно»."""
        return texts.price(terms.delivery_kopecks)


@admin.register(Seller)
class SellerAdmin(_OneRowAdmin):
    """Requisites for documents issued from then on; issued ones keep theirs."""

    form = SellerForm
    list_display = ("name", "inn", "vat", "parcel_paper")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The names of the changed fields go to the audit log."""
        super().save_model(request, obj, form, change)
        record_change(request, obj, "seller_changed", self.changed(form))
