"""What holds for the whole house: wake-ups that exist, services that know who and when, small modules."""

import ast
import inspect
import socket
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.template.loader import get_template
from pytest_socket import SocketConnectBlockedError

from cabinet.celery import app

ROOT = Path(settings.BASE_DIR)
APPS = ("cabinet", "operators", "smartcards", "subscriptions")
MOST_LINES = 400
# Lines of a function with its signature and docstring: the house is built of small ones.
MEDIAN_LINES, MOST_LINES_OF_NINE_IN_TEN = 8, 23

# Public functions of the writing modules that do not take both `by` and `at`, and why that is right.
SYSTEM_ACTS = "the system itself acts, the journal names it"
READS = "reads, or makes a value"
OUR_OWN_MARK = "a technical mark, not a change that a person would look for"
PROOF_FIRST = "nobody is known before the code or the password proves who it is"
MARKET_SAYS = "the market says so: the stored delivery is the author"
PART_OF_A_DEED = "a part of a larger deed: the caller holds the locks and writes the journal"
EXCEPTIONS = {
    "cabinet/services/codes.py:purge_codes": SYSTEM_ACTS,
    "cabinet/services/codes.py:send_code": PROOF_FIRST,
    "cabinet/services/codes.py:use_code": PROOF_FIRST,
    "cabinet/services/groups.py:ensure_groups": "runs after each migration, before any table of ours has an actor",
    "cabinet/services/people.py:check_may_own": READS,
    "cabinet/services/people.py:enter_first_time": PROOF_FIRST,
    "cabinet/services/people.py:note_entry": "the owner is the author, and comes as `owner`",
    "cabinet/services/people.py:person_by_phone": READS,
    "cabinet/services/people.py:send_sign_in_code": PROOF_FIRST,
    "cabinet/services/people.py:sign_in_by_code": PROOF_FIRST,
    "cabinet/services/staff.py:count_try": PROOF_FIRST,
    "cabinet/services/staff.py:note_sign_in": "the member of staff is the author, and comes as `user`",
    "cabinet/services/staff.py:staff_actor": READS,
    "operators/services.py:connect": READS,
    "operators/services.py:note_exchanges": OUR_OWN_MARK,
    "operators/services.py:ping": "a question to the operator changes nothing of ours",
    "operators/services.py:probe": "a question to the operator changes nothing of ours",
    "operators/services.py:workers_tokens": READS,
    "operators/services.py:working_account": READS,
    "smartcards/brake.py:database_mark": READS,
    "smartcards/brake.py:engage": SYSTEM_ACTS,
    "smartcards/brake.py:lets_through": SYSTEM_ACTS,
    "smartcards/brake.py:lock_brake": READS,
    "smartcards/brake.py:switched_off_in_window": READS,
    "smartcards/brake.py:watch": SYSTEM_ACTS,
    "smartcards/brake.py:watch_restore": SYSTEM_ACTS,
    "smartcards/coverage.py:leave_place": PART_OF_A_DEED,
    "smartcards/coverage.py:lock_places": PART_OF_A_DEED,
    "smartcards/coverage.py:settle_coverage": SYSTEM_ACTS,
    "smartcards/coverage.py:take_place": PART_OF_A_DEED,
    "smartcards/services.py:lock_card": READS,
    "subscriptions/evotor/services.py:gap_key": READS,
    "subscriptions/evotor/services.py:keep_cloud_token": MARKET_SAYS,
    "subscriptions/evotor/services.py:keep_shops": MARKET_SAYS,
    "subscriptions/evotor/services.py:keep_terminals": MARKET_SAYS,
    "subscriptions/evotor/services.py:note_synced": OUR_OWN_MARK,
    "subscriptions/evotor/services.py:refold": MARKET_SAYS,
    "subscriptions/evotor/services.py:refold_installations": MARKET_SAYS,
    "subscriptions/evotor/services.py:register": MARKET_SAYS,
    "subscriptions/services.py:alert_silent": SYSTEM_ACTS,
    "subscriptions/services.py:answer_market_requests": MARKET_SAYS,
    "subscriptions/services.py:silence_key": READS,
}

# Who may call `requests`: the doors to the outside, each with timeouts and limits of its own.
OUTSIDE_DOORS = {"operators/http.py", "subscriptions/evotor/client.py", "cabinet/messengers.py"}
# What speaks to a person at a terminal.
MAY_PRINT = ("cabinet/launcher/",)


@dataclass(frozen=True)
class Source:
    """One module of ours, tests and migrations aside."""

    path: str
    tree: ast.Module
    lines: int


@cache
def sources() -> tuple[Source, ...]:
    files = chain.from_iterable(sorted((ROOT / name).rglob("*.py")) for name in APPS)
    return tuple(_source(file) for file in files if not {"tests", "migrations"} & set(file.parts))


def _source(file: Path) -> Source:
    text = file.read_text(encoding="utf-8")
    return Source(file.relative_to(ROOT).as_posix(), ast.parse(text), len(text.splitlines()))


def functions(source: Source) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(source.tree) if isinstance(node, ast.FunctionDef))


def public(source: Source) -> Iterator[ast.FunctionDef]:
    """Functions that other modules may call."""
    top = (node for node in source.tree.body if isinstance(node, ast.FunctionDef))
    return (node for node in top if not node.name.startswith("_"))


