"""F1, F14 to F18 and F28: killed workers, and operators that are slow, lose, lie, forget and refuse."""

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from django.db.models import QuerySet

from bench import named_doomed, named_proxy, place, rows, schedules
from bench.named_trial import Findings, Trial, until
from bench.schedules import Stage
from cabinet import clock
from cabinet.models import Alert, Merchant
from operators.models import OperatorAccount
from smartcards import reconcile, services
from smartcards.models import Command, SmartCard
from smartcards.pages.progress import progress_of

FAULTS = ("F1", "F14", "F15", "F16", "F17", "F18", "F28")


def _cards(stage: Stage, accounts: Sequence[OperatorAccount], number: int = 1) -> list[SmartCard]:
    """Cards of these contracts, off and paid for, that nobody has decided about."""
    found: list[SmartCard] = []
    for account in accounts:
        found += rows.cards(account, rows.merchant(number), number)
    rows.tell_sandbox(stage.sandbox, found)
    return found


def _click(stage: Stage, cards: Sequence[SmartCard]) -> None:
    stage.asked.clear()
    for card in cards:
        services.request_activation(card=card, by=schedules.OWNER, at=clock.now())
        stage.asked[card.pk] = 1


def _peace(stage: Stage, cards: list[SmartCard], found: Findings) -> None:
    """All well again: each card on, once, and we know it."""
    rows.call("DELETE", f"{stage.sandbox}/faults")
    stage.come_to_rest(cards)
    counted = stage.examine(cards)
    found.expect(
        counted.good, f"lost {counted.lost}, doubled {counted.doubled}, wrong {counted.wrong}"
    )
    found.wrong += list(counted.details)


def _calls(stage: Stage, cards: Sequence[SmartCard], kind: str = "submit") -> list[int]:
    return [stage.truth(card)["calls"][kind] for card in cards]


# --- F1 -------------------------------------------------------------------------------------------


def killed_at_every_step(stage: Stage) -> Findings:
    """F1: `kill -9` before the call, after it, before, amid and after the write, at two operators."""
    found = Findings()
    steps = [(step, adapter) for step in named_doomed.STEPS for adapter in ("tmf640", "mts")]
    accounts = [rows.account(adapter, stage.sandbox, **schedules.QUICK) for _, adapter in steps]
    cards = _cards(stage, accounts)
    with ThreadPoolExecutor(3) as several:
        doomed = list(
            several.map(
                lambda pair: place.start("-m", "bench.named_doomed", str(pair[0].pk), pair[1][0]),
                zip(accounts, steps, strict=True),
            )
        )
    _click(stage, cards)
    for process, (step, adapter) in zip(doomed, steps, strict=True):
        found.expect(_dies(process), f"{adapter}: never came to «{step}»")
    began = time.monotonic()
    stage.restart_workers()
    _peace(stage, cards, found)
    took = time.monotonic() - began
    found.expect(took <= 30, f"done after {took:.0f} s")
    for (step, adapter), calls in zip(steps, _calls(stage, cards), strict=True):
        most = 2 if step == "before call" else 1
        found.expect(calls <= most, f"{adapter} killed {step}: {calls} requests")
    found.note(f"{len(steps)} workers killed, one effect each, one request where the call was made")
    return found


def _dies(process: object) -> bool:
    return until(lambda: process.poll() is not None, seconds=20) is not None  # type: ignore[attr-defined]


# --- F14 ------------------------------------------------------------------------------------------


def one_slow_operator(stage: Stage) -> Findings:
    """F14: one operator answers after the time limit, or a byte a second; the others do not wait."""
    found = Findings()
    slow, dripping, *others = stage.accounts
    for account, kind, seconds in ((slow, "slow", 30), (dripping, "drip", 1)):
        fault = {"operator": account.adapter, "kind": kind, "seconds": seconds}
        rows.call("POST", f"{stage.sandbox}/faults", fault)
    stuck, quick = _cards(stage, [slow, dripping], 6), _cards(stage, others, 2)
    _click(stage, stuck + quick)
    mine = Command.objects.filter(card__in=quick)
    took = until(lambda: not mine.exclude(state="done").exists(), seconds=15)
    found.expect(took is not None, "the other operators' commands waited")
    stage.asked = {card.pk: 1 for card in stuck + quick}
    _peace(stage, stuck + quick, found)
    found.note(f"the other operators' commands done in {took or 0:.1f} s; 12 stuck ones done after")
    return found


# --- F15, F16, F17, F18 ---------------------------------------------------------------------------


def under(stage: Stage, *faults: dict[str, object], requests: int = 1) -> Findings:
    """Cards of every operator under one trouble; at most so many requests for each."""
    found = Findings()
    cards = _cards(stage, stage.accounts)
    for fault in faults:
        rows.call("POST", f"{stage.sandbox}/faults", fault)
    _click(stage, cards)
    time.sleep(1)
    _peace(stage, cards, found)
    calls = _calls(stage, cards)
    found.expect(max(calls) <= requests, f"requests for the cards: {calls}, at most {requests}")
    found.note(f"4 operators: one effect each, {max(calls)} requests at the most")
    return found


