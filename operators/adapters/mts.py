"""МТС «Бизнес API»: REST, OAuth2, every switch is queued and answered by an `eventID`.

The operator publishes its manual to customers only; what stands here was learned from a digest of
that manual and from two independent clients. Facts marked «guess» are to be settled with the
operator. What matters most:

- the card is named by its MSISDN in the **query**; in the body it is ignored and answered by 401;
- `BL0005` is the voluntary block: creating it is our «off», deleting it our «on»;
- a 2xx proves nothing: errors come inside 2xx, as JSON in a string, or as a `fault` object, and a
  2xx without `eventID` is an unknown outcome;
- the status of a request is asked for a span of **at most one day** (Moscow time) by the manual; some
  clients send a month or no span at all, so the contract's `status_days` says which;
- a request that is not found by its id is looked for once more by the number and the id: some
  gateways know ModifyProduct by that call only;
- there is no dependable «is it blocked» flag, so reading is weak and never says «active»;
- nothing is idempotent.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, ClassVar

from operators.adapters import (
    decoded,
    garbage,
    lost_reply,
    oauth_token,
    rejected,
    wrong_id,
)
from operators.adapters.mts_mapping import (
    MOSCOW,
    STALE_TOKEN,
    VOLUNTARY_BLOCK,
    booked_at,
    by_id,
    characteristic,
    checked,
    identity_of,
    is_named,
    parties_of,
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
    OurCode,
    Reading,
    Rejected,
    Reply,
    Sim,
    StateQuality,
    SubmitResult,
    Token,
    Unavailable,
    Unknown,
    no_keys,
)

_LONGEST_STATUS_DAYS = 31


@dataclass(frozen=True)
class Mts(NoChangeList):
    """The adapter; see the module for the sources and the guesses.

    An unknown status is `PENDING` with the status in the text: the deadline settles it.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        title="МТС",
        key="msisdn",
        asynchronous=True,
        state_quality=StateQuality.WEAK,
        credentials=(
            Field("key", "Consumer Key", secret=False),
            Field("secret", "Consumer Secret"),
            Field(
                "status_days",
                "Период вопроса о запросе, дней (пусто — 1, самое большее 31, 0 — не указывать)",
                secret=False,
                required=False,
                maximum=_LONGEST_STATUS_DAYS,
            ),
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

    connection: Connection

    def __post_init__(self) -> None:
        """Raises ValueError where the contract's `status_days` is no number from 0 to 31."""
        if not 0 <= self._status_days <= _LONGEST_STATUS_DAYS:
            raise ValueError("status_days is a number from 0 to 31")

    # --- the port -----------------------------------------------------------------------------

    def submit(self, *, action: Action, sim: Sim, key: str, at: datetime) -> SubmitResult:
        """Queue the block or its removal. `key` is not sent: the operator knows no such thing."""
        if not sim.msisdn:
            return Rejected(ErrorClass.INVALID, OurCode.NO_NUMBER, "у смарт-карты не указан номер")
        try:
            reply = self._call(
                "POST",
                "/Product/ModifyProduct",
                CallKind.SUBMIT,
                params={"msisdn": sim.msisdn},
                json=_MODIFICATIONS[action],
            )
        except LostReply as lost:
            return Unknown(lost.text)
        except Unavailable as trouble:
            return rejected(trouble)
        return result_of(reply)

    def check(self, *, request_id: str, sim: Sim, submitted_at: datetime, at: datetime) -> Check:
        """Ask for the event by its id, and where it is not found by the number and the id.

        The first answer may leave the id out; one that names only other requests raises `Unavailable`. Of the
        second answer only the request with this id counts: others of the same number prove nothing.
        """
        for query in self._queries(submitted_at, at, event=request_id):
            found = self._events("/Product/CheckRequestStatusByUUID", query, sim)
            if event := by_id(found, request_id):
                return checked(event)
        for query in self._queries(submitted_at, at, event=request_id, msisdn=sim.msisdn):
            found = self._events("/Product/CheckRequestStatus", query, sim)
            if named := [event for event in found if is_named(event, request_id)]:
                return checked(named[0])
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
        for query in self._queries(submitted_at, at, msisdn=sim.msisdn):
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
        """The value of `PersonalDataConfirmation`. Everything else in the answer is a person's, and is
        neither kept nor logged. Raises `Unavailable` for an answer about other numbers only.
        """
        if not sim.msisdn:
            raise Unavailable(
                ErrorClass.INVALID, OurCode.NO_NUMBER, "у смарт-карты не указан номер"
            )
        reply = self._ask(
            "GET",
            "/PersonalData/PersonalDataInfo",
            CallKind.READ,
            params={"contactMedium.phoneNumber": sim.msisdn},
            private=True,
        )
        return identity_of(decoded(reply), sim)

    def ping(self) -> str:
        """Log in and read one row of the inventory, which may name its owner."""
        params = {"pageNum": "1", "pageSize": "1"}
        path = "/Service/HierarchyStructure"
        reply = self._ask("GET", path, CallKind.READ, params=params, private=True)
        if decoded(reply) is None:
            raise garbage()
        return "МТС отвечает, ключи договора приняты."

    # --- the wire -----------------------------------------------------------------------------

    @property
    def _status_days(self) -> int:
        return int(self.connection.credentials.get("status_days") or 1)

    def _queries(
        self, submitted_at: datetime, at: datetime, *, event: str = "", msisdn: str = ""
    ) -> Iterator[dict[str, Any]]:
        """Questions about a request or the requests of a number, over the contract's periods."""
        number = [{"name": "MSISDN", "value": msisdn}] if msisdn else []
        parties = [{"characteristic": number}, *([{"id": event}] if event else [])]
        for period in _periods(submitted_at, at, self._status_days):
            yield {"relatedParty": parties, "validFor": period}

    def _login(self) -> Token:
        keys, base = self.connection.credentials, self.connection.base_url.rstrip("/")
        key, secret = keys.get("key", ""), keys.get("secret", "")
        if not (key and secret):
            raise no_keys()
        return oauth_token(self.connection, f"{base}/token", key=key, secret=secret)

    def _call(self, method: str, path: str, kind: CallKind, **parts: Any) -> Reply:
        """One call, repeated once with a new token where the gateway refused the old one.

        Raises `Unavailable` if surely nothing was done, and `LostReply`.
        """
        url = f"{self.connection.base_url.rstrip('/')}/b2b/v1{path}"
        stale: str | None = None
        while True:
            token = self.connection.tokens.current(self._login, stale=stale)
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
            reply = self.connection.http.request(method, url, kind=kind, headers=headers, **parts)
            refused = trouble_of(reply)
            if stale or refused is None or refused.code not in STALE_TOKEN:
                return reply
            stale = token

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
        parties = parties_of(decoded(self._ask("POST", path, CallKind.CHECK, json=query)))
        if any(characteristic(party, "msisdn") not in {"", sim.msisdn} for party in parties):
            raise wrong_id("другом номере")
        return parties


# --- requests -------------------------------------------------------------------------------------


def _modification(verb: str) -> dict[str, Any]:
    kind = {"name": "ResourceServiceRequestItemType", "value": "ResourceServiceRequestItem"}
    product = {"externalID": VOLUNTARY_BLOCK, "productCharacteristic": [kind]}
    return {
        "characteristic": [{"name": "MobileConnectivity"}],
        "item": [{"action": verb, "product": product}],
    }


_MODIFICATIONS = {
    Action.ACTIVATE: _modification("delete"),
    Action.DEACTIVATE: _modification("create"),
}


def _periods(submitted_at: datetime, at: datetime, days: int) -> Iterator[dict[str, str]]:
    """So many Moscow days from that of the request on; without `days` an empty one.

    One day is asked twice where the next one has begun: a request that left at 23:59:58 may be booked after
    midnight.
    """
    if not days:
        yield {}
        return
    day, today = (one.astimezone(MOSCOW).date() for one in (submitted_at, at))
    for first in (day, day + timedelta(days=1)) if days == 1 and today > day else (day,):
        last = first + timedelta(days=days - 1)
        yield {
            "startDateTime": datetime.combine(first, time.min).isoformat(),
            "endDateTime": datetime.combine(last, time(23, 59, 59)).isoformat(),
        }


def _blocks_query(sim: Sim) -> dict[str, str]:
    return {
        "category.name": "MobileConnectivity",
        "marketSegment.characteristic.name": "MSISDN",
        "marketSegment.characteristic.value": sim.msisdn,
        "productOffering.actionAllowed": "none",
        "productOffering.productSpecification.productSpecificationType.name": "block",
        "applyTimeZone": "true",
    }
