"""Which processes we started, on disk: finds those that outlived a killed launcher."""

import contextlib
import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

_SAME_START = 2.0  # seconds; the same process as seen before and after a small step of the clock
_TERM_TIMEOUT = 10.0  # seconds an orphan is given to end by itself


@dataclass(frozen=True)
class ProcessEntry:
    """One started process; a process with the same number and another start is not it."""

    name: str
    pid: int
    started: float  # seconds since the epoch, as psutil gives it
    stop_signal: int


class PidRegistry:
    """The processes of one LOCAL_DIR, on disk. Only the holder of the lock writes it."""

    def __init__(self, local_dir: Path) -> None:
        self._path = local_dir / "processes.json"

    def add(self, *, name: str, pid: int, stop_signal: int) -> None:
        """Remembers a process just started; an earlier one of that name is forgotten."""
        with contextlib.suppress(psutil.NoSuchProcess):
            entry = ProcessEntry(name, pid, psutil.Process(pid).create_time(), stop_signal)
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

    def _read(self) -> list[ProcessEntry]:
        try:
            return [
                ProcessEntry(**row) for row in json.loads(self._path.read_text(encoding="utf-8"))
            ]
        except (OSError, ValueError, TypeError):
            return []

    def _write(self, entries: list[ProcessEntry]) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps([asdict(entry) for entry in entries]), encoding="utf-8")
        fresh.replace(self._path)


def stop_process(process: psutil.Process, stop_signal: int) -> None:
    """Ends a process that is not our child: the signal, up to ten seconds, then SIGKILL to its group."""
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        process.send_signal(stop_signal)
        try:
            process.wait(_TERM_TIMEOUT)
        except psutil.TimeoutExpired:
            os.killpg(os.getpgid(process.pid), signal.SIGKILL)
            process.wait(_TERM_TIMEOUT)


def _alive(entry: ProcessEntry) -> psutil.Process | None:
    try:
        process = psutil.Process(entry.pid)
        same = abs(process.create_time() - entry.started) < _SAME_START
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
