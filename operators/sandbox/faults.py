"""How an operator misbehaves on request."""

import random
import threading
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from operators.sandbox.limits import Count, Seconds


class FaultKind(StrEnum):
    """What goes wrong; each is a documented call of the sandbox."""

    DROP_BEFORE = "drop_before"
    DROP_AFTER = "drop_after"
    HTTP_500 = "http_500"
    HTTP_429 = "http_429"
    GARBAGE = "garbage"
    HALF_BODY = "half_body"
    DRIP = "drip"
    SLOW = "slow"
    ACCEPT_AND_FORGET = "accept_and_forget"
    WRONG_ID = "wrong_id"
    MAINTENANCE = "maintenance"
    NO_ID = "no_id"
    ODD_STATUS = "odd_status"
    EXPIRED_TOKEN = "expired_token"  # noqa: S105 not a secret
    ERROR_IN_2XX = "error_in_2xx"
    OTHER_SHAPE = "other_shape"
    NOT_BY_ID = "not_by_id"
    LOGIN_REDIRECT = "login_redirect"
    HTML_PAGE = "html_page"
    CP1251_PAGE = "cp1251_page"
    EMPTY_BODY = "empty_body"
    CUT_BODY = "cut_body"
    NO_SERVICE = "no_service"


@dataclass
class Fault:
    """A fault of one kind of call. `times` None is «until removed»; "" is every operator, call or card."""

    kind: FaultKind
    operator: str = ""
    call: Literal["", "auth", "submit", "check", "read"] = ""
    times: Count | None = None
    probability: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    seconds: Seconds | None = None
    retry_after: Seconds | None = None
    iccid: Annotated[str, Field(pattern=r"^[0-9]*$")] = ""


FAULT = TypeAdapter(Fault)
_FAULTS = TypeAdapter(list[Fault])


class Faults:
    """The faults that are switched on, the oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def all(self) -> list[dict[str, Any]]:
        """All of them, JSON-able."""
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def take(self, operator: str, call: str, iccid: str = "") -> Fault | None:
        """The fault of this call, used up by one; None if the call may go well. `iccid` is the card it is about."""
        with self._lock:
            for fault in self._faults:
                about = (fault.operator, operator), (fault.call, call), (fault.iccid, iccid)
                matches = all(wanted in ("", given) for wanted, given in about)
                # Chance, not secrecy.
                if matches and random.random() < fault.probability:  # noqa: S311
                    self._use(fault)
                    return fault
            return None

    def load(self, data: list[dict[str, Any]]) -> None:
        """Takes back what `all` gave."""
        with self._lock:
            self._faults = _FAULTS.validate_python(data)

    def _use(self, fault: Fault) -> None:
        if fault.times is None:
            return
        fault.times -= 1
        if fault.times <= 0:
            self._faults.remove(fault)
