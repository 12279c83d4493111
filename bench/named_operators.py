"""F15 to F18 and F28: operators that lose, lie, forget, refuse and cannot be reached."""

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from django.db.models import QuerySet

from bench import named_proxy, rows, schedules
from bench.named_staged import calls, click, peace, undecided
from bench.named_trial import Findings, Trial, until
from bench.schedules import Stage
from cabinet import clock
from cabinet.models import Alert, Merchant
from operators.models import OperatorAccount
from smartcards import reconcile
from smartcards.models import Command, SmartCard
from smartcards.pages.progress import progress_of

FAULTS = ("F15", "F16", "F17", "F18", "F28")


# --- F15, F16, F17 --------------------------------------------------------------------------------


def under(stage: Stage, *faults: dict[str, object], requests: int = 1) -> Findings:
    """Cards of every operator under one trouble; at most so many requests for each."""
    found = Findings()
    cards = undecided(stage, stage.accounts)
    for fault in faults:
        rows.call("POST", f"{stage.sandbox}/faults", fault)
    click(stage, cards)
    time.sleep(1)
    peace(stage, cards, found)
    made = calls(stage, cards)
    found.expect(max(made) <= requests, f"requests for the cards: {made}, at most {requests}")
    found.note(f"4 operators: one effect each, {max(made)} requests at the most")
    return found


def other_answers(stage: Stage) -> Findings:
    """F16: the work is done, and a proxy says something else."""
    found = Findings()
    seen = []
    for mode in (*named_proxy.BODIES, "long"):
        with named_proxy.proxy(stage.sandbox) as between:
            between.mode = mode
            account = rows.account("tmf640", between.url, **schedules.QUICK)
            cards = undecided(stage, [account], 2)
            click(stage, cards)
            told = partial(_asked_back, cards)
            found.expect(until(told, seconds=15) is not None, f"{mode}: taken for a success")
            between.mode = ""
            peace(stage, cards, found)
            found.expect(set(calls(stage, cards)) == {1}, f"{mode}: a second request")
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
    cards = undecided(stage, [account], 3)
    click(stage, cards)
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
    peace(stage, cards, found)
    left = Alert.objects.filter(key__startswith="late:", closed_at=None).count()
    found.expect(left == 0, f"{left} matters left open")
    rows.put(f"{stage.sandbox}/limits/mts", {"delay_seconds": 0.2})
    OperatorAccount.objects.filter(pk=account.pk).update(enabled=False)
    found.note("3 matters for staff after the promise, none done early, all known after 4 h")
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
        cards = undecided(stage, list(ways.values()), 6)
        click(stage, cards)
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
        peace(stage, cards, found)
        found.expect(set(calls(stage, cards)) == {1}, f"requests: {calls(stage, cards)}")
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
        ("F15", "connection cut after the work was done", partial(under, stage, lost)),
        ("F16", "half an answer, announced whole", partial(under, stage, {**lost, "kind": "half_body"})),
        ("F16", "garbage with 200", partial(under, stage, {**lost, "kind": "garbage"})),
        ("F16", "another card in the answer", partial(under, stage, {**lost, "kind": "wrong_id"})),
        ("F16", "HTML, nothing, XML, cut JSON, wrong length with 200", partial(other_answers, stage)),
        ("F17", "accepted and forgotten", partial(under, stage, {**lost, "kind": "accept_and_forget"}, requests=2)),
        ("F17", "accepted, done four hours later", partial(hours_later, stage)),
        ("F18", "log-in answers 500", partial(under, stage, {"call": "auth", "kind": "http_500", "times": 2})),
        ("F28", "500 to everything", partial(under, stage, {"kind": "http_500", "times": 30}, requests=3)),
        ("F28", "certificate expired, DNS fails, login page with 200", partial(no_way_there, stage)),
    ]  # fmt: skip
    return [Trial(*one) for one in plain]
