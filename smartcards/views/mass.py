"""Work on many cards: begun from the list, looked at, confirmed, taken back, repeated."""

from collections.abc import Callable
from functools import partial
from typing import cast
from uuid import UUID, uuid4

from django.http import HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cabinet import clock
from cabinet.accounts.access import MerchantRequest, merchant_page, own_or_404, redirect_with_error
from cabinet.enums import Right, Role
from cabinet.errors import NotAllowed, Refused
from cabinet.tasks.deadlock_retry import retry_on_deadlock
from smartcards.forms import FormKeyForm, MassConfirmForm, MassForm
from smartcards.listing.card_filter import CardFilter
from smartcards.mass_operations import processing, services
from smartcards.mass_operations.presentation import mass_page, progress_of, recent
from smartcards.models import MassOperation
from smartcards.states import CardOutcome
from smartcards.views.mass_switch_off import within_limit


@require_http_methods(["GET", "HEAD", "POST"])
@merchant_page(Right.SEE_CARDS)
def mass_new(request: MerchantRequest) -> HttpResponseBase:
    """POST from the list begins an operation, whose page asks before anything changes; GET lists them."""
    if request.method != "POST":
        return render(request, "smartcards/mass_list.html", {"lines": recent(request.merchant)})
    form = MassForm(request.POST)
    if not form.is_valid():
        sentence = next(iter(form.errors.values()))[0]
        return redirect_with_error(request, Refused(str(sentence)), "cards")
    cleaned = form.cleaned_data
    wanted = CardFilter.from_data(request.POST) if cleaned["scope"] == "found" else None
    begin = partial(
        services.begin,
        merchant=request.merchant,
        action=cleaned["action"],
        selection=services.selection_of(ids=cleaned["card"], wanted=wanted),
        form_key=cleaned["form_key"],
        by=request.actor,
        at=clock.now(),
    )
    try:
        operation = begin()
    except NotAllowed:
        raise
    except Refused as refusal:
        return redirect_with_error(request, refusal, "cards")
    processing.proceed(operation, clock=clock.now)
    return redirect("mass", key=operation.key)


def _own(request: MerchantRequest, key: UUID) -> MassOperation:
    return own_or_404(MassOperation.objects.select_related("merchant"), request.merchant, key=key)


@require_safe
@merchant_page(Right.SEE_CARDS)
def mass(request: MerchantRequest, key: UUID) -> HttpResponseBase:
    """The preview, the progress, the result: one page for the whole life of an operation."""
    view = mass_page(
        operation=_own(request, key),
        role=Role(request.member.role),
        show=request.GET.get("show", ""),
        number=request.GET.get("page", "1"),
        at=clock.now(),
    )
    context = {"view": view, "progress": view.progress, "form_key": uuid4()}
    return render(request, "smartcards/mass_one.html", context)


@require_safe
@merchant_page(Right.SEE_CARDS)
def mass_progress(request: MerchantRequest, key: UUID) -> HttpResponseBase:
    """The live part of the page; `seen` is what the page was made for."""
    shown = progress_of(_own(request, key), clock.now())
    context = {"progress": shown, "is_over": request.GET.get("seen", shown.seen) != shown.seen}
    return render(request, "smartcards/mass_progress.html", context)


@require_POST
@merchant_page(Right.SEE_CARDS)
def mass_confirm(request: MerchantRequest, key: UUID) -> HttpResponseBase:
    """«Отключить 20 карт». Where that is many and the session needs it, a code is asked first."""
    operation, form = _own(request, key), MassConfirmForm(request.POST)
    number = form.cleaned_data["number"] if form.is_valid() else 0
    leaving = operation.cards.filter(outcome=CardOutcome.PLANNED, goes_dark=True).count()
    confirm = within_limit(request, services.confirm, number=leaving)
    run = partial(confirm, operation=operation, number=number, by=request.actor, at=clock.now())
    return _run(request, operation, run)


@require_POST
@merchant_page(Right.SEE_CARDS)
def mass_cancel(request: MerchantRequest, key: UUID) -> HttpResponseBase:
    """«Отменить»: what has not left does not leave."""
    operation = _own(request, key)
    run = partial(services.cancel, operation=operation, by=request.actor, at=clock.now())
    return _run(request, operation, run)


@require_POST
@merchant_page(Right.SEE_CARDS)
def mass_repeat(request: MerchantRequest, key: UUID) -> HttpResponseBase:
    """«Повторить только неудачные»: a new operation, looked at before it is confirmed."""
    operation, form = _own(request, key), FormKeyForm(request.POST)
    if not form.is_valid():
        return redirect("mass", key=key)
    run = partial(
        services.repeat,
        operation=operation,
        form_key=form.cleaned_data["form_key"],
        by=request.actor,
        at=clock.now(),
    )
    return _run(request, operation, run)


def _run(
    request: MerchantRequest, operation: MassOperation, run: Callable[[], object]
) -> HttpResponseBase:
    """Do it, then show the operation that it has led to; a refusal becomes a message."""
    try:
        changed = cast("MassOperation", retry_on_deadlock(run))
    except NotAllowed:
        raise
    except Refused as refusal:
        return redirect_with_error(request, refusal, resolve_url("mass", key=operation.key))
    processing.proceed(changed, clock=clock.now)
    return redirect("mass", key=changed.key)
