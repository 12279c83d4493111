"""МТС «Бизнес API» below `/operators/mts`: the token endpoint and `/b2b/v1/…`.

Credentials: consumer key `demo-key`, consumer secret `demo-secret`. Tokens live an hour and are
forgotten when the sandbox restarts, which a client sees as an invalid token (1004). A status is asked for
over at most a day, as the manual says; the fault `not_by_id` makes the call by id know no request, and
`other_shape` answers as other real gateways do. `no_service` with a card's `iccid` is a number that lacks the
service: whatever is asked about it is answered by 421/3003, for ever.

Guesses, because no public page says: how an unknown event is answered (an empty list), the failure
codes of a block that is already there or not there, the names of the operator's own blocks, that
an answer about requests names each one's id and time, and where in the answer about personal data
the status at Госуслуги stands (`identity` of a card sets it, «Activated» without).
"""

import secrets
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from werkzeug.exceptions import BadRequest
from werkzeug.routing import Rule

from cabinet.clock import now, real_now
from cabinet.sandbox.http import Request, Response, json_response
from operators.sandbox.base import Call, Refusal, SandboxOperator, has_basic_auth
from operators.sandbox.faults import FaultKind
from operators.sandbox.limits import Limits
from operators.sandbox.state import ACTIVATE, DEACTIVATE, Outcome, SandboxSim, SwitchRequest

KEY = "demo-key"
SECRET = "demo-secret"  # noqa: S105 a published secret of the sandbox
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


class SandboxMts(SandboxOperator):
    """МТС."""

    code = "mts"
    title = "МТС"
    limits = Limits(per_second=3, per_minute=60, delay_seconds=2)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # When each ends, by the real clock. Single operations on a dict are atomic: no lock.
        self._tokens: dict[str, datetime] = {}

    def routes(self) -> list[Rule]:
        product = "/operators/mts/b2b/v1/Product"
        service = "/operators/mts/b2b/v1/Service/HierarchyStructure"
        person = "/operators/mts/b2b/v1/PersonalData/PersonalDataInfo"
        status, by_uuid = f"{product}/CheckRequestStatus", f"{product}/CheckRequestStatusByUUID"
        return [
            self.operation("POST", "/operators/mts/token", "auth", self._issue_token),
            self.operation(
                "POST",
                f"{product}/ModifyProduct",
                "submit",
                self._modify,
                sim=self._by_query("msisdn"),
                action=_action,
            ),
            self.operation("POST", by_uuid, "check", self._check, sim=self._of_request),
            self.operation("POST", status, "check", self._check, sim=self._of_request),
            self.operation(
                "GET",
                f"{product}/ProductInfo",
                "read",
                self._list_blocks,
                sim=self._by_query("marketSegment.characteristic.value"),
            ),
            self.operation("GET", service, "read", self._list_numbers),
            self.operation(
                "GET",
                person,
                "read",
                self._show_person,
                sim=self._by_query("contactMedium.phoneNumber"),
            ),
        ]

    def over_quota(self) -> Response:
        return _error(429, "1011", "Превышен лимит запросов")

    def broken(self) -> Response:
        return Response("Internal Server Error", 500, content_type="text/plain")

    def maintenance(self) -> Response:
        return Response("EJB Exception", 500, content_type="text/plain")

    def no_service(self) -> Response:
        return _error(421, "3003", "Биллинг временно недоступен")

    # --- login ------------------------------------------------------------------------------------

    def _issue_token(self, call: Call) -> Response:
        grant = call.request.form.get("grant_type")
        if not has_basic_auth(call.request, KEY, SECRET) or grant != "client_credentials":
            text = "Client Authentication failed."
            return json_response({"error": "invalid_client", "error_description": text}, 401)
        token = secrets.token_urlsafe(24)
        if call.kind is not FaultKind.WRONG_ID:
            self._tokens[token] = real_now() + timedelta(seconds=_TOKEN_SECONDS)
        return json_response(
            {
                "access_token": token,
                "scope": "default",
                "token_type": "Bearer",
                "expires_in": None if call.kind is FaultKind.OTHER_SHAPE else _TOKEN_SECONDS,
            }
        )

    def authorize(self, call: Call) -> None:
        expired = _error(401, "1013", "Срок действия токена истёк")
        if call.kind is FaultKind.EXPIRED_TOKEN:
            self._tokens.pop(call.request.bearer_token, None)
            raise Refusal(expired)
        ends_at = self._tokens.get(call.request.bearer_token)
        if ends_at is None:
            raise Refusal(_error(401, "1004", "Токен недействителен"))
        if ends_at <= real_now():
            raise Refusal(expired)

    # --- the switch -------------------------------------------------------------------------------

    def _by_query(self, name: str) -> Callable[[Call], SandboxSim | None]:
        """The card whose number is this variable of the query."""
        return lambda call: self.sims.find(msisdn=call.request.args.get(name, ""))

    def _modify(self, call: Call) -> Response:
        action = _action(call.request)
        if not call.request.args.get("msisdn"):
            raise Refusal(json_response({"message": "Unauthorized"}, 401))
        sim = _known(call.sim)
        if sim.state == "retired":
            raise Refusal(_error(401, "1014", "Номер не принадлежит договору"))
        if call.kind is FaultKind.ERROR_IN_2XX:
            return json_response({"fault": {"code": "1010", "message": "Нет подписки на функцию"}})
        if call.kind is FaultKind.ACCEPT_AND_FORGET:
            return _queued(str(uuid.uuid4()))
        taken = self.sims.accept(sim, action, delay=self.delay)
        if call.kind is FaultKind.NO_ID:
            return json_response({"status": "ok"})
        if call.kind is FaultKind.WRONG_ID:
            return _queued(self.request_of_another_card(sim) or str(uuid.uuid4()))
        return _queued(taken.id)

    # --- statuses and data ------------------------------------------------------------------------

    def _requests(self, call: Call) -> list[SwitchRequest]:
        """Those that a status request is about."""
        event, number = _event_and_number(call.request.json)
        if event:
            known = self.sims.request(event)
            return [known] if known else []
        sim = self.sims.find(msisdn=number)
        return self.sims.requests_of(sim) if sim else []

    def _of_request(self, call: Call) -> SandboxSim | None:
        found = self._requests(call)
        if found:
            return self.sims.find(iccid=found[0].iccid)
        return self.sims.find(msisdn=_event_and_number(call.request.json)[1])

    def _check(self, call: Call) -> Response:
        """One object, as it was seen; the other shape of the answer is a list with one object in each."""
        since, until = _interval(call.request.json)
        within = [one for one in self._requests(call) if since <= one.at <= until]
        if call.kind is FaultKind.NOT_BY_ID and "ByUUID" in call.request.path:
            within = []
        parties = [self._party(one, call.kind) for one in within]
        if call.kind is FaultKind.OTHER_SHAPE:
            return json_response([{"relatedParty": party} for party in parties])
        return json_response({"relatedParty": parties})

    def _party(self, one: SwitchRequest, kind: FaultKind | None) -> dict[str, Any]:
        sim = self.sims.find(iccid=one.iccid)
        number = "79990009999" if kind is FaultKind.WRONG_ID or sim is None else sim.msisdn
        status = _STATUSES.get(one.outcome, "Faulted")
        facts = [{"name": "msisdn", "value": number}]
        if status == "Faulted":
            odd = kind is FaultKind.OTHER_SHAPE
            facts.append({"name": "text" if odd else "foris_error_code", "value": _failure(one)})
        return {
            "id": one.id,
            "type": "Party",
            "status": _shown_status(status, kind),
            "characteristic": facts,
            "validFor": {"startDateTime": _moscow(one.at)},
        }

    def _list_blocks(self, call: Call) -> Response:
        sim = _known(call.sim)
        if call.kind is FaultKind.WRONG_ID:
            # What was met in the field: the type filter is ignored.
            return json_response([_product("PE2125", "Скидка 14 дней", "service")])
        block = _BLOCKS.get(sim.reason or sim.state)
        return json_response([_product(*block, "block")] if block else [])

    def _show_person(self, call: Call) -> Response:
        return json_response([_person(_known(call.sim))])

    def _list_numbers(self, call: Call) -> Response:
        size = int(call.request.args.get("pageSize") or 1000)
        products = [
            {"product": {"productSerialNumber": sim.msisdn, "description": "Москва"}}
            for sim in self.sims.all()[:size]
        ]
        return json_response([{"partyRole": [{"customerAccount": products}], "hasMore": False}])


