"""Signing in by phone and code, the first entry, choosing a company, signing out."""

from collections.abc import Callable
from dataclasses import asdict
from typing import cast

from django.contrib import auth, messages
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from cabinet import clock, queries
from cabinet.access import ENTRY_KEY, choose_merchant, framed, memberships, sign_in, visitor_address
from cabinet.errors import Refused
from cabinet.forms.people import CodeForm, PhoneForm, WelcomeForm
from cabinet.models import LegalDocument, Merchant, User
from cabinet.services import codes, people
from cabinet.states import DocumentKind

_CODE, _PHONE, _NEXT, _NEWCOMER, _DOCUMENTS = "code", "code_phone", "next", "newcomer", "documents"
_PAGE = ["GET", "HEAD", "POST"]


@login_not_required
@never_cache
@require_http_methods(_PAGE)
def login(request: HttpRequest) -> HttpResponseBase:
    """Ask for the phone and send a code; the answer is the same whether we know the phone or not."""
    if request.user.is_authenticated:
        return redirect("/")
    form = PhoneForm(request.POST or None)
    if form.is_valid():
        _remember_next(request)
        try:
            _send_sign_in_code(request, form.cleaned_data["phone"])
            return redirect("login_code")
        except Refused as refusal:
            form.add_error("phone", _with_way_to_code(request, form, refusal))
    return render(request, "cabinet/login.html", {"form": form})


def _with_way_to_code(request: HttpRequest, form: PhoneForm, refusal: Refused) -> str:
    """The sentence; with a link where this browser has a code of that very phone to enter."""
    sent_to = request.session.get(_PHONE) if _CODE in request.session else None
    if not isinstance(refusal, codes.TooManyCodes) or sent_to != form.cleaned_data["phone"]:
        return refusal.sentence
    return format_html('{} <a href="{}">Ввести код</a>', refusal.sentence, reverse("login_code"))


def _send_sign_in_code(request: HttpRequest, phone: str) -> None:
    pk = people.send_sign_in_code(phone=phone, address=visitor_address(request), at=clock.now())
    # In the session: only the browser that asked may use the code, and no address carries the phone.
    request.session[_CODE], request.session[_PHONE] = pk, phone


def _remember_next(request: HttpRequest) -> None:
    target = request.GET.get("next", "")
    if url_has_allowed_host_and_scheme(
        target, {request.get_host()}, require_https=request.is_secure()
    ):
        request.session[_NEXT] = target


@login_not_required
@never_cache
@require_http_methods(_PAGE)
def login_code(request: HttpRequest) -> HttpResponseBase:
    """Ask for the code; sign in."""
    if _CODE not in request.session:
        return redirect("login")
    if "again" in request.POST:
        return _again(request, "login_code", _send_sign_in_code)
    form = CodeForm(request.POST or None)
    if form.is_valid():
        try:
            user = people.sign_in_by_code(
                pk=request.session[_CODE], code=form.cleaned_data["code"], at=clock.now()
            )
            return _signed_in(request, user)
        except codes.CodeRefused as refusal:
            form.add_error("code", refusal.sentence)
    return _code_page(request, form, "login", "Войти")


def _again(
    request: HttpRequest, page: str, send: Callable[[HttpRequest, str], None]
) -> HttpResponseBase:
    try:
        send(request, request.session[_PHONE])
        messages.info(request, "Отправили новый код. Прежний больше не действует.")
    except Refused as refusal:
        messages.error(request, refusal.sentence)
    return redirect(page)


def _code_page(request: HttpRequest, form: CodeForm, back: str, button: str) -> HttpResponse:
    context = {"form": form, "phone": request.session[_PHONE], "back": back, "button": button}
    return render(request, "cabinet/code.html", context)


def _signed_in(request: HttpRequest, user: User) -> HttpResponseBase:
    target = request.session.get(_NEXT, "/")
    # A clean session: nothing of what an anonymous visitor gathered stays.
    request.session.flush()
    sign_in(request, user)
    if memberships(user).count() == 1:
        return redirect(target)
    request.session[_NEXT] = target
    return redirect("merchants")


