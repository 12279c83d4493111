"""The life of a command: made here, moved here, and nowhere else.

Every function expects the caller's transaction, and the card (a command's in `command.card`) locked by it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db import connection

from cabinet import audit
from cabinet.actors import SYSTEM, Actor
from cabinet.enums import ActorKind
from cabinet.errors import Refused
from cabinet.messaging import alerts
from cabinet.tasks.task_queue import enqueue_on_commit
from operators.models import OperatorAccount
from smartcards import queries, texts
from smartcards.models import Command, CommandStep, Coverage, SmartCard
from smartcards.states import (
    COMMAND_TRANSITIONS,
    OPEN_COMMANDS,
    AlertKind,
    CommandKind,
    CommandState,
    OperatorState,
    Origin,
    StateSource,
)

_ABOUT_COMMAND = (AlertKind.COMMAND_LATE, AlertKind.OUTCOME_UNKNOWN)


class WrongMove(Refused):
    """The table of transitions does not know this step."""


def create(
    *,
    card: SmartCard,
    kind: CommandKind,
    origin: Origin,
    by: Actor,
    at: datetime,
    reason: str = "",
    wake_dispatcher: bool = True,
) -> Command:
    """A queued command with its first step; the dispatcher is woken after commit.

    A second open command for the card is refused by the database (`command_open_once_per_card`). Mass
    work wakes the dispatcher itself, once at its end.
    """
    [command] = create_many(cards=[card], kind=kind, origin=origin, by=by, at=at, reason=reason)
    if wake_dispatcher:
        enqueue_on_commit("smartcards.dispatch", account_id=card.account_id)
    return command


def create_many(
    *,
    cards: Sequence[SmartCard],
    kind: CommandKind,
    origin: Origin,
    by: Actor,
    at: datetime,
    reason: str = "",
    due_at: datetime | None = None,
) -> list[Command]:
    """One for each of these cards, in turn within each contract and merchant; wakes nobody.

    `due_at`: none of them leaves before.
    """
    groups = Counter((card.account_id, card.merchant_id) for card in cards)
    last, behind = reserve_turns(groups), Counter(groups)
    allowed_at = queries.switches_allowed_at(cards)
    rows = []
    for card in cards:
        group = (card.account_id, card.merchant_id)
        behind[group] -= 1
        rows.append(
            Command(
                card=card,
                account_id=card.account_id,
                kind=kind,
                origin=origin,
                asked_by=by.name[:150],
                asked_by_kind=by.kind,
                reason=reason[:300],
                created_at=at,
                due_at=max(due_at or at, allowed_at.get(card.pk, at)),
                turn=last[group] - behind[group],
            )
        )
    rows = Command.objects.bulk_create(rows)
    CommandStep.objects.bulk_create(
        [CommandStep(command=row, state=row.state, at=at, text=reason[:300]) for row in rows]
    )
    return rows


# --- fair turns in an account's queue: start-time fair queueing -----------------------------------
# Ten thousand cards of a chain do not stand before one kiosk's card: a command's turn is one more than its
# merchant's last, but never before the turn that is being served. The claim takes the smallest turns first.

# In the order of the key, so that two who reserve for several merchants never wait for each other.
_RESERVE = """
INSERT INTO smartcards_fairshare AS share (account_id, merchant_id, turn)
SELECT account.id, asked.merchant, account.turn + asked.count
  FROM unnest(%(accounts)s::bigint[], %(merchants)s::bigint[], %(counts)s::bigint[])
    AS asked(account, merchant, count)
  JOIN operators_operatoraccount AS account ON account.id = asked.account
 ORDER BY account.id, asked.merchant
ON CONFLICT (account_id, merchant_id)
DO UPDATE SET turn = EXCLUDED.turn + GREATEST(0, share.turn -
    (SELECT turn FROM operators_operatoraccount WHERE id = share.account_id))
