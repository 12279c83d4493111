"""Values of the market's JSON, and its documented error for what cannot be used.

Unknown keys are ignored: the market may add fields without notice. A missing key is error 2002, a
value that cannot be used is 2003, what is not JSON is 2001 (Evotor, doc_errors_returned.md, 2018).
Nothing that was read here can break what comes after: numbers are bounded, instants are UTC, texts
can be stored, ids are lower case.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import (
    AliasChoices,
    AliasPath,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from cabinet.enums import EVOTOR_USER_ID

BROKEN_JSON = 2001
MISSING = 2002
INCORRECT = 2003

SHOWN_CHARACTERS = 100
LARGEST_NUMBER = 10**13
# Beyond this many decimals Decimal would round silently when multiplied.
FINEST_EXPONENT = -12
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ISO_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:?[0-9]{2})"
)
DIGITS = re.compile("[0-9]{1,14}")
# NUL cannot be stored by PostgreSQL, a lone surrogate cannot be written as UTF-8.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# Their values are never repeated in an answer or a note.
SECRETS = frozenset({"token"})

Value = TypeVar("Value")


class SchemaError(ValueError):
    """A payload that breaks the documented form.

    `code` is 2001, 2002 or 2003; `subject` is the key's path (`addons[0].id`); `value` a short
    printable copy of what came, None where it is missing or secret. The message never holds the value.
    """

    def __init__(
        self, *, code: int, reason: str = "", subject: str = "", value: str | None = None
    ) -> None:
        super().__init__(f"{code} {reason} {subject}".strip())
        self.code = code
        self.reason = reason
        self.subject = subject
        self.value = value

    def body(self) -> dict[str, list[dict[str, int | str]]]:
        """The documented JSON body of a 400 answer."""
        error: dict[str, int | str] = {"code": self.code}
        named = {"reason": self.reason, "subject": self.subject, "value": self.value}
        error.update({key: text for key, text in named.items() if text})
        return {"errors": [error]}


def read_json(body: bytes) -> object:
    """The parsed body with exact decimals. Raises SchemaError 2001 for whatever is not JSON."""
    try:
        return json.loads(
            body.decode("utf-8-sig"), parse_float=Decimal, parse_constant=_refuse_constant
        )
    except (ValueError, ArithmeticError, RecursionError) as broken:
        raise SchemaError(code=BROKEN_JSON) from broken


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are not JSON


def validated(
    adapter: TypeAdapter[Value], payload: object, dropped: list[str] | None = None
) -> Value:
    """The payload as the adapter's type. Raises SchemaError 2002 or 2003 for the first odd key.

    What is odd and decides nothing is left out, and its name is appended to `dropped`.
    """
    try:
        return adapter.validate_python(payload, context=dropped)
    except ValidationError as broken:
        first = broken.errors(include_url=False, include_context=False)[0]
    path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in first["loc"])
    subject = shown(path.removeprefix("."))
    if first["type"] == "missing":
        raise SchemaError(code=MISSING, reason="missing", subject=subject)
    value = None if SECRETS.intersection(first["loc"]) else shown(first["input"])
    raise SchemaError(code=INCORRECT, reason="incorrect", subject=subject, value=value)


def shown(value: object) -> str:
    """A short copy of a JSON value that is safe in an answer, whatever the value is."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return UNSTORABLE.sub("?", value[:SHOWN_CHARACTERS])
    # An int of thousands of digits refuses to become a text.
    if isinstance(value, int) and abs(value) >= 10**SHOWN_CHARACTERS:
        return "number"
    if isinstance(value, int | float | Decimal):
        return str(value)[:SHOWN_CHARACTERS]
    return "object" if isinstance(value, Mapping) else "array"


