"""Rules of the whole project: queued tasks exist, services know who and when, names, sizes."""

import ast
import inspect
import re
import socket
import statistics
from collections import Counter
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
# Lines of a function with its signature and docstring.
MEDIAN_LINES, MOST_LINES_OF_NINE_IN_TEN, MOST_LINES = 6, 20, 45
# Modules of one folder, besides those that Django, Celery or Python look for by name.
MOST_MODULES = 15
FOUND_BY_NAME = {"__init__", "__main__", "apps", "celery", "models", "settings", "urls", "wsgi"}
# Metaphors and private words that say nothing to a newcomer; names are made of standard terms.
VAGUE = {"crew", "deed", "door", "doors", "floor", "heard", "house", "journal", "landing", "letter"}
VAGUE |= {"matter", "mourn", "patience", "ring", "said", "shelf", "stranger", "strangers", "tether"}
VAGUE |= {"told", "verdict", "wake", "wish", "word", "words"}

# Public functions of the writing modules that do not take both `by` and `at`, and why that is right.
SYSTEM_ACTS = "the system itself acts, the audit log names it"
READS = "reads, or makes a value"
OUR_OWN_MARK = "technical data, not a change that a person would look for"
PROOF_FIRST = "the person is unknown before the code or the password is checked"
MARKET_SAYS = "the market reports it: the stored delivery is the author"
PART_OF_A_CHANGE = "a part of a larger change: the caller holds the locks and writes the audit log"
EXCEPTIONS = {
    "cabinet/accounts/services/email_confirmation.py:confirm": PROOF_FIRST,
    "cabinet/accounts/services/email_confirmation.py:send_link": PART_OF_A_CHANGE,
    "cabinet/accounts/services/login_codes.py:purge_codes": SYSTEM_ACTS,
    "cabinet/accounts/services/login_codes.py:newest_code": READS,
    "cabinet/accounts/services/login_codes.py:send_code": PROOF_FIRST,
    "cabinet/accounts/services/login_codes.py:use_code": PROOF_FIRST,
    "cabinet/accounts/services/owner_news.py:tell_of_new_contacts": PART_OF_A_CHANGE,
    "cabinet/accounts/services/owner_news.py:tell_of_new_owner": PART_OF_A_CHANGE,
    "cabinet/accounts/services/step_up.py:send_code": PROOF_FIRST,
    "cabinet/accounts/services/second_factor.py:app_address": READS,
    "cabinet/accounts/services/second_factor.py:check": PROOF_FIRST,
    "cabinet/accounts/services/second_factor.py:is_required": READS,
    "cabinet/accounts/services/second_factor.py:is_set_up": READS,
    "cabinet/accounts/services/second_factor.py:new_secret": READS,
    "cabinet/accounts/services/sessions.py:begin": "the sign-in itself is recorded by its own service",
    "cabinet/accounts/services/sessions.py:is_factor_missing": READS,
    "cabinet/accounts/services/sessions.py:is_of_staff": READS,
    "cabinet/accounts/services/sessions.py:keep_or_end": OUR_OWN_MARK,
    "cabinet/accounts/services/sessions.py:pass_factor": OUR_OWN_MARK,
    "cabinet/accounts/services/sessions.py:purge": SYSTEM_ACTS,
    "cabinet/accounts/services/staff_groups.py:ensure_groups": "runs after migrations: nobody acts",
    "cabinet/accounts/services/people.py:check_can_be_owner": READS,
    "cabinet/accounts/services/people.py:check_has_no_owner": READS,
    "cabinet/accounts/services/people.py:register_owner": PROOF_FIRST,
    "cabinet/accounts/services/people.py:record_entry": "the author comes as `owner`",
    "cabinet/accounts/services/people.py:tell_new_device": SYSTEM_ACTS,
    "cabinet/accounts/services/people.py:user_by_phone": READS,
    "cabinet/accounts/services/people.py:send_sign_in_code": PROOF_FIRST,
    "cabinet/accounts/services/people.py:sign_in_by_code": PROOF_FIRST,
    "cabinet/accounts/services/staff_sign_in.py:count_attempt": PROOF_FIRST,
    "cabinet/accounts/services/staff_sign_in.py:record_sign_in": "the author comes as `user`",
    "cabinet/accounts/services/staff_sign_in.py:staff_actor": READS,
    "operators/services.py:record_exchanges": OUR_OWN_MARK,
    "operators/services.py:working_account": READS,
    "smartcards/mass_operations/services.py:change": PART_OF_A_CHANGE,
    "smartcards/mass_operations/services.py:lock": READS,
    "smartcards/mass_operations/services.py:selection_of": READS,
    "smartcards/safety_brake.py:database_mark": READS,
    "smartcards/safety_brake.py:engage": SYSTEM_ACTS,
    "smartcards/safety_brake.py:allowed_switch_offs": SYSTEM_ACTS,
    "smartcards/safety_brake.py:lock_brake": READS,
    "smartcards/safety_brake.py:switched_off_in_window": READS,
    "smartcards/safety_brake.py:watch": SYSTEM_ACTS,
    "smartcards/safety_brake.py:watch_restore": SYSTEM_ACTS,
    "smartcards/reconciliation/paid_slots.py:free_slot": PART_OF_A_CHANGE,
    "smartcards/reconciliation/paid_slots.py:lock_slots": PART_OF_A_CHANGE,
    "smartcards/reconciliation/paid_slots.py:settle_coverage": SYSTEM_ACTS,
    "smartcards/reconciliation/paid_slots.py:occupy_slot": PART_OF_A_CHANGE,
    "smartcards/services.py:lock_card": READS,
    "smartcards/services.py:lock_card_named": READS,
    "smartcards/services.py:lock_command": READS,
    "smartcards/services.py:lock_numbers": READS,
    "smartcards/services.py:lock_numbers_now": READS,
    "subscriptions/evotor/services.py:keep_cloud_token": MARKET_SAYS,
    "subscriptions/evotor/services.py:keep_shops": MARKET_SAYS,
    "subscriptions/evotor/services.py:keep_terminals": MARKET_SAYS,
    "subscriptions/evotor/services.py:note_synced": OUR_OWN_MARK,
    "subscriptions/evotor/services.py:rebuild_subscription": MARKET_SAYS,
    "subscriptions/evotor/services.py:rebuild_installations": MARKET_SAYS,
    "subscriptions/evotor/services.py:register": MARKET_SAYS,
    "subscriptions/services.py:alert_silent": SYSTEM_ACTS,
    "subscriptions/services.py:answer_market_requests": MARKET_SAYS,
    "subscriptions/services.py:link_charge": MARKET_SAYS,
    "subscriptions/services.py:project_installations": MARKET_SAYS,
    "subscriptions/services.py:project_market": MARKET_SAYS,
    "subscriptions/services.py:visible_changes": READS,
}

