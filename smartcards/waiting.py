"""Whether an account has anything to do now: asked many times a second while a line works.

Plain SQL, for building the same three questions by the ORM costs ten times what PostgreSQL needs to
answer them from its indexes.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from smartcards.states import CommandState, Origin

_CLICKS = """
SELECT EXISTS (SELECT FROM smartcards_command
    WHERE account_id = %(account)s AND state = %(queued)s AND due_at <= %(at)s AND origin = %(click)s)
"""
_ANYTHING = """
SELECT
    EXISTS (SELECT FROM smartcards_command
        WHERE account_id = %(account)s AND state = %(queued)s AND due_at <= %(at)s
        AND origin = %(click)s),
    EXISTS (SELECT FROM smartcards_command
        WHERE account_id = %(account)s AND state IN (%(accepted)s, %(checking)s)
        AND check_at <= %(at)s),
    EXISTS (SELECT FROM smartcards_command
        WHERE account_id = %(account)s AND state = %(queued)s AND due_at <= %(at)s
        AND origin > %(click)s)
"""
_STATES: dict[str, str | int] = {
    "queued": CommandState.QUEUED.value,
    "accepted": CommandState.ACCEPTED.value,
    "checking": CommandState.CHECKING.value,
    "click": Origin.PERSON.value,
}


@dataclass(frozen=True)
class Waiting:
    """What an account has to do now."""

    clicks: bool
    questions: bool
    others: bool

    @property
    def anything(self) -> bool:
        return self.clicks or self.questions or self.others


def waiting_work(*, account_id: int, at: datetime) -> Waiting:
    """Whether there are clicks, questions and other commands to leave: one query, answered by indexes."""
    return Waiting(*_ask(_ANYTHING, account_id, at))


def clicks_wait(*, account_id: int, at: datetime) -> bool:
    """Whether a person's command is to leave."""
    (waits,) = _ask(_CLICKS, account_id, at)
    return waits


def _ask(question: str, account_id: int, at: datetime) -> tuple[bool, ...]:
    with connection.cursor() as cursor:
        cursor.execute(question, _STATES | {"account": account_id, "at": at})
        return tuple(cursor.fetchone())
