"""Asking operators what became of our requests, and how the cards are. Never sends a switch."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import BooleanField, Exists, ExpressionWrapper, F, OuterRef, Q

from operators import registry
from operators.client.http import CallContext
from operators.connections import CallOutcome, OperatorSession
from operators.limits.quota import QuotaGate, Urgency
from operators.models import OperatorAccount
from operators.ports import Action, Check, ErrorClass, Operator, OurCode, Reading, Sim, Unavailable
from smartcards import queries
from smartcards.dispatch import outcomes, state_sync
from smartcards.models import Command, SmartCard
from smartcards.services import lock_card, lock_command
from smartcards.states import (
    CLICKS,
    OPEN_COMMANDS,
    CommandState,
    Origin,
)

# A card whose reading failed is read again after this, not at once: it must not hold the others up.
READ_AGAIN = timedelta(hours=1)
_ASKED = (CommandState.ACCEPTED, CommandState.CHECKING)

Answer = Check | Reading


@dataclass(frozen=True)
class StatusQuery:
    """One question: about a command, or (without one) about a card.

    `by_request` asks what became of the request, otherwise the card's state is read. `state` and
    `attempt` are the command's when it was asked: the answer counts only while they are the same.
    """

    card_id: int
    sim: Sim
    urgency: Urgency
    asked_at: datetime
    command_id: int | None = None
    attempt: int = 0
    state: str = ""
    request_id: str = ""
    action: Action = Action.ACTIVATE
    sent_at: datetime | None = None
    by_request: bool = False


def next_due(
    *,
    account: OperatorAccount,
    at: datetime,
    asked: Collection[int] = (),
    origins: Collection[Origin] = tuple(Origin),
) -> StatusQuery | None:
    """The question whose time has come, without commands that are being asked about just now.

    As the commands themselves: a person's click before mass work, mass work before reconcile.
    """
    rows = Command.objects.filter(
        account=account, state__in=_ASKED, check_at__lte=at, origin__in=list(origins)
    )
    rows = rows.exclude(pk__in=list(asked)).order_by("origin", "check_at", "pk")
    # By itself the first one is found however many wait; a join would read them all.
    first = list(rows.values_list("pk", flat=True)[:1])
    command = Command.objects.select_related("card", "account").filter(pk__in=first).first()
    if command is None:
        return None
    capabilities = registry.capabilities(account.adapter, account.profile)
    by_state = outcomes.was_already_so(command) or (
        command.state == CommandState.CHECKING and outcomes.exact(command)
    )
    return StatusQuery(
        card_id=command.card_id,
        sim=Sim(iccid=command.card.iccid, msisdn=command.card.msisdn),
        urgency=Urgency.CLICK if command.origin in CLICKS else Urgency.MASS,
        asked_at=at,
        command_id=command.pk,
        attempt=command.attempts,
        state=command.state,
        request_id=command.request_id,
        action=Action(command.kind),
        sent_at=command.sent_at or command.created_at,
        by_request=not by_state and bool(command.request_id or capabilities.check_by_sim),
    )


def stale_cards(*, account: OperatorAccount, at: datetime, limit: int) -> list[StatusQuery]:
    """Cards whose reading is due, the longest due first; those in stock come last.

    None with a command on its way. A list of changes spares nobody this: it need not name a card that
    is held or gone, nor its IMEI. A card without a number is not asked about where the operator knows
    cards by nothing else.
    """
    busy = Exists(Command.objects.filter(card=OuterRef("pk"), state__in=OPEN_COMMANDS))
    due = Q(read_due_at=None) | Q(read_due_at__lte=at)
    rows = SmartCard.objects.filter(~busy, due, account=account)
    if queries.is_known_by_number(account):
        rows = rows.exclude(msisdn="")
    in_stock = ExpressionWrapper(Q(merchant=None), output_field=BooleanField())
    order = ("in_stock", F("read_due_at").asc(nulls_first=True), "pk")
    return [
        StatusQuery(
            card_id=row.pk,
            sim=Sim(iccid=row.iccid, msisdn=row.msisdn),
            urgency=Urgency.BACKGROUND,
            asked_at=at,
        )
        for row in rows.alias(in_stock=in_stock).order_by(*order)[:limit]
    ]


def ask(
    session: OperatorSession, query: StatusQuery, clock: Callable[[], datetime]
) -> CallOutcome[Answer]:
    """Call the operator, with no transaction open. Never raises."""
    return session.call(
        lambda operator: _answer(operator, query, clock()),
        admit=QuotaGate(session.account, query.urgency),
        context=CallContext(query.sim.iccid, query.command_id),
    )


def _answer(operator: Operator, query: StatusQuery, at: datetime) -> Answer:
    """By the request's number, else by the card, else the card's state. Raises `Unavailable`."""
    if not query.by_request:
        return operator.read_state(sim=query.sim)
    submitted_at = query.sent_at or at
    if query.request_id:
        return operator.check(
            request_id=query.request_id, sim=query.sim, submitted_at=submitted_at, at=at
        )
    return operator.check_by_sim(
        sim=query.sim, action=query.action, submitted_at=submitted_at, at=at
    )


@transaction.atomic
def record(query: StatusQuery, answer: CallOutcome[Answer], *, at: datetime) -> None:
    """Write an answer down, where nobody has decided the matter meanwhile."""
    card = lock_card(SmartCard(pk=query.card_id))
    if query.command_id is None:
        _record_card(card, query, answer.result, at)
        return
    asked = {"pk": query.command_id, "state": query.state, "attempts": query.attempt}
    command, result = lock_command(card, **asked), answer.result
    if command is None:
        return  # an event or staff decided it in the meantime
    if isinstance(result, Check):
        outcomes.apply_check(command, result, at=at)
    elif isinstance(result, Reading):
        outcomes.apply_reading(command, result, at=at)
    else:
        outcomes.apply_no_answer(command, result, at=at)


def _record_card(
    card: SmartCard, query: StatusQuery, result: Answer | Unavailable, at: datetime
) -> None:
    if state_sync.is_outdated(card, asked_at=query.asked_at):
        return
    if isinstance(result, Reading):
        state_sync.record_reading(card, result, at=at)
    elif isinstance(result, Unavailable) and result.code != OurCode.QUOTA:
        card.read_due_at = at + READ_AGAIN
        if result.error == ErrorClass.NOT_FOUND and card.lost_to_operator_at is None:
            card.lost_to_operator_at = at
        card.save(update_fields=["read_due_at", "lost_to_operator_at"])
