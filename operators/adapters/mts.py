"""МТС «Бизнес API»: REST, OAuth2, every switch is queued and answered by an `eventID`.

The operator publishes its manual to customers only; what stands here was learned from a digest of
that manual and from two independent clients. Facts marked «guess» are to be settled with the
operator. What matters most:

- the card is named by its MSISDN in the **query**; in the body it is ignored and answered by 401;
- `BL0005` is the voluntary block: creating it is our «off», deleting it our «on»;
- a 2xx proves nothing: errors come inside 2xx, as JSON in a string, or as a `fault` object, and a
  2xx without `eventID` is an unknown outcome;
- the status of a request is asked for a span of **at most one day** (Moscow time);
- there is no dependable «is it blocked» flag, so reading is weak and never says «active»;
- nothing is idempotent.
"""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any, ClassVar

from operators.adapters import (
    Token,
    TokenKeeper,
    decoded,
    lost_reply,
    mappings,
    not_sent,
    oauth_token,
    rejected,
)
from operators.adapters.mts_words import (
    MOSCOW,
    STALE_TOKEN,
    VOLUNTARY_BLOCK,
    booked_at,
    checked,
    garbage,
    identity_of,
    number_of,
    reading_of,
    result_of,
    trouble_of,
)
from operators.ports import (
    Action,
    CallKind,
    Capabilities,
    Check,
    CheckState,
    Connection,
    ErrorClass,
    Field,
    Identity,
    LostReply,
    NoChangeList,
    NotSent,
    Reading,
    Rejected,
    Reply,
    Sim,
    StateQuality,
    SubmitResult,
    Unavailable,
    Unknown,
)


class Mts(NoChangeList):
    """The adapter; see the module for what it knows and what it guesses.

    An unknown status word is `PENDING` with the word in the text: the deadline settles it.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        title="МТС",
        key="msisdn",
        asynchronous=True,
        state_quality=StateQuality.WEAK,
        credentials=(
            Field("key", "Consumer Key", secret=False),
            Field("secret", "Consumer Secret"),
        ),
        per_second=3,
        per_minute=60,
        concurrency=3,
        poll_plan=(5, 10, 10, 10, 20, 30, 60, 120, 300),
        quiet_seconds=60,
        deadline_seconds=3600,
        check_by_sim=True,
        identity=True,
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._base = connection.base_url.rstrip("/")
        self._tokens = TokenKeeper(connection, self._login)

    # --- the port -----------------------------------------------------------------------------

    def submit(self, *, action: Action, sim: Sim, key: str, at: datetime) -> SubmitResult:
        """Queue the block or its removal. `key` is not sent: the operator knows no such thing."""
        if not sim.msisdn:
            return Rejected(ErrorClass.INVALID, "no_msisdn", "у смарт-карты не указан номер")
        try:
            reply = self._call(
                "POST",
                "/Product/ModifyProduct",
                CallKind.SUBMIT,
                params={"msisdn": sim.msisdn},
                json=_modification(action),
            )
        except LostReply as lost:
            return Unknown(lost.text)
        except Unavailable as trouble:
            return rejected(trouble)
        return result_of(reply)

    def check(self, *, request_id: str, sim: Sim, submitted_at: datetime, at: datetime) -> Check:
        """Ask for the event, over the Moscow day of the request and then the day after it."""
        path = "/Product/CheckRequestStatusByUUID"
        for day in _days(submitted_at, at):
            found = self._events(path, _status_query(day, event=request_id), sim)
            if found:
                return checked(found[0])
        return Check(CheckState.LOST, text="оператор не знает такого запроса")

    def check_by_sim(
        self, *, sim: Sim, action: Action, submitted_at: datetime, at: datetime
    ) -> Check:
        """Ask for requests of this number booked since `submitted_at`, over the same days.

        That an answer names the time of a request is a guess. A request without it may be an older
        one of the same day, so it proves nothing and raises `Unavailable` (`UNSUPPORTED`).
        `action` is not looked at: only one request is open for one card.
        """
        # The operator writes whole seconds.
        since = submitted_at - timedelta(seconds=1)
        latest: Check | None = None
        for day in _days(submitted_at, at):
            query = _status_query(day, msisdn=sim.msisdn)
            events = self._events("/Product/CheckRequestStatus", query, sim)
            found = [event for event in events if booked_at(event) >= since]
            latest = checked(max(found, key=booked_at)) if found else latest
        return latest or Check(CheckState.LOST, text="у оператора нет запросов по этому номеру")

    def read_state(self, *, sim: Sim) -> Reading:
        """What the list of blocks hints at; never `ACTIVE`: an empty list proves nothing."""
        reply = self._ask("GET", "/Product/ProductInfo", CallKind.READ, params=_blocks_query(sim))
        body = decoded(reply)
        if not isinstance(body, list):
            raise garbage()
        return reading_of(body, sim)

    def read_identity(self, *, sim: Sim) -> Identity:
        """The word of `PersonalDataConfirmation`. Everything else in the answer is a person's, and is
        neither kept nor logged."""
        if not sim.msisdn:
            raise Unavailable(ErrorClass.INVALID, "no_msisdn", "у смарт-карты не указан номер")
        reply = self._ask(
            "GET",
            "/PersonalData/PersonalDataInfo",
            CallKind.READ,
            params={"contactMedium.phoneNumber": sim.msisdn},
            private=True,
        )
        return identity_of(decoded(reply))

    def ping(self) -> str:
        """Log in and read one line of the inventory."""
        params = {"pageNum": "1", "pageSize": "1"}
        reply = self._ask("GET", "/Service/HierarchyStructure", CallKind.READ, params=params)
        if decoded(reply) is None:
            raise garbage()
        return "МТС отвечает, ключи договора приняты."

    # --- the wire -----------------------------------------------------------------------------

    def _login(self) -> Token:
        keys = self._connection.credentials
        return oauth_token(
            self._connection, f"{self._base}/token", key=keys["key"], secret=keys["secret"]
        )

    def _call(self, method: str, path: str, kind: CallKind, **parts: Any) -> Reply:
        """One call, repeated once with a new token where the gateway refused the old one.

        Raises `Unavailable` if surely nothing was done, and `LostReply`.
        """
        token = self._tokens.current()
        reply = self._send(method, path, kind, token, **parts)
        refused = trouble_of(reply)
        if refused is None or refused.code not in STALE_TOKEN:
            return reply
        return self._send(method, path, kind, self._tokens.renew(token), **parts)

    def _send(self, method: str, path: str, kind: CallKind, token: str, **parts: Any) -> Reply:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        url = f"{self._base}/b2b/v1{path}"
        try:
            return self._connection.http.request(method, url, kind=kind, headers=headers, **parts)
        except NotSent as trouble:
            raise not_sent(trouble) from trouble

    def _ask(self, method: str, path: str, kind: CallKind, **parts: Any) -> Reply:
        """A question: any trouble at all is `Unavailable`."""
        try:
            reply = self._call(method, path, kind, **parts)
        except LostReply as lost:
            raise lost_reply(lost) from lost
        refused = trouble_of(reply)
        if refused is not None:
            raise refused.unavailable()
        return reply

    def _events(self, path: str, query: Any, sim: Sim) -> list[dict[str, Any]]:
        """The requests the operator names, oldest first. Raises `Unavailable` for another's."""
        body = decoded(self._ask("POST", path, CallKind.CHECK, json=query))
        if not isinstance(body, list):
            raise garbage()
        parties = [
            party
            for item in mappings(body)
            for party in mappings(item.get("relatedParty"))
            if "status" in party
        ]
        if any(number_of(party) not in {"", sim.msisdn} for party in parties):
            text = "оператор ответил о другом номере"
            raise Unavailable(ErrorClass.TRANSIENT, "wrong_id", text)
        return parties