def whole_number(value: object, units: int = 1) -> int:
    """How many `units`-ths a JSON number has, which must be a whole number of them.

    2.0 is whole, true and "2" are not numbers. Raises ValueError, also for what is too large.
    """
    # bool is an int in Python, but true is not 1 in JSON.
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError("not a number")  # noqa: TRY004 pydantic expects ValueError
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite() or not -LARGEST_NUMBER <= number <= LARGEST_NUMBER:
        raise ValueError("out of bounds")
    if int(number.as_tuple().exponent) < FINEST_EXPONENT or number * units != int(number * units):
        raise ValueError("too fine")
    return int(number * units)


def instant(value: object) -> datetime:
    """ISO 8601 with an offset, or milliseconds since 1970 as a number or a text, as UTC.

    Both forms were seen: billing events use the first, installation events the second. Raises
    ValueError, also for a year outside 2000..2199.
    """
    try:
        if isinstance(value, str) and ISO_INSTANT.fullmatch(value):
            at = datetime.fromisoformat(value).astimezone(UTC)
        else:
            is_digits = isinstance(value, str) and DIGITS.fullmatch(value)
            at = EPOCH + timedelta(
                milliseconds=whole_number(int(str(value)) if is_digits else value)
            )
    except OverflowError as broken:
        raise ValueError("not a moment of the calendar") from broken
    if not 2000 <= at.year <= 2199:
        raise ValueError("not a year of this business")
    return at


# A whole row of a list, among the names of what was left out.
ROW = "строка списка"
# The market's names of our fields, where they differ.
_SENT_AS = {
    "charged": "chargedSum",
    "plan_id": "planId",
    "store_id": "storeUuid",
    "serial_number": "serialNumber",
    "model": "deviceModel",
    "items": ROW,
}


def _none_if_odd(value: object, read: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    try:
        return read(value)
    except ValidationError:
        _note_dropped(info)
        return None


def _note_dropped(info: ValidationInfo) -> None:
    name = info.field_name or ""
    if isinstance(info.context, list):
        info.context.append(_SENT_AS.get(name, name))


_STORABLE = "^[^\x00]*$"
Instant = Annotated[datetime, BeforeValidator(instant)]
Uuid = Annotated[
    str,
    StringConstraints(
        strict=True, pattern="^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", to_lower=True
    ),
]
# Documented as a uuid4, but the documented sample is not hexadecimal.
ProductId = Annotated[
    str,
    StringConstraints(
        strict=True, pattern="^[0-9a-zA-Z]{8}(-[0-9a-zA-Z]{4}){3}-[0-9a-zA-Z]{12}$", to_lower=True
    ),
]
# As the market spells it: an answer repeats the spelling of its request.
SpelledUserId = Annotated[str, StringConstraints(strict=True, pattern=EVOTOR_USER_ID)]
# Hexadecimal in part, so in one spelling: what is stored and compared.
UserId = Annotated[str, StringConstraints(strict=True, pattern=EVOTOR_USER_ID, to_upper=True)]
# `userUuid` is the name before August 2017 and is still sent beside the new one.
USER_KEYS = AliasChoices("userId", "userUuid")
DATA_USER_KEYS = AliasChoices(AliasPath("data", "userId"), AliasPath("data", "userUuid"))
ShortText = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=100, pattern=_STORABLE)
]
LongText = Annotated[str, StringConstraints(strict=True, max_length=2_000, pattern=_STORABLE)]
EventType = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=600, pattern=_STORABLE)
]
Count = Annotated[int, BeforeValidator(whole_number), Field(ge=0, le=100_000)]
SequenceNumber = Annotated[int, BeforeValidator(whole_number), Field(ge=1, le=1_000_000)]
# None instead of an error: an odd field that decides nothing discards nothing.
Loosely = Annotated[Value | None, WrapValidator(_none_if_odd)]


TYPE_CHARACTERS = 60
DURATION = re.compile("P([0-9]{1,6})DT?")
VERSION = re.compile("[^\x00\ud800-\udfff-]{1,20}")
INSTALLED = "ApplicationInstalled"
UNINSTALLED = "ApplicationUninstalled"


