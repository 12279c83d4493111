"""The interface of an operator's adapter: enums and frozen dataclasses, no framework, no clock, no network.

An adapter translates one operator's protocol into these types and keeps no state of its own. Its
author needs to know one rule above all: `Rejected` says that the operator **surely did nothing**.
Whatever is less sure is `Unknown`, and the product reads before it sends anything again.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from stdnum import luhn


class Action(StrEnum):
    """What is asked of the operator. «Deactivate» is a voluntary block, never a termination."""

    ACTIVATE = "activate"
    DEACTIVATE = "deactivate"


class ErrorClass(StrEnum):
    """What went wrong, by what may be done next."""

    AUTH = "auth"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    INVALID = "invalid"
    ALREADY = "already"
    CONFLICT_PENDING = "conflict_pending"
    HELD_BY_OPERATOR = "held_by_operator"
    RATE_LIMITED = "rate_limited"
    TRANSIENT = "transient"
    MAINTENANCE = "maintenance"
    UNKNOWN_OUTCOME = "unknown_outcome"
    CONFIGURATION = "configuration"
    UNSUPPORTED = "unsupported"


class SimState(StrEnum):
    """The canonical state of a SIM at its operator."""

    NEW = "new"
    ACTIVE = "active"
    INACTIVE = "inactive"
    HELD = "held"
    RETIRED = "retired"
    UNKNOWN = "unknown"


# The state in which a switch leaves a card.
WANTED_STATE: Mapping[Action, SimState] = {
    Action.ACTIVATE: SimState.ACTIVE,
    Action.DEACTIVATE: SimState.INACTIVE,
}


class BlockReason(StrEnum):
    """Why a SIM does not work. Only `VOLUNTARY` is ours to lift."""

    VOLUNTARY = "voluntary"
    DEBT = "debt"
    FRAUD = "fraud"
    STOLEN = "stolen"
    LAW = "law"
    LIMIT = "limit"
    IMEI = "imei"
    OPERATOR = "operator"
    UNKNOWN = "unknown"


class IdentityState(StrEnum):
    """How the owner of a number stands on Госуслуги, in the operator's view.

    `WAITING`: the company has to accept the number there, or the operator is looking at it.
    `NOT_FOUND`: Госуслуги know no such person, company or request. `UNKNOWN` says nothing either way.
    """

    CONFIRMED = "confirmed"
    NOT_REQUIRED = "not_required"
    WAITING = "waiting"
    REFUSED = "refused"
    MISMATCH = "mismatch"
    NOT_FOUND = "not_found"
    UNKNOWN = "unknown"


class CheckState(StrEnum):
    """How an accepted request is doing."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"
    LOST = "lost"


class StateQuality(StrEnum):
    """How far `read_state` may be believed.

    `EXACT`: any answer settles an unknown outcome. `WEAK`: an answer other than `SimState.UNKNOWN`
    is a hint. `NONE`: the operator has no such call.
    """

    EXACT = "exact"
    WEAK = "weak"
    NONE = "none"


class CallKind(StrEnum):
    """What one HTTP exchange was for; quotas, logs and the sandbox count by it."""

    AUTH = "auth"
    SUBMIT = "submit"
    CHECK = "check"
    READ = "read"


@dataclass(frozen=True)
class Sim:
    """One card. ICCID of 17–20 digits; MSISDN is E.164 without plus, "" where not known."""

    iccid: str
    msisdn: str = ""


# Between the digits and before the check digit stand spaces and hyphens, behind them the filler F.
_ICCID_DECORATION = re.compile(r"[\s\u00ad\u2010-\u2015\u2212-]+|[Ff]+\s*$")
_ICCID = re.compile("[0-9]{17,20}")


def iccid_of(given: object) -> str:
    """The digits of an ICCID as an operator or a file writes it: text or a JSON number; "" where it is none."""
    if isinstance(given, bool) or not isinstance(given, str | int):
        return ""
    bare = _ICCID_DECORATION.sub("", str(given))
    return bare if _ICCID.fullmatch(bare) else ""


def iccid_spellings(iccid: str) -> tuple[str, ...]:
    """The digits under which one card may be known: as given, then with or without the check digit.

    The check digit is that of ITU-T E.118 (Luhn); one that is wrong is no check digit. `iccid` is digits.
    """
    longer = f"{iccid}{luhn.calc_check_digit(iccid)}"
    shorter = iccid[:-1] if luhn.is_valid(iccid) else ""
    return (iccid, *(one for one in (shorter, longer) if _ICCID.fullmatch(one)))


