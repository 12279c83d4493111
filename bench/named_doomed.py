"""A worker that kills itself at a chosen step: `python -m bench.named_doomed 7 "after call"`."""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from bench import place

Maker = Callable[[Callable[..., Any]], Callable[..., Any]]
STEPS = ("before call", "after call", "before write", "amid write", "after write")


def main(account_id: int, step: str) -> None:
    """Works one account until the step is reached."""
    place.prepare()
    # After setup.
    from cabinet import clock  # noqa: PLC0415
    from smartcards import commands, dispatch, line, outcomes  # noqa: PLC0415

    before, after = _dying(before=True), _dying(before=False)
    places: dict[str, list[tuple[Any, str, Maker]]] = {
        "before call": [(dispatch, "send", before)],
        "after call": [(dispatch, "send", after)],
        "before write": [(dispatch, "record", before)],
        "amid write": [(outcomes, "apply_submit", after), (commands, "finish_done_many", after)],
        "after write": [(dispatch, "record", after)],
    }
    for module, name, make in places[step]:
        setattr(module, name, make(getattr(module, name)))
    print("ready", flush=True)
    while True:
        line.work(account_id=account_id, clock=clock.now, budget=30)
        time.sleep(0.05)


def _dying(*, before: bool) -> Maker:
    def make(real: Callable[..., Any]) -> Callable[..., Any]:
        def dying(*arguments: Any, **named: Any) -> None:
            if not before:
                real(*arguments, **named)
            os.kill(os.getpid(), signal.SIGKILL)

        return dying

    return make


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
