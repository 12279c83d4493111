"""The played operators alone, without limits; prints the address and answers until it is ended."""

import logging
import signal
import tempfile
from pathlib import Path

from cabinet.sandbox.http import Part, Route
from cabinet.sandbox.server import serving
from operators.sandbox.part import make


class Forgetful:
    """A part whose state is kept on no disk: writing ten thousand cards down twice a second would
    stop its answers for a quarter of a second each time, and be measured as ours.
    """

    def __init__(self, part: Part) -> None:
        self._part = part
        self.name = part.name

    def routes(self) -> list[Route]:
        """The part's own."""
        return self._part.routes()

    def panel(self) -> str:
        """Nobody looks."""
        return ""

    def dump(self) -> None:
        """Nothing to keep."""

    def load(self, data: object) -> None:
        """Nothing was kept."""


def main() -> None:
    logging.disable(logging.WARNING)
    with (
        tempfile.TemporaryDirectory() as folder,
        serving([Forgetful(make())], port=0, state=Path(folder) / "sandbox.json") as server,
    ):
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
