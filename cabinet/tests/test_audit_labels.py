"""Every word the journal is kept in has a Russian one: the code base is read for what it records."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.test import Client

from cabinet import audit
from cabinet.actors import SYSTEM
from cabinet.admin.audit_log import AuditEventAdmin
from cabinet.enums import ActorKind
from cabinet.formatting.audit_labels import (
    ACTION_LABELS,
    PERIODIC_TASK_LABELS,
    TARGET_MODELS,
    action_label,
    periodic_task_label,
    target_label,
)
from cabinet.health import OWN_SWEEP
from cabinet.models import AuditEvent
from cabinet.tests.people import AT, make_merchant, make_staff
from subscriptions.models import MarketRequest

APPS = ("cabinet", "operators", "smartcards", "subscriptions")
AUDIT_LOG = "/admin/cabinet/auditevent/"


@dataclass
class Module:
    """One file: its functions, its constants, its calls, and what it imports by name."""

    name: str
    tree: ast.Module
    functions: list[ast.FunctionDef] = field(default_factory=list)
    constants: dict[str, ast.expr] = field(default_factory=dict)
    calls: list[tuple[ast.Call, ast.FunctionDef]] = field(default_factory=list)
    imports: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef):
                self.functions.append(node)
                inside = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
                self.calls += [(call, node) for call in inside]
            if isinstance(node, ast.ImportFrom):
                self.imports |= {(node.module or "", one.name) for one in node.names}
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.constants[node.targets[0].id] = node.value


def modules() -> list[Module]:
    found = []
    for app in APPS:
        for path in sorted((Path(settings.BASE_DIR) / app).rglob("*.py")):
            if not {"tests", "migrations"} & set(path.parts):
                name = ".".join(path.relative_to(settings.BASE_DIR).with_suffix("").parts)
                found.append(Module(name, ast.parse(path.read_text("utf-8"))))
    return found


class Reader:
    """What the code base records: words as they stand, through constants, through functions."""

    def __init__(self, found: list[Module]) -> None:
        self.modules = found
        self.elsewhere = {
            "request.kind": set(MarketRequest.Kind.values),
            "action": set(self._visible_changes()),
        }

    def actions(self) -> Iterator[str]:
        for module in self.modules:
            for call, function in module.calls:
                if ast.unparse(call.func) == "audit.record":
                    given = call.args[1] if len(call.args) > 1 else _keyword(call, "action")
                    yield from self._values(given, function, module)

    def _values(
        self, given: ast.expr | None, inside: ast.FunctionDef, module: Module
    ) -> Iterator[str]:
        match given:
            case ast.Constant(value=str(word)):
                yield word
            case ast.IfExp(body=one, orelse=other):
                yield from self._values(one, inside, module)
                yield from self._values(other, inside, module)
            case ast.Name(id=name) if name in _parameters(inside):
                yield from self._passed(inside, name, module)
            case ast.Name(id=name) if name in module.constants:
                yield from self._values(module.constants[name], inside, module)
            case _ if inside.name == "project_market":
                yield from self.elsewhere["action"]
            case ast.Name(id=name):
                yield from self._unpacked(name, inside, module)
            case _ if given is not None and ast.unparse(given) in self.elsewhere:
                yield from self.elsewhere[ast.unparse(given)]
            case _:
                raise AssertionError(f"{module.name}.{inside.name}: unreadable action")

    def _passed(self, function: ast.FunctionDef, name: str, module: Module) -> Iterator[str]:
        own = {function.name, f"self.{function.name}"}
        for other in self.modules:
            imported = (module.name, function.name) in other.imports
            for call, inside in other.calls:
                if (other is module or imported) and ast.unparse(call.func) in own:
                    yield from self._values(_argument(call, function, name), inside, other)

    def _unpacked(self, name: str, inside: ast.FunctionDef, module: Module) -> Iterator[str]:
        """`action, word = (…, …) if … else (…, …)`."""
        for node in ast.walk(inside):
            match node:
                case ast.Assign(
                    targets=[ast.Tuple(elts=[ast.Name(id=found), *_])],
                    value=ast.IfExp(body=ast.Tuple(elts=one), orelse=ast.Tuple(elts=other)),
                ) if found == name:
                    yield from self._values(one[0], inside, module)
                    yield from self._values(other[0], inside, module)
                    return
        raise AssertionError(f"{module.name}.{inside.name}: where does «{name}» come from?")

    def _visible_changes(self) -> Iterator[str]:
        """`yield "paid", …`: what a subscription's changes become."""
        module = next(one for one in self.modules if one.name == "subscriptions.services")
        for node in ast.walk(module.tree):
            match node:
                case ast.Yield(value=ast.Tuple(elts=[ast.Constant(value=str(action)), _])):
                    yield action


