"""What people and staff do with cards. Each function is one transaction."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from cabinet import audit
from cabinet.accounts import rules as roles
from cabinet.actors import Actor
from cabinet.enums import ActorKind, Right
from cabinet.messaging import alerts
from cabinet.models import Merchant, Terminal
from cabinet.tasks import advisory_lock
from cabinet.tasks.task_queue import enqueue_on_commit
from operators.models import SECRETS
from smartcards import commands, queries, rules, texts
from smartcards.models import Command, SmartCard
from smartcards.rules import CardRefused
from smartcards.states import CommandKind, CommandState, Origin, StateSource


def lock_card(card: SmartCard, *, facts: bool = False) -> SmartCard:
    """The card as it is now with its account, locked till the end of the transaction.

    With `facts` also with all that `queries.facts_of` reads.
    """
    rows = SmartCard.objects.select_for_update(of=("self",))
    if facts:
        return queries.with_facts(rows).get(pk=card.pk)
    secrets = (f"account__{name}" for name in SECRETS)
    return rows.select_related("account").defer(*secrets).get(pk=card.pk)


def lock_card_named(iccid: str) -> SmartCard | None:
    """The card that these digits mean, locked; None where we have none (`queries.cards_spelled`).

    Raises CardRefused where two may be meant.
    """
    rows = SmartCard.objects.select_for_update(of=("self",)).order_by("pk")
    meant = queries.cards_spelled(rows, [iccid])[iccid]
    if len(meant) > 1:
        raise CardRefused(rules.which_card([card.iccid for card in meant]))
    return meant[0] if meant else None


def lock_command(card: SmartCard, **still: object) -> Command | None:
    """The locked card's command that is still so, with its account, locked too; None without one."""
    rows = Command.objects.select_for_update(of=("self",)).select_related("account")
    command = rows.filter(card=card, **still).first()
    if command is not None:
        command.card = card
    return command


_NUMBERS = "smartcards.numbers"


def lock_numbers() -> None:
    """Nobody else gives a card a telephone number until the end of the transaction.

    Two cards in use with one number, and an operator that finds cards by it would switch one where the other
    is meant. No constraint can say that: which operators do so stands in their adapters and descriptions; and
    whether a card is retired is the operator's word, which is written down whatever it is. So whoever writes
    a number takes this lock (after the card's) and then asks `queries.bearers_of`.
    """
    advisory_lock.acquire(_NUMBERS)


def lock_numbers_now() -> bool:
    """The same without waiting: False where somebody else writes numbers."""
    return advisory_lock.acquire_now(_NUMBERS)


@transaction.atomic
def request_activation(
    *, card: SmartCard, by: Actor, at: datetime, origin: Origin = Origin.PERSON, reason: str = ""
) -> Command | None:
    """Write down that the card is to be on, and queue the command.

    Returns None where the operator has the card on already and only the decision was missing. Raises
    NotAllowed or CardRefused; two people at once make one command, and the second reads who was first.
    Order of effects: desired state, command with its first step, audit, after commit the wake-up.
    """
    card = lock_card(card, facts=True)
    if origin == Origin.PERSON:
        card = _ahead_of_mass_work(card, by=by, at=at)
    facts = queries.facts_of(card, at)
    rules.check_can_activate(facts, by.role, by)
    set_desired_state(card, on=True, by=by, at=at)
    command = None
    if rules.needs_command(facts, CommandKind.ACTIVATE):
        command = commands.create(
            card=card, kind=CommandKind.ACTIVATE, origin=origin, by=by, at=at, reason=reason
        )
    audit.record(card, "activation_requested", "Запрошено включение", by=by, at=at, reason=reason)
    return command


@transaction.atomic
def request_deactivation(
    *, card: SmartCard, by: Actor, at: datetime, origin: Origin = Origin.PERSON, reason: str = ""
) -> Command | None:
    """Write down that the card is to be off, and queue the command; as `request_activation` otherwise.

    A click of a person is never braked. Staff must give a reason.
    """
    card = lock_card(card, facts=True)
    if origin == Origin.PERSON:
        card = _ahead_of_mass_work(card, by=by, at=at)
    facts = queries.facts_of(card, at)
    rules.check_can_deactivate(facts, by.role, by)
    if by.kind == ActorKind.STAFF and not reason:
        raise CardRefused("Укажите причину отключения: клиент увидит её на странице смарт-карты.")
    set_desired_state(card, on=False, by=by, at=at)
    command = None
    if rules.needs_command(facts, CommandKind.DEACTIVATE):
        command = commands.create(
            card=card, kind=CommandKind.DEACTIVATE, origin=origin, by=by, at=at, reason=reason
        )
    audit.record(
        card, "deactivation_requested", "Запрошено отключение", by=by, at=at, reason=reason
    )
    return command


