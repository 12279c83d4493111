"""Asking operators what became of our requests, and how the cards are. Never sends a switch."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q

from operators import quota
from operators.http import Exchange
from operators.models import OperatorAccount
from operators.ports import Action, Check, Operator, Reading, Sim, Unavailable
from operators.services import connect, note_exchanges
from smartcards import outcomes
from smartcards.models import Command, SmartCard
from smartcards.services import lock_card
from smartcards.states import OPEN_COMMANDS, CommandState

logger = logging.getLogger(__name__)

BATCH = 50
# Every card is read at least this often, paced over the day.
READ_EVERY = timedelta(hours=24)
READ_BATCH = 10
_BUDGET_SECONDS = 30


@dataclass(frozen=True)
class Answer:
    """What the operator said, or why it could not be asked."""

    check: Check | None = None
    reading: Reading | None = None
    unavailable: Unavailable | None = None


def ask_due(*, account: OperatorAccount, clock: Callable[[], datetime]) -> int:
    """Ask about every command of the account whose time for a question has come. Returns how many."""
    due = Command.objects.filter(
        account=account,
        state__in=[CommandState.ACCEPTED, CommandState.CHECKING],
        check_at__lte=clock(),
    ).order_by("check_at", "pk")
    heard: list[Exchange] = []
    operator = connect(account, heard=heard.append)
    ends_at = time.monotonic() + _BUDGET_SECONDS
    asked = 0
    for command in list(due.select_related("card", "account")[:BATCH]):
        if time.monotonic() > ends_at or not quota.turn_comes(account):
            break
        quota.note_call(account)
        answer = _ask(operator, command, clock())
        _record(command, answer, at=clock())
        asked += 1
    note_exchanges(account, heard)
    return asked


def _ask(operator: Operator, command: Command, at: datetime) -> Answer:
    """One question, with no transaction open: by number, else by card, else the card's state."""
    sim = Sim(iccid=command.card.iccid, msisdn=command.card.msisdn)
    sent_at = command.sent_at or command.created_at
    by_state = command.state == CommandState.CHECKING and outcomes.exact(command)
    try:
        if by_state:
            return Answer(reading=operator.read_state(sim=sim))
        if command.request_id:
            return Answer(
                check=operator.check(
                    request_id=command.request_id, sim=sim, submitted_at=sent_at, at=at
                )
            )
        if operator.capabilities.check_by_sim:
            return Answer(
                check=operator.check_by_sim(
                    sim=sim, action=Action(command.kind), submitted_at=sent_at, at=at
                )
            )
        return Answer(reading=operator.read_state(sim=sim))
    except Unavailable as trouble:
        return Answer(unavailable=trouble)


@transaction.atomic
def _record(asked: Command, answer: Answer, *, at: datetime) -> None:
    card = lock_card(asked.card)
    command = (
        Command.objects.select_for_update(of=("self",))
        .select_related("account")
        .filter(pk=asked.pk, state=asked.state, attempts=asked.attempts)
        .first()
    )
    if command is None:
        return  # a callback or staff decided it in the meantime
    if answer.check is not None:
        outcomes.apply_check(command, card, answer.check, at=at)
    elif answer.reading is not None:
        outcomes.apply_reading(command, card, answer.reading, at=at)
    else:
        waited = answer.unavailable is not None and answer.unavailable.code == "quota"
        command.questions += 0 if waited else 1
        _unanswered(command, answer.unavailable, at)


def _unanswered(command: Command, trouble: Unavailable | None, at: datetime) -> None:
    past_deadline = command.deadline_at is not None and at >= command.deadline_at
    if command.state == CommandState.ACCEPTED and past_deadline:
        outcomes.apply_deadline(command, at=at)
        return
    outcomes.ask_again(command, at=at, retry_after=trouble.retry_after if trouble else None)


def read_cards(
    *, account: OperatorAccount, clock: Callable[[], datetime], limit: int = READ_BATCH
) -> int:
    """Read the cards whose last reading is oldest, where the operator's reading can be relied on.

    Cards of merchants only, at most `limit`, none with a command on its way. Returns how many.
    """
    at = clock()
    busy = Exists(Command.objects.filter(card=OuterRef("pk"), state__in=OPEN_COMMANDS))
    stale = SmartCard.objects.filter(~busy, account=account, merchant__isnull=False).filter(
        Q(read_at=None) | Q(read_at__lte=at - READ_EVERY)
    )
    heard: list[Exchange] = []
    operator = connect(account, heard=heard.append)
    done = 0
    for card in list(stale.order_by(F("read_at").asc(nulls_first=True), "pk")[:limit]):
        if not quota.turn_comes(account):
            break
        quota.note_call(account)
        try:
            reading = operator.read_state(sim=Sim(iccid=card.iccid, msisdn=card.msisdn))
        except Unavailable as trouble:
            logger.warning("Could not read a card of %s: %s", account.code, trouble.error)
            _note_tried(card, clock())
            continue
        _note_read(card, reading, at=clock())
        done += 1
    note_exchanges(account, heard)
    return done


@transaction.atomic
def _note_read(seen: SmartCard, reading: Reading, *, at: datetime) -> None:
    card = lock_card(seen)
    if Command.objects.filter(card=card, state__in=OPEN_COMMANDS).exists():
        return  # somebody began to switch it while we were reading: the reading may be of before
    outcomes.note_reading(card, reading, at=at)


def _note_tried(card: SmartCard, at: datetime) -> None:
    """Read again in an hour, not at once: one card that cannot be read must not hold the others up."""
    SmartCard.objects.filter(pk=card.pk).update(read_at=at - READ_EVERY + timedelta(hours=1))
