"""Asking operators what became of our requests, and how the cards are. Never sends a switch."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import BooleanField, Exists, ExpressionWrapper, F, OuterRef, Q

from operators.models import OperatorAccount
from operators.ports import (
    OUR_QUOTA,
    Action,
    Check,
    ErrorClass,
    Operator,
    Reading,
    Sim,
    Unavailable,
)
from operators.quota import Urgency
from smartcards import outcomes, queries, readings
from smartcards.dispatch import urgency_of
from smartcards.models import Command, SmartCard
from smartcards.services import lock_card
from smartcards.states import OPEN_COMMANDS, CommandState, Origin

logger = logging.getLogger(__name__)

# Every card is read at least this often, paced over the day.
READ_EVERY = timedelta(hours=24)
# A card whose reading failed is read again after this, not at once: it must not hold the others up.
READ_AGAIN = timedelta(hours=1)
_ASKED = (CommandState.ACCEPTED, CommandState.CHECKING)


@dataclass(frozen=True)
class Question:
    """One question: about a command, or (without one) about a card."""

    card_id: int
    sim: Sim
    urgency: Urgency
    command_id: int | None = None
    attempt: int = 0
    state: str = ""
    request_id: str = ""
    action: Action | None = None
    sent_at: datetime | None = None
    by_state: bool = False
    asked_at: datetime | None = None


@dataclass(frozen=True)
class Answer:
    """What the operator said, or why it could not be asked."""

    check: Check | None = None
    reading: Reading | None = None
    unavailable: Unavailable | None = None

    @property
    def trouble(self) -> Unavailable:
        """Why nothing is known; an answer without a word is such a trouble too."""
        return self.unavailable or Unavailable(ErrorClass.TRANSIENT, "", "")


def due(
    *,
    account: OperatorAccount,
    at: datetime,
    limit: int,
    asked: Collection[int] = (),
    origins: Collection[Origin] = tuple(Origin),
) -> list[Question]:
    """Questions about commands whose time has come, without those being asked just now.

    As the commands themselves: a person's click before mass work, mass work before reconcile.
    """
    rows = Command.objects.filter(
        account=account, state__in=_ASKED, check_at__lte=at, origin__in=list(origins)
    )
    rows = rows.exclude(pk__in=list(asked)).order_by("origin", "check_at", "pk")
    # By themselves the first ones are found however many wait; a join would read them all.
    first = list(rows.values_list("pk", flat=True)[:limit])
    found = rows.filter(pk__in=first).select_related("card", "account")
    return [_about_command(row) for row in found]


def _about_command(row: Command) -> Question:
    return Question(
        card_id=row.card_id,
        sim=Sim(iccid=row.card.iccid, msisdn=row.card.msisdn),
        urgency=urgency_of(row.origin),
        command_id=row.pk,
        attempt=row.attempts,
        state=row.state,
        request_id=row.request_id,
        action=Action(row.kind),
        sent_at=row.sent_at or row.created_at,
        by_state=row.state == CommandState.CHECKING and outcomes.exact(row),
    )


def stale_cards(
    *, account: OperatorAccount, at: datetime, limit: int, asked: Collection[int] = ()
) -> list[Question]:
    """Cards whose last reading is oldest, none with a command on its way; those in stock come last.

    A list of changes spares nobody this: it need not name a card that is held or gone, nor its IMEI. A
    card without a number is not asked about where the operator knows cards by nothing else.
    """
    busy = Exists(Command.objects.filter(card=OuterRef("pk"), state__in=OPEN_COMMANDS))
    rows = SmartCard.objects.filter(
        ~busy, Q(read_at=None) | Q(read_at__lte=at - READ_EVERY), account=account
    )
    if queries.is_known_by_number(account):
        rows = rows.exclude(msisdn="")
    in_stock = ExpressionWrapper(Q(merchant=None), output_field=BooleanField())
    told = rows.exclude(pk__in=list(asked)).alias(in_stock=in_stock)
    oldest_first = told.order_by("in_stock", F("read_at").asc(nulls_first=True), "pk")
    return [
        Question(
            card_id=row.pk,
            sim=Sim(iccid=row.iccid, msisdn=row.msisdn),
            urgency=Urgency.SPARE,
            asked_at=at,
        )
        for row in oldest_first[:limit]
    ]


def ask(operator: Operator, question: Question, at: datetime) -> Answer:
    """One question, with no transaction open: by number, else by card, else the card's state."""
    try:
        if question.action is None or question.by_state:
            return Answer(reading=operator.read_state(sim=question.sim))
        return _ask_about_request(operator, question, question.action, at)
    except Unavailable as trouble:
        return Answer(unavailable=trouble)


def _ask_about_request(
    operator: Operator, question: Question, action: Action, at: datetime
) -> Answer:
    sent_at = question.sent_at or at
    if question.request_id:
        found = operator.check(
            request_id=question.request_id, sim=question.sim, submitted_at=sent_at, at=at
        )
        return Answer(check=found)
    if operator.capabilities.check_by_sim:
        found = operator.check_by_sim(sim=question.sim, action=action, submitted_at=sent_at, at=at)
        return Answer(check=found)
    return Answer(reading=operator.read_state(sim=question.sim))


def record(answers: Sequence[tuple[Question, Answer]], *, at: datetime) -> None:
    """Write down what was answered, each in its own transaction: one bad row never holds the others."""
    for question, answer in answers:
        try:
            if question.command_id is None:
                _record_card(question, answer, at)
            else:
                _record_command(question, question.command_id, answer, at)
        except Exception:
            logger.exception("Could not record an answer about card %s", question.card_id)


@transaction.atomic
def _record_command(question: Question, command_id: int, answer: Answer, at: datetime) -> None:
    card = lock_card(SmartCard(pk=question.card_id))
    command = (
        Command.objects.select_for_update(of=("self",))
        .select_related("account")
        .filter(pk=command_id, state=question.state, attempts=question.attempt)
        .first()
    )
    if command is None:
        return  # a callback or staff decided it in the meantime
    if answer.check is not None:
        outcomes.apply_check(command, card, answer.check, at=at)
    elif answer.reading is not None:
        outcomes.apply_reading(command, card, answer.reading, at=at)
    else:
        outcomes.apply_silence(command, answer.trouble, at=at)


@transaction.atomic
def _record_card(question: Question, answer: Answer, at: datetime) -> None:
    card = lock_card(SmartCard(pk=question.card_id))
    if Command.objects.filter(card=card, state__in=OPEN_COMMANDS).exists():
        return  # somebody began to switch it while we were reading: the reading may be of before
    if question.asked_at and card.confirmed_at and card.confirmed_at > question.asked_at:
        return  # a switch was confirmed while we were reading: the reading is of before
    if answer.reading is not None:
        readings.note_reading(card, answer.reading, at=at)
    elif answer.trouble.code != OUR_QUOTA:
        _note_unread(card, answer.trouble, at)


def _note_unread(card: SmartCard, trouble: Unavailable, at: datetime) -> None:
    card.read_at = at - READ_EVERY + READ_AGAIN
    if trouble.error == ErrorClass.NOT_FOUND and card.lost_to_operator_at is None:
        card.lost_to_operator_at = at
    card.save(update_fields=["read_at", "lost_to_operator_at"])
