"""Cisco IoT Control Center (formerly Jasper): REST by ICCID, HTTP Basic, no tokens, no requests.

One adapter for every operator that hands out Control Center keys; hosts differ, paths do not. What
is documented by the vendor: the calls, their fields, the states. What was learned from other
people's clients: the error codes, the quota's code, the codes of a refused change. Marked «guess»:
to be settled with the operator. What matters most:

- **`{"iccid"}` is all a change is answered by**, and an answer in time is no proof of a state. So a
  change is confirmed by one read of the card: `Applied` only where the read shows the new state.
  Where it does not yet, or could not be made (the quota may be used up just now), the change is
  `Accepted`, and `check` reads the card again by the plan: two calls for a switch, never more at
  once. The «request id» is ours: the wanted state and our key, as the operator gives none.
- As checks are reads, a change that was taken and forgotten stays `PENDING` until the deadline.
- An answer that names another card, or none, proves nothing: unknown outcome.
- The quota is counted for the account and second over all its callers and asked for in one
  thread; over it comes code 40000029, in the field with HTTP status 400.
- A card is written with its check digit or without it, with the filler F or as a JSON number.
- A card held by the operator (`SIMSTATUS_SUSPENDED`) still reads as `DEACTIVATED` (guess): only the
  refused change tells.
- `DEACTIVATED` → `ACTIVATED` is free to make, `RETIRED` and beyond is for ever and never sent.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from operators.adapters import (
    OperatorError,
    check_of_reading,
    decoded,
    garbage,
    lost_reply,
    mapping,
    rejected,
    taken_unseen,
    wrong_id,
)
from operators.backoff import retry_after
from operators.ports import (
    Accepted,
    Action,
    Already,
    Applied,
    BlockReason,
    CallKind,
    Capabilities,
    Changes,
    Check,
    CheckState,
    Connection,
    ErrorClass,
    Field,
    LostReply,
    NoRequestSearch,
    Reading,
    Reply,
    Sim,
    SimState,
    StateQuality,
    SubmitResult,
    Unavailable,
    Unknown,
    iccid_of,
    no_keys,
    same_card,
)

_PAGE_SIZE = "50"
# A search without a moment is refused (10000003), one that begins over a year ago too (10000045) and one in the
# future (10002119).
_PING_PAST = timedelta(days=30)

_WANTED = {Action.ACTIVATE: "ACTIVATED", Action.DEACTIVATE: "DEACTIVATED"}
_STATES = {
    "INVENTORY": SimState.NEW,
    "TEST_READY": SimState.NEW,
    "ACTIVATION_READY": SimState.NEW,
    "TRIAL": SimState.NEW,
    "ACTIVATED": SimState.ACTIVE,
    "DEACTIVATED": SimState.INACTIVE,
    "RETIRED": SimState.RETIRED,
    "PURGED": SimState.RETIRED,
    "REPLACED": SimState.RETIRED,
}
# `errorCode` → our class.
_ERRORS = {
    "10000001": ErrorClass.AUTH,
    "10000003": ErrorClass.INVALID,
    "10000023": ErrorClass.INVALID,
    "10000024": ErrorClass.CONFIGURATION,
    "10000028": ErrorClass.INVALID,
    "10000030": ErrorClass.FORBIDDEN,
    "10000031": ErrorClass.INVALID,
    "10000045": ErrorClass.INVALID,
    "10002119": ErrorClass.INVALID,
    "20000001": ErrorClass.NOT_FOUND,
    "30000001": ErrorClass.TRANSIENT,
    "30000002": ErrorClass.TRANSIENT,
    "40000029": ErrorClass.RATE_LIMITED,
}
_NO_SUCH_TRANSITION = "SIMSTATUS_INVALID_TRANSITION"
# Codes of the older SOAP call; that REST puts them into its message or code is a guess.
_TEXT_CODES = {
    "SIMSTATUS_SUSPENDED": ErrorClass.HELD_BY_OPERATOR,
    "SIMSTATUS_TRANSITION_UNAUTHORIZED": ErrorClass.FORBIDDEN,
    _NO_SUCH_TRANSITION: ErrorClass.INVALID,
    "SIMSTATUS_INVALID": ErrorClass.CONFIGURATION,
    "SIMSTATUS_NULL": ErrorClass.CONFIGURATION,
    "RATEPLAN_INVALID": ErrorClass.INVALID,
}
# HTTP status → our class, where no known code came with it.
_STATUSES = {
    401: ErrorClass.AUTH,
    403: ErrorClass.FORBIDDEN,
    404: ErrorClass.CONFIGURATION,
    405: ErrorClass.CONFIGURATION,
    408: ErrorClass.UNKNOWN_OUTCOME,
    409: ErrorClass.CONFLICT_PENDING,
    429: ErrorClass.RATE_LIMITED,
    503: ErrorClass.MAINTENANCE,
}


class ControlCenter(NoRequestSearch):
    """The adapter; see the module for the sources and the guesses."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        title="Cisco Control Center",
        key="iccid",
        asynchronous=False,
        state_quality=StateQuality.EXACT,
        credentials=(
            Field("username", "Имя пользователя API", secret=False),
            Field("api_key", "Ключ API"),
        ),
        per_second=5,
        per_minute=None,
        concurrency=1,
        poll_plan=(2, 5, 10, 30, 60, 120, 300),
        quiet_seconds=30,
        deadline_seconds=1800,
        list_changes=True,
        shows_holds=False,
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._base = connection.base_url.rstrip("/")

    # --- the port -----------------------------------------------------------------------------

    def submit(self, *, action: Action, sim: Sim, key: str, at: datetime) -> SubmitResult:
        """Change the status, then read it once. `key` is not sent: the operator knows none."""
        status = _WANTED[action]
        try:
            reply = self._send("PUT", _device(sim), CallKind.SUBMIT, json={"status": status})
        except LostReply as lost:
            return Unknown(lost.text)
        except Unavailable as trouble:
            return rejected(trouble)
        refused = _trouble(reply)
        if refused is not None:
            return self._refused(refused, reply, sim, status)
        if not same_card(mapping(decoded(reply)).get("iccid"), sim.iccid):
            return Unknown("в ответе оператора нет этой смарт-карты", code="wrong_id")
        return self._confirmed(sim, status, key)

    def check(self, *, request_id: str, sim: Sim, submitted_at: datetime, at: datetime) -> Check:
        """What the card's status says about a change; `LOST` for a number that is not ours."""
        status = request_id.partition(":")[0]
        if status not in _WANTED.values():
            return Check(CheckState.LOST, text="номер запроса не из этого договора")
        seen = self._read(sim, CallKind.CHECK)
        return check_of_reading(seen, is_done=seen.raw == status)

    def read_state(self, *, sim: Sim) -> Reading:
        """The card's status now."""
        return self._read(sim, CallKind.READ)

    def list_changes(self, *, since: datetime, cursor: str) -> Changes:
        """Fifty cards of the search by time of change; the cursor is the number of a page.

        A card that changes again while pages are read moves to the end and shifts the others by
        one, so that one may be passed over: ask for some more of the past each time.
        """
        page = cursor or "1"
        found = self._search(since=since, size=_PAGE_SIZE, page=page)
        devices = found["devices"]
        if found.get("lastPage") is True:
            return Changes(_items(devices))
        if not devices:
            raise garbage()  # neither cards nor an end: asking on would never stop
        return Changes(_items(devices), str(int(page) + 1))

    def ping(self) -> str:
        """Ask for one card of the search among those that changed of late."""
        self._search(since=datetime.now(UTC) - _PING_PAST, size="1", page="1")
        return "Control Center отвечает, ключ API принят."

    # --- what a change comes to ---------------------------------------------------------------

    def _confirmed(self, sim: Sim, status: str, key: str) -> SubmitResult:
        """Whether a change that was taken is to be seen; see the module."""
        ours = f"{status}:{key}"
        try:
            seen = self._read(sim, CallKind.CHECK)
        except Unavailable as trouble:
            return taken_unseen(ours, trouble)
        return Applied(status) if seen.raw == status else Accepted(ours)

    def _refused(self, refused: OperatorError, reply: Reply, sim: Sim, status: str) -> SubmitResult:
        if reply.status < 400:
            return Unknown(refused.text, code=refused.code)
        if refused.code == _NO_SUCH_TRANSITION and self._is_so_already(sim, status):
            return Already(status)
        return refused.switch_result()

    def _is_so_already(self, sim: Sim, status: str) -> bool:
        """Whether a change was refused because there is nothing to change."""
        try:
            return self._read(sim, CallKind.CHECK).raw == status
        except Unavailable:
            return False

    # --- the wire -----------------------------------------------------------------------------

    def _read(self, sim: Sim, kind: CallKind) -> Reading:
        device = mapping(decoded(self._ask(_device(sim), kind)))
        if not device.get("status"):
            raise garbage()
        if not same_card(device.get("iccid"), sim.iccid):
            raise wrong_id()
        return _reading(device)

    def _search(self, *, since: datetime, size: str, page: str) -> dict[str, Any]:
        moment = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        params = {"modifiedSince": moment, "pageSize": size, "pageNumber": page}
        found = mapping(decoded(self._ask("/devices", CallKind.READ, params=params)))
        if not isinstance(found.get("devices"), list):
            raise garbage()
        return found

    def _ask(self, path: str, kind: CallKind, **parts: Any) -> Reply:
        """A question: any trouble at all is `Unavailable`."""
        try:
            reply = self._send("GET", path, kind, **parts)
        except LostReply as lost:
            raise lost_reply(lost) from lost
        refused = _trouble(reply)
        if refused is not None:
            raise refused.unavailable()
        return reply

    def _send(self, method: str, path: str, kind: CallKind, **parts: Any) -> Reply:
        """One call. Raises `Unavailable` if surely nothing was done, and `LostReply`."""
        return self._connection.http.request(
            method,
            f"{self._base}/rws/api/v1{path}",
            kind=kind,
            headers={"Accept": "application/json"},
            auth=self._keys(),
            **parts,
        )

    def _keys(self) -> tuple[str, str]:
        keys = self._connection.credentials
        user, api_key = keys.get("username", ""), keys.get("api_key", "")
        if not (user and api_key):
            raise no_keys()
        return user, api_key


