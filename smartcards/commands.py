"""The life of a command: made here, moved here, and nowhere else.

Every function expects the caller's transaction and the caller's lock on the card.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F, Max

from cabinet import alerts, audit
from cabinet.actors import SYSTEM, Actor, operator
from cabinet.errors import Refused
from cabinet.wake import wake
from smartcards import lanes, phrases
from smartcards.models import Command, CommandStep, Coverage, SmartCard
from smartcards.states import (
    COMMAND_TRANSITIONS,
    OPEN_COMMANDS,
    CommandKind,
    CommandState,
    Confirmed,
    Origin,
    Told,
)
from smartcards.turns import take_turn


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
    ring: bool = True,
) -> Command:
    """A queued command with its first step; the dispatcher is woken after commit.

    A second open command for the card is refused by the database (`command_open_once_per_card`). Mass
    work gives `ring=False` and wakes the dispatcher once at its end.
    """
    [command] = create_many(cards=[card], kind=kind, origin=origin, by=by, at=at, reason=reason)
    if ring:
        lanes.wake_up(card.account, origin)
    return command


def create_many(
    *,
    cards: Sequence[SmartCard],
    kind: CommandKind,
    origin: Origin,
    by: Actor,
    at: datetime,
    reason: str = "",
) -> list[Command]:
    """One for each of these cards of one contract and one merchant, in turn; rings for nobody."""
    turn = take_turn(
        account_id=cards[0].account_id, merchant_id=cards[0].merchant_id, count=len(cards)
    )
    rows = Command.objects.bulk_create(
        Command(
            card=card,
            account_id=card.account_id,
            kind=kind,
            origin=origin,
            asked_by=by.name[:150],
            asked_by_kind=by.kind,
            reason=reason[:300],
            created_at=at,
            due_at=_not_before(card, at),
            turn=turn - behind,
        )
        for behind, card in zip(reversed(range(len(cards))), cards, strict=True)
    )
    CommandStep.objects.bulk_create(
        [CommandStep(command=row, state=row.state, at=at, text=reason[:300]) for row in rows]
    )
    return rows


def _not_before(card: SmartCard, at: datetime) -> datetime:
    """The contract's pause between two switches of one card."""
    pause = card.account.cooldown_seconds
    if not pause:
        return at
    last = Command.objects.filter(card=card, state=CommandState.DONE).aggregate(
        at=Max("finished_at")
    )["at"]
    return max(at, last + timedelta(seconds=pause)) if last else at


def move(
    command: Command, to: CommandState, *, at: datetime, text: str = "", **fields: object
) -> None:
    """Change the state by the table, set the fields, write the step.

    Raises WrongMove where the table has no such arrow. A command that is over lets its lease go.
    """
    if to not in COMMAND_TRANSITIONS[CommandState(command.state)]:
        raise WrongMove(f"Команда «{command}» не переходит из «{command.state}» в «{to}».")
    command.state = to
    for name, value in fields.items():
        setattr(command, name, value)
    if to not in OPEN_COMMANDS:
        command.finished_at = at
        command.check_at = None
        alerts.close_alert(key=f"command:{command.pk}", by=SYSTEM, at=at)
        alerts.close_alert(key=f"late:{command.pk}", by=SYSTEM, at=at)
    if to != CommandState.SENDING:
        command.lease_until = command.lease_token = None
    command.text = text[:300]
    command.save()
    _step(command, at, text)


def _step(command: Command, at: datetime, text: str) -> None:
    CommandStep.objects.create(command=command, state=command.state, at=at, text=text[:300])


