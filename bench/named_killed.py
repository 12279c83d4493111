"""F1: workers killed at every step, of a command at the operator and of a renewal in the market."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.db import close_old_connections

from bench import books, named_doomed, named_steps, place, rows, schedules
from bench.named_house import LINES, QUICK, House
from bench.named_staged import calls, click, peace, undecided
from bench.named_trial import Findings, Trial, until
from bench.schedules import Stage
from cabinet import clock
from cabinet.models import Merchant
from operators.models import OperatorAccount
from smartcards import services
from smartcards.models import Command, Coverage, SmartCard
from smartcards.states import Confirmed
from subscriptions import demo
from subscriptions.models import Period, Subscription

FAULTS = ("F1",)
# The market's price of a month for one card.
_MONTH_KOPECKS = 300_00
_SHORT_OF_A_MONTH, _REST_OF_THE_MONTH = timedelta(days=27), timedelta(days=5)
# Two leases of a command.
_LIMIT = 2 * 60


def killed_at_every_step(stage: Stage) -> Findings:
    """F1: `kill -9` before the call, after it, before, amid and after the write, at two operators."""
    found = Findings()
    steps = [(step, adapter) for step in named_doomed.STEPS for adapter in ("tmf640", "mts")]
    accounts = [rows.account(adapter, stage.sandbox, **schedules.QUICK) for _, adapter in steps]
    cards = undecided(stage, accounts)
    for name in LINES:
        stage.house.end(name)
    with ThreadPoolExecutor(3) as several:
        doomed = list(
            several.map(
                lambda pair: place.start("-m", "bench.named_doomed", str(pair[0].pk), pair[1][0]),
                zip(accounts, steps, strict=True),
            )
        )
    click(stage, cards)
    for process, (step, adapter) in zip(doomed, steps, strict=True):
        dies = until(lambda one=process: one.poll() is not None, seconds=20)  # type: ignore[misc]
        found.expect(dies is not None, f"{adapter}: never came to «{step}»")
        process.kill()
    began = time.monotonic()
    for name in LINES:
        stage.house.again(name)
    peace(stage, cards, found)
    took = time.monotonic() - began
    found.expect(took <= 30, f"done after {took:.0f} s")
    for (step, adapter), number in zip(steps, calls(stage, cards), strict=True):
        most = 2 if step == "before call" else 1
        found.expect(number <= most, f"{adapter} killed {step}: {number} requests")
    found.note(f"{len(steps)} workers killed, one effect each, one request where the call was made")
    return found


# --- a renewal ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Buyer:
    """A merchant of the played market with one card that worked until the subscription ended."""

    market: str
    user_id: str
    card: SmartCard

    def act(self, action: str, **terms: object) -> None:
        """Something done in the market; its hooks are delivered, and repeated until they are taken."""
        act(self.market, action, self.user_id, **terms)


def act(market: str, action: str, user_id: str, **terms: object) -> None:
    """A merchant does something in the played market."""
    rows.call(
        "POST",
        f"{market}/market/{action}",
        {"userId": user_id, **terms},
        **{"Content-Type": "application/json"},
    )


@contextmanager
def played_market(house: House) -> Iterator[str]:
    """The sandbox's market, whose hooks go to the web of this house; gives its address."""
    with place.process("-m", "bench.market", PUBLIC_URL=f"http://127.0.0.1:{house.port}") as one:
        assert one.stdout is not None
        yield one.stdout.readline().strip()


def killed_in_a_renewal(house: House) -> Findings:
    """F1: the worker is killed at every step between the market's hook and the operator's command."""
    found = Findings()
    demo.seed(clock.now())
    account = rows.account("tmf640", house.sandbox, **QUICK)
    took = []
    with played_market(house) as market, mortal_worker(house):
        buyers = _ended(house, market, account)
        for step, buyer in zip(named_steps.STEPS, buyers, strict=True):
            took.append(_renewed_and_killed(house, found, buyer, step))
    for step, buyer in zip(named_steps.STEPS, buyers, strict=True):
        _one_of_each(found, house, buyer, step)
    found.expect(max(took) <= _LIMIT, f"done after {max(took):.0f} s")
    found.note(
        f"{len(took)} renewals, worker killed at each step: one period, one charge, one command each"
    )
    found.note(f"on again {max(took):.1f} s after the kill at the latest (limit {_LIMIT})")
    return found


