"""МТС «Бизнес API», played below `/operators/mts`: the token endpoint and `/b2b/v1/…`.

Credentials: consumer key `demo-key`, consumer secret `demo-secret`. Tokens live an hour and are
forgotten when the sandbox restarts, which a client sees as an invalid token (1004).

Guesses, because no public page says: how an unknown event is answered (an empty list), the failure
codes of a block that is already there or not there, the names of the operator's own blocks, that
an answer about requests names each one's id and time, and where in the answer about personal data
the word about Госуслуги stands (`identity` of a card sets it, «Activated» without).
"""

import base64
import secrets
import threading
import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cabinet.clock import now, real_now
from cabinet.sandbox.http import BadRequest, Request, Response, Route, json_response
from operators.sandbox.protocol import (
    PlayedOperator,
    Refusal,
    action_of,
    bearer,
    first,
    retry_after,
)
from operators.sandbox.trouble import FaultKind, Limits
from operators.sandbox.world import ACTIVATE, DEACTIVATE, Outcome, PlayedRequest, PlayedSim

KEY = "demo-key"
SECRET = "demo-secret"  # noqa: S105 a known word of the sandbox
_TOKEN_SECONDS = 3600
_MOSCOW = ZoneInfo("Europe/Moscow")
_BLOCK = "BL0005"
_VERBS = {"create": DEACTIVATE, "delete": ACTIVATE}
_STATUSES = {Outcome.PENDING: "InProgress", Outcome.DONE: "Completed"}
_FAILURES = {Outcome.HELD: "SubscriberBlocked", Outcome.GONE: "SubscriberNotFound"}
_BLOCKS = {
    "new": ("BL0008", "Первоначальная блокировка"),
    "voluntary": (_BLOCK, "Добровольная блокировка"),
    "debt": ("BL0001", "Финансовая блокировка"),
    "fraud": ("BL0002", "Блокировка по подозрению в мошенничестве"),
    "stolen": ("BL0003", "Блокировка по краже или утере"),
    "law": ("BL0004", "Блокировка по закону"),
    "limit": ("BL0006", "Блокировка по лимиту"),
    "imei": ("BL0007", "Блокировка по смене IMEI"),
    "operator": ("BL0009", "Блокировка оператором"),
    "unknown": ("BL0010", "Прочая блокировка"),
}


