"""Two lanes to an operator without limits: mass work keeps one interpreter busy, a click has another.

A line that sends thousands of letters spends all of its process's time on our own work, so a person's
click would wait for a turn of the interpreter there. Where the operator names a quota the line mostly
waits for its turn anyway, and where few calls may run at once there is none to put by: one lane then.
"""

from datetime import timedelta

from cabinet.wake import wake
from operators import quota
from operators.lanes import Lane
from operators.models import OperatorAccount
from smartcards.states import CLICKS, Origin

# So many calls at once at the least, and one of them is put by for clicks.
_FEWEST_CALLS = 4
_PUT_BY = 1
# A line that is busy with mass work leaves a click to its own lane for so long.
LEFT_FOR = timedelta(seconds=1)


def has_clicks_lane(account: OperatorAccount) -> bool:
    """Whether clicks of this account go by a lane of their own."""
    return account.concurrency >= _FEWEST_CALLS and not quota.windows(account)


def calls_at_once(account: OperatorAccount, lane: Lane) -> int:
    """How many calls this lane may have in the air; both together never exceed the account's."""
    put_by = _PUT_BY if has_clicks_lane(account) else 0
    return put_by if lane is Lane.CLICKS else account.concurrency - put_by


def wake_up(account: OperatorAccount, origin: Origin) -> None:
    """Ring for a new command of this origin, after commit."""
    if origin in CLICKS and has_clicks_lane(account):
        wake("smartcards.clicks", account_id=account.pk)
    else:
        wake("smartcards.dispatch", account_id=account.pk)
