"""Work on many cards of a merchant, by staff: begun from the merchant's page, looked at, confirmed, taken back."""

import uuid
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from cabinet import clock
from cabinet.admin.actor import actor_of
from cabinet.admin_site import site_page
from cabinet.errors import Refused
from cabinet.forms.reason import reason_field
from cabinet.models import Merchant
from smartcards import queries
from smartcards.admin.permissions import ACT_RIGHT
from smartcards.listing.card_filter import CardFilter
from smartcards.mass_operations import processing, services
from smartcards.mass_operations.presentation import mass_page, progress_of
from smartcards.models import MassOperation, SmartCard
from smartcards.numbers import NotANumber, parse_iccid
from smartcards.rules import which_card
from smartcards.states import MassAction

TITLE = "Действие с картами клиента"
_ROUTE, _NAME = "smartcards/massoperation/", "smartcards_massoperation"


class BeginForm(forms.Form):
    """What to do, with which cards of the merchant, and why. `key` makes a form sent twice one operation."""

    action = forms.TypedChoiceField(
        label="Что сделать", choices=MassAction.choices, coerce=MassAction
    )
    everything = forms.BooleanField(label="Все карты клиента", required=False)
    iccids = forms.CharField(
        label="Или эти ICCID",
        required=False,
        max_length=300_000,
        widget=forms.Textarea(attrs={"rows": 8, "cols": 40, "class": "vLargeTextField"}),
        help_text="По одному в строке, можно с пробелами.",
    )
    reason = reason_field(help_text="Клиент увидит её на странице смарт-карты.")
    key = forms.UUIDField(
        widget=forms.HiddenInput,
        error_messages=dict.fromkeys(("required", "invalid"), "Откройте эту страницу заново."),
    )

    def __init__(self, data: Any = None, *, merchant: Merchant, **given: Any) -> None:
        super().__init__(data, **given)
        self._merchant = merchant

    def clean_iccids(self) -> list[int]:
        """The merchant's own cards with these numbers; the first line that is none is named."""
        lines = [line for line in self.cleaned_data["iccids"].splitlines() if line.strip()]
        named = [_iccid(line) for line in lines]
        found = queries.cards_spelled(SmartCard.objects.of(self._merchant), named)
        for line, iccid in zip(lines, named, strict=True):
            if not found[iccid]:
                raise forms.ValidationError(f"У клиента нет карты «{line.strip()[:40]}».")
            if len(found[iccid]) > 1:
                raise forms.ValidationError(which_card([card.iccid for card in found[iccid]]))
        return [card.pk for cards in found.values() for card in cards]

    def clean(self) -> dict[str, Any]:
        """Which cards must be said in exactly one way: all of them never by an empty field."""
        cleaned = super().clean() or {}
        if "iccids" in cleaned and bool(cleaned["everything"]) == bool(cleaned["iccids"]):
            raise forms.ValidationError("Отметьте все карты клиента или перечислите ICCID.")
        return cleaned

    def selection(self) -> dict[str, Any]:
        """What was meant, for `services.begin`."""
        if self.cleaned_data["everything"]:
            return services.selection_of(wanted=CardFilter())
        return services.selection_of(ids=self.cleaned_data["iccids"])


def _iccid(line: str) -> str:
    try:
        return parse_iccid(line).value
    except NotANumber as problem:
        raise forms.ValidationError(f"«{line.strip()[:40]}»: {problem}") from problem


@site_page(
    f"{_ROUTE}new/<int:merchant_id>/",
    name=f"{_NAME}_new",
    title=TITLE,
    permission=ACT_RIGHT,
    listed=False,
)
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, merchant_id: int) -> HttpResponse:
    """Which cards and why; nothing changes before the page that follows is confirmed."""
    merchant = get_object_or_404(Merchant, pk=merchant_id)
    form = BeginForm(request.POST or None, merchant=merchant, initial={"key": uuid.uuid4()})
    if form.is_valid():
        operation = services.begin(
            merchant=merchant,
            action=form.cleaned_data["action"],
            selection=form.selection(),
            form_key=form.cleaned_data["key"],
            by=actor_of(request),
            at=clock.now(),
            reason=form.cleaned_data["reason"],
        )
        processing.proceed(operation, clock=clock.now)
        return redirect(f"admin:{_NAME}_one", operation.pk)
    context = {"form": form, "merchant_row": merchant}
    return TemplateResponse(request, "admin/smartcards/mass_new.html", _context(request) | context)


@site_page(
    f"{_ROUTE}<int:pk>/", name=f"{_NAME}_one", title=TITLE, permission=ACT_RIGHT, listed=False
)
@require_http_methods(["GET", "HEAD", "POST"])
def one(request: HttpRequest, pk: int) -> HttpResponse:
    """The preview, the progress, the result."""
    operation = get_object_or_404(MassOperation.objects.select_related("merchant"), pk=pk)
    if request.method != "POST":
        return _page(request, operation)
    try:
        changed = _act(request, operation)
    except Refused as refusal:
        return _page(request, operation, refusal.sentence)
    processing.proceed(changed, clock=clock.now)
    return redirect(f"admin:{_NAME}_one", changed.pk)


def _act(request: HttpRequest, operation: MassOperation) -> MassOperation:
    """What the pressed button says."""
    given: dict[str, Any] = {"operation": operation, "by": actor_of(request), "at": clock.now()}
    asked, number = request.POST.get("do"), request.POST.get("number", "")
    if asked == "confirm":
        return services.confirm(number=int(number) if number.isdecimal() else 0, **given)
    if asked == "cancel":
        return services.cancel(**given)
    form = forms.UUIDField(required=False)
    key = form.clean(request.POST.get("form_key")) or uuid.uuid4()
    return services.repeat(form_key=key, **given) if asked == "repeat" else operation


@site_page(
    f"{_ROUTE}<int:pk>/progress/",
    name=f"{_NAME}_progress",
    title=TITLE,
    permission=ACT_RIGHT,
    listed=False,
)
@require_safe
def progress(request: HttpRequest, pk: int) -> HttpResponse:
    """The live part of the page."""
    shown = progress_of(get_object_or_404(MassOperation, pk=pk), clock.now())
    context = {"progress": shown, "is_over": request.GET.get("seen", shown.seen) != shown.seen}
    return TemplateResponse(request, "smartcards/mass_progress.html", context)


def _page(request: HttpRequest, operation: MassOperation, refusal: str = "") -> HttpResponse:
    view = mass_page(
        operation=operation,
        role=None,
        show=request.GET.get("show", ""),
        number=request.GET.get("page", "1"),
        at=clock.now(),
    )
    address = reverse(f"admin:{_NAME}_progress", args=[operation.pk])
    context = {
        "view": view,
        "operation": operation,
        "progress": view.progress,
        "progress_url": f"{address}?seen={view.progress.seen}",
        "refusal": refusal,
        "form_key": uuid.uuid4(),
    }
    return TemplateResponse(request, "admin/smartcards/mass_one.html", _context(request) | context)


def _context(request: HttpRequest) -> dict[str, Any]:
    return admin.site.each_context(request) | {"title": TITLE, "opts": SmartCard._meta}
