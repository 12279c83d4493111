"""What makes a Celery worker die at a chosen step: taken in by `-I bench.named_mortal`.

The step stands in a file, which is gone before the worker is: it dies once. A delivery that bears the
word of poison takes all the memory, or ends its process, each time that it is processed.
"""

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings

from bench.named_steps import DIES, EATS, STEPS, WORD
from cabinet.celery import app
from smartcards import commands, reconcile
from subscriptions.evotor import handlers, inbox
from subscriptions.evotor.models import Delivery

_MORE = 64 * 1024 * 1024  # bytes that a limited process may still take

Step = Callable[..., Any]


def _reached(step: str) -> None:
    """`kill -9` to the worker with all its processes, where this is the step in the file."""
    word = Path(settings.LOCAL_DIR) / WORD
    try:
        if word.read_text(encoding="utf-8") != step:
            return
        word.unlink()
    except FileNotFoundError:
        return
    os.killpg(os.getpgid(0), signal.SIGKILL)


def _before(step: str, real: Step) -> Step:
    def dying(*arguments: Any, **named: Any) -> Any:
        _reached(step)
        return real(*arguments, **named)

    return dying


def _after(step: str, real: Step) -> Step:
    def dying(*arguments: Any, **named: Any) -> Any:
        answer = real(*arguments, **named)
        _reached(step)
        return answer

    return dying


def _ringing(real: Step) -> Step:
    woken = {
        "smartcards.reconcile_merchant": "event kept, nobody woken",
        "smartcards.dispatch": "command kept, nobody woken",
        "smartcards.clicks": "command kept, nobody woken",
    }

    def dying(task: str, *arguments: Any, **named: Any) -> Any:
        _reached(woken.get(task, ""))
        return real(task, *arguments, **named)

    return dying


def _poisonous(real: Step) -> Step:
    def poisoned(delivery: Delivery, *arguments: Any) -> Any:
        if EATS in delivery.body:
            _eat()
        if DIES in delivery.body:
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does to one that took too much
        return real(delivery, *arguments)

    return poisoned


def _eat() -> None:
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


def _take_the_places() -> None:
    for module, name, make, step in (
        (inbox, "process", _before, STEPS[0]),
        (handlers, "handle", _after, STEPS[1]),
        (reconcile, "reconcile_merchant", _before, STEPS[3]),
        (commands, "create", _after, STEPS[4]),
    ):
        setattr(module, name, make(step, getattr(module, name)))
    handlers.handle = _poisonous(handlers.handle)
    setattr(app, "send_task", _ringing(app.send_task))  # noqa: B010 - a method, which may not be assigned


_take_the_places()
