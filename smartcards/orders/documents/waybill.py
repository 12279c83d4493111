"""The товарная накладная as PDF: a simple form with the required parts of a primary document (402-ФЗ, article 9)."""

from reportlab.platypus import Flowable

from smartcards.orders.documents.content import PaperContent
from smartcards.orders.documents.goods import goods
from smartcards.orders.documents.invoice import party, signers
from smartcards.orders.documents.layout import facts, pdf_of, signatures, space, text


def waybill_pdf(content: PaperContent) -> bytes:
    """The file, with room for both signatures."""
    title = content.title("Товарная накладная")
    parts: list[Flowable] = [
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
        text("Отпустил", bold=True),
        signatures(signers(content.seller)[:1]),
        space(4),
        text("Получил", bold=True),
        signatures([("Должность, подпись, имя", ""), ("Дата получения, М. П.", "")]),
    ]
    return pdf_of(title, parts)
