"""What the market's hooks say: parsed JSON in, frozen dataclasses out.

Fields and samples: Evotor, documentation-api `definitions.yaml`, 2017. Instants are UTC, money is
kopecks, ids are lower case. An event type that is not known yet is an `Unknown` and never an
exception; a broken form raises SchemaError.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar

from subscriptions.evotor.fields import (
    INCORRECT,
    PRODUCT_ID,
    USER_ID,
    UUID,
    Fields,
    Read,
    SchemaError,
    Value,
    duration_days,
    fields_of,
    incorrect,
    instant,
    kopecks,
    matching,
    read_json,
    shown,
    text,
    whole,
)
from subscriptions.evotor.inventories import (
    Device,
    Employee,
    Store,
    parse_devices,
    parse_employees,
    parse_stores,
)

__all__ = [
    "Activated",
    "AddonsUpdated",
    "Charge",
    "Created",
    "Device",
    "Employee",
    "InstallationEvent",
    "Renewed",
    "SchemaError",
    "Store",
    "SubscriptionEvent",
    "Terminated",
    "TerminationRequested",
    "TermsChanged",
    "Unknown",
    "UserCreate",
    "UserToken",
    "UserVerify",
    "parse_devices",
    "parse_employees",
    "parse_installation_event",
    "parse_stores",
    "parse_subscription_event",
    "parse_user_create",
    "parse_user_token",
    "parse_user_verify",
    "read_json",
]

MAX_SEQUENCE = 1_000_000
MAX_CARDS = 100_000
MAX_ADDONS = 1_000
MAX_CUSTOM_FIELDS = 100

TYPE_LIMIT = 60
PLAN_LIMIT = 100
CUSTOM_LIMIT = 2_000

CURRENCY = re.compile("[A-Z]{3}")
# It is sent on in a header of our own calls to the cloud.
CLOUD_TOKEN = re.compile("[\x21-\x7e]{1,1000}")

USER_KEYS = ("userId", "userUuid")

Payment = TypeVar("Payment", "Activated", "Renewed")
Ending = TypeVar("Ending", "TerminationRequested", "Terminated")


@dataclass(frozen=True)
class Charge:
    """What the market says it charged, in hundredths of `currency` (kopecks for RUB)."""

    kopecks: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class SubscriptionEvent:
    """What all billing events share; `number` counts 1, 2, 3… without gaps in one subscription."""

    subscription_id: str
    product_id: str
    user_id: str
    at: datetime
    number: int


@dataclass(frozen=True, kw_only=True)
class Created(SubscriptionEvent):
    """The module was taken: a trial begins, or a payment is awaited (`trial_days` is 0)."""

    plan_id: str
    trial_days: int
    devices: int | None = None


@dataclass(frozen=True, kw_only=True)
class AddonsUpdated(SubscriptionEvent):
    """All paid options as they are now: pairs of id and quantity, sorted by id."""

    addons: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class Activated(SubscriptionEvent):
    """The first payment."""

    next_billing_at: datetime
    charged: Charge | None = None


@dataclass(frozen=True, kw_only=True)
class Renewed(SubscriptionEvent):
    """The next payment, or a free resumption after a request to stop."""

    next_billing_at: datetime
    charged: Charge | None = None


@dataclass(frozen=True, kw_only=True)
class TermsChanged(SubscriptionEvent):
    """Another tariff or number of terminals; None is what did not change."""

    plan_id: str | None = None
    devices: int | None = None
    next_billing_at: datetime | None = None
    charged: Charge | None = None


@dataclass(frozen=True, kw_only=True)
class TerminationRequested(SubscriptionEvent):
    """The merchant asked to stop; what was paid runs on."""


@dataclass(frozen=True, kw_only=True)
class Terminated(SubscriptionEvent):
    """The end: a payment did not come, or a stop was asked for."""


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """An event of a type that we do not know, with as much of it as could be read."""

    type: str
    subscription_id: str | None = None
    product_id: str | None = None
    user_id: str | None = None
    at: datetime | None = None
    number: int | None = None


@dataclass(frozen=True, kw_only=True)
class InstallationEvent:
    """The module was put into the merchant's Evotor cabinet, or taken out of it."""

    id: str
    at: datetime
    installed: bool
    version: str
    product_id: str
    user_id: str


