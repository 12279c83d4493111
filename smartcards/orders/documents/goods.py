"""The table of goods and the sums below it, alike in a счёт and a накладная."""

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Table

from cabinet.formatting.ru_format import NBSP, plural
from smartcards.orders.documents.amounts import in_figures, spelled_out
from smartcards.orders.documents.content import PaperContent
from smartcards.orders.documents.layout import RIGHT, WIDTH, grid, space, text

_HEADINGS = ("№", "Товары (работы, услуги)", "Кол-во", "Ед.", "Цена", "Сумма")
_WIDTHS = [10 * mm, WIDTH - 105 * mm, 18 * mm, 15 * mm, 29 * mm, 33 * mm]
_TOTALS = [WIDTH - 33 * mm, 33 * mm]


def goods(content: PaperContent) -> list[Flowable]:
    """Every line, the total with the tax inside, the sum in words."""
    return [
        _lines(content),
        _totals(content),
        space(2),
        text(_counted(content)),
        text(spelled_out(content.total), bold=True),
    ]


def vat_phrase(content: PaperContent) -> str:
    """«Без НДС» or «В том числе НДС 22 %: 180,33 ₽», for a sentence."""
    if content.vat_rate is None:
        return "Без НДС"
    return f"В{NBSP}том числе НДС {content.vat_rate}{NBSP}%: {in_figures(content.vat)}{NBSP}руб."


def _lines(content: PaperContent) -> Table:
    rows = [[text(heading, bold=True) for heading in _HEADINGS]]
    rows += [
        [
            text(str(number)),
            text(line.title),
            text(str(line.quantity), align=RIGHT),
            text(line.unit),
            text(in_figures(line.price), align=RIGHT),
            text(in_figures(line.total), align=RIGHT),
        ]
        for number, line in enumerate(content.lines, 1)
    ]
    return grid(rows, _WIDTHS, repeat=1)


def _totals(content: PaperContent) -> Table:
    rate = content.vat_rate
    tax = "Без налога (НДС):" if rate is None else f"В{NBSP}том числе НДС {rate}{NBSP}%:"
    rows = [
        ("Итого:", in_figures(content.total)),
        (tax, "—" if rate is None else in_figures(content.vat)),
        ("Всего к оплате:", in_figures(content.total)),
    ]
    shown = [[text(cell, bold=True, align=RIGHT) for cell in row] for row in rows]
    return Table(shown, colWidths=_TOTALS, style=[("RIGHTPADDING", (0, 0), (-1, -1), 3)])


def _counted(content: PaperContent) -> str:
    number = len(content.lines)
    names = plural(number, "наименование", "наименования", "наименований")
    return f"Всего {number}{NBSP}{names} на сумму {in_figures(content.total)}{NBSP}руб."
