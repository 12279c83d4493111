"""Typed reading of untrusted JSON from the market, and the documented way to say what is wrong.

Unknown keys are ignored: the market may add fields without notice. A missing key is error 2002, a
value that cannot be used is 2003 (Evotor, doc_errors_returned.md, 2018). Nothing that was read here
can crash what comes after: numbers are bounded, instants are UTC, texts are storable. Readers raise
ValueError; `Fields` turns that into a SchemaError with the key's path.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NoReturn, TypeVar

BROKEN_JSON = 2001
MISSING = 2002
INCORRECT = 2003

FIRST_YEAR, LAST_YEAR = 2000, 2199
SHOWN_CHARACTERS = 100
LARGEST_MILLISECONDS = 10**13
LARGEST_AMOUNT = 10**9
# Beyond this many decimals Decimal would round silently when multiplied.
FINEST_EXPONENT = -12

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DIGITS = re.compile(r"[0-9]{1,14}")
ISO_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:?[0-9]{2})"
)
DURATION = re.compile(r"P([0-9]{1,6})DT?")
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# Documented as a uuid4, but the documented sample is not hexadecimal.
PRODUCT_ID = re.compile(r"[0-9a-zA-Z]{8}(-[0-9a-zA-Z]{4}){3}-[0-9a-zA-Z]{12}")
USER_ID = re.compile(r"[0-9]{2}-[0-9]{15}")
# NUL cannot be stored by PostgreSQL, a lone surrogate cannot be written as UTF-8.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

Value = TypeVar("Value")
Read = Callable[[object], Value]


class SchemaError(ValueError):
    """A payload that breaks the documented form.

    `code` is 2001, 2002 or 2003; `subject` is the key's path; `value` a short printable copy of
    what came, None where it is missing or secret. The message never holds the value.
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


@dataclass(frozen=True)
class Fields:
    """A JSON object and the path that leads to it."""

    values: Mapping[str, object]
    path: str = ""

    def required(self, read: Read[Value], *names: str, secret: bool = False) -> Value:
        """What stands under the first of `names` present. Raises SchemaError 2002 or 2003."""
        for name in names:
            if name in self.values:
                return self._read(read, name, secret=secret)
        raise SchemaError(code=MISSING, reason="missing", subject=self.path + names[0])

    def optional(self, read: Read[Value], *names: str, secret: bool = False) -> Value | None:
        """The same, but None where every name is absent or null. Raises SchemaError 2003."""
        for name in names:
            if self.values.get(name) is not None:
                return self._read(read, name, secret=secret)
        return None

    def objects(self, name: str, limit: int) -> "Iterator[Fields]":
        """The required array of objects under `name`. Raises SchemaError 2002 or 2003."""
        rows = self.required(listed(limit), name)
        for index, row in enumerate(rows):
            yield fields_of(row, f"{self.path}{name}[{index}]")

    def _read(self, read: Read[Value], name: str, *, secret: bool) -> Value:
        value = self.values[name]
        try:
            return read(value)
        except SchemaError:
            raise
        except (ValueError, ArithmeticError) as broken:
            raise incorrect(self.path + name, None if secret else shown(value)) from broken


def fields_of(value: object, subject: str = "") -> Fields:
    """`value` as an object whose keys are reported under `subject`. Raises SchemaError 2003."""
    if not isinstance(value, Mapping):
        raise incorrect(subject, shown(value))
    return Fields(value, f"{subject}." if subject else "")


def incorrect(subject: str, value: str | None) -> SchemaError:
    """The documented error for a value that cannot be used."""
    return SchemaError(code=INCORRECT, reason="incorrect", subject=subject, value=value)


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


def read_json(body: bytes) -> object:
    """The parsed body with exact decimals. Raises SchemaError 2001 for whatever is not JSON."""
    try:
        return json.loads(
            body.decode("utf-8-sig"), parse_float=Decimal, parse_constant=_refuse_constant
        )
    except (ValueError, ArithmeticError, RecursionError) as broken:
        raise SchemaError(code=BROKEN_JSON) from broken


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def text(limit: int, *, empty: bool = False) -> Read[str]:
    """Reads a storable text of at most `limit` characters."""

    def read(value: object) -> str:
        if not isinstance(value, str) or len(value) > limit or UNSTORABLE.search(value):
            raise ValueError("not a storable text")
        if not value and not empty:
            raise ValueError("empty")
        return value

    return read


def matching(pattern: re.Pattern[str], *, lower: bool = False) -> Read[str]:
    """Reads a text that matches as a whole, folded to lower case on request."""

    def read(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError("does not match")
        return value.lower() if lower else value

    return read


def whole(lowest: int, highest: int) -> Read[int]:
    """Reads a JSON integer within bounds; 2.0 is one, true is not."""

    def read(value: object) -> int:
        number = _number(value)
        if not lowest <= number <= highest or number != int(number):
            raise ValueError("not an integer within bounds")
        return int(number)

    return read


def listed(limit: int) -> Read[list[object]]:
    """Reads an array of at most `limit` members."""

    def read(value: object) -> list[object]:
        if not isinstance(value, list) or len(value) > limit:
            raise ValueError("not an array of bearable length")
        return value

    return read


def instant(value: object) -> datetime:
    """Reads ISO 8601 with an offset, or milliseconds since 1970 as a number or a text, as UTC."""
    at = _iso_instant(value) if _is_iso(value) else _epoch_instant(value)
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise ValueError("not a year of this business")
    return at


def _is_iso(value: object) -> bool:
    return isinstance(value, str) and ISO_INSTANT.fullmatch(value) is not None


def _iso_instant(value: object) -> datetime:
    return datetime.fromisoformat(str(value)).astimezone(UTC)


def _epoch_instant(value: object) -> datetime:
    if isinstance(value, str) and DIGITS.fullmatch(value):
        value = int(value)
    return EPOCH + timedelta(milliseconds=whole(0, LARGEST_MILLISECONDS)(value))


def duration_days(value: object) -> int:
    """Reads `P14DT`, the documented form, or `P14D`, as days."""
    found = DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("not a number of days")
    return whole(0, 3660)(int(found[1]))


def kopecks(value: object) -> int:
    """Reads an amount in roubles, with at most two decimals, as exact kopecks."""
    amount = _number(value)
    if not 0 <= amount <= LARGEST_AMOUNT:
        raise ValueError("not a bearable amount")
    if int(amount.as_tuple().exponent) < FINEST_EXPONENT or amount * 100 != int(amount * 100):
        raise ValueError("finer than a kopeck")
    return int(amount * 100)


def _number(value: object) -> Decimal:
    # bool is an int in Python, but true is not 1 in JSON.
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError("not a number")  # noqa: TRY004 readers raise ValueError alone
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        raise ValueError("not a finite number")
    return number
