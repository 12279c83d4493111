"""Documents of an order get their numbers here, without gaps within a year. Parts of a larger change.

The counter's row stays locked until the caller's transaction ends: a number is taken only with its document.
"""

from datetime import date, datetime

from cabinet import audit
from cabinet.actors import Actor
from cabinet.formatting.ru_format import money
from smartcards.orders import queries, rules
from smartcards.orders.models import Order, OrderPaper, PaperCounter
from smartcards.orders.rules import PAPER_ZONE, OrderRefused
from smartcards.orders.states import PaperKind


def issue(
    *,
    order: Order,
    kind: PaperKind,
    by: Actor,
    at: datetime,
    reason: str = "",
    paid_by: OrderPaper | None = None,
) -> OrderPaper:
    """A document with the requisites of now, frozen; `paid_by`: the счёт that is paid already.

    Raises OrderRefused where staff have not entered the requisites.
    """
    seller = queries.seller()
    if seller is None:
        raise OrderRefused("Не заполнены реквизиты продавца.")
    day = day_of(at)
    number = _next_number(kind, day.year)
    content = rules.paper_content(order, seller, number=number, day_of_issue=day, paid_by=paid_by)
    paper = OrderPaper.objects.create(
        order=order,
        kind=kind,
        year=day.year,
        number=number,
        day=day,
        total_kopecks=content.total,
        content=content.as_json(),
        issued_at=at,
    )
    text = f"{paper} на {money(paper.total_kopecks)}"
    audit.record(order, "order_paper_issued", text, by=by, at=at, reason=reason)
    return paper


def cancel(*, order: Order, kind: PaperKind, at: datetime) -> None:
    """The valid document of this kind is void; its number stays used."""
    queries.valid_papers().filter(order=order, kind=kind).update(cancelled_at=at)


def day_of(at: datetime) -> date:
    """The day of a document."""
    return at.astimezone(PAPER_ZONE).date()


def _next_number(kind: PaperKind, year: int) -> int:
    PaperCounter.objects.get_or_create(kind=kind, year=year)
    counter = PaperCounter.objects.select_for_update().get(kind=kind, year=year)
    counter.last += 1
    counter.save(update_fields=["last"])
    return counter.last