def _days(value: object) -> int:
    """Days of `P14DT`, the documented form, or `P14D`. Raises ValueError."""
    found = DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("not a number of days")
    return int(found[1])


def _addon_totals(rows: object, info: ValidationInfo) -> tuple[tuple[str, int], ...]:
    totals: dict[str, int] = {}
    for row in _ADDONS.validate_python(rows):
        if row is None:
            _note_dropped(info)
        else:
            totals[row.id] = totals.get(row.id, 0) + row.quantity
    return tuple(sorted(totals.items()))


def _addon_rows(totals: tuple[tuple[str, int], ...]) -> list[dict[str, Any]]:
    return [{"id": addon_id, "quantity": quantity} for addon_id, quantity in totals]


def _version(value: object) -> str:
    """The documented 2, as a number or a text. Raises ValueError."""
    version = value if isinstance(value, str) else str(whole_number(value))
    if not VERSION.fullmatch(version):
        raise ValueError("not a version")
    return version


TrialDays = Annotated[
    int,
    BeforeValidator(_days),
    Field(le=3660),
    PlainSerializer(lambda days: f"P{days}DT"),
]
Kopecks = Annotated[
    int,
    # Roubles with at most two decimals.
    BeforeValidator(partial(whole_number, units=100)),
    Field(ge=0, le=10**11),
    # Kopecks over 100 as a float come back exact: the shortest spelling has two decimals.
    PlainSerializer(lambda kopecks: kopecks / 100),
]


@dataclass(frozen=True)
class Charge:
    """What the market says it charged, in hundredths of `currency` (kopecks for RUB)."""

    kopecks: Annotated[Kopecks, Field(alias="amount")]
    currency: Annotated[str, StringConstraints(strict=True, pattern="^[A-Z]{3}$")]

    @property
    def roubles_in_kopecks(self) -> int | None:
        """The sum in kopecks; None in another currency."""
        return self.kopecks if self.currency == "RUB" else None


@dataclass(frozen=True)
class _Addon:
    id: ShortText
    quantity: Count


_ADDONS = TypeAdapter(Annotated[list[Loosely[_Addon]], Field(max_length=1_000)])


@dataclass(frozen=True, kw_only=True)
class SubscriptionEvent:
    """What all billing events share; `number` counts 1, 2, 3… without gaps in one subscription."""

    subscription_id: Annotated[Uuid, Field(alias="subscriptionId")]
    product_id: Annotated[ProductId, Field(alias="productId")]
    user_id: Annotated[UserId, Field(validation_alias=USER_KEYS, serialization_alias="userId")]
    at: Annotated[Instant, Field(alias="timestamp")]
    number: Annotated[SequenceNumber, Field(alias="sequenceNumber")]


@dataclass(frozen=True, kw_only=True)
class Created(SubscriptionEvent):
    """The module was taken: a trial begins, or a payment is awaited (`trial_days` is 0)."""

    plan_id: Annotated[Loosely[ShortText], Field(alias="planId")] = None
    trial_days: Annotated[TrialDays, Field(alias="trialPeriodDuration")]
    devices: Annotated[Count | None, Field(alias="deviceNumber")] = None


@dataclass(frozen=True, kw_only=True)
class AddonsUpdated(SubscriptionEvent):
    """All paid options as they are now: pairs of id and quantity, sorted by id.

    `partial`: something odd was left out, so what is not here may still be paid.
    """

    addons: Annotated[
        tuple[tuple[str, int], ...], PlainValidator(_addon_totals), PlainSerializer(_addon_rows)
    ]
    partial: Annotated[Literal[True] | None, WrapValidator(_none_if_odd)] = None


@dataclass(frozen=True, kw_only=True)
class Activated(SubscriptionEvent):
    """The first payment."""

    next_billing_at: Annotated[Instant, Field(alias="nextBillingDate")]
    charged: Annotated[Loosely[Charge], Field(alias="chargedSum")] = None


