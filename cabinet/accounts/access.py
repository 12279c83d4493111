"""From a request to a merchant's rows: session, membership, rights, framing.

Views get a merchant's row only through `merchant_page` and `own_or_404`.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

from csp.decorators import csp_replace
from django.conf import settings
from django.contrib import auth, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_exempt

from cabinet.accounts import confirmation, rules, stale_forms
from cabinet.actors import Actor
from cabinet.enums import ActorKind, Right, Role
from cabinet.errors import NotAllowed, Refused
from cabinet.models import Member, Merchant, User

MERCHANT_KEY = "merchant_id"
# Session key: the market has authenticated this merchant, which has no owner of ours yet.
ENTRY_KEY = "entry_merchant_id"
# A person with more companies than this chooses among the first ones.
MAX_MERCHANTS = 300
_DEFAULT_ZONE = ZoneInfo(settings.TIME_ZONE)
RowT = TypeVar("RowT", bound=Model)
View = Callable[..., HttpResponseBase]


class MerchantRequest(HttpRequest):
    """The request that a view under `merchant_page` gets: merchant, member and actor are set."""

    user: User
    member: Member
    merchant: Merchant
    actor: Actor
    several_merchants: bool


def actor_for(member: Member) -> Actor:
    """The member as the author of a change, for services and the audit log."""
    return Actor(
        kind=ActorKind.PERSON,
        name=member.shown_name,
        user_id=member.user_id,
        role=Role(member.role),
    )


def companies_of(request: HttpRequest) -> QuerySet[Member]:
    """The companies that the person may work for in this session; of one that the market opened, only that one."""
    rows, only = memberships(cast("User", request.user)), confirmation.only_company(request)
    return rows if only is None else rows.filter(merchant_id=only)


def memberships(user: User) -> QuerySet[Member]:
    """The companies a person belongs to, oldest first; merchant and user are loaded with each."""
    return (
        Member.objects.filter(user=user).select_related("merchant", "user").order_by("merchant_id")
    )


class MerchantMiddleware:
    """Sets `request.merchant`, `member` and `actor`: of the chosen company, or of the only one.

    Activates the merchant's time zone for the request.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # Health probes need no session and must be answered without a database.
        if request.path.startswith("/health/"):
            return self._get_response(request)
        anonymous = not request.user.is_authenticated
        zone = _DEFAULT_ZONE if anonymous else self._set_merchant(request)
        if request.path.startswith("/admin/"):
            zone = _DEFAULT_ZONE  # which the pages of staff name
        with timezone.override(zone):
            response = self._get_response(request)
            # The sign-in page may not be framed: a redirect to it would leave the frame blank.
            target = response.headers.get("Location", "")
            if not target.startswith(resolve_url(settings.LOGIN_URL)):
                return response
            if anonymous and request.method == "POST" and stale_forms.is_ours(request):
                return allow_framing(stale_forms.before_sign_out)(request)
            return allow_framing(_session_over)(request) if is_framed_request(request) else response

    def _set_merchant(self, request: HttpRequest) -> ZoneInfo:
        rows = list(companies_of(request)[:MAX_MERCHANTS])
        marked = cast("MerchantRequest", request)
        marked.several_merchants = len(rows) > 1
        chosen = request.session.get(MERCHANT_KEY)
        member = next((row for row in rows if row.merchant_id == chosen), None)
        if member is None and len(rows) == 1:
            member = rows[0]
        if member is None:
            return _DEFAULT_ZONE
        return _work_for(request, member)


def _work_for(request: HttpRequest, member: Member) -> ZoneInfo:
    marked = cast("MerchantRequest", request)
    marked.member, marked.merchant, marked.actor = member, member.merchant, actor_for(member)
    return ZoneInfo(member.merchant.timezone)


def _session_over(request: HttpRequest) -> HttpResponse:
    return render(request, "cabinet/session_over.html", status=403)


def choose_merchant(request: HttpRequest, merchant: Merchant) -> None:
    """Make this the merchant of the session; the caller has checked the membership."""
    request.session[MERCHANT_KEY] = merchant.pk


