"""What would become of a card in a mass operation: asked of the same rules as a single click."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cabinet.actors import Actor
from smartcards import queries, rules
from smartcards.models import MassOperation, SmartCard
from smartcards.rules import CardFacts, CardRefused
from smartcards.states import MASS_SWITCHES, CommandKind, MassAction, OperatorState


@dataclass(frozen=True)
class Judged:
    """A `reason` why the card does not change; else what its switch costs, and whether it stops working."""

    reason: str = ""
    fee_kopecks: int = 0
    goes_dark: bool = False


def judge(operation: MassOperation, card: SmartCard, *, by: Actor, at: datetime) -> Judged:
    """Of a card that came through `queries.with_facts` with its terms; no query."""
    facts, action = queries.facts_of(card, at), MassAction(operation.action)
    try:
        _CHECKS[action](facts, by)
    except CardRefused as refusal:
        return Judged(reason=refusal.sentence)
    goes_dark = action in _SWITCH_OFF and facts.confirmed == OperatorState.ACTIVE
    kind = MASS_SWITCHES.get(action)
    if kind is None or not rules.needs_command(facts, kind):
        return Judged(goes_dark=goes_dark)
    return Judged(fee_kopecks=_fee(card, kind, at), goes_dark=goes_dark)


_SWITCH_OFF = frozenset({MassAction.DEACTIVATE, MassAction.UNCHOOSE})


def _fee(card: SmartCard, kind: CommandKind, at: datetime) -> int:
    terms = queries.switch_terms_of(card, at)
    on = kind == CommandKind.ACTIVATE
    return terms.activation_fee_kopecks if on else terms.deactivation_fee_kopecks


def _can_activate(facts: CardFacts, by: Actor) -> None:
    rules.check_can_activate(facts, by.role, by)


def _can_deactivate(facts: CardFacts, by: Actor) -> None:
    rules.check_can_deactivate(facts, by.role, by)


def _can_choose(facts: CardFacts, by: Actor) -> None:
    rules.check_may_choose(by.role)
    rules.check_can_choose(facts)


def _can_unchoose(facts: CardFacts, by: Actor) -> None:
    rules.check_may_choose(by.role)
    rules.check_can_unchoose(facts)


_CHECKS: dict[MassAction, Callable[[CardFacts, Actor], None]] = {
    MassAction.ACTIVATE: _can_activate,
    MassAction.DEACTIVATE: _can_deactivate,
    MassAction.CHOOSE: _can_choose,
    MassAction.UNCHOOSE: _can_unchoose,
}
