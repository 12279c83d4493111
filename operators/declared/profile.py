"""What a profile says, in frozen dataclasses. `validate.load` makes one out of a document.

The document is a JSON object:

- `title`; `key`: what the operator knows a card by, `iccid` (default) or `msisdn`; `zone`: its clock,
  `Europe/Moscow` by default; `base_url`: proposed as the account's address; `headers`: for each call.
- `login`: see `Login`. `fields`: more keys of the account, `[{"name", "label", "secret", "required"}]`;
  those that are no secrets may be used in every template, secrets only in the login's.
- `calls`: `activate` and `deactivate`; and, where the operator has them, `find` (gives `{id}`, the
  operator's own number of a card, to all others), `check`, `read`, `list_changes`, `ping`. See `Call`.
- `states`: `words` of a card's state → `new`, `active`, `inactive`, `held`, `retired`, or
  `held:limit` with one of our block reasons; `absent`: the state of a card in whose answer nothing stands
  where the word would, as in an empty list of blocks; `reasons`: words of a block → our reasons;
  `quality`: `exact` (default) or `weak`. An unlisted word is an unknown state.
- `results`: words of an outcome → `done`, `accepted`, `already`, `pending`, `failed`, `lost`. An
  unlisted word is no outcome: unknown for a switch, pending for a check.
- `errors`: see `Errors`. `limits`: `per_second`, `per_minute`, `concurrency`. `times`: `poll_plan`,
  `quiet_seconds`, `deadline_seconds`. `windows`: nightly works, `[{"days": [0, 6], "from": "02:00",
  "to": "04:30"}]`, Monday is 0, by Moscow time.

Words are compared without regard to case; numbers and `true`/`false` are words too.

The variables of templates, `{iccid}`, are told by `parse_calls.VARIABLES`, and their meaning by the
functions of `outgoing` that give the values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from operators.declared.keys import Key, Place, Sign
from operators.declared.keys import Named as Named
from operators.declared.keys import Where as Where
from operators.declared.nodes import Problem
from operators.declared.paths import Path
from operators.declared.sources import Source
from operators.declared.templates import Template, json_names
from operators.ports import Action, BlockReason, ErrorClass, Field, SimState, StateQuality
from operators.waits import LONGEST_PAUSE


class InvalidProfile(ValueError):
    """A document that is no profile; `problems` say why."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


class CallName(StrEnum):
    """The calls a profile may have."""

    ACTIVATE = "activate"
    DEACTIVATE = "deactivate"
    FIND = "find"
    CHECK = "check"
    READ = "read"
    LIST_CHANGES = "list_changes"
    PING = "ping"


SWITCHES = {Action.ACTIVATE: CallName.ACTIVATE, Action.DEACTIVATE: CallName.DEACTIVATE}
WANTED = {Action.ACTIVATE: SimState.ACTIVE, Action.DEACTIVATE: SimState.INACTIVE}


class Proof(StrEnum):
    """What a status of success proves of a switch, and by what.

    `STATE`: the body shows the new state. `RESULT`: a word of it says what came out. `REQUEST`: the
    operator took it and gave a number to ask by. `READ`: nothing; the card is read once, and later by
    the plan. `STATUS`: the status alone is believed; for operators that can be asked nothing.
    """

    STATE = "state"
    RESULT = "result"
    REQUEST = "request"
    READ = "read"
    STATUS = "status"


class Result(StrEnum):
    """What became of a switch, by the operator's word."""

    DONE = "done"
    ACCEPTED = "accepted"
    ALREADY = "already"
    PENDING = "pending"
    FAILED = "failed"
    LOST = "lost"


class LoginKind(StrEnum):
    """How the operator knows us."""

    NONE = "none"
    BASIC = "basic"
    BEARER = "bearer"
    KEY = "key"
    CLIENT_CREDENTIALS = "oauth2_client_credentials"
    PASSWORD = "oauth2_password"  # noqa: S105 a word, not a secret
    TOKEN_CALL = "token_call"  # noqa: S105 a word, not a secret


class BodyKind(StrEnum):
    """How the body of a request is written."""

    NONE = "none"
    JSON = "json"
    FORM = "form"


class NextKind(StrEnum):
    """How pages of a list go on: by the operator's word, by numbers, or by the address of the next one."""

    CURSOR = "cursor"
    PAGE = "page"
    LINK = "link"


