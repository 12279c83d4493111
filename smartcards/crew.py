"""A small crew of threads that takes the most urgent job first: a click passes what was begun before it."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from queue import PriorityQueue
from types import TracebackType
from typing import Self

_LAST = 1_000_000


@dataclass(order=True)
class _Task:
    priority: int
    number: int
    future: "Future[object]" = field(compare=False)
    job: Callable[[], object] | None = field(compare=False, default=None)


class Crew:
    """Threads of one line; leaving the block waits for every job that was given."""

    def __init__(self, size: int) -> None:
        self._tasks: PriorityQueue[_Task] = PriorityQueue()
        self._numbers = count()
        self._width = size
        self._widened = threading.Condition()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"line-{number}", daemon=True)
            for number in range(size)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.widen(len(self._threads))
        for _ in self._threads:
            self._tasks.put(_Task(_LAST, next(self._numbers), Future()))
        for thread in self._threads:
            thread.join()

    def give(self, job: Callable[[], object], *, priority: int) -> "Future[object]":
        """The job's answer to come; the smaller priority is taken first, equal ones in turn."""
        future: Future[object] = Future()
        self._tasks.put(_Task(priority, next(self._numbers), future, job))
        return future

    def widen(self, width: int) -> None:
        """So many of the threads take jobs from now on; the others finish theirs and rest."""
        with self._widened:
            self._width = width
            self._widened.notify_all()

    def _run(self, number: int) -> None:
        while (task := self._next(number)).job is not None:
            try:
                task.future.set_result(task.job())
            except Exception as error:  # noqa: BLE001 - whoever asks for the result gets it
                task.future.set_exception(error)

    def _next(self, number: int) -> _Task:
        with self._widened:
            self._widened.wait_for(lambda: number < self._width)
        return self._tasks.get()
