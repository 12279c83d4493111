"""Who acts in the admin, and what they may."""

from typing import cast

from django.http import HttpRequest

from cabinet.actors import Actor
from cabinet.models import User
from cabinet.services.staff import staff_actor


def actor_of(request: HttpRequest) -> Actor:
    """The signed-in member of staff."""
    return staff_actor(cast("User", request.user))


def may(request: HttpRequest, right: str) -> bool:
    """Whether the signed-in member of staff carries the right."""
    return cast("User", request.user).has_perm(right)
