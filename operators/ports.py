"""What an operator's adapter is: pure words and frozen facts, no framework, no clock, no network.

An adapter translates one operator's protocol into these words and keeps no state of its own. Its
author needs to know one rule above all: `Rejected` says that the operator **surely did nothing**.
Whatever is less sure is `Unknown`, and the product reads before it sends anything again.
"""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Protocol

from operators.words import Action as Action
from operators.words import BlockReason as BlockReason
from operators.words import CallKind as CallKind
from operators.words import CheckState as CheckState
from operators.words import ErrorClass as ErrorClass
from operators.words import IdentityState as IdentityState
from operators.words import SimState as SimState
from operators.words import StateQuality as StateQuality


@dataclass(frozen=True)
class Sim:
    """One card. ICCID of 17–20 digits; MSISDN is E.164 without plus, "" where not known."""

    iccid: str
    msisdn: str = ""


@dataclass(frozen=True)
class Applied:
    """Done: the operator's answer itself shows the new state."""

    raw: str = ""


@dataclass(frozen=True)
class Accepted:
    """Queued at the operator. `retry_in` is when to ask for the first time, seconds.

    `pause`: the operator took it and then asked everybody to wait so many seconds.
    """

    request_id: str
    retry_in: float | None = None
    pause: float | None = None


@dataclass(frozen=True)
class Already:
    """The card was in the wanted state before; nothing was changed."""

    raw: str = ""


@dataclass(frozen=True)
class Rejected:
    """Surely not done. `retry_after` in seconds, where waiting helps and the operator named its length.

    Whatever the class, nobody calls the operator in that time, unless it speaks of this card alone
    (`operators.waits`).
    """

    error: ErrorClass
    code: str
    text: str
    retry_after: float | None = None


@dataclass(frozen=True)
class Unknown:
    """May or may not have been done: read before sending anything again.

    `error` says what the trouble looked like (`MAINTENANCE` pauses the account also without a
    `retry_after`, `UNKNOWN_OUTCOME` says nothing); it never makes a repeat allowed. `retry_after` as in
    `Rejected`.
    """

    text: str
    error: ErrorClass = ErrorClass.UNKNOWN_OUTCOME
    code: str = ""
    retry_after: float | None = None


SubmitResult = Applied | Accepted | Already | Rejected | Unknown


@dataclass(frozen=True)
class Check:
    """The operator's word about a request.

    `error` is set with `FAILED`, and is `ALREADY` beside `COMPLETED` where the operator refused
    because it was so already: worth a confirming read. `retry_in`: seconds after which a pending
    request may be asked about again, where the operator says so.
    """

    state: CheckState
    code: str = ""
    text: str = ""
    error: ErrorClass | None = None
    retry_in: float | None = None


@dataclass(frozen=True)
class Reading:
    """The operator's word about a card. `raw` is for staff, without personal data."""

    state: SimState
    reason: BlockReason | None = None
    raw: str = ""
    msisdn: str = ""
    imei: str = ""


@dataclass(frozen=True)
class Identity:
    """The operator's word about the confirmation of a number; `raw` is that one word, nothing personal."""

    state: IdentityState
    raw: str = ""


@dataclass(frozen=True)
class Changes:
    """A page of the operator's change list: ICCIDs with their readings, the oldest change first.

    `next_cursor` asks for the page after it; None: this is the last one.
    """

    items: tuple[tuple[str, Reading], ...]
    next_cursor: str | None = None