RETURNING account_id, merchant_id, turn
"""
# An operator account and a merchant, None for cards of nobody.
Queue = tuple[int, int | None]


def reserve_turns(counts: Mapping[Queue, int]) -> dict[Queue, int]:
    """The last of so many turns in a row in each queue; 0 for cards of nobody.

    Locks the merchants' rows of these accounts till the end of the caller's transaction.
    """
    asked = [(*key, count) for key, count in counts.items() if key[1] is not None]
    last: dict[Queue, int] = dict.fromkeys(counts, 0)
    if asked:
        columns = zip(("accounts", "merchants", "counts"), zip(*asked, strict=True), strict=True)
        with connection.cursor() as cursor:
            cursor.execute(_RESERVE, {name: list(values) for name, values in columns})
            last |= {(account, merchant): turn for account, merchant, turn in cursor.fetchall()}
    return last


def advance_fair_clock(*, account_id: int, turn: int) -> None:
    """The queue has come to this turn: newcomers stand behind it."""
    OperatorAccount.objects.filter(pk=account_id, turn__lt=turn).update(turn=turn)


# --- the life of a command ------------------------------------------------------------------------


def move(
    command: Command,
    to: CommandState,
    *,
    at: datetime,
    text: str = "",
    already_so: bool = False,
    **fields: object,
) -> None:
    """Change the state by the table, set the fields, write the step.

    `already_so`: the operator has answered that the card is so already, and is only read to be sure; any
    other check means that the outcome is unknown. Raises WrongMove where the table has no such arrow. A
    command that is over lets its lease go, and where something else is desired by now the merchant's
    cards are compared again.
    """
    if to not in COMMAND_TRANSITIONS[CommandState(command.state)]:
        raise WrongMove(f"Команда «{command}» не переходит из «{command.state}» в «{to}».")
    command.state = to
    for name, value in fields.items():
        setattr(command, name, value)
    if to not in OPEN_COMMANDS:
        command.finished_at = at
        command.check_at = None
        alerts.close_about(*_ABOUT_COMMAND, target_ids=[command.pk], by=SYSTEM, at=at)
        if _was_overtaken(command):
            enqueue_on_commit("smartcards.reconcile_merchant", merchant_id=command.card.merchant_id)
    if to == CommandState.CHECKING and not already_so and command.outcome_unknown_at is None:
        command.outcome_unknown_at = at
    if to != CommandState.SENDING:
        command.lease_until = command.lease_token = None
    command.text = text[:300]
    command.save()
    CommandStep.objects.create(command=command, state=command.state, at=at, text=text[:300])


def _was_overtaken(command: Command) -> bool:
    """Whether something else is desired by now than the command was for.

    A card that is off and desired on comes on again only where it is paid.
    """
    card, on = command.card, command.kind == CommandKind.ACTIVATE
    if card.merchant_id is None or card.desired_on is None or card.desired_on == on:
        return False
    return on or Coverage.objects.filter(card=card, till=None).exists()


def confirm(
    card: SmartCard,
    confirmed: OperatorState,
    *,
    source: StateSource,
    at: datetime,
    block_reason: str = "",
    by: Actor,
    known_on: datetime | None = None,
) -> None:
    """Write down what the operator says; a change is audited, the same word again is not.

    `known_on`: the last time that a card which is found off was known to be on; without it, just now.
    """
    changed = (card.confirmed, card.block_reason) != (confirmed, block_reason)
    before = card.confirmed
    _note_silence(card, confirmed, known_on or at, at)
    card.confirmed = confirmed
    card.block_reason = block_reason
    card.confirmed_at = at
    card.confirmed_from = source
    card.lost_to_operator_at = None
    card.save(update_fields=_CONFIRMED_FIELDS)
    if changed:
        audit.record(
            target=card,
            action="confirmed",
            text=_CONFIRMED_SENTENCES[confirmed],
            by=by,
            at=at,
            merchant_id=card.merchant_id,
            details={"before": before, "after": confirmed, "block_reason": block_reason},
        )


_CONFIRMED_FIELDS = [
    "confirmed",
    "block_reason",
    "confirmed_at",
    "confirmed_from",
    "lost_to_operator_at",
    "off_since",
    "may_hold_until",
]


def _note_silence(
    card: SmartCard, confirmed: OperatorState, known_on: datetime, at: datetime
) -> None:
    """A card that was silent for long may be without data for a day though it is switched on.

    Networks hold such cards back since November 2025: people are shown it, and it is no failure of the switch.
    """
    if confirmed != OperatorState.ACTIVE:
        card.may_hold_until = None
        if card.confirmed == OperatorState.ACTIVE:
            # Less than the network's patience is not worth the doubt.
            patience = timedelta(hours=card.account.silence_hours)
            card.off_since = known_on if at - known_on >= patience else at
        return
    if may_be_held(card, at):
        card.may_hold_until = at + timedelta(hours=card.account.hold_hours)
    card.off_since = None


def may_be_held(card: SmartCard, at: datetime) -> bool:
    """Whether the network may hold back a card that is switched on now.

    Also one that is off since nobody knows when: it was not known to be on within that time. A new one
    has never been on the air, so it has not fallen silent.
    """
    if card.off_since is None:
        return card.confirmed in _OFF_THE_AIR
    return at - card.off_since >= timedelta(hours=card.account.silence_hours)


_OFF_THE_AIR = frozenset({OperatorState.INACTIVE, OperatorState.HELD, OperatorState.UNKNOWN})


_CONFIRMED_SENTENCES = {
    OperatorState.NEW: "Смарт-карта у оператора ещё не включалась",
    OperatorState.ACTIVE: "Смарт-карта работает",
    OperatorState.INACTIVE: "Смарт-карта отключена",
    OperatorState.HELD: "Смарт-карту удерживает оператор",
    OperatorState.RETIRED: "Смарт-карта списана оператором",
    OperatorState.UNKNOWN: "Состояние смарт-карты неизвестно",
}


def finish_done(command: Command, *, source: StateSource, at: datetime) -> None:
    """The operator did it: the card is confirmed."""
    card, on = command.card, command.kind == CommandKind.ACTIVATE
    confirm(
        card,
        OperatorState.ACTIVE if on else OperatorState.INACTIVE,
        source=source,
        at=at,
        block_reason="" if on else "voluntary",
        by=Actor(ActorKind.OPERATOR, card.account.title),
    )
    move(command, CommandState.DONE, at=at, error="", code="")


def finish_failed(
    command: Command, *, error: str, code: str = "", text: str = "", at: datetime
) -> None:
    """The operator did not do it, surely: the card stays as it was."""
    card, sentence = command.card, texts.failure(error, code)
    move(command, CommandState.FAILED, at=at, text=sentence, error=error, code=code[:100])
    audit.record(
        target=card,
        action="command_failed",
        text=f"Не выполнено: {texts.command_sentence(CommandKind(command.kind))}. {sentence}",
        by=Actor(ActorKind.OPERATOR, card.account.title),
        at=at,
        merchant_id=card.merchant_id,
        details={"error": error, "code": code, "text": text[:300]},
    )


def take_over(command: Command, *, by: Actor, reason: str) -> None:
    """A queued command becomes that of a person, who is never braked; the dispatcher is woken after commit."""
    command.origin = Origin.PERSON
    command.asked_by, command.asked_by_kind = by.name[:150], by.kind
    command.reason = reason[:300]
    command.save(update_fields=["origin", "asked_by", "asked_by_kind", "reason"])
    enqueue_on_commit("smartcards.dispatch", account_id=command.account_id)


def cancel(command: Command, *, by: Actor, at: datetime, text: str) -> None:
    """Take a queued command back; nothing was sent."""
    move(command, CommandState.CANCELLED, at=at, text=text)
    audit.record(
        target=command.card,
        action="command_cancelled",
        text=f"Отменено: {texts.command_sentence(CommandKind(command.kind))}",
        reason=text,
        by=by,
        at=at,
        merchant_id=command.card.merchant_id,
    )


def cancel_many(rows: Sequence[Command], *, by: Actor, at: datetime, text: str) -> None:
    """`cancel` of many queued commands at once. Raises WrongMove where one of them is not queued.

    The desired state of their cards is what the caller has made it before.
    """
    if any(row.state != CommandState.QUEUED for row in rows):
        raise WrongMove("Отменить можно только то, что ещё не отправлено.")
    state = CommandState.CANCELLED
    Command.objects.filter(pk__in=[row.pk for row in rows]).update(
        state=state,
        finished_at=at,
        text=text[:300],
        lease_until=None,
        lease_token=None,
        check_at=None,
    )
    CommandStep.objects.bulk_create(
        [CommandStep(command=row, state=state, at=at, text=text[:300]) for row in rows]
    )
    alerts.close_about(*_ABOUT_COMMAND, target_ids=[row.pk for row in rows], by=SYSTEM, at=at)
    for kind in CommandKind:
        of_kind = [row.card for row in rows if row.kind == kind]
        sentence = f"Отменено: {texts.command_sentence(kind)}"
        audit.record_many(of_kind, "command_cancelled", sentence, by=by, at=at, reason=text)
    for merchant_id in {row.card.merchant_id for row in rows} - {None}:
        enqueue_on_commit("smartcards.reconcile_merchant", merchant_id=merchant_id)


def ask_later(command: Command, *, at: datetime, text: str) -> None:
    """The outcome is not known: wait the operator's quiet time, then read, then decide."""
    quiet = timedelta(seconds=command.account.quiet_seconds)
    move(command, CommandState.CHECKING, at=at, text=text, check_at=at + quiet)


def hand_to_staff(command: Command, *, at: datetime, text: str) -> None:
    """Nobody can read the outcome: staff decide, and an alert says so."""
    move(command, CommandState.NEEDS_STAFF, at=at, text=text, check_at=None)
    alerts.raise_about(
        AlertKind.OUTCOME_UNKNOWN,
        command.pk,
        text=f"{command.account}: исход команды «{command}» неизвестен. {text}",
        at=at,
        merchant_id=command.card.merchant_id,
        link=f"/admin/smartcards/command/{command.pk}/change/",
    )
