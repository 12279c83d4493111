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

from operators.declared.nodes import Problem
from operators.declared.paths import Path
from operators.declared.templates import Template, json_names
from operators.ports import Action, BlockReason, ErrorClass, Field, SimState, StateQuality


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


class Where(StrEnum):
    """The part of a request that carries a key or a token.

    `BODY`: a field of the form or of the JSON object; `PATH`: the first segment after the address.
    """

    HEADER = "header"
    QUERY = "query"
    COOKIE = "cookie"
    BODY = "body"
    PATH = "path"


class Algorithm(StrEnum):
    """How a signature is made: HMAC with a secret, or a bare digest of a text that has the secret in it."""

    HMAC_SHA256 = "hmac-sha256"
    HMAC_SHA512 = "hmac-sha512"
    HMAC_SHA1 = "hmac-sha1"
    HMAC_MD5 = "hmac-md5"
    SHA256 = "sha256"
    SHA512 = "sha512"
    SHA1 = "sha1"
    MD5 = "md5"


class Encoding(StrEnum):
    """How a signature is written."""

    HEX = "hex"
    BASE64 = "base64"


class BodyKind(StrEnum):
    """How the body of a request is written."""

    NONE = "none"
    JSON = "json"
    FORM = "form"


class NextKind(StrEnum):
    """How pages of a list go on: by the operator's word, or by numbers."""

    CURSOR = "cursor"
    PAGE = "page"


@dataclass(frozen=True)
class Place:
    """Where a key or a token is put: `{"in": "header", "name": "Authorization", "prefix": "Bearer "}`."""

    where: Where
    name: str
    prefix: str = ""


@dataclass(frozen=True)
class Key:
    """One more fixed key: a place, and the `field` of the account whose value goes there."""

    field: str
    place: Place


@dataclass(frozen=True)
class Sign:
    """A signature of each request, put at `place`.

    `text` is a template; besides the account's keys it may name `{method}`, `{path}` and `{query}` (as they
    leave), `{body}`, and every variable of a call: one that the call does not have is empty. `secret` is the
    account's field that HMAC is keyed with. In a body (a form or a JSON object) the signature is a field
    more, and `{body}` is what the body is without it.
    """

    algorithm: Algorithm
    secret: str
    text: Template
    encoding: Encoding
    place: Place


@dataclass(frozen=True)
class Named:
    """A header or a cookie of an answer, written `header:X-Token` or `cookie:SID`."""

    where: Where
    name: str


@dataclass(frozen=True)
class Body:
    """`{"kind": "json" | "form" | "none", "template": …}`; every text in it is a template."""

    kind: BodyKind = BodyKind.NONE
    template: Any = None


@dataclass(frozen=True)
class Next:
    """How a list goes on: `{"kind": "cursor", "path": …}`, or `{"kind": "page", "first", "last", "size"}`.

    Pages end where the value at `last` is true, or, with `size`, at a page of fewer rows.
    """

    kind: NextKind
    path: Path | None = None
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
    several words at one path the worst counts. `request_id` may be `header:Location`: the last segment of
    that header, `operation.href:last`: the last segment of a link in the body, or `{key}`: the number that
    we gave the switch ourselves. `msisdn`: Russian numbers may come with 8, +7, 7 or bare. `code` and
    `text` of a failed check. `take`, of `find` only: more values of the found card, name → path, as
    variables of other calls.
    """

    rows: Path | None = None
    iccid: Path | None = None
    id: Path | None = None
    state: tuple[Path, ...] = ()
    reason: Path | None = None
    msisdn: Path | None = None
    imei: Path | None = None
    request_id: Path | None = None
    request_is_link: bool = False
    request_header: str = ""
    request_is_key: bool = False
    result: Path | None = None
    code: Path | None = None
    text: Path | None = None
    next: Next | None = None
    take: Mapping[str, Path] = field(default_factory=dict)


# A state of a card, and whose block it is where one is told by the same word.
State = tuple[SimState, BlockReason | None]


@dataclass(frozen=True)
class Call:
    """`method`, `path` below the address, `query`, `headers`, `body`, `success`, `answer`, `statuses`.

    `success` of a switch is `{"200": "state", "202": "request"}`, status → `Proof`; of a question a
    list of statuses, 200 by default. `statuses`: what a status alone says, whatever the body. Of `check`:
    `{"404": "pending", "303": "done"}`, words of `results`; of `read`: `{"404": "active"}`, words of
    `states`; of a switch: `{"304": "already"}`, that word only.
    """

    method: str
    path: Template
    query: tuple[tuple[str, Template], ...]
    headers: tuple[tuple[str, Template], ...]
    body: Body
    success: Mapping[int, Proof | None]
    answer: Answer
    statuses: Mapping[int, Result | State] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """The variables of the request."""
        texts = [self.path, *(text for _, text in self.query), *(text for _, text in self.headers)]
        return {name for text in texts for name in text.names} | json_names(self.body.template)


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

    Beside any kind: `keys`, more fixed keys of every call, and `sign`; see `Key` and `Sign`.
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
    keys: tuple[Key, ...] = ()
    sign: Sign | None = None


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
    longest_pause: float = 600
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
