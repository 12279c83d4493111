"""An operator that tells of changes by a list which the test wrote, page by page."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from operators.ports import (
    Action,
    Applied,
    Capabilities,
    Changes,
    Check,
    CheckState,
    Connection,
    ErrorClass,
    Reading,
    Sim,
    SimState,
    StateQuality,
    SubmitResult,
    Unavailable,
)


@dataclass
class Script:
    """What the list holds, what was asked of it, and which question it does not answer."""

    pages: list[list[tuple[str, Reading]]] = field(default_factory=list)
    asked: list[tuple[datetime, str]] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    fails_at: str | None = None
    error: Unavailable | None = None
    submitted: list[str] = field(default_factory=list)


SCRIPT = Script()


class Listing:
    """The adapter; all of its answers come from `SCRIPT`."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        title="Список",
        key="iccid",
        asynchronous=False,
        state_quality=StateQuality.EXACT,
        credentials=(),
        per_second=None,
        per_minute=None,
        concurrency=1,
        poll_plan=(5,),
        quiet_seconds=1,
        deadline_seconds=60,
        list_changes=True,
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list_changes(self, *, since: datetime, cursor: str) -> Changes:
        SCRIPT.asked.append((since, cursor))
        if SCRIPT.fails_at == cursor:
            raise SCRIPT.error or Unavailable(ErrorClass.TRANSIENT, "500", "сбой")
        number = int(cursor or 0)
        following = str(number + 1) if number + 1 < len(SCRIPT.pages) else None
        return Changes(tuple(SCRIPT.pages[number]) if SCRIPT.pages else (), following)

    def submit(self, *, action: Action, sim: Sim, key: str, at: datetime) -> SubmitResult:
        SCRIPT.submitted.append(f"{action} {len(SCRIPT.asked)}")
        return Applied()

    def check(self, **_question: Any) -> Check:
        return Check(CheckState.COMPLETED)

    def check_by_sim(self, **_question: Any) -> Check:
        return Check(CheckState.COMPLETED)

    def read_state(self, *, sim: Sim) -> Reading:
        SCRIPT.read.append(sim.iccid)
        return Reading(SimState.ACTIVE)

    def ping(self) -> str:
        return "Отвечает."
