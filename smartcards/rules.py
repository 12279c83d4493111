"""What is true of a card and what may be done with it. Facts and time are arguments; no database."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cabinet import rules as roles
from cabinet.errors import Refused
from cabinet.states import ActorKind, Right, Role
from smartcards.states import (
    CardState,
    CommandKind,
    CommandState,
    Confirmed,
    Origin,
    WhyOff,
    Withdrawal,
)

# Reasons of the operator that our «on» does not lift; `voluntary` is our own block.
_FOREIGN_BLOCKS = {
    "debt": WhyOff.OPERATOR,
    "fraud": WhyOff.OPERATOR,
    "stolen": WhyOff.OPERATOR,
    "operator": WhyOff.OPERATOR,
    "law": WhyOff.LAW,
    "limit": WhyOff.LIMIT,
    "imei": WhyOff.IMEI,
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

# So many switches of one deed are clicks that somebody waits for; more of them are mass work, which
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

    `withdrawn` is the reason («» for a card in use), `replaced` says that another card stands in for it.
    `held_back`: it was silent for so long that the network may keep its data back for now.
    """

    confirmed: Confirmed
    block_reason: str
    wished_on: bool | None
    wished_by_kind: str
    covered: bool
    entitled: bool
    open_command: OpenCommand | None = None
    withdrawn: str = ""
    replaced: bool = False
    held_back: bool = False

    @property
    def paid(self) -> bool:
        """Somebody pays for this card now."""
        return self.covered and self.entitled


def target_on(facts: CardFacts) -> bool:
    """Whether the card should work: wished on, covered and entitled."""
    return bool(facts.wished_on) and facts.paid


def card_state(facts: CardFacts) -> CardState:
    """The one word a person sees."""
    if facts.confirmed == Confirmed.RETIRED:
        return CardState.RETIRED
    if facts.open_command is not None:
        return _state_under_way(facts.open_command)
    if facts.withdrawn:
        return CardState.WITHDRAWN
    return {
        Confirmed.NEW: CardState.NEW,
        Confirmed.ACTIVE: CardState.ACTIVE,
        Confirmed.INACTIVE: CardState.INACTIVE,
        Confirmed.HELD: CardState.INACTIVE,
        Confirmed.UNKNOWN: CardState.UNCLEAR,
    }[facts.confirmed]


def _state_under_way(command: OpenCommand) -> CardState:
    if command.state in {CommandState.CHECKING, CommandState.NEEDS_STAFF}:
        return CardState.UNCLEAR
    if command.kind == CommandKind.ACTIVATE:
        return CardState.ACTIVATING
    return CardState.DEACTIVATING


def why_off(facts: CardFacts) -> WhyOff:
    """Why a card that is off is off: the operator's block first, then ours, then the money."""
    foreign = foreign_block(facts)
    if foreign is not None:
        return foreign
    if facts.wished_on is False:
        return WhyOff.STAFF if facts.wished_by_kind == ActorKind.STAFF else WhyOff.PERSON
    if facts.wished_on and not facts.paid:
        return WhyOff.UNPAID
    return WhyOff.UNKNOWN


def foreign_block(facts: CardFacts) -> WhyOff | None:
    """The operator's own block that we cannot lift, or None."""
    if not is_blocked(facts.confirmed, facts.block_reason):
        return None
    return _FOREIGN_BLOCKS.get(facts.block_reason, WhyOff.OPERATOR)


def is_blocked(confirmed: Confirmed, block_reason: str) -> bool:
    """Whether the operator itself holds the card off."""
    return confirmed == Confirmed.HELD or block_reason in _FOREIGN_BLOCKS


def hold_reason(block_reason: str) -> str:
    """Why the operator holds a card: its own reason, «unknown» where it has named none.

    Our own block, from before, is no reason of the operator's.
    """
    return block_reason if block_reason in _FOREIGN_BLOCKS else "unknown"


def check_can_ask_operator(facts: CardFacts, *, readable: bool) -> None:
    """Asking how a card is helps where it is unclear, and where an operator that tells it holds it.

    Raises CardRefused.
    """
    command = facts.open_command
    unclear = command.state in _UNCLEAR if command else facts.confirmed == Confirmed.UNKNOWN
    held = command is None and readable and foreign_block(facts) is not None
    if not unclear and not held:
        raise CardRefused("По этой смарт-карте уточнять нечего: состояние известно.")


