"""An operator's signed events: verification of the signature, the envelope, storage.

The signature is HMAC-SHA256 over `timestamp.event_id.body`; see `docs/reference/partner-api.yaml`.
Nothing is processed here: a stored event enqueues the task `smartcards.callback` by its name.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from django.conf import settings
from django.db import DataError, transaction
from django.db.models import Q
from django.urls import reverse
from django.utils.dateparse import parse_datetime

from cabinet.inbox.processing import insert_once
from cabinet.messaging.alerts import raise_alert
from cabinet.tasks.task_queue import enqueue_on_commit
from operators.events import event_mapping
from operators.events.event_mapping import MonitorChanged, ServiceChanged, Unreadable
from operators.models import Callback, OperatorAccount
from operators.purge import PURGE_SECONDS, forget

# What an event is parked for: it says nothing that we understand.
UNREADABLE = "unreadable"
# How far an operator's clock may stand from ours, either way.
WINDOW = timedelta(minutes=5)
_EVENT_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")
_SECONDS = re.compile(r"[0-9]{1,12}")


class Unsigned(Exception):
    """The signature is missing, wrong, or of another time."""


class OutOfTime(Unsigned):
    """The signature is right, and of another time."""


class Conflict(Exception):
    """An event with this id was stored with another content."""


class Malformed(Exception):
    """The body is no event; the text says what is wrong with it, in English for the partner."""


def account_of(code: str) -> OperatorAccount | None:
    """The account that takes callbacks under this code; None for one without a secret too.

    Only these columns are read, so that a lost key of the other secrets does not stop events.
    """
    rows = OperatorAccount.objects.only("pk", "code", "callback_secret")
    account = rows.filter(code=code).first()
    return account if account is not None and secrets_of(account) else None


def secrets_of(account: OperatorAccount) -> list[str]:
    """The contract's secrets, one a line: while one is changed both the old and the new one count.

    Raises `cabinet.crypto.Undecryptable`.
    """
    return [line.strip() for line in account.callback_secret.splitlines() if line.strip()]


def callback_url(account: OperatorAccount) -> str:
    """Where the operator sends its events; staff hand this address over to it."""
    return settings.PUBLIC_URL + reverse("operator_callback", kwargs={"code": account.code})


def verify(*, account: OperatorAccount, header: str, body: bytes, at: datetime) -> str:
    """The event's id, proved to come from the operator within the window around `at` (real time).

    Raises `Unsigned`. Every secret is compared with every digest in full and in constant time.
    """
    timestamp, event_id, digests = _signature(header)
    signed = f"{timestamp}.{event_id}.".encode() + body
    fits = False
    for secret in secrets_of(account):
        wanted = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode()
        for digest in digests:
            fits |= hmac.compare_digest(wanted, digest.lower().encode())
    if not fits:
        raise Unsigned
    if abs(at.timestamp() - timestamp) > WINDOW.total_seconds():
        raise OutOfTime
    return event_id


def _signature(header: str) -> tuple[int, str, list[str]]:
    """The time, the event's id and the digests of `t=…,id=…,v1=…`; several digests while keys are changed.

    Raises `Unsigned`.
    """
    named: dict[str, list[str]] = {"t": [], "id": [], "v1": []}
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        named.setdefault(name, []).append(value)
    # More than a few digests are no change of keys but work for our processor.
    if not 1 <= len(named["v1"]) <= 5:
        raise Unsigned
    return int(_only(named["t"], _SECONDS)), _only(named["id"], _EVENT_ID), named["v1"]


def _only(values: Sequence[str], pattern: re.Pattern[str]) -> str:
    """The one value of a part that must be there once. Raises `Unsigned`."""
    if len(values) != 1 or not pattern.fullmatch(values[0]):
        raise Unsigned
    return values[0]


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as broken:
        raise Malformed("The body is not JSON in UTF-8.") from broken


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's


def _moment(given: object) -> datetime:
    try:
        moment = parse_datetime(given) if isinstance(given, str) else None
        if moment is not None and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError) as broken:
        raise Malformed("eventTime is no moment of the calendar.") from broken
    raise Malformed("eventTime must be a date and time with a zone (RFC 3339).")


@transaction.atomic
def store(*, account: OperatorAccount, event_id: str, body: bytes, at: datetime) -> bool:
    """Store the event of a signed body once and enqueue its processing after commit; False for one that was
    stored before. `event_id` is the signed one.

    Only the fields of the allow-list keep their values (`event_mapping.masked`). An event that cannot be read
    is stored as parked, with an alert. Raises `Malformed` for no event and for what the database cannot hold, and
    `Conflict` for another content under a stored id.
    """
    payload = read_payload(event_id=event_id, body=body)
    occurred_at = _moment(payload.get("eventTime"))
    try:
        row = _row(payload, at)
        row.account, row.occurred_at = account, occurred_at
        if not insert_once(row):
            _check_same(row)
            return False
    except (DataError, ValueError, RecursionError) as broken:
        raise Malformed("The event cannot be stored: NUL, broken surrogates or depth.") from broken
    if row.state == Callback.State.NEW:
        enqueue_on_commit("smartcards.callback", callback_id=row.pk)
    else:
        alert_staff(row, row.note, at)
    return True


def _check_same(row: Callback) -> None:
    """Raises `Conflict` where the stored event of this id has another content."""
    stored = Callback.objects.filter(account=row.account, event_id=row.event_id)
    if stored.exclude(digest__in=["", row.digest]).exists():
        raise Conflict


def _digest(payload: dict[str, Any]) -> str:
    """Of the content: the order of fields and the spaces between them do not matter."""
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_payload(*, event_id: str, body: bytes) -> dict[str, Any]:
    """The JSON object in a signed body, with the id and the type that every event has. Raises `Malformed`."""
    payload = _decoded(body)
    if not isinstance(payload, dict):
        raise Malformed("The body must be a JSON object.")
    if payload.get("eventId") != event_id:
        raise Malformed("eventId must be the id in X-Signature.")
    if not isinstance(payload.get("eventType"), str) or not payload["eventType"]:
        raise Malformed("eventType is required.")
    return payload


def _row(payload: dict[str, Any], at: datetime) -> Callback:
    event: event_mapping.Event | None = None
    trouble = ""
    try:
        event = event_mapping.read_event(payload["eventType"], payload)
    except Unreadable as unreadable:
        trouble = str(unreadable)
    row = Callback(
        event_id=payload["eventId"],
        event_type=payload["eventType"][:60],
        received_at=at,
        digest=_digest(payload),
        payload=event_mapping.masked(payload, event),
        state=Callback.State.NEW if event else Callback.State.PARKED,
        parked_for="" if event else UNREADABLE,
        note=trouble,
    )
    # Beside the payload stands whom it is about, so that staff find it.
    if isinstance(event, ServiceChanged):
        row.iccid = event.iccid[:20]
    elif isinstance(event, MonitorChanged):
        row.request_id = event.request_id[:200]
    return row


def alert_key(row: Callback) -> str:
    """One alert for one kind of trouble of an account; one for each event that was given up."""
    if not row.parked_for:
        return f"callback:{row.pk}"
    return f"callback:{row.account_id}:{row.event_type}:{row.parked_for}"[:150]


def alert_staff(row: Callback, problem: str, at: datetime) -> None:
    """Put an event before staff that was parked or given up; `problem` is a Russian sentence."""
    account = OperatorAccount.objects.only("title").get(pk=row.account_id)
    listed = f"account__id__exact={row.account_id}&state__exact={row.state}"
    raise_alert(
        key=alert_key(row),
        text=f"{account}: уведомление «{row.event_type}» отложено. {problem[:1].upper()}{problem[1:]}",
        at=at,
        link=f"/admin/operators/callback/?{listed}",
    )


def purge(*, at: datetime, seconds: float = PURGE_SECONDS) -> int:
    """Delete processed and parked events over thirty days old, in batches, for about `seconds` at most.

    Returns how many rows were deleted.
    """
    waits = Q(state=Callback.State.NEW) | Q(next_try_at__isnull=False)
    ended = Callback.objects.exclude(waits)
    return forget(ended, moment="received_at", at=at, seconds=seconds)
