"""TMF640 «Service Activation and Configuration» v4: the contract for a partner of ours.

The subset a partner gives us, below its base address:

- `GET /service?supportingResource.iccid=…` → a list with the card's service;
- `GET /service/{id}` → the service with `state` and, beyond the standard, `reason`, one of our
  block reasons, `msisdn` and `imei`;
- `PATCH /service/{id}` `{"state": "active" | "inactive"}` with `Idempotency-Key` → 200 with the
  service as it is now, or 202 with `Location: …/monitor/{id}`;
- `GET /monitor/{id}` → `state` `InProgress`, `Completed` or `InError` in any case of letters;
- errors `{"code", "reason", "message"}`; `Retry-After` on 429 and 503.

Every service names its card: an element of `supportingResource` with `iccid`. An answer about
another card proves nothing. By this contract the statuses 400–499 and 503 say that nothing was
done; after any other trouble the switch may have been made. The partner is known by a fixed bearer
token, or gives one by OAuth2 client credentials.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote

from operators.adapters import (
    Token,
    TokenKeeper,
    Trouble,
    decoded,
    lost_reply,
    mapping,
    mappings,
    not_sent,
    oauth_token,
    rejected,
)
from operators.ports import (
    Accepted,
    Action,
    Already,
    Applied,
    BlockReason,
    CallKind,
    Capabilities,
    Check,
    CheckState,
    Connection,
    ErrorClass,
    Field,
    LostReply,
    NoChangeList,
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
from operators.waits import retry_after

_STATUSES = {
    400: ErrorClass.INVALID,
    401: ErrorClass.AUTH,
    403: ErrorClass.FORBIDDEN,
    404: ErrorClass.NOT_FOUND,
    405: ErrorClass.CONFIGURATION,
    409: ErrorClass.CONFLICT_PENDING,
    422: ErrorClass.INVALID,
    429: ErrorClass.RATE_LIMITED,
    503: ErrorClass.MAINTENANCE,
}
# `code` of an error body, for statuses that have two meanings.
_CODES = {
    "heldByOperator": ErrorClass.HELD_BY_OPERATOR,
    "alreadyInState": ErrorClass.ALREADY,
    "notSupported": ErrorClass.UNSUPPORTED,
}
_STATES = {
    "feasibilitychecked": SimState.NEW,
    "designed": SimState.NEW,
    "reserved": SimState.NEW,
    "active": SimState.ACTIVE,
    "inactive": SimState.INACTIVE,
    "terminated": SimState.RETIRED,
}
_MONITOR_STATES = {
    "inprogress": CheckState.PENDING,
    "completed": CheckState.COMPLETED,
    "inerror": CheckState.FAILED,
}
_WANTED = {Action.ACTIVATE: "active", Action.DEACTIVATE: "inactive"}


class Tmf640(NoChangeList):
    """The adapter of the partner contract. An unknown monitor word is `PENDING`."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        title="Партнёр по TMF640",
        key="iccid",
        asynchronous=True,
        state_quality=StateQuality.EXACT,
        credentials=(
            Field("token", "Постоянный ключ (Bearer)", required=False),
            Field("token_url", "Адрес выдачи ключей OAuth2", secret=False, required=False),
            Field("client_id", "Client ID", secret=False, required=False),
            Field("client_secret", "Client Secret", required=False),
        ),
        per_second=10,
        per_minute=None,
        concurrency=4,
        poll_plan=(2, 5, 10, 30, 60, 120, 300),
        quiet_seconds=30,
        deadline_seconds=1800,
        hub=True,
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._base = connection.base_url.rstrip("/")
        self._tokens = TokenKeeper(connection, self._login)

    # --- the port -----------------------------------------------------------------------------

    def submit(self, *, action: Action, sim: Sim, key: str, at: datetime) -> SubmitResult:
        """Find the card's service, see whether there is anything to do, and change its state."""
        wanted = _WANTED[action]
        try:
            service = self._service(sim)
            if _word(service) == wanted:
                return Already(wanted)
            reply = self._patch(service, wanted, key)
        except LostReply as lost:
            return Unknown(lost.text)
        except Unavailable as trouble:
            return rejected(trouble)
        return _submit_result(reply, sim, wanted)

    def check(self, *, request_id: str, sim: Sim, submitted_at: datetime, at: datetime) -> Check:
        """The monitor's word; `LOST` where the partner knows no such monitor."""
        try:
            reply = self._ask(f"/monitor/{quote(request_id, safe='')}", CallKind.CHECK)
        except Unavailable as trouble:
            if trouble.error is ErrorClass.NOT_FOUND:
                return Check(CheckState.LOST, trouble.code, "оператор не знает такого запроса")
            raise
        found = _check(mapping(decoded(reply)), request_id)
        return replace(found, retry_in=retry_after(reply, default=None))

    def check_by_sim(
        self, *, sim: Sim, action: Action, submitted_at: datetime, at: datetime
    ) -> Check:
        """Not in the contract: reading is exact, so the state itself settles it."""
        raise Unavailable(ErrorClass.UNSUPPORTED, "", "оператор не ищет запросы по смарт-карте")

    def read_state(self, *, sim: Sim) -> Reading:
        """The state of the card's service, from the list or, where it is cut short, by its id."""
        service = self._service(sim)
        if not _word(service):
            reply = self._ask(f"/service/{quote(str(service['id']), safe='')}", CallKind.READ)
            service = mapping(decoded(reply))
        if not _is_about(service, sim):
            raise _wrong_card()
        return _reading(service)

    def ping(self) -> str:
        """Log in and read one service."""
        body = decoded(self._ask("/service", CallKind.READ, params={"limit": "1"}))
        if not isinstance(body, list):
            raise _garbage()
        return "Оператор отвечает, ключ принят."

    def call(self, method: str, path: str, kind: CallKind, **parts: Any) -> Reply:
        """Our own calls at the partner's `/hub`, which is beyond the services."""
        reply = self._called(method, path, kind, **parts)
        if reply.status == 401:
            raise _trouble(reply).unavailable()
        return reply

    # --- the wire -----------------------------------------------------------------------------

    def _login(self) -> Token:
        keys = self._connection.credentials
        key, secret = keys.get("client_id", ""), keys.get("client_secret", "")
        url = keys.get("token_url", "")
        if not (key and secret and url):
            raise Unavailable(ErrorClass.CONFIGURATION, "no_keys", "не заданы ключи договора")
        return oauth_token(self._connection, url, key=key, secret=secret)

    def _service(self, sim: Sim) -> dict[str, Any]:
        """The service of a card. Raises `Unavailable`."""
        params = {"supportingResource.iccid": sim.iccid}
        body = decoded(self._ask("/service", CallKind.READ, params=params))
        if not isinstance(body, list):
            raise _garbage()
        found = mappings(body)
        if not found:
            text = "оператор не знает эту смарт-карту"
            raise Unavailable(ErrorClass.NOT_FOUND, "noService", text)
        if not _is_about(found[0], sim):
            raise _wrong_card()
        if not found[0].get("id"):
            raise _garbage()
        return found[0]

    def _patch(self, service: dict[str, Any], wanted: str, key: str) -> Reply:
        return self._called(
            "PATCH",
            f"/service/{quote(str(service['id']), safe='')}",
            CallKind.SUBMIT,
            json={"state": wanted},
            extra={"Idempotency-Key": key},
        )

    def _ask(self, path: str, kind: CallKind, params: dict[str, str] | None = None) -> Reply:
        """A question: any trouble at all is `Unavailable`."""
        try:
            reply = self._called("GET", path, kind, params=params)
        except LostReply as lost:
            raise lost_reply(lost) from lost
        if reply.status not in {200, 206}:
            raise _trouble(reply).unavailable()
        return reply

    def _called(self, method: str, path: str, kind: CallKind, **parts: Any) -> Reply:
        """One call, repeated once with a new token where the old one was refused.

        Raises `Unavailable` if surely nothing was done, and `LostReply`.
        """
        fixed = self._connection.credentials.get("token", "")
        token = fixed or self._tokens.current()
        reply = self._send(method, path, kind, token, **parts)
        if reply.status != 401 or fixed:
            return reply
        return self._send(method, path, kind, self._tokens.renew(token), **parts)

    def _send(
        self,
        method: str,
        path: str,
        kind: CallKind,
        token: str,
        *,
        extra: dict[str, str] | None = None,
        **parts: Any,
    ) -> Reply:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        try:
            return self._connection.http.request(
                method, f"{self._base}{path}", kind=kind, headers=headers | (extra or {}), **parts
            )
        except NotSent as trouble:
            raise not_sent(trouble) from trouble


