"""The outbox: claim and ask the rules again, send with no transaction open, record.

`claim` and `record` work on batches, one transaction each; `send` is what runs in threads.
The loop that turns them is `smartcards.line`.
"""

import logging
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import DatabaseError, transaction
from django.db.models import Exists, OuterRef

from cabinet.actors import SYSTEM
from cabinet.states import ActorKind
from operators import exchanges
from operators.models import OperatorAccount
from operators.ports import (
    Action,
    Applied,
    ErrorClass,
    Identity,
    Operator,
    Rejected,
    Sim,
    SubmitResult,
)
from operators.quota import Urgency
from smartcards import commands, identity, outcomes, queries, rules, turns
from smartcards.models import Brake, Command, SmartCard
from smartcards.rules import CardFacts
from smartcards.services import lock_card
from smartcards.states import CLICKS, CommandKind, CommandState, Confirmed, Origin

logger = logging.getLogger(__name__)

# Where all the first ones are held by somebody (a chain choosing its cards), so many times as many are
# looked at.
_FARTHER = 20


@dataclass(frozen=True)
class Letter:
    """One command on its way out: everything the sender needs without the database.

    `seconds` is the longest that the call may take, so the last moment to begin it lies before the
    lease's end.
    `learned` takes what the operator said of the number on the way, for `record` to keep.
    """

    command_id: int
    attempt: int
    lease_until: datetime
    seconds: float
    action: Action
    sim: Sim
    key: str
    urgency: Urgency
    asks_identity: bool = False
    learned: list[Identity] = field(default_factory=list, compare=False)


def urgency_of(origin: int) -> Urgency:
    """A person's click may use the whole quota, everything else leaves the clicks their share."""
    return Urgency.CLICK if origin in CLICKS else Urgency.MASS


@transaction.atomic
def claim(
    *,
    account: OperatorAccount,
    at: datetime,
    limit: int,
    origins: Collection[Origin] = tuple(Origin),
    due_by: datetime | None = None,
) -> list[Letter]:
    """Take commands of the account due at `due_by` (now), with a lease, and count the attempt.

    A person's click before a paid card that does not work, then mass work, then reconcile; within
    these «on» before «off», and the merchants in turn. The rules are asked again: a command that nobody wants any
    more is cancelled here. Cards and commands that somebody else holds at this moment are passed over.
    While the brake is on, automatic switch-offs stay in the queue; in report-only mode everything from
    before it does, and what nobody asked for.
    """
    rows = _taken(account, _due(account, due_by or at, origins), at, limit)
    wanted = [row for row in rows if _still_wanted(row)]
    for row in rows:
        if row not in wanted:
            text = "К моменту отправки команда уже не нужна"
            commands.cancel(row, row.card, by=SYSTEM, at=at, text=text)
    if not wanted:
        return []
    until = at + timedelta(seconds=account.lease_seconds)
    commands.begin_many(wanted, at=at, until=until, token=uuid.uuid4())
    turns.served(account_id=account.pk, turn=max(row.turn for row in wanted))
    return [_letter(row, until, at) for row in wanted]


def _due(account: OperatorAccount, at: datetime, origins: Collection[Origin]) -> "queries.Commands":
    due = Command.objects.filter(
        account=account, state=CommandState.QUEUED, due_at__lte=at, origin__in=list(origins)
    )
    return _let_out(due, queries.brake_now()).order_by("origin", "kind", "turn", "id")


def _let_out(due: "queries.Commands", brake: Brake) -> "queries.Commands":
    if brake.report_only_at is not None:
        # What the restored copy still queues may have been sent long ago.
        return due.filter(created_at__gte=brake.report_only_at).exclude(
            asked_by_kind=ActorKind.SYSTEM
        )
    if queries.is_braked(brake):
        return due.exclude(kind=CommandKind.DEACTIVATE, origin=Origin.RECONCILE)
    return due


def _taken(
    account: OperatorAccount, due: "queries.Commands", at: datetime, limit: int
) -> list[Command]:
    """The first commands with their cards, both locked; rows that somebody else holds are passed over."""
    paid = Exists(queries.live_coverage(at).filter(card=OuterRef("card_id")))
    locked = due.select_for_update(of=("self", "card"), skip_locked=True).select_related("card")
    look_at, rows = limit, list[Command]()
    while not rows:
        # By themselves the first ones come from the index however many wait; a join would read them all.
        first = list(due.values_list("pk", flat=True)[:look_at])
        rows = list(locked.filter(pk__in=first).annotate(paid_now=paid)[:limit])
        if len(first) < look_at:
            break
        look_at *= _FARTHER
    for row in rows:
        row.account = _of(row.card, account).account
    return rows


