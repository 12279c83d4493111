"""The second factor of a person: setting it up, asking for it when staff sign in."""

from typing import cast

import segno
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from cabinet import clock
from cabinet.accounts.access import allow_framing, wanted_page
from cabinet.accounts.confirmation import asks_for_code, mark_proved, require_code
from cabinet.accounts.services import second_factor, sessions
from cabinet.actors import Actor
from cabinet.crypto import decrypt, encrypt
from cabinet.enums import ActorKind
from cabinet.errors import Refused
from cabinet.forms.second_factor import FactorCodeForm
from cabinet.models import User

_PAGE = ["GET", "HEAD", "POST"]
# Pixels of one module of the QR code.
_QR_SCALE = 4
_NEW_KEY = "new_factor_key"


@never_cache
@require_http_methods(_PAGE)
def ask(request: HttpRequest) -> HttpResponseBase:
    """After the password of staff: the code, then on to where the person wanted to go."""
    user = cast("User", request.user)
    if not user.is_staff or not sessions.is_factor_missing(request.session):
        return redirect(_next(request))
    if not second_factor.is_set_up(user):
        return redirect("second_factor")
    form = FactorCodeForm(request.POST or None)
    if form.is_valid():
        if second_factor.check(user=user, code=form.cleaned_data["code"], at=clock.now()):
            _passed(request)
            return redirect(_next(request))
        form.add_error("code", second_factor.WRONG)
    return render(request, "cabinet/second_factor_ask.html", {"form": form})


def _passed(request: HttpRequest) -> None:
    sessions.pass_factor(session=request.session)
    mark_proved(request, clock.now())


def _next(request: HttpRequest) -> str:
    return wanted_page(request, default=_home(cast("User", request.user)))


def _home(user: User) -> str:
    return "admin:index" if user.is_staff else "profile"


@never_cache
@require_http_methods(_PAGE)
@allow_framing
@asks_for_code
def settings(request: HttpRequest) -> HttpResponseBase:
    """Set the app up by its QR code and first code; new recovery codes, switch it off."""
    user = cast("User", request.user)
    if not second_factor.is_set_up(user):
        require_code(request)
    form = FactorCodeForm(request.POST or None)
    if form.is_valid():
        try:
            return _change(request, user, form.cleaned_data["code"])
        except Refused as refusal:
            form.add_error("code", refusal.sentence)
    if second_factor.is_set_up(user):
        return render(request, "cabinet/second_factor.html", {"form": form})
    return _set_up_page(request, user, form)


def _set_up_page(request: HttpRequest, user: User, form: FactorCodeForm) -> HttpResponse:
    secret = _secret(request)
    picture = segno.make(second_factor.app_address(user=user, secret=secret))
    context = {
        "form": form,
        "required": second_factor.is_required(user),
        "secret": secret,
        "qr": picture.png_data_uri(scale=_QR_SCALE),
    }
    return render(request, "cabinet/second_factor_set_up.html", context)


def _secret(request: HttpRequest) -> str:
    """The key for the app, the same until it is confirmed; in the session, encrypted."""
    if _NEW_KEY not in request.session:
        request.session[_NEW_KEY] = encrypt(second_factor.new_secret())
    return decrypt(request.session[_NEW_KEY])


def _change(request: HttpRequest, user: User, code: str) -> HttpResponseBase:
    by, now = Actor(ActorKind.PERSON, user.shown_name, user.pk), clock.now()
    match request.POST.get("do", ""):
        case "set_up":
            secret = _secret(request)
            codes = second_factor.set_up(user=user, secret=secret, code=code, by=by, at=now)
            del request.session[_NEW_KEY]
            _passed(request)
        case "new_codes":
            codes = second_factor.renew_recovery_codes(user=user, code=code, by=by, at=now)
        case "switch_off":
            second_factor.switch_off(user=user, code=code, by=by, at=now)
            messages.success(request, "Код из приложения больше не спрашиваем.")
            return redirect("profile")
        case _:
            return redirect("second_factor")
    context = {"codes": codes, "home": _home(user)}
    return render(request, "cabinet/recovery_codes.html", context)
