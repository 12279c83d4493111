"""The operators' part of the sandbox."""

from typing import Any

from cabinet.sandbox.http import Route
from operators.demo_sims import demo_sims
from operators.sandbox.beeline import PlayedBeeline
from operators.sandbox.control import Control
from operators.sandbox.control_center import PlayedControlCenter
from operators.sandbox.mts import PlayedMts
from operators.sandbox.panel import panel
from operators.sandbox.protocol import PlayedOperator
from operators.sandbox.tmf640 import PlayedTmf640
from operators.sandbox.trouble import Faults

# One line for each played operator.
PLAYED: tuple[type[PlayedOperator], ...] = (
    PlayedMts,
    PlayedBeeline,
    PlayedTmf640,
    PlayedControlCenter,
)


class OperatorsPart:
    """All played operators, and the calls that look at them and set them."""

    name = "operators"

    def __init__(self) -> None:
        self._faults = Faults()
        self._operators = {played.code: played(self._faults) for played in PLAYED}
        self._control = Control(self._operators, self._faults)

    def routes(self) -> list[Route]:
        """The operators' own protocols and the control calls."""
        wires = [route for operator in self._operators.values() for route in operator.routes()]
        return wires + self._control.routes()

    def panel(self) -> str:
        """Every SIM of every operator."""
        return panel(self._operators, self._faults.all())

    def dump(self) -> Any:
        """SIMs, requests, limits and troubles; tokens are forgotten."""
        played = {code: operator.dump() for code, operator in self._operators.items()}
        return {"operators": played, "faults": self._faults.all()}

    def load(self, data: Any) -> None:
        """Takes back what `dump` gave; operators it does not know begin anew."""
        self._faults.load(data["faults"])
        for code, operator in self._operators.items():
            if code in data["operators"]:
                operator.load(data["operators"][code])

    def put_demo(self) -> None:
        """The cards of the demo, as the product's demo data believe them to be."""
        for sim in demo_sims():
            changes = {"state": sim.state, "msisdn": sim.msisdn, "imei": sim.imei}
            self._operators[sim.code].world.put(sim.iccid, changes)


def make() -> OperatorsPart:
    """Operators without any card."""
    return OperatorsPart()


def make_demo() -> OperatorsPart:
    """The factory named in settings: at a first start the demo's cards are there already."""
    part = OperatorsPart()
    part.put_demo()
    return part
