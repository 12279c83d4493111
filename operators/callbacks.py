"""An operator's signed events: who sent it, what it is called, keep it once.

The signature is HMAC-SHA256 over `timestamp.event_id.body`; see `docs/reference/partner-api.yaml`.
Nothing is processed here: a stored event wakes the task `smartcards.callback` by its name.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from django.db import DataError, IntegrityError, transaction
from django.utils.dateparse import parse_datetime

from cabinet.alerts import raise_alert
from cabinet.wake import wake
from operators import events
from operators.events import MonitorChanged, ServiceChanged, Unreadable
from operators.models import Callback, OperatorAccount
from operators.retention import PURGE_SECONDS, forget

# How far an operator's clock may stand from ours, either way.
WINDOW = timedelta(minutes=5)
_EVENT_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")
_SECONDS = re.compile(r"[0-9]{1,12}")


class Unsigned(Exception):
    """The signature is missing, wrong, or of another time."""


class Malformed(Exception):
    """The body is no event; the text says what is wrong with it, in English for the partner."""


@dataclass(frozen=True)
class Signature:
    """The header `X-Signature: t=…,id=…,v1=…`; `digests` has several while keys are changed."""

    timestamp: int
    event_id: str
    digests: tuple[str, ...]


@dataclass(frozen=True)
class Envelope:
    """What every event has."""

    event_id: str
    event_type: str
    occurred_at: datetime
    payload: dict[str, Any]


def account_of(code: str) -> OperatorAccount | None:
    """The account that takes callbacks under this code; None for one without a secret too.

    Only what the door needs is read, so that a lost key of other secrets closes no door.
    """
    rows = OperatorAccount.objects.only("pk", "code", "callback_secret")
    account = rows.filter(code=code).first()
    return account if account is not None and secrets_of(account) else None


def secrets_of(account: OperatorAccount) -> list[str]:
    """The contract's secrets, one a line: while one is changed both the old and the new one count.

    Raises `cabinet.crypto.Undecryptable`.
    """
    return [line.strip() for line in account.callback_secret.splitlines() if line.strip()]


def verify(*, account: OperatorAccount, header: str, body: bytes, at: datetime) -> str:
    """The event's id, proved to come from the operator within the window around `at` (real time).

    Raises `Unsigned`. Every secret is compared with every digest in full and in constant time.
    """
    signature = _signature(header)
    signed = f"{signature.timestamp}.{signature.event_id}.".encode() + body
    fits = False
    for secret in secrets_of(account):
        wanted = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode()
        for digest in signature.digests:
            fits |= hmac.compare_digest(wanted, digest.lower().encode())
    if not fits or abs(at.timestamp() - signature.timestamp) > WINDOW.total_seconds():
        raise Unsigned
    return signature.event_id


def _signature(header: str) -> Signature:
    parts = [part.strip().partition("=") for part in header.split(",")]
    named: dict[str, list[str]] = {"t": [], "id": [], "v1": []}
    for name, _, value in parts:
        named.setdefault(name, []).append(value)
    timestamp, event_id = _only(named["t"], _SECONDS), _only(named["id"], _EVENT_ID)
    # More than a few digests are no change of keys but work for our processor.
    if not 1 <= len(named["v1"]) <= 5:
        raise Unsigned
    return Signature(int(timestamp), event_id, tuple(named["v1"]))


def _only(values: Sequence[str], pattern: re.Pattern[str]) -> str:
    """The one value of a part that must be there once. Raises `Unsigned`."""
    if len(values) != 1 or not pattern.fullmatch(values[0]):
        raise Unsigned
    return values[0]


def read_envelope(*, event_id: str, body: bytes) -> Envelope:
    """The event in a signed body; `event_id` is the signed one. Raises `Malformed`."""
    payload = _decoded(body)
    if not isinstance(payload, dict):
        raise Malformed("The body must be a JSON object.")
    if payload.get("eventId") != event_id:
        raise Malformed("eventId must be the id in X-Signature.")
    event_type = payload.get("eventType")
    if not isinstance(event_type, str) or not event_type:
        raise Malformed("eventType is required.")
    return Envelope(event_id, event_type, _moment(payload.get("eventTime")), payload)


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as broken:
        raise Malformed("The body is not JSON in UTF-8.") from broken


def _no_constant(word: str) -> NoReturn:
    raise ValueError(word)  # NaN and Infinity are Python's words, not JSON's


def _moment(given: object) -> datetime:
    try:
        moment = parse_datetime(given) if isinstance(given, str) else None
        if moment is not None and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError) as broken:
        raise Malformed("eventTime is no moment of the calendar.") from broken
    raise Malformed("eventTime must be a date and time with a zone (RFC 3339).")


@transaction.atomic
def store(*, account: OperatorAccount, envelope: Envelope, at: datetime) -> bool:
    """Keep an event and wake its processing after commit; False for one that was kept before.

    Secrets and personal data in it are masked before that. An event that we cannot read is kept too,
    and put before staff. Raises `Malformed` for what the database cannot hold.
    """
    try:
        row = _row(account, envelope, at)
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        return False
    except (DataError, ValueError, RecursionError) as broken:
        raise Malformed("The event cannot be stored: NUL, broken surrogates or depth.") from broken
    if row.state == Callback.State.NEW:
        wake("smartcards.callback", callback_id=row.pk)
    else:
        tell_staff(row, at=at)
    return True


def _row(account: OperatorAccount, envelope: Envelope, at: datetime) -> Callback:
    event, trouble = _read(envelope)
    row = Callback(
        account=account,
        event_id=envelope.event_id,
        event_type=envelope.event_type[:60],
        occurred_at=envelope.occurred_at,
        received_at=at,
        payload=events.masked(envelope.payload, event),
        state=Callback.State.NEW if event else Callback.State.PARKED,
        note=trouble,
    )
    # Beside the payload stands whom it is about, so that staff find it.
    if isinstance(event, ServiceChanged):
        row.iccid = event.iccid[:20]
    elif isinstance(event, MonitorChanged):
        row.request_id = event.request_id[:200]
    return row


def _read(envelope: Envelope) -> tuple[events.Event | None, str]:
    """The event in our words, or None and why not, for staff."""
    try:
        return events.read_event(envelope.event_type, envelope.payload), ""
    except Unreadable as unreadable:
        return None, str(unreadable)


def tell_staff(row: Callback, *, at: datetime) -> None:
    """A parked event is a matter for staff; one matter for one kind of trouble of an account."""
    account = OperatorAccount.objects.only("title").get(pk=row.account_id)
    raise_alert(
        key=f"callback:{row.account_id}:{row.event_type}:{row.note}"[:150],
        text=f"{account}: уведомление «{row.event_type}» отложено. {row.note}",
        at=at,
        link=f"/admin/operators/callback/?account__id__exact={row.account_id}&state__exact=parked",
    )


def purge(*, at: datetime, seconds: float = PURGE_SECONDS) -> int:
    """Forget events over thirty days old, in batches, for at most about so many seconds.

    One that still waits stays until it is processed. Returns how many rows went.
    """
    ended = Callback.objects.exclude(state=Callback.State.NEW)
    return forget(ended, moment="received_at", at=at, seconds=seconds)
