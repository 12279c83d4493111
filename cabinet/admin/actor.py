"""The member of staff behind a request of the admin: what they may, and what they did."""

from typing import cast

from django.db.models import Model
from django.http import HttpRequest

from cabinet import audit, clock
from cabinet.accounts.services.staff_sign_in import staff_actor
from cabinet.actors import Actor
from cabinet.models import User


def actor_of(request: HttpRequest) -> Actor:
    """The signed-in member of staff, for services."""
    return staff_actor(cast("User", request.user))


def may(request: HttpRequest, right: str) -> bool:
    """Whether the signed-in member of staff has the Django permission, «app.codename»."""
    return cast("User", request.user).has_perm(right)


def record_change(request: HttpRequest, target: Model, action: str, text: str) -> None:
    """Store in the audit log what the signed-in member of staff has changed by a form of the admin."""
    audit.record(target, action, text, by=actor_of(request), at=clock.now())
