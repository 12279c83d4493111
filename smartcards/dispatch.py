"""The outbox: claim, ask the rules again, send with no transaction open, record.

One drain of an account runs at a time on all machines (an advisory lock of PostgreSQL that dies
with its connection), so one account never holds more than one worker, and the operator's
«one call at a time» holds by itself where `concurrency` is 1.
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q

from cabinet.actors import SYSTEM
from operators import quota
from operators.http import Exchange
from operators.models import OperatorAccount
from operators.ports import Action, ErrorClass, Operator, Rejected, Sim, SubmitResult, Unknown
from operators.services import connect, note_exchanges
from smartcards import commands, outcomes, queries, rules
from smartcards.models import Command
from smartcards.services import lock_card
from smartcards.states import CommandKind, CommandState, Origin

logger = logging.getLogger(__name__)

BATCH = 50
# A drain gives the worker back after this long; the sweep or the next wake-up goes on.
BUDGET_SECONDS = 60
_LOCK_SPACE = 7_401


@dataclass(frozen=True)
class Letter:
    """One command on its way out: everything the sender needs without the database."""

    command_id: int
    attempt: int
    lease_until: datetime
    action: Action
    sim: Sim
    key: str


def drain(*, account_id: int, clock: Callable[[], datetime]) -> int:
    """Send what is due for one account, until nothing is due or the time is up.

    Returns how many commands left. Does nothing where another drain of the account runs, the account
    is switched off, or the quota cannot be known.
    """
    with _only_one(account_id) as ours:
        account = OperatorAccount.objects.filter(pk=account_id, enabled=True).first()
        if not ours or account is None:
            return 0
        return _drain(account, clock)


def _drain(account: OperatorAccount, clock: Callable[[], datetime]) -> int:
    ends_at = time.monotonic() + BUDGET_SECONDS
    sent = 0
    with ThreadPoolExecutor(max_workers=account.concurrency) as pool:
        while time.monotonic() < ends_at:
            claimed = claim(account=account, at=clock(), limit=BATCH)
            if not claimed:
                break
            done = _send_all(account, claimed, pool, clock, ends_at)
            sent += done
            if done < len(claimed):
                break
    return sent


def _send_all(
    account: OperatorAccount,
    claimed: Sequence[Command],
    pool: ThreadPoolExecutor,
    clock: Callable[[], datetime],
    ends_at: float,
) -> int:
    """Send a claimed batch, `concurrency` calls at once. What is not sent is given back."""
    waiting = list(claimed)
    handled = 0
    while waiting and time.monotonic() < ends_at and quota.turn_comes(account):
        letters: list[Letter] = []
        while waiting and len(letters) < account.concurrency:
            letter = begin(waiting.pop(0), at=clock())
            handled += 1
            if letter is not None:
                letters.append(letter)
        _exchange(account, letters, pool, clock)
    give_back(waiting)
    return handled


def _exchange(
    account: OperatorAccount,
    letters: Sequence[Letter],
    pool: ThreadPoolExecutor,
    clock: Callable[[], datetime],
) -> None:
    heard: list[Exchange] = []
    quota.note_call(account)
    flights: dict[Future[SubmitResult], Letter] = {
        pool.submit(send, connect(account, heard=heard.append), letter, clock): letter
        for letter in letters
    }
    for flight in as_completed(flights):
        letter = flights[flight]
        try:
            result = flight.result()
        except Exception:
            # A broken adapter must not lose a command that may have been done.
            logger.exception("The adapter of %s broke", account.code)
            result = Unknown("ошибка в нашем коде")
        record(letter=letter, result=result, at=clock())
    note_exchanges(account, heard)


@transaction.atomic
def claim(*, account: OperatorAccount, at: datetime, limit: int) -> list[Command]:
    """Take due commands of the account, for the length of its lease.

    «On» before «off», a person's click before mass work, mass work before reconcile. While the brake
    is on, automatic switch-offs stay in the queue.
    """
    due = (
        Command.objects.select_for_update(of=("self",), skip_locked=True)
        .filter(account=account, state=CommandState.QUEUED, due_at__lte=at)
        .filter(Q(lease_until=None) | Q(lease_until__lte=at))
        .order_by("kind", "origin", "due_at", "id")
    )
    if queries.is_braked(queries.brake_now()):
        due = due.exclude(kind=CommandKind.DEACTIVATE, origin=Origin.RECONCILE)
    rows = list(due[:limit])
    token = uuid.uuid4()
    until = at + timedelta(seconds=account.lease_seconds * 2)
    Command.objects.filter(pk__in=[row.pk for row in rows]).update(
        lease_until=until, lease_token=token
    )
    for row in rows:
        row.lease_until, row.lease_token = until, token
    return rows


def give_back(claimed: Sequence[Command]) -> None:
    """Claimed but not begun: free for the next drain at once."""
    for row in claimed:
        Command.objects.filter(
            pk=row.pk, state=CommandState.QUEUED, lease_token=row.lease_token
        ).update(lease_until=None, lease_token=None)


@transaction.atomic
def begin(claimed: Command, *, at: datetime) -> Letter | None:
    """Right before sending: is the lease still ours, is the command still wanted? Count the attempt.

    Returns None where the command is no longer ours, or was cancelled because nobody wants it now.
    """
    card = lock_card(claimed.card)
    command = (
        Command.objects.select_for_update(of=("self",))
        .select_related("account")
        .filter(
            pk=claimed.pk,
            state=CommandState.QUEUED,
            lease_token=claimed.lease_token,
            lease_until__gt=at,
        )
        .first()
    )
    if command is None:
        return None
    facts = queries.facts_now(card, at)
    if not rules.wanted_now(facts, CommandKind(command.kind)):
        commands.cancel(
            command, card, by=SYSTEM, at=at, text="К моменту отправки команда уже не нужна"
        )
        return None
    if _stopped_by_brake(command):
        give_back([command])
        return None
    until = at + timedelta(seconds=command.account.lease_seconds)
    commands.move(
        command,
        CommandState.SENDING,
        at=at,
        attempts=command.attempts + 1,
        sent_at=at,
        lease_until=until,
        lease_token=uuid.uuid4(),
    )
    return Letter(
        command_id=command.pk,
        attempt=command.attempts,
        lease_until=until,
        action=Action(command.kind),
        sim=Sim(iccid=card.iccid, msisdn=card.msisdn),
        key=str(command.key),
    )


def _stopped_by_brake(command: Command) -> bool:
    automatic_off = command.kind == CommandKind.DEACTIVATE and command.origin == Origin.RECONCILE
    return automatic_off and queries.is_braked(queries.brake_now())


def send(operator: Operator, letter: Letter, clock: Callable[[], datetime]) -> SubmitResult:
    """The call itself, with no transaction open. A lease that ran out sends nothing."""
    at = clock()
    if at >= letter.lease_until:
        return Rejected(ErrorClass.TRANSIENT, code="lease", text="срок захвата истёк до отправки")
    return operator.submit(action=letter.action, sim=letter.sim, key=letter.key, at=at)


@transaction.atomic
def record(*, letter: Letter, result: SubmitResult, at: datetime) -> None:
    """Write the answer down. An answer that comes after the lease is still believed.

    The attempt number is the fence: where somebody else has sent the command anew, or decided it, the
    late answer changes nothing.
    """
    found = Command.objects.select_related("card").get(pk=letter.command_id)
    card = lock_card(found.card)
    command = (
        Command.objects.select_for_update(of=("self",))
        .select_related("account")
        .filter(
            pk=letter.command_id,
            state__in=[CommandState.SENDING, CommandState.CHECKING],
            attempts=letter.attempt,
        )
        .first()
    )
    if command is None:
        logger.warning("A late answer to command %s was not needed any more", letter.command_id)
        return
    outcomes.apply_submit(command, card, result, at=at)


def release_stuck(*, at: datetime) -> int:
    """A dead worker's `sending` goes to `checking`, never back to `queued`. Returns how many."""
    stuck = Command.objects.filter(state=CommandState.SENDING, lease_until__lte=at).values_list(
        "pk", flat=True
    )
    return sum(_release(pk, at) for pk in list(stuck[:500]))


@transaction.atomic
def _release(command_id: int, at: datetime) -> bool:
    card = lock_card(Command.objects.select_related("card").get(pk=command_id).card)
    command = (
        Command.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("account")
        .filter(pk=command_id, card=card, state=CommandState.SENDING, lease_until__lte=at)
        .first()
    )
    if command is None:
        return False
    commands.ask_later(command, at=at, text="Ответ оператора не получен, уточняем")
    return True


@contextmanager
def _only_one(account_id: int) -> Iterator[bool]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [_LOCK_SPACE, account_id])
        (ours,) = cursor.fetchone()
    try:
        yield bool(ours)
    finally:
        if ours:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [_LOCK_SPACE, account_id])
