"""Terminals, shops and employees, as the market's hooks and its cloud API list them.

Version 1 is a bare array in camelCase, version 2 an object with `items` in snake_case (docs of
2017; seen in production 2024). Ids are folded to lower case, since the market's own look like a
uuid in upper case and are to be compared without regard to it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from subscriptions.evotor.fields import Fields, fields_of, shown, text, whole

ID_LIMIT = 64
TEXT_LIMIT = 500
MAX_ROWS = 100_000
MAX_STORES = 10_000
MAX_OFFSET_MS = 18 * 3600 * 1000
MAX_PHONE = 10**15

Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True)
class Device:
    """A terminal. `timezone_offset_ms` is milliseconds east of UTC; "" is what was not sent."""

    id: str
    name: str
    store_id: str | None = None
    timezone_offset_ms: int | None = None
    serial_number: str = ""
    imei: str = ""
    model: str = ""


@dataclass(frozen=True, kw_only=True)
class Store:
    """A shop."""

    id: str
    name: str
    address: str = ""


@dataclass(frozen=True, kw_only=True)
class Employee:
    """A person of the merchant; `phone` is digits or "", `role` the market's word or ""."""

    id: str
    name: str
    last_name: str = ""
    patronymic_name: str = ""
    phone: str = ""
    store_ids: tuple[str, ...] = ()
    role: str = ""
    role_id: str = ""


def parse_devices(payload: object) -> tuple[Device, ...]:
    """The terminals of one list. Raises SchemaError 2002 or 2003."""
    return _parse(payload, _device)


def parse_stores(payload: object) -> tuple[Store, ...]:
    """The shops of one list. Raises SchemaError 2002 or 2003."""
    return _parse(payload, _store)


def parse_employees(payload: object) -> tuple[Employee, ...]:
    """The employees of one list. Raises SchemaError 2002 or 2003, never with a phone."""
    return _parse(payload, _employee)


def _parse(payload: object, parse: Callable[[Fields], Row]) -> tuple[Row, ...]:
    envelope = Fields({"items": payload}) if isinstance(payload, list) else fields_of(payload)
    return tuple(parse(row) for row in envelope.objects("items", MAX_ROWS))


def _device(row: Fields) -> Device:
    return Device(
        id=_id(row),
        name=_optional_text(row, "name"),
        store_id=row.optional(_folded_id, "storeUuid", "store_id", "storeId"),
        timezone_offset_ms=row.optional(
            whole(-MAX_OFFSET_MS, MAX_OFFSET_MS), "timezoneOffset", "timezone_offset"
        ),
        serial_number=_optional_text(row, "serial_number", "serialNumber"),
        imei=_optional_text(row, "imei"),
        model=_optional_text(row, "device_model", "model", "deviceModel"),
    )


def _store(row: Fields) -> Store:
    return Store(id=_id(row), name=_name(row), address=_optional_text(row, "address"))


def _employee(row: Fields) -> Employee:
    return Employee(
        id=_id(row),
        name=_name(row),
        last_name=_optional_text(row, "lastName", "last_name"),
        patronymic_name=_optional_text(row, "patronymicName", "patronymic_name"),
        phone=row.optional(_phone, "phone", secret=True) or "",
        store_ids=_store_ids(row),
        role=_optional_text(row, "role"),
        role_id=_optional_text(row, "role_id", "roleId").lower(),
    )


def _id(row: Fields) -> str:
    return row.required(_folded_id, "uuid", "id")


def _name(row: Fields) -> str:
    return row.required(text(TEXT_LIMIT, empty=True), "name")


def _optional_text(row: Fields, *names: str) -> str:
    return row.optional(text(TEXT_LIMIT, empty=True), *names) or ""


def _folded_id(value: object) -> str:
    return text(ID_LIMIT)(value).lower()


def _phone(value: object) -> str:
    raw = value if isinstance(value, str) else shown(whole(0, MAX_PHONE)(value))
    return "".join(sign for sign in text(ID_LIMIT, empty=True)(raw) if sign in "0123456789")


def _store_ids(row: Fields) -> tuple[str, ...]:
    return row.optional(_read_store_ids, "stores") or ()


def _read_store_ids(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_STORES:
        raise ValueError("not a list of stores")
    return tuple(_folded_id(member) for member in value)