def other_answers(stage: Stage) -> Findings:
    """F16: the work is done, and a proxy says something else."""
    found = Findings()
    seen = []
    for mode in (*named_proxy.BODIES, "long"):
        with named_proxy.proxy(stage.sandbox) as between:
            between.mode = mode
            account = rows.account("tmf640", between.url, **schedules.QUICK)
            cards = _cards(stage, [account], 2)
            stage.restart_workers()
            _click(stage, cards)
            told = partial(_asked_back, cards)
            found.expect(until(told, seconds=15) is not None, f"{mode}: taken for a success")
            between.mode = ""
            _peace(stage, cards, found)
            found.expect(set(_calls(stage, cards)) == {1}, f"{mode}: a second request")
            OperatorAccount.objects.filter(pk=account.pk).update(enabled=False)
            seen.append(mode)
    found.note(f"{', '.join(seen)}: «уточняем», then read; one request, one effect each")
    return found


def _asked_back(cards: Sequence[SmartCard]) -> bool:
    return Command.objects.filter(
        card__in=cards, steps__state="checking"
    ).distinct().count() == len(cards)


def hours_later(stage: Stage) -> Findings:
    """F17: accepted, done four hours later; staff are told after the promise, the card is known in the end."""
    found = Findings()
    rows.put(f"{stage.sandbox}/limits/mts", {"delay_seconds": 4 * 3600})
    slow = {**schedules.QUICK, "deadline_seconds": 86400, "worst_seconds": 3600}
    account = rows.account("mts", stage.sandbox, **slow)
    cards = _cards(stage, [account], 3)
    stage.restart_workers()
    _click(stage, cards)
    mine = Command.objects.filter(card__in=cards)
    taken = until(lambda: mine.filter(state="accepted").count() == 3, seconds=15)
    found.expect(taken is not None, "not accepted")
    clock.advance(2 * 3600 + 60)
    reconcile.tell_late(at=clock.now())
    told = Alert.objects.filter(key__in=[f"late:{row.pk}" for row in mine], closed_at=None).count()
    found.expect(told == 3, f"{told} matters for staff after twice the promise")
    early = mine.filter(state="done").count()
    found.expect(early == 0, f"{early} said to be done before they were")
    clock.advance(2 * 3600)
    _peace(stage, cards, found)
    left = Alert.objects.filter(key__startswith="late:", closed_at=None).count()
    found.expect(left == 0, f"{left} matters left open")
    rows.put(f"{stage.sandbox}/limits/mts", {"delay_seconds": 0.2})
    OperatorAccount.objects.filter(pk=account.pk).update(enabled=False)
    found.note("3 matters for staff after the promise, none done early, all known after 4 h")
    return found


def asked_to_wait(stage: Stage) -> Findings:
    """F18: 429 with Retry-After is obeyed by the whole account, then it goes on, without a herd."""
    found = Findings()
    cards = _cards(stage, stage.accounts, 3)
    for account in stage.accounts:
        fault = {
            "operator": account.adapter,
            "call": "submit",
            "kind": "http_429",
            "retry_after": 4,
            "times": 1,
        }
        rows.call("POST", f"{stage.sandbox}/faults", fault)
    _click(stage, cards)
    refused = Command.objects.filter(card__in=cards, error="rate_limited")
    found.expect(
        until(lambda: refused.count() >= 4, seconds=10, pause=0.02) is not None, "no refusal"
    )
    # What was in the air when the refusal came has landed by now.
    time.sleep(0.7)
    before = sum(_calls(stage, cards))
    time.sleep(1.5)
    during = sum(_calls(stage, cards)) - before
    found.expect(during == 0, f"{during} requests while the operators had asked to wait")
    _peace(stage, cards, found)
    found.expect(max(_calls(stage, cards)) <= 2, f"requests: {_calls(stage, cards)}")
    found.note("nothing left in the time that the operators had asked for; then one effect each")
    return found


def token_expires(stage: Stage) -> Findings:
    """F18: the token runs out in the middle of a batch; one log-in, and the batch goes on."""
    found = Findings()
    cards = _cards(stage, stage.accounts, 6)
    logins = {card.account.adapter: _calls(stage, [card], "auth")[0] for card in cards}
    _click(stage, cards[::2])
    time.sleep(0.4)
    for account in stage.accounts:
        fault = {"operator": account.adapter, "call": "submit", "kind": "expired_token", "times": 2}
        rows.call("POST", f"{stage.sandbox}/faults", fault)
    _click(stage, cards[1::2])
    stage.asked = {card.pk: 1 for card in cards}
    _peace(stage, cards, found)
    more = {
        card.account.adapter: _calls(stage, [card], "auth")[0] - logins[card.account.adapter]
        for card in cards
    }
    found.expect(max(more.values()) <= 4, f"log-ins: {more}")
    found.note(f"24 commands, one effect each; log-ins anew: {more}")
    return found


# --- F28 ------------------------------------------------------------------------------------------


