"""Opens when an operator is down, closes by itself: a probe (login and a cheap read) decides, and then
the first command that waits.

The state stands in PostgreSQL, beside the account: pages and staff read it, and an emptied Redis
forgets nothing.
"""

from datetime import datetime, timedelta

from django.db import transaction

from cabinet import alerts
from cabinet.actors import SYSTEM
from operators.models import OperatorAccount
from operators.ports import ErrorClass

# So many troubles in a row are no accident any more.
THRESHOLD = 5
# The next probe comes after as long again as the operator has been down: 10, 20, 40, … 300 s.
_FIRST_PAUSE = timedelta(seconds=10)
_LONGEST_PAUSE = timedelta(minutes=5)
_TROUBLES = frozenset({ErrorClass.TRANSIENT, ErrorClass.MAINTENANCE, ErrorClass.UNKNOWN_OUTCOME})


def is_trouble(error: ErrorClass | None) -> bool:
    """Whether this class speaks of the operator's health (a refusal about one card does not)."""
    return error in _TROUBLES


@transaction.atomic
def note(
    account: OperatorAccount, *, good: int, bad: int, at: datetime, by_switches: bool = False
) -> None:
    """Count what came of some calls: a good one closes, `THRESHOLD` bad ones in a row open.

    While switches fail (`by_switches`), a good reading is no sign that they work again: it makes good
    what other readings met, and no more. Calls that say
    nothing of the operator (none good, none bad) change nothing. Writes nothing while all is well.
    `account` is brought up to date.
    """
    had_troubles = account.failures_in_a_row or account.broken_since is not None
    if not bad and not (good and had_troubles):
        return
    row = OperatorAccount.objects.select_for_update().get(pk=account.pk)
    if good and (by_switches or not row.failing_switches):
        _close(row, at)
    elif bad:
        row.failing_switches += bad if by_switches else 0
        _count(row, bad, at)
    elif not is_open(row):
        row.failures_in_a_row = row.failing_switches
        _save(row)
    for name in _KEPT:
        setattr(account, name, getattr(row, name))


_KEPT = ("failures_in_a_row", "failing_switches", "broken_since", "probe_at")


def _close(row: OperatorAccount, at: datetime) -> None:
    if row.broken_since is not None:
        alerts.close_alert(key=_key(row), by=SYSTEM, at=at)
    row.failures_in_a_row = row.failing_switches = 0
    row.broken_since = row.probe_at = None
    _save(row)


def _count(row: OperatorAccount, bad: int, at: datetime) -> None:
    row.failures_in_a_row += bad
    if row.failures_in_a_row >= THRESHOLD:
        if row.broken_since is None:
            row.broken_since = at
            alerts.raise_alert(
                key=_key(row),
                text=f"{row.title}: сбой, команды ждут в очереди. {row.last_error}".strip(),
                at=at,
                link=f"/admin/operators/operatoraccount/{row.pk}/change/",
            )
        if row.probe_at is None or row.probe_at <= at:  # calls still in the air do not put it off
            row.probe_at = _next_probe(row.broken_since, at)
    _save(row)


def _next_probe(broken_since: datetime, at: datetime) -> datetime:
    return at + min(_LONGEST_PAUSE, at - broken_since + _FIRST_PAUSE)


def put_off_probe(account: OperatorAccount, *, at: datetime) -> None:
    """A command has left to try the operator with; till its answer speaks the next probe waits its time.

    `account` is brought up to date. A breaker that was closed meanwhile stays so.
    """
    account.probe_at = _next_probe(account.broken_since or at, at)
    OperatorAccount.objects.filter(pk=account.pk).exclude(broken_since=None).update(
        probe_at=account.probe_at
    )


def _save(row: OperatorAccount) -> None:
    row.save(update_fields=_KEPT)


def _key(row: OperatorAccount) -> str:
    return f"operator:account:{row.pk}:broken"


def is_open(account: OperatorAccount) -> bool:
    """The operator is taken to be down: nothing is sent but probes."""
    return account.broken_since is not None


def probe_is_due(account: OperatorAccount, at: datetime) -> bool:
    """Time to ask whether the operator is back."""
    return account.probe_at is not None and account.probe_at <= at
