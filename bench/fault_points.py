"""Points at which a process of ours kills itself when a run names them: `kill -9` in the middle of its work.

A process dies at the point that stands in the file `LOCAL_DIR/die-at`, once.
Of a notification that carries one of the two poison marks it dies, or takes all its memory, each time.
With CLOCK_AHEAD its Celery is so many seconds early.
"""

import os
import resource
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings

from cabinet.celery import app
from smartcards import commands
from smartcards.dispatch import outbox, outcomes
from smartcards.reconciliation import reconcile
from subscriptions.evotor.inbox import MarketInbox

FILE = "die-at"
EATS_MEMORY, KILLS_PROCESS = "bench-eats-memory", "bench-ends-its-process"
# A click in the web.
BEFORE_PUBLISH = "committed, nothing published"
# A renewal in a worker, in the order in which it passes them.
OF_RENEWAL = (
    "before the event is read",
    "amid the event's transaction",
    "event kept, nothing published",
    "before the cards are compared",
    "amid the command's transaction",
    "command kept, nothing published",
)
# A command in the process that calls operators.
OF_COMMAND = ("before call", "after call", "before write", "amid write", "after write")
_MORE = 64 * 1024 * 1024  # bytes that a limited process may still take

Function = Callable[..., Any]


def install() -> None:
    """Put every point into this process. A point costs nothing until it is named."""
    replacements: tuple[tuple[Any, str, Callable[[Function], Function]], ...] = (
        (MarketInbox, "process", _dying(before=OF_RENEWAL[0])),
        (MarketInbox, "handle", _poisonous),
        (MarketInbox, "handle", _dying(after=OF_RENEWAL[1])),
        (reconcile, "reconcile_merchant", _dying(before=OF_RENEWAL[3])),
        (commands, "create_many", _dying(after=OF_RENEWAL[4])),
        (outbox, "send", _dying(before=OF_COMMAND[0], after=OF_COMMAND[1])),
        (outbox, "record", _dying(before=OF_COMMAND[2], after=OF_COMMAND[4])),
        (outcomes, "apply_submit", _dying(after=OF_COMMAND[3])),
        (app, "send_task", _publishing),
        (app, "now", _early),
    )
    for owner, name, replace in replacements:
        setattr(owner, name, replace(getattr(owner, name)))


def _dying(*, before: str = "", after: str = "") -> Callable[[Function], Function]:
    """Points before and after a function; "" is none."""

    def replace(real: Function) -> Function:
        def dying(*arguments: Any, **named: Any) -> Any:
            _reached(before)
            answer = real(*arguments, **named)
            _reached(after)
            return answer

        return dying

    return replace


def _publishing(real: Function) -> Function:
    def publishing(task: str, *arguments: Any, **named: Any) -> Any:
        if task in settings.CELERY_TASK_ROUTES:  # a task that calls an operator
            _reached(OF_RENEWAL[5])
            _reached(BEFORE_PUBLISH)
        if task == "smartcards.reconcile_merchant":
            _reached(OF_RENEWAL[2])
        return real(task, *arguments, **named)

    return publishing


def _early(real: Function) -> Function:
    ahead = timedelta(seconds=int(os.environ.get("CLOCK_AHEAD", "0")))
    return lambda: real() + ahead


def _reached(point: str) -> None:
    if not point:
        return
    file = Path(settings.LOCAL_DIR) / FILE
    try:
        if file.read_text(encoding="utf-8") != point:
            return
        file.unlink()
    except FileNotFoundError:
        return
    if point in OF_RENEWAL:  # the worker with all its processes
        os.killpg(os.getpgid(0), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _poisonous(real: Function) -> Function:
    def poisoned(inbox: MarketInbox, delivery: Any, at: Any) -> Any:
        if EATS_MEMORY in delivery.body:
            _eat_memory()
        if KILLS_PROCESS in delivery.body:
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does to one that took too much
        return real(inbox, delivery, at)

    return poisoned


def _eat_memory() -> None:
    """All the memory that this process may have. Raises MemoryError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + _MORE, hard))
    eaten = []
    try:
        while True:
            eaten.append(bytearray(1024 * 1024))
    finally:
        eaten.clear()
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
