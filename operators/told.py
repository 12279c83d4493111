"""What an adapter makes of a question, said of the calls that it took.

The door knows statuses only: whether an answer means that our keys are refused, each adapter knows by
words of its own. So the exchanges of one question are handed on when it is answered, the last of them
with the adapter's word.
"""

import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from operators.heard import Exchange
from operators.ports import ErrorClass, Unavailable

logger = logging.getLogger(__name__)

Hook = Callable[[Exchange], None]

_waiting: ContextVar[list[tuple[Hook, Exchange]]] = ContextVar("operators_told_waiting")


def once_told(hook: Hook) -> Hook:
    """The hook of a door whose questions are asked within `heard_out`; outside of it, as it is."""

    def wait(exchange: Exchange) -> None:
        waiting = _waiting.get(None)
        if waiting is None:
            hook(exchange)
        else:
            waiting.append((hook, exchange))

    return wait


def heard_out(ask: Callable[[], Any]) -> Any:
    """What `ask` returns or raises; its exchanges are handed on in this thread, in order."""
    waiting: list[tuple[Hook, Exchange]] = []
    token = _waiting.set(waiting)
    told: ErrorClass | None = None
    try:
        result = ask()
        told = getattr(result, "error", None)
    except Unavailable as trouble:
        told = trouble.error
        raise
    finally:
        _waiting.reset(token)
        _hand_on(waiting, told)
    return result


def _hand_on(waiting: list[tuple[Hook, Exchange]], told: ErrorClass | None) -> None:
    last = len(waiting) - 1
    for place, (hook, exchange) in enumerate(waiting):
        try:
            hook(replace(exchange, told=told) if place == last else exchange)
        except Exception:
            # A broken measure must not hide the answer.
            logger.exception("Could not note the exchange with %s", exchange.account)
