"""Whether the outbox moves."""

from datetime import timedelta

from django.db import DatabaseError
from django.db.models import Min, Q

from cabinet import clock
from smartcards.models import Command
from smartcards.states import CommandState

# A command that should have left this long ago, while nothing at all leaves for that operator, is stuck.
WAITING = timedelta(minutes=10)
SILENT = timedelta(minutes=5)


def check() -> dict[str, str]:
    """Problem name to an English sentence; empty where all is well.

    A long queue that its operator's quota lets out slowly is no problem, an account that staff have
    switched off neither.
    """
    now = clock.now()
    silent = Q(account__last_call_at=None) | Q(account__last_call_at__lt=clock.real_now() - SILENT)
    stuck = Command.objects.filter(
        silent, state=CommandState.QUEUED, account__enabled=True, due_at__lt=now - WAITING
    )
    try:
        oldest = list(stuck.values("account__code").annotate(due=Min("due_at")))
    except DatabaseError:
        return {}  # the floor's check says so already
    return {
        f"outbox:{row['account__code']}": f"A command waits since {row['due']:%Y-%m-%dT%H:%M:%SZ}."
        for row in oldest
    }