@dataclass(frozen=True)
class Body:
    """`{"kind": "json" | "form" | "none", "template": …}`; every text in it is a template.

    `"...": "{card}"` in an object of JSON stands for all fields of an object that was taken from an answer;
    the fields beside it are laid over them. Another type than `application/json` is a header, `Content-Type`.
    """

    kind: BodyKind = BodyKind.NONE
    template: Any = None


@dataclass(frozen=True)
class Next:
    """How a list goes on: `{"kind": "cursor", "path": …}`, `{"kind": "page", "first", "last", "size"}`, or
    `{"kind": "link", "path": "links.next"}`, also `"header:Link:rel=next"`.

    Pages end where the value at `last` is true, or, with `size`, at a page of fewer rows; else where
    there is no mark and no link of a next page.
    """

    kind: NextKind
    source: Source | None = None
    last: Path | None = None
    first: int = 1
    size: int | None = None


@dataclass(frozen=True)
class Answer:
    """Where in an answer what stands; all are paths.

    `rows`: the list in which the card's row is looked for; the other paths then start from the row. It may
    also lead to one row alone, or to an object whose names are the cards' numbers: `iccid` is then
    `@key`, and a row that is a bare word is `@value`. `iccid`, where given, must name the card asked about,
    with or without its check digit; its digits count, whatever stands around them. Where only `msisdn`
    is given, rows are chosen by it. `state` may be a list of paths: their words are joined by «+»; of
    several words at one path the worst counts. `request_id` and the values of `take` may be parts of links
    and headers, see `sources`; of a header the last segment is the number of a request, and `{key}` is the
    number that we gave the switch ourselves. `msisdn`: Russian numbers may come with 8, +7, 7 or bare. `code`
    and `text` of a failed check. `take`, of `find` and `prepare` only: more values of the answer, name → source,
    as variables of other calls; objects may be sent back in a body. `echo`: path → template, what the answer
    must repeat of the request; one that does not is an answer to something else.
    """

    rows: Path | None = None
    iccid: Path | None = None
    id: Path | None = None
    state: tuple[Path, ...] = ()
    reason: Path | None = None
    msisdn: Path | None = None
    imei: Path | None = None
    request_id: Source | None = None
    request_is_key: bool = False
    result: Path | None = None
    code: Path | None = None
    text: Path | None = None
    next: Next | None = None
    take: Mapping[str, Source] = field(default_factory=dict)
    echo: tuple[tuple[Path, Template], ...] = ()


# A state of a card, and whose block it is where one is told by the same word.
State = tuple[SimState, BlockReason | None]


@dataclass(frozen=True)
class Call:
    """`method`, `path` below the address, `query`, `headers`, `body`, `success`, `answer`, `statuses`.

    `success` of a switch is `{"200": "state", "202": "request"}`, status → `Proof`; of a question a
    list of statuses, 200 by default. `statuses`: what a status alone says, whatever the body. Of `check`:
    `{"404": "pending", "303": "done"}`, words of `results`; of `read`: `{"404": "active"}`, words of
    `states`; of a switch: `{"304": "already"}`, that word only.

    A `path` that is one variable and nothing else follows a link, one that was kept as `:link`. `prepare`, of a
    switch only: the call that comes right before it, `{"method", "path", "query", "headers", "body",
    "success", "answer": {"rows", "iccid", "msisdn", "take", "echo"}}`, such as an order that the switch confirms.
    """

    method: str
    path: Template
    query: tuple[tuple[str, Template], ...]
    headers: tuple[tuple[str, Template], ...]
    body: Body
    success: Mapping[int, Proof | None]
    answer: Answer
    statuses: Mapping[int, Result | State] = field(default_factory=dict)
    prepare: "Call | None" = None

    @property
    def own_names(self) -> set[str]:
        """The variables of the request."""
        in_headers = {name for _, text in self.headers for name in text.names}
        return self.names_outside_headers | in_headers

    @property
    def names_outside_headers(self) -> set[str]:
        """The variables of the address and of the body, which say what the request is about."""
        texts = [self.path, *(text for _, text in self.query)]
        return {name for text in texts for name in text.names} | json_names(self.body.template)

    @property
    def names(self) -> set[str]:
        """The variables of the request, and of the call that prepares it."""
        return self.own_names | (self.prepare.names if self.prepare is not None else set())

    @property
    def link(self) -> str:
        """The variable whose link is followed, "" where the path is a usual one."""
        return self.path.names[0] if self.path.is_one_name else ""