def _ahead_of_mass_work(card: SmartCard, *, by: Actor, at: datetime) -> SmartCard:
    """The card without the command of a mass operation that has not left: a click on the card wins over it."""
    open_commands: list[Command] = getattr(card, "open_commands")  # noqa: B009 - set by Prefetch
    if not any(one.origin == Origin.MASS for one in open_commands):
        return card
    waiting = lock_command(card, state=CommandState.QUEUED, origin=Origin.MASS)
    if waiting is None:
        return card
    commands.cancel(waiting, by=by, at=at, text="Вместо неё выполняется отдельный запрос")
    return lock_card(card, facts=True)


@dataclass(frozen=True)
class Switched:
    """What became of a card in `request_switches`: the sentence of a refusal, or the command.

    None of both: the operator has the card so already, and only the decision was missing. `card` is as it
    was before.
    """

    card: SmartCard
    refusal: str = ""
    command: Command | None = None


@transaction.atomic
def request_switches(
    *,
    card_ids: Collection[int],
    kind: CommandKind,
    by: Actor,
    at: datetime,
    due_at: datetime,
    since: datetime,
    reason: str = "",
) -> list[Switched]:
    """`request_activation` or `request_deactivation` of many cards as mass work, in the order of their ids.

    Commands leave at `due_at`. A card about which somebody has decided after `since` is refused. Where a
    member of staff asks, the caller has seen that there is a `reason`.
    """
    locked = SmartCard.objects.select_for_update(of=("self",)).filter(pk__in=card_ids)
    cards = {card.pk: card for card in queries.with_facts(locked).order_by("pk")}
    facts = {pk: queries.facts_of(card, at) for pk, card in cards.items()}
    refused = {pk: _mass_refusal(card, facts[pk], kind, by, since) for pk, card in cards.items()}
    agreed = [card for pk, card in cards.items() if not refused[pk]]
    _set_desired_states(agreed, on=kind == CommandKind.ACTIVATE, by=by, at=at)
    lacking = [card for card in agreed if rules.needs_command(facts[card.pk], kind)]
    made = commands.create_many(
        cards=lacking, kind=kind, origin=Origin.MASS, by=by, at=at, reason=reason, due_at=due_at
    )
    audit.record_many(agreed, *_REQUESTED[kind], by=by, at=at, reason=reason)
    of_card = {command.card_id: command for command in made}
    return [Switched(card, refused[pk], of_card.get(pk)) for pk, card in cards.items()]


_REQUESTED = {
    CommandKind.ACTIVATE: ("activation_requested", "Запрошено включение"),
    CommandKind.DEACTIVATE: ("deactivation_requested", "Запрошено отключение"),
}


def _mass_refusal(
    card: SmartCard, facts: rules.CardFacts, kind: CommandKind, by: Actor, since: datetime
) -> str:
    """The sentence of the rule that refuses; empty where none does."""
    if card.desired_at is not None and card.desired_at > since:
        return "Позже о ней решили отдельно."
    check = rules.check_can_activate
    if kind == CommandKind.DEACTIVATE:
        check = rules.check_can_deactivate
    try:
        check(facts, by.role, by)
    except CardRefused as refusal:
        return refusal.sentence
    return ""


def _set_desired_states(cards: Collection[SmartCard], *, on: bool, by: Actor, at: datetime) -> None:
    """`set_desired_state` of many cards in one statement; the cards given stay as they were."""
    SmartCard.objects.filter(pk__in=[card.pk for card in cards]).update(
        desired_on=on, desired_at=at, desired_by=by.name[:150], desired_by_kind=by.kind
    )


@transaction.atomic
def cancel_command(
    *, card: SmartCard, by: Actor, at: datetime, command: Command | None = None
) -> None:
    """Take back the command that still waits in our queue; the desired state goes back with it.

    Where a `command` is named, this one and no other. Raises NotAllowed, and CardRefused where it has left
    already.
    """
    card = lock_card(card, facts=True)
    rules.check_can_cancel(queries.facts_of(card, at), by.role)
    waiting = lock_command(card, state=CommandState.QUEUED)
    if waiting is None or command not in {None, waiting}:
        raise CardRefused(rules.LEFT_ALREADY)
    if card.merchant_id is not None:  # nobody decides about a card in stock
        set_desired_state(card, on=waiting.kind == CommandKind.DEACTIVATE, by=by, at=at)
    text = f"Отменил(а) {rules.shown_name(by.kind, by.name)}"
    commands.cancel(waiting, by=by, at=at, text=text)


