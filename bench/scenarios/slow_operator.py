"""F14 and F18: operators that are slow, drip, ask to wait, and let tokens run out; the others go on."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from bench import ledger_check
from bench.faults import scenario
from bench.harness import Harness
from bench.people import Person
from bench.timing import timed, until
from operators.models import OperatorAccount
from operators.sandbox.state import ClientSaw
from smartcards.models import SmartCard

# The accounts allow a call a tenth of what the product's own do (2 s of 20), so slowness is a tenth too.
_SCALE = 10
# Seconds that a page may be slower than with quick operators.
_PAGE_LIMIT = 1.0
_STUCK = 20
_SLOWNESS: dict[str, dict[str, Any]] = {
    "one operator answers after 30 s": {"kind": "slow", "seconds": 30 / _SCALE},
    "one operator answers after 120 s": {"kind": "slow", "seconds": 120 / _SCALE},
    "one operator drips 1 byte/s": {"kind": "drip", "seconds": 1 / _SCALE},
}


# --- F14 ------------------------------------------------------------------------------------------


def _one_slow_operator(harness: Harness, *, fault: dict[str, Any]) -> str:
    """Twenty clicks wait for it; the other three operators and the pages do not."""
    slow, *others = harness.accounts
    owner = harness.owner(2 * _STUCK)
    stuck = harness.cards(owner, _STUCK, slow)
    quick = [card for account in others for card in harness.cards(owner, 3, account)]
    usual = max(_seconds_of_pages(owner, harness.cards(owner, _STUCK // 2, others[0])))
    harness.fault(operator=slow.adapter, **fault)
    pages = _seconds_of_pages(owner, stuck + quick)
    harness.asked = {card.pk: 1 for card in stuck + quick}
    undone = harness.commands(quick).exclude(state="done")
    took = until(lambda: not undone.exists(), "the other operators' commands waited", seconds=20)
    time.sleep(3)
    done = harness.commands(stuck).filter(state="done").count()
    assert max(pages) <= usual + _PAGE_LIMIT, f"a page took {max(pages):.2f} s, usually {usual:.2f}"
    assert done < _STUCK, "nothing waited for the slow operator: nothing was shown"
    harness.check_ledger(stuck + quick)
    return (
        f"other operators done in {took:.1f} s; slowest of {len(pages)} pages {max(pages):.2f} s,"
        f" usually {usual:.2f} s; scaled 1:{_SCALE}"
    )


def _seconds_of_pages(owner: Person, cards: Sequence[SmartCard]) -> list[float]:
    """How long clicks on these cards take, and pages that are read meanwhile."""
    with owner.reading("/", f"/cards/{cards[0].pk}/", "/subscription/") as loads:
        clicks = [timed(partial(owner.activate, card)) for card in cards]
    assert not any(load.wrong for load in loads)
    return clicks + [load.seconds for load in loads]


for _title, _fault in _SLOWNESS.items():
    scenario("F14", _title)(partial(_one_slow_operator, fault=_fault))


# --- F18 ------------------------------------------------------------------------------------------


def _asked_to_wait(harness: Harness, *, kind: str) -> str:
    """A refusal with Retry-After is obeyed by the whole account, then it goes on, without a herd."""
    cards = harness.undecided(harness.accounts, 3)
    for account in harness.accounts:
        harness.fault(operator=account.adapter, call="submit", kind=kind, retry_after=5, times=1)
    harness.activate(cards)
    until(partial(_all_have_refused, harness, cards), "no refusal", seconds=10, pause=0.02)
    # What was in the air when the refusal came has come back by now.
    time.sleep(0.7)
    before = _received(harness, cards)
    time.sleep(2.5)
    assert _received(harness, cards) == before, "calls though the operators had asked to wait"
    harness.check_ledger(cards, requests=2)
    return "nothing left in the time that the operators had asked for; then one effect each"


scenario("F18", "429 with Retry-After 5 s")(partial(_asked_to_wait, kind="http_429"))
scenario("F18", "503 (MTS: 500) with Retry-After 5 s")(partial(_asked_to_wait, kind="maintenance"))


def _received(harness: Harness, cards: Sequence[SmartCard]) -> list[int]:
    """The numbers of the calls of every kind but log-ins."""
    calls = (one for card in cards for one in ledger_check.received(harness.product.ask, card))
    return [one.number for one in calls]


def _all_have_refused(harness: Harness, cards: Sequence[SmartCard]) -> bool:
    refusing = {
        card.account_id
        for card in cards
        for one in ledger_check.received(harness.product.ask, card)
        if one.client_saw == ClientSaw.REFUSED
    }
    return refusing == {card.account_id for card in cards}


@scenario("F18", "token expires in the middle of a batch")
def token_expires(harness: Harness) -> str:
    """A few log-ins, and the batch goes on."""
    cards = harness.undecided(harness.accounts, 6)
    before = harness.calls(cards, "auth")
    harness.activate(cards[::2])
    time.sleep(0.4)
    for account in harness.accounts:
        harness.fault(operator=account.adapter, call="submit", kind="expired_token", times=2)
    harness.activate(cards[1::2])
    harness.asked = {card.pk: 1 for card in cards}
    harness.check_ledger(cards)
    after = harness.calls(cards, "auth")
    more = max(now - then for now, then in zip(after, before, strict=True))
    assert more <= 4, f"{more} log-ins at one operator"
    return f"24 commands, one effect each; {more} log-ins anew at the most"


@scenario("F18", "a window of works begins, 6 clicks in it")
def maintenance_window(harness: Harness) -> str:
    """In the window nothing is sent; when it is over what waited goes once."""
    window = [{"from": "00:00", "to": "00:00"}]
    account = harness.account(concurrency=8, maintenance_windows=window)
    cards = harness.undecided([account], 6)
    harness.activate(cards)
    time.sleep(4)
    assert not any(harness.calls(cards)), "requests in the window"
    OperatorAccount.objects.filter(pk=account.pk).update(maintenance_windows=[])
    harness.check_ledger(cards, requests=1)
    return "6 clicks waited for the end of the window, then one request and one effect each"
