"""Messages to the people of a company: what was sent, what to send, and the pages behind links in e-mails."""

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cabinet import clock
from cabinet.accounts import queries
from cabinet.accounts.access import MerchantRequest, actor_for, merchant_page
from cabinet.accounts.services import email_confirmation, message_choice
from cabinet.enums import MessageChannel, MessageEvent, Right
from cabinet.messaging import links

PER_PAGE = 30
_PAGE = ["GET", "HEAD", "POST"]


@require_safe
@merchant_page(Right.SEE_CARDS)
def sent(request: MerchantRequest) -> HttpResponseBase:
    """What was sent in this company: to everybody for an owner, to oneself for the others."""
    rows = queries.messages_for(request.member)
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    names = queries.member_names(request.merchant)
    # Whoever has left the company keeps no name here.
    shown = [(row, names.get(row.user_id or 0, "")) for row in page]
    return render(request, "cabinet/messages.html", {"page": page, "rows": shown})


@require_http_methods(_PAGE)
@merchant_page(Right.SEE_CARDS)
def settings(request: MerchantRequest) -> HttpResponseBase:
    """Which messages the person gets in this company, by which channel."""
    if request.method == "POST":
        message_choice.choose(
            member=request.member, wanted=_ticked(request), by=request.actor, at=clock.now()
        )
        messages.success(request, "Сохранено.")
        return redirect("message_settings")
    context = {"choices": queries.message_choices(request.member), "person": request.member.user}
    return render(request, "cabinet/message_settings.html", context)


def _ticked(request: HttpRequest) -> set[tuple[MessageEvent, MessageChannel]]:
    return {
        (event, channel)
        for event in MessageEvent
        for channel in MessageChannel
        if f"{event}.{channel}" in request.POST
    }


@require_POST
@merchant_page(Right.SEE_CARDS)
def send_link(request: MerchantRequest) -> HttpResponseBase:
    """Send the link that confirms the person's e-mail once more."""
    if email_confirmation.send_link(user=request.member.user, at=clock.now()):
        messages.success(request, "Отправили письмо со ссылкой. Она действует 3 дня.")
    else:
        messages.error(
            request, "Письмо не отправлено: адрес уже подтверждён или писем сегодня было пять."
        )
    return redirect("message_settings")


@login_not_required
@never_cache
@require_http_methods(_PAGE)
def confirm_email(request: HttpRequest) -> HttpResponseBase:
    """`GET` shows a button, `POST` confirms the address; whoever holds the link holds the mailbox."""
    key = request.GET.get("key", "")
    if request.method == "POST":
        state = "done" if email_confirmation.confirm(key=key, at=clock.now()) else "wrong"
    else:
        state = "ask" if links.user_to_confirm(key) else "wrong"
    status = 404 if state == "wrong" else 200
    return render(request, "cabinet/confirm_email.html", {"state": state}, status=status)


@login_not_required
@never_cache
@require_http_methods(_PAGE)
def unsubscribe(request: HttpRequest) -> HttpResponseBase:
    """`GET` shows a button, `POST` ends e-mails about one event; without signing in."""
    found = links.subscription_of(request.GET.get("key", ""))
    if found is None:
        return render(request, "cabinet/unsubscribe.html", {"state": "wrong"}, status=404)
    member, event = found
    if request.method == "POST":
        by, at = actor_for(member), clock.now()
        message_choice.unsubscribe(member=member, event=event, by=by, at=at)
    state = "done" if request.method == "POST" else "ask"
    return render(request, "cabinet/unsubscribe.html", {"state": state, "event": event.label})