@dataclass(frozen=True, kw_only=True)
class Renewed(SubscriptionEvent):
    """The next payment, or a free resumption after a request to stop."""

    next_billing_at: Annotated[Instant, Field(alias="nextBillingDate")]
    charged: Annotated[Loosely[Charge], Field(alias="chargedSum")] = None


@dataclass(frozen=True, kw_only=True)
class TermsChanged(SubscriptionEvent):
    """Another tariff or number of terminals; None is what did not change."""

    plan_id: Annotated[Loosely[ShortText], Field(alias="planId")] = None
    devices: Annotated[Count | None, Field(alias="deviceNumber")] = None
    next_billing_at: Annotated[Instant | None, Field(alias="nextBillingDate")] = None
    charged: Annotated[Loosely[Charge], Field(alias="chargedSum")] = None


@dataclass(frozen=True, kw_only=True)
class TerminationRequested(SubscriptionEvent):
    """The merchant asked to stop; what was paid runs on."""


@dataclass(frozen=True, kw_only=True)
class Terminated(SubscriptionEvent):
    """The end: a payment did not come, or a stop was asked for."""


def _type_name(kind: object) -> str:
    is_text = isinstance(kind, str) and not UNSTORABLE.search(kind)
    return str(kind)[:TYPE_CHARACTERS] if is_text else ""


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """An event of a type that we do not know or cannot read (empty), with what of it could be read."""

    type: Annotated[str, PlainValidator(_type_name)] = ""
    subscription_id: Annotated[Loosely[Uuid], Field(alias="subscriptionId")] = None
    product_id: Annotated[
        Loosely[ProductId],
        Field(
            validation_alias=AliasChoices("productId", AliasPath("data", "productId")),
            serialization_alias="productId",
        ),
    ] = None
    user_id: Annotated[
        Loosely[UserId],
        Field(
            validation_alias=AliasChoices("userId", "userUuid", AliasPath("data", "userId")),
            serialization_alias="userId",
        ),
    ] = None
    at: Annotated[Loosely[Instant], Field(alias="timestamp")] = None
    number: Annotated[Loosely[SequenceNumber], Field(alias="sequenceNumber")] = None


@dataclass(frozen=True, kw_only=True)
class InstallationEvent:
    """The module was put into the merchant's Evotor cabinet, or taken out of it."""

    id: Uuid
    at: Annotated[Instant, Field(alias="timestamp")]
    version: Loosely[Annotated[str, BeforeValidator(_version)]] = None
    type: Annotated[str, BeforeValidator(lambda kind: _INSTALLATION_TYPES[kind.lower()])]
    product_id: Annotated[ProductId, Field(validation_alias=AliasPath("data", "productId"))]
    user_id: Annotated[UserId, Field(validation_alias=DATA_USER_KEYS)]

    @property
    def installed(self) -> bool:
        """False for a removal."""
        return self.type == INSTALLED


@dataclass(frozen=True)
class Header:
    """Whose event it is and of which type, as far as can be read; `data_user_id` of installations."""

    type: Loosely[EventType] = None
    user_id: Annotated[Loosely[UserId], Field(validation_alias=USER_KEYS)] = None
    data_user_id: Annotated[Loosely[UserId], Field(validation_alias=DATA_USER_KEYS)] = None


@dataclass(frozen=True)
class _Typed:
    type: Loosely[EventType] = None


