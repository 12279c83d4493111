"""F15 to F18 and F28: operators that lose, lie, forget, refuse and cannot be reached."""

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from bench.faults import scenario
from bench.harness import Harness, enable, fresh
from bench.proxies import BODIES, answer_proxy, expired_certificate
from bench.timing import until
from cabinet import clock
from cabinet.models import Alert
from operators.models import OperatorAccount
from smartcards.reconciliation import reconcile


def _submit(kind: str) -> dict[str, Any]:
    return {"call": "submit", "kind": kind, "times": 4}


# At all four operators: the fault's number, its title, the most requests about a card, the fault.
_AT_ALL: tuple[tuple[str, str, int, dict[str, Any]], ...] = (
    ("F15", "connection cut after the work was done", 1, _submit("drop_after")),
    ("F16", "half an answer, announced whole", 1, _submit("half_body")),
    ("F16", "garbage with 200", 1, _submit("garbage")),
    ("F16", "another card in the answer", 1, _submit("wrong_id")),
    ("F17", "accepted and forgotten", 2, _submit("accept_and_forget")),
    ("F18", "log-in answers 500", 1, {"kind": "http_500", "call": "auth", "times": 2}),
    ("F28", "500 to everything", 3, {"kind": "http_500", "times": 30}),
)


def _at_all(harness: Harness, *, most: int, fault: dict[str, Any]) -> str:
    """A card of every operator under this fault: one effect each, and at most so many requests."""
    cards = harness.undecided(harness.accounts)
    harness.fault(**fault)
    harness.activate(cards)
    time.sleep(1)
    harness.check_ledger(cards, requests=most)
    return f"4 operators: one effect each, {max(harness.calls(cards))} requests at the most"


for _fault, _title, _most, _given in _AT_ALL:
    scenario(_fault, _title)(partial(_at_all, most=_most, fault=_given))


@scenario("F16", "HTML, nothing, XML, cut JSON, wrong length with 200")
def other_answers(harness: Harness) -> str:
    """The work is done, and a proxy answers something else."""
    modes = (*BODIES, "long")
    for mode in modes:
        with answer_proxy(harness.product.sandbox, mode=mode) as proxy:
            account = harness.account(base_url=f"{proxy.url}/operators/tmf640")
            cards = harness.undecided([account], 2)
            harness.activate(cards)
            checked = harness.commands(cards).filter(steps__state="checking").distinct()
            until(partial(_are, checked, 2), f"{mode}: taken for a success", seconds=15)
            proxy.mode = ""
            harness.check_ledger(cards, requests=1)
            enable([account], on=False)
    return f"{', '.join(modes)}: «уточняем», then read; one request, one effect each"


@scenario("F17", "accepted, done four hours later")
def hours_later(harness: Harness) -> str:
    """Staff are alerted after the promise, none is shown as done early, all are known in the end."""
    harness.set_limits("mts", delay_seconds=4 * 3600)
    account = harness.account("mts", deadline_seconds=86400, worst_seconds=3600)
    cards = harness.undecided([account], 3)
    harness.activate(cards)
    accepted = harness.commands(cards).filter(state="accepted")
    until(partial(_are, accepted, 3), "not accepted", seconds=15)
    clock.advance(2 * 3600 + 60)
    reconcile.alert_overdue(at=clock.now())
    late = Alert.objects.filter(key__startswith="late:", closed_at=None)
    assert late.count() == 3, f"{late.count()} alerts for staff after twice the promise"
    assert accepted.count() == 3, "shown as done before it was"
    clock.advance(2 * 3600)
    harness.check_ledger(cards)
    assert not late.exists(), "an alert is left open"
    harness.set_limits("mts", delay_seconds=0.2)
    enable([account], on=False)
    return "3 alerts for staff after the promise, none done early, all known after 4 h"


def _are(rows: Any, number: int) -> bool:
    return bool(rows.count() == number)


# --- F28 ------------------------------------------------------------------------------------------


@scenario("F28", "certificate expired, DNS fails, login page with 200")
def unreachable(harness: Harness) -> str:
    """The circuit opens, staff are alerted; when the operator can be reached all is done once."""
    path = "/operators/tmf640"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        context, root = expired_certificate(folder)
        secure = stack.enter_context(answer_proxy(harness.product.sandbox, tls=context))
        proxy = stack.enter_context(answer_proxy(harness.product.sandbox, mode="login page"))
        accounts = {
            "certificate": harness.account(base_url=secure.url + path, ca_bundle=root),
            "DNS": harness.account(base_url=f"http://operator.invalid{path}"),
            "login page": harness.account(base_url=proxy.url + path),
        }
        cards = harness.undecided(list(accounts.values()), 6)
        harness.activate(cards)
        for name, account in accounts.items():
            _check_circuit_opens(name, account)
        assert not harness.commands(cards).filter(state="done").exists(), "taken for done"
        _check_circuits_close(list(accounts.values()), base_url=harness.product.sandbox + path)
        harness.check_ledger(cards, requests=1)
        enable(list(accounts.values()), on=False)
    return "circuit open, staff alerted; then all done once"


def _check_circuit_opens(name: str, account: OperatorAccount) -> None:
    broken = OperatorAccount.objects.filter(pk=account.pk, broken_since__isnull=False)
    opened = partial(_after, 3, broken.exists)
    until(opened, f"{name}: the circuit stays closed", seconds=15, pause=0.3)
    alerts = Alert.objects.filter(key=f"operator:account:{account.pk}:broken", closed_at=None)
    # Only of an outage that lasts: the probe that fails a minute later alerts.
    alerted = partial(_after, 60, alerts.exists)
    until(alerted, f"{name}: staff are not alerted", seconds=30, pause=0.5)


def _check_circuits_close(accounts: Sequence[OperatorAccount], *, base_url: str) -> None:
    """Time passes until the next probes are due; a worker that began before knows the old address."""
    mine = OperatorAccount.objects.filter(pk__in=[one.pk for one in accounts])
    mine.update(base_url=base_url, ca_bundle="")
    broken = mine.exclude(broken_since=None)
    closed = partial(_after, 60, lambda: not broken.exists())
    until(closed, "a circuit stays open after the operator is back", seconds=45, pause=0.5)


def _after(seconds: float, question: Any) -> bool:
    clock.advance(seconds)
    return fresh(question)
