"""The played market alone; prints its address and answers until it is ended. PUBLIC_URL is its listener."""

import logging
import os
import signal
import tempfile
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cabinet.settings")
django.setup()

from cabinet.sandbox.server import serving  # noqa: E402 - after setup
from subscriptions.evotor.sandbox.market import Market  # noqa: E402 - after setup
from subscriptions.evotor.sandbox.part import MarketPart  # noqa: E402 - after setup


def main() -> None:
    logging.disable(logging.WARNING)
    part = MarketPart(Market())
    part.begin()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving([part], port=0, state=Path(folder) / "sandbox.json") as server,
    ):
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