EVENT_TYPES: Mapping[str, type[SubscriptionEvent]] = {
    "SubscriptionCreated": Created,
    "AddonsUpdated": AddonsUpdated,
    "SubscriptionActivated": Activated,
    "SubscriptionRenewed": Renewed,
    "SubscriptionTermsChanged": TermsChanged,
    "SubscriptionTerminationRequested": TerminationRequested,
    "SubscriptionTerminated": Terminated,
}
# The market writes the types with and without a capital letter.
_BY_LOWER_CASE = {name.lower(): TypeAdapter[Any](kind) for name, kind in EVENT_TYPES.items()}
_NAMES = {kind: name for name, kind in EVENT_TYPES.items()}
_INSTALLATION_TYPES = {name.lower(): name for name in (INSTALLED, UNINSTALLED)}
_TYPED = TypeAdapter(_Typed)
_UNKNOWN = TypeAdapter(Unknown)
_INSTALLATION = TypeAdapter(InstallationEvent)
_HEADER = TypeAdapter(Header)


def parse_subscription_event(
    payload: object, dropped: list[str] | None = None
) -> SubscriptionEvent | Unknown:
    """One billing event, of a body or as `payload_of` stored it.

    Only what the decision needs may refuse it: SchemaError 2002 or 2003. What else is odd is left out
    and appended to `dropped` by its name. A type that we do not know or cannot read is an Unknown.
    """
    found: list[str] = []
    kind = _BY_LOWER_CASE.get(_kind_of(payload), _UNKNOWN)
    event: SubscriptionEvent | Unknown = validated(kind, payload, found)
    if dropped is not None:
        dropped += found
    if isinstance(event, AddonsUpdated) and "addons" in found:
        return replace(event, partial=True)
    return event


def parse_installation_event(
    payload: object, dropped: list[str] | None = None
) -> InstallationEvent | Unknown:
    """One install or removal; refusals, `dropped` and Unknown as for billing events."""
    if _kind_of(payload) in _INSTALLATION_TYPES:
        return validated(_INSTALLATION, payload, dropped)
    return validated(_UNKNOWN, payload)


def _kind_of(payload: object) -> str:
    return (validated(_TYPED, payload).type or "").lower()


def event_header(payload: object) -> Header:
    """Whose event it is, however odd the rest of it."""
    try:
        return _HEADER.validate_python(payload)
    except ValidationError:  # not an object
        return Header()


def payload_of(event: SubscriptionEvent | Unknown) -> dict[str, Any]:
    """The event in the market's own names, in one canonical spelling and without unknown keys."""
    name = event.type if isinstance(event, Unknown) else _NAMES[type(event)]
    adapter = _BY_LOWER_CASE.get(name.lower(), _UNKNOWN)
    known: dict[str, Any] = adapter.dump_python(
        event, mode="json", by_alias=True, exclude_none=True
    )
    return {"type": name} | known


_ID = StringConstraints(
    strict=True, min_length=1, max_length=64, pattern="^[^\x00]*$", to_lower=True
)
RowId = Annotated[str, _ID, Field(validation_alias=AliasChoices("uuid", "id"))]


@dataclass(frozen=True, kw_only=True)
class Device:
    """A terminal; None is what was not sent."""

    id: RowId
    name: Loosely[LongText] = None
    store_id: Annotated[
        Loosely[Annotated[str, _ID]],
        Field(validation_alias=AliasChoices("storeUuid", "store_id", "storeId")),
    ] = None
    serial_number: Annotated[
        Loosely[LongText], Field(validation_alias=AliasChoices("serial_number", "serialNumber"))
    ] = None
    imei: Loosely[LongText] = None
    model: Annotated[
        Loosely[LongText],
        Field(validation_alias=AliasChoices("device_model", "model", "deviceModel")),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Store:
    """A shop; None is what was not sent."""

    id: RowId
    name: Loosely[LongText] = None
    address: Loosely[LongText] = None


@dataclass(frozen=True)
class _DevicePage:
    items: Annotated[list[Loosely[Device]], Field(max_length=100_000)]


@dataclass(frozen=True)
class _StorePage:
    items: Annotated[list[Loosely[Store]], Field(max_length=100_000)]


@dataclass(frozen=True)
class _Owned:
    user_id: Loosely[
        Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64, to_upper=True)]
    ] = None


