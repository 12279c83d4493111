"""Documents of an order as files, for merchants and for staff."""

from collections.abc import Callable

from django.utils.http import content_disposition_header

from smartcards.orders.documents.content import PaperContent
from smartcards.orders.documents.invoice import invoice_pdf
from smartcards.orders.documents.upd import upd_pdf
from smartcards.orders.documents.waybill import waybill_pdf
from smartcards.orders.models import OrderPaper
from smartcards.orders.states import PaperKind

PDF = "application/pdf"
_MADE_BY: dict[PaperKind, Callable[[PaperContent], bytes]] = {
    PaperKind.INVOICE: invoice_pdf,
    PaperKind.WAYBILL: waybill_pdf,
    PaperKind.UPD: upd_pdf,
}


def as_attachment(paper: OrderPaper) -> dict[str, str]:
    """The header of a file to keep, «Счёт 12 от 2026-11-30.pdf»: the old browsers of tills show no PDF."""
    name = f"{PaperKind(paper.kind).label} {paper.number} от {paper.day.isoformat()}.pdf"
    return {"Content-Disposition": content_disposition_header(True, name) or ""}


def pdf_file(paper: OrderPaper) -> bytes:
    """The PDF of what is frozen in the row: the same bytes each time."""
    return _MADE_BY[PaperKind(paper.kind)](paper.frozen)
