"""The operators' part of the sandbox: all operators, and the calls that look at them and set them."""

from typing import Any

from django.conf import settings
from werkzeug.routing import Rule

from cabinet.sandbox.http import Part
from operators.demo.sims import demo_sims
from operators.sandbox.base import SandboxOperator
from operators.sandbox.beeline import SandboxBeeline
from operators.sandbox.control_api import ControlApi
from operators.sandbox.control_center import SandboxControlCenter
from operators.sandbox.faults import Faults
from operators.sandbox.mts import SandboxMts
from operators.sandbox.panel import panel
from operators.sandbox.tmf640 import SandboxTmf640

OPERATORS: tuple[type[SandboxOperator], ...] = (
    SandboxMts,
    SandboxBeeline,
    SandboxTmf640,
    SandboxControlCenter,
)


class OperatorsPart(Part):
    """All operators, at first without any card; their events are sent nowhere."""

    name = "operators"

    def __init__(self) -> None:
        self._faults = Faults()
        self._operators = {operator.code: operator(self._faults) for operator in OPERATORS}
        self._control = ControlApi(self._operators, self._faults)

    def routes(self) -> list[Rule]:
        """The operators' own protocols and the control calls."""
        own = [rule for operator in self._operators.values() for rule in operator.routes()]
        return own + self._control.routes()

    def panel(self) -> str:
        """Every SIM of every operator."""
        return panel(self._operators, self._faults.all())

    def advance(self) -> None:
        """The events of those who send them."""
        for operator in self._operators.values():
            if operator.events is not None:
                operator.events.look()

    def dump(self) -> Any:
        """SIMs, requests, limits and faults; tokens are forgotten."""
        operators = {code: operator.dump() for code, operator in self._operators.items()}
        return {"operators": operators, "faults": self._faults.all()}

    def load(self, data: Any) -> None:
        """Takes back what `dump` gave; operators it does not know begin anew."""
        self._faults.load(data["faults"])
        for code, operator in self._operators.items():
            if code in data["operators"]:
                operator.load(data["operators"][code])

    def prepare_demo(self) -> None:
        """The cards as the product's demo data have them, and events to the demo's contracts."""
        for sim in demo_sims():
            changes = {"state": sim.state, "msisdn": sim.msisdn, "imei": sim.imei}
            self._operators[sim.code].sims.put(sim.iccid, changes)
        for code, operator in self._operators.items():
            if operator.events is not None:
                operator.events.send_to(f"{settings.PUBLIC_URL}/operators/{code}/callback")


def make_demo() -> OperatorsPart:
    """The factory named in settings: at a first start the demo's cards are there already."""
    part = OperatorsPart()
    part.prepare_demo()
    return part