# --- answers --------------------------------------------------------------------------------------


def _device(sim: Sim) -> str:
    return f"/devices/{quote(sim.iccid, safe='')}"


def _reading(device: dict[str, Any]) -> Reading:
    status = str(device.get("status", ""))
    state = _STATES.get(status, SimState.UNKNOWN)
    return Reading(
        state,
        BlockReason.VOLUNTARY if state is SimState.INACTIVE else None,
        raw=status,
        msisdn=str(device.get("msisdn") or ""),
        imei=str(device.get("imei") or ""),
    )


def _items(devices: list[Any]) -> tuple[tuple[str, Reading], ...]:
    named = ((iccid_of(device.get("iccid")), device) for device in map(mapping, devices))
    return tuple((iccid, _reading(device)) for iccid, device in named if iccid)


def _trouble(reply: Reply) -> OperatorError | None:
    """The refusal an answer carries, whatever its status; None if it carries none."""
    body = mapping(decoded(reply))
    given, text = str(body.get("errorCode") or ""), str(body.get("errorMessage") or "")
    if 200 <= reply.status < 300 and not given:
        return None
    code = _code_in(f"{given} {text}") or given
    error = _ERRORS.get(code) or _TEXT_CODES.get(code) or _status_class(reply.status)
    return OperatorError(
        error,
        code or str(reply.status),
        (text or f"Control Center ответил {reply.status}")[:200],
        # Over the quota the vendor asks for pauses that grow, which is the caller's part.
        retry_after(reply, default=None),
    )


def _code_in(text: str) -> str:
    """The known code of a refused change, "" if there is none; the longest of those that fit."""
    return max((code for code in _TEXT_CODES if code in text), key=len, default="")


def _status_class(status: int) -> ErrorClass:
    if status >= 500:
        return _STATUSES.get(status, ErrorClass.TRANSIENT)
    if status >= 400:
        return _STATUSES.get(status, ErrorClass.INVALID)
    # A redirect, or an error of an unknown kind inside a success.
    return ErrorClass.UNKNOWN_OUTCOME