class PlayedMts(PlayedOperator):
    """МТС."""

    code = "mts"
    title = "МТС"
    limits = Limits(per_second=3, per_minute=60, delay_seconds=2)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._lock = threading.Lock()
        self._tokens: dict[str, datetime] = {}

    def routes(self) -> list[Route]:
        api = "/operators/mts/b2b/v1"
        return [
            Route("POST", "/operators/mts/token", self._token),
            Route("POST", f"{api}/Product/ModifyProduct", self._modify),
            Route("POST", f"{api}/Product/CheckRequestStatusByUUID", self._status),
            Route("POST", f"{api}/Product/CheckRequestStatus", self._status),
            Route("GET", f"{api}/Product/ProductInfo", self._blocks),
            Route("GET", f"{api}/Service/HierarchyStructure", self._hierarchy),
            Route("GET", f"{api}/PersonalData/PersonalDataInfo", self._person),
        ]

    def over_quota(self, wait: float | None) -> Response:
        return replace(_error(429, "1011", "Превышен лимит запросов"), headers=retry_after(wait))

    def broken(self) -> Response:
        return Response(500, b"Internal Server Error", content_type="text/plain")

    def maintenance(self, wait: float | None) -> Response:
        return Response(500, b"EJB Exception", content_type="text/plain", headers=retry_after(wait))

    # --- login ------------------------------------------------------------------------------------

    def _token(self, request: Request) -> Response:
        return self.played("auth", None, lambda kind: self._issue(request, kind))

    def _issue(self, request: Request, kind: FaultKind | None) -> Response:
        if not _knows_secret(request) or request.form().get("grant_type") != "client_credentials":
            text = "Client Authentication failed."
            return json_response({"error": "invalid_client", "error_description": text}, 401)
        token = secrets.token_urlsafe(24)
        if kind is not FaultKind.WRONG_ID:
            with self._lock:
                self._tokens[token] = real_now() + timedelta(seconds=_TOKEN_SECONDS)
        return json_response(
            {
                "access_token": token,
                "scope": "default",
                "token_type": "Bearer",
                "expires_in": _TOKEN_SECONDS,
            }
        )

    def _check_token(self, request: Request, kind: FaultKind | None) -> None:
        token = bearer(request)
        with self._lock:
            if kind is FaultKind.EXPIRED_TOKEN:
                self._tokens.pop(token, None)
                raise Refusal(_error(401, "1013", "Срок действия токена истёк"))
            ends = self._tokens.get(token)
        if ends is None:
            raise Refusal(_error(401, "1004", "Токен недействителен"))
        if ends <= real_now():
            raise Refusal(_error(401, "1013", "Срок действия токена истёк"))

    # --- the switch -------------------------------------------------------------------------------

    def _modify(self, request: Request) -> Response:
        sim = self.world.find(msisdn=first(request, "msisdn"))
        action = action_of(request, _action)
        return self.played(
            "submit", sim, lambda kind: self._modified(request, sim, kind), action=action
        )

    def _modified(
        self, request: Request, sim: PlayedSim | None, kind: FaultKind | None
    ) -> Response:
        self._check_token(request, kind)
        action = _action(request)
        if not first(request, "msisdn"):
            raise Refusal(json_response({"message": "Unauthorized"}, 401))
        if sim is None:
            raise Refusal(_error(422, "2005", "Не найдена связь региона и тарифа с номером"))
        if sim.state == "retired":
            raise Refusal(_error(401, "1014", "Номер не принадлежит договору"))
        if kind is FaultKind.ERROR_IN_2XX:
            return json_response({"fault": {"code": "1010", "message": "Нет подписки на функцию"}})
        if kind is FaultKind.ACCEPT_AND_FORGET:
            return _queued(str(uuid.uuid4()))
        taken = self.world.accept(sim, action, delay=self.delay)
        if kind is FaultKind.NO_ID:
            return json_response({"status": "ok"})
        return _queued(self._strangers(sim) if kind is FaultKind.WRONG_ID else taken.id)

    def _strangers(self, sim: PlayedSim) -> str:
        """A request of another card of the contract, which nothing is done about."""
        others = [other for other in self.world.all() if other is not sim]
        if not others:
            return str(uuid.uuid4())
        action = DEACTIVATE if others[0].state != "active" else ACTIVATE
        return self.world.accept(others[0], action, delay=0).id

    # --- questions --------------------------------------------------------------------------------

    def _status(self, request: Request) -> Response:
        found = self._asked_about(request)
        sim = self.world.find(iccid=found[0].iccid) if found else None
        return self.played("check", sim, lambda kind: self._told(request, found, kind))

    def _asked_about(self, request: Request) -> list[PlayedRequest]:
        event, number = _event_and_number(request.json())
        if event:
            known = self.world.request(event)
            return [known] if known else []
        sim = self.world.find(msisdn=number)
        return self.world.requests_of(sim) if sim else []

    def _told(
        self, request: Request, found: list[PlayedRequest], kind: FaultKind | None
    ) -> Response:
        self._check_token(request, kind)
        since, until = _span(request.json())
        within = [one for one in found if since <= one.accepted_at() <= until]
        return json_response([{"relatedParty": [self._party(one, kind)]} for one in within])

    def _party(self, one: PlayedRequest, kind: FaultKind | None) -> dict[str, Any]:
        sim = self.world.find(iccid=one.iccid)
        number = "79990009999" if kind is FaultKind.WRONG_ID or sim is None else sim.msisdn
        status = _STATUSES.get(one.outcome, "Faulted")
        facts = [{"name": "msisdn", "value": number}]
        if status == "Faulted":
            facts.append({"name": "foris_error_code", "value": _failure(one)})
        return {
            "id": one.id,
            "type": "Party",
            "status": "Suspended?" if kind is FaultKind.ODD_STATUS else status,
            "characteristic": facts,
            "validFor": {"startDateTime": _moscow(one.accepted_at())},
        }

    def _blocks(self, request: Request) -> Response:
        sim = self.world.find(msisdn=first(request, "marketSegment.characteristic.value"))
        return self.played("read", sim, lambda kind: self._listed(request, sim, kind))

    def _listed(self, request: Request, sim: PlayedSim | None, kind: FaultKind | None) -> Response:
        self._check_token(request, kind)
        if sim is None:
            raise Refusal(_error(422, "2005", "Не найдена связь региона и тарифа с номером"))
        if kind is FaultKind.WRONG_ID:
            # What was met in the field: the type filter is ignored.
            return json_response([_product("PE2125", "Скидка 14 дней", "service")])
        block = _BLOCKS.get(sim.reason or sim.state)
        return json_response([_product(*block, "block")] if block else [])

    def _person(self, request: Request) -> Response:
        sim = self.world.find(msisdn=first(request, "contactMedium.phoneNumber"))
        return self.played("read", sim, lambda kind: self._personal(request, sim, kind))

    def _personal(
        self, request: Request, sim: PlayedSim | None, kind: FaultKind | None
    ) -> Response:
        self._check_token(request, kind)
        if sim is None:
            raise Refusal(_error(422, "2005", "Не найдена связь региона и тарифа с номером"))
        return json_response([_person(sim)])

    def _hierarchy(self, request: Request) -> Response:
        return self.played("read", None, lambda kind: self._inventory(request, kind))

    def _inventory(self, request: Request, kind: FaultKind | None) -> Response:
        self._check_token(request, kind)
        size = int(first(request, "pageSize") or 1000)
        sims = self.world.all()[:size]
        products = [
            {"product": {"productSerialNumber": sim.msisdn, "description": "Москва"}}
            for sim in sims
        ]
        return json_response([{"partyRole": [{"customerAccount": products}], "hasMore": False}])


