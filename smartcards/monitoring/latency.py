"""How long commands take from the click to their end: the median and the 95th percentile, in SQL."""

from datetime import datetime
from typing import Any

from django.db.models import (
    Aggregate,
    Count,
    DateTimeField,
    DurationField,
    ExpressionWrapper,
    F,
    Q,
    Value,
)
from django.db.models.functions import Coalesce

from smartcards.models import Command
from smartcards.monitoring.operator_health import Latency
from smartcards.states import CommandState, Origin


class Percentile(Aggregate):
    """`percentile_cont` over an expression."""

    function = "percentile_cont"
    template = "%(function)s(%(fraction)s) WITHIN GROUP (ORDER BY %(expressions)s)"

    def __init__(self, expression: Any, *, fraction: float) -> None:
        super().__init__(expression, fraction=fraction, output_field=DurationField())


def clicks_done(begins: datetime, at: datetime) -> Q:
    """What people asked for and got between the two instants."""
    return Q(
        finished_at__gte=begins,
        finished_at__lte=at,
        state=CommandState.DONE,
        origin=Origin.PERSON,
    )


def latency_by_account(which: Q, at: datetime) -> dict[int, Latency]:
    """From the click to its end, or to `at` where it has none yet, by account."""
    ends = Coalesce(F("finished_at"), Value(at, output_field=DateTimeField()))
    took = ExpressionWrapper(ends - F("created_at"), output_field=DurationField())
    found = (
        Command.objects.filter(which)
        .order_by()
        .values_list("account_id")
        .annotate(
            usual=Percentile(took, fraction=0.5),
            worst=Percentile(took, fraction=0.95),
            clicks=Count("pk"),
        )
    )
    return {account_id: Latency(*facts) for account_id, *facts in found}
