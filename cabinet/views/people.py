"""Signing in by phone and code, the first entry, choosing a company, signing out."""

from collections.abc import Callable
from urllib.parse import urlencode

from django.contrib import auth
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from cabinet import clock
from cabinet.accounts import confirmation, queries, stale_forms
from cabinet.accounts.access import (
    ENTRY_KEY,
    allow_framing,
    choose_merchant,
    companies_of,
    memberships,
    sign_in,
    wanted_page,
)
from cabinet.accounts.browser_cookie import Browser, browser_of, remember_browser
from cabinet.accounts.services import login_codes, people
from cabinet.accounts.visitor import visitor_address
from cabinet.enums import DocumentKind
from cabinet.errors import Refused
from cabinet.forms.people import CodeForm, PhoneForm, WelcomeForm
from cabinet.models import LegalDocument, Merchant, User

_CODE, _NEXT, _REGISTRATION, _DOCUMENTS = "code", "next", "newcomer", "documents"
_PAGE = ["GET", "HEAD", "POST"]


@login_not_required
@never_cache
@require_http_methods(_PAGE)
def login(request: HttpRequest) -> HttpResponseBase:
    """Ask for the phone and send a code; the answer is the same whether we know the phone or not."""
    if request.user.is_authenticated:
        return redirect("/")
    form = PhoneForm(request.POST or None)
    browser = browser_of(request)
    if form.is_valid():
        try:
            _send_sign_in_code(request, browser, form.cleaned_data["phone"])
        except Refused as refusal:
            form.add_error("phone", _with_way_to_code(request, form, refusal))
        else:
            response = redirect(_with_next(request, "login_code"))
            remember_browser(response, browser)
            return response
    return render(request, "cabinet/login.html", {"form": form})


def _with_way_to_code(request: HttpRequest, form: PhoneForm, refusal: Refused) -> str:
    """The sentence; with a link where this browser has a code of that very phone to enter."""
    asked = login_codes.newest_code(browser=browser_of(request).secret, at=clock.now())
    sent_to = asked.phone if asked else None
    if not isinstance(refusal, login_codes.TooManyCodes) or sent_to != form.cleaned_data["phone"]:
        return refusal.sentence
    page = _with_next(request, "login_code")
    return format_html('{} <a href="{}">Ввести код</a>', refusal.sentence, page)


def _send_sign_in_code(request: HttpRequest, browser: Browser, phone: str) -> None:
    people.send_sign_in_code(
        phone=phone,
        address=visitor_address(request),
        browser=browser.secret,
        knows=browser.knows,
        at=clock.now(),
    )


def _with_next(request: HttpRequest, page: str) -> str:
    """The address of the page, which carries on where the visitor wanted to go."""
    target = wanted_page(request, default="/")
    return reverse(page) + (f"?{urlencode({'next': target})}" if target != "/" else "")


@login_not_required
@never_cache
@require_http_methods(_PAGE)
def login_code(request: HttpRequest) -> HttpResponseBase:
    """Ask for the code; sign in. No session: the code belongs to the cookie of the browser that asked."""
    browser, now = browser_of(request), clock.now()
    asked = login_codes.newest_code(browser=browser.secret, at=now)
    if asked is None:
        return redirect(_with_next(request, "login"))
    if "again" in request.POST:
        note = _sent_again(lambda: _send_sign_in_code(request, browser, asked.phone))
        return _code_page(request, CodeForm(), asked.phone, "login", "Войти", note)
    form = CodeForm(request.POST or None)
    if form.is_valid():
        try:
            user = people.sign_in_by_code(pk=asked.pk, code=form.cleaned_data["code"], at=now)
            return _signed_in(request, browser, user)
        except login_codes.CodeRefused as refusal:
            form.add_error("code", refusal.sentence)
    return _code_page(request, form, asked.phone, "login", "Войти")


def _sent_again(send: Callable[[], None]) -> tuple[str, str]:
    """Tone and sentence of what came of it."""
    try:
        send()
    except Refused as refusal:
        return "error", refusal.sentence
    return "info", "Отправили новый код."


def _code_page(
    request: HttpRequest,
    form: CodeForm,
    phone: str,
    back: str,
    button: str,
    note: tuple[str, str] = ("", ""),
) -> HttpResponse:
    tone, sentence = note
    context = {"form": form, "phone": phone, "back": _with_next(request, back), "button": button}
    return render(request, "cabinet/code.html", context | {"tone": tone, "note": sentence})


