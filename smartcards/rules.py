"""What is true of a card and what may be done with it. Facts and time are arguments; no database."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cabinet.accounts import rules as roles
from cabinet.actors import Actor
from cabinet.enums import ActorKind, Right, Role
from cabinet.errors import Refused
from smartcards.states import (
    CardState,
    CommandKind,
    CommandState,
    OffReason,
    OperatorState,
    Origin,
    WithdrawalReason,
)

# Reasons of the operator that our «on» does not lift; `voluntary` is our own block.
FOREIGN_BLOCKS = {
    "debt": OffReason.OPERATOR,
    "fraud": OffReason.OPERATOR,
    "stolen": OffReason.OPERATOR,
    "operator": OffReason.OPERATOR,
    "law": OffReason.LAW,
    "limit": OffReason.LIMIT,
    "imei": OffReason.IMEI,
}
# After a failure that was nobody's decision the next try by itself waits this long.
_RETRY_AFTER = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=12),
    timedelta(hours=24),  # and so every day: what is paid for is never given up
)
# Repeating these by ourselves would only repeat the refusal: a person or staff must act first.
PERMANENT_ERRORS = frozenset(
    {"forbidden", "not_found", "invalid", "held_by_operator", "configuration", "unsupported"}
)

# So many switches of one action are clicks that somebody waits for; more of them are mass work, which
# leaves the operator's quota its share for the clicks of others.
FEW_CARDS = 5


class CardRefused(Refused):
    """The card is not in a state for this."""


class AlreadyAsked(CardRefused):
    """The same person has asked for the same before: no trouble, it is under way."""


@dataclass(frozen=True)
class OpenCommand:
    """The command that is on its way for a card."""

    kind: CommandKind
    state: CommandState
    asked_by: str
    created_at: datetime


@dataclass(frozen=True)
class CardFacts:
    """Everything the decisions about one card need.

    `withdrawn` is the reason («» for a card in use), `replaced`: another card has replaced it.
    `held_back`: it was silent for so long that the network may keep its data back for now.
    `not_over`: what pays for it has not ended, though perhaps not begun yet by our clock.
    """

    confirmed: OperatorState
    block_reason: str
    desired_on: bool | None
    desired_by_kind: str
    covered: bool
    entitled: bool
    open_command: OpenCommand | None = None
    withdrawn: str = ""
    replaced: bool = False
    held_back: bool = False
    not_over: bool = False

    @property
    def paid(self) -> bool:
        """Somebody pays for this card now."""
        return self.covered and self.entitled


def target_on(facts: CardFacts) -> bool:
    """Whether the card should work: desired on, covered and entitled."""
    return bool(facts.desired_on) and facts.paid


def may_stay_on(facts: CardFacts) -> bool:
    """Whether a card that works is left on: desired on, and what pays for it is not over.

    Paid time that has not begun yet, because a clock stepped back, never switches off.
    """
    return bool(facts.desired_on) and facts.covered and (facts.entitled or facts.not_over)


def card_state(facts: CardFacts) -> CardState:
    """The state that a person sees."""
    if facts.confirmed == OperatorState.RETIRED:
        return CardState.RETIRED
    if facts.open_command is not None:
        return _state_under_way(facts.open_command)
    if facts.withdrawn:
        return CardState.WITHDRAWN
    return {
        OperatorState.NEW: CardState.NEW,
        OperatorState.ACTIVE: CardState.ACTIVE,
        OperatorState.INACTIVE: CardState.INACTIVE,
        OperatorState.HELD: CardState.INACTIVE,
        OperatorState.UNKNOWN: CardState.UNCLEAR,
    }[facts.confirmed]


def _state_under_way(command: OpenCommand) -> CardState:
    if command.state in {CommandState.CHECKING, CommandState.NEEDS_STAFF}:
        return CardState.UNCLEAR
    if command.kind == CommandKind.ACTIVATE:
        return CardState.ACTIVATING
    return CardState.DEACTIVATING


def off_reason(facts: CardFacts) -> OffReason:
    """Why a card that is off is off: the operator's block first, then ours, then the money."""
    foreign = foreign_block(facts)
    if foreign is not None:
        return foreign
    if facts.desired_on is False:
        return OffReason.STAFF if facts.desired_by_kind == ActorKind.STAFF else OffReason.PERSON
    if facts.desired_on and not facts.paid:
        return OffReason.UNPAID
    return OffReason.UNKNOWN


