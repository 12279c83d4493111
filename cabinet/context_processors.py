"""Template context of every page: navigation, merchant, support, legal links."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import SimpleLazyObject

from cabinet import clock
from cabinet.accounts import rules
from cabinet.enums import DocumentKind, Right, Role
from cabinet.middleware import FRAMED_KEY


@dataclass(frozen=True)
class NavItem:
    """One entry of the navigation."""

    title: str
    url: str
    active: bool


# By name: the pages belong to apps that import this one.
_NAVIGATION = (
    ("Смарт-карты", "cards", Right.SEE_CARDS),
    ("Подписка", "subscription", Right.SEE_SUBSCRIPTION),
    ("Модули", "modules", Right.SEE_SUBSCRIPTION),
    ("Заказы", "orders", Right.SEE_ORDERS),
    ("Компания", "company", Right.SEE_COMPANY),
    ("Сотрудники", "team", Right.MANAGE_TEAM),
    ("Сообщения", "messages", Right.SEE_CARDS),
    ("Документы", "documents", Right.SEE_CARDS),
)


def _nav_items(request: HttpRequest) -> list[NavItem]:
    member = getattr(request, "member", None)
    if member is None:
        return []
    return [
        NavItem(title, url, _is_here(request.path, url))
        for title, name, right in _NAVIGATION
        if rules.may(Role(member.role), right) and (url := _url(name))
    ]


def _url(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""


def _is_here(path: str, url: str) -> bool:
    if url == "/":
        return path == "/" or path.startswith("/cards/")
    return path.startswith(url)


def frame(request: HttpRequest) -> dict[str, Any]:
    """Navigation, merchant, support and legal links; `now`, for texts such as «вчера»."""
    merchant = getattr(request, "merchant", None)
    now = clock.now()
    return {
        "navigation": _nav_items(request),
        "merchant": merchant,
        "merchant_name": merchant.shown_name if merchant else "",
        "member": getattr(request, "member", None),
        "several_merchants": getattr(request, "several_merchants", False),
        "framed": SimpleLazyObject(lambda: bool(request.session.get(FRAMED_KEY))),
        "now": now,
        "support_phone": settings.SUPPORT_PHONE,
        "support_email": settings.SUPPORT_EMAIL,
        "legal_links": [
            {"title": kind.label, "url": reverse("legal", kwargs={"kind": kind.value})}
            for kind in (DocumentKind.OFFER, DocumentKind.PRIVACY)
        ],
        "sandbox_now": now if settings.SANDBOX and clock.offset() else None,
    }
