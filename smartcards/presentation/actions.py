"""What a person may do with a card now: a button, or a button with the reason why not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from django.db.models import TextChoices

from cabinet.accounts import rules as roles
from cabinet.enums import Right, Role
from cabinet.errors import Refused
from smartcards import rules
from smartcards.rules import CardFacts
from smartcards.states import CardState, CommandState, OperatorState


class CardAction(TextChoices):
    """What a button asks for, and its text; the value ends the name of its address."""

    ACTIVATE = "activate", "Активировать"
    DEACTIVATE = "deactivate", "Деактивировать"
    CANCEL = "cancel", "Отменить команду"
    CHECK = "check", "Проверить ещё раз"
    STAY_OFF = "stay_off", "Не включать"
    REPLACE = "replace", "Заменить"
    TAKE_BACK = "take_back", "Нашлась"


_PRIMARY = frozenset({CardAction.ACTIVATE, CardAction.REPLACE})
_ASK_FIRST = frozenset({CardAction.DEACTIVATE, CardAction.STAY_OFF, CardAction.REPLACE})


@dataclass(frozen=True)
class HelpLink:
    """A link to where the reason can be dealt with: its text and the name of the address."""

    text: str
    route: str


@dataclass(frozen=True)
class ActionButton:
    """A button. With a `reason` it is disabled and shows why; `hint` explains its use.

    `costs`: the action has a price or a condition, shown on a page before it. `help_link`: where whoever reads
    the reason may do something about it.
    """

    action: CardAction
    reason: str = ""
    hint: str = ""
    costs: bool = False
    help_link: HelpLink | None = None

    @property
    def route(self) -> str:
        """The name of the address; for the service «Не включать» sets the desired state «off» too."""
        off = self.action is CardAction.STAY_OFF
        return f"card_{CardAction.DEACTIVATE.value if off else self.action.value}"

    @property
    def asks_first(self) -> bool:
        """Whether a page of confirmation comes before the action."""
        return self.costs or self.action in _ASK_FIRST

    @property
    def variant(self) -> str:
        """The look of the button."""
        return "primary" if self.action in _PRIMARY else "secondary"


_UNDER_WAY = frozenset({CardState.ACTIVATING, CardState.DEACTIVATING})


def action_buttons(
    facts: CardFacts, role: Role, *, readable: bool = False
) -> tuple[ActionButton, ...]:
    """The actions of a card in its state, the main one first; a card that was replaced has none.

    Whoever may switch nothing at all, an accountant, is shown no buttons rather than dead ones.
    `readable`: the operator reports the state of its cards, so the end of a block can be read.
    """
    if not any(roles.may(role, right) for right in (Right.ACTIVATE, Right.DEACTIVATE)):
        return ()
    state = rules.card_state(facts)
    if facts.withdrawn:
        return tuple(_of_withdrawn(facts, role, state))
    if state in _UNDER_WAY:
        return (_under_way(facts, role),)
    if state is CardState.UNCLEAR:
        return (check_button(role), *_when_possible(facts, role))
    if state is CardState.ACTIVE:
        return (deactivate_button(facts, role), *_stay_on(facts, role))
    ask: tuple[ActionButton, ...] = ()
    if readable and rules.foreign_block(facts):
        hint = "Если оператор уже снял блокировку, увидим это сразу."
        ask = (replace(check_button(role), hint=hint),)
    return (activate_button(facts, role), *ask, *_stay_off(facts, role))


def activate_button(facts: CardFacts, role: Role) -> ActionButton:
    """«Активировать» with the sentence of the rule."""
    button = _button(CardAction.ACTIVATE, partial(rules.check_can_activate, facts, role))
    return replace(button, help_link=_way_to_pay(facts, role)) if button.reason else button


def _way_to_pay(facts: CardFacts, role: Role) -> HelpLink | None:
    """Where a card that only lacks payment gets it, for whoever may go there."""
    off = rules.card_state(facts) in {CardState.NEW, CardState.INACTIVE}
    if facts.paid or not off or not roles.may(role, Right.ACTIVATE):
        return None
    if not facts.covered:
        may_choose = roles.may(role, Right.CHOOSE_CARDS)
        return HelpLink("Открыть раздел", "choose_cards") if may_choose else None
    may_pay = roles.may(role, Right.SEE_SUBSCRIPTION)
    return HelpLink("Открыть подписку", "subscription") if may_pay else None


def deactivate_button(facts: CardFacts, role: Role) -> ActionButton:
    """«Деактивировать» with the sentence of the rule."""
    return _button(CardAction.DEACTIVATE, partial(rules.check_can_deactivate, facts, role))


def check_button(role: Role) -> ActionButton:
    """«Проверить ещё раз»: for those who may switch cards on."""
    return _button(CardAction.CHECK, partial(roles.check_may, role, Right.ACTIVATE))


def _of_withdrawn(facts: CardFacts, role: Role, state: CardState) -> Iterator[ActionButton]:
    if not facts.replaced:
        yield _button(CardAction.REPLACE, partial(rules.check_can_replace, facts, role))
    if rules.can_come_back(facts):
        yield _button(CardAction.TAKE_BACK, partial(rules.check_can_take_back, facts, role))
    if state is CardState.UNCLEAR:
        yield check_button(role)
    off = deactivate_button(facts, role)
    if facts.confirmed == OperatorState.ACTIVE and not off.reason:
        yield off


def may_withdraw(facts: CardFacts, role: Role) -> bool:
    """Whether the way to «потеряна, украдена или сломана» is shown."""
    return not refusal_of(partial(rules.check_can_withdraw, facts, role))


def _under_way(facts: CardFacts, role: Role) -> ActionButton:
    command = facts.open_command
    if command is not None and command.state == CommandState.QUEUED:
        return _button(CardAction.CANCEL, partial(rules.check_can_cancel, facts, role))
    return activate_button(facts, role)


def _when_possible(facts: CardFacts, role: Role) -> tuple[ActionButton, ...]:
    if facts.open_command is not None:
        return ()
    both = (activate_button(facts, role), deactivate_button(facts, role))
    return tuple(button for button in both if not button.reason)


def _stay_on(facts: CardFacts, role: Role) -> tuple[ActionButton, ...]:
    """The operator has it on and nobody here has asked for that: it may be kept so."""
    hint = "Чтобы смарт-карта осталась включённой."
    reason = activate_button(facts, role).reason
    return () if reason else (ActionButton(CardAction.ACTIVATE, hint=hint),)


def _stay_off(facts: CardFacts, role: Role) -> tuple[ActionButton, ...]:
    """It is off and would come back by itself: the desired state may be set to off."""
    hint = "Чтобы смарт-карта не включилась сама, когда станет можно."
    reason = deactivate_button(facts, role).reason
    return () if reason else (ActionButton(CardAction.STAY_OFF, hint=hint),)


def _button(action: CardAction, check: Callable[[], None]) -> ActionButton:
    """The button, disabled with the sentence of the check where that refuses."""
    return ActionButton(action, refusal_of(check))


def refusal_of(check: Callable[[], None]) -> str:
    """The sentence with which a rule refuses; empty where it does not."""
    try:
        check()
    except Refused as refusal:
        return refusal.sentence
    return ""
