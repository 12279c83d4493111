"""The calls of a description: requests, and how their answers are read."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field

from operators.declarative import templates
from operators.declarative.field_types import (
    HeaderName,
    HeaderTemplate,
    JsonTemplate,
    Method,
    Name,
    OneExpression,
    Part,
    PathTemplate,
    PlainTemplate,
    matching,
)
from operators.declarative.jmespath_expressions import Expression
from operators.declarative.templates import Template
from operators.ports import Action

# --- requests ---------------------------------------------------------------------------------------


class Request(Part):
    """What is sent below the account's address, with a JSON body or a form.

    `"...": "{card}"` at the top of `json` puts back all fields of the object that `prepare` took; the fields
    beside it are changed.
    """

    method: Method = "GET"
    path: PathTemplate
    query: dict[str, PlainTemplate] = {}
    headers: dict[HeaderName, HeaderTemplate] = {}
    json_body: JsonTemplate = Field(None, alias="json")
    form: dict[str, PlainTemplate] | None = None

    @property
    def names_in_body(self) -> set[str]:
        """The variables of the path and of the body, which say what the request is about."""
        texts = (self.path, *(self.form or {}).values())
        return _names(texts) | templates.json_names(self.json_body)

    @property
    def puts_back(self) -> bool:
        """Whether the body is a taken object with some fields changed."""
        return isinstance(self.json_body, dict) and templates.PUT_BACK in self.json_body

    @property
    def names(self) -> set[str]:
        """All variables."""
        return self.names_in_body | _names((*self.query.values(), *self.headers.values()))


def _names(texts: Iterable[Template]) -> set[str]:
    return {name for text in texts for name in text.names}


class Key(Part):
    """A value that every request carries: a `field` of the account, or one that the login took."""

    field: Name
    location: Literal["header", "query"] = Field(alias="in")
    name: HeaderName
    prefix: Annotated[str, matching("[ -~]{0,40}", "только латиница, цифры и знаки, до 40")] = ""


# --- answers ----------------------------------------------------------------------------------------


class CardAnswer(Part):
    """How an answer names a card.

    `rows`: a list, in which the row of this card is looked for; the other expressions then name it `row`.
    `iccid`: what must be this card's ICCID, with or without its check digit. Where there is none, `msisdn`
    names the card in a list, and wherever the operator knows cards by number.
    """

    rows: OneExpression | None = None
    iccid: OneExpression | None = None
    msisdn: OneExpression | None = None

    @property
    def expressions(self) -> Iterator[tuple[str, Expression]]:
        """Every expression by the name of its field."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            for part in value.values() if isinstance(value, dict) else [value]:
                if isinstance(part, Expression):
                    yield name, part


class TakingAnswer(CardAnswer):
    """`take`: values by the names of variables of other calls; objects may be sent back in a body."""

    take: Annotated[dict[Name, OneExpression], Field(min_length=1)]


class SwitchAnswer(CardAnswer):
    """`state` of the card, and the number of a request, which the call `check` asks about."""

    state: OneExpression | None = None
    request_id: OneExpression | None = None


class StateAnswer(CardAnswer):
    """`state` of the card; `reason` of a block."""

    state: OneExpression
    reason: OneExpression | None = None
    imei: OneExpression | None = None


class ResultAnswer(CardAnswer):
    """`result`: a state of the request, as `results` lists them. `request_id`, where given, must be the number
    asked about.
    """

    result: OneExpression
    request_id: OneExpression | None = None
    code: OneExpression | None = None
    text: OneExpression | None = None


class Pages(Part):
    """Numbered pages from `first`; the last one has fewer rows than `size`."""

    first: Annotated[int, Field(ge=0, le=1)] = 1
    size: Annotated[int, Field(ge=1, le=100_000)]


class Next(Part):
    """How a list goes on: exactly one of `cursor` (a mark for `{cursor}`; the list ends where there is none),
    `link` (the address of the next page, also a header `Link` with `rel=next`: its parameters are asked for),
    and `page` (`{cursor}` counts).
    """

    cursor: OneExpression | None = None
    link: OneExpression | None = None
    page: Pages | None = None


class ListAnswer(StateAnswer):
    """A page of a list of cards."""

    rows: OneExpression
    iccid: OneExpression
    next: Next


A = TypeVar("A", bound=CardAnswer)

# --- calls ------------------------------------------------------------------------------------------


class Call(Request, Generic[A]):
    """A request whose answer is read."""

    answer: A


class Find(Call[TakingAnswer]):
    """A request before others, for what only the operator knows of a card."""


class Switch(Call[SwitchAnswer]):
    """`prepare`: a request right before, whose answer is put back: «read, change fields, put back»."""

    prepare: Find | None = None
    answer: SwitchAnswer = Field(default_factory=SwitchAnswer)


Read = Call[StateAnswer]
Check = Call[ResultAnswer]
ListChanges = Call[ListAnswer]


class Calls(Part):
    """`find`, `check`, `list_changes` and `ping` only where the operator has them."""

    activate: Switch
    deactivate: Switch
    read: Read
    find: Find | None = None
    check: Check | None = None
    list_changes: ListChanges | None = None
    ping: Request | None = None

    def switch(self, action: Action) -> Switch:
        """The call that makes this switch."""
        return self.activate if action is Action.ACTIVATE else self.deactivate

    @property
    def requests(self) -> Iterator[tuple[str, Request]]:
        """Every request by its field, preparations too."""
        for name in type(self).model_fields:
            call = getattr(self, name)
            if call is not None:
                yield f"calls.{name}", call
            if isinstance(call, Switch) and call.prepare is not None:
                yield f"calls.{name}.prepare", call.prepare
