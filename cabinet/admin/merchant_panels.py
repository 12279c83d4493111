"""Panels of the staff page about a merchant. Each app provides its own, listed in MERCHANT_PANELS."""

from collections.abc import Sequence
from dataclasses import dataclass

from cabinet.admin.readonly import link

# A text, or a text with the address it links to.
Cell = str | tuple[str, str]


@dataclass(frozen=True)
class Panel:
    """A titled table. Each row has as many cells as there are columns."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def shown_rows(self) -> list[list[str]]:
        """The rows for the template."""
        return [
            [cell if isinstance(cell, str) else link(*cell) for cell in row] for row in self.rows
        ]