def _known(sim: SandboxSim | None) -> SandboxSim:
    if sim is None:
        raise Refusal(_error(422, "2005", "Не найдена связь региона и тарифа с номером"))
    return sim


def _error(status: int, code: str, text: str) -> Response:
    return json_response({"errorCode": code, "errorMessage": text}, status)


def _action(request: Request) -> str:
    """What a ModifyProduct asks for. Raises `Refusal` for anything but the voluntary block."""
    try:
        item = request.json["item"][0]
        if item["product"]["externalID"] == _BLOCK:
            return _VERBS[item["action"]]
    except (BadRequest, KeyError, IndexError, TypeError) as error:
        raise Refusal(_error(400, "1100", "Ошибка валидации")) from error
    raise Refusal(_error(400, "1100", "Ошибка валидации"))


def _queued(event: str) -> Response:
    return json_response({"eventID": event, "eventTime": _moscow(now())})


def _event_and_number(body: Any) -> tuple[str, str]:
    """What a status request names: an event, a number, or both."""
    event = number = ""
    for party in body.get("relatedParty", []):
        event = party.get("id") or event
        for fact in party.get("characteristic", []):
            number = fact.get("value", "") if fact.get("name") == "MSISDN" else number
    return event, number


def _interval(body: Any) -> tuple[datetime, datetime]:
    """The requested interval, local time. Raises `Refusal` if missing or over one day."""
    try:
        given = body["validFor"]
        since = datetime.fromisoformat(given["startDateTime"]).replace(tzinfo=_MOSCOW)
        until = datetime.fromisoformat(given["endDateTime"]).replace(tzinfo=_MOSCOW)
    except (KeyError, TypeError, ValueError) as error:
        raise Refusal(_error(400, "1100", "Ошибка валидации")) from error
    if not timedelta(0) <= until - since <= timedelta(days=1):
        raise Refusal(_error(400, "1100", "Интервал больше одного дня"))
    return since, until + timedelta(seconds=1)


def _shown_status(status: str, kind: FaultKind | None) -> str:
    if kind is FaultKind.ODD_STATUS:
        return "Suspended?"
    return status.upper() if kind is FaultKind.OTHER_SHAPE else status


def _failure(one: SwitchRequest) -> str:
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


def _person(sim: SandboxSim) -> dict[str, Any]:
    """An invented owner: the client must drop everything but the confirmation."""
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