_UNCLEAR = frozenset({CommandState.CHECKING, CommandState.NEEDS_STAFF})


def check_can_activate(facts: CardFacts, role: Role | None, asker: str = "") -> None:
    """Raises NotAllowed or CardRefused with the sentence shown beside the button.

    `role` is None for staff and for the service itself. `asker` is the name of whoever asks: one's own
    second click is an AlreadyAsked.
    """
    _check_role(role, Right.ACTIVATE)
    _check_in_use(facts)
    _check_not_busy(facts, CommandKind.ACTIVATE, asker)
    if facts.confirmed == Confirmed.RETIRED:
        raise CardRefused("Смарт-карта списана, включить её нельзя. Закажите новую.")
    if facts.confirmed == Confirmed.ACTIVE and facts.wished_on:
        raise CardRefused("Смарт-карта уже работает.")
    if not facts.covered:
        raise CardRefused(
            "Смарт-карта не выбрана для оплаты. Сначала отметьте её в разделе «Выбрать карты»."
        )
    if not facts.entitled:
        raise CardRefused("Подписка не оплачена. Продлите её, и смарт-карту можно будет включить.")
    block = foreign_block(facts)
    if block is not None:
        raise CardRefused(BLOCK_ADVICE[block])


BLOCK_ADVICE: dict[WhyOff, str] = {
    WhyOff.OPERATOR: "Смарт-карту заблокировал оператор. Снять эту блокировку может только он: напишите нам, поможем.",
    WhyOff.LAW: "Оператор ограничил связь по закону. Проверьте данные карты на Госуслугах или напишите нам.",
    WhyOff.LIMIT: "Достигнут лимит трафика. Связь вернётся с новым периодом у оператора, или напишите нам.",
    WhyOff.IMEI: "Смарт-карта вставлена в другой терминал. Верните её в прежний или напишите нам.",
}


def check_can_deactivate(facts: CardFacts, role: Role | None, asker: str = "") -> None:
    """As `check_can_activate`."""
    _check_role(role, Right.DEACTIVATE)
    _check_not_busy(facts, CommandKind.DEACTIVATE, asker)
    if facts.confirmed == Confirmed.RETIRED:
        raise CardRefused("Смарт-карта списана.")
    if facts.confirmed == Confirmed.NEW and not facts.wished_on:
        raise CardRefused("Смарт-карта ещё не включалась.")
    if facts.confirmed in {Confirmed.INACTIVE, Confirmed.HELD} and not facts.wished_on:
        raise CardRefused("Смарт-карта уже отключена.")


def check_can_cancel(facts: CardFacts, role: Role | None) -> None:
    """A command may be taken back while it waits in our queue, by whoever might have given it."""
    command = facts.open_command
    if facts.withdrawn:
        raise CardRefused("Смарт-карта выведена из работы: её отключение не отменяют.")
    if command is None or command.state != CommandState.QUEUED:
        raise CardRefused("Команда уже отправлена оператору, отменить её нельзя. Дождитесь ответа.")
    _check_role(role, Right.ACTIVATE if command.kind == CommandKind.ACTIVATE else Right.DEACTIVATE)


def _check_role(role: Role | None, right: Right) -> None:
    if role is not None:
        roles.check_may(role, right)


def _check_not_busy(facts: CardFacts, kind: CommandKind, asker: str) -> None:
    command = facts.open_command
    if command is None:
        return
    if asker and (command.kind, command.asked_by) == (kind, asker):
        raise AlreadyAsked(_ALREADY_ASKED[kind])
    verb = "Включение" if command.kind == CommandKind.ACTIVATE else "Отключение"
    raise CardRefused(
        f"{verb} уже выполняется: его запросил(а) {command.asked_by}. Дождитесь ответа оператора."
    )


_ALREADY_ASKED = {
    CommandKind.ACTIVATE: "Запрос уже принят: включаем смарт-карту.",
    CommandKind.DEACTIVATE: "Запрос уже принят: отключаем смарт-карту.",
}


def _check_in_use(facts: CardFacts) -> None:
    if not facts.withdrawn:
        return
    advice = "Сначала нажмите «Нашлась»." if can_come_back(facts) else "Вместо неё нужна другая."
    raise CardRefused(f"Смарт-карта выведена из работы: {withdrawn_word(facts)}. {advice}")