def same_card(given: object, iccid: str) -> bool:
    """Whether an operator's spelling means this card: the same digits, or one is the other with its check digit."""
    named = iccid_of(given)
    return bool(named) and named in iccid_spellings(iccid)


_NOT_STORED = re.compile("[\x00\ud800-\udfff]")


def stored_text(text: str) -> str:
    """A text of an operator with what no database takes, NUL and halves of a UTF-16 pair, replaced."""
    return _NOT_STORED.sub("\N{REPLACEMENT CHARACTER}", text)


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

    Whatever the class, nobody calls the operator in that time, unless it is about this card alone
    (`operators.backoff`).
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
    """What the operator answers about a request.

    `error` is set with `FAILED`, and is `ALREADY` beside `COMPLETED` where the operator refused
    because it was so already: worth a confirming read. `sim_state` is then the state that the refusal
    names, where it names one. `retry_in`: seconds after which a pending request may be asked about again,
    where the operator says so.
    """

    state: CheckState
    code: str = ""
    text: str = ""
    error: ErrorClass | None = None
    retry_in: float | None = None
    sim_state: SimState | None = None


@dataclass(frozen=True)
class Reading:
    """What the operator answers about a card. `raw` is its own code of the state, without personal data."""

    state: SimState
    reason: BlockReason | None = None
    raw: str = ""
    msisdn: str = ""
    imei: str = ""


@dataclass(frozen=True)
class Identity:
    """Whether the operator takes a number as confirmed; `raw` is the operator's code of that, nothing personal."""

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


# After these a switch may have been made all the same.
UNSURE = frozenset({ErrorClass.UNKNOWN_OUTCOME, ErrorClass.TRANSIENT, ErrorClass.MAINTENANCE})


@dataclass(frozen=True)
class OperatorError:
    """What an operator's refusal says, in our words; `retry_after` in seconds."""

    error: ErrorClass
    code: str
    text: str
    retry_after: float | None = None

    def unavailable(self) -> Unavailable:
        """For questions: nothing was learned, and no outcome of a question is unknown."""
        unclear = self.error is ErrorClass.UNKNOWN_OUTCOME
        error = ErrorClass.TRANSIENT if unclear else self.error
        return Unavailable(error, self.code, self.text, self.retry_after)

    def switch_result(self) -> Rejected | Unknown:
        """For a switch that was refused by the operator's own word; see `UNSURE`."""
        return self.unknown() if self.error in UNSURE else self.rejected()

    def rejected(self) -> Rejected:
        """For a switch that surely was not made."""
        return Rejected(self.error, self.code, self.text, self.retry_after)

    def unknown(self) -> Unknown:
        """For a switch that may have been made all the same."""
        return Unknown(self.text, self.error, self.code, self.retry_after)


def garbage() -> Unavailable:
    """An answer to a question that cannot be read."""
    return Unavailable(ErrorClass.TRANSIENT, "garbage", "ответ оператора не разобрать")


def wrong_id(about: str = "другой смарт-карте") -> Unavailable:
    """An answer about something else than was asked; `about` is Russian, in the prepositional case."""
    return Unavailable(ErrorClass.TRANSIENT, "wrong_id", f"оператор ответил о {about}")


def no_keys(what: str = "ключи договора") -> Unavailable:
    """Staff have not entered what the operator knows us by; `what` is Russian, in the nominative plural."""
    return Unavailable(ErrorClass.CONFIGURATION, "no_keys", f"не заданы {what}")


def no_number() -> Unavailable:
    """The card has no MSISDN, and this operator knows cards by it."""
    return Unavailable(ErrorClass.INVALID, OurCode.NO_NUMBER, "у смарт-карты не указан номер")


class OurCode(StrEnum):
    """Codes of results that come from us; any other code is the operator's own.

    `QUOTA`: no turn in our quota. `TOKENS_AWAY`: the store of access tokens does not answer. `LEASE_EXPIRED`:
    the time to send was over before anything left. `BROKEN`: our own code broke the call off. `NO_NUMBER`:
    the card has no MSISDN and this operator knows cards by it. `SHARED_NUMBER`: another card has the same
    MSISDN, and would be switched too. The others: the number is not confirmed on Госуслуги
    (`IDENTITY_CODES`).
    """

    QUOTA = "not_sent_quota"
    TOKENS_AWAY = "tokens_away"
    LEASE_EXPIRED = "lease"
    BROKEN = "broken"
    NO_NUMBER = "no_msisdn"
    SHARED_NUMBER = "shared_msisdn"
    IDENTITY_WAITING = "identity:waiting"
    IDENTITY_REFUSED = "identity:refused"
    IDENTITY_MISMATCH = "identity:mismatch"
    IDENTITY_NOT_FOUND = "identity:not_found"