@contextmanager
def mortal_worker(house: House) -> Iterator[None]:
    """The worker of our own work is one that dies at the step in the file, or of poison."""
    house.end("worker")
    house.start_workers_of_our_own(include="bench.named_mortal")
    try:
        yield
    finally:
        (house.servers.folder / named_steps.WORD).unlink(missing_ok=True)
        house.end("worker")
        house.start_workers_of_our_own()


def _ended(house: House, market: str, account: OperatorAccount) -> list[Buyer]:
    """Bought a month ago, one card each switched on; the month has ended, so the cards are off."""
    buyers = [
        _bought(house, market, account, 1 + number) for number in range(len(named_steps.STEPS))
    ]
    for buyer in buyers:
        services.request_activation(card=buyer.card, by=schedules.OWNER, at=clock.now())
    for buyer in buyers:
        _wait_for(buyer.card, Confirmed.ACTIVE)
    clock.advance(_REST_OF_THE_MONTH.total_seconds())
    for buyer in buyers:
        buyer.act("terminate")
    for buyer in buyers:
        _wait_for(buyer.card, Confirmed.INACTIVE)
    return buyers


def _bought(house: House, market: str, account: OperatorAccount, number: int) -> Buyer:
    user_id = f"01-{990_000_000_000_000 + number:015}"
    since = clock.now() - _SHORT_OF_A_MONTH
    act(market, "install", user_id, deviceNumber=1, at=since.isoformat())
    mine = Subscription.objects.filter(merchant__evotor_user_id=user_id)
    bought = mine.exclude(paid_until=None)
    if until(bought.exists, seconds=20) is None:
        raise RuntimeError("the purchase did not arrive")
    merchant = Merchant.objects.get(evotor_user_id=user_id)
    return Buyer(market, user_id, _card_of(house, merchant, bought.get(), account))


def _card_of(
    house: House, merchant: Merchant, subscription: Subscription, account: OperatorAccount
) -> SmartCard:
    (card,) = rows.undecided(account, subscription, 1)
    rows.tell_sandbox(house.sandbox, [card])
    return card


def _wait_for(card: SmartCard, state: Confirmed, *, seconds: float = 60) -> float | None:
    def so() -> bool:
        close_old_connections()
        return SmartCard.objects.filter(pk=card.pk, confirmed=state).exists()

    return until(so, seconds=seconds)


def _renewed_and_killed(house: House, found: Findings, buyer: Buyer, step: str) -> float:
    word = house.servers.folder / named_steps.WORD
    word.write_text(step, encoding="utf-8")
    buyer.act("renew")
    died = until(lambda: house.running["worker"].poll() is not None, seconds=20)
    found.expect(died is not None, f"never came to «{step}»")
    word.unlink(missing_ok=True)
    began = time.monotonic()
    # As after a machine's restart; without it the wake-up that was lost waits for the beat's minute.
    for name in ("worker", "beat"):
        house.again(name)
    found.expect(
        _wait_for(buyer.card, Confirmed.ACTIVE) is not None, f"killed {step}: not on again"
    )
    return time.monotonic() - began


def _one_of_each(found: Findings, house: House, buyer: Buyer, step: str) -> None:
    house.settled([buyer.card], seconds=20)
    mine = Subscription.objects.filter(merchant__evotor_user_id=buyer.user_id)
    periods = Period.objects.filter(subscription__in=mine)
    charged = list(periods.order_by("starts_at").values_list("charged_kopecks", flat=True))
    found.expect(charged == [_MONTH_KOPECKS] * 2, f"killed {step}: periods charged {charged}")
    kinds = list(
        Command.objects.filter(card=buyer.card).order_by("pk").values_list("kind", flat=True)
    )
    found.expect(
        kinds == ["activate", "deactivate", "activate"], f"killed {step}: commands {kinds}"
    )
    covered = Coverage.objects.filter(card=buyer.card, till=None).count()
    found.expect(covered == 1, f"killed {step}: covered {covered} times")
    found.wrong += house.books([buyer.card], ["activate", "deactivate", "activate"])
    twice = books.examine(house.sandbox, [buyer.card])
    found.wrong += twice.details


def trials(stage: Stage) -> list[Trial]:
    """What is played with workers that die."""
    return [
        Trial(
            "F1",
            "kill -9 before, after the call; before, amid, after the write",
            lambda: killed_at_every_step(stage),
        ),
        Trial(
            "F1",
            f"a renewal in the market, worker killed -9 at {len(named_steps.STEPS)} steps",
            lambda: killed_in_a_renewal(stage.house),
        ),
    ]
