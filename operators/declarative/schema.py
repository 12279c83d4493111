"""The language in which staff describe an operator: pydantic models of one JSON document.

`validation.load` makes a `Description` of a document. The JSON Schema of these models is published as
docs/reference/operator-description.schema.json (`python -m operators.declarative.schema`), the guide is
docs/how-to/describe-an-operator.md.

Strict: a number in quotes is no number, and an unknown name is a mistake. Texts of requests are `Template`s,
fields of answers are `Expression`s. States, results and codes are compared without regard to case.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from operators import ports
from operators.declarative.calls import Calls, Find, Request, Switch
from operators.declarative.field_types import (
    BaseUrl,
    Expressions,
    HeaderName,
    HeaderTemplate,
    Part,
    Text,
    parsed_text,
)
from operators.declarative.login import (
    AccountField,
    AnyLogin,
    ClientCredentials,
    Login,
    LoginStep,
    TokenCall,
)
from operators.ports import BlockReason, ErrorClass, SimState

_PENDING = "pending"


# --- states and results -----------------------------------------------------------------------------


@dataclass(frozen=True)
class CardState:
    """What an operator's state means. `pending`: a switch is under way, and the state is not known."""

    state: SimState = SimState.UNKNOWN
    reason: BlockReason | None = None
    is_pending: bool = False


def _card_state(text: str) -> CardState:
    state, _, reason = text.partition(":")
    if text == _PENDING:
        return CardState(is_pending=True)
    if state not in _STATES:
        raise ValueError(f"нужно одно из: {', '.join(_STATES)}, pending или held:причина")
    if not reason:
        return CardState(SimState(state))
    if state != SimState.HELD or reason not in _FOREIGN_REASONS:
        raise ValueError(f"причина бывает только у held: {', '.join(_FOREIGN_REASONS)}")
    return CardState(SimState.HELD, BlockReason(reason))


_STATES = [state.value for state in SimState if state is not SimState.UNKNOWN]
_FOREIGN_REASONS = [reason.value for reason in BlockReason if reason is not BlockReason.VOLUNTARY]
StateMeaning = Annotated[
    CardState,
    parsed_text(_card_state, f"нужно одно из: {', '.join(_STATES)}, pending или held:причина"),
    WithJsonSchema(
        {"enum": [*_STATES, _PENDING, *(f"held:{reason}" for reason in _FOREIGN_REASONS)]}
    ),
]


def _folded(table: Mapping[str, Any]) -> dict[str, Any]:
    """Without regard to case. Raises ValueError for words that differ in case alone and mean different things."""
    folded: dict[str, Any] = {}
    for name, value in table.items():
        if folded.setdefault(name.casefold(), value) != value:
            raise ValueError(f"регистр не различается, а у «{name}» два разных значения")
    return folded


class States(Part):
    """`words`: what the operator's states mean; `absent`: the state of a card whose list of them is empty, as a
    list of blocks is; `reasons`: what its reasons of a block mean. What is not listed is an unknown state.
    """

    words: Annotated[dict[str, StateMeaning], AfterValidator(_folded)] = {}
    absent: StateMeaning | None = None
    reasons: Annotated[dict[str, BlockReason], AfterValidator(_folded)] = {}


class Result(StrEnum):
    """What became of a request."""

    DONE = "done"
    PENDING = "pending"
    FAILED = "failed"
    LOST = "lost"


class Results(Part):
    """`words`: what the operator's states of a request mean. What is not listed is still pending."""

    words: Annotated[dict[str, Result], AfterValidator(_folded)] = {}


Status = Annotated[int, Field(ge=300, le=599)]


class Errors(Part):
    """How refusals are read: `codes` first, then `statuses`. In a success only a code of `codes` is a refusal.

    `rate_limited_pause`: seconds to wait where a refusal by quota has no `Retry-After`.
    """

    code: Expressions = ()
    text: Expressions = ()
    codes: Annotated[dict[str, ErrorClass], AfterValidator(_folded)] = {}
    statuses: dict[Status, ErrorClass] = {}
    rate_limited_pause: Annotated[float, Field(ge=0, le=3600)] | None = None


# --- the whole --------------------------------------------------------------------------------------

Quota = Annotated[int, Field(ge=1, le=100_000)]


class Limits(Part):
    """The quota proposed for an account."""

    per_second: Quota | None = None
    per_minute: Quota | None = None
    concurrency: Annotated[int, Field(ge=1, le=100)] = 1


class Times(Part):
    """The times proposed for an account, seconds."""

    poll_plan: Annotated[
        tuple[Annotated[float, Field(ge=1, le=86_400)], ...], Field(min_length=1, max_length=30)
    ] = (5, 10, 30, 60, 120, 300)
    quiet_seconds: Annotated[float, Field(ge=0, le=604_800)] = 60
    deadline_seconds: Annotated[float, Field(ge=1, le=604_800)] = 3600


class Description(Part):
    """A whole document. `key`: what the operator knows a card by."""

    title: Text
    key: Literal["iccid", "msisdn"] = "iccid"
    base_url: BaseUrl | None = None
    headers: dict[HeaderName, HeaderTemplate] = {}
    fields: tuple[AccountField, ...] = ()
    login: AnyLogin = Field(default_factory=Login)
    calls: Calls
    states: States = Field(default_factory=States)
    results: Results = Field(default_factory=Results)
    errors: Errors = Field(default_factory=lambda: Errors.model_validate({}))
    limits: Limits = Field(default_factory=Limits)
    times: Times = Field(default_factory=Times)

    @property
    def credentials(self) -> tuple[ports.Field, ...]:
        """Everything staff enter for an account."""
        own = (ports.Field(**field.model_dump()) for field in self.fields)
        return (*self.login.account_fields, *own)

    @property
    def login_steps(self) -> tuple[LoginStep, ...]:
        """The requests that fetch a token."""
        login = self.login
        return login.steps if isinstance(login, ClientCredentials | TokenCall) else ()

    @property
    def taken_by_find(self) -> set[str]:
        """The variables that the call `find` gives."""
        find = self.calls.find
        return set(find.answer.take) if find is not None else set()

    def find_before(self, call: Request) -> Find | None:
        """The call `find`, where this call names what it gives."""
        find = self.calls.find
        prepare = call.prepare if isinstance(call, Switch) else None
        names = call.names | (prepare.names if prepare is not None else set())
        return find if call is not find and names & self.taken_by_find else None


@cache
def json_schema() -> dict[str, Any]:
    """The JSON Schema of a document."""
    return Description.model_json_schema(by_alias=True)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(json_schema(), ensure_ascii=False, indent=2) + "\n")
