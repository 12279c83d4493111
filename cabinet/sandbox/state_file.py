"""Keeps the state of the parts in one file between two starts."""

import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cabinet.sandbox.http import Part

logger = logging.getLogger(__name__)


class StateFile:
    """Writes what has changed, whole or not at all."""

    def __init__(self, path: Path, parts: Sequence[Part]) -> None:
        self._path = path
        self._parts = parts
        self._written = ""

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

    def load(self) -> None:
        """Gives the parts what was kept."""
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except ValueError:
            self._set_aside()
            return
        for part in self._parts:
            if part.name in kept:
                self._restore(part, kept[part.name])

    def _restore(self, part: Part, data: Any) -> None:
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
