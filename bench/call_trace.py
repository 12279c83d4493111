"""Which functions of ours a process runs: a profile function that writes call trees, and their counting.

`python bench/call_trace.py OUTPUT PROCESS MODULE ARGUMENTS…` runs a module under the trace. Each tree that
ends (one request, one task, one call in a thread pool) is a JSON line of OUTPUT; see `CallTree`.
"""

import json
import runpy
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

OWN_PACKAGES = ("cabinet", "subscriptions", "operators", "smartcards")
NOT_COUNTED = {"tests", "sandbox", "migrations", "launcher", "demo.py"}
# What a reader wants to see of others' code, by file and function: a sentence made of its arguments.
_LANDMARKS = {
    ("http/client.py", "HTTPConnection.putrequest"): "HTTP {method} {url}",
    ("django/db/backends/base/base.py", "BaseDatabaseWrapper.commit"): "COMMIT",
    ("celery/app/base.py", "Celery.send_task"): "queue {name}",
}
_ARROW = "→ "


@dataclass
class CallTree:
    """One outermost call of ours. `label` is what began it: a request's method and path, or a task's name.

    `began` is `time.monotonic()`, which all processes of a machine share. `calls` are depth and name, in
    call order, a function once: `file:qualified name`, or a landmark.
    """

    process: str
    label: str
    began: float
    calls: list[tuple[int, str]] = field(default_factory=list)

    @property
    def functions(self) -> list[str]:
        """The names without landmarks."""
        return [name for _, name in self.calls if not name.startswith(_ARROW)]


def read(path: Path) -> list[CallTree]:
    """The trees written so far, in the order in which they began."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    trees = [CallTree(**json.loads(line)) for line in lines]
    return sorted(trees, key=lambda tree: tree.began)


def count(trees: Iterable[CallTree]) -> tuple[int, int]:
    """How many functions of ours ran, each counted once, and in how many files."""
    names = {name for tree in trees for name in tree.functions}
    return len(names), len({name.split(":")[0] for name in names})


def by_file(trees: Iterable[CallTree]) -> Iterator[str]:
    """Each file with the number of its functions that ran, the most first."""
    names = {name for tree in trees for name in tree.functions}
    numbers = Counter(name.split(":")[0] for name in names)
    return (f"{number:4} {file}" for file, number in numbers.most_common())


def listing(trees: Iterable[CallTree]) -> Iterator[str]:
    """The route in call order, each function where it was called first."""
    known: set[str] = set()
    for tree in trees:
        new = [(depth, name) for depth, name in tree.calls if name not in known]
        known.update(tree.functions)
        if any(not name.startswith(_ARROW) for _, name in new):
            yield f"{tree.process}: {tree.label}"
            yield from ("  " * depth + name for depth, name in new)


class Tracer:
    """A profile function for `sys.setprofile`; writes each finished tree to `output`."""

    def __init__(self, project: Path, output: Path, process: str) -> None:
        self._project, self._process = f"{project}/", process
        self._file = output.open("a", encoding="utf-8", buffering=1)
        self._here = threading.local()
        self._lock = threading.Lock()
        self._name = lru_cache(maxsize=None)(self._name_of)

    def start(self) -> None:
        """Trace this thread and every thread that is begun from now on, after a fork too."""
        threading.setprofile(self)
        sys.setprofile(self)

    def label(self, label: str) -> None:
        """What the next tree of this thread is."""
        self._here.label = label

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        here, name = self._here, self._name(frame.f_code)
        depth = here.__dict__.setdefault("depth", 0)
        if not name:
            if event == "call" and frame.f_code.co_qualname == "WSGIHandler.__call__":
                environ = frame.f_locals["environ"]
                self.label(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        elif name.startswith(_ARROW):
            if event == "call" and depth:
                here.calls.append((depth + 1, name.format_map(frame.f_locals)))
        elif event == "call":
            self._enter(name)
        elif event == "return" and depth:  # else it was entered before the trace began
            here.depth -= 1
            if not here.depth:
                self._write()

    def _enter(self, name: str) -> None:
        here = self._here
        if not here.depth:
            here.began, here.calls, here.seen = time.monotonic(), [], set()
        here.depth += 1
        if name not in here.seen:
            here.seen.add(name)
            here.calls.append((here.depth, name))

    def _write(self) -> None:
        here, thread = self._here, threading.current_thread()
        label = getattr(here, "label", "")
        if not label and thread is threading.main_thread():
            return  # the message queue's polling, which goes on when nothing comes too
        tree = CallTree(self._process, label or f"thread {thread.name}", here.began, here.calls)
        with self._lock:
            self._file.write(json.dumps(asdict(tree)) + "\n")

    def _name_of(self, code: CodeType) -> str | None:
        """A landmark's sentence; None for others' code, modules, class bodies, lambdas and comprehensions."""
        for (file, landmark), sentence in _LANDMARKS.items():
            if code.co_qualname == landmark and code.co_filename.endswith(file):
                return _ARROW + sentence
        path = code.co_filename.removeprefix(self._project)
        parts = path.split("/")
        qualname = code.co_qualname.replace(".<locals>", "")
        if parts[0] not in OWN_PACKAGES or not NOT_COUNTED.isdisjoint(parts):
            return None
        if not code.co_flags & CO_OPTIMIZED or "<" in qualname.rsplit(".", 1)[-1]:
            return None
        return f"{path}:{qualname}"


def main(output: str, process: str, module: str, *arguments: str) -> None:
    """Runs the module as `python -m` would, under the trace."""
    project = Path.cwd()
    sys.path[0] = str(project)
    from celery.signals import task_postrun, task_prerun  # noqa: PLC0415 - of this mode only

    tracer = Tracer(project, Path(output), process)

    def began(task: Any, **_others: Any) -> None:
        tracer.label(f"task {task.name}")

    def ended(**_others: Any) -> None:
        tracer.label("")

    task_prerun.connect(began, weak=False)
    task_postrun.connect(ended, weak=False)
    sys.argv = [module, *arguments]
    tracer.start()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
