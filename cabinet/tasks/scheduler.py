"""A beat scheduler without persistent state."""

from datetime import timedelta
from typing import Any

from celery.beat import Scheduler

_LONG_AGO = timedelta(days=30)


class StatelessScheduler(Scheduler):
    """Sends every task once at its start, then by the schedule.

    The usual scheduler stores the last run on disk; after a clock that was ahead it sends nothing until that
    time has come. Every task is harmless when run twice.
    """

    def setup_schedule(self) -> None:
        """Called once, before the first task is sent."""
        super().setup_schedule()
        entry: Any
        for entry in self.schedule.values():
            entry.last_run_at = self.app.now() - _LONG_AGO