@dataclass(frozen=True, kw_only=True)
class UserCreate:
    """A merchant registers with us; `custom` are our own form fields, sorted by name."""

    user_id: str
    custom: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class UserVerify:
    """A merchant who has an account with us signs in while installing."""

    user_id: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    custom: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class UserToken:
    """The key for our calls to the market's cloud on behalf of this merchant."""

    user_id: str
    token: str = field(repr=False)


_uuid = matching(UUID, lower=True)
_product_id = matching(PRODUCT_ID, lower=True)
_user_id = matching(USER_ID)
_number = whole(1, MAX_SEQUENCE)
_cards = whole(0, MAX_CARDS)
_plan_id = text(PLAN_LIMIT)


def parse_subscription_event(payload: object) -> SubscriptionEvent | Unknown:
    """One billing event. Raises SchemaError 2002 or 2003; an unknown type never does so."""
    fields = fields_of(payload)
    kind = fields.required(text(TYPE_LIMIT * 10), "type")
    parse = _EVENTS.get(kind.lower())
    return parse(fields) if parse else _unknown(fields, fields, kind)


def parse_installation_event(payload: object) -> InstallationEvent | Unknown:
    """One install or removal. Raises SchemaError 2002 or 2003; an unknown type never does so."""
    fields = fields_of(payload)
    kind = fields.required(text(TYPE_LIMIT * 10), "type")
    installed = _INSTALLATIONS.get(kind.lower())
    if installed is None:
        return _unknown(fields, _loose_object(fields.values.get("data")), kind)
    return _installation(fields, installed=installed)


def parse_user_create(payload: object) -> UserCreate:
    """The request of user/create. Raises SchemaError 2002 or 2003."""
    fields = fields_of(payload)
    return UserCreate(user_id=fields.required(_user_id, *USER_KEYS), custom=_custom(fields))


def parse_user_verify(payload: object) -> UserVerify:
    """The request of user/verify. Raises SchemaError 2002 or 2003, never with the password."""
    fields = fields_of(payload)
    return UserVerify(
        user_id=fields.required(_user_id, *USER_KEYS),
        username=fields.optional(text(CUSTOM_LIMIT, empty=True), "username"),
        password=fields.optional(text(CUSTOM_LIMIT, empty=True), "password", secret=True),
        custom=_custom(fields, "username", "password"),
    )


def parse_user_token(payload: object) -> UserToken:
    """The request of user/token. Raises SchemaError 2002 or 2003, never with the token."""
    fields = fields_of(payload)
    return UserToken(
        user_id=fields.required(_user_id, *USER_KEYS),
        token=fields.required(matching(CLOUD_TOKEN), "token", secret=True),
    )


def _envelope(fields: Fields) -> SubscriptionEvent:
    # The variants take it over with `**vars(...)`: five keys read in one place.
    return SubscriptionEvent(
        subscription_id=fields.required(_uuid, "subscriptionId"),
        product_id=fields.required(_product_id, "productId"),
        user_id=fields.required(_user_id, *USER_KEYS),
        at=fields.required(instant, "timestamp"),
        number=fields.required(_number, "sequenceNumber"),
    )


def _created(fields: Fields) -> Created:
    return Created(
        **vars(_envelope(fields)),
        plan_id=fields.required(_plan_id, "planId"),
        trial_days=fields.required(duration_days, "trialPeriodDuration"),
        devices=fields.optional(_cards, "deviceNumber"),
    )


def _addons_updated(fields: Fields) -> AddonsUpdated:
    totals: dict[str, int] = {}
    for row in fields.objects("addons", MAX_ADDONS):
        addon_id = row.required(text(PLAN_LIMIT), "id")
        totals[addon_id] = totals.get(addon_id, 0) + row.required(_cards, "quantity")
    return AddonsUpdated(**vars(_envelope(fields)), addons=tuple(sorted(totals.items())))


