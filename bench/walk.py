"""`make walk`: the way of a click to the operator and back, and of a market's webhook to a queued command.

Web and workers run under the trace of `bench.call_trace`, with the played МТС. There is no beat: only what
the click and the webhook cause is seen. Prints the route and, last, how many functions of ours it has in how
many files.
"""

import argparse
import time
from dataclasses import replace
from datetime import timedelta

from bench import call_trace, rows
from bench.harness import Harness
from bench.timing import until
from cabinet import clock
from cabinet.enums import Role
from cabinet.tasks.task_queue import enqueue_now
from smartcards.models import SmartCard
from subscriptions import demo

_USER_ID = "01-960000000000001"
_PAID_FOR = timedelta(days=32)
_SETTLE = 1.5  # seconds in which trees that are still open come to their end


def main(harness: Harness, _asked: argparse.Namespace) -> int:
    walk = Walk(harness)
    ways = {"click": walk.click(), "webhook": walk.webhook()}
    for title, trees in ways.items():
        print(f"\n=== {title}: the route\n", *call_trace.listing(trees), sep="\n")
        print(f"\n=== {title}: functions by file\n", *call_trace.by_file(trees), sep="\n")
    print()
    for title, trees in ways.items():
        functions, files = call_trace.count(trees)
        print(f"{title}: {functions} functions, {files} files")
    return 0


class Walk:
    """A merchant who has bought a month for two cards in the played market."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self._trees = harness.servers.folder / "trees"
        self._trees.unlink(missing_ok=True)
        demo.seed(clock.now())
        subscription = harness.bought(_USER_ID, deviceNumber=2)
        account = rows.account(
            "mts", harness.product.sandbox, per_second=3, per_minute=60, poll_plan=[1]
        )
        self._cards = rows.undecided(harness.product.sandbox, account, subscription, 2)
        self._owner = harness.person(subscription, Role.OWNER, "Анна Первая")
        harness.processes.kill("beat")
        for name in ("web", "worker", "operators"):
            self._trace(name)
        until(harness.is_alive, "the web does not start", seconds=60)

    def _trace(self, name: str) -> None:
        """Start the process anew, under the trace."""
        processes = self._harness.processes
        spec = processes.specs[name]
        python, _, *module = spec.argv
        tool = (python, call_trace.__file__, str(self._trees), name)
        processes.specs[name] = replace(spec, argv=(*tool, *module))
        processes.restart(name)

    def click(self) -> list[call_trace.CallTree]:
        """«Активировать», up to the outcome in our database; as on any day, not the first one: the worker
        knows the operator's token from a switch before.
        """
        self._activate(self._cards[0])
        time.sleep(_SETTLE)
        began = time.monotonic()
        self._activate(self._cards[1])
        return self._since(began)

    def webhook(self) -> list[call_trace.CallTree]:
        """The market has charged for the next month: from its event to the command that waits in our table."""
        clock.advance(_PAID_FOR.total_seconds())
        before = self._commands()
        self._harness.act_in_market("terminate", _USER_ID)
        self._wait_for_command(before)
        self._harness.processes.kill("operators")
        before, began = self._commands(), time.monotonic()
        self._harness.act_in_market("renew", _USER_ID)
        until(lambda: self._commands() > before, "no command of the renewal", seconds=60)
        # The sandbox installs the module again, which a renewal does not.
        other = "installation_event"
        trees = self._since(began)
        return [one for one in trees if not any(other in name for name in one.functions)]

    def _activate(self, card: SmartCard) -> None:
        before = self._commands()
        answer = self._owner.activate(card)
        assert answer.ok, f"the click was answered {answer.status_code}"
        self._wait_for_command(before)

    def _commands(self) -> int:
        return self._harness.commands(self._cards).count()

    def _wait_for_command(self, before: int) -> None:
        """A new command is done. When its answer is to be asked for, a wake-up is sent as the sweep does."""
        until(lambda: self._commands() > before, "no command", seconds=60)
        open_ones = self._harness.commands(self._cards).exclude(state="done")

        def is_done() -> bool:
            time.sleep(1)
            if not open_ones.exists():
                return True
            enqueue_now("smartcards.dispatch", account_id=self._cards[0].account_id)
            return False

        until(is_done, "no outcome", seconds=60)

    def _since(self, moment: float) -> list[call_trace.CallTree]:
        """The trees begun since that moment, when all of them have ended; without the pages shown after it."""
        time.sleep(_SETTLE)
        trees = [one for one in call_trace.read(self._trees) if one.began >= moment]
        return [one for one in trees if not one.label.startswith("GET")]
