"""The счёт as PDF: requisites for the bank, what is sold, the sum in words, a QR code that fills the payment in."""

from reportlab.graphics.shapes import Drawing, Rect
from reportlab.lib.colors import black
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Table

from cabinet.formatting.ru_format import NBSP
from smartcards.orders.documents import payment_qr
from smartcards.orders.documents.content import Buyer, PaperContent, Requisites
from smartcards.orders.documents.goods import goods, vat_phrase
from smartcards.orders.documents.layout import (
    WIDTH,
    facts,
    grid,
    pdf_of,
    signatures,
    space,
    text,
)

# Scanners of banks' apps want a margin of four modules around the code.
_QUIET_MODULES = 4
_QR_SIZE = 38 * mm


def invoice_pdf(content: PaperContent) -> bytes:
    """The file."""
    title = content.title("Счёт на оплату")
    parts: list[Flowable] = [
        _bank(content.seller),
        space(5),
        text(title, 14, bold=True),
        space(3),
        facts(
            [
                ("Поставщик:", party(content.seller)),
                ("Покупатель:", party(content.buyer)),
                ("Основание:", content.basis),
            ]
        ),
        space(3),
        *goods(content),
        space(4),
        _payment(content),
        space(4),
        signatures(signers(content.seller)),
    ]
    return pdf_of(title, parts)


def signers(seller: Requisites) -> list[tuple[str, str]]:
    """Who signs for the seller: what they are, and their name."""
    if seller.is_sole_trader:
        return [("Индивидуальный предприниматель", seller.director)]
    accountant = seller.accountant or seller.director
    return [("Руководитель", seller.director), ("Главный бухгалтер", accountant)]


def purpose(content: PaperContent) -> str:
    """What the buyer writes into the payment, as the code has it."""
    return f"Оплата по счёту № {content.number} от {content.day:%d.%m.%Y}. {vat_phrase(content)}"


def party(side: Requisites | Buyer) -> str:
    """«ООО „Ромашка“, ИНН 7707083893, КПП 770701001, Москва…»."""
    parts = [side.name, f"ИНН{NBSP}{side.inn}"]
    parts += [f"КПП{NBSP}{side.kpp}"] if side.kpp else []
    parts += [side.address] if side.address else []
    return ", ".join(parts)


def _bank(seller: Requisites) -> Table:
    """The table on top that every Russian accountant looks for."""
    kpp = f"КПП{NBSP}{seller.kpp}" if seller.kpp else ""
    rows: list[list[Flowable | str]] = [
        [text(f"{seller.bank}\nБанк получателя"), "", text("БИК"), text(seller.bik)],
        ["", "", text("Сч. №"), text(seller.corr_account)],
        [text(f"ИНН{NBSP}{seller.inn}"), text(kpp), text("Сч. №"), text(seller.account)],
        [text(f"{seller.name}\nПолучатель"), "", "", ""],
    ]
    widths = [48 * mm, 48 * mm, 16 * mm, WIDTH - 112 * mm]
    spans = (("SPAN", (0, 0), (1, 1)), ("SPAN", (0, 3), (1, 3)), ("SPAN", (2, 2), (2, 3)))
    return grid(rows, widths, *spans, ("SPAN", (3, 2), (3, 3)))


def _payment(content: PaperContent) -> Table:
    """The code, and how it is used."""
    how = (
        "Отсканируйте код в приложении банка: платёж заполнится сам.\n"
        "Отправим заказ, когда деньги поступят на наш счёт.\n"
        f"Назначение платежа: «{purpose(content)}»"
    )
    code = drawn_code(payment_qr.payload(content, purpose(content)))
    style = [("VALIGN", (0, 0), (-1, -1), "MIDDLE"), ("LEFTPADDING", (0, 0), (0, 0), 0)]
    return Table(
        [[code, text(how)]], colWidths=[_QR_SIZE + 4 * mm, None], style=style, hAlign="LEFT"
    )


def drawn_code(payload: str) -> Drawing:
    """The QR code as squares, with its margin."""
    rows = [bytes(row) for row in payment_qr.qr_code(payload).matrix]
    module = _QR_SIZE / (len(rows) + 2 * _QUIET_MODULES)
    drawing = Drawing(_QR_SIZE, _QR_SIZE)
    for row, cells in enumerate(rows):
        for column, dark in enumerate(cells):
            if dark:
                x = (column + _QUIET_MODULES) * module
                y = _QR_SIZE - (row + 1 + _QUIET_MODULES) * module
                square = Rect(x, y, module, module)
                square.fillColor, square.strokeColor = black, None
                drawing.add(square)
    return drawing
