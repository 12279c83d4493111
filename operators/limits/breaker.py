"""Opens when an operator is down, closes by itself: a probe (login and a cheap read) decides, and then
the first command that waits.

It counts different cards: a number that the operator cannot serve fails for ever, and is no outage. While it
is open (`broken_since` is set) nothing is sent but probes, and the readings that settle unknown outcomes as
long as readings work. The state stands in PostgreSQL, beside the account: pages and staff read it, and an
emptied Redis forgets nothing.
"""

from datetime import datetime, timedelta
from uuid import uuid4

from django.db import transaction
from django.db.models import Q

from cabinet.actors import SYSTEM
from cabinet.formatting import ru_format
from cabinet.messaging import alerts
from operators.classification import Health
from operators.limits.maintenance import MOSCOW, maintenance
from operators.models import OperatorAccount

# Failures of so many different cards in a row open the breaker; a failure that is about no card counts as one
# of its own.
THRESHOLD = 5
# A shorter outage is no matter for staff: the queue leaves by itself.
ALERT_AFTER = timedelta(minutes=1)
# More of them change nothing, and are not kept.
_MOST_KEPT = 50
# With an open breaker questions about commands go on until those about so many different cards have failed.
_FAILED_QUESTIONS = 2
# The next probe comes after as long again as the operator has been down: 10, 20, 40, … 300 s.
_FIRST_PAUSE = timedelta(seconds=10)
_LONGEST_PAUSE = timedelta(minutes=5)


@transaction.atomic
def record_result(
    account: OperatorAccount,
    health: Health,
    *,
    at: datetime,
    by_switches: bool = False,
    card_id: int | None = None,
    error: str = "",
) -> None:
    """Count what came of a call: a good one closes, bad ones about `THRESHOLD` different cards open.

    While switches fail (`by_switches`), a good reading is no sign that they work again: it makes good
    what other readings met, and no more. A call that says nothing of the operator changes nothing.
    `card_id` is None where the trouble is not about one card: each such call counts. `error` is the
    operator's refusal, masked, for the alert. Writes nothing while all is well. `account` is brought up to
    date.
    """
    had_failures = account.failures_in_a_row or account.broken_since is not None
    if health is Health.NONE or (health is Health.GOOD and not had_failures):
        return
    row = OperatorAccount.objects.select_for_update().get(pk=account.pk)
    if health is Health.BAD:
        _note_failure(row, card_id, "switches" if by_switches else "questions")
        _open_or_put_off(row, error, at)
    elif by_switches or not row.failing_switches:
        _close(row, at)
    else:
        row.failing_cards = {"switches": row.failing_cards.get("switches", [])}
        row.failures_in_a_row = row.failing_switches
        _save(row)
    for name in _KEPT:
        setattr(account, name, getattr(row, name))


_KEPT = ("failures_in_a_row", "failing_switches", "failing_cards", "broken_since", "probe_at")


def lets_questions(account: OperatorAccount) -> bool:
    """Whether an open breaker lets out the questions that settle what became of commands.

    As long as they are answered: an operator whose switches fail may still tell how its cards are.
    """
    return len(account.failing_cards.get("questions", [])) < _FAILED_QUESTIONS


def questions_work(account: OperatorAccount) -> None:
    """A probe was answered: questions that failed before say nothing any more. `account` is brought up to date."""
    account.failing_cards.pop("questions", None)
    OperatorAccount.objects.filter(pk=account.pk).exclude(broken_since=None).update(
        failing_cards=account.failing_cards
    )


def _close(row: OperatorAccount, at: datetime) -> None:
    if row.broken_since is not None:
        alerts.close_alert(key=_key(row), by=SYSTEM, at=at, text=_works_again(row, at))
    row.failures_in_a_row = row.failing_switches = 0
    row.failing_cards = {}
    row.broken_since = row.probe_at = None
    _save(row)


def _note_failure(row: OperatorAccount, card_id: int | None, kind: str) -> None:
    """One card counts once, however often and by whatever calls it fails."""
    found: dict[str, list[str]] = row.failing_cards
    which = uuid4().hex[:8] if card_id is None else str(card_id)
    if which not in found.setdefault(kind, []) and len(found[kind]) < _MOST_KEPT:
        found[kind].append(which)
    row.failing_switches = len(found.get("switches", []))
    row.failures_in_a_row = len({one for cards in found.values() for one in cards})


def _open_or_put_off(row: OperatorAccount, error: str, at: datetime) -> None:
    if row.failures_in_a_row >= THRESHOLD:
        if row.broken_since is None:
            row.broken_since = at
        if at - row.broken_since >= ALERT_AFTER and not is_silent(row, at):
            _alert_once(row, error, at)
        if row.probe_at is None or row.probe_at <= at:  # calls still in the air do not put it off
            row.probe_at = _next_probe(row.broken_since, at)
    _save(row)


def is_silent(account: OperatorAccount, at: datetime) -> bool:
    """Whether staff want no alerts about this operator now: they said so, or its works go on."""
    said = account.silent_until is not None and account.silent_until > at
    planned = maintenance(account.maintenance_windows, at)
    return said or (planned is not None and planned.runs)


def silent_accounts(at: datetime) -> set[int]:
    """The accounts about which staff want no alerts now; one query."""
    may_be = OperatorAccount.objects.filter(Q(silent_until__gt=at) | ~Q(maintenance_windows=[]))
    rows = may_be.only("silent_until", "maintenance_windows")
    return {row.pk for row in rows if is_silent(row, at)}


def _alert_once(row: OperatorAccount, error: str, at: datetime) -> None:
    """One alert for one outage, however many probes fail in it."""
    if alerts.is_open(_key(row)):
        return
    alerts.raise_alert(
        key=_key(row),
        text=f"{row.title}: сбой, команды ждут в очереди. {error or row.last_error}".strip(),
        at=at,
        link=f"/admin/operators/operatoraccount/{row.pk}/change/",
    )


def _works_again(row: OperatorAccount, at: datetime) -> str:
    began = ru_format.by_then(row.broken_since or at, MOSCOW, at)
    return f"{row.title} снова работает. Сбой был с {began} до {ru_format.clock_time(at, MOSCOW)}."


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


def probe_is_due(account: OperatorAccount, at: datetime) -> bool:
    """Time to ask whether the operator is back."""
    return account.probe_at is not None and account.probe_at <= at
