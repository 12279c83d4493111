"""The registry: which adapters there are, and what it says of a class that is none."""

from datetime import datetime
from typing import ClassVar

import pytest

from operators import registry
from operators.adapters.mts import Mts
from operators.ports import (
    Action,
    Capabilities,
    Check,
    Connection,
    NoChangeList,
    Reading,
    Sim,
    SubmitResult,
)
from operators.tests.sandbox_operator import make_operator

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


def test_every_enabled_adapter_satisfies_the_port(settings_operators):
    problems = {code: registry.problem(code) for code in registry.codes()}

    assert problems == dict.fromkeys(settings_operators, "")


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (f"{HERE}.Silent", "Silent names no capabilities"),
        (f"{HERE}.Halfway", "Halfway lacks or changes: check, ping, read_identity"),
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
    operator = make_operator(
        adapter="mts", base_url="http://127.0.0.1:1", credentials={"key": "k", "secret": "s"}
    )

    assert operator.capabilities == registry.capabilities("mts")


@pytest.fixture
def settings_operators(settings):
    """The adapters enabled in settings, as a copy that a test may change."""
    settings.OPERATORS = dict(settings.OPERATORS)
    return settings.OPERATORS
