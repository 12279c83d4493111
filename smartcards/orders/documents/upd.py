"""The УПД as PDF: the form of a счёт-фактура with the lines of a handover below (ФНС, 21.10.2013 № ММВ-20-3/96@).

Status 1 replaces счёт-фактура and накладная, status 2 (a seller without НДС) the накладная only.
"""

from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Table

from cabinet.formatting.ru_format import NBSP, day
from smartcards.orders.documents.amounts import in_figures, vat_inside
from smartcards.orders.documents.content import Buyer, PaperContent, PaperLine, Requisites
from smartcards.orders.documents.invoice import signers
from smartcards.orders.documents.layout import RIGHT, grid, pdf_of, signatures, space, text

_SMALL = 7
# Codes of units of measure (ОКЕИ).
_OKEI = {"шт.": "796", "усл.": "—"}
_HEADINGS = (
    "№ п/п",
    "Наименование товара (работы, услуги)",
    "Код ед.",
    "Ед. изм.",
    "Коли-\nчество",
    "Цена за единицу без налога",
    "Стоимость без налога, всего",
    "В том числе акциз",
    "Налоговая ставка",
    "Сумма налога",
    "Стоимость с налогом, всего",
    "Страна",
    "РНПТ",
)
_NUMBERS = ("А", "1", "2", "2а", "3", "4", "5", "6", "7", "8", "9", "10, 10а", "11")
_WIDTHS = [width * mm for width in (9, 62, 11, 11, 14, 23, 24, 18, 18, 22, 25, 14, 12)]


def upd_pdf(content: PaperContent) -> bytes:
    """The file: one landscape page, more where there are many lines."""
    title = content.title("Универсальный передаточный документ")
    parts: list[Flowable] = [
        text(title, 12, bold=True),
        text(_status(content), _SMALL),
        space(2),
        _sides(content),
        space(3),
        _goods(content),
        space(3),
        signatures(signers(content.seller)),
        space(3),
        _handover(content),
    ]
    return pdf_of(title, parts, page=landscape(A4))


def _status(content: PaperContent) -> str:
    if content.vat_rate is None:
        return f"Статус: 2{NBSP}— передаточный документ (акт)"
    return f"Статус: 1{NBSP}— счёт-фактура и передаточный документ (акт)"


def _sides(content: PaperContent) -> Table:
    seller, buyer = content.seller, content.buyer
    shipped = f"№ п/п 1–{len(content.lines)} № {content.number} от {day(content.day)}"
    rows = [
        ("Счёт-фактура", f"№ {content.number} от {day(content.day)}", "1"),
        ("Исправление", "№ — от —", "1а"),
        ("Продавец", seller.name, "2"),
        ("Адрес", seller.address, "2а"),
        ("ИНН/КПП продавца", _numbers(seller), "2б"),
        ("Грузоотправитель и его адрес", "он же", "3"),
        ("Грузополучатель и его адрес", f"{buyer.name}, {content.parcel_address}", "4"),
        ("К платёжно-расчётному документу", content.payment or "—", "5"),
        ("Документ об отгрузке", shipped, "5а"),
        ("Покупатель", buyer.name, "6"),
        ("Адрес", buyer.address, "6а"),
        ("ИНН/КПП покупателя", _numbers(buyer), "6б"),
        ("Валюта: наименование, код", "российский рубль, 643", "7"),
    ]
    shown = [
        [text(name, _SMALL), text(value, _SMALL, bold=True), text(f"({code})", _SMALL)]
        for name, value, code in rows
    ]
    style = [("TOPPADDING", (0, 0), (-1, -1), 0), ("BOTTOMPADDING", (0, 0), (-1, -1), 1)]
    return Table(shown, colWidths=[55 * mm, 190 * mm, 15 * mm], style=style, hAlign="LEFT")


def _numbers(side: Requisites | Buyer) -> str:
    return f"{side.inn}/{side.kpp}" if side.kpp else side.inn


def _goods(content: PaperContent) -> Table:
    rows: list[list[Flowable]] = [
        [text(heading, _SMALL) for heading in _HEADINGS],
        [text(number, _SMALL) for number in _NUMBERS],
        *(_line(number, line, content) for number, line in enumerate(content.lines, 1)),
        _total(content),
    ]
    return grid(rows, _WIDTHS, ("SPAN", (0, -1), (5, -1)), repeat=2)


def _line(number: int, line: PaperLine, content: PaperContent) -> list[Flowable]:
    vat = vat_inside(line.total, content.vat_rate)
    net = line.total - vat
    cells = [str(number), line.title, _OKEI.get(line.unit, "—"), line.unit]
    sums = [
        str(line.quantity),
        in_figures(round(net / line.quantity)),
        in_figures(net),
        "без акциза",
        *_tax(vat, content.vat_rate),
        in_figures(line.total),
    ]
    return [
        *(text(cell, _SMALL) for cell in cells),
        *(text(cell, _SMALL, align=RIGHT) for cell in sums),
        text("—", _SMALL),
        text("—", _SMALL),
    ]


def _tax(vat: int, rate: int | None) -> tuple[str, str]:
    return ("без НДС", "без НДС") if rate is None else (f"{rate}{NBSP}%", in_figures(vat))


def _total(content: PaperContent) -> list[Flowable]:
    _rate, vat = _tax(content.vat, content.vat_rate)
    label = text("Всего к оплате (9)", _SMALL, bold=True)
    sums = [in_figures(content.total - content.vat), "Х", "Х", vat, in_figures(content.total)]
    shown = [text(cell, _SMALL, bold=True, align=RIGHT) for cell in sums]
    return [label, *(text("") for _ in range(5)), *shown, text(""), text("")]


def _handover(content: PaperContent) -> Table:
    """The part that makes it a primary document: who gave, who took, when."""
    given = (
        f"Основание передачи: {content.basis} [8]\n\n"
        f"Товар передал: ______________ / {content.seller.director} / [10]\n\n"
        f"Дата отгрузки, передачи: {day(content.day)} [11]\n\n"
        f"Составитель документа: {content.seller.name} [14]   М. П."
    )
    taken = (
        "Товар получил: ______________ / ______________ / [15]\n\n"
        "Дата получения: «___» ______________ 20___ г. [16]\n\n"
        "Иные сведения о получении: ______________ [17]\n\n"
        f"Получатель: {content.buyer.name} [19]   М. П."
    )
    return grid([[text(given, _SMALL), text(taken, _SMALL)]], [131 * mm, 132 * mm])