def is_in(*states: CardState) -> Callable[[CardFacts], bool]:
    """The predicate of cards that a person sees in one of these states."""
    return lambda facts: card_state(facts) in states


def is_in_use(facts: CardFacts) -> bool:
    """Whether the card is neither withdrawn nor retired."""
    return not facts.withdrawn and card_state(facts) is not CardState.RETIRED


def lacks_payment(facts: CardFacts) -> bool:
    """It is chosen, should work, or does, and nobody pays for it."""
    if facts.paid or not is_in_use(facts):
        return False
    # Every card of an ended subscription is «не оплачена» in the list, so it is counted as such.
    return facts.covered or bool(facts.desired_on) or card_state(facts) is CardState.ACTIVE


def waits_unused(facts: CardFacts) -> bool:
    """It is paid and has never been switched on."""
    return card_state(facts) is CardState.NEW and facts.paid


def is_off_by_others(facts: CardFacts) -> bool:
    """Off by nobody's choice here, and paid."""
    off = card_state(facts) is CardState.INACTIVE
    return off and off_reason(facts) not in _OFF_BY_US and not lacks_payment(facts)


def is_unclear(facts: CardFacts) -> bool:
    """The operator is still asked what became of it."""
    return card_state(facts) is CardState.UNCLEAR and is_in_use(facts)


def is_held_back(facts: CardFacts) -> bool:
    """It works, and the network may keep its data back for a while: no failure, and it passes by itself."""
    return facts.held_back and card_state(facts) is CardState.ACTIVE


def needs_merchant(facts: CardFacts) -> bool:
    """Whether the merchant should look at this card."""
    return any(asks(facts) for asks in (lacks_payment, is_off_by_others, is_unclear))


_OFF_BY_US = frozenset({OffReason.PERSON, OffReason.STAFF, OffReason.UNPAID})


def foreign_block(facts: CardFacts) -> OffReason | None:
    """The operator's own block that we cannot lift, or None."""
    if not is_blocked(facts.confirmed, facts.block_reason):
        return None
    return FOREIGN_BLOCKS.get(facts.block_reason, OffReason.OPERATOR)


def is_blocked(confirmed: OperatorState, block_reason: str) -> bool:
    """Whether the operator itself holds the card off."""
    return confirmed == OperatorState.HELD or block_reason in FOREIGN_BLOCKS


def hold_reason(block_reason: str) -> str:
    """Why the operator holds a card: its own reason, «unknown» where it has named none.

    Our own block, from before, is no reason of the operator's.
    """
    return block_reason if block_reason in FOREIGN_BLOCKS else "unknown"


def check_can_ask_operator(facts: CardFacts, *, readable: bool) -> None:
    """Reading a card helps where its state is unclear, and where a readable operator holds it.

    Raises CardRefused.
    """
    command = facts.open_command
    unclear = command.state in _UNCLEAR if command else facts.confirmed == OperatorState.UNKNOWN
    held = command is None and readable and foreign_block(facts) is not None
    if not unclear and not held:
        raise CardRefused("По этой смарт-карте уточнять нечего: состояние известно.")


_UNCLEAR = frozenset({CommandState.CHECKING, CommandState.NEEDS_STAFF})


