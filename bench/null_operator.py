"""An operator that does everything at once without a call: what is left is our own cost."""

from datetime import datetime

from operators.ports import (
    Action,
    Applied,
    Capabilities,
    Check,
    CheckState,
    Connection,
    NoChangeList,
    Reading,
    Sim,
    SimState,
    StateQuality,
    SubmitResult,
)


class NullOperator(NoChangeList):
    """Every answer is «done»."""

    capabilities = Capabilities(
        title="Ничто",
        key="iccid",
        asynchronous=False,
        state_quality=StateQuality.EXACT,
        credentials=(),
        per_second=None,
        per_minute=None,
        concurrency=32,
        poll_plan=(5,),
        quiet_seconds=60,
        deadline_seconds=3600,
    )

    def __init__(self, connection: Connection) -> None:
        self._account = connection.account

    def submit(self, *, action: Action, sim: Sim, key: str, at: datetime) -> SubmitResult:
        return Applied()

    def check(self, *, request_id: str, sim: Sim, submitted_at: datetime, at: datetime) -> Check:
        return Check(CheckState.COMPLETED)

    def check_by_sim(
        self, *, sim: Sim, action: Action, submitted_at: datetime, at: datetime
    ) -> Check:
        return Check(CheckState.COMPLETED)

    def read_state(self, *, sim: Sim) -> Reading:
        return Reading(SimState.ACTIVE)

    def ping(self) -> str:
        return "Связь есть"
