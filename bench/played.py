"""The played operators alone, without limits; prints the address and answers until it is ended."""

import logging
import signal
import tempfile
from pathlib import Path

from cabinet.sandbox.server import serving
from operators.sandbox.part import make


def main() -> None:
    logging.disable(logging.WARNING)
    with (
        tempfile.TemporaryDirectory() as folder,
        serving([make()], port=0, state=Path(folder) / "sandbox.json") as server,
    ):
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
