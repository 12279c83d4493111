"""The outbox: claim a command and ask the rules again, send it with no transaction open, record the answer.

`claim` and `record` are transactions; `send` runs in the threads that call operators.
"""

import logging
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from cabinet.actors import SYSTEM
from operators import registry
from operators.client import exchange_log
from operators.client.http import CallContext, HttpExchange
from operators.connections import CallOutcome, OperatorSession
from operators.limits.quota import QuotaGate, Urgency
from operators.models import OperatorAccount
from operators.ports import (
    IDENTITY_CODES,
    Action,
    ErrorClass,
    Identity,
    IdentityState,
    OurCode,
    Rejected,
    Sim,
    SubmitResult,
    Unavailable,
)
from smartcards import (
    commands,
    queries,
    rules,
    texts,
)
from smartcards.dispatch import outcomes
from smartcards.models import Command, SmartCard
from smartcards.services import lock_card, lock_command
from smartcards.states import (
    CLICKS,
    CommandKind,
    CommandState,
    OperatorState,
    Origin,
)

logger = logging.getLogger(__name__)

# Where the first one is held by somebody (a chain choosing its cards), so many times as many are
# looked at.
_LOOK_FURTHER = 20
# How long a number that is confirmed on Госуслуги counts as such.
_IDENTITY_HOLDS_FOR = timedelta(hours=24)
# The refusal that the operator would give to a number that stands so: surely nothing done.
REFUSALS = {
    state: Rejected(ErrorClass.FORBIDDEN, code, "номер не подтверждён на Госуслугах")
    for state, code in IDENTITY_CODES.items()
}


# --- what is due -----------------------------------------------------------------------------------

# Asked many times a second while a worker works. Plain SQL: building the same four questions by the ORM
# costs ten times what PostgreSQL needs to answer them from its indexes.
_DUE = """
SELECT
    EXISTS (SELECT FROM smartcards_command
        WHERE account_id = %(account)s AND state = %(queued)s AND due_at <= %(at)s
        AND origin <= %(click)s),
    EXISTS (SELECT FROM smartcards_command
        WHERE account_id = %(account)s AND state IN (%(accepted)s, %(checking)s)
        AND check_at <= %(at)s AND origin <= %(click)s),
    EXISTS (SELECT FROM smartcards_command
        WHERE account_id = %(account)s AND state IN (%(accepted)s, %(checking)s)
        AND check_at <= %(at)s AND origin > %(click)s),
    EXISTS (SELECT FROM smartcards_command
        WHERE account_id = %(account)s AND state = %(queued)s AND due_at <= %(at)s
        AND origin > %(click)s)
"""
_STATES: dict[str, str | int] = {
    "queued": CommandState.QUEUED.value,
    "accepted": CommandState.ACCEPTED.value,
    "checking": CommandState.CHECKING.value,
    "click": max(CLICKS).value,
}


class Backlog(NamedTuple):
    """What an account has to do now: commands to send and questions to ask, clicks apart from the rest."""

    clicks: bool = False
    click_queries: bool = False
    queries: bool = False
    others: bool = False


