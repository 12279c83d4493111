"""A part of the staff's page about a merchant; each app gives its own, named in MERCHANT_PANELS."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cabinet.models import Merchant

# A text, or a text that leads to an address.
Cell = str | tuple[str, str]


@dataclass(frozen=True)
class Shown:
    """A cell as the page draws it: the text, and where it leads or nothing."""

    text: str
    url: str


@dataclass(frozen=True)
class Panel:
    """A titled table. Each row has as many cells as there are columns."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def shown_rows(self) -> list[list[Shown]]:
        """The rows for the template."""
        return [[_shown(cell) for cell in row] for row in self.rows]


def _shown(cell: Cell) -> Shown:
    return Shown(cell, "") if isinstance(cell, str) else Shown(*cell)


PanelOf = Callable[[Merchant, datetime], Panel]