def sign_in(request: HttpRequest, user: User, merchant: Merchant | None = None) -> None:
    """Open a session for the person under a new key, for `merchant` or for the only company they have."""
    auth.login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    for key in (MERCHANT_KEY, *confirmation.KEYS):
        request.session.pop(key, None)
    if merchant is not None:
        choose_merchant(request, merchant)


def allow_framing(view: View) -> View:
    """Decorator: the page may be framed by EVOTOR_FRAME_ANCESTORS and by ourselves, by nobody else."""
    allowed = csp_replace({"frame-ancestors": ["'self'", *settings.EVOTOR_FRAME_ANCESTORS]})
    return cast("View", xframe_options_exempt(allowed(view)))


def is_framed_request(request: HttpRequest) -> bool:
    """Whether the browser says that it loads this page into a frame (`Sec-Fetch-Dest`)."""
    return request.headers.get("Sec-Fetch-Dest") in {"iframe", "frame"}


def merchant_page(right: Right) -> Callable[[View], View]:
    """Decorator of a merchant's page: signed in, a company is chosen, the role has the right.

    Without a company it redirects to the choice of one; without the right, or where the view raises
    NotAllowed, it answers 403 with the sentence of the rule. A form that was opened for another company
    (`{% company_field %}`) never reaches the view: 403 with what was typed. Where the view raises
    `confirmation.CodeNeeded`, a page asks for the code.
    """

    def decorate(view: View) -> View:
        @confirmation.asks_for_code
        def permitted(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            member: Member = cast("MerchantRequest", request).member
            try:
                rules.check_may(Role(member.role), right)
                return view(request, *args, **kwargs)
            except NotAllowed as refusal:
                raise PermissionDenied(refusal.sentence) from refusal

        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if _is_of_another_company(request) and not _switched_to_form(request):
                return stale_forms.other_company(request, _member_of_form(request))
            if not hasattr(request, "member"):
                return redirect("merchants")
            return permitted(request, *args, **kwargs)

        return allow_framing(never_cache(guarded))

    return decorate


def _is_of_another_company(request: HttpRequest) -> bool:
    # A form without the field was opened before forms carried it.
    posted = stale_forms.posted_company(request) if request.method == "POST" else None
    merchant: Merchant | None = getattr(request, "merchant", None)
    return posted is not None and (merchant is None or merchant.pk != posted)


def _member_of_form(request: HttpRequest) -> Member | None:
    merchant_id = stale_forms.posted_company(request) or 0
    return companies_of(request).filter(merchant_id=merchant_id).first()


def _switched_to_form(request: HttpRequest) -> bool:
    """Go back to the company of the form, where the person asked for it and belongs there."""
    member = _member_of_form(request) if stale_forms.SWITCH in request.POST else None
    if member is None:
        return False
    choose_merchant(request, member.merchant)
    timezone.activate(_work_for(request, member))  # the middleware puts the earlier one back
    return True


def own_or_404(rows: QuerySet[RowT], merchant: Merchant, **lookup: Any) -> RowT:
    """The merchant's own row. Raises Http404 where there is none, also for a row of another merchant."""
    row = rows.filter(merchant=merchant, **lookup).first()
    if row is None:
        raise Http404
    return row


def wanted_page(request: HttpRequest, *, default: str) -> str:
    """Where the visitor wanted to go before signing in, `?next=`: a path of ours, else `default`."""
    target = request.GET.get("next", "")
    # A text without a slash would be taken for the name of a page.
    ours = target.startswith("/") and url_has_allowed_host_and_scheme(
        target, {request.get_host()}, require_https=request.is_secure()
    )
    return target if ours else default


def redirect_with_error(request: HttpRequest, refusal: Refused, back: str) -> HttpResponseRedirect:
    """Redirect to the page named `back` with the sentence of the refusal as an error message."""
    messages.error(request, refusal.sentence)
    return redirect(back)
