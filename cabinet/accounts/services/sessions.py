"""Sessions of people: how long one lasts, the list of them, and ending one.

All by the real time, as Django's own expiry: the product's clock may be shifted in the sandbox.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.db import IntegrityError, transaction

from cabinet import audit
from cabinet.accounts.services import second_factor
from cabinet.actors import Actor
from cabinet.enums import SessionKind
from cabinet.formatting.browsers import browser_name
from cabinet.models import User, UserSession

STAFF_LIFETIME, STAFF_IDLE = timedelta(hours=12), timedelta(hours=1)
LIFETIME = timedelta(days=14)
# How often the time of the last use is stored.
SEEN_EVERY = timedelta(minutes=1)
# Set by whoever signs a person in by other means than the phone's code.
KIND_KEY = "session_kind"
_USE = "session_use"


def begin(*, session: SessionBase, user: User, user_agent: str, at: datetime) -> None:
    """A person has signed in by this session: it lasts from now on, and is in their list."""
    given = session.pop(KIND_KEY, SessionKind.PHONE)
    kind = SessionKind.STAFF if user.is_staff else SessionKind(given)
    session.set_expiry(at + (STAFF_LIFETIME if kind == SessionKind.STAFF else LIFETIME))
    if session.session_key is None:
        session.create()
    session[_USE] = {
        "kind": kind.value,
        "opened": at.timestamp(),
        "factor_missing": second_factor.is_required(user) or second_factor.is_set_up(user),
    }
    _record_use(session, user.pk, user_agent, at)


def keep_or_end(*, session: SessionBase, user_agent: str, at: datetime) -> None:
    """End a session of staff that was idle for too long; store the use of any other, once a minute."""
    if SESSION_KEY not in session:
        return
    if _USE not in session:
        _begin_former(session, user_agent, at)
        return
    use = session[_USE]
    since = at - _instant(use["seen"])
    if use["kind"] == SessionKind.STAFF and since >= STAFF_IDLE:
        session.flush()
    elif since >= SEEN_EVERY or use["key"] != session.session_key:
        try:
            _record_use(session, int(session[SESSION_KEY]), user_agent, at)
        except IntegrityError:  # ended by another since it was read
            session.flush()


def is_of_staff(session: SessionBase) -> bool:
    """Whether a member of staff may work by this session: opened as such, the second factor is passed."""
    use: dict[str, Any] = session.get(_USE, {})
    return use.get("kind") == SessionKind.STAFF and not use.get("factor_missing", True)


def is_factor_missing(session: SessionBase) -> bool:
    """Whether the second factor is still to be passed in this session."""
    return bool(session.get(_USE, {}).get("factor_missing", False))


def pass_factor(*, session: SessionBase) -> None:
    """The second factor was passed: the session gets a new key and works from now on."""
    session.cycle_key()
    session[_USE] = session[_USE] | {"factor_missing": False}


@transaction.atomic
def end(*, row: UserSession, by: Actor, at: datetime, reason: str = "") -> None:
    """End one session: its next request is anonymous."""
    Session.objects.filter(pk=row.session_id).delete()
    text = f"Завершён сеанс: {row.browser}"
    audit.record(row.user, "session.ended", text, by=by, at=at, reason=reason)


def purge(*, at: datetime) -> None:
    """Delete sessions that have expired; those of staff after an hour without use."""
    Session.objects.filter(expire_date__lt=at).delete()
    idle = UserSession.objects.filter(kind=SessionKind.STAFF, seen_at__lt=at - STAFF_IDLE)
    idle.end()


def _begin_former(session: SessionBase, user_agent: str, at: datetime) -> None:
    """A session that was opened before sessions were listed."""
    user = User.objects.filter(pk=session[SESSION_KEY]).first()
    if user is not None and session.get(BACKEND_SESSION_KEY):
        begin(session=session, user=user, user_agent=user_agent, at=at)


@transaction.atomic
def _record_use(session: SessionBase, user_id: int, user_agent: str, at: datetime) -> None:
    use = session[_USE] | {"key": session.session_key, "seen": at.timestamp()}
    session[_USE] = use
    row = UserSession(
        session_id=use["key"],
        user_id=user_id,
        kind=use["kind"],
        browser=browser_name(user_agent),
        opened_at=_instant(use["opened"]),
        seen_at=at,
    )
    UserSession.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["session"],
        update_fields=["user", "kind", "browser", "opened_at", "seen_at"],
    )


def _instant(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)
