"""Keeps the state of the parts in one file between two starts."""

import json
import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cabinet.sandbox.http import Part

logger = logging.getLogger(__name__)


class Store:
    """Writes soon after something happened, and at the end; whole or not at all."""

    def __init__(
        self, path: Path, parts: Sequence[Part], *, delay: float = 0.5, regularly: float = 5.0
    ) -> None:
        """`delay` seconds pass between a touch and the writing, so that a burst is written once.

        Parts change by themselves too (repeats of hooks), so every `regularly` seconds their state
        is looked at anyway.
        """
        self._path = path
        self._parts = parts
        self._delay = delay
        self._regularly = regularly
        self._touched = threading.Event()
        self._ended = threading.Event()
        self._written = ""
        self._thread = threading.Thread(target=self._work, name="sandbox-store", daemon=True)

    def open(self) -> None:
        """Gives the parts what was kept, and begins to write."""
        self._load()
        self._thread.start()

    def touch(self) -> None:
        """Something may have changed."""
        self._touched.set()

    def close(self) -> None:
        """Writes for the last time."""
        self._ended.set()
        self._touched.set()
        self._thread.join()
        self.save()

    def save(self) -> None:
        """Writes now what differs from the file."""
        kept = {part.name: data for part in self._parts if (data := part.dump()) is not None}
        text = json.dumps(kept, ensure_ascii=False)
        if text == self._written:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self._path)
        self._written = text

    def _load(self) -> None:
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except ValueError:
            self._set_aside()
            return
        for part in self._parts:
            if part.name in kept:
                self._give(part, kept[part.name])

    def _give(self, part: Part, data: Any) -> None:
        # State written by other code must not keep the sandbox from starting.
        try:
            part.load(data)
        except Exception:
            logger.exception("Could not give the sandbox's part %s what was kept", part.name)
            self._set_aside()

    def _set_aside(self) -> None:
        aside = self._path.with_suffix(".broken")
        with suppress(FileNotFoundError):  # another part was first
            self._path.replace(aside)
        logger.warning("The sandbox's state cannot be read, it begins anew; see %s", aside)

    def _work(self) -> None:
        while not self._ended.is_set():
            if self._touched.wait(self._regularly):
                self._ended.wait(self._delay)
            self._touched.clear()
            try:
                self.save()
            except Exception:
                logger.exception("Could not keep the sandbox's state")
