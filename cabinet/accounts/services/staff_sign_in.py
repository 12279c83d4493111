"""Limits on password guessing by staff sign-in.

Counted in the audit log, so no table of attempts (as of django-axes) is kept beside it, and it works without Redis.
Nobody is locked by the name alone: an outsider who knows it would lock out its owner. Guessing from many addresses
raises an alert instead; against it stand the list of breached passwords and the second factor.
"""

from datetime import datetime, timedelta

from django.db import transaction

from cabinet import audit
from cabinet.actors import Actor
from cabinet.crypto import fingerprint
from cabinet.enums import ActorKind
from cabinet.errors import Refused
from cabinet.messaging import alerts
from cabinet.models import AuditEvent, User
from cabinet.tasks import advisory_lock

SIGN_IN_TRIED = "staff.sign_in_tried"
WINDOW = timedelta(minutes=15)


class TooManyAttempts(Refused):
    """A limit of sign-in attempts is reached."""


# Attempts within the window, by name and address together and by the address.
_LIMITS = {"pair": 5, "address": 20}
# So many attempts at one name, from whatever addresses, raise an alert.
ALERT_FROM = 50


@transaction.atomic
def count_attempt(*, username: str, address: str, at: datetime) -> None:
    """Count the attempt before the password is checked. Raises TooManyAttempts, which is not counted."""
    # A password typed into the wrong field must not be readable in the audit log.
    name = fingerprint(f"staff:{username.casefold()}")[:20]
    keys = {"name": name, "address": address, "pair": f"{name}:{address}"}
    advisory_lock.acquire(f"staff:address:{address}")
    recent = AuditEvent.objects.filter(
        action=SIGN_IN_TRIED, at__gt=at - WINDOW, at__lte=at + timedelta(minutes=1)
    )
    for key, most in _LIMITS.items():
        if recent.filter(details__contains={key: keys[key]}).count() >= most:
            raise TooManyAttempts("Слишком много попыток входа. Подождите 15 минут.")
    audit.record(
        User(pk=0),
        SIGN_IN_TRIED,
        "Попытка входа сотрудника сервиса",
        by=Actor(ActorKind.STAFF, "кто-то"),
        at=at,
        details=keys,
    )
    if recent.filter(details__contains={"name": name}).count() >= ALERT_FROM:
        _alert_guessing(username, name, at)


def _alert_guessing(username: str, mark: str, at: datetime) -> None:
    # Only a name that exists is shown: a password typed into the wrong field is not.
    if User.objects.filter(username=username, is_staff=True).exists():
        text = (
            f"Подбирают пароль сотрудника «{username}»: за 15\u00a0минут попыток входа — "
            f"{ALERT_FROM} и\u00a0больше, с\u00a0разных адресов. Вход сотруднику не\u00a0закрыт."
        )
        alerts.raise_alert(key=f"staff_sign_in:{mark}", text=text, at=at)


@transaction.atomic
def record_sign_in(*, user: User, at: datetime) -> None:
    """Audit event of a successful sign-in."""
    audit.record(user, "staff.signed_in", "Вход сотрудника сервиса", by=staff_actor(user), at=at)


def staff_actor(user: User) -> Actor:
    """A member of staff as the author of a change; merchants see «сотрудник сервиса»."""
    return Actor(ActorKind.STAFF, user.shown_name, user.pk)
