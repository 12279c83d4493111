"""A worker process that does what the workers and the sweep do, again and again until it is ended.

`python -m bench.worker 7` works one account, `python -m bench.worker all` every account.
"""

import sys
import threading
import time

from bench import place


def main(chosen: str) -> None:
    place.prepare()
    # After setup.
    from operators.models import OperatorAccount  # noqa: PLC0415

    rows = OperatorAccount.objects.filter(enabled=True)
    ids = list(rows.values_list("pk", flat=True)) if chosen == "all" else [int(chosen)]
    print("ready", flush=True)
    for account_id in ids:
        threading.Thread(target=_work, args=(account_id,), daemon=True).start()
    while True:
        _sweep()
        time.sleep(0.3)


def _work(account_id: int) -> None:
    # After setup.
    from cabinet import clock  # noqa: PLC0415
    from smartcards import line  # noqa: PLC0415

    while True:
        sent, asked = line.work(account_id=account_id, clock=clock.now, budget=30)
        if not sent and not asked:
            time.sleep(0.05)


def _sweep() -> None:
    # After setup.
    from cabinet import clock  # noqa: PLC0415
    from smartcards import dispatch  # noqa: PLC0415

    dispatch.release_stuck(at=clock.now())


if __name__ == "__main__":
    main(sys.argv[1])