# --- answers --------------------------------------------------------------------------------------


def _garbage() -> Unavailable:
    return Unavailable(ErrorClass.TRANSIENT, "garbage", "ответ оператора не разобрать")


def _wrong_card() -> Unavailable:
    text = "оператор ответил о другой смарт-карте"
    return Unavailable(ErrorClass.TRANSIENT, "wrong_id", text)


def _word(service: dict[str, Any]) -> str:
    return str(service.get("state", "")).casefold()


def _is_about(service: dict[str, Any], sim: Sim) -> bool:
    resources = mappings(service.get("supportingResource"))
    return any(str(resource.get("iccid")) == sim.iccid for resource in resources)


def _trouble(reply: Reply) -> Trouble:
    body = mapping(decoded(reply))
    code = str(body.get("code") or reply.status)
    text = str(body.get("reason") or body.get("message") or f"оператор ответил {reply.status}")
    pause = retry_after(reply, default=None)
    return Trouble(_CODES.get(code) or _status_class(reply.status), code, text[:200], pause)


def _status_class(status: int) -> ErrorClass:
    if status >= 500:
        return _STATUSES.get(status, ErrorClass.TRANSIENT)
    if status >= 400:
        return _STATUSES.get(status, ErrorClass.INVALID)
    return ErrorClass.CONFIGURATION


