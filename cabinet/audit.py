"""The journal: one function, called by services only, inside their transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Model

from cabinet.actors import Actor
from cabinet.models import AuditEvent


def record(
    *,
    target: Model,
    action: str,
    text: str,
    by: Actor,
    at: datetime,
    merchant_id: int | None,
    reason: str = "",
    details: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """Write down what changed. `text` and `reason` are Russian sentences that the merchant may read."""
    return AuditEvent.objects.create(
        at=at,
        merchant_id=merchant_id,
        target=target._meta.model_name or "",
        target_id=target.pk,
        action=action,
        text=text[:300],
        reason=reason[:300],
        actor_kind=by.kind,
        actor_name=by.name[:150],
        actor_id=by.user_id,
        details=dict(details or {}),
    )


def record_many(
    *, targets: Sequence[Model], action: str, text: str, by: Actor, at: datetime
) -> None:
    """The same line about many rows of merchants, in one statement."""
    AuditEvent.objects.bulk_create(
        AuditEvent(
            at=at,
            merchant_id=getattr(target, "merchant_id", None),
            target=target._meta.model_name or "",
            target_id=target.pk,
            action=action,
            text=text[:300],
            actor_kind=by.kind,
            actor_name=by.name[:150],
            actor_id=by.user_id,
        )
        for target in targets
    )