# Who may import `requests`: HTTP clients, each with timeouts and limits of its own. That of operators is
# `operators/client/http.py`, by `urllib3`; that of messages is `cabinet/messaging/notifications.py`, by `http.client`.
HTTP_CLIENTS = {
    "subscriptions/evotor/cloud.py",
    "cabinet/sandbox/outgoing.py",
}
# Programs for a person at a terminal.
MAY_PRINT = ("cabinet/launcher/",)


@dataclass(frozen=True)
class Source:
    """One module of ours, tests and migrations aside."""

    path: str
    tree: ast.Module


@cache
def sources() -> tuple[Source, ...]:
    files = chain.from_iterable(sorted((ROOT / name).rglob("*.py")) for name in APPS)
    return tuple(_source(file) for file in files if not {"tests", "migrations"} & set(file.parts))


def _source(file: Path) -> Source:
    return Source(file.relative_to(ROOT).as_posix(), ast.parse(file.read_text(encoding="utf-8")))


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


_WRITING = {"services.py", "paid_slots.py", "safety_brake.py"}


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


# --- tasks ----------------------------------------------------------------------------------------


QUEUEING = ("enqueue_on_commit", "enqueue_now", "enqueue_soon")


@cache
def tasks() -> dict[str, Any]:
    app.loader.import_default_modules()
    return {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}


def test_every_queued_task_exists_with_these_arguments():
    unknown = [
        f"{source.path}:{call.lineno}"
        for source in sources()
        for call in calls(source, *QUEUEING)
        if not _is_accepted(call)
    ]

    assert unknown == []


def _is_accepted(call: ast.Call) -> bool:
    name = call.args[0]
    if not isinstance(name, ast.Constant) or name.value not in tasks():
        return False
    given = {keyword.arg: None for keyword in call.keywords if keyword.arg}
    try:
        inspect.signature(tasks()[name.value].run).bind(**given)
    except TypeError:
        return False
    return True


