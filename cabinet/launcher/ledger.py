"""Remembers which processes we started, to find those that outlived a killed launcher."""

import contextlib
import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

_SAME_START = 2.0  # seconds; the same process as seen before and after a small step of the clock
_PATIENCE = 10.0  # seconds an orphan is given to end by itself


@dataclass(frozen=True)
class Entry:
    name: str
    pid: int
    started: float  # seconds since the epoch, as psutil tells it
    stop_signal: int


class Ledger:
    """The processes of one LOCAL_DIR, on disk. Only the holder of the lock writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, *, name: str, pid: int, stop_signal: int) -> None:
        """Remembers a process just started; an earlier one of that name is forgotten."""
        with contextlib.suppress(psutil.NoSuchProcess):
            entry = Entry(name, pid, psutil.Process(pid).create_time(), stop_signal)
            self._write([old for old in self._read() if old.name != name] + [entry])

    def sweep(self) -> list[str]:
        """Stops what is still alive of an earlier run, politely and then by force; returns the
        names.
        """
        found = [(entry, process) for entry in self._read() if (process := _alive(entry))]
        for entry, process in found:
            stop_process(process, entry.stop_signal)
        self._write([])
        return [entry.name for entry, _ in found]

    def _read(self) -> list[Entry]:
        try:
            return [Entry(**row) for row in json.loads(self._path.read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError):
            return []

    def _write(self, entries: list[Entry]) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps([asdict(entry) for entry in entries]), encoding="utf-8")
        fresh.replace(self._path)


def stop_process(process: psutil.Process, stop_signal: int) -> None:
    """Ends a process that is not our child: the signal, patience, then SIGKILL to its group."""
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        process.send_signal(stop_signal)
        try:
            process.wait(_PATIENCE)
        except psutil.TimeoutExpired:
            os.killpg(os.getpgid(process.pid), signal.SIGKILL)
            process.wait(_PATIENCE)


def _alive(entry: Entry) -> psutil.Process | None:
    try:
        process = psutil.Process(entry.pid)
        same = abs(process.create_time() - entry.started) < _SAME_START
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