def backlog_of(*, account_id: int, at: datetime) -> Backlog:
    """What of an account's commands is due: one query, answered by indexes."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, _STATES | {"at": at, "account": account_id})
        return Backlog(*cursor.fetchone())


# --- claim, send, record ---------------------------------------------------------------------------


@dataclass(frozen=True)
class OutgoingCommand:
    """One command on its way out: everything the sender needs without the database.

    `seconds` is the longest that the call may take, so the last moment to begin it lies before the
    lease's end. One with a `refusal` is not sent.
    """

    command_id: int
    card_id: int
    attempt: int
    lease_until: datetime
    seconds: float
    action: Action
    sim: Sim
    key: str
    urgency: Urgency
    asks_identity: bool = False
    refusal: Rejected | None = None


@dataclass(frozen=True)
class SendOutcome:
    """The answer to a command, and what the operator said of the number on the way."""

    call: CallOutcome[SubmitResult]
    identity: Identity | None = None


def claim(
    *, account: OperatorAccount, at: datetime, origins: Collection[Origin] = tuple(Origin)
) -> OutgoingCommand | None:
    """Take the first due command of the account, with a lease, and count the attempt; None without one.

    A person's click before a paid card that does not work, then mass work, then reconcile; within
    these «on» before «off», and the merchants in turn. The rules are asked again: a command that nobody
    wants any more is cancelled here. Cards and commands that somebody else holds at this moment are
    passed over. While the brake is on, automatic switch-offs stay in the queue; in report-only mode
    everything from before it does, and what nobody asked for. So do automatic switch-offs of merchants
    with a received payment that is not processed yet.
    """
    held: Collection[int] = ()
    while True:
        with transaction.atomic():
            command = _lock_first_due(account, at, origins, held)
            if command is None:
                return None
            card = command.card
            if command.is_automatic_off:
                # Asked only now: what was received until this moment counts.
                held = queries.merchants_with_unprocessed_payment(at)
                if card.merchant_id in held:
                    continue
            if rules.wanted_now(
                CommandKind(command.kind),
                confirmed=OperatorState(card.confirmed),
                desired_on=card.desired_on,
                paid=bool(getattr(command, "paid_now")),  # noqa: B009 - set by annotate
                not_over=bool(getattr(command, "not_over")),  # noqa: B009 - set by annotate
            ):
                return _begin(command, at)
            text = "К моменту отправки команда уже не нужна"
            commands.cancel(command, by=SYSTEM, at=at, text=text)


def _lock_first_due(
    account: OperatorAccount, at: datetime, origins: Collection[Origin], held: Collection[int]
) -> Command | None:
    """The first command with its card, both locked; rows that somebody else holds are passed over,
    and automatic switch-offs of the merchants `held`.
    """
    due = Command.objects.filter(
        account=account, state=CommandState.QUEUED, due_at__lte=at, origin__in=list(origins)
    )
    due = due.exclude(queries.stopped_by(queries.brake_now()))
    if held:
        due = due.exclude(queries.AUTOMATIC_OFF, card__merchant__in=held)
    due = due.order_by("origin", "kind", "turn", "id")
    paid = Exists(queries.live_coverage(at).filter(card=OuterRef("card_id")))
    not_over = Exists(queries.coverage_not_over(at).filter(card=OuterRef("card_id")))
    locked = due.select_for_update(of=("self", "card"), skip_locked=True).select_related("card")
    look_at = 1
    while True:
        # By themselves the first ones come from the index however many wait; a join would read them all.
        first = list(due.values_list("pk", flat=True)[:look_at])
        command = locked.filter(pk__in=first).annotate(paid_now=paid, not_over=not_over).first()
        if command is not None:
            command.account = command.card.account = account
            return command
        if len(first) < look_at:
            return None
        look_at *= _LOOK_FURTHER


def _begin(command: Command, at: datetime) -> OutgoingCommand:
    card, account = command.card, command.account
    until = at + timedelta(seconds=account.lease_seconds)
    commands.move(
        command,
        CommandState.SENDING,
        at=at,
        attempts=command.attempts + 1,
        sent_at=at,
        lease_until=until,
        lease_token=uuid.uuid4(),
    )
    commands.advance_fair_clock(account_id=account.pk, turn=command.turn)
    return OutgoingCommand(
        command_id=command.pk,
        card_id=card.pk,
        attempt=command.attempts,
        lease_until=until,
        seconds=account.timeout_seconds,
        action=Action(command.kind),
        sim=Sim(iccid=card.iccid, msisdn=card.msisdn),
        key=str(command.key),
        urgency=Urgency.CLICK if command.origin in CLICKS else Urgency.MASS,
        asks_identity=asks_identity(card, CommandKind(command.kind), at=at),
        refusal=_refusal(card, CommandKind(command.kind)),
    )


def _refusal(card: SmartCard, kind: CommandKind) -> Rejected | None:
    """Why this switch is not sent: it would close a shop that has nothing to do with the card."""
    if kind != CommandKind.DEACTIVATE or not queries.switches_another_card_off(card):
        return None
    text = "номер записан и у другой смарт-карты"
    return Rejected(ErrorClass.INVALID, OurCode.SHARED_NUMBER, text)


def asks_identity(card: SmartCard, kind: CommandKind, *, at: datetime) -> bool:
    """Whether the operator is asked first how the number stands on Госуслуги.

    Companies must confirm each number there (533-ФЗ, ПП № 844), and an operator does not serve one that is
    not. A good answer holds for a day; a bad one is asked about again each time: the person may have acted.
    """
    if kind != CommandKind.ACTIVATE:
        return False
    if not registry.capabilities(card.account.adapter, card.account.profile).identity:
        return False
    if card.identity in IDENTITY_CODES or card.identity_at is None:
        return True
    return card.identity_at <= at - _IDENTITY_HOLDS_FOR


def send(
    session: OperatorSession, outgoing: OutgoingCommand, clock: Callable[[], datetime]
) -> SendOutcome:
    """Call the operator, with no transaction open. A lease that would run out on the way sends nothing.

    A number that the operator would refuse for want of its confirmation is not sent, and nothing with a
    refusal of ours. Never raises.
    """
    if outgoing.refusal is not None:
        return SendOutcome(CallOutcome(outgoing.refusal))
    gate = QuotaGate(session.account, outgoing.urgency)
    context = CallContext(outgoing.sim.iccid, outgoing.command_id)
    identity: Identity | None = None
    exchanges: tuple[HttpExchange, ...] = ()
    if outgoing.asks_identity:
        asked = session.call(
            lambda operator: operator.read_identity(sim=outgoing.sim), admit=gate, context=context
        )
        identity, exchanges = identity_of(asked.result), asked.exchanges
    at = clock()
    refusal = REFUSALS.get(identity.state) if identity is not None else None
    if refusal is None and at + timedelta(seconds=outgoing.seconds) > outgoing.lease_until:
        text = "срок захвата истёк до отправки"
        refusal = Rejected(ErrorClass.TRANSIENT, OurCode.LEASE_EXPIRED, text)
    if refusal is not None:
        return SendOutcome(CallOutcome(refusal, exchanges), identity)
    outcome = session.call(
        lambda operator: operator.submit(
            action=outgoing.action, sim=outgoing.sim, key=outgoing.key, at=at
        ),
        admit=gate,
        context=context,
    )
    return SendOutcome(replace(outcome, exchanges=(*exchanges, *outcome.exchanges)), identity)


def identity_of(result: Identity | Unavailable) -> Identity | None:
    """What the question about Госуслуги came to. None: it was not our turn, ask another time.

    Any other trouble is `UNKNOWN`, which never stops a switch: an operator who refuses this question is not
    asked before every one.
    """
    if isinstance(result, Identity):
        return result
    if result.error == ErrorClass.RATE_LIMITED:
        return None
    return Identity(IdentityState.UNKNOWN)


@transaction.atomic
def record(outgoing: OutgoingCommand, answer: SendOutcome, *, at: datetime) -> None:
    """Write an answer down. An answer after the lease is still believed.

    The attempt number is the fence: where somebody else has sent the command anew, or decided it, the
    late answer changes nothing.
    """
    card = lock_card(SmartCard(pk=outgoing.card_id))
    if answer.identity is not None:
        card.identity, card.identity_at = answer.identity.state, at
        card.save(update_fields=["identity", "identity_at"])
    command = lock_command(
        card,
        pk=outgoing.command_id,
        state__in=[CommandState.SENDING, CommandState.CHECKING],
        attempts=outgoing.attempt,
    )
    if command is None:
        logger.warning("A late answer to command %s was not needed any more", outgoing.command_id)
        return
    outcomes.apply_submit(command, answer.call, at=at)


def release_stuck(*, at: datetime) -> int:
    """A dead worker's `sending` goes to `checking`, never back to `queued`. Returns how many."""
    stuck = Command.objects.filter(state=CommandState.SENDING, lease_until__lte=at)
    found = list(stuck.values_list("pk", "card_id")[:500])
    return sum(_release(pk, card_id, at) for pk, card_id in found)


@transaction.atomic
def _release(command_id: int, card_id: int, at: datetime) -> bool:
    card = lock_card(SmartCard(pk=card_id))
    command = (
        Command.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("account")
        .filter(pk=command_id, state=CommandState.SENDING, lease_until__lte=at)
        .first()
    )
    if command is None:
        return False
    command.card = card
    exchange_log.note_missing(
        account=command.account,
        iccid=card.iccid,
        command_id=command.pk,
        began_at=command.sent_at or command.created_at,
        at=at,
    )
    commands.ask_later(command, at=at, text=texts.NO_ANSWER)
    return True