def check_can_activate(facts: CardFacts, role: Role | None, asker: Actor | None = None) -> None:
    """Raises NotAllowed or CardRefused with the sentence shown beside the button.

    `role` is None for staff and for the service itself. `asker` is whoever asks: one's own second click
    is an AlreadyAsked.
    """
    roles.check_may(role, Right.ACTIVATE)
    if facts.withdrawn:
        raise _withdrawn(facts)
    if facts.open_command is not None:
        raise _busy(facts.open_command, CommandKind.ACTIVATE, asker)
    if facts.confirmed == OperatorState.RETIRED:
        raise CardRefused("Смарт-карта списана, включить её нельзя. Закажите новую.")
    if facts.confirmed == OperatorState.ACTIVE and facts.desired_on:
        raise CardRefused("Смарт-карта уже работает.")
    if not facts.covered:
        raise CardRefused(
            "Смарт-карта не выбрана для оплаты. Сначала отметьте её в разделе «Выбрать карты»."
        )
    if not facts.entitled:
        raise CardRefused("Подписка не оплачена. Продлите её, и смарт-карту можно будет включить.")
    if is_blocked(facts.confirmed, facts.block_reason):
        reason = FOREIGN_BLOCKS.get(facts.block_reason, OffReason.OPERATOR)
        raise CardRefused(BLOCK_ADVICE[reason])


BLOCK_ADVICE: dict[OffReason, str] = {
    OffReason.OPERATOR: "Смарт-карту заблокировал оператор. "
    "Снять эту блокировку может только он: напишите нам, поможем.",
    OffReason.LAW: "Оператор ограничил связь по закону. Проверьте данные карты на Госуслугах или напишите нам.",
    OffReason.LIMIT: "Достигнут лимит трафика. Связь вернётся с новым периодом у оператора, или напишите нам.",
    OffReason.IMEI: "Смарт-карта вставлена в другой терминал. Верните её в прежний или напишите нам.",
}


def check_can_deactivate(facts: CardFacts, role: Role | None, asker: Actor | None = None) -> None:
    """As `check_can_activate`."""
    roles.check_may(role, Right.DEACTIVATE)
    if facts.open_command is not None:
        raise _busy(facts.open_command, CommandKind.DEACTIVATE, asker)
    if facts.confirmed == OperatorState.RETIRED:
        raise CardRefused("Смарт-карта списана.")
    if facts.confirmed == OperatorState.NEW and not facts.desired_on:
        raise CardRefused("Смарт-карта ещё не включалась.")
    if facts.confirmed in {OperatorState.INACTIVE, OperatorState.HELD} and not facts.desired_on:
        raise CardRefused("Смарт-карта уже отключена.")


def needs_command(facts: CardFacts, kind: CommandKind) -> bool:
    """Whether such a switch is sent to the operator; else only the decision changes."""
    if kind == CommandKind.ACTIVATE:
        return facts.confirmed != OperatorState.ACTIVE
    return facts.confirmed in MAY_BE_ON


LEFT_ALREADY = "Команда уже отправлена оператору, отменить её нельзя. Дождитесь ответа."


def check_can_cancel(facts: CardFacts, role: Role | None) -> None:
    """A command may be taken back while it waits in our queue, by whoever might have given it."""
    command = facts.open_command
    if facts.withdrawn:
        raise CardRefused("Смарт-карта выведена из работы: её отключение не отменяют.")
    if command is None or command.state != CommandState.QUEUED:
        raise CardRefused(LEFT_ALREADY)
    roles.check_may(
        role, Right.ACTIVATE if command.kind == CommandKind.ACTIVATE else Right.DEACTIVATE
    )


def _busy(command: OpenCommand, kind: CommandKind, asker: Actor | None) -> CardRefused:
    name = shown_name(asker.kind, asker.name) if asker else ""
    if asker and (command.kind, command.asked_by) == (kind, name):
        return AlreadyAsked(_ALREADY_ASKED[kind])
    verb = "Включение" if command.kind == CommandKind.ACTIVATE else "Отключение"
    return CardRefused(
        f"{verb} уже выполняется: его запросил(а) {command.asked_by}. Дождитесь ответа оператора."
    )