def _payment(kind: type[Payment], fields: Fields) -> Payment:
    return kind(
        **vars(_envelope(fields)),
        next_billing_at=fields.required(instant, "nextBillingDate"),
        charged=fields.optional(_charge, "chargedSum"),
    )


def _terms_changed(fields: Fields) -> TermsChanged:
    return TermsChanged(
        **vars(_envelope(fields)),
        plan_id=fields.optional(_plan_id, "planId"),
        devices=fields.optional(_cards, "deviceNumber"),
        next_billing_at=fields.optional(instant, "nextBillingDate"),
        charged=fields.optional(_charge, "chargedSum"),
    )


def _bare(kind: type[Ending], fields: Fields) -> Ending:
    return kind(**vars(_envelope(fields)))


def _charge(value: object) -> Charge:
    fields = fields_of(value, "chargedSum")
    return Charge(
        kopecks=fields.required(kopecks, "amount"),
        currency=fields.required(matching(CURRENCY), "currency"),
    )


def _installation(fields: Fields, *, installed: bool) -> InstallationEvent:
    data = fields.required(partial(fields_of, subject="data"), "data")
    return InstallationEvent(
        id=fields.required(_uuid, "id"),
        at=fields.required(instant, "timestamp"),
        installed=installed,
        version=fields.required(_version, "version"),
        product_id=data.required(_product_id, "productId"),
        user_id=data.required(_user_id, *USER_KEYS),
    )


def _version(value: object) -> str:
    return text(20)(value) if isinstance(value, str) else str(whole(0, MAX_SEQUENCE)(value))


def _unknown(fields: Fields, owner: Fields, kind: str) -> Unknown:
    return Unknown(
        type=kind[:TYPE_LIMIT],
        subscription_id=_loosely(fields, _uuid, "subscriptionId"),
        product_id=_loosely(owner, _product_id, "productId"),
        user_id=_loosely(owner, _user_id, *USER_KEYS),
        at=_loosely(fields, instant, "timestamp"),
        number=_loosely(fields, _number, "sequenceNumber"),
    )


def _loosely(fields: Fields, read: Read[Value], *names: str) -> Value | None:
    try:
        return fields.optional(read, *names)
    except SchemaError:
        return None


def _loose_object(value: object) -> Fields:
    try:
        return fields_of(value)
    except SchemaError:
        return Fields({})


def _custom(fields: Fields, *known: str) -> tuple[tuple[str, str], ...]:
    rest = sorted(set(fields.values) - {*USER_KEYS, *known})
    if len(rest) > MAX_CUSTOM_FIELDS:
        raise SchemaError(code=INCORRECT, reason="unexpected", subject=shown(rest[-1]))
    found = ((_custom_key(key), fields.optional(_custom_value, key, secret=True)) for key in rest)
    return tuple((key, value) for key, value in found if value is not None)


def _custom_key(key: str) -> str:
    try:
        return text(PLAN_LIMIT, empty=True)(key)
    except ValueError as broken:
        raise incorrect(shown(key), None) from broken


def _custom_value(value: object) -> str | None:
    """Our own form gives texts, numbers and ticks; lists and objects are not ours, so not kept."""
    if isinstance(value, str):
        return text(CUSTOM_LIMIT, empty=True)(value)
    return None if isinstance(value, list | dict) else shown(value)


_EVENTS: Mapping[str, Callable[[Fields], SubscriptionEvent]] = {
    "subscriptioncreated": _created,
    "addonsupdated": _addons_updated,
    "subscriptionactivated": partial(_payment, Activated),
    "subscriptionrenewed": partial(_payment, Renewed),
    "subscriptiontermschanged": _terms_changed,
    "subscriptionterminationrequested": partial(_bare, TerminationRequested),
    "subscriptionterminated": partial(_bare, Terminated),
}

_INSTALLATIONS: Mapping[str, bool] = {
    "applicationinstalled": True,
    "applicationuninstalled": False,
}
