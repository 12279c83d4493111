"""Staff sign in by name and password; guessing is slowed down. Counted in PostgreSQL, so Redis may be away."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from cabinet import audit, locks
from cabinet.actors import Actor
from cabinet.crypto import fingerprint
from cabinet.errors import Refused
from cabinet.models import AuditEvent, User
from cabinet.states import ActorKind

TRIED = "staff.sign_in_tried"
WINDOW = timedelta(minutes=15)


class TooManyTries(Refused):
    """Passwords were tried too often."""


@dataclass(frozen=True)
class Try:
    """One attempt: who it claims to be, and from where."""

    username: str
    address: str

    def keys(self) -> dict[str, str]:
        # A password typed into the wrong field must not lie readable in the journal.
        name = fingerprint(f"staff:{self.username.casefold()}")[:20]
        return {"name": name, "address": self.address, "pair": f"{name}:{self.address}"}


# An outsider must not lock a colleague out at once: the narrow limit counts name and address together.
_LIMITS = {"pair": 5, "address": 20, "name": 50}


@transaction.atomic
def count_try(*, attempt: Try, at: datetime) -> None:
    """Count the try before the password is looked at. Raises TooManyTries, which is not counted."""
    keys = attempt.keys()
    locks.hold(f"staff:address:{keys['address']}")
    recent = AuditEvent.objects.filter(
        action=TRIED, at__gt=at - WINDOW, at__lte=at + timedelta(minutes=1)
    )
    for key, most in _LIMITS.items():
        if recent.filter(details__contains={key: keys[key]}).count() >= most:
            raise TooManyTries("Слишком много попыток входа. Подождите 15 минут.")
    audit.record(
        target=User(pk=0),
        action=TRIED,
        text="Попытка входа сотрудника сервиса",
        by=Actor(ActorKind.STAFF, "кто-то"),
        at=at,
        merchant_id=None,
        details=keys,
    )


@transaction.atomic
def note_sign_in(*, user: User, at: datetime) -> None:
    """The password was right."""
    audit.record(
        target=user,
        action="staff.signed_in",
        text="Вход сотрудника сервиса",
        by=staff_actor(user),
        at=at,
        merchant_id=None,
    )


def staff_actor(user: User) -> Actor:
    """A member of staff, for the services; the merchant reads «сотрудник сервиса»."""
    return Actor(ActorKind.STAFF, user.shown_name, user.pk)
