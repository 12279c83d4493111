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

import re
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote, unquote

from operators.adapters import (
    OperatorError,
    decoded,
    garbage,
    lost_reply,
    mapping,
    mappings,
    oauth_token,
    rejected,
    wrong_id,
)
from operators.backoff import retry_after
from operators.partner_api_mapping import check_of, error_class, error_in, reading_of
from operators.ports import (
    Accepted,
    Action,
    Already,
    Applied,
    CallKind,
    Capabilities,
    Check,
    CheckState,
    Connection,
    ErrorClass,
    Field,
    LostReply,
    NoChangeList,
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
    same_card,
    stored_text,
)

_WANTED = {Action.ACTIVATE: "active", Action.DEACTIVATE: "inactive"}


# A whole address or a path, with or without a query.
_MONITOR = re.compile(r"/monitor/([^/?#]+)/?(?:[?#]|$)")


class Tmf640(NoChangeList, NoRequestSearch):
    """The adapter of the partner contract. An unknown state of a monitor is `PENDING`."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        title="Партнёр по TMF640",
        key="iccid",
        asynchronous=True,
        state_quality=StateQuality.EXACT,
        credentials=(
            Field("token", "Постоянный ключ (Bearer)", required=False),
            Field(
                "token_url",
                "Адрес выдачи ключей OAuth2",
                secret=False,
                required=False,
                is_address=True,
            ),
            Field("client_id", "Client ID", secret=False, required=False),
            Field("client_secret", "Client Secret", required=False),
        ),
        per_second=10,
        per_minute=None,
        concurrency=4,
        poll_plan=(2, 5, 10, 30, 60, 120, 300),
        quiet_seconds=30,
        deadline_seconds=1800,
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._base = connection.base_url.rstrip("/")

    # --- the port -----------------------------------------------------------------------------

    def submit(self, *, action: Action, sim: Sim, key: str, at: datetime) -> SubmitResult:
        """Find the card's service, see whether there is anything to do, and change its state."""
        wanted = _WANTED[action]
        try:
            service = self._service(sim)
            if _state_text(service) == wanted:
                return Already(wanted)
            reply = self._called(
                "PATCH",
                f"/service/{quote(str(service['id']), safe='')}",
                CallKind.SUBMIT,
                json={"state": wanted},
                headers={"Idempotency-Key": key},
            )
        except LostReply as lost:
            return Unknown(lost.text)
        except Unavailable as trouble:
            return rejected(trouble)
        return _submit_result(reply, sim, wanted)

    def check(self, *, request_id: str, sim: Sim, submitted_at: datetime, at: datetime) -> Check:
        """The state of the monitor; `LOST` where the partner knows no such monitor."""
        try:
            reply = self._ask(f"/monitor/{quote(request_id, safe='')}", CallKind.CHECK)
        except Unavailable as trouble:
            if trouble.error is ErrorClass.NOT_FOUND:
                return Check(CheckState.LOST, trouble.code, "оператор не знает такого запроса")
            raise
        monitor = mapping(decoded(reply))
        if str(monitor.get("id")) != request_id:
            raise wrong_id("другом запросе")
        state = str(monitor.get("state", ""))
        unknown = Check(CheckState.PENDING, code=state, text=f"незнакомое состояние «{state}»")
        return replace(check_of(monitor) or unknown, retry_in=retry_after(reply, default=None))

    def read_state(self, *, sim: Sim) -> Reading:
        """The state of the card's service, from the list or, where it is cut short, by its id."""
        service = self._service(sim)
        if not _state_text(service):
            reply = self._ask(f"/service/{quote(str(service['id']), safe='')}", CallKind.READ)
            service = mapping(decoded(reply))
        if not _is_about(service, sim):
            raise wrong_id()
        return replace(
            reading_of(service),
            msisdn=str(service.get("msisdn") or ""),
            imei=str(service.get("imei") or ""),
        )

    def ping(self) -> str:
        """Log in and read one service."""
        body = decoded(self._ask("/service", CallKind.READ, params={"limit": "1"}))
        if not isinstance(body, list):
            raise garbage()
        return "Оператор отвечает, ключ принят."

    # --- the wire -----------------------------------------------------------------------------

    def _login(self) -> Token:
        keys = self._connection.credentials
        key, secret = keys.get("client_id", ""), keys.get("client_secret", "")
        url = keys.get("token_url", "")
        if not (key and secret and url):
            raise no_keys()
        return oauth_token(self._connection, url, key=key, secret=secret)

    def _service(self, sim: Sim) -> dict[str, Any]:
        """The service of a card. Raises `Unavailable`."""
        params = {"supportingResource.iccid": sim.iccid}
        body = decoded(self._ask("/service", CallKind.READ, params=params))
        if not isinstance(body, list):
            raise garbage()
        found = mappings(body)
        if not found:
            text = "оператор не знает эту смарт-карту"
            raise Unavailable(ErrorClass.NOT_FOUND, "noService", text)
        if not _is_about(found[0], sim):
            raise wrong_id()
        if not found[0].get("id"):
            raise garbage()
        return found[0]

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
        token = fixed or self._connection.tokens.current(self._login)
        reply = self._send(method, path, kind, token, **parts)
        if reply.status != 401 or fixed:
            return reply
        return self._send(
            method, path, kind, self._connection.tokens.current(self._login, stale=token), **parts
        )

    def _send(self, method: str, path: str, kind: CallKind, token: str, **parts: Any) -> Reply:
        ours = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        headers, url = ours | parts.pop("headers", {}), f"{self._base}{path}"
        return self._connection.http.request(method, url, kind=kind, headers=headers, **parts)


# --- answers --------------------------------------------------------------------------------------


def _state_text(service: dict[str, Any]) -> str:
    return str(service.get("state", "")).casefold()


def _is_about(service: dict[str, Any], sim: Sim) -> bool:
    resources = mappings(service.get("supportingResource"))
    return any(same_card(resource.get("iccid"), sim.iccid) for resource in resources)


def _trouble(reply: Reply) -> OperatorError:
    code, text = error_in(mapping(decoded(reply)))
    error = error_class(reply.status, code) if reply.status >= 400 else ErrorClass.CONFIGURATION
    return OperatorError(
        error,
        code or str(reply.status),
        text or f"оператор ответил {reply.status}",
        retry_after(reply, default=None),
    )


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
    monitor = _MONITOR.search(reply.headers.get("Location", ""))
    if monitor is None:
        return Unknown("оператор принял запрос, но не дал его номера")
    number = stored_text(unquote(monitor[1]))  # `check` quotes it again
    return Accepted(number, retry_after(reply, default=None))


def _applied(service: dict[str, Any], sim: Sim, wanted: str) -> SubmitResult:
    if not _is_about(service, sim):
        return Unknown("в ответе оператора нет этой смарт-карты", code="wrong_id")
    if _state_text(service) != wanted:
        return Unknown(f"оператор ответил «сделано», но состояние «{_state_text(service)}»")
    return Applied(wanted)
