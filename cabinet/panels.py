"""A part of the staff's page about a merchant; each app gives its own, named in MERCHANT_PANELS."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cabinet.models import Merchant

# A text, or a text that leads to an address.
Cell = str | tuple[str, str]


@dataclass(frozen=True)
class Panel:
    """A titled table. Each row has as many cells as there are columns."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


PanelOf = Callable[[Merchant, datetime], Panel]