def _of(card: SmartCard, account: OperatorAccount) -> SmartCard:
    """The card with its contract at hand, without reading the contract once for every card."""
    card.account = account
    return card


def _still_wanted(row: Command) -> bool:
    card, paid = row.card, bool(getattr(row, "paid_now"))  # noqa: B009 - set by annotate
    facts = CardFacts(
        confirmed=Confirmed(card.confirmed),
        block_reason=card.block_reason,
        wished_on=card.wished_on,
        wished_by_kind=card.wished_by_kind,
        covered=paid,
        entitled=paid,
    )
    return rules.wanted_now(facts, CommandKind(row.kind))


def _letter(row: Command, until: datetime, at: datetime) -> Letter:
    return Letter(
        command_id=row.pk,
        attempt=row.attempts + 1,
        lease_until=until,
        seconds=row.account.timeout_seconds,
        action=Action(row.kind),
        sim=Sim(iccid=row.card.iccid, msisdn=row.card.msisdn),
        key=str(row.key),
        urgency=urgency_of(row.origin),
        asks_identity=identity.is_due(row.card, CommandKind(row.kind), at=at),
    )


def send(operator: Operator, letter: Letter, clock: Callable[[], datetime]) -> SubmitResult:
    """The call itself, with no transaction open. A lease that would run out on the way sends nothing.

    Where the operator tells of Госуслуги it is asked first, and a number that it would refuse is not
    sent.
    """
    said = identity.read(operator, letter.sim) if letter.asks_identity else None
    if said is not None:
        letter.learned.append(said)
    refusal = identity.refusal_of(said)
    if refusal is not None:
        return refusal
    at = clock()
    if at + timedelta(seconds=letter.seconds) > letter.lease_until:
        return Rejected(ErrorClass.TRANSIENT, code="lease", text="срок захвата истёк до отправки")
    return operator.submit(action=letter.action, sim=letter.sim, key=letter.key, at=at)


def record(answers: Sequence[tuple[Letter, SubmitResult]], *, at: datetime) -> None:
    """Write the answers down, the plain ones together. An answer after the lease is still believed.

    The attempt number is the fence: where somebody else has sent the command anew, or decided it, the
    late answer changes nothing. One bad row never loses the others' answers.
    """
    plain = [
        letter for letter, result in answers if isinstance(result, Applied) and not letter.learned
    ]
    settled = _record_plain_safely(plain, at) if len(plain) > 1 else set()
    for letter, result in answers:
        if letter.command_id in settled:
            continue
        try:
            _record_one(letter, result, at)
        except Exception:
            # The row stays in `sending`; when its lease runs out it is read, not lost.
            logger.exception("Could not record the answer to command %s", letter.command_id)


def _record_plain_safely(letters: Sequence[Letter], at: datetime) -> set[int]:
    try:
        return _record_plain(letters, at)
    except DatabaseError:
        logger.exception("Could not record %s answers together, now one by one", len(letters))
        return set()


@transaction.atomic
def _record_plain(letters: Sequence[Letter], at: datetime) -> set[int]:
    """Which of the plain answers were written together; the rest goes one by one."""
    attempts = {letter.command_id: letter.attempt for letter in letters}
    found = Command.objects.filter(pk__in=attempts)
    locked = SmartCard.objects.select_for_update(of=("self",)).order_by("pk")
    held = list(locked.filter(pk__in=found.values("card_id")))
    contracts = OperatorAccount.objects.in_bulk({card.account_id for card in held})
    cards = {card.pk: _of(card, contracts[card.account_id]) for card in held}
    rows = found.filter(state=CommandState.SENDING).select_for_update(of=("self",)).order_by("pk")
    together = []
    for row in rows:
        card = cards[row.card_id]
        if row.attempts == attempts[row.pk]:
            row.card, row.account = card, card.account
            together.append(row)
    commands.finish_done_many(together, at=at)
    return {row.pk for row in together}


@transaction.atomic
def _record_one(letter: Letter, result: SubmitResult, at: datetime) -> None:
    found = Command.objects.select_related("card").get(pk=letter.command_id)
    card = lock_card(found.card)
    for said in letter.learned:
        identity.note(card, said, at=at)
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
    stuck = Command.objects.filter(state=CommandState.SENDING, lease_until__lte=at)
    return sum(_release(pk, at) for pk in list(stuck.values_list("pk", flat=True)[:500]))


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
    exchanges.note_unheard(
        account=command.account,
        iccid=card.iccid,
        command_id=command.pk,
        began_at=command.sent_at or command.created_at,
        at=at,
    )
    commands.ask_later(command, at=at, text="Ответ оператора не получен, уточняем")
    return True