def shown_name(kind: str, name: str) -> str:
    """What a merchant reads of an actor: members of staff stay nameless."""
    return str(ActorKind.STAFF.label) if kind == ActorKind.STAFF else name


_ALREADY_ASKED = {
    CommandKind.ACTIVATE: "Запрос уже принят: включаем смарт-карту.",
    CommandKind.DEACTIVATE: "Запрос уже принят: отключаем смарт-карту.",
}


def _withdrawn(facts: CardFacts) -> CardRefused:
    advice = "Сначала нажмите «Нашлась»." if can_come_back(facts) else "Вместо неё нужна другая."
    return CardRefused(f"Смарт-карта выведена из работы: {withdrawal_label(facts)}. {advice}")


def check_may_choose(role: Role | None) -> None:
    """Which cards are paid, and where they are. Raises NotAllowed."""
    roles.check_may(role, Right.CHOOSE_CARDS)


def check_can_choose(facts: CardFacts) -> None:
    """Whether a card may be paid from now on. Raises CardRefused."""
    if facts.covered:
        raise CardRefused("Смарт-карта уже выбрана для оплаты.")
    if facts.confirmed == OperatorState.RETIRED:
        raise CardRefused("Смарт-карта списана, платить за неё незачем.")
    if facts.withdrawn:
        raise CardRefused("Смарт-карта выведена из работы, платить за неё незачем.")


def check_can_unchoose(facts: CardFacts) -> None:
    """Whether a card is paid, so that it can be left out. Raises CardRefused."""
    if not facts.covered:
        raise CardRefused("Смарт-карта и так не выбрана для оплаты.")


NOT_ENOUGH_PAID = "Не хватает оплаченных карт. Увеличьте их число в подписке."


def origin_of_a_choice(number: int) -> Origin:
    """Whose work it is to switch off so many cards of a merchant at once, as people have decided."""
    return Origin.PERSON if number <= FEW_CARDS else Origin.MASS


def is_mass_switch_off(number: int) -> bool:
    """Whether so many cards that people of one merchant switch off within an hour are mass work."""
    return number > FEW_CARDS


def withdrawal_label(facts: CardFacts) -> str:
    """«потеряна», «украдена» or «сломана»."""
    return str(WithdrawalReason(facts.withdrawn).label)


def check_can_withdraw(facts: CardFacts, role: Role | None) -> None:
    """A lost, stolen or broken card leaves use. Raises NotAllowed or CardRefused."""
    roles.check_may(role, Right.DEACTIVATE)
    if facts.confirmed == OperatorState.RETIRED:
        raise CardRefused("Смарт-карта списана оператором: выводить её уже незачем.")
    if facts.withdrawn:
        raise CardRefused(f"Смарт-карта уже выведена из работы: {withdrawal_label(facts)}.")


def can_come_back(facts: CardFacts) -> bool:
    """A lost card may be found, as long as no other has replaced it."""
    return facts.withdrawn == WithdrawalReason.LOST and not facts.replaced


def check_can_take_back(facts: CardFacts, role: Role | None) -> None:
    """«Нашлась». Raises NotAllowed or CardRefused."""
    roles.check_may(role, Right.DEACTIVATE)
    if not facts.withdrawn:
        raise CardRefused("Смарт-карта и так в работе.")
    if facts.replaced:
        raise CardRefused("Эту смарт-карту уже заменили другой.")
    if not can_come_back(facts):
        raise CardRefused("Вернуть можно только потерянную смарт-карту.")


def check_can_replace(facts: CardFacts, role: Role | None) -> None:
    """Another card replaces it. Raises NotAllowed or CardRefused."""
    roles.check_may(role, Right.CHOOSE_CARDS)
    if not facts.withdrawn:
        raise CardRefused("Сначала отметьте, что смарт-карта потеряна, украдена или сломана.")
    if facts.replaced:
        raise CardRefused("Эту смарт-карту уже заменили другой.")


