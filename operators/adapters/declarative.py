"""The operator that staff described: one adapter for every document of `operators.declarative`.

A success is never taken from an answer alone. A number of a request is asked about, and «done» is confirmed by a
reading; an answer that names this card in the wanted state is the end; after anything else the card is read,
at once, or by the poll plan where the operator answered «later». So a description with a mistake in it may
wait too long, but cannot report a switch that was not made.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode

from operators.adapters import (
    check_of_reading,
    garbage,
    login_refusal,
    lost_reply,
    rejected,
    taken_unseen,
)
from operators.backoff import lifetime_of
from operators.declarative import answers, request_builder
from operators.declarative.calls import Find, Request, Switch
from operators.declarative.capabilities import capabilities_of
from operators.declarative.jmespath_expressions import FieldPath
from operators.declarative.login import LoginStep, TokenLogin
from operators.declarative.read_fields import answer_fields
from operators.declarative.refusals import answer_of, refusal_of
from operators.declarative.request_builder import HttpRequest
from operators.declarative.schema import Limits, Times
from operators.declarative.templates import UnusableValue, Values
from operators.declarative.validation import InvalidProfile, load
from operators.declarative.variables import account_values, card_values, time_values
from operators.ports import (
    WANTED_STATE,
    Accepted,
    Action,
    Applied,
    CallKind,
    Capabilities,
    Changes,
    Check,
    CheckState,
    Connection,
    ErrorClass,
    LostReply,
    NoRequestSearch,
    Reading,
    Reply,
    Sim,
    StateQuality,
    SubmitResult,
    Token,
    Unavailable,
    Unknown,
    no_keys,
)

# A request id is «activate:77», with the operator's number; «read:activate:…» is asked about by reading.
_READ = "read"


class Declarative(NoRequestSearch):
    """The adapter. Its own `capabilities` are those of a protocol that nobody has described yet.

    An instance has the description's own; `capabilities_of` tells them without a connection.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        title="Оператор по описанию",
        key="iccid",
        asynchronous=True,
        state_quality=StateQuality.NONE,
        credentials=(),
        **Limits().model_dump(),
        **Times().model_dump(),
    )

    def __init__(self, connection: Connection) -> None:
        """Raises `operators.declarative.validation.InvalidProfile`."""
        self._connection, self._description = connection, load(connection.profile or {})
        self._base_url = connection.base_url or self._description.base_url or ""
        has_steps = isinstance(self._description.login, TokenLogin)
        self._tokens = connection.tokens if has_steps else None

    @staticmethod
    def capabilities_of(document: Mapping[str, Any]) -> Capabilities:
        """What a document describes; one that cannot be used describes nothing yet.

        Pages about such an account open, and nothing is sent: the adapter cannot be made.
        """
        try:
            return capabilities_of(load(document))
        except InvalidProfile:
            return Declarative.capabilities

    @staticmethod
    def answer_fields_of(document: Mapping[str, Any]) -> frozenset[FieldPath]:
        """The fields of the answers' bodies that the description reads. Raises InvalidProfile."""
        paths = frozenset[FieldPath]().union(*answer_fields(load(document)).values())
        return frozenset(path[1:] for path in paths if path[0] == "body")

    # --- the port -----------------------------------------------------------------------------

    def submit(self, *, action: Action, sim: Sim, key: str, at: datetime) -> SubmitResult:
        """Find the card where that is described, switch it once, and see what the answer proves."""
        call, wanted = self._description.calls.switch(action), WANTED_STATE[action]
        try:
            values = self._card_values(sim, call) | {"key": key}
            reply = self._send(call, CallKind.SUBMIT, values)
        except LostReply as lost:
            return Unknown(lost.text)
        except Unavailable as trouble:
            return rejected(trouble)
        outcome = answers.switch_outcome(self._description, call, reply, sim, wanted=wanted)
        by_reading = f"{_READ}:{action}:{key}"
        if isinstance(outcome, Accepted):
            number = outcome.request_id
            return replace(outcome, request_id=f"{action}:{number}" if number else by_reading)
        if outcome is not None:
            return outcome
        try:
            seen = self._read(sim, CallKind.CHECK)
        except Unavailable as trouble:
            return taken_unseen(by_reading, trouble)
        return Applied(seen.raw) if seen.state is wanted else Accepted(by_reading)

    def check(self, *, request_id: str, sim: Sim, submitted_at: datetime, at: datetime) -> Check:
        """What the operator says of its request, or the card's state where there is no request to ask about.

        Raises `Unavailable`.
        """
        action, number = _parsed(request_id)
        if action is not None and not number:
            return self._check_by_reading(action, sim)
        call = self._description.calls.check
        if call is None:
            return Check(CheckState.LOST, text="оператор не нумерует запросы")
        values = self._card_values(sim, call) | {"request_id": number}
        try:
            reply = self._ask(call, CallKind.CHECK, values)
            found = answers.check_outcome(self._description, call, reply, number, sim)
        except Unavailable as trouble:
            if trouble.error is not ErrorClass.NOT_FOUND:
                raise
            return Check(CheckState.LOST, trouble.code, "оператор не знает такого запроса")
        if found.state is not CheckState.COMPLETED:
            return found
        if action is None:  # accepted before requests had our mark: the product reads the card
            return Check(CheckState.LOST, found.code, "исход проверит чтение состояния")
        seen = self._check_by_reading(action, sim)
        return found if seen.state is CheckState.COMPLETED else seen

    def _check_by_reading(self, action: Action, sim: Sim) -> Check:
        seen = self._read(sim, CallKind.CHECK)
        return check_of_reading(seen, is_done=seen.state is WANTED_STATE[action])

    def read_state(self, *, sim: Sim) -> Reading:
        """The card's state. Raises `Unavailable`."""
        return self._read(sim, CallKind.READ)

    def _read(self, sim: Sim, kind: CallKind) -> Reading:
        call = self._description.calls.read
        reply = self._ask(call, kind, self._card_values(sim, call))
        return answers.reading(self._description, call.answer, answer_of(reply), sim)

    def list_changes(self, *, since: datetime, cursor: str) -> Changes:
        """One page of the list of changes; the cursor of a list by links is a query. Raises `Unavailable`."""
        call = self._description.calls.list_changes
        if call is None:
            text = "в описании нет вызова list_changes"
            raise Unavailable(ErrorClass.UNSUPPORTED, "no_list_changes", text)
        following = call.answer.next
        if not cursor and following.page is not None:
            cursor = str(following.page.first)
        by_link = following.link is not None
        values = self._common_values() | time_values("since", since) | {"cursor": cursor}
        reply = self._ask(call, CallKind.READ, values, query=cursor if by_link else "")
        found = answers.changes(self._description, call.answer, answer_of(reply), cursor)
        if not by_link or not found.next_cursor:
            return found
        return replace(found, next_cursor=self._without_keys(found.next_cursor))

    def _without_keys(self, query: str) -> str:
        """Every request gets our keys anew, so no address is kept with them."""
        ours = {key.name for key in self._description.login.carried if key.location == "query"}
        pairs = parse_qsl(query, keep_blank_values=True)
        return urlencode([(name, value) for name, value in pairs if name not in ours])

    def ping(self) -> str:
        """The described cheap call; without one a login, where there is one. Raises `Unavailable`."""
        call = self._description.calls.ping
        if call is not None:
            reply = self._ask(call, CallKind.READ, self._common_values())
            if reply.body and answer_of(reply)["body"] is None:
                raise garbage()
            return "Оператор отвечает, ключи приняты."
        if self._tokens is None:
            text = "в описании нет вызова ping, проверить нечем"
            raise Unavailable(ErrorClass.UNSUPPORTED, "no_ping", text)
        self._login()
        return "Оператор отвечает и выдаёт ключ доступа."

    # --- calls --------------------------------------------------------------------------------

    def _card_values(self, sim: Sim, call: Request) -> dict[str, Any]:
        """The values of a call about a card; those of `find` and `prepare` are asked for. Raises `Unavailable`."""
        values: dict[str, Any] = {**self._common_values(), **card_values(sim)}
        prepare = call.prepare if isinstance(call, Switch) else None
        for before in (self._description.find_before(call), prepare):
            values |= self._found(before, sim, values) if before is not None else {}
        return values

    def _found(self, call: Find, sim: Sim, values: Values) -> dict[str, Any]:
        answer = answer_of(self._ask(call, CallKind.READ, values))
        row = answers.about_card(self._description, call.answer, answer, sim)
        return answers.take(call.answer.take, row)

    def _common_values(self) -> dict[str, Any]:
        """The values of every call."""
        own = account_values(self._description, self._connection.credentials)
        return {**own, **time_values("now", datetime.now(UTC))}

    def _ask(self, call: Request, kind: CallKind, values: Values, *, query: str = "") -> Reply:
        """A good answer to a question: any trouble at all is `Unavailable`."""
        try:
            reply = self._send(call, kind, values, query=query)
        except LostReply as lost:
            raise lost_reply(lost) from lost
        refused = refusal_of(self._description.errors, reply, answer_of(reply))
        if refused is not None:
            raise refused.unavailable()
        return reply

    def _send(self, call: Request, kind: CallKind, values: Values, *, query: str = "") -> Reply:
        """One call, repeated once with a new token where the old one was refused.

        Raises `Unavailable` if surely nothing was done, and `LostReply`.
        """
        common = self._description.headers
        made = request_builder.build(self._base_url, call, values, common)
        if query:
            made = replace(made, params=dict(parse_qsl(query, keep_blank_values=True)))
        if self._tokens is None:
            return self._exchange(self._with_login(made, "{}"), kind)
        token = self._tokens.current(self._login)
        if not token.startswith("{"):  # kept by another description
            token = self._tokens.current(self._login, stale=token)
        reply = self._exchange(self._with_login(made, token), kind)
        login = self._description.login
        if not isinstance(login, TokenLogin) or reply.status not in login.stale:
            return reply
        return self._exchange(
            self._with_login(made, self._tokens.current(self._login, stale=token)), kind
        )

    def _with_login(self, made: HttpRequest, taken: str) -> HttpRequest:
        """The request with our keys; `taken` is what `_login` gave. Raises `Unavailable`."""
        values = {**self._connection.credentials, **json.loads(taken)}
        try:
            return request_builder.with_login(made, self._description, values)
        except UnusableValue as unusable:
            raise no_keys() from unusable

    def _exchange(self, made: HttpRequest, kind: CallKind) -> Reply:
        return self._connection.http.request(**vars(made), kind=kind)

    # --- the login ----------------------------------------------------------------------------

    def _login(self) -> Token:
        """What the steps give, as one JSON text. Raises `Unavailable`."""
        login = self._description.login
        assert isinstance(login, TokenLogin)  # noqa: S101 - only these have steps
        taken, reply = dict[str, Any](), Reply(0, {}, b"")
        for step in self._description.login_steps:
            reply = self._login_step(step, taken)
            taken |= _taken(step, reply)
        life = login.seconds.text(answer_of(reply)) if login.seconds else ""
        usual = login.default_seconds
        return Token(json.dumps(taken), lifetime_of(life, default=usual) or usual)

    def _login_step(self, step: LoginStep, taken: Values) -> Reply:
        """The good answer to one step. Raises `Unavailable` for a refusal, also inside a success."""
        values = {**self._common_values(), **self._connection.credentials, **taken}
        try:
            made = request_builder.login_step(self._description, self._base_url, step, values)
            reply = self._exchange(made, CallKind.AUTH)
        except UnusableValue as unusable:
            raise no_keys() from unusable
        except LostReply as lost:
            raise lost_reply(lost) from lost
        if not 200 <= reply.status < 300:
            raise login_refusal(reply).unavailable()
        refused = refusal_of(self._description.errors, reply, answer_of(reply))
        if refused is not None:
            raise refused.unavailable()
        return reply


def _parsed(request_id: str) -> tuple[Action | None, str]:
    """The action and the operator's number, "" where the card is asked about by reading."""
    mark, _, rest = request_id.partition(":")
    if mark == _READ:
        action = rest.partition(":")[0]
        return (Action(action), "") if action in set(Action) else (None, request_id)
    return (Action(mark), rest) if mark in set(Action) and rest else (None, request_id)


def _taken(step: LoginStep, reply: Reply) -> dict[str, Any]:
    try:
        taken = answers.take(step.take, answer_of(reply))
    except Unavailable as trouble:
        text = "оператор не выдал ключ доступа"
        raise Unavailable(ErrorClass.TRANSIENT, "no_token", text) from trouble
    return {name: str(value) for name, value in taken.items()}