# --- requests -------------------------------------------------------------------------------------


def _modification(action: Action) -> dict[str, Any]:
    kind = {"name": "ResourceServiceRequestItemType", "value": "ResourceServiceRequestItem"}
    product = {"externalID": VOLUNTARY_BLOCK, "productCharacteristic": [kind]}
    verb = "create" if action is Action.DEACTIVATE else "delete"
    return {
        "characteristic": [{"name": "MobileConnectivity"}],
        "item": [{"action": verb, "product": product}],
    }


def _status_query(day: date, *, event: str = "", msisdn: str = "") -> dict[str, Any]:
    number = [{"name": "MSISDN", "value": msisdn}] if msisdn else []
    parties: list[dict[str, Any]] = [{"characteristic": number}]
    if event:
        parties.append({"id": event})
    span = {
        "startDateTime": datetime.combine(day, time.min).isoformat(),
        "endDateTime": datetime.combine(day, time(23, 59, 59)).isoformat(),
    }
    return {"relatedParty": parties, "validFor": span}


def _days(submitted_at: datetime, at: datetime) -> Iterator[date]:
    """The Moscow day of the request, and the next one if it has begun.

    The second is for a request that left at 23:59:58 and was booked after midnight. A day is the
    longest span the operator takes.
    """
    first = submitted_at.astimezone(MOSCOW).date()
    yield first
    if at.astimezone(MOSCOW).date() > first:
        yield first + timedelta(days=1)


def _blocks_query(sim: Sim) -> dict[str, str]:
    return {
        "category.name": "MobileConnectivity",
        "marketSegment.characteristic.name": "MSISDN",
        "marketSegment.characteristic.value": sim.msisdn,
        "productOffering.actionAllowed": "none",
        "productOffering.productSpecification.productSpecificationType.name": "block",
        "applyTimeZone": "true",
    }
