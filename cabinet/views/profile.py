"""The person's own page."""

from typing import cast

from django.contrib import auth, messages
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from cabinet import clock, queries
from cabinet.access import framed, memberships, refuse
from cabinet.actors import Actor
from cabinet.errors import Refused
from cabinet.forms.people import ProfileForm
from cabinet.models import Consent, LegalDocument, User
from cabinet.services import people
from cabinet.states import ActorKind, DocumentKind


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@framed
def profile(request: HttpRequest) -> HttpResponseBase:
    """Name and e-mail, consents, companies, sessions."""
    match request.POST.get("do", ""):
        case "withdraw":
            return _withdraw(request)
        case "give":
            return _give(request)
        case "end_sessions":
            return _end_sessions(request)
        case _:
            return _edit(request)


def _edit(request: HttpRequest) -> HttpResponseBase:
    user = cast("User", request.user)
    form = ProfileForm(request.POST or None, initial={"name": user.name, "email": user.email})
    if form.is_valid():
        people.update_profile(user=user, **form.cleaned_data, by=_actor(user), at=clock.now())
        messages.success(request, "Профиль сохранён.")
        return redirect("profile")
    return render(
        request,
        "cabinet/profile.html",
        {
            "form": form,
            "person": user,
            "memberships": list(memberships(user)),
            "consents": queries.consents_of(user),
            "withdrawable": DocumentKind.CONSENT.value,
            "to_give": _to_give(user),
        },
    )


def _withdraw(request: HttpRequest) -> HttpResponseBase:
    user = cast("User", request.user)
    consent = Consent.objects.filter(user=user, pk=_number(request.POST.get("consent", ""))).first()
    if consent is None:
        raise Http404
    if "confirm" not in request.POST:
        return render(request, "cabinet/consent_withdraw.html", {"consent": consent})
    try:
        people.withdraw_consent(consent=consent, by=_actor(user), at=clock.now())
    except Refused as refusal:
        return refuse(request, refusal, "profile")
    messages.success(request, "Согласие отозвано. Сотрудник сервиса свяжется с вами.")
    return redirect("profile")


def _to_give(user: User) -> LegalDocument | None:
    """The edition in force, where the person took the latest consent back."""
    given = [one for one in queries.consents_of(user) if one.document.kind == DocumentKind.CONSENT]
    if not given or given[0].withdrawn_at is None:
        return None
    return queries.newest_document(DocumentKind.CONSENT)


def _give(request: HttpRequest) -> HttpResponseBase:
    user = cast("User", request.user)
    document = _to_give(user)
    if document is None:
        return redirect("profile")
    if document.pk != _number(request.POST.get("document", "")):
        messages.warning(request, "Текст согласия успел измениться. Прочитайте новую редакцию.")
        return redirect("profile")
    people.give_consent(user=user, document=document, by=_actor(user), at=clock.now())
    messages.success(request, "Согласие дано снова.")
    return redirect("profile")


def _end_sessions(request: HttpRequest) -> HttpResponseBase:
    user = cast("User", request.user)
    try:
        people.end_sessions(user=user, by=_actor(user), at=clock.now())
    except Refused as refusal:
        return refuse(request, refusal, "profile")
    auth.logout(request)
    messages.success(request, "Все сеансы завершены.")
    return redirect("login")


def _actor(user: User) -> Actor:
    return Actor(ActorKind.PERSON, user.shown_name, user.pk)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0