@dataclass(frozen=True)
class _OwnedPage:
    items: list[Loosely[_Owned]]


_OWNED = TypeAdapter(_OwnedPage)
_DEVICES = TypeAdapter(_DevicePage)
_STORES = TypeAdapter(_StorePage)


def parse_devices(payload: object, dropped: list[str] | None = None) -> Sequence[Device]:
    """The terminals of one list. Raises SchemaError 2002 or 2003 where it is none.

    Odd rows and fields are left out and appended to `dropped`: such a list removes nothing.
    """
    rows = validated(_DEVICES, _page(payload), dropped).items
    return [row for row in rows if row is not None]


def parse_stores(payload: object, dropped: list[str] | None = None) -> Sequence[Store]:
    """The shops of one list; refusals and `dropped` as for terminals."""
    rows = validated(_STORES, _page(payload), dropped).items
    return [row for row in rows if row is not None]


def row_owners(payload: object) -> set[str]:
    """The Evotor users that rows of version 2 name (`user_id`), in upper case, however odd the rest is."""
    try:
        rows = validated(_OWNED, _page(payload)).items
    except SchemaError:
        return set()
    return {row.user_id or "" for row in rows if row is not None}


def _page(payload: object) -> object:
    return {"items": payload} if isinstance(payload, list) else payload


MAX_CUSTOM_FIELDS = 100

_FIELD_NAME = TypeAdapter(ShortText)
_FIELD_VALUE = TypeAdapter(LongText)


@dataclass(frozen=True, kw_only=True)
class UserVerify:
    """A merchant signs in while installing the module; the password is of no use to us."""

    user_id: Annotated[SpelledUserId, Field(validation_alias=USER_KEYS)]


@dataclass(frozen=True, kw_only=True)
class UserCreate:
    """A merchant registers with us; `custom` are our own form fields, sorted by name."""

    user_id: str
    custom: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class UserToken:
    """The key for our calls to the market's cloud on behalf of this merchant."""

    user_id: Annotated[SpelledUserId, Field(validation_alias=USER_KEYS)]
    # It is sent on in a header of our own calls to the cloud.
    token: Annotated[str, StringConstraints(strict=True, pattern="^[\x21-\x7e]{1,1000}$")] = field(
        repr=False
    )


_VERIFY = TypeAdapter(UserVerify)
_TOKEN = TypeAdapter(UserToken)


def parse_user_create(payload: object) -> UserCreate:
    """The request of user/create. Raises SchemaError 2002 or 2003, never with a field's value."""
    user_id = validated(_VERIFY, payload).user_id
    return UserCreate(user_id=user_id, custom=_custom_fields(payload))


def parse_user_verify(payload: object) -> UserVerify:
    """The request of user/verify. Raises SchemaError 2002 or 2003."""
    return validated(_VERIFY, payload)


def parse_user_token(payload: object) -> UserToken:
    """The request of user/token. Raises SchemaError 2002 or 2003, never with the token."""
    return validated(_TOKEN, payload)


def _custom_fields(payload: object) -> tuple[tuple[str, str], ...]:
    """Our own form gives texts, numbers and ticks; lists and objects are not ours, so not kept."""
    values = payload if isinstance(payload, Mapping) else {}
    names = sorted(set(values) - set(USER_KEYS.choices))
    if len(names) > MAX_CUSTOM_FIELDS:
        raise SchemaError(code=INCORRECT, reason="unexpected", subject=shown(names[-1]))
    found = []
    for name in names:
        value = values[name]
        if value is None or isinstance(value, list | Mapping):
            continue
        try:
            text = _FIELD_VALUE.validate_python(value if isinstance(value, str) else shown(value))
            found.append((_FIELD_NAME.validate_python(name), text))
        except ValidationError:
            # What a person typed into the form is not repeated.
            raise SchemaError(code=INCORRECT, reason="incorrect", subject=shown(name)) from None
    return tuple(found)