def check_may_ask(role: Role | None) -> None:
    """Asking the operator anew is for those who may switch cards on. Raises NotAllowed."""
    _check_role(role, Right.ACTIVATE)


def check_may_choose(role: Role | None) -> None:
    """Which cards are paid, and where they are. Raises NotAllowed."""
    _check_role(role, Right.CHOOSE_CARDS)


def origin_of_a_choice(number: int) -> Origin:
    """Whose work it is to switch off so many cards that one deed of a person left without a place."""
    return Origin.PERSON if number <= FEW_CARDS else Origin.MASS


def withdrawn_word(facts: CardFacts) -> str:
    """«потеряна», «украдена» or «сломана»."""
    return str(Withdrawal(facts.withdrawn).label)


def check_can_withdraw(facts: CardFacts, role: Role | None) -> None:
    """A lost, stolen or broken card leaves use. Raises NotAllowed or CardRefused."""
    _check_role(role, Right.DEACTIVATE)
    if facts.confirmed == Confirmed.RETIRED:
        raise CardRefused("Смарт-карта списана оператором: выводить её уже незачем.")
    if facts.withdrawn:
        raise CardRefused(f"Смарт-карта уже выведена из работы: {withdrawn_word(facts)}.")


def can_come_back(facts: CardFacts) -> bool:
    """A lost card may be found, as long as no other stands in for it."""
    return facts.withdrawn == Withdrawal.LOST and not facts.replaced


def check_can_take_back(facts: CardFacts, role: Role | None) -> None:
    """«Нашлась». Raises NotAllowed or CardRefused."""
    _check_role(role, Right.DEACTIVATE)
    if not facts.withdrawn:
        raise CardRefused("Смарт-карта и так в работе.")
    if facts.replaced:
        raise CardRefused("Эту смарт-карту уже заменили другой.")
    if not can_come_back(facts):
        raise CardRefused("Вернуть можно только потерянную смарт-карту.")


def check_can_replace(facts: CardFacts, role: Role | None) -> None:
    """Another card takes its place. Raises NotAllowed or CardRefused."""
    _check_role(role, Right.CHOOSE_CARDS)
    if not facts.withdrawn:
        raise CardRefused("Сначала отметьте, что смарт-карта потеряна, украдена или сломана.")
    if facts.replaced:
        raise CardRefused("Эту смарт-карту уже заменили другой.")


def check_can_stand_in(facts: CardFacts) -> None:
    """Whether this card may take the place of another: only a new one. Raises CardRefused."""
    if facts.withdrawn or facts.confirmed != Confirmed.NEW or facts.open_command is not None:
        raise CardRefused("Замена должна быть новой смарт-картой, которая ещё не включалась.")


def wanted_now(facts: CardFacts, kind: CommandKind) -> bool:
    """Whether a queued command is still wanted when its turn comes."""
    if facts.confirmed == Confirmed.RETIRED:
        return False
    return target_on(facts) == (kind == CommandKind.ACTIVATE)


def next_command(facts: CardFacts) -> CommandKind | None:
    """What reconcile would send: «on» where the target is on, «off» where it is not, else nothing.

    A card nobody has decided about, one with a command on its way, and one that the operator holds
    are left alone. One of which nothing is known is switched to what it should be: where it is so
    already, that changes nothing and shows it.
    """
    if facts.open_command is not None or facts.wished_on is None:
        return None
    if target_on(facts):
        off = facts.confirmed in _MAY_BE_OFF and foreign_block(facts) is None
        return CommandKind.ACTIVATE if off else None
    return CommandKind.DEACTIVATE if facts.confirmed in _MAY_BE_ON else None


_MAY_BE_OFF = frozenset({Confirmed.NEW, Confirmed.INACTIVE, Confirmed.UNKNOWN})
_MAY_BE_ON = frozenset({Confirmed.ACTIVE, Confirmed.UNKNOWN})


def is_in_step(facts: CardFacts) -> bool:
    """Whether the card is as it should be, with nothing on its way; one that nobody decided about is."""
    if facts.open_command is not None:
        return False
    if facts.confirmed == Confirmed.RETIRED or facts.wished_on is None:
        return True
    if target_on(facts):
        return facts.confirmed == Confirmed.ACTIVE
    return facts.confirmed not in _MAY_BE_ON


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

    The share counts only from `floor` cards on: the last card of a small account is no catastrophe.
    """
    return min(cards, max(floor, active * percent // 100))