def calls(source: Source, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            yield node


def is_writing(path: str) -> bool:
    file = Path(path)
    in_package = file.parent.name == "services" and file.name != "__init__.py"
    return in_package or (file.parent.name != "admin" and file.name in _WRITING)


_WRITING = {"services.py", "coverage.py", "brake.py"}


# --- what must be there ---------------------------------------------------------------------------


@pytest.mark.django_db
def test_models_have_all_their_migrations(capsys):
    try:
        call_command("makemigrations", check=True, dry_run=True)
    except SystemExit:
        pytest.fail(f"Run manage.py makemigrations: {capsys.readouterr().out}")


def _templates() -> list[str]:
    folder = ROOT / "templates"
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.*"))


@pytest.mark.parametrize("name", _templates())
def test_every_template_compiles(name):
    get_template(name)


# --- wake-ups -------------------------------------------------------------------------------------


@cache
def tasks() -> dict[str, Any]:
    app.loader.import_default_modules()
    return {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}


def test_every_wake_up_rings_for_a_task_that_takes_it():
    silent = [
        f"{source.path}:{call.lineno}"
        for source in sources()
        for call in calls(source, "wake", "ring")
        if not _is_answered(call)
    ]

    assert silent == []


def _is_answered(call: ast.Call) -> bool:
    name = call.args[0]
    if not isinstance(name, ast.Constant) or name.value not in tasks():
        return False
    given = {word.arg: None for word in call.keywords if word.arg}
    try:
        inspect.signature(tasks()[name.value].run).bind(**given)
    except TypeError:
        return False
    return True


def test_wake_ups_are_found_at_all():
    found = {call.args[0].value for source in sources() for call in calls(source, "wake", "ring")}

    assert {"smartcards.dispatch", "smartcards.reconcile_merchant", "evotor.process"} <= found


def test_every_regular_work_of_beat_exists_and_needs_nothing():
    broken = [
        entry
        for entry, plan in settings.CELERY_BEAT_SCHEDULE.items()
        if plan["task"] not in tasks() or not _runs_by_itself(tasks()[plan["task"]])
    ]

    assert broken == []


def _runs_by_itself(task: Any) -> bool:
    try:
        inspect.signature(task.run).bind()
    except TypeError:
        return False
    return True


def test_every_queue_of_a_route_is_one_that_workers_serve():
    routed = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    served = {queue.name for queue in app.conf.task_queues}

    assert routed <= served == set(settings.CELERY_TASK_QUEUES_NAMES)


# --- services -------------------------------------------------------------------------------------


def test_writes_are_told_who_and_when():
    careless = {
        f"{source.path}:{function.name}"
        for source in sources()
        if is_writing(source.path)
        for function in public(source)
        if not {"by", "at"} <= {argument.arg for argument in function.args.kwonlyargs}
    }

    assert careless - set(EXCEPTIONS) == set(), (
        "Take keyword-only `by` and `at`, or stand in EXCEPTIONS with the reason."
    )
    assert set(EXCEPTIONS) - careless == set(), "These exceptions are needed no more."


def test_what_others_call_says_what_it_gives():
    pure = {
        "rules.py",
        "periods.py",
        "pricing.py",
        "numbers.py",
        "fold.py",
        "queries.py",
        "access.py",
    }
    silent = [
        f"{source.path}:{function.name}"
        for source in sources()
        if is_writing(source.path) or Path(source.path).name in pure
        for function in public(source)
        if not ast.get_docstring(function)
    ]

    assert silent == []


def test_every_module_says_what_it_is_for():
    silent = [
        source.path
        for source in sources()
        if source.tree.body and not ast.get_docstring(source.tree)
        if "management/commands" not in source.path
    ]

    assert silent == []


# --- doors ----------------------------------------------------------------------------------------


def test_nobody_else_calls_out():
    callers = {
        source.path
        for source in sources()
        for node in ast.walk(source.tree)
        if "requests" in _imported(node)
    }

    assert callers == OUTSIDE_DOORS


def _imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {name.name.split(".")[0] for name in node.names}
    return (
        {node.module.split(".")[0]} if isinstance(node, ast.ImportFrom) and node.module else set()
    )


def test_nobody_prints():
    loud = [
        f"{source.path}:{call.lineno}"
        for source in sources()
        if not source.path.startswith(MAY_PRINT)
        for call in calls(source, "print", "breakpoint")
    ]

    assert loud == []


def test_only_the_doors_read_the_clock():
    """Rules and services are told the time; their tests need not move a clock."""
    watchers = [
        f"{source.path}:{node.lineno}"
        for source in sources()
        if is_writing(source.path)
        or Path(source.path).name in {"rules.py", "periods.py", "fold.py"}
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in _CLOCKS
    ]

    assert watchers == []


_CLOCKS = {"clock.now", "clock.real_now", "timezone.now", "datetime.now", "date.today", "time.time"}


@pytest.mark.filterwarnings("ignore:A test tried to use socket")
def test_a_test_cannot_reach_the_world():
    with pytest.raises(SocketConnectBlockedError):
        socket.create_connection(("192.0.2.1", 80), timeout=1)


# --- size -----------------------------------------------------------------------------------------


def test_modules_are_read_in_one_sitting():
    long = [f"{source.path}: {source.lines}" for source in sources() if source.lines > MOST_LINES]

    assert long == []


def test_functions_are_small():
    lengths = [
        node.end_lineno - node.lineno + 1 for source in sources() for node in functions(source)
    ]

    middle, nine_in_ten = statistics.median(lengths), statistics.quantiles(lengths, n=10)[-1]

    assert middle <= MEDIAN_LINES, f"the median function has {middle} lines"
    assert nine_in_ten <= MOST_LINES_OF_NINE_IN_TEN, f"one in ten has more than {nine_in_ten} lines"