# The states in which an operator surely serves no number. With the others it switches the card on, as far as
# is known.
IDENTITY_CODES: Mapping[IdentityState, OurCode] = {
    IdentityState.WAITING: OurCode.IDENTITY_WAITING,
    IdentityState.REFUSED: OurCode.IDENTITY_REFUSED,
    IdentityState.MISMATCH: OurCode.IDENTITY_MISMATCH,
    IdentityState.NOT_FOUND: OurCode.IDENTITY_NOT_FOUND,
}


class NotSent(Unavailable):
    """Not one byte of the request left us: as good as not asked.

    `cause`: dns, address (one that is not allowed), refused, tls, timeout, url, network, or quota: no turn
    for this call now, ask again in `retry_after` seconds.
    """

    def __init__(self, text: str, cause: str = "network", retry_after: float | None = None) -> None:
        error = _NOT_SENT_ERRORS.get(cause, ErrorClass.TRANSIENT)
        super().__init__(error, f"not_sent_{cause}", text, retry_after)
        self.cause = cause


_NOT_SENT_ERRORS = {"url": ErrorClass.CONFIGURATION, "quota": ErrorClass.RATE_LIMITED}


class LostReply(Exception):
    """The request may have arrived, but no whole answer came back."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


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

    @property
    def text(self) -> str:
        """The body as text, undecodable bytes replaced."""
        return self.body.decode("utf-8", "replace")


class Http(Protocol):
    """The HTTP client of one account; see `operators.client.http`."""

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


@dataclass(frozen=True)
class Token:
    """A fresh access token and its life in seconds."""

    value: str
    seconds: float


class Tokens(Protocol):
    """An account's access token, shared by all workers."""

    def current(self, fetch: Callable[[], Token], *, stale: str | None = None) -> str:
        """The kept token, never the `stale` one; of many callers without one only the first fetches it.

        `fetch` asks the operator. Raises the `Unavailable` that it raises, and one of class `TRANSIENT`
        where the store of tokens is away.
        """
        ...


@dataclass(frozen=True)
class Field:
    """One line of the form in which staff enter an account's credentials; `label` is Russian.

    `is_address`: an https address to which the account's secrets go, such as that of a login. `maximum`: a
    whole number from 0 to this one. Neither is a secret.
    """

    name: str
    label: str
    secret: bool = True
    required: bool = True
    is_address: bool = False
    maximum: int | None = None


@dataclass(frozen=True)
class Capabilities:
    """What an operator can do and how it wants to be treated. All times are seconds.

    `poll_plan`: pauses before each check of an accepted request, the last one repeats.
    `quiet_seconds`: how long an unknown outcome rests before it is read. `deadline_seconds`: when
    an accepted request stops being waited for. `per_second`, `per_minute`: the usual contract's
    quota. `check_by_sim`: the operator tells of a card's requests without our knowing their ids.
    `list_changes`: it tells which cards changed since a moment. `identity`: it tells whether a number
    is confirmed on Госуслуги (`read_identity`). `shows_holds`: a reading of a card that the operator
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
    shows_holds: bool = True

    def addresses_in(self, credentials: Mapping[str, str]) -> dict[str, str]:
        """The addresses among an account's credentials, by the names of their fields."""
        named = (field.name for field in self.credentials if field.is_address)
        return {name: credentials[name] for name in named if credentials.get(name)}


@dataclass(frozen=True)
class Connection:
    """One contract with one operator, as an adapter needs it. `account` is its code in ours.

    `profile` is the description of the protocol that staff wrote, for the adapter that works by one.
    """

    account: str
    base_url: str
    credentials: Mapping[str, str] = field(repr=False)
    http: Http = field(repr=False)
    tokens: Tokens = field(repr=False)
    profile: Mapping[str, Any] | None = field(default=None, repr=False)


class Operator(Protocol):
    """One adapter, bound to one `Connection`: used by one thread at a time, for any number of calls.

    It is made before any command is taken from the queue, so whatever is wrong with the connection is
    to be raised by `__init__`.
    """

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

        An adapter may leave this method out where `capabilities.identity` is false: it is not asked
        there. Raises `Unavailable`.
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


class NoRequestSearch:
    """For adapters of operators that tell of a request by its number only: derive from it."""

    def check_by_sim(
        self, *, sim: Sim, action: Action, submitted_at: datetime, at: datetime
    ) -> Check:
        """Raises `Unavailable` of class `UNSUPPORTED`: the reading settles it."""
        raise Unavailable(ErrorClass.UNSUPPORTED, "", "оператор не ищет запросы по смарт-карте")