def confirm(
    card: SmartCard,
    confirmed: Confirmed,
    *,
    told: Told,
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
    card.confirmed_from = told
    card.lost_to_operator_at = None
    card.save(update_fields=_CONFIRMED_FIELDS)
    if changed:
        audit.record(
            target=card,
            action="confirmed",
            text=_confirmed_sentence(confirmed),
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


def _note_silence(card: SmartCard, confirmed: Confirmed, known_on: datetime, at: datetime) -> None:
    """A card that was silent for long may be without data for a day though it is switched on.

    Networks hold such cards back since November 2025: it is told, and is no failure of the switch.
    """
    if confirmed != Confirmed.ACTIVE:
        card.may_hold_until = None
        if card.confirmed == Confirmed.ACTIVE:
            # Less than the network's patience is not worth the doubt.
            card.off_since = known_on if _is_long_ago(card, known_on, at) else at
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
    return _is_long_ago(card, card.off_since, at)


_OFF_THE_AIR = frozenset({Confirmed.INACTIVE, Confirmed.HELD, Confirmed.UNKNOWN})


def _is_long_ago(card: SmartCard, since: datetime, at: datetime) -> bool:
    return at - since >= timedelta(hours=card.account.silence_hours)


def _confirmed_sentence(confirmed: Confirmed) -> str:
    return {
        Confirmed.NEW: "Смарт-карта у оператора ещё не включалась",
        Confirmed.ACTIVE: "Смарт-карта работает",
        Confirmed.INACTIVE: "Смарт-карта отключена",
        Confirmed.HELD: "Смарт-карту удерживает оператор",
        Confirmed.RETIRED: "Смарт-карта списана оператором",
        Confirmed.UNKNOWN: "Состояние смарт-карты неизвестно",
    }[confirmed]


def finish_done(command: Command, card: SmartCard, *, told: Told, at: datetime) -> None:
    """The operator did it: the card is confirmed and the merchant's cards are compared again."""
    on = command.kind == CommandKind.ACTIVATE
    confirm(
        card,
        Confirmed.ACTIVE if on else Confirmed.INACTIVE,
        told=told,
        at=at,
        block_reason="" if on else "voluntary",
        by=operator(card.account.title),
    )
    move(command, CommandState.DONE, at=at, error="", code="")
    _compare_again([card], CommandKind(command.kind))


def begin_many(rows: Sequence[Command], *, at: datetime, until: datetime, token: UUID) -> None:
    """Queued commands leave together: one attempt more, a lease, a step; in four statements."""
    found = Command.objects.filter(pk__in=[row.pk for row in rows])
    found.update(
        state=CommandState.SENDING,
        attempts=F("attempts") + 1,
        sent_at=at,
        lease_until=until,
        lease_token=token,
        text="",
    )
    _steps(rows, CommandState.SENDING, at)


def finish_done_many(rows: Sequence[Command], *, at: datetime) -> None:
    """The plain ends together: sent commands of one account that the operator has done at once.

    The same rows as `finish_done` would write, in a handful of statements. The caller holds the locks
    of cards and commands.
    """
    for kind in {CommandKind(row.kind) for row in rows}:
        together = [row for row in rows if row.kind == kind]
        _confirm_many(together, kind, at)
        _compare_again([row.card for row in together], kind)
    Command.objects.filter(pk__in=[row.pk for row in rows]).update(
        state=CommandState.DONE,
        finished_at=at,
        check_at=None,
        lease_until=None,
        lease_token=None,
        text="",
        error="",
        code="",
    )
    _steps(rows, CommandState.DONE, at)
    keys = [f"late:{row.pk}" for row in rows] + [f"command:{row.pk}" for row in rows]
    alerts.close_alerts(keys=keys, by=SYSTEM, at=at)


def _confirm_many(rows: Sequence[Command], kind: CommandKind, at: datetime) -> None:
    on = kind == CommandKind.ACTIVATE
    confirmed = Confirmed.ACTIVE if on else Confirmed.INACTIVE
    cards = SmartCard.objects.filter(pk__in=[row.card_id for row in rows])
    if not on:  # the silence of the others began before
        cards.filter(confirmed=Confirmed.ACTIVE).update(off_since=at)
    cards.update(
        confirmed=confirmed,
        block_reason="" if on else "voluntary",
        confirmed_at=at,
        confirmed_from=Told.REQUEST,
        lost_to_operator_at=None,
        may_hold_until=None,
        **({"off_since": None} if on else {}),
    )
    silent = [row.card_id for row in rows if on and may_be_held(row.card, at)]
    if silent:
        held_until = at + timedelta(hours=rows[0].account.hold_hours)
        SmartCard.objects.filter(pk__in=silent).update(may_hold_until=held_until)
    audit.record_many(
        targets=[row.card for row in rows if row.card.confirmed != confirmed],
        action="confirmed",
        text=_confirmed_sentence(confirmed),
        by=operator(rows[0].account.title),
        at=at,
    )


def _steps(rows: Sequence[Command], state: CommandState, at: datetime) -> None:
    CommandStep.objects.bulk_create([CommandStep(command=row, state=state, at=at) for row in rows])


def finish_failed(
    command: Command, card: SmartCard, *, error: str, code: str = "", text: str = "", at: datetime
) -> None:
    """The operator did not do it, surely: the card stays as it was."""
    sentence = phrases.failure(error, code)
    move(command, CommandState.FAILED, at=at, text=sentence, error=error, code=code[:100])
    audit.record(
        target=card,
        action="command_failed",
        text=f"Не выполнено: {phrases.command_sentence(CommandKind(command.kind))}. {sentence}",
        by=operator(card.account.title),
        at=at,
        merchant_id=card.merchant_id,
        details={"error": error, "code": code, "text": text[:300]},
    )
    _compare_again([card], CommandKind(command.kind))


def cancel(command: Command, card: SmartCard, *, by: Actor, at: datetime, text: str) -> None:
    """Take a queued command back; nothing was sent."""
    move(command, CommandState.CANCELLED, at=at, text=text)
    audit.record(
        target=card,
        action="command_cancelled",
        text=f"Отменено: {phrases.command_sentence(CommandKind(command.kind))}",
        reason=text,
        by=by,
        at=at,
        merchant_id=card.merchant_id,
    )
    _compare_again([card], CommandKind(command.kind))


def ask_later(command: Command, *, at: datetime, text: str) -> None:
    """The outcome is not known: wait the operator's quiet time, then read, then decide."""
    quiet = timedelta(seconds=command.account.quiet_seconds)
    move(command, CommandState.CHECKING, at=at, text=text, check_at=at + quiet)


def hand_to_staff(command: Command, *, at: datetime, text: str) -> None:
    """Nobody can read the outcome: staff decide, and an alert says so."""
    move(command, CommandState.NEEDS_STAFF, at=at, text=text, check_at=None)
    alerts.raise_alert(
        key=f"command:{command.pk}",
        text=f"{command.account}: исход команды «{command}» неизвестен. {text}",
        at=at,
        merchant_id=command.card.merchant_id,
        link=f"/admin/smartcards/command/{command.pk}/change/",
    )


def _compare_again(cards: Sequence[SmartCard], kind: CommandKind) -> None:
    """Only where the wish has changed under way: otherwise there is nothing to compare.

    A card that is off and wished on comes on again only where it is paid.
    """
    on = kind == CommandKind.ACTIVATE
    owned = [card for card in cards if card.merchant_id is not None]
    changed = [card for card in owned if card.wished_on is not None and card.wished_on != on]
    if changed and not on:
        paid = Coverage.objects.filter(card__in=changed, till=None)
        held = set(paid.values_list("card_id", flat=True))
        changed = [card for card in changed if card.pk in held]
    for merchant_id in {card.merchant_id for card in changed}:
        wake("smartcards.reconcile_merchant", merchant_id=merchant_id)
