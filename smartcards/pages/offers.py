"""What a person may do with a card now: a button, or a button with the reason why not."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from cabinet import rules as roles
from cabinet.errors import Refused
from cabinet.states import Right, Role
from smartcards import rules
from smartcards.rules import CardFacts
from smartcards.states import CardState, CommandState, Confirmed


class Deed(StrEnum):
    """What a button asks for; the value ends the name of its address."""

    ACTIVATE = "activate"
    DEACTIVATE = "deactivate"
    CANCEL = "cancel"
    CHECK = "check"
    STAY_OFF = "stay_off"
    REPLACE = "replace"
    TAKE_BACK = "take_back"


@dataclass(frozen=True)
class Way:
    """A link to where the reason can be dealt with: its text and the name of the address."""

    text: str
    route: str


@dataclass(frozen=True)
class Offer:
    """A button. With a `reason` it is off and says why; `hint` tells what it is good for.

    `costs`: the deed has a price or a condition, and a page tells it first. `way`: where whoever reads
    the reason may do something about it.
    """

    deed: Deed
    reason: str = ""
    hint: str = ""
    costs: bool = False
    way: Way | None = None

    @property
    def text(self) -> str:
        """The word on the button."""
        return _TEXTS[self.deed]

    @property
    def route(self) -> str:
        """The name of the address."""
        return f"card_{_ROUTES.get(self.deed, self.deed)}"

    @property
    def asks_first(self) -> bool:
        """Whether a page of confirmation comes before the deed."""
        return self.costs or self.deed in {Deed.DEACTIVATE, Deed.STAY_OFF, Deed.REPLACE}

    @property
    def variant(self) -> str:
        """The look of the button."""
        return "primary" if self.deed in {Deed.ACTIVATE, Deed.REPLACE} else "secondary"


_TEXTS = {
    Deed.ACTIVATE: "Активировать",
    Deed.DEACTIVATE: "Деактивировать",
    Deed.CANCEL: "Отменить команду",
    Deed.CHECK: "Проверить ещё раз",
    Deed.STAY_OFF: "Не включать",
    Deed.REPLACE: "Заменить",
    Deed.TAKE_BACK: "Нашлась",
}
# To the service it is one deed: the wish is «off».
_ROUTES = {Deed.STAY_OFF: Deed.DEACTIVATE}
_UNDER_WAY = frozenset({CardState.ACTIVATING, CardState.DEACTIVATING})


def offers(facts: CardFacts, role: Role, *, readable: bool = False) -> tuple[Offer, ...]:
    """The deeds of a card in its state, the main one first; a card that was replaced has none.

    `readable`: the operator tells its cards' states, so a block of its own may be seen gone.
    """
    state = rules.card_state(facts)
    if facts.withdrawn:
        return tuple(offer for offer in _of_withdrawn(facts, role, state) if offer is not None)
    if state in _UNDER_WAY:
        return (_under_way(facts, role),)
    if state is CardState.UNCLEAR:
        return (check_offer(role), *_when_possible(facts, role, state))
    if state is CardState.ACTIVE:
        return (deactivate_offer(facts, role), *_stay_on(facts, role))
    ask = (_ask_about_block(role),) if readable and rules.foreign_block(facts) else ()
    return (activate_offer(facts, role), *ask, *_stay_off(facts, role))


def _ask_about_block(role: Role) -> Offer:
    return replace(check_offer(role), hint="Если оператор уже снял блокировку, увидим это сразу.")


def activate_offer(facts: CardFacts, role: Role) -> Offer:
    """«Активировать» with the sentence of the rule."""
    reason = _reason(lambda: rules.check_can_activate(facts, role))
    return Offer(Deed.ACTIVATE, reason, way=_way_to_pay(facts, role) if reason else None)


def _way_to_pay(facts: CardFacts, role: Role) -> Way | None:
    """Where a card that only lacks payment gets it, for whoever may go there."""
    off = rules.card_state(facts) in {CardState.NEW, CardState.INACTIVE}
    if facts.paid or not off or not roles.may(role, Right.ACTIVATE):
        return None
    if not facts.covered:
        return _CHOOSE if roles.may(role, Right.CHOOSE_CARDS) else None
    return _PAY if roles.may(role, Right.SEE_SUBSCRIPTION) else None


_CHOOSE = Way("Открыть раздел", "choose_cards")
_PAY = Way("Открыть подписку", "subscription")


def deactivate_offer(facts: CardFacts, role: Role) -> Offer:
    """«Деактивировать» with the sentence of the rule."""
    return Offer(Deed.DEACTIVATE, _reason(lambda: rules.check_can_deactivate(facts, role)))


def check_offer(role: Role) -> Offer:
    """«Проверить ещё раз»: for those who may switch cards on."""
    return Offer(Deed.CHECK, _reason(lambda: roles.check_may(role, Right.ACTIVATE)))


def _of_withdrawn(facts: CardFacts, role: Role, state: CardState) -> tuple[Offer | None, ...]:
    off = deactivate_offer(facts, role)
    return (
        None if facts.replaced else _replace_offer(facts, role),
        _take_back_offer(facts, role) if rules.can_come_back(facts) else None,
        check_offer(role) if state is CardState.UNCLEAR else None,
        off if facts.confirmed == Confirmed.ACTIVE and not off.reason else None,
    )


def _replace_offer(facts: CardFacts, role: Role) -> Offer:
    return Offer(Deed.REPLACE, _reason(lambda: rules.check_can_replace(facts, role)))


def _take_back_offer(facts: CardFacts, role: Role) -> Offer:
    return Offer(Deed.TAKE_BACK, _reason(lambda: rules.check_can_take_back(facts, role)))


def may_withdraw(facts: CardFacts, role: Role) -> bool:
    """Whether the way to «потеряна, украдена или сломана» is shown."""
    return not _reason(lambda: rules.check_can_withdraw(facts, role))


def _under_way(facts: CardFacts, role: Role) -> Offer:
    command = facts.open_command
    if command is not None and command.state == CommandState.QUEUED:
        return Offer(Deed.CANCEL, _reason(lambda: rules.check_can_cancel(facts, role)))
    return activate_offer(facts, role)


def _when_possible(facts: CardFacts, role: Role, state: CardState) -> tuple[Offer, ...]:
    if facts.open_command is not None:
        return ()
    both = (activate_offer(facts, role), deactivate_offer(facts, role))
    return tuple(offer for offer in both if not offer.reason)


def _stay_on(facts: CardFacts, role: Role) -> tuple[Offer, ...]:
    """The operator has it on and nobody here has asked for that: it may be kept so."""
    offer = Offer(
        Deed.ACTIVATE,
        activate_offer(facts, role).reason,
        hint="Чтобы смарт-карта осталась включённой.",
    )
    return () if offer.reason else (offer,)


def _stay_off(facts: CardFacts, role: Role) -> tuple[Offer, ...]:
    """It is off and would come back by itself: the wish may be taken back."""
    offer = Offer(
        Deed.STAY_OFF,
        deactivate_offer(facts, role).reason,
        hint="Чтобы смарт-карта не включилась сама, когда станет можно.",
    )
    return () if offer.reason else (offer,)


def _reason(check: Callable[[], None]) -> str:
    try:
        check()
    except Refused as refusal:
        return refusal.sentence
    return ""