def test_queued_tasks_are_found_at_all():
    found = {call.args[0].value for source in sources() for call in calls(source, *QUEUEING)}

    assert {"smartcards.dispatch", "smartcards.reconcile_merchant", "evotor.drain"} <= found


def test_beat_tasks_exist_and_need_no_argument():
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


def test_every_routed_queue_has_workers():
    routed = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    served = {queue.name for queue in app.conf.task_queues}

    assert routed <= served == set(settings.CELERY_TASK_QUEUES_NAMES)


# --- services -------------------------------------------------------------------------------------


def test_writing_functions_take_actor_and_time():
    careless = {
        f"{source.path}:{function.name}"
        for source in sources()
        if is_writing(source.path)
        for function in public(source)
        if not {"by", "at"} <= {argument.arg for argument in function.args.kwonlyargs}
    }

    assert careless - set(EXCEPTIONS) == set(), (
        "Take keyword-only `by` and `at`, or add an exception with the reason."
    )
    assert set(EXCEPTIONS) - careless == set(), "These exceptions are needed no more."


def test_public_functions_have_docstrings():
    undocumented = [
        f"{source.path}:{function.name}"
        for source in sources()
        for function in public(source)
        if not ast.get_docstring(function)
    ]

    assert undocumented == []


def test_modules_have_docstrings():
    undocumented = [
        source.path
        for source in sources()
        if source.tree.body and not ast.get_docstring(source.tree)
        if "management/commands" not in source.path
    ]

    assert undocumented == []


# --- input and output ----------------------------------------------------------------------------------------


def test_only_http_clients_import_requests():
    callers = {
        source.path
        for source in sources()
        for node in ast.walk(source.tree)
        if "requests" in _imported(node)
    }

    assert callers == HTTP_CLIENTS


def _imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {name.name.split(".")[0] for name in node.names}
    return (
        {node.module.split(".")[0]} if isinstance(node, ast.ImportFrom) and node.module else set()
    )


def test_only_terminal_programs_print():
    printing = [
        f"{source.path}:{call.lineno}"
        for source in sources()
        if not source.path.startswith(MAY_PRINT)
        for call in calls(source, "print", "breakpoint")
    ]

    assert printing == []


def test_services_and_rules_do_not_read_the_clock():
    """They take `at`, so that their tests need not move a clock."""
    readers = [
        f"{source.path}:{node.lineno}"
        for source in sources()
        if is_writing(source.path)
        or Path(source.path).name in {"rules.py", "periods.py", "fold.py"}
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in _CLOCKS
    ]

    assert readers == []


_CLOCKS = {"clock.now", "clock.real_now", "timezone.now", "datetime.now", "date.today", "time.time"}


@pytest.mark.filterwarnings("ignore:A test tried to use socket")
def test_tests_cannot_reach_the_network():
    with pytest.raises(SocketConnectBlockedError):
        socket.create_connection(("192.0.2.1", 80), timeout=1)


# --- names and sizes ------------------------------------------------------------------------------


def test_names_are_standard_terms():
    vague = [
        f"{source.path}: {name}"
        for source in sources()
        for name in names(source)
        if parts(name) & VAGUE
    ]

    assert vague == []


def names(source: Source) -> Iterator[str]:
    """The module, its classes and its functions."""
    yield Path(source.path).stem
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name


def parts(name: str) -> set[str]:
    """«_MailQueue» and «mail_queue» as mail and queue."""
    return set(re.sub("([a-z])([A-Z])", r"\1_\2", name).lower().split("_"))


def test_folders_are_small():
    modules = Counter(
        Path(source.path).parent.as_posix()
        for source in sources()
        if Path(source.path).stem not in FOUND_BY_NAME
    )

    large = {folder: number for folder, number in modules.items() if number > MOST_MODULES}

    assert large == {}, "These folders want groups."


def test_functions_are_small():
    lengths = [
        node.end_lineno - node.lineno + 1 for source in sources() for node in functions(source)
    ]

    middle, nine_in_ten = statistics.median(lengths), statistics.quantiles(lengths, n=10)[-1]

    assert middle <= MEDIAN_LINES, f"the median function has {middle} lines"
    assert nine_in_ten <= MOST_LINES_OF_NINE_IN_TEN, f"one in ten has more than {nine_in_ten} lines"
    assert max(lengths) <= MOST_LINES, f"the longest function has {max(lengths)} lines"