@transaction.atomic
def check_again(*, card: SmartCard, by: Actor, at: datetime) -> None:
    """«Проверить ещё раз»: ask the operator now.

    Raises NotAllowed, and CardRefused where nothing is unclear and no block is to be seen gone.
    """
    roles.check_may(by.role, Right.ACTIVATE)
    card = lock_card(card, facts=True)
    command = lock_command(card, state__in=[CommandState.CHECKING, CommandState.NEEDS_STAFF])
    if command is None:
        readable = queries.tells_state(card.account)
        rules.check_can_ask_operator(queries.facts_of(card, at), readable=readable)
        enqueue_on_commit("smartcards.read", account_id=card.account_id)
    elif command.state == CommandState.NEEDS_STAFF:
        commands.move(
            command,
            CommandState.CHECKING,
            at=at,
            text=f"Проверить ещё раз попросил(а) {rules.shown_name(by.kind, by.name)}",
            check_at=at,
        )
    else:
        # At once, but never within the operator's quiet time: what is read there may be of before.
        quiet_until = (command.sent_at or at) + timedelta(seconds=card.account.quiet_seconds)
        command.check_at = max(at, quiet_until)
        command.save(update_fields=["check_at"])
    card.read_due_at = None
    card.save(update_fields=["read_due_at"])
    audit.record(card, "asked_again", "Попросили уточнить состояние у оператора", by=by, at=at)
    enqueue_on_commit("smartcards.dispatch", account_id=card.account_id)


@transaction.atomic
def send_what_waits_for_keys(*, account_id: int, by: Actor, at: datetime) -> int:
    """The operator's keys are in order again: what waited for them is due now. Returns how many.

    Order of effects: due times, the alerts about the keys closed, after commit the wake-up.
    """
    waiting = Command.objects.filter(
        account=account_id, state=CommandState.QUEUED, error__in=texts.WAITS_FOR_STAFF
    )
    moved = waiting.filter(due_at__gt=at).update(due_at=at)
    for error in texts.WAITS_FOR_STAFF:
        alerts.close_alert(key=f"operator:account:{account_id}:{error}", by=by, at=at)
    enqueue_on_commit("smartcards.dispatch", account_id=account_id)
    return moved


@transaction.atomic
def settle_by_staff(*, command: Command, done: bool, reason: str, by: Actor, at: datetime) -> None:
    """Staff know the outcome (from the operator's cabinet or by phone) and write it down with a reason."""
    if not reason.strip():
        raise CardRefused("Укажите, откуда известен исход.")
    card = lock_card(command.card)
    waiting = lock_command(card, pk=command.pk, state=CommandState.NEEDS_STAFF)
    if waiting is None:
        raise CardRefused("Эта команда уже не ждёт решения.")
    waiting.reason = reason[:300]
    if done:
        commands.finish_done(waiting, source=StateSource.STAFF, at=at)
    else:
        commands.finish_failed(waiting, error="unknown_outcome", at=at)
    audit.record(
        card, "settled_by_staff", "Исход команды записан сотрудником", by=by, at=at, reason=reason
    )


@transaction.atomic
def assign_to_merchant(
    *, cards: Iterable[SmartCard], merchant: Merchant, by: Actor, at: datetime
) -> int:
    """Give stock cards to a merchant: they appear in the cabinet as «Новая». Returns how many.

    Raises CardRefused, and gives none, where one of them is not in stock any more.
    """
    ids = [card.pk for card in cards]
    locked = list(
        SmartCard.objects.select_for_update(of=("self",))
        .select_related("account")
        .filter(pk__in=ids)
        .order_by("pk")
    )
    taken = [card for card in locked if card.merchant_id is not None]
    if taken or len(locked) != len(set(ids)):
        raise CardRefused(
            "Часть смарт-карт уже не на складе. Обновите страницу и соберите заказ заново."
        )
    for card in locked:
        card.merchant = merchant
        card.handed_at = at
        card.save(update_fields=["merchant", "handed_at"])
        audit.record(card, "handed_over", "Смарт-карта передана клиенту", by=by, at=at)
    return len(locked)


@transaction.atomic
def update_label_and_terminal(
    *, card: SmartCard, label: str, terminal: Terminal | None, by: Actor, at: datetime
) -> None:
    """Set the label and the terminal of a card; the caller has checked whose terminal it is."""
    card = lock_card(card)
    if terminal is not None and terminal.merchant_id != card.merchant_id:
        raise CardRefused("Такой кассы у вас нет.")
    if (card.label, card.terminal_id) == (label, terminal.pk if terminal else None):
        return
    card.label = label[:100]
    card.terminal = terminal
    card.save(update_fields=["label", "terminal"])
    place = f"касса «{terminal.name}»" if terminal else "без кассы"
    audit.record(card, "described", f"Изменены подпись и место: {place}", by=by, at=at)


def set_desired_state(card: SmartCard, *, on: bool, by: Actor, at: datetime) -> None:
    """The last decision of a person about a card. Expects the caller's lock; the audit log is the caller's."""
    card.desired_on = on
    card.desired_at = at
    card.desired_by = by.name[:150]
    card.desired_by_kind = by.kind
    card.save(update_fields=["desired_on", "desired_at", "desired_by", "desired_by_kind"])
