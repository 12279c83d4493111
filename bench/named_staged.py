"""What the faults of operators have in common: cards of several contracts, clicks, and peace after all."""

from collections.abc import Sequence

from bench import rows, schedules
from bench.named_trial import Findings
from bench.schedules import Stage
from cabinet import clock
from operators.models import OperatorAccount
from smartcards import services
from smartcards.models import SmartCard


def undecided(
    stage: Stage, accounts: Sequence[OperatorAccount], number: int = 1
) -> list[SmartCard]:
    """Cards of these contracts, off and paid for, that nobody has decided about."""
    found: list[SmartCard] = []
    for account in accounts:
        found += rows.undecided(account, rows.merchant(number), number)
    rows.tell_sandbox(stage.sandbox, found)
    return found


def click(stage: Stage, cards: Sequence[SmartCard]) -> None:
    """A person wants each of them on, once."""
    stage.asked.clear()
    for card in cards:
        services.request_activation(card=card, by=schedules.OWNER, at=clock.now())
        stage.asked[card.pk] = 1


def peace(stage: Stage, cards: list[SmartCard], found: Findings) -> None:
    """All well again: each card on, once, and we know it."""
    stage.peace()
    stage.come_to_rest(cards)
    counted = stage.examine(cards)
    found.expect(
        counted.good, f"lost {counted.lost}, doubled {counted.doubled}, wrong {counted.wrong}"
    )
    found.wrong += list(counted.details)


def calls(stage: Stage, cards: Sequence[SmartCard], kind: str = "submit") -> list[int]:
    """How many requests of a kind the operator received about each card."""
    return [stage.truth(card)["calls"][kind] for card in cards]