def check_can_be_replacement(facts: CardFacts) -> None:
    """Whether this card may replace another: only a new one. Raises CardRefused."""
    if facts.withdrawn or facts.confirmed != OperatorState.NEW or facts.open_command is not None:
        raise CardRefused("Замена должна быть новой смарт-картой, которая ещё не включалась.")


def which_card(meant: Sequence[str]) -> str:
    """What to do about an ICCID that may mean either of these cards of ours, named by theirs."""
    return (
        f"Под этот ICCID подходят две смарт-карты: {' и '.join(meant)}. "
        "Они отличаются контрольной цифрой: введите ICCID нужной целиком."
    )


def number_is_taken(iccid: str) -> str:
    """Why a card does not get a telephone number that this one of ours bears."""
    return f"Этот номер записан у другой смарт-карты: {iccid}."


def wanted_now(
    kind: CommandKind,
    *,
    confirmed: OperatorState,
    desired_on: bool | None,
    paid: bool,
    not_over: bool = False,
) -> bool:
    """Whether a queued command is still wanted when its turn comes: it leads to the target (`target_on`).

    `not_over` as in `CardFacts`: nothing is switched off for that, and nothing on.
    """
    if confirmed == OperatorState.RETIRED:
        return False
    if kind == CommandKind.ACTIVATE:
        return bool(desired_on) and paid
    return not (desired_on and (paid or not_over))


def next_command(facts: CardFacts) -> CommandKind | None:
    """What reconcile would send: «on» where the target is on, «off» where it is not, else nothing.

    A card nobody has decided about, one with a command on its way, and one that the operator holds
    are left alone. One of which nothing is known is switched to what it should be: where it is so
    already, that changes nothing and shows it.
    """
    if facts.open_command is not None or facts.desired_on is None:
        return None
    if target_on(facts):
        off = facts.confirmed in MAY_BE_OFF and not is_blocked(facts.confirmed, facts.block_reason)
        return CommandKind.ACTIVATE if off else None
    may_be_on = facts.confirmed in MAY_BE_ON
    return CommandKind.DEACTIVATE if may_be_on and not may_stay_on(facts) else None


MAY_BE_OFF = frozenset({OperatorState.NEW, OperatorState.INACTIVE, OperatorState.UNKNOWN})
MAY_BE_ON = frozenset({OperatorState.ACTIVE, OperatorState.UNKNOWN})


def is_in_step(facts: CardFacts) -> bool:
    """Whether the card is as it should be, with nothing on its way; one that nobody decided about is."""
    if facts.open_command is not None:
        return False
    if facts.confirmed == OperatorState.RETIRED or facts.desired_on is None:
        return True
    if target_on(facts):
        return facts.confirmed == OperatorState.ACTIVE
    return may_stay_on(facts) or facts.confirmed not in MAY_BE_ON


def retry_at(*, error: str, failures: int, failed_at: datetime) -> datetime | None:
    """When reconcile tries again by itself after `failures` failures in a row; None: never.

    Where none of them counts any more it is at once.
    """
    if not failures:
        return failed_at
    if error in PERMANENT_ERRORS:
        return None
    return failed_at + _RETRY_AFTER[min(failures, len(_RETRY_AFTER)) - 1]


def may_repeat(*, error: str, failures: int, failed_at: datetime, at: datetime) -> bool:
    """Whether reconcile may try again by itself now."""
    due = retry_at(error=error, failures=failures, failed_at=failed_at)
    return due is not None and at >= due


def brake_limit(*, cards: int, percent: int, active: int, floor: int) -> int:
    """How many automatic switch-offs of one account an hour are let through.

    The share counts only from `floor` cards on: the last card of a small account is not a mass outage.
    """
    return min(cards, max(floor, active * percent // 100))
