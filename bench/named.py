"""The named faults of features.md E.3, each as one row of the table of `make faults`."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from bench import (
    named_alarm,
    named_database,
    named_disk,
    named_house,
    named_killed,
    named_mass,
    named_operators,
    named_poison,
    named_redis,
    named_slow,
    named_web,
    schedules,
)
from bench.named_house import House
from bench.named_servers import OwnServers
from bench.named_trial import Trial

_STAGED = (*named_killed.FAULTS, *named_slow.FAULTS, *named_operators.FAULTS)


def trials(
    servers: OwnServers, *, only: Collection[str] = (), mass: int = 10_000
) -> Iterator[Trial]:
    """The rows in their order; `only` leaves out all but these faults. The processes they need live as long
    as the rows are taken.
    """
    parts: list[tuple[Sequence[str], Callable[[House], Iterable[Trial]]]] = [
        (_STAGED, lambda house: _with_a_stage(house, only)),
        (named_web.FAULTS, named_web.trials),
        (named_redis.FAULTS, named_redis.trials),
        (named_alarm.FAULTS, named_alarm.trials),
        (named_poison.FAULTS, named_poison.trials),
        (named_mass.FAULTS, lambda house: named_mass.trials(house, mass)),
        (named_disk.FAULTS, named_disk.trials),
        # Last: a server that was replaced stays so.
        (named_database.FAULTS, named_database.trials),
    ]
    wanted = [make for faults, make in parts if _any_of(faults, only)]
    if wanted:
        with named_house.house(servers) as house:
            for make in wanted:
                yield from _chosen(make(house), only)


def _with_a_stage(house: House, only: Collection[str]) -> Iterator[Trial]:
    with schedules.stage(house) as stage:
        for part in (named_killed, named_slow, named_operators):
            if _any_of(part.FAULTS, only):
                yield from part.trials(stage)


def _any_of(faults: Sequence[str], only: Collection[str]) -> bool:
    return not only or not set(only).isdisjoint(faults)


def _chosen(found: Iterable[Trial], only: Collection[str]) -> Iterator[Trial]:
    return (trial for trial in found if not only or trial.fault in only)