def _signed_in(request: HttpRequest, browser: Browser, user: User) -> HttpResponseBase:
    target = wanted_page(request, default="/")
    # A clean session: nothing of what an anonymous visitor gathered stays.
    request.session.flush()
    sign_in(request, user)
    if not browser.has_seen(user):
        people.tell_new_device(user=user, at=clock.now())
    if memberships(user).count() == 1:
        response = redirect(target)
    else:
        request.session[_NEXT] = target
        response = redirect("merchants")
    remember_browser(response, browser.with_person(user))
    return response


@never_cache
@require_http_methods(_PAGE)
@allow_framing
@confirmation.asks_for_code
def merchants(request: HttpRequest) -> HttpResponseBase:
    """Choose the company to work for."""
    members = list(companies_of(request))
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
@allow_framing
def logout(request: HttpRequest) -> HttpResponseBase:
    """End this session."""
    auth.logout(request)
    return redirect("login")


@login_not_required
@never_cache
@require_http_methods(_PAGE)
@allow_framing
def welcome(request: HttpRequest) -> HttpResponseBase:
    """The owner's first entry from the market's cabinet: phone, e-mail, offer and consent."""
    merchant = _entered_merchant(request)
    if merchant is None:
        return redirect("/")
    if request.method == "POST" and stale_forms.posted_company(request) not in {None, merchant.pk}:
        return stale_forms.other_company(request, None)
    offer = queries.newest_document(DocumentKind.OFFER)
    consent = queries.newest_document(DocumentKind.CONSENT)
    if offer is None or consent is None:
        return render(request, "cabinet/welcome_closed.html", status=503)
    form = WelcomeForm(request.POST or None, offer=offer, consent=consent)
    if form.is_valid():
        try:
            people.check_has_no_owner(merchant)
            _start_registration(request, form, [offer, consent])
            return redirect("welcome_code")
        except Refused as refusal:
            form.add_error("phone", refusal.sentence)
    return render(request, "cabinet/welcome.html", {"form": form, "merchant": merchant})


def _entered_merchant(request: HttpRequest) -> Merchant | None:
    return Merchant.objects.filter(pk=request.session.get(ENTRY_KEY, 0)).first()


def _start_registration(
    request: HttpRequest, form: WelcomeForm, documents: list[LegalDocument]
) -> None:
    typed = {name: form.cleaned_data[name] for name in ("phone", "email", "name")}
    people.check_can_be_owner(typed["phone"])
    _send_confirming_code(request, typed["phone"])
    request.session[_REGISTRATION] = typed
    request.session[_DOCUMENTS] = [document.pk for document in documents]


def _send_confirming_code(request: HttpRequest, phone: str) -> None:
    request.session[_CODE] = login_codes.send_code(
        phone=phone, address=visitor_address(request), sms=login_codes.CONFIRM_PHONE, at=clock.now()
    )


@login_not_required
@never_cache
@require_http_methods(_PAGE)
@allow_framing
def welcome_code(request: HttpRequest) -> HttpResponseBase:
    """Confirm the phone; from now on this person is the owner."""
    merchant = _entered_merchant(request)
    if merchant is None or _REGISTRATION not in request.session:
        return redirect("welcome")
    phone = request.session[_REGISTRATION]["phone"]
    if "again" in request.POST:
        note = _sent_again(lambda: _send_confirming_code(request, phone))
        return _code_page(request, CodeForm(), phone, "welcome", "Подтвердить", note)
    form = CodeForm(request.POST or None)
    if form.is_valid():
        try:
            return _owner_entered(request, merchant, form.cleaned_data["code"])
        except Refused as refusal:
            form.add_error("code", refusal.sentence)
    return _code_page(request, form, phone, "welcome", "Подтвердить")


def _owner_entered(request: HttpRequest, merchant: Merchant, code: str) -> HttpResponseBase:
    now = clock.now()
    typed = request.session[_REGISTRATION]
    documents = list(LegalDocument.objects.filter(pk__in=request.session[_DOCUMENTS]))
    proved = typed | {"phone": login_codes.use_code(pk=request.session[_CODE], code=code, at=now)}
    browser, earlier = browser_of(request), people.user_by_phone(proved["phone"])
    user = people.register_owner(merchant=merchant, **proved, documents=documents, at=now)
    if earlier is not None and not browser.has_seen(earlier):
        people.tell_new_device(user=user, at=now)
    for key in (ENTRY_KEY, _CODE, _REGISTRATION, _DOCUMENTS):
        request.session.pop(key, None)
    sign_in(request, user, merchant)
    confirmation.mark_entered(request, merchant)
    confirmation.mark_proved(request, now)
    response = redirect("/")
    remember_browser(response, browser.with_person(user))
    return response
