"""The market's cloud API, version 2: shops and terminals of one merchant, pages by cursor."""

from collections.abc import Callable
from typing import Any

from werkzeug.routing import Rule

from cabinet.demo import MERCHANTS, DemoShop, DemoTerminal
from cabinet.sandbox.http import Request, Response, json_response, route
from subscriptions.evotor.sandbox.accounts import Account, number_of
from subscriptions.evotor.sandbox.market import Market

Rows = list[dict[str, Any]]
# Small, so that paging happens: the real one gives up to a thousand.
PAGE = 2


def cloud_route(market: Market) -> Rule:
    """Lists by a merchant's token below `/evotor`, where settings.EVOTOR_API_URL points by default."""

    def answer(request: Request, name: str) -> Response:
        account = market.by_cloud_token(request.bearer_token)
        if account is None:
            return _error(401, "unauthorized", "token is unknown")
        return _refused(account) or _page(_LISTS[name](account.user_id), request)

    return route("GET", "/evotor/<any(stores, devices):name>", answer)


def _refused(account: Account) -> Response | None:
    """403 after the removal, 402 where nothing is paid any more (documentation-api, 2017)."""
    modules = account.modules.values()
    if not any(module.installed for module in modules):
        return _error(403, "forbidden", "application is not installed")
    if not any(module.subscription and module.subscription.live for module in modules):
        return _error(402, "payment_required", "subscription is not active")
    return None


def _page(rows: Rows, request: Request) -> Response:
    cursor = request.args.get("cursor", "0")
    if not (cursor.isascii() and cursor.isdigit()):
        return _error(400, "bad_cursor", "cursor is unknown")
    start = int(cursor)
    after = start + PAGE
    paging = {"next_cursor": str(after)} if after < len(rows) else {}
    return json_response({"items": rows[start:after], "paging": paging})


def _error(status: int, code: str, message: str) -> Response:
    return json_response({"code": code, "message": message}, status)


CREATED = "2026-01-10T09:00:00.000+0000"
OFFSET_MS = 3 * 3600 * 1000
# The shops of a merchant who is not from the demo data: name, address, terminals.
SHOPS = (
    ("Магазин на Садовой", "Москва, Садовая ул., д. 3", ("Касса у входа", "Касса в зале")),
    ("Магазин у вокзала", "Москва, Привокзальная пл., д. 1", ("Касса 1", "Выездная касса")),
)


def stores(user_id: str) -> Rows:
    """The merchant's shops."""
    return [
        {"id": shop.evotor_id, "name": shop.name, "address": shop.address, **_owned(user_id)}
        for shop in _shops(user_id)
    ]


def devices(user_id: str) -> Rows:
    """The terminals of its shops."""
    return [
        {
            "id": till.evotor_id,
            "name": till.name,
            "store_id": shop.evotor_id,
            "timezone_offset": OFFSET_MS,
            "device_model": till.model,
            "serial_number": till.serial_number,
            "imei": till.imei,
            **_owned(user_id),
        }
        for shop in _shops(user_id)
        for till in shop.terminals
    ]


_LISTS: dict[str, Callable[[str], Rows]] = {"stores": stores, "devices": devices}


def _shops(user_id: str) -> tuple[DemoShop, ...]:
    demo = next((one for one in MERCHANTS if one.evotor_user_id == user_id), None)
    return demo.shops if demo else tuple(_invented(user_id, number) for number in range(len(SHOPS)))


def _invented(user_id: str, number: int) -> DemoShop:
    # Ids like the market's own: a date, then groups of a uuid in upper case.
    merchant = number_of(user_id)
    shop_id = f"20260110-{number:04}-40E0-8001-{merchant % 10**12:012}"
    name, address, tills = SHOPS[number]
    terminals = tuple(
        DemoTerminal(
            evotor_id=f"20260110-{number:04}-40E0-8002-{till_number}{merchant % 10**11:011}",
            name=till,
            serial_number=f"0030{merchant % 10**7:07}{number}{till_number:02}",
            imei="",
            model="7_3",
        )
        for till_number, till in enumerate(tills)
    )
    return DemoShop(shop_id, name, address, terminals)


def _owned(user_id: str) -> dict[str, Any]:
    return {"user_id": user_id, "created_at": CREATED, "updated_at": CREATED}
