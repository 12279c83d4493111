"""The trace counts functions of ours, each once, in whatever thread they run."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench import call_trace

SAMPLE = """
import threading
from json import loads

class Till:
    @property
    def number(self):
        return 1

def outer(value):
    def inner():
        return [one for one in map(lambda x: x, (value, Till().number))]
    return inner()

def generated():
    yield outer(1)
    yield outer(2)

def in_a_thread():
    list(generated())
    loads("1")

def never():
    pass

def main():
    outer(3)
    thread = threading.Thread(target=in_a_thread, name="calls")
    thread.start()
    thread.join()

main()
"""


@pytest.fixture
def trees(tmp_path: Path) -> list[call_trace.CallTree]:
    """What a process wrote that ran the sample as a module of a package of ours."""
    (tmp_path / "operators").mkdir()
    (tmp_path / "operators" / "sample.py").write_text(SAMPLE, encoding="utf-8")
    output = tmp_path / "trees"
    subprocess.run(
        [sys.executable, call_trace.__file__, str(output), "web", "operators.sample"],
        cwd=tmp_path,
        check=True,
        timeout=60,
    )
    return call_trace.read(output)


def test_functions_are_counted_once_without_lambdas_and_comprehensions(trees):
    functions = {name for tree in trees for name in tree.functions}

    assert functions == {
        f"operators/sample.py:{name}"
        for name in ("in_a_thread", "generated", "outer", "outer.inner", "Till.number")
    }
    assert call_trace.count(trees) == (5, 1)


def test_route_shows_each_function_where_it_was_first_called(trees):
    assert list(call_trace.listing([*trees, *trees])) == [
        "web: thread calls",
        "  operators/sample.py:in_a_thread",
        "    operators/sample.py:generated",
        "      operators/sample.py:outer",
        "        operators/sample.py:outer.inner",
        "          operators/sample.py:Till.number",
    ]
