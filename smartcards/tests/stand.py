"""A merchant's cards, the outbox and a played operator, with a clock that the test moves."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings

from cabinet import clock
from cabinet.models import Merchant
from operators import quota
from operators.lanes import Lane
from operators.models import OperatorAccount
from operators.ports import Sim
from operators.tests.bench import Bench, running
from smartcards import dispatch, line, services
from smartcards.models import Command, SmartCard
from smartcards.states import Confirmed
from smartcards.tests.cards import (
    OWNER,
    cover,
    make_account,
    make_card,
    make_live_subscription,
    make_merchant,
)
from subscriptions.models import Subscription

CREDENTIALS = {
    "mts": {"key": "demo-key", "secret": "demo-secret"},
    "tmf640": {"token": "demo-partner-token"},
}


class MovedClock:
    """Real time moved by the test; callable as the doors' clock is."""

    def __init__(self) -> None:
        self._offset = timedelta(0)

    def __call__(self) -> datetime:
        return clock.real_now() + self._offset

    def pass_(self, **length: float) -> None:
        self._offset += timedelta(**length)


@dataclass
class Stand:
    """One operator account and one merchant with a live subscription."""

    bench: Bench
    account: OperatorAccount
    merchant: Merchant
    subscription: Subscription
    clock: MovedClock

    def card(
        self, *, state: str = "inactive", wished_on: bool | None = None, covered: bool = True
    ) -> SmartCard:
        """A card that we and the operator see alike."""
        confirmed = {
            "inactive": Confirmed.INACTIVE,
            "active": Confirmed.ACTIVE,
            "new": Confirmed.NEW,
        }[state]
        card = make_card(
            self.merchant, account=self.account, confirmed=confirmed, wished_on=wished_on
        )
        self.bench.put(Sim(card.iccid, card.msisdn), state=state)
        if covered:
            cover(card, self.subscription, since=self.clock() - timedelta(hours=1))
        return card

    def activate(self, card: SmartCard) -> Command:
        command = services.request_activation(card=card, by=OWNER, at=self.clock())
        assert command is not None
        return command

    def deactivate(self, card: SmartCard) -> Command:
        command = services.request_deactivation(card=card, by=OWNER, at=self.clock())
        assert command is not None
        return command

    def work(self, *, lane: Lane = Lane.MAIN) -> tuple[int, int]:
        """What a worker does at one wake-up: how many letters and questions."""
        return line.work(account_id=self.account.pk, clock=self.clock, lane=lane)

    def end_pause(self) -> None:
        """The pause that the operator asked for is over; Redis counts it by a clock of its own."""
        quota.client(settings.REDIS_URL).delete(f"quota:{self.account.code}:pause")

    def run(self, **length: float) -> None:
        """Let so much time pass, then do what the sweep and the workers would do."""
        self.clock.pass_(**length)
        dispatch.release_stuck(at=self.clock())
        self.work()

    def effects(self, card: SmartCard) -> list[str]:
        return self.bench.actions(Sim(card.iccid, card.msisdn))

    def calls(self, card: SmartCard) -> dict[str, int]:
        counted: dict[str, int] = self.bench.state(Sim(card.iccid, card.msisdn))["calls"]
        return counted


@contextmanager
def standing(code: str, folder: Path, **fields: Any) -> Iterator[Stand]:
    """A stand on a running sandbox; `fields` change the account."""
    # Tokens of a played operator that is gone would be tried first.
    quota.client(settings.REDIS_URL).flushdb()
    with running(code, CREDENTIALS[code], folder / "sandbox.json") as bench:
        account = make_account(
            f"stand-{code}",
            adapter=code,
            base_url=f"{bench.url}/operators/{code}",
            credentials=CREDENTIALS[code],
            **{
                "timeout_seconds": 5,
                "lease_seconds": 30,
                "quiet_seconds": 60,
                "poll_plan": [5, 10, 30],
                **fields,
            },
        )
        merchant = make_merchant()
        moved = MovedClock()
        subscription = make_live_subscription(merchant, cards=10, at=moved())
        yield Stand(bench, account, merchant, subscription, moved)


def told(command: Command) -> list[str]:
    """The states a command went through."""
    return list(command.steps.order_by("pk").values_list("state", flat=True))
