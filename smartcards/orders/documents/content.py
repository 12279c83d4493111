"""What stands in a document of an order. It is frozen in the document's row, and the PDF is made of nothing else."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import TypeAdapter

from cabinet.formatting.ru_format import NBSP, day
from smartcards.orders.documents.amounts import vat_inside


@dataclass(frozen=True)
class Requisites:
    """The seller: who sells, where the money goes, who signs."""

    name: str
    inn: str
    kpp: str
    address: str
    bank: str
    bik: str
    account: str
    corr_account: str
    director: str
    accountant: str

    @property
    def is_sole_trader(self) -> bool:
        """An ИНН of twelve digits is a person's."""
        return len(self.inn) == 12


@dataclass(frozen=True)
class Buyer:
    """The company that pays, and where its parcel goes."""

    name: str
    inn: str
    kpp: str
    address: str


@dataclass(frozen=True)
class PaperLine:
    """One kind of goods; the price of one is in kopecks and has the tax inside."""

    title: str
    quantity: int
    unit: str
    price: int

    @property
    def total(self) -> int:
        return self.quantity * self.price


@dataclass(frozen=True)
class PaperContent:
    """A document: its number and day, both sides, the goods. `vat_rate` is None for «без НДС».

    `basis` is what it is for: «Заказ № 7 от 30 ноября 2026 г.» `payment` is what was paid before:
    «№ 15 от 30.11.2026».
    """

    number: int
    day: date
    basis: str
    seller: Requisites
    buyer: Buyer
    lines: tuple[PaperLine, ...]
    vat_rate: int | None
    parcel_address: str = ""
    payment: str = ""

    @property
    def total(self) -> int:
        return sum(line.total for line in self.lines)

    @property
    def vat(self) -> int:
        """The tax inside, in kopecks: the sum of the lines' taxes, as both papers of one order must agree."""
        return sum(vat_inside(line.total, self.vat_rate) for line in self.lines)

    def title(self, kind: str) -> str:
        """«Счёт № 12 от 30 ноября 2026 г.»"""
        return f"{kind} №{NBSP}{self.number} от {day(self.day)}"

    def as_json(self) -> dict[str, Any]:
        """As the row keeps it."""
        kept: dict[str, Any] = _CONTENT.dump_python(self, mode="json")
        return kept

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "PaperContent":
        """What `as_json` gave. Raises pydantic's ValidationError for anything else."""
        return _CONTENT.validate_python(kept, strict=False)


_CONTENT = TypeAdapter(PaperContent)