def no_way_there(stage: Stage) -> Findings:
    """F28: an expired certificate, a name that is nobody's, a proxy's login page: the circuit opens."""
    found = Findings()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        context, root = named_proxy.expired(folder)
        secure = stack.enter_context(named_proxy.proxy(stage.sandbox, tls=context))
        between = stack.enter_context(named_proxy.proxy(stage.sandbox))
        between.mode = "login page"
        ways = {
            "certificate": rows.account("tmf640", secure.url, ca_bundle=root, **schedules.QUICK),
            "DNS": rows.account("tmf640", "http://operator.invalid", **schedules.QUICK),
            "login page": rows.account("tmf640", between.url, **schedules.QUICK),
        }
        cards = _cards(stage, list(ways.values()), 6)
        stage.restart_workers()
        _click(stage, cards)
        for name, account in ways.items():
            _circuit_opens(
                found, name, account, [one for one in cards if one.account_id == account.pk]
            )
        done = Command.objects.filter(card__in=cards, state="done").count()
        found.expect(done == 0, f"{done} taken for done")
        for account in ways.values():
            good = f"{stage.sandbox}/operators/tmf640"
            OperatorAccount.objects.filter(pk=account.pk).update(base_url=good, ca_bundle="")
        contracts = OperatorAccount.objects.filter(pk__in=[one.pk for one in ways.values()])
        closed = until(partial(_circuits_close, contracts), seconds=45, pause=0.5)
        found.expect(closed is not None, "a circuit stays open after the operator is back")
        _peace(stage, cards, found)
        found.expect(set(_calls(stage, cards)) == {1}, f"requests: {_calls(stage, cards)}")
        OperatorAccount.objects.filter(pk__in=[one.pk for one in ways.values()]).update(
            enabled=False
        )
    found.note("circuit open, staff told, words on the page; then all done once")
    return found


def _circuit_opens(
    found: Findings, name: str, account: OperatorAccount, cards: Sequence[SmartCard]
) -> None:
    row = OperatorAccount.objects.filter(pk=account.pk, broken_since__isnull=False)

    def opens() -> bool:
        clock.advance(3)
        return row.exists()

    found.expect(
        until(opens, seconds=15, pause=0.3) is not None, f"{name}: the circuit stays closed"
    )
    told = Alert.objects.filter(key=f"operator:account:{account.pk}:broken", closed_at=None).first()
    found.expect(told is not None, f"{name}: staff are not told")
    silent = [one for one in cards if not _words(one)]
    states = [
        Command.objects.filter(card=one).values_list("state", "error", "code") for one in silent
    ]
    found.expect(not silent, f"{name}: no words on the page: {[list(one) for one in states]}")
    error = OperatorAccount.objects.values_list("last_error", flat=True).get(pk=account.pk)
    found.expect(bool(error) or name == "login page", f"{name}: no last error for staff")


def _words(card: SmartCard) -> str:
    """What the card's page says of the command: how far it is, or why it was not done."""
    shown = progress_of(card=card, merchant=_owner(card), at=clock.now())
    last = Command.objects.filter(card=card).order_by("pk").last()
    return shown.said if shown else (last.text if last else "")


def _circuits_close(contracts: "QuerySet[OperatorAccount]") -> bool:
    """Time passes until the next probes are due; a line that began before knows the old address."""
    clock.advance(60)
    return not contracts.exclude(broken_since=None).exists()


def _owner(card: SmartCard) -> Merchant:
    return Merchant.objects.get(pk=card.merchant_id or 0)


def trials(stage: Stage) -> list[Trial]:
    """What is played with the operators."""
    lost: dict[str, object] = {"call": "submit", "kind": "drop_after", "times": 4}
    plain: list[tuple[str, str, Callable[[], Findings]]] = [
        ("F1", "kill -9 before, after the call; before, amid, after the write", partial(killed_at_every_step, stage)),
        ("F14", "one operator 30 s late, one a byte a second", partial(one_slow_operator, stage)),
        ("F15", "connection cut after the work was done", partial(under, stage, lost)),
        ("F16", "half an answer, announced whole", partial(under, stage, {**lost, "kind": "half_body"})),
        ("F16", "garbage with 200", partial(under, stage, {**lost, "kind": "garbage"})),
        ("F16", "another card in the answer", partial(under, stage, {**lost, "kind": "wrong_id"})),
        ("F16", "HTML, nothing, XML, cut JSON, wrong length with 200", partial(other_answers, stage)),
        ("F17", "accepted and forgotten", partial(under, stage, {**lost, "kind": "accept_and_forget"}, requests=2)),
        ("F17", "accepted, done four hours later", partial(hours_later, stage)),
        ("F18", "429 with Retry-After 4 s", partial(asked_to_wait, stage)),
        ("F18", "token expires in the middle of a batch", partial(token_expires, stage)),
        ("F18", "log-in answers 500", partial(under, stage, {"call": "auth", "kind": "http_500", "times": 2})),
        ("F28", "500 to everything", partial(under, stage, {"kind": "http_500", "times": 30}, requests=3)),
        ("F28", "certificate expired, DNS fails, login page with 200", partial(no_way_there, stage)),
    ]  # fmt: skip
    return [Trial(*one) for one in plain]