class Unavailable(Exception):
    """The question could not be answered; nothing is known that was not known before."""

    def __init__(
        self, error: ErrorClass, code: str, text: str, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{error}: {code} {text}".strip())
        self.error = error
        self.code = code
        self.text = text
        self.retry_after = retry_after


# What adapters make of a call that waited for our own quota: it says nothing of the operator.
OUR_QUOTA = "not_sent_quota"
# Of a question that could not get an access token because the store of tokens is away.
TOKENS_AWAY = "tokens_away"


class NotSent(Exception):
    """Not one byte of the request left us.

    `code`: dns, refused, tls, timeout, url, network, or quota: no turn for this call now, ask again
    in `retry_after` seconds.
    """

    def __init__(self, text: str, code: str = "network", retry_after: float | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.retry_after = retry_after


class LostReply(Exception):
    """The request may have arrived, but no whole answer came back."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class NotJson(ValueError):
    """The body of an answer is no JSON."""


class TokensAway(Exception):
    """The store of tokens does not answer. Raised by a `TokenStore`; nothing has been sent."""


class LockTaken(TokensAway):
    """The store answers, but somebody else held the lock for longer than we wait."""


@dataclass(frozen=True)
class Reply:
    """One whole HTTP answer. `headers` find names in any case; `seconds` is what the call took.

    `date_skew` is the operator's clock minus ours in seconds, None without a `Date` header.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float = 0.0
    date_skew: float | None = None

    def json(self) -> Any:
        """The decoded body. Raises `NotJson`."""
        try:
            return json.loads(self.body)
        except ValueError as trouble:
            raise NotJson(str(trouble)) from trouble

    @property
    def text(self) -> str:
        """The body as text, undecodable bytes replaced."""
        return self.body.decode("utf-8", "replace")


class Http(Protocol):
    """The one door to the operators; see `operators.http`."""

    def request(
        self,
        method: str,
        url: str,
        *,
        kind: CallKind,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        data: Mapping[str, str] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        private: bool = False,
    ) -> Reply:
        """One exchange, never repeated. Raises `NotSent` or `LostReply`.

        `private`: the answer is about a person, and nothing of its body is logged or kept.
        """
        ...


class TokenStore(Protocol):
    """Operators' access tokens, shared by all workers. Every method may raise `TokensAway`."""

    def get(self, key: str) -> str | None: ...

    def put(self, key: str, value: str, ttl: float) -> None: ...

    def forget(self, key: str) -> None: ...

    def lock(self, key: str) -> AbstractContextManager[object]: ...


@dataclass(frozen=True)
class Field:
    """One line of the form in which staff enter an account's credentials; `label` is Russian."""

    name: str
    label: str
    secret: bool = True
    required: bool = True


@dataclass(frozen=True)
class Capabilities:
    """What an operator can do and how it wants to be treated. All times are seconds.

    `poll_plan`: pauses before each check of an accepted request, the last one repeats.
    `quiet_seconds`: how long an unknown outcome rests before it is read. `deadline_seconds`: when
    an accepted request stops being waited for. `per_second`, `per_minute`: the usual contract's
    quota. `check_by_sim`: the operator tells of a card's requests without our knowing their ids.
    `list_changes`: it tells which cards changed since a moment. `identity`: it tells whether a number
    is confirmed on Госуслуги (`read_identity`). `hub`: our address can be registered at its `/hub`
    (`call`). `shows_holds`: a reading of a card that the operator
    itself holds says so; where it does not, only a refused switch tells.
    """

    title: str
    key: str
    asynchronous: bool
    state_quality: StateQuality
    credentials: tuple[Field, ...]
    per_second: int | None
    per_minute: int | None
    concurrency: int
    poll_plan: tuple[float, ...]
    quiet_seconds: float
    deadline_seconds: float
    check_by_sim: bool = False
    list_changes: bool = False
    identity: bool = False
    hub: bool = False
    shows_holds: bool = True


@dataclass(frozen=True)
class Connection:
    """One contract with one operator, as an adapter needs it. `account` is its code in ours.

    `profile` is the description of the protocol that staff wrote, for the adapter that works by one.
    """

    account: str
    base_url: str
    credentials: Mapping[str, str] = field(repr=False)
    http: Http = field(repr=False)
    tokens: TokenStore = field(repr=False)
    profile: Mapping[str, Any] | None = field(default=None, repr=False)


class Operator(Protocol):
    """One adapter, bound to one `Connection`. Objects are cheap, and used by one thread."""

    capabilities: ClassVar[Capabilities]

    def __init__(self, connection: Connection) -> None: ...

    def submit(self, *, action: Action, sim: Sim, key: str, at: datetime) -> SubmitResult:
        """Ask for the switch, once. `key` is the same for every repeat of one command.

        Never raises for an operator's trouble. Logging in comes first: where that fails, the result
        is `Rejected`, because the switch itself was not asked for.
        """
        ...

    def check(self, *, request_id: str, sim: Sim, submitted_at: datetime, at: datetime) -> Check:
        """How an accepted request is doing. Raises `Unavailable`."""
        ...

    def check_by_sim(
        self, *, sim: Sim, action: Action, submitted_at: datetime, at: datetime
    ) -> Check:
        """What became of a request whose answer was lost: `LOST` when the operator has none.

        Raises `Unavailable`, with `UNSUPPORTED` where `capabilities.check_by_sim` is false.
        """
        ...

    def read_state(self, *, sim: Sim) -> Reading:
        """The card's state now. Raises `Unavailable`."""
        ...

    def list_changes(self, *, since: datetime, cursor: str) -> Changes:
        """Cards whose state changed at `since` or later; `cursor` is "" for the first page.

        A hint and no proof: a list that grows while it is read may pass over a card. Raises
        `Unavailable`, with `UNSUPPORTED` where `capabilities.list_changes` is false.
        """
        ...

    def read_identity(self, *, sim: Sim) -> Identity:
        """Whether the number is confirmed on Госуслуги: one word of the answer, the rest is dropped.

        An adapter may leave this method out; it then raises `Unavailable` of class `UNSUPPORTED`, as
        it does where `capabilities.identity` is false. Raises `Unavailable`.
        """
        ...

    def call(self, method: str, path: str, kind: CallKind, **parts: Any) -> Reply:
        """One call below the contract's address, logging in first: whatever it answers, save that refused
        keys are `Unavailable` of class `AUTH`.

        May be left out as `read_identity` may, where `capabilities.hub` is false. Raises `Unavailable` if
        surely nothing was done, and `LostReply`.
        """
        ...

    def ping(self) -> str:
        """Log in and read something cheap. Returns a Russian sentence; raises `Unavailable`."""
        ...


class NoChangeList:
    """For adapters of operators that have no list of changes: derive from it."""

    def list_changes(self, *, since: datetime, cursor: str) -> Changes:
        """Raises `Unavailable` of class `UNSUPPORTED`."""
        text = "оператор не сообщает об изменениях списком"
        raise Unavailable(ErrorClass.UNSUPPORTED, "", text)


class NoIdentity:
    """What the registry gives to adapters of operators that tell nothing of Госуслуги."""

    def read_identity(self, *, sim: Sim) -> Identity:
        """Raises `Unavailable` of class `UNSUPPORTED`."""
        text = "оператор не сообщает о подтверждении номера"
        raise Unavailable(ErrorClass.UNSUPPORTED, "", text)


class NoHub:
    """What the registry gives to adapters of operators that have no `/hub`."""

    def call(self, method: str, path: str, kind: CallKind, **parts: Any) -> Reply:
        """Raises `Unavailable` of class `UNSUPPORTED`."""
        text = "у оператора нет подписки на уведомления"
        raise Unavailable(ErrorClass.UNSUPPORTED, "", text)
