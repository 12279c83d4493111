"""The audit log: what changed, who did it, when and why. Called inside the transaction of the change."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db.models import Model

from cabinet.actors import Actor
from cabinet.models import AuditEvent, Merchant


def record(
    target: Model,
    action: str,
    text: str,
    *,
    by: Actor,
    at: datetime,
    reason: str = "",
    merchant_id: int | None = None,
    details: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """Store one event about `target`.

    `action` is a code of `formatting.audit_labels`. `text` and `reason` are Russian sentences that the
    merchant may read; both are cut at 300 characters. Without `merchant_id` the event belongs to the
    merchant of the target, if it has one.
    """
    own = target.pk if isinstance(target, Merchant) else getattr(target, "merchant_id", None)
    event = _event(target, action, text, by, at, reason)
    event.merchant_id, event.details = merchant_id or own, dict(details or {})
    event.save()
    return event


def record_many(
    targets: Iterable[Model], action: str, text: str, *, by: Actor, at: datetime, reason: str = ""
) -> None:
    """The same event about each of these rows of merchants, in one statement."""
    events = [_event(target, action, text, by, at, reason) for target in targets]
    AuditEvent.objects.bulk_create(events)


def _event(
    target: Model, action: str, text: str, by: Actor, at: datetime, reason: str
) -> AuditEvent:
    return AuditEvent(
        at=at,
        merchant_id=getattr(target, "merchant_id", None),
        target=target._meta.model_name or "",
        target_id=target.pk,
        action=action,
        text=text[:300],
        reason=reason[:300],
        actor_kind=by.kind,
        actor_name=by.name[:150],
        actor_id=by.user_id,
    )
