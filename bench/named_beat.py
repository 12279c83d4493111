"""A Celery whose clock is two hours ahead: `python -m bench.named_beat beat` as `python -m celery`."""

import sys
from datetime import datetime, timedelta

from celery import Celery
from celery.__main__ import main

_now = Celery.now


def _ahead(self: Celery) -> datetime:
    return _now(self) + timedelta(hours=2)


setattr(Celery, "now", _ahead)  # noqa: B010 - a method, which may not be assigned

if __name__ == "__main__":
    sys.argv[1:1] = ["-A", "cabinet"]
    main()
