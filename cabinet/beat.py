"""The alarm clock's own memory: none."""

from datetime import timedelta
from typing import Any

from celery.beat import Scheduler

_LONG_AGO = timedelta(days=30)


class ForgetfulScheduler(Scheduler):
    """Rings everything once at its start, then by the schedule.

    The usual scheduler keeps on the disk when it last rang, and after a clock that was ahead it rings
    nobody until that time has come. Every task is harmless twice.
    """

    def setup_schedule(self) -> None:
        """Called once, before the first ring."""
        super().setup_schedule()
        entry: Any
        for entry in self.schedule.values():
            entry.last_run_at = self.app.now() - _LONG_AGO