@never_cache
@require_http_methods(_PAGE)
@framed
def merchants(request: HttpRequest) -> HttpResponseBase:
    """Choose the company to work for."""
    user = cast("User", request.user)
    members = list(memberships(user))
    if request.method == "POST":
        chosen = next(
            (row for row in members if str(row.merchant_id) == request.POST.get("merchant")), None
        )
        if chosen is None:
            raise Http404
        choose_merchant(request, chosen.merchant)
        return redirect(request.session.pop(_NEXT, "/"))
    if not members:
        return render(request, "cabinet/no_company.html")
    return render(request, "cabinet/merchants.html", {"members": members})


@require_POST
@framed
def logout(request: HttpRequest) -> HttpResponseBase:
    """End this session."""
    auth.logout(request)
    return redirect("login")


@login_not_required
@never_cache
@require_http_methods(_PAGE)
@framed
def welcome(request: HttpRequest) -> HttpResponseBase:
    """The owner's first entry from the market's cabinet: phone, e-mail, offer and consent."""
    if _entered_merchant(request) is None:
        return redirect("/")
    offer = queries.newest_document(DocumentKind.OFFER)
    consent = queries.newest_document(DocumentKind.CONSENT)
    if offer is None or consent is None:
        return render(request, "cabinet/welcome_closed.html", status=503)
    form = WelcomeForm(request.POST or None, offer=offer, consent=consent)
    if form.is_valid():
        try:
            _introduce(request, form, [offer, consent])
            return redirect("welcome_code")
        except Refused as refusal:
            form.add_error("phone", refusal.sentence)
    return render(request, "cabinet/welcome.html", {"form": form})


def _entered_merchant(request: HttpRequest) -> Merchant | None:
    return Merchant.objects.filter(pk=request.session.get(ENTRY_KEY, 0)).first()


def _introduce(request: HttpRequest, form: WelcomeForm, documents: list[LegalDocument]) -> None:
    said = people.Newcomer(
        phone=form.cleaned_data["phone"],
        email=form.cleaned_data["email"],
        name=form.cleaned_data["name"],
    )
    people.check_may_own(said.phone)
    _send_confirming_code(request, said.phone)
    request.session[_NEWCOMER] = asdict(said)
    request.session[_DOCUMENTS] = [document.pk for document in documents]


def _send_confirming_code(request: HttpRequest, phone: str) -> None:
    pk = codes.send_code(
        phone=phone, address=visitor_address(request), sms=codes.CONFIRM_PHONE, at=clock.now()
    )
    request.session[_CODE], request.session[_PHONE] = pk, phone


@login_not_required
@never_cache
@require_http_methods(_PAGE)
@framed
def welcome_code(request: HttpRequest) -> HttpResponseBase:
    """Confirm the phone; from now on this person is the owner."""
    merchant = _entered_merchant(request)
    if merchant is None or _NEWCOMER not in request.session:
        return redirect("welcome")
    if "again" in request.POST:
        return _again(request, "welcome_code", _send_confirming_code)
    form = CodeForm(request.POST or None)
    if form.is_valid():
        try:
            return _owner_entered(request, merchant, form.cleaned_data["code"])
        except Refused as refusal:
            form.add_error("code", refusal.sentence)
    return _code_page(request, form, "welcome", "Подтвердить")


def _owner_entered(request: HttpRequest, merchant: Merchant, code: str) -> HttpResponseBase:
    now = clock.now()
    said = people.Newcomer(**request.session[_NEWCOMER])
    documents = list(LegalDocument.objects.filter(pk__in=request.session[_DOCUMENTS]))
    codes.use_code(pk=request.session[_CODE], code=code, at=now)
    user = people.enter_first_time(merchant=merchant, newcomer=said, documents=documents, at=now)
    for key in (ENTRY_KEY, _CODE, _PHONE, _NEWCOMER, _DOCUMENTS):
        request.session.pop(key, None)
    sign_in(request, user, merchant)
    return redirect("/")
