"""The market's cloud API, version 2: shops, terminals, employees of one merchant, pages by cursor."""

from collections.abc import Callable
from typing import Any

from django.conf import settings

from cabinet.sandbox.http import Request, Response, Route, json_response
from subscriptions.evotor.sandbox import shops
from subscriptions.evotor.sandbox.book import Account
from subscriptions.evotor.sandbox.market import Market

# Small, so that paging happens: the real one gives up to a thousand.
PAGE = 2
LISTS: dict[str, Callable[[str], shops.Rows]] = {
    "stores": shops.stores,
    "devices": shops.devices,
    "employees": shops.employees,
}


class Cloud:
    """Routes below `/evotor`, where settings.EVOTOR_API_URL points by default."""

    def __init__(self, market: Market) -> None:
        self._market = market

    def routes(self) -> list[Route]:
        """Lists by a merchant's token, and the application's own list of events."""
        return [
            Route("GET", r"/evotor/(?P<name>stores|devices|employees)", self._list),
            Route("GET", r"/evotor/api/apps/(?P<product>[^/]+)/events", self._events),
        ]

    def _list(self, request: Request) -> Response:
        account = self._market.by_cloud_token(_bearer(request))
        if account is None:
            return _error(401, "unauthorized", "token is unknown")
        return _refused(account) or _page(LISTS[request.match["name"]](account.user_id), request)

    def _events(self, request: Request) -> Response:
        if _bearer(request) not in settings.EVOTOR_APP_TOKENS:
            return _error(401, "unauthorized", "token is unknown")
        product = request.match["product"]
        mine = [one for one in self._market.events() if one["productId"] == product]
        return _page([_purchase(one) for one in mine], request)


# The events API has words of its own (seen in a client of 2025).
ACTIONS = {
    "SubscriptionActivated": "Activated",
    "SubscriptionRenewed": "Renewed",
    "SubscriptionTermsChanged": "TermsChanged",
    "SubscriptionTerminationRequested": "CancellationRequested",
    "SubscriptionTerminated": "Cancelled",
}


def _purchase(body: dict[str, Any]) -> dict[str, Any]:
    action = ACTIONS.get(body["type"], body["type"])
    return {
        "type": "MarketplacePurchase",
        "source": "APPLICATION",
        "action": action,
        "payload": body,
    }


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _refused(account: Account) -> Response | None:
    """403 after the removal, 402 where nothing is paid any more (documentation-api, 2017)."""
    holdings = account.holdings.values()
    if not any(holding.installed for holding in holdings):
        return _error(403, "forbidden", "application is not installed")
    if not any(holding.deal and holding.deal.live for holding in holdings):
        return _error(402, "payment_required", "subscription is not active")
    return None


def _page(rows: shops.Rows, request: Request) -> Response:
    cursor = request.query.get("cursor", ["0"])[0]
    if not (cursor.isascii() and cursor.isdigit()):
        return _error(400, "bad_cursor", "cursor is unknown")
    start = int(cursor)
    after = start + PAGE
    paging = {"next_cursor": str(after)} if after < len(rows) else {}
    return json_response({"items": rows[start:after], "paging": paging})


def _error(status: int, code: str, message: str) -> Response:
    return json_response({"code": code, "message": message}, status)
