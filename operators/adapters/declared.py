"""The operator that staff described: one adapter for every profile of `operators.declared`.

What a switch is proven by is the profile's word for each status of success (`Proof`). Where nothing but
a read can prove it, the card is read once after the switch: `Applied` if the new state shows, else
`Accepted` with a number of ours, and `check` is that read again, by the plan.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar
from uuid import uuid4

from operators.adapters import Token, TokenKeeper, lost_reply, not_sent, rejected, taken_unseen
from operators.allowed import Shown
from operators.declared import answers, outgoing, places, rows, signing, templates, tokens
from operators.declared.abilities import capabilities_of
from operators.declared.answers import Taken
from operators.declared.outgoing import Request
from operators.declared.profile import (
    SWITCHES,
    WANTED,
    Call,
    CallName,
    NextKind,
    Proof,
)
from operators.declared.refusals import body_of, garbage, refusal_of, token_of
from operators.declared.sources import Envelope
from operators.declared.templates import Unfit, Values
from operators.declared.validate import load
from operators.ports import (
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
    NotSent,
    Reading,
    Reply,
    Sim,
    SimState,
    StateQuality,
    SubmitResult,
    Unavailable,
    Unknown,
)

_NEXT_PAGE = templates.parse("{cursor}")
# How a number of ours begins: «read:activate:…» is checked by reading.
_OURS = "read"


class Declared:
    """The adapter. Its `capabilities` are those of a protocol nobody has described yet.

    `registry.make` binds the profile's own; `capabilities_of` tells them without a connection.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        title="Оператор по описанию",
        key="iccid",
        asynchronous=True,
        state_quality=StateQuality.NONE,
        credentials=(),
        per_second=None,
        per_minute=None,
        concurrency=1,
        poll_plan=(5, 10, 30, 60, 120, 300),
        quiet_seconds=60,
        deadline_seconds=3600,
    )

    def __init__(self, connection: Connection) -> None:
        """Raises `operators.declared.profile.InvalidProfile`."""
        self._connection, self._profile = connection, load(connection.profile or {})
        self._base = connection.base_url.rstrip("/") or self._profile.base_url
        # What the last login gave: no link of an answer may be kept with it.
        self._fetched: list[str] = []
        login = self._profile.login.call
        self._tokens = TokenKeeper(connection, partial(self._login, login)) if login else None

    @staticmethod
    def capabilities_of(document: Mapping[str, Any]) -> Capabilities:
        """What a profile can do. Raises `operators.declared.profile.InvalidProfile`."""
        return capabilities_of(load(document))

    @staticmethod
    def shown_of(document: Mapping[str, Any]) -> Shown:
        """Where answers have what is read; the log keeps no more. Raises as `capabilities_of`."""
        return places.shown_of(load(document))

    # --- the port -----------------------------------------------------------------------------

    def submit(self, *, action: Action, sim: Sim, key: str, at: datetime) -> SubmitResult:
        """Find the card where the operator has a number of its own for it, switch, and see.

        Where a switch takes two calls, the first is made only once: whatever leaves the second open is
        `Unknown`, so that the card is read before both are made again.
        """
        call = self._profile.calls[SWITCHES[action]]
        try:
            values = self._card(sim, call) | self._times(at) | {"key": key}
            taken = self._prepared(call.prepare, sim, values)
        except Unavailable as trouble:
            return rejected(trouble)
        if not isinstance(taken, Mapping):
            return taken
        result = self._switched(action, sim, key, {**values, **taken})
        return answers.after_preparing(result) if _changes(call.prepare) else result

    def _prepared(self, prepare: Call | None, sim: Sim, values: Values) -> Values | SubmitResult:
        """What the call before a switch gives; its refusal is the switch's. Raises `Unavailable`."""
        if prepare is None:
            return {}
        if not _changes(prepare):
            return self._found(prepare, sim, values)
        try:
            reply = self._send(prepare, CallKind.SUBMIT, values)
        except LostReply as lost:
            return Unknown(lost.text)
        refused = refusal_of(self._profile.errors, prepare, reply)
        if refused is not None:
            return refused.submit_result()
        try:
            return self._values_of(prepare, reply, sim)
        except Unavailable as trouble:
            return Unknown(trouble.text, code=trouble.code)

    def _switched(self, action: Action, sim: Sim, key: str, values: Values) -> SubmitResult:
        call = self._profile.calls[SWITCHES[action]]
        try:
            reply = self._send(call, CallKind.SUBMIT, values)
        except LostReply as lost:
            return Unknown(lost.text)
        except Unavailable as trouble:
            return rejected(trouble)
        refused = refusal_of(self._profile.errors, call, reply)
        if refused is not None:
            return refused.submit_result()
        around, wanted = self._around(reply), WANTED[action]
        result = answers.submit_result(
            self._profile, call, reply, around, sim=sim, wanted=wanted, key=key
        )
        return self._seen(action, sim, key) if isinstance(result, Taken) else result

    def check(self, *, request_id: str, sim: Sim, submitted_at: datetime, at: datetime) -> Check:
        """The operator's word about its request, or the card's state for a number of ours."""
        action = self._ours(request_id)
        if action is not None:
            return self._check_by_reading(action, sim)
        call = self._profile.calls.get(CallName.CHECK)
        if call is None:
            return Check(CheckState.LOST, text="оператор не нумерует запросы")
        if call.link == "request_id" and not request_id.startswith("/"):
            return Check(CheckState.LOST, text="это не ссылка на запрос, а номер")
        times = self._times(at) | outgoing.submitted_values(submitted_at, self._profile.zone)
        values = self._card(sim, call) | times | {"request_id": request_id}
        try:
            reply = self._ask(call, CallKind.CHECK, values)
            said = answers.check_by_status(self._profile, call, reply)
            if said is not None:
                return said
            around = self._around(reply)
            return answers.check_result(self._profile, call.answer, reply, around, request_id, sim)
        except Unavailable as trouble:
            if trouble.error is not ErrorClass.NOT_FOUND:
                raise
            return Check(CheckState.LOST, trouble.code, "оператор не знает такого запроса")

    def check_by_sim(
        self, *, sim: Sim, action: Action, submitted_at: datetime, at: datetime
    ) -> Check:
        """Not in a profile: the state itself settles it, where it can be read."""
        raise Unavailable(ErrorClass.UNSUPPORTED, "", "оператор не ищет запросы по смарт-карте")

    def read_state(self, *, sim: Sim) -> Reading:
        """The card's state, by the profile's words."""
        return self._read(sim, CallKind.READ)

    def list_changes(self, *, since: datetime, cursor: str) -> Changes:
        """One page of the list of changes."""
        call = self._named(CallName.LIST_CHANGES)
        following = call.answer.next
        if not cursor and following is not None and following.kind is NextKind.PAGE:
            cursor = str(following.first)
        values = outgoing.open_values(self._profile, self._connection.credentials)
        values |= outgoing.since_values(since) | {"cursor": cursor}
        if cursor and following is not None and following.kind is NextKind.LINK:
            call = replace(call, path=_NEXT_PAGE, query=())
        reply = self._ask(call, CallKind.READ, values)
        body, around = body_of(reply), self._around(reply)
        return answers.changes(self._profile, call.answer, body, around, cursor)

    def ping(self) -> str:
        """The profile's cheap call; without one, a login, where there is one."""
        if CallName.PING in self._profile.calls:
            call = self._profile.calls[CallName.PING]
            keys = self._connection.credentials
            reply = self._ask(call, CallKind.READ, outgoing.open_values(self._profile, keys))
            if reply.body and body_of(reply) is None:
                raise garbage()
            return "Оператор отвечает, ключи приняты."
        login = self._profile.login.call
        if login is None:
            text = "в описании нет вызова ping, проверить нечем"
            raise Unavailable(ErrorClass.UNSUPPORTED, "no_ping", text)
        self._login(login)
        return "Оператор отвечает и выдаёт ключ доступа."

    # --- what only a read can prove -----------------------------------------------------------

    def _seen(self, action: Action, sim: Sim, key: str) -> SubmitResult:
        ours = f"{_OURS}:{action}:{key}"
        if CallName.READ not in self._profile.calls:
            return Unknown("оператор принял запрос, а спросить его не о чем")
        try:
            seen = self._read(sim, CallKind.CHECK)
        except Unavailable as trouble:
            return taken_unseen(ours, trouble)
        return Applied(seen.raw) if seen.state is WANTED[action] else Accepted(ours)

    def _ours(self, request_id: str) -> Action | None:
        """The action of a number of ours, None for a number of the operator's."""
        mark, _, rest = request_id.partition(":")
        word = rest.partition(":")[0]
        if mark != _OURS or word not in set(Action):
            return None
        proofs = set(self._profile.calls[SWITCHES[Action(word)]].success.values())
        return Action(word) if proofs & {Proof.READ, Proof.RESULT} else None

    def _check_by_reading(self, action: Action, sim: Sim) -> Check:
        seen = self._read(sim, CallKind.CHECK)
        if seen.state is WANTED[action]:
            return Check(CheckState.COMPLETED, code=seen.raw)
        if seen.state is SimState.RETIRED:
            text = "смарт-карта списана у оператора"
            return Check(CheckState.FAILED, seen.raw, text, ErrorClass.INVALID)
        return Check(CheckState.PENDING, code=seen.raw)

    def _read(self, sim: Sim, kind: CallKind) -> Reading:
        call = self._named(CallName.READ)
        reply = self._ask(call, kind, self._card(sim, call))
        said = answers.reading_by_status(call, reply.status)
        return said or answers.reading(self._profile, call.answer, body_of(reply), sim)

    def _named(self, name: CallName) -> Call:
        if name not in self._profile.calls:
            text = f"в описании нет вызова {name}"
            raise Unavailable(ErrorClass.UNSUPPORTED, f"no_{name}", text)
        return self._profile.calls[name]

    # --- the wire -----------------------------------------------------------------------------

    def _card(self, sim: Sim, call: Call) -> dict[str, Any]:
        """The values that name a card in this call; those of `find` are asked for. Raises `Unavailable`."""
        values = outgoing.card_values(self._profile, sim, self._connection.credentials)
        find = self._profile.finder_of(call)
        if find is None:
            return values
        return {**values, **self._found(find, sim, values)}

    def _found(self, call: Call, sim: Sim, values: Values) -> Values:
        """What a question gives to later calls. Raises `Unavailable`."""
        return self._values_of(call, self._ask(call, CallKind.READ, values), sim)

    def _values_of(self, call: Call, reply: Reply, sim: Sim) -> Values:
        return rows.found_values(call.answer, body_of(reply), self._around(reply), sim)

    def _around(self, reply: Reply) -> Envelope:
        own = outgoing.own_of(self._profile, self._connection.credentials, self._fetched)
        return Envelope(reply.headers, self._base, own)

    def _times(self, at: datetime) -> dict[str, str | int]:
        return outgoing.time_values(at, self._profile.zone)

    def _ask(self, call: Call, kind: CallKind, values: Values) -> Reply:
        """A good answer to a question: any trouble at all is `Unavailable`."""
        try:
            reply = self._send(call, kind, values)
        except LostReply as lost:
            raise lost_reply(lost) from lost
        refused = refusal_of(self._profile.errors, call, reply)
        if refused is not None:
            raise refused.unavailable()
        return reply

    def _send(self, call: Call, kind: CallKind, values: Values) -> Reply:
        """One call, repeated once with a new token where the old one was refused.

        Raises `Unavailable` if surely nothing was done, and `LostReply`, also where the answer does not
        repeat what it must.
        """
        values = {**self._always(), **values}
        reply = self._answered(call, kind, values)
        is_good = refusal_of(self._profile.errors, call, reply) is None
        if is_good and not answers.repeats(call.answer, body_of(reply), values):
            raise LostReply("оператор ответил на другой запрос")
        return reply

    def _answered(self, call: Call, kind: CallKind, values: Values) -> Reply:
        made = self._made(call, values)
        if self._tokens is None:
            return self._exchange(self._with_keys(made, values), kind)
        token = self._tokens.current()
        if tokens.unpacked(self._profile.login, token) is None:
            token = self._tokens.renew(token)
        reply = self._exchange(self._with_keys(made, values, token), kind)
        if not self._is_stale(call, reply):
            return reply
        renewed = self._tokens.renew(token)
        return self._exchange(self._with_keys(made, values, renewed), kind)

    def _always(self) -> dict[str, str | int]:
        """The variables of every request. A signature is made by the clock on the wall."""
        return self._times(datetime.now(UTC)) | {"nonce": uuid4().hex}

    def _is_stale(self, call: Call, reply: Reply) -> bool:
        login = self._profile.login
        refused = refusal_of(self._profile.errors, call, reply)
        if refused is None:
            return False
        return reply.status in login.stale_statuses or refused.code.casefold() in login.stale_codes

    def _made(self, call: Call, values: Values) -> Request:
        try:
            return outgoing.request(self._base, call, values, self._profile.headers)
        except Unfit as unfit:
            raise Unavailable(ErrorClass.INVALID, f"no_{unfit.name}", _unfit(unfit)) from unfit

    def _with_keys(self, made: Request, values: Values, token: str = "") -> Request:
        login, keys = self._profile.login, self._connection.credentials
        fetched = self._fetched = tokens.unpacked(login, token) or []
        try:
            return self._signed(outgoing.with_keys(made, login, keys, fetched), values)
        except Unfit as unfit:
            raise _no_keys() from unfit

    def _signed(self, made: Request, values: Values) -> Request:
        sign = self._profile.login.sign
        if sign is None:
            return made if made.shown is None else signing.fixed_body(made)
        return signing.signed(made, sign, {**values, **self._connection.credentials})

    def _exchange(self, made: Request, kind: CallKind, *, private: bool = False) -> Reply:
        try:
            return self._connection.http.request(
                made.method,
                made.url,
                kind=kind,
                params=made.params,
                json=made.json,
                data=made.data,
                headers=made.headers,
                auth=made.auth,
                private=private,
            )
        except NotSent as trouble:
            raise not_sent(trouble) from trouble

    # --- the login ----------------------------------------------------------------------------

    def _login(self, call: Call) -> Token:
        """A fresh token. Raises `Unavailable`."""
        values = {**self._always(), **self._connection.credentials}
        try:
            made = outgoing.login_request(self._base, self._profile.login, call, values)
            # Nobody but the profile knows which word of the answer is the token.
            reply = self._exchange(self._signed(made, values), CallKind.AUTH, private=True)
        except Unfit as unfit:
            raise _no_keys() from unfit
        except LostReply as lost:
            raise lost_reply(lost) from lost
        token, seconds = token_of(self._profile, reply)
        more = tokens.more_of(self._profile.login, reply)
        return Token(tokens.packed([token, *more]), seconds)


def _changes(prepare: Call | None) -> bool:
    """Whether the call before a switch may have changed something; a GET only asks."""
    return prepare is not None and prepare.method != "GET"


def _no_keys() -> Unavailable:
    return Unavailable(ErrorClass.CONFIGURATION, "no_keys", "не заданы ключи договора")


def _unfit(unfit: Unfit) -> str:
    if unfit.name.startswith("msisdn"):
        return "у смарт-карты не указан номер"
    return str(unfit)