def _submit_result(reply: Reply, sim: Sim, wanted: str) -> SubmitResult:
    if reply.status == 202:
        return _accepted(reply)
    if reply.status == 200:
        return _applied(mapping(decoded(reply)), sim, wanted)
    trouble = _trouble(reply)
    if trouble.error is ErrorClass.ALREADY:
        return Already(wanted)
    surely_not_done = 400 <= reply.status < 500 or reply.status == 503
    return trouble.rejected() if surely_not_done else trouble.unknown()


def _accepted(reply: Reply) -> SubmitResult:
    path, _, monitor = reply.headers.get("Location", "").rstrip("/").rpartition("/")
    if not monitor or not path.endswith("/monitor"):
        return Unknown("оператор принял запрос, но не дал его номера")
    return Accepted(monitor, retry_after(reply, default=None))


def _applied(service: dict[str, Any], sim: Sim, wanted: str) -> SubmitResult:
    if not _is_about(service, sim):
        return Unknown("в ответе оператора нет этой смарт-карты", code="wrong_id")
    if _word(service) != wanted:
        return Unknown(f"оператор ответил «сделано», но состояние «{_word(service)}»")
    return Applied(wanted)


def _check(monitor: dict[str, Any], request_id: str) -> Check:
    if str(monitor.get("id")) != request_id:
        text = "оператор ответил о другом запросе"
        raise Unavailable(ErrorClass.TRANSIENT, "wrong_id", text)
    word = str(monitor.get("state", ""))
    state = _MONITOR_STATES.get(word.casefold())
    if state is None:
        return Check(CheckState.PENDING, code=word, text=f"незнакомое состояние «{word}»")
    if state is CheckState.FAILED:
        return _failure(mapping(monitor.get("response")))
    return Check(state, code=word)


def _failure(response: dict[str, Any]) -> Check:
    """Why a monitor ended in error: its response carries the status and body of an error."""
    given = str(response.get("statusCode", ""))
    status = int(given) if given.isdecimal() else 0
    trouble = _trouble(Reply(status, {}, str(response.get("body", "")).encode()))
    if trouble.error is ErrorClass.ALREADY:
        return Check(CheckState.COMPLETED, trouble.code, "так уже и было", ErrorClass.ALREADY)
    return Check(CheckState.FAILED, trouble.code, trouble.text, trouble.error)


def _reading(service: dict[str, Any]) -> Reading:
    word = _word(service)
    state = _STATES.get(word, SimState.UNKNOWN)
    reason = BlockReason.told(service.get("reason")) if state is SimState.INACTIVE else None
    if reason is not None and reason is not BlockReason.VOLUNTARY:
        state = SimState.HELD
    return Reading(
        state,
        reason,
        raw=word,
        msisdn=str(service.get("msisdn") or ""),
        imei=str(service.get("imei") or ""),
    )
