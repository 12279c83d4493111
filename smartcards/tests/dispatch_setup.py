"""A merchant's cards, the outbox and a played operator, with a clock that the test moves."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.test import override_settings

from cabinet import clock
from cabinet.models import Merchant
from operators.connections import CallOutcome, connect
from operators.limits import quota
from operators.models import OperatorAccount
from operators.ports import Sim, SubmitResult
from operators.tests.sandbox_operator import RunningOperator, running
from smartcards import services
from smartcards.dispatch import outbox, worker
from smartcards.dispatch.outbox import OutgoingCommand, SendOutcome
from smartcards.models import Command, SmartCard
from smartcards.states import OperatorState
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
    """The product's clock, moved by the test; callable as a clock is. Needs a clock file of the test's own.

    A played operator in this process reads the same one: it books a request on the day of the asker.
    """

    def __call__(self) -> datetime:
        return clock.now()

    def pass_(self, **length: float) -> None:
        clock.advance(timedelta(**length).total_seconds())


class Drained(NamedTuple):
    """What one drain of an account did: commands sent, queries asked."""

    sent: int
    asked: int


@dataclass
class Stand:
    """One operator account and one merchant with a live subscription."""

    bench: RunningOperator
    account: OperatorAccount
    merchant: Merchant
    subscription: Subscription
    clock: MovedClock

    def card(
        self, *, state: str = "inactive", desired_on: bool | None = None, covered: bool = True
    ) -> SmartCard:
        """A card that we and the operator see alike."""
        confirmed = {
            "inactive": OperatorState.INACTIVE,
            "active": OperatorState.ACTIVE,
            "new": OperatorState.NEW,
        }[state]
        card = make_card(
            self.merchant, account=self.account, confirmed=confirmed, desired_on=desired_on
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

    def work(self, *, reading: bool = False) -> Drained:
        """What a worker does at one wake-up."""
        done = worker.drain_account(account_id=self.account.pk, clock=self.clock, reading=reading)
        return Drained(*done)

    def end_pause(self) -> None:
        """The pause that the operator asked for is over; Redis counts it by a clock of its own."""
        quota.client(settings.REDIS_URL).delete(f"quota:{self.account.code}:pause")

    def run(self, **length: float) -> None:
        """Let so much time pass, then do what the sweep and the workers would do."""
        self.clock.pass_(**length)
        outbox.release_stuck(at=self.clock())
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
    with (
        override_settings(SANDBOX=True, CLOCK_FILE=folder / "clock"),
        running(code, CREDENTIALS[code], folder / "sandbox.json") as bench,
    ):
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


def claim_all(account: OperatorAccount, *, at: datetime, limit: int = 100) -> list[OutgoingCommand]:
    """As many commands as are due, each with its lease."""
    found: list[OutgoingCommand] = []
    while len(found) < limit:
        outgoing = outbox.claim(account=account, at=at)
        if outgoing is None:
            break
        found.append(outgoing)
    return found


def send_now(stand: Stand, outgoing: OutgoingCommand) -> SendOutcome:
    """The call itself, in this thread."""
    return outbox.send(connect(stand.account), outgoing, stand.clock)


def record_answer(outgoing: OutgoingCommand, result: SubmitResult, *, at: datetime) -> None:
    """As if the operator had answered so."""
    outbox.record(outgoing, SendOutcome(CallOutcome(result)), at=at)


def step_states(command: Command) -> list[str]:
    """The states a command went through."""
    return list(command.steps.order_by("pk").values_list("state", flat=True))