@dataclass(frozen=True)
class Login:
    """How we are known. `credentials` is what staff enter for it.

    - `none`; `basic` (user and password with each call); `bearer` (a fixed token);
    - `key`: a fixed key at `place`;
    - `oauth2_client_credentials`, `oauth2_password`: `url`, `client_auth` (`basic`, `body` or `none`),
      `body` (`form` or `json`), `extra` (more constants of the request);
    - `token_call`: `method`, `url`, `query`, `headers`, `body` as of a call, with the account's keys
      as variables, `basic`: the two keys that go as HTTP Basic.

    The last three fetch a token: `token` (by default `access_token`; `token_call` must name it, and its
    `place`) and `seconds` are paths to it and to its life (`token` may be
    `Named`), `default_seconds` the life where the answer tells none, `place` where it goes, `stale`
    (`{"statuses": [401], "codes": []}`) which refusals ask for a new one. An address is a path below the
    account's, or a whole one with https.

    Beside them `more`, other values of the same answer that every call carries, such as a CSRF token:
    `[{"token": "header:X-CSRF", "in": "header", "name": "X-CSRF"}]`. Beside any kind: `keys`, more fixed keys
    of every call, and `sign`; see `keys.Key` and `keys.Sign`.
    """

    kind: LoginKind
    credentials: tuple[Field, ...]
    place: Place | None = None
    call: Call | None = None
    basic: tuple[str, str] | None = None
    token: Path | Named | None = None
    seconds: Path | None = None
    default_seconds: float = 300
    stale_statuses: frozenset[int] = frozenset({401})
    stale_codes: frozenset[str] = frozenset()
    more: tuple[tuple[Path | Named, Place], ...] = ()
    keys: tuple[Key, ...] = ()
    sign: Sign | None = None

    @property
    def token_places(self) -> tuple[Place, ...]:
        """Where the fetched values go, the token first."""
        first = () if self.place is None else (self.place,)
        return (*first, *(place for _, place in self.more))


@dataclass(frozen=True)
class Errors:
    """How refusals are read.

    `code`, `text`: paths, the first that leads to a word counts. A code in an answer of success makes
    it a refusal, unless it is one of `fine`. `codes`, `statuses`: their word → our error class, codes
    first. `not_done`: what surely did nothing, statuses from 500 on and words of `codes`, which is all that
    makes `maintenance`, `transient` or an unknown status sure. `retry_after`: the header with a pause in
    seconds, at most `longest_pause`, `retry_after_path`: where in the body it stands instead;
    `rate_limited_pause` where a quota's refusal has none.
    """

    code: tuple[Path, ...]
    text: tuple[Path, ...]
    codes: Mapping[str, ErrorClass]
    statuses: Mapping[int, ErrorClass]
    fine: frozenset[str]
    not_done: frozenset[int]
    not_done_codes: frozenset[str] = frozenset()
    retry_after: str = "Retry-After"
    retry_after_path: Path | None = None
    longest_pause: float = LONGEST_PAUSE
    rate_limited_pause: float | None = None


@dataclass(frozen=True)
class States:
    """Words of a card's state and of a block."""

    words: Mapping[str, State]
    reasons: Mapping[str, BlockReason]
    quality: StateQuality
    absent: State | None = None


@dataclass(frozen=True)
class Window:
    """Nightly works, as `OperatorAccount.maintenance_windows` keeps them."""

    days: tuple[int, ...]
    starts: str
    ends: str

    def as_json(self) -> dict[str, Any]:
        days = sorted(set(self.days))
        return {"days": [] if len(days) == 7 else days, "from": self.starts, "to": self.ends}


@dataclass(frozen=True)
class Profile:
    """A whole profile; times are seconds."""

    title: str
    key: str
    zone: ZoneInfo
    base_url: str
    headers: tuple[tuple[str, Template], ...]
    fields: tuple[Field, ...]
    login: Login
    calls: Mapping[CallName, Call]
    states: States
    results: Mapping[str, Result]
    errors: Errors
    per_second: int | None
    per_minute: int | None
    concurrency: int
    poll_plan: tuple[float, ...]
    quiet_seconds: float
    deadline_seconds: float
    windows: tuple[Window, ...]

    @property
    def credentials(self) -> tuple[Field, ...]:
        """Everything staff enter for an account."""
        return self.login.credentials + self.fields

    def finder_of(self, call: Call) -> Call | None:
        """The call that must come before this one, for what only the operator knows of the card."""
        find = self.calls.get(CallName.FIND)
        if find is None or find is call or not call.names & {"id", *find.answer.take}:
            return None
        return find
