"""Whether the outbox moves."""

from datetime import datetime, timedelta

from django.db import DatabaseError
from django.db.models import Min, Q

from cabinet import clock
from operators.limits import quota
from operators.limits.maintenance import maintenance
from operators.models import SECRETS, OperatorAccount
from smartcards import queries
from smartcards.models import Command
from smartcards.states import CommandState

# A command that should have left this long ago, while nothing at all leaves for that operator, is stuck.
WAITING = timedelta(minutes=10)
SILENT = timedelta(minutes=5)


def check() -> dict[str, str]:
    """Problem name to an English sentence; empty where all is well.

    A long queue that its operator's quota lets out slowly is no problem, nor is one that has to wait: for staff
    who have switched the account off or stopped switch-offs, for the end of the operator's works, of an outage
    or of a pause that the operator asked for.
    """
    now = clock.now()
    silent = Q(account__last_call_at=None) | Q(account__last_call_at__lt=clock.real_now() - SILENT)
    stuck = Command.objects.filter(
        silent,
        state=CommandState.QUEUED,
        account__enabled=True,
        account__broken_since=None,
        due_at__lt=now - WAITING,
    )
    try:
        moving = stuck.exclude(queries.stopped_by(queries.brake_now()))
        oldest = dict(moving.values_list("account").annotate(due=Min("due_at")))
        accounts = OperatorAccount.objects.filter(pk__in=oldest).defer(*SECRETS).order_by("code")
        return {
            f"outbox:{account.code}": f"A command waits since {oldest[account.pk]:%Y-%m-%dT%H:%M:%SZ}."
            for account in accounts
            if not _has_to_wait(account, now)
        }
    except DatabaseError:
        return {}  # the check of `cabinet` reports it already


def _has_to_wait(account: OperatorAccount, at: datetime) -> bool:
    works = maintenance(account.maintenance_windows, at)
    if works is not None and works.runs:
        return True
    try:
        return quota.pause_left(account) > 0
    except quota.QuotaAway:
        return False