def _knows_secret(request: Request) -> bool:
    wanted = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
    return request.headers.get("authorization", "") == f"Basic {wanted}"


def _error(status: int, code: str, text: str) -> Response:
    return json_response({"errorCode": code, "errorMessage": text}, status)


def _action(request: Request) -> str:
    """What a ModifyProduct asks for. Raises `Refusal` for anything but the voluntary block."""
    try:
        item = request.json()["item"][0]
        if item["product"]["externalID"] == _BLOCK:
            return _VERBS[item["action"]]
    except (BadRequest, KeyError, IndexError, TypeError) as trouble:
        raise Refusal(_error(400, "1100", "Ошибка валидации")) from trouble
    raise Refusal(_error(400, "1100", "Ошибка валидации"))


def _queued(event: str) -> Response:
    return json_response({"eventID": event, "eventTime": _moscow(now())})


def _event_and_number(body: Any) -> tuple[str, str]:
    """What a status question names: an event, a number, or both."""
    event = number = ""
    for party in body.get("relatedParty", []):
        event = party.get("id") or event
        for fact in party.get("characteristic", []):
            number = fact.get("value", "") if fact.get("name") == "MSISDN" else number
    return event, number


def _span(body: Any) -> tuple[datetime, datetime]:
    """The asked span, local time. Raises `Refusal` if missing or over one day."""
    try:
        span = body["validFor"]
        since = datetime.fromisoformat(span["startDateTime"]).replace(tzinfo=_MOSCOW)
        until = datetime.fromisoformat(span["endDateTime"]).replace(tzinfo=_MOSCOW)
    except (KeyError, TypeError, ValueError) as trouble:
        raise Refusal(_error(400, "1100", "Ошибка валидации")) from trouble
    if not timedelta(0) <= until - since <= timedelta(days=1):
        raise Refusal(_error(400, "1100", "Интервал больше одного дня"))
    return since, until + timedelta(seconds=1)


def _failure(one: PlayedRequest) -> str:
    if one.outcome in _FAILURES:
        return _FAILURES[one.outcome]
    exists = "AlreadyExists" if one.action == DEACTIVATE else "NotExists"
    return f"Block{exists}"


def _product(external_id: str, name: str, kind: str) -> dict[str, Any]:
    return {
        "externalID": external_id,
        "name": name,
        "status": "Active",
        "productSpecification": {"productSpecificationType": {"name": kind}},
    }


def _person(sim: PlayedSim) -> dict[str, Any]:
    """An invented owner: whoever asks must let all of it go but one word."""
    return {
        "contactMedium": [{"phoneNumber": sim.msisdn}],
        "individual": {
            "familyName": "Примеров",
            "givenName": "Пример",
            "birthDate": "1970-01-01",
            "identification": [{"type": "passport", "number": "0000 000000"}],
        },
        "characteristic": [
            {"name": "PersonalDataConfirmation", "value": sim.identity or "Activated"},
        ],
    }


def _moscow(moment: datetime) -> str:
    return moment.astimezone(_MOSCOW).isoformat()
