"""Invented shops, terminals and employees of a merchant, as the cloud API tells them."""

from typing import Any

from cabinet.demo import MERCHANTS, DemoMerchant

CREATED = "2026-01-10T09:00:00.000+0000"
OFFSET_MS = 3 * 3600 * 1000
MODELS = ("7_3", "5_I", "10", "POWER")
NAMES = (("Касса у входа", "Касса в зале"), ("Касса 1", "Выездная касса"))
SHOPS = (
    ("Магазин на Садовой", "Москва, Садовая ул., д. 3"),
    ("Магазин у вокзала", "Москва, Привокзальная пл., д. 1"),
)

Rows = list[dict[str, Any]]


def stores(user_id: str) -> Rows:
    """Two shops."""
    demo = _demo(user_id)
    if demo is not None:
        return [_store(user_id, shop.evotor_id, shop.name, shop.address) for shop in demo.shops]
    return [
        _store(user_id, _id(user_id, 1, number), name, address)
        for number, (name, address) in enumerate(SHOPS, start=1)
    ]


def devices(user_id: str) -> Rows:
    """Two terminals in each shop."""
    demo = _demo(user_id)
    return _own_devices(user_id) if demo is None else _demo_devices(user_id, demo)


def employees(user_id: str) -> Rows:
    """An administrator and a cashier."""
    places = [row["id"] for row in stores(user_id)]
    people = (("Иван", "Примеров", "ADMIN"), ("Мария", "Образцова", "CASHIER"))
    return [
        {
            "id": _id(user_id, 3, number),
            "name": name,
            "last_name": last_name,
            "stores": places,
            "role": role,
            **_owned(user_id),
        }
        for number, (name, last_name, role) in enumerate(people, start=1)
    ]


def _demo(user_id: str) -> DemoMerchant | None:
    return next((one for one in MERCHANTS if one.evotor_user_id == user_id), None)


def _demo_devices(user_id: str, demo: DemoMerchant) -> Rows:
    return [
        {
            **_device(user_id, till.evotor_id, shop.evotor_id, till.name, till.model),
            "serial_number": till.serial_number,
            "imei": till.imei,
        }
        for shop in demo.shops
        for till in shop.terminals
    ]


def _own_devices(user_id: str) -> Rows:
    places = [(shop, name) for shop, names in enumerate(NAMES, start=1) for name in names]
    return [
        {
            **_device(user_id, _id(user_id, 2, number), _id(user_id, 1, shop), name, model),
            "serial_number": f"0030{int(user_id[3:]) % 10**7:07}{number:03}",
        }
        for number, ((shop, name), model) in enumerate(zip(places, MODELS, strict=True), start=1)
    ]


def _store(user_id: str, store_id: str, name: str, address: str) -> dict[str, Any]:
    return {"id": store_id, "name": name, "address": address, **_owned(user_id)}


def _device(user_id: str, device_id: str, store_id: str, name: str, model: str) -> dict[str, Any]:
    return {
        "id": device_id,
        "name": name,
        "store_id": store_id,
        "timezone_offset": OFFSET_MS,
        "device_model": model,
        **_owned(user_id),
    }


def _owned(user_id: str) -> dict[str, Any]:
    return {"user_id": user_id, "created_at": CREATED, "updated_at": CREATED}


def _id(user_id: str, kind: int, number: int) -> str:
    """Like the market's own: a date, then groups of a uuid in upper case."""
    return f"20260110-{kind:04}-40E0-80{number:02}-{int(user_id[3:]) % 10**12:012}"
