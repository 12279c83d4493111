"""F14 and F18: operators that are slow, drip, ask to wait, and let tokens run out; the others go on."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread

from bench import books, rows
from bench.named_house import Owner
from bench.named_staged import calls, click, peace, undecided
from bench.named_trial import Findings, Trial, timed, until
from bench.schedules import Stage
from operators.models import OperatorAccount
from smartcards.models import Command, SmartCard

FAULTS = ("F14", "F18")
# The accounts allow a call a tenth of what the product's own do (2 s of 20), so slowness is a tenth too.
_SCALE = 10
_SLOW = (
    ("30 s", {"kind": "slow", "seconds": 30 / _SCALE}),
    ("120 s", {"kind": "slow", "seconds": 120 / _SCALE}),
    ("1 byte/s", {"kind": "drip", "seconds": 1 / _SCALE}),
)
# Seconds that a page may be slower than with quick operators.
_PAGE_LIMIT = 1.0
_STUCK = 20


# --- F14 ------------------------------------------------------------------------------------------


def one_slow_operator(stage: Stage, said: str, fault: dict[str, object]) -> Findings:
    """F14: one operator is slow, twenty clicks wait for it; the other three and the pages do not."""
    found = Findings()
    slow, *others = stage.accounts
    owner = stage.house.merchant(2 * _STUCK)
    stuck = owner.cards(_STUCK, slow)
    quick = [card for account in others for card in owner.cards(3, account)]
    usual = _pages_and_clicks(owner, owner.cards(_STUCK // 2, others[0]))
    rows.call("POST", f"{stage.sandbox}/faults", {"operator": slow.adapter, **fault})
    pages: list[float] = []
    with _reading(owner, stuck[0], pages):
        clicks = [timed(partial(owner.activate, card)) for card in stuck + quick]
        stage.asked = {card.pk: 1 for card in stuck + quick}
        mine = Command.objects.filter(card__in=quick)
        took = until(lambda: not mine.exclude(state="done").exists(), seconds=20)
        time.sleep(3)
        waits = Command.objects.filter(card__in=stuck, state="done").count()
    found.expect(took is not None, "the other operators' commands waited")
    slowest = max(pages + clicks)
    found.expect(
        slowest <= usual + _PAGE_LIMIT, f"a page took {slowest:.2f} s, usually {usual:.2f} s"
    )
    found.expect(waits < _STUCK, "nothing waited for the slow operator: nothing was shown")
    peace(stage, stuck + quick, found)
    found.note(
        f"other operators done in {took or 0:.1f} s; slowest of {len(pages + clicks)} pages"
        f" {slowest:.2f} s, usually {usual:.2f} s"
    )
    found.note(
        f"scaled 1:{_SCALE}, {said} with a limit of 20 s is played with 2 s; product's workers"
    )
    return found


def _pages_and_clicks(owner: Owner, cards: Sequence[SmartCard]) -> float:
    """The slowest page while nobody is slow, with as many people at it."""
    pages: list[float] = []
    with _reading(owner, cards[0], pages):
        return max(*[timed(partial(owner.activate, card)) for card in cards], *pages)


@contextmanager
def _reading(owner: Owner, card: SmartCard, pages: list[float]) -> Iterator[None]:
    """A person who looks at page after page as long as the block."""
    over = Event()

    def read() -> None:
        while not over.is_set():
            for path in ("/", f"/cards/{card.pk}/", "/subscription/"):
                pages.append(timed(partial(owner.browser.get, path)))
                time.sleep(0.1)

    person = Thread(target=read)
    person.start()
    try:
        yield
    finally:
        over.set()
        person.join(timeout=30)


# --- F18 ------------------------------------------------------------------------------------------


def asked_to_wait(stage: Stage, kind: str) -> Findings:
    """F18: a refusal with Retry-After is obeyed by the whole account, then it goes on, without a herd."""
    found = Findings()
    cards = undecided(stage, stage.accounts, 3)
    for account in stage.accounts:
        fault = {"operator": account.adapter, "call": "submit", "kind": kind, "retry_after": 5}
        rows.call("POST", f"{stage.sandbox}/faults", {**fault, "times": 1})
    click(stage, cards)
    came = until(lambda: _refused(stage, cards), seconds=10, pause=0.02)
    found.expect(came is not None, "no refusal")
    # What was in the air when the refusal came has landed by now.
    time.sleep(0.7)
    before = _by_operator(stage, cards)
    time.sleep(2.5)
    after = _by_operator(stage, cards)
    early = {name: number - before[name] for name, number in after.items() if number > before[name]}
    found.expect(not early, f"calls while the operators had asked to wait: {early}")
    peace(stage, cards, found)
    found.expect(max(calls(stage, cards)) <= 2, f"requests: {calls(stage, cards)}")
    found.note("nothing left in the time that the operators had asked for; then one effect each")
    return found


def _refused(stage: Stage, cards: Sequence[SmartCard]) -> bool:
    """Whether every operator has refused one."""
    met = {
        card.account.adapter
        for card in cards
        if any(one["heard"] == "refused" for one in books.received(stage.sandbox, card))
    }
    return met == {card.account.adapter for card in cards}


def _by_operator(stage: Stage, cards: Sequence[SmartCard]) -> dict[str, int]:
    """Calls of every kind but log-ins."""
    found = dict.fromkeys([card.account.adapter for card in cards], 0)
    for card in cards:
        found[card.account.adapter] += len(books.received(stage.sandbox, card))
    return found


def token_expires(stage: Stage) -> Findings:
    """F18: the token runs out in the middle of a batch; one log-in, and the batch goes on."""
    found = Findings()
    cards = undecided(stage, stage.accounts, 6)
    logins = {card.account.adapter: calls(stage, [card], "auth")[0] for card in cards}
    click(stage, cards[::2])
    time.sleep(0.4)
    for account in stage.accounts:
        fault = {"operator": account.adapter, "call": "submit", "kind": "expired_token", "times": 2}
        rows.call("POST", f"{stage.sandbox}/faults", fault)
    click(stage, cards[1::2])
    stage.asked = {card.pk: 1 for card in cards}
    peace(stage, cards, found)
    more = {
        card.account.adapter: calls(stage, [card], "auth")[0] - logins[card.account.adapter]
        for card in cards
    }
    found.expect(max(more.values()) <= 4, f"log-ins: {more}")
    found.note(f"24 commands, one effect each; log-ins anew: {more}")
    return found


def maintenance_window(stage: Stage) -> Findings:
    """F18: in a window of works nothing is sent; when it is over what waited goes once."""
    found = Findings()
    account = rows.account(
        "tmf640", stage.sandbox, maintenance_windows=[{"from": "00:00", "to": "00:00"}]
    )
    cards = undecided(stage, [account], 6)
    click(stage, cards)
    time.sleep(4)
    sent = sum(calls(stage, cards))
    found.expect(sent == 0, f"{sent} requests in the window")
    OperatorAccount.objects.filter(pk=account.pk).update(maintenance_windows=[])
    peace(stage, cards, found)
    found.expect(set(calls(stage, cards)) == {1}, f"requests: {calls(stage, cards)}")
    found.note("6 clicks waited for the end of the window, then one request and one effect each")
    return found


def trials(stage: Stage) -> list[Trial]:
    """What is played with operators that are slow or ask to wait."""
    slow: list[tuple[str, str, Callable[[], Findings]]] = [
        ("F14", f"one operator answers after {said}" if "byte" not in said else "one operator drips 1 byte/s",
         partial(one_slow_operator, stage, said, fault))
        for said, fault in _SLOW
    ]  # fmt: skip
    plain: list[tuple[str, str, Callable[[], Findings]]] = [
        ("F18", "429 with Retry-After 5 s", partial(asked_to_wait, stage, "http_429")),
        (
            "F18",
            "503 (MTS: 500) with Retry-After 5 s",
            partial(asked_to_wait, stage, "maintenance"),
        ),
        ("F18", "token expires in the middle of a batch", partial(token_expires, stage)),
        ("F18", "a window of works begins, 6 clicks in it", partial(maintenance_window, stage)),
    ]
    return [Trial(*one) for one in slow + plain]
