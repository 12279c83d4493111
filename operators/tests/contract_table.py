"""One table at the end of a run: cases of a contract by those who must keep it. A plugin of pytest.

A cell is `ok`, `FAILED`, `skipped`, `–` where the case does not apply (the reasons stand below), or
empty where the case was not run. Who keeps the contract is taken from the reports, so the table is whole
also where several processes share a run.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import pytest

_CELL, _WITHOUT = "contract_cell", "contract_without"
_DASH = "–"
# The worst of several runs of one case counts; the reports' categories and their cells.
_WORDS = {"passed": "ok", "skipped": "skipped", "failed": "FAILED", "error": "FAILED"}
_WORST_LAST = ("ok", "skipped", "FAILED")


class Contract:
    """The root of a contract: its direct child holds the cases, whose children keep it.

    `column` names the keeper in the table, words parted by spaces. `does_not_apply`: case → why; such a
    case is not collected at all.
    """

    column: ClassVar[str] = ""
    does_not_apply: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in cls.does_not_apply:
            if not hasattr(cls, name):
                raise TypeError(f"{cls.__name__}: the contract has no case {name}")
            setattr(cls, name, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Writes on each case of a contract whose it is."""
    for item in items:
        keeper = getattr(item, "cls", None)
        case = getattr(item, "originalname", "")
        if isinstance(keeper, type) and issubclass(keeper, Contract) and case in _cases(keeper):
            item.user_properties.append((_CELL, [keeper.column, case]))
            item.user_properties.append((_WITHOUT, dict(keeper.does_not_apply)))


def _cases(keeper: type[Contract]) -> Mapping[str, Any]:
    """What the contract itself asks; a keeper may have cases of its own beside."""
    return vars(next(kind for kind in keeper.__mro__ if Contract in kind.__bases__))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table; nothing where no case of a contract was run."""
    lines = list(table(_reports(terminalreporter)))
    if lines:
        terminalreporter.section("contract")
        for line in lines:
            terminalreporter.write_line(line)


def _reports(reporter: pytest.TerminalReporter) -> Iterator[tuple[str, dict[str, Any]]]:
    for category, word in _WORDS.items():
        for report in reporter.stats.get(category, []):
            properties = dict(getattr(report, "user_properties", ()))
            if _CELL in properties:
                yield word, properties


def table(reports: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    """The lines, of pairs of a cell's word and what `pytest_collection_modifyitems` wrote."""
    cells: dict[tuple[str, str], str] = {}
    reasons: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for word, properties in reports:
        column, case = properties[_CELL]
        cells[case, column] = max(cells.get((case, column), "ok"), word, key=_WORST_LAST.index)
        for absent, why in properties[_WITHOUT].items():
            reasons[why].add((absent, column))
    absent = {place for places in reasons.values() for place in places}
    if cells:
        yield from _drawn(dict.fromkeys(absent, _DASH) | cells)
        yield from sorted(_footnote(why, places) for why, places in reasons.items())


def _footnote(why: str, places: set[tuple[str, str]]) -> str:
    columns = sorted({column for _, column in places})
    return f"{_DASH} {', '.join(columns)}: {why} (cases: {len({case for case, _ in places})})"


def _drawn(cells: Mapping[tuple[str, str], str]) -> Iterator[str]:
    cases, columns = (sorted({place[part] for place in cells}) for part in (0, 1))
    titles = [_title(case) for case in cases]
    first = max(map(len, titles))
    widths = [max(len("FAILED"), *map(len, column.split())) for column in columns]
    for line in range(max(len(column.split()) for column in columns)):
        heads = [dict(enumerate(column.split())).get(line, "") for column in columns]
        yield _line("", heads, first, widths)
    for case, title in zip(cases, titles, strict=True):
        yield _line(title, [cells.get((case, column), "") for column in columns], first, widths)


def _line(title: str, texts: list[str], first: int, widths: list[int]) -> str:
    pairs = zip(texts, widths, strict=True)
    return "  ".join([title.ljust(first), *(text.ljust(width) for text, width in pairs)]).rstrip()


def _title(case: str) -> str:
    return case.removeprefix("test_").replace("_", " ").replace(" s ", "’s ")