def _parameters(function: ast.FunctionDef) -> list[str]:
    given = function.args
    return [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((one.value for one in call.keywords if one.arg == name), None)


def _argument(call: ast.Call, function: ast.FunctionDef, name: str) -> ast.expr | None:
    place = [one for one in _parameters(function) if one != "self"].index(name)
    return call.args[place] if place < len(call.args) else _keyword(call, name)


@pytest.fixture(scope="module")
def recorded() -> set[str]:
    return set(Reader(modules()).actions())


def test_every_recorded_action_has_a_label_and_vice_versa(recorded):
    assert sorted(ACTION_LABELS) == sorted(recorded)


def test_filter_kinds_are_models_with_own_labels():
    names = [model._meta.model_name for model in apps.get_models()]

    assert [names.count(kind) for kind in TARGET_MODELS] == [1] * len(TARGET_MODELS)
    assert [target_label(kind) for kind in TARGET_MODELS[:3]] == [
        "Тормоз",
        "Согласие",
        "Входящее из Эвотор",
    ]


def test_codes_of_an_older_version_are_shown_as_they_are():
    assert action_label("thawed") == "thawed"
    assert target_label("icicle") == "icicle"


@pytest.mark.django_db
def test_journal_is_read_and_narrowed_in_russian(client: Client):
    merchant = make_merchant("ООО «Ёлка»")
    client.force_login(make_staff())
    event = _record(merchant, "merchant.changed", merchant.pk)
    _record(make_staff("other"), "person.changed", None)

    everything = client.get(AUDIT_LOG)
    narrowed = {
        query: [row.action for row in client.get(f"{AUDIT_LOG}?{query}").context["cl"].result_list]
        for query in ("target=merchant", "action=person.changed", "action=paid")
    }
    page = client.get(f"{AUDIT_LOG}{event.pk}/change/").content.decode()

    listed = everything.content.decode()
    assert narrowed == {
        "target=merchant": ["merchant.changed"],
        "action=person.changed": ["person.changed"],
        "action=paid": [],
    }
    assert f'<a href="/admin/cabinet/merchant/{merchant.pk}/whole/">ООО «Ёлка»</a>' in listed
    assert "в маркет: смена тарифа или числа карт</a>" in listed
    assert '<div class="readonly">изменён клиент</div>' in page
    assert f'/merchant/{merchant.pk}/change/">Клиент ООО «Ёлка»</a>' in page
    assert AuditEvent.objects.count() == 2


@pytest.mark.django_db
def test_page_of_a_row_links_to_its_audit_events(client: Client):
    merchant, other = make_merchant("ООО «Ёлка»"), make_merchant("ООО «Сосна»")
    client.force_login(make_staff())
    event = [_record(row, "merchant.changed", row.pk) for row in (merchant, other)]

    page = client.get(f"/admin/cabinet/merchant/{merchant.pk}/change/").content.decode()
    query = f"target=merchant&target_id={merchant.pk}"
    lines = client.get(f"{AUDIT_LOG}?{query}").context["cl"].result_list

    assert f'href="{AUDIT_LOG}?{query.replace("&", "&amp;")}"' in page
    assert list(lines) == event[:1]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "name", "shown"),
    [
        (ActorKind.STAFF, "Зоя", "Зоя, сотрудник сервиса"),
        (ActorKind.SYSTEM, "сервис", "сервис"),
        (ActorKind.MARKET, "Эвотор", "Эвотор"),
    ],
)
def test_author_is_named_once(kind, name, shown):
    line = AuditEvent(actor_kind=kind, actor_name=name)

    assert AuditEventAdmin.who(AuditEventAdmin(AuditEvent, admin.site), line) == shown


def _record(target, action, merchant_id):
    return audit.record(
        target=target,
        action=action,
        text="Что-то изменилось",
        by=SYSTEM,
        at=AT,
        merchant_id=merchant_id,
    )


def test_every_periodic_task_with_a_heartbeat_has_a_label():
    beating = {
        ast.literal_eval(call.args[0])
        for module in modules()
        for call, _ in module.calls
        if ast.unparse(call.func) == "health.record_heartbeat"
        and isinstance(call.args[0], ast.Constant)
    }

    assert beating | {OWN_SWEEP} == set(PERIODIC_TASK_LABELS)
    assert [periodic_task_label(name) for name in ("evotor.sweep", "old.work")] == [
        "Эвотор: обработка входящих",
        "old.work",
    ]
