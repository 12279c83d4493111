"""A worker process of one account: works the line again and again until it is ended."""

import sys
import time

from bench import place


def main(account_id: int) -> None:
    place.prepare()
    # After setup.
    from cabinet import clock  # noqa: PLC0415
    from smartcards import line  # noqa: PLC0415

    print("ready", flush=True)
    while True:
        sent, asked = line.work(account_id=account_id, clock=clock.now, budget=30)
        if not sent and not asked:
            time.sleep(0.01)


if __name__ == "__main__":
    main(int(sys.argv[1]))
