"""The person's own page."""

from typing import cast

from django.contrib import auth, messages
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from cabinet import clock
from cabinet.accounts import queries, stale_forms
from cabinet.accounts.access import allow_framing, companies_of, redirect_with_error
from cabinet.accounts.confirmation import asks_for_code, require_code
from cabinet.accounts.services import people, second_factor
from cabinet.accounts.services import sessions as session_service
from cabinet.actors import Actor
from cabinet.enums import ActorKind, DocumentKind
from cabinet.errors import Refused
from cabinet.forms.people import ProfileForm
from cabinet.models import Consent, LegalDocument, User, UserSession


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@allow_framing
@asks_for_code
def profile(request: HttpRequest) -> HttpResponseBase:
    """Name and e-mail, consents, companies, sessions."""
    if request.POST.get(stale_forms.FOR_PERSON, str(request.user.pk)) != str(request.user.pk):
        return stale_forms.other_person(request)
    match request.POST.get("do", ""):
        case "withdraw":
            return _withdraw(request)
        case "give":
            return _give(request)
        case "end_sessions":
            return _end_sessions(request)
        case "end_session":
            return _end_session(request)
        case _:
            return _edit(request)


# A browser that keeps no cookie in the market's frame opens a session at every entry.
SESSIONS_SHOWN = 20


def _edit(request: HttpRequest) -> HttpResponseBase:
    user = cast("User", request.user)
    form = ProfileForm(request.POST or None, initial={"name": user.name, "email": user.email})
    if form.is_valid():
        if form.cleaned_data["email"] != user.email:
            require_code(request)
        people.update_profile(user=user, **form.cleaned_data, by=_actor(user), at=clock.now())
        messages.success(request, "Профиль сохранён.")
        return redirect("profile")
    sessions = queries.sessions_of(user)
    return render(
        request,
        "cabinet/profile.html",
        {
            "form": form,
            "person": user,
            "memberships": list(companies_of(request)),
            "consents": queries.consents_of(user),
            "withdrawable": DocumentKind.CONSENT.value,
            "to_give": _to_give(user),
            "sessions": list(sessions[:SESSIONS_SHOWN]),
            "more_sessions": max(0, sessions.count() - SESSIONS_SHOWN),
            "this_session": request.session.session_key,
            "now": clock.real_now(),  # as the times of sessions
            "has_second_factor": second_factor.is_set_up(user),
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
        return redirect_with_error(request, refusal, "profile")
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
    require_code(request)
    user = cast("User", request.user)
    try:
        people.end_sessions(user=user, by=_actor(user), at=clock.now())
    except Refused as refusal:
        return redirect_with_error(request, refusal, "profile")
    auth.logout(request)
    messages.success(request, "Все сеансы завершены.")
    return redirect("login")


def _end_session(request: HttpRequest) -> HttpResponseBase:
    require_code(request)
    user = cast("User", request.user)
    pk = _number(request.POST.get("session", ""))
    row = UserSession.objects.filter(user=user, pk=pk).select_related("user").first()
    if row is None:
        raise Http404
    session_service.end(row=row, by=_actor(user), at=clock.now())
    messages.success(request, "Сеанс завершён.")
    return redirect("profile")


def _actor(user: User) -> Actor:
    return Actor(ActorKind.PERSON, user.shown_name, user.pk)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0
