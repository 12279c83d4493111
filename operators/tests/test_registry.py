"""The registry: which adapters there are, and what it says of a class that is none."""

from dataclasses import replace
from datetime import datetime
from typing import ClassVar

import pytest
from django.conf import settings

from operators import registry
from operators.adapters.mts import Mts
from operators.ports import (
    Action,
    CallKind,
    Capabilities,
    Check,
    Connection,
    ErrorClass,
    NoChangeList,
    Reading,
    Sim,
    SubmitResult,
    Unavailable,
)
from operators.tests.bench import MemoryTokens

HERE = "operators.tests.test_registry"


class Silent:
    """No adapter: it names no capabilities."""


class Halfway(NoChangeList):
    """No adapter: it cannot be pinged, and is asked in other words."""

    capabilities: ClassVar[Capabilities] = Mts.capabilities

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def submit(self, *, action: Action, sim: Sim, key: str, at: datetime) -> SubmitResult:
        raise NotImplementedError

    def check(self, *, request_id: str, sim: Sim) -> Check:
        raise NotImplementedError

    def check_by_sim(
        self, *, sim: Sim, action: Action, submitted_at: datetime, at: datetime
    ) -> Check:
        raise NotImplementedError

    def read_state(self, *, sim: Sim) -> Reading:
        raise NotImplementedError


class Promising(Mts):
    """No adapter: it promises a hub, and has no such call."""

    capabilities: ClassVar[Capabilities] = replace(Mts.capabilities, hub=True)


def test_every_enabled_adapter_satisfies_the_port(settings_operators):
    problems = {code: registry.problem(code) for code in registry.codes()}

    assert problems == dict.fromkeys(settings_operators, "")


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (f"{HERE}.Silent", "Silent names no capabilities"),
        (f"{HERE}.Halfway", "Halfway lacks or changes: check, ping, read_identity"),
        (f"{HERE}.Promising", "Promising lacks or changes: call"),
        ("operators.nowhere.Adapter", "No module named 'operators.nowhere'"),
    ],
)
def test_class_that_is_no_adapter_is_described(settings_operators, path, problem):
    settings_operators["odd"] = path

    assert registry.problem("odd") == problem


def test_unknown_code_is_refused():
    with pytest.raises(registry.NoSuchAdapter):
        registry.adapter_class("nobody")


def test_made_operator_has_the_capabilities_of_its_class():
    operator = registry.make(
        account="a",
        adapter="mts",
        base_url="http://127.0.0.1:1",
        credentials={"key": "k", "secret": "s"},
        tokens=MemoryTokens(),
    )

    assert operator.capabilities == registry.capabilities("mts")


def test_only_the_partner_s_contract_has_a_hub():
    assert [code for code in registry.codes() if registry.capabilities(code).hub] == ["tmf640"]


def test_operator_without_a_hub_says_so():
    operator = registry.make(
        account="a",
        adapter="mts",
        base_url="http://127.0.0.1:1",
        credentials={"key": "k", "secret": "s"},
        tokens=MemoryTokens(),
    )

    with pytest.raises(Unavailable) as refusal:
        operator.call("POST", "/hub", CallKind.HUB)

    assert refusal.value.error is ErrorClass.UNSUPPORTED


@pytest.fixture
def settings_operators(monkeypatch):
    """The adapters enabled in settings, as a copy that a test may change."""
    enabled = dict(settings.OPERATORS)
    monkeypatch.setattr(settings, "OPERATORS", enabled)
    return enabled
