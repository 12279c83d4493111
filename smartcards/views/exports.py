"""Files to download: the list of cards, what happened to them, the accountant's month with its page."""

from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.http import Http404, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from cabinet import clock
from cabinet.accounts.access import MerchantRequest, merchant_page, own_or_404
from cabinet.enums import Right
from cabinet.formatting import ru_format
from cabinet.views.downloads import table_download
from smartcards.exports import card_rows, monthly_report
from smartcards.forms import MonthForm
from smartcards.listing.card_filter import CardFilter, cards_matching
from smartcards.models import SmartCard


@require_safe
@merchant_page(Right.SEE_CARDS)
def cards_file(request: MerchantRequest, kind: str) -> HttpResponseBase:
    """The cards that the list shows with this filter, on all its pages."""
    zone, at = ZoneInfo(request.merchant.timezone), clock.now()
    rows = card_rows.list_rows(_found(request), zone=zone, at=at)
    return table_download(rows, kind=kind, title="Смарт-карты", name=_dated("Смарт-карты", zone))


@require_safe
@merchant_page(Right.SEE_CARDS)
def cards_history_file(request: MerchantRequest, kind: str) -> HttpResponseBase:
    """What happened to the cards that the list shows with this filter: of a shop, of an operator, of all."""
    name = _dated("История смарт-карт", ZoneInfo(request.merchant.timezone))
    return _history(request, _found(request), kind, name)


@require_safe
@merchant_page(Right.SEE_CARDS)
def card_history_file(request: MerchantRequest, pk: int, kind: str) -> HttpResponseBase:
    """What happened to one card, from its beginning with this merchant."""
    card = own_or_404(SmartCard.objects.all(), request.merchant, pk=pk)
    name = f"История смарт-карты {card.iccid[-4:]}"
    name = _dated(name, ZoneInfo(request.merchant.timezone))
    return _history(request, SmartCard.objects.filter(pk=card.pk), kind, name)


@require_safe
@merchant_page(Right.SEE_SUBSCRIPTION)
def month(request: MerchantRequest) -> HttpResponseBase:
    """«Отчёт за месяц» by shops: of the month asked for, else of the last one that is over."""
    at = clock.now()
    months = monthly_report.months_with_payments(request.merchant, at)
    form = MonthForm(request.GET or None, months=months)
    wanted = (
        form.cleaned_data["month"] if form.is_valid() else next(iter(months[1:] or months), None)
    )
    report = monthly_report.monthly_report(request.merchant, wanted, at) if wanted else None
    form = MonthForm({"month": str(wanted)}, months=months)
    return render(request, "smartcards/month.html", {"form": form, "report": report})


@require_safe
@merchant_page(Right.SEE_SUBSCRIPTION)
def month_file(request: MerchantRequest, kind: str) -> HttpResponseBase:
    """The same by cards; 404 for a month without a payment."""
    at = clock.now()
    months = monthly_report.months_with_payments(request.merchant, at)
    form = MonthForm(request.GET, months=months)
    if not form.is_valid():
        raise Http404
    wanted = form.cleaned_data["month"]
    rows = monthly_report.report_rows(monthly_report.monthly_report(request.merchant, wanted, at))
    name = f"Отчёт за {ru_format.MONTH_NAMES[wanted.month - 1]} {wanted.year}"
    return table_download(rows, kind=kind, title=name, name=name)


def _history(
    request: MerchantRequest, cards: QuerySet[SmartCard], kind: str, name: str
) -> HttpResponseBase:
    merchant = request.merchant
    zone = ZoneInfo(merchant.timezone)
    rows = card_rows.history_rows(cards, merchant=merchant, zone=zone, at=clock.now())
    return table_download(rows, kind=kind, title="История", name=name)


def _found(request: MerchantRequest) -> QuerySet[SmartCard]:
    wanted = CardFilter.from_data(request.GET)
    found = cards_matching(merchant=request.merchant, wanted=wanted, at=clock.now())
    return found.order_by("list_key", "pk")


def _dated(name: str, zone: ZoneInfo) -> str:
    return f"{name} {clock.today(zone):%d.%m.%Y}"
