"""Билайн USSS WSAPI: SOAP, a token by login and password, every switch is a request with a number.

The operator publishes no manual; what stands here was learned from several independent clients and
from acceptance tests of the API. Facts marked «guess» are to be settled with the operator. What
matters most:

- the card is named by its number (CTN), ten digits without the country's;
- `suspendCTN` with reason `WIB` (own wish) is our «off», `restoreCTN` with `RSBO` our «on»; both
  answer with the number of a request, which `getRequestList` tells the state of;
- the day of a switch is sent as its midnight, so «today» is at once. That it is a Moscow day is a
  guess;
- suspending a blocked number is a fault, and nobody says which: after a fault that could mean it
  the card is read, and only the reading makes it «already so»;
- `getCTNInfoList` tells exactly whether a number is blocked, and by a code why;
- a fault comes as HTTP 500, or with any other status, and is known by its `errorCode`;
- a request in `getRequestList` is not known to name its card, so a lost one is not looked for by
  card: the reading settles it;
- nothing is idempotent. No quota is published: ours is a guess on the polite side.

Logging in over REST would put the password into an address, so it is done by SOAP.
"""

import base64
import hmac
from datetime import datetime
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from operators.adapters import OperatorError, lost_reply, rejected
from operators.adapters.beeline_mapping import (
    NO_CODE,
    NOT_READY,
    Answer,
    accepted,
    answer_of,
    check_of,
    ctn_of,
    reading_of,
)
from operators.adapters.wsdl import Soap, soap
from operators.ports import (
    WANTED_STATE,
    Action,
    Already,
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
    Rejected,
    Sim,
    SimState,
    StateQuality,
    SubmitResult,
    Token,
    Unavailable,
    Unknown,
    no_keys,
    no_number,
)

_MOSCOW = ZoneInfo("Europe/Moscow")
# Clients keep a token about nine minutes; the cache gives up a minute of what stands here.
_TOKEN_SECONDS = 600.0
_AUTH = "AuthService"
_SUBSCRIBER = "SubscriberService"

_SWITCHES = {
    Action.DEACTIVATE: ("suspendCTN", "WIB"),
    Action.ACTIVATE: ("restoreCTN", "RSBO"),
}


