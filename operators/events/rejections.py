"""Count of the signed events that were refused: staff see on the board that an operator's events do not come in.

One row for an hour and a reason, so that a flood of bad requests makes no more rows.
"""

from datetime import datetime

from django.db import connection

from operators.models import EventRejection, OperatorAccount, RejectionReason
from operators.purge import PURGE_SECONDS, forget

_COUNT = """
INSERT INTO operators_eventrejection (account_id, hour, reason, times)
VALUES (%(account)s, date_trunc('hour', %(at)s::timestamptz, 'UTC'), %(reason)s, 1)
ON CONFLICT (account_id, hour, reason) DO UPDATE SET times = operators_eventrejection.times + 1
"""


def note(account: OperatorAccount, reason: RejectionReason, *, at: datetime) -> None:
    """Count one refused event of this contract."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"account": account.pk, "at": at, "reason": reason.value})


def purge(*, at: datetime, seconds: float = PURGE_SECONDS) -> int:
    """Forget the counts of over thirty days ago. Returns how many rows were deleted."""
    return forget(EventRejection.objects.all(), moment="hour", at=at, seconds=seconds)