class Beeline(NoChangeList, NoRequestSearch):
    """The adapter; see the module for the sources and the guesses.

    An unknown state of a request is `PENDING` with the state in the text; one done in part is `LOST`,
    so that the card is read.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        title="Билайн",
        key="msisdn",
        asynchronous=True,
        state_quality=StateQuality.EXACT,
        credentials=(
            Field("login", "Логин", secret=False),
            Field("password", "Пароль"),
            Field("ban", "Номер договора (BAN)", secret=False),
            Field("hash_key", "Ключ подписи (только для системного пользователя)", required=False),
        ),
        per_second=2,
        per_minute=None,
        concurrency=2,
        poll_plan=(12, 12, 15, 30, 60, 120, 300),
        quiet_seconds=60,
        deadline_seconds=3600,
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._base = connection.base_url.rstrip("/")

    # --- the port -----------------------------------------------------------------------------

    def submit(self, *, action: Action, sim: Sim, key: str, at: datetime) -> SubmitResult:
        """Ask for the block or its end, today. `key` is not sent: the operator knows no such thing.

        After a fault that may mean «so already» the card is read once.
        """
        if not ctn_of(sim):
            return rejected(no_number())
        try:
            answer = self._switch(action, ctn_of(sim), at)
        except LostReply as lost:
            return Unknown(lost.text)
        except Unavailable as trouble:
            return rejected(trouble)
        if answer.trouble is None:
            return accepted(answer)
        if answer.may_mean_already:
            return self._already_or(answer.trouble, action, sim)
        return answer.trouble.switch_result()

    def check(self, *, request_id: str, sim: Sim, submitted_at: datetime, at: datetime) -> Check:
        """Ask for the request by its number. Where it failed, the card is read to learn why."""
        if not request_id.isdecimal():
            return Check(CheckState.LOST, text="такого номера запроса у Билайна не бывает")
        try:
            answer = self._requests(CallKind.CHECK, request_id)
        except Unavailable as trouble:
            if trouble.code == NOT_READY:
                return Check(CheckState.PENDING, NOT_READY, trouble.text)
            raise
        check = check_of(answer, request_id, sim)
        return self._explained(check, sim) if check.state is CheckState.FAILED else check

    def read_state(self, *, sim: Sim) -> Reading:
        """Whether the card's number is blocked, and by the operator's code of reason by whom."""
        return self._read(sim)

    def ping(self) -> str:
        """Log in and read the head of the list of requests."""
        self._requests(CallKind.READ)
        return "Билайн отвечает, логин и пароль приняты."

    # --- what a refusal means ---------------------------------------------------------------------

    def _already_or(self, trouble: OperatorError, action: Action, sim: Sim) -> SubmitResult:
        try:
            reading = self._read(sim)
        except Unavailable:
            return trouble.switch_result()
        if reading.state is WANTED_STATE[action]:
            return Already(reading.raw)
        if reading.state is SimState.HELD:
            return Rejected(ErrorClass.HELD_BY_OPERATOR, trouble.code, _held(reading))
        return trouble.switch_result()

    def _explained(self, failed: Check, sim: Sim) -> Check:
        try:
            reading = self._read(sim)
        except Unavailable:
            return failed
        if reading.state is not SimState.HELD:
            return failed
        error = ErrorClass.HELD_BY_OPERATOR
        return Check(CheckState.FAILED, failed.code, _held(reading), error)

    def _read(self, sim: Sim) -> Reading:
        # The port's method counts its time anew, so it is not called from within another one.
        ctn = ctn_of(sim)
        if not ctn:
            raise no_number()
        ban = self._connection.credentials.get("ban", "")
        answer = self._ask("getCTNInfoList", CallKind.READ, sign=ban + ctn, ban=ban, ctn=ctn)
        return reading_of(answer, sim)

    def _requests(self, kind: CallKind, request_id: str = "") -> Answer:
        """The named request, or the newest ones."""
        login = self._login_name
        # The signature names a missing number as 0.
        return self._ask(
            "getRequestList",
            kind,
            sign=login + (request_id or "0"),
            login=login,
            requestId=request_id,
            page=1,
            recordsPerPage=10,
        )

    # --- the wire -----------------------------------------------------------------------------

    @property
    def _login_name(self) -> str:
        return self._connection.credentials.get("login", "")

    def _login(self) -> Token:
        password = self._connection.credentials.get("password", "")
        if not (self._login_name and password):
            raise no_keys("логин и пароль")
        values = {"login": self._login_name, "password": password}
        try:
            answer = self._send(_AUTH, "auth", CallKind.AUTH, values)
        except LostReply as lost:
            raise lost_reply(lost) from lost
        if answer.trouble is not None:
            raise _login_trouble(answer, answer.trouble)
        token = str(answer.content.get("return") or "").strip()
        if not token:
            raise Unavailable(ErrorClass.TRANSIENT, "no_token", "оператор не выдал ключ доступа")
        return Token(token, _TOKEN_SECONDS)

    def _switch(self, action: Action, ctn: str, at: datetime) -> Answer:
        operation, reason = _SWITCHES[action]
        today = at.astimezone(_MOSCOW).date()
        values = {"ctn": ctn, "actvDate": f"{today.isoformat()}T00:00:00.0", "reasonCode": reason}
        sign = f"{ctn}{today:%Y%m%d}000000{reason}"
        return self._call(operation, CallKind.SUBMIT, sign, values)

    def _ask(self, operation: str, kind: CallKind, sign: str, **values: str | int) -> Answer:
        """A question: any trouble at all is `Unavailable`."""
        try:
            answer = self._call(operation, kind, sign, values)
        except LostReply as lost:
            raise lost_reply(lost) from lost
        if answer.trouble is not None:
            raise answer.trouble.unavailable()
        return answer

    def _call(self, operation: str, kind: CallKind, sign: str, values: dict[str, Any]) -> Answer:
        """One call, repeated once with a new token where the old one was refused.

        Raises `Unavailable` if surely nothing was done, and `LostReply`.
        """
        signed = {"hash": self._hash(sign), **values}
        token = self._connection.tokens.current(self._login)
        answer = self._send(_SUBSCRIBER, operation, kind, {"token": token, **signed})
        if not answer.token_is_stale:
            return answer
        renewed = self._connection.tokens.current(self._login, stale=token)
        return self._send(_SUBSCRIBER, operation, kind, {"token": renewed, **signed})

    def _hash(self, sign: str) -> str:
        """The signature system users add; for SOAP it is plain base64, which is a guess."""
        key = self._connection.credentials.get("hash_key", "")
        if not key:
            return ""
        return base64.b64encode(hmac.digest(key.encode(), sign.encode(), "sha1")).decode()

    def _send(self, service: str, operation: str, kind: CallKind, values: dict[str, Any]) -> Answer:
        messages: Soap = soap(f"{service}.wsdl")
        message = messages.message(operation, **values)
        url = f"{self._base}/{service}"
        reply = self._connection.http.request(
            "POST",
            url,
            kind=kind,
            data=message.body,
            headers=message.headers,
        )
        return answer_of(messages, operation, reply)


def _held(reading: Reading) -> str:
    return f"номер заблокирован оператором: {reading.raw}"


def _login_trouble(answer: Answer, trouble: OperatorError) -> Unavailable:
    """Whatever code a login is refused with, the login or the password is not accepted."""
    if not answer.fault or trouble.code in {NOT_READY, NO_CODE}:
        return trouble.unavailable()
    return Unavailable(ErrorClass.AUTH, trouble.code, "оператор не принял логин или пароль")
