"""«Расхождения»: where cards differ from what their operators say, and what staff may do about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from cabinet import clock
from cabinet.actors import Actor
from cabinet.admin.actor import actor_of, may
from cabinet.admin_site import site_page
from cabinet.errors import Refused
from operators.models import OperatorAccount
from smartcards import queries, services
from smartcards.admin.labels import block_of
from smartcards.admin.permissions import ACT_RIGHT
from smartcards.models import SmartCard
from smartcards.reconciliation import discrepancies, discrepancy_actions, lifted_blocks
from smartcards.reconciliation.discrepancies import FIXED_BY_ITSELF, Discrepancy, DiscrepancyKind

SEE = "smartcards.view_smartcard"
PAGE_SIZE = 100
LIST, ACT = "smartcards_drift", "smartcards_drift_act"
TITLE = "Расхождения"
# The reason in the audit log where staff gave none.
USUAL_REASON = "расхождение с оператором"
_SEEN_IN_A_READING = frozenset({DiscrepancyKind.OTHER_NUMBER, DiscrepancyKind.OTHER_DEVICE})


@dataclass(frozen=True)
class Fix:
    """One button: its name in the form, its text, the message when it is done, for which kinds.

    `run` takes card, reason, by and at by keyword; it may raise Refused. `fits` is asked where the kind
    alone does not tell whether the button makes sense.
    """

    name: str
    button: str
    done: str
    kinds: frozenset[DiscrepancyKind]
    run: Callable[..., object]
    wants_reason: bool = False
    fits: Callable[[SmartCard], bool] = lambda _card: True


def _keeps_silent(card: SmartCard) -> bool:
    return not queries.tells_state(card.account)


def _switch_off(*, card: SmartCard, reason: str, by: Actor, at: datetime) -> None:
    if card.merchant_id is None:
        discrepancy_actions.switch_off_in_stock(card=card, by=by, at=at, reason=reason)
    else:
        services.request_deactivation(card=card, by=by, at=at, reason=reason)


FIXES = (
    Fix(
        "number",
        "Принять номер оператора",
        "Номер оператора принят.",
        frozenset({DiscrepancyKind.OTHER_NUMBER}),
        discrepancy_actions.accept_number,
    ),
    Fix(
        "on",
        "Включить",
        "Команда принята.",
        frozenset({DiscrepancyKind.PAID_BUT_OFF}),
        services.request_activation,
    ),
    Fix(
        "off",
        "Отключить",
        "Команда принята.",
        frozenset(
            {
                DiscrepancyKind.ON_BUT_UNPAID,
                DiscrepancyKind.ON_THOUGH_UNWANTED,
                DiscrepancyKind.OTHER_DEVICE,
            }
        ),
        _switch_off,
        wants_reason=True,
    ),
    Fix(
        "write-off",
        "Списать",
        "Смарт-карта списана, место в подписке свободно.",
        frozenset({DiscrepancyKind.RETIRED}),
        discrepancy_actions.write_off,
        wants_reason=True,
    ),
    Fix(
        "released-on",
        "Блокировка снята: работает",
        "Записано: блокировка снята, смарт-карта работает.",
        frozenset({DiscrepancyKind.HELD}),
        partial(lifted_blocks.release, working=True),
        wants_reason=True,
        fits=_keeps_silent,
    ),
    Fix(
        "released-off",
        "Блокировка снята: отключена",
        "Записано: блокировка снята, смарт-карта отключена.",
        frozenset({DiscrepancyKind.HELD}),
        partial(lifted_blocks.release, working=False),
        wants_reason=True,
        fits=_keeps_silent,
    ),
    Fix(
        "read",
        "Прочитать ещё раз",
        "Спросим оператора, ответ появится здесь.",
        frozenset(DiscrepancyKind),
        discrepancy_actions.read_again,
        fits=lambda card: queries.can_be_read(card.account),
    ),
)
_BY_NAME = {fix.name: fix for fix in FIXES}


@dataclass(frozen=True)
class Selection:
    """What the list is narrowed to; anything unknown in the address narrows nothing."""

    kind: DiscrepancyKind | None
    account_id: int | None
    page: int

    @classmethod
    def of(cls, given: Any) -> "Selection":
        """What the parameters of an address or of a form say."""
        kind, account, page = (given.get(name, "") for name in ("kind", "account", "page"))
        return cls(
            kind=DiscrepancyKind(kind) if kind in DiscrepancyKind.values else None,
            account_id=int(account) if account.isdecimal() and len(account) < 10 else None,
            page=max(1, int(page)) if page.isdecimal() and len(page) < 6 else 1,
        )

    def query(self, **changed: object) -> str:
        """The address's part after «?»."""
        values = {"kind": self.kind, "account": self.account_id, "page": self.page} | changed
        return urlencode({name: value for name, value in values.items() if value})


@dataclass(frozen=True)
class Row:
    """One card of the list: what differs, what may be done."""

    card: SmartCard
    differences: Sequence[tuple[DiscrepancyKind, str, datetime | None]]
    fixes: Sequence[Fix]
    mail: str

    @property
    def wants_reason(self) -> bool:
        """Whether one of the buttons is refused without a reason."""
        return any(fix.wants_reason for fix in self.fixes)


@site_page("smartcards/drift/", name=LIST, title=TITLE, permission=SEE)
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Counts by account and kind, and a page of cards."""
    selection, at = Selection.of(request.GET), clock.now()
    counts = discrepancies.counts(at)
    totals = discrepancies.totals(counts)
    start = (selection.page - 1) * PAGE_SIZE
    # One more shows whether there is a next page: counting all of them would cost as much again.
    found = discrepancies.page_of(
        at,
        kind=selection.kind,
        among=[kind for kind, number in zip(DiscrepancyKind, totals, strict=True) if number],
        account_id=selection.account_id,
        start=start,
        size=PAGE_SIZE + 1,
    )
    context = admin.site.each_context(request) | {
        "title": TITLE,
        "selection": selection,
        "kinds": list(DiscrepancyKind),
        "counts": counts,
        "totals": totals,
        "total": sum(row.total for row in counts),
        "accounts": OperatorAccount.objects.only("title").order_by("title", "pk"),
        "rows": [_row(card, may_act=may(request, ACT_RIGHT)) for card in found[:PAGE_SIZE]],
        "before": selection.query(page=selection.page - 1) if selection.page > 1 else "",
        "after": selection.query(page=selection.page + 1) if len(found) > PAGE_SIZE else "",
        "fixed_by_itself": [kind.label for kind in DiscrepancyKind if kind in FIXED_BY_ITSELF],
        "everything": reverse(f"admin:{LIST}"),
        "seen_in_a_reading": _SEEN_IN_A_READING,
    }
    return TemplateResponse(request, "admin/smartcards/discrepancies.html", context)


@site_page("smartcards/drift/<int:pk>/", name=ACT, title=TITLE, permission=SEE, listed=False)
@require_POST
def act(request: HttpRequest, pk: int) -> HttpResponse:
    """Do it and go back to the same page of the list; a refusal becomes a message there."""
    if not may(request, ACT_RIGHT):
        raise PermissionDenied
    fix = _BY_NAME.get(request.POST.get("act", ""))
    card = SmartCard.objects.filter(pk=pk).first()
    if fix is None or card is None:
        raise Http404
    typed = request.POST.get("reason", "").strip()[:300]
    reason = typed or ("" if fix.wants_reason else USUAL_REASON)
    try:
        fix.run(card=card, reason=reason, by=actor_of(request), at=clock.now())
        messages.success(request, f"{card.iccid}: {fix.done}")
    except Refused as refusal:
        messages.error(request, f"{card.iccid}: {refusal.sentence}")
    return redirect(f"{reverse(f'admin:{LIST}')}?{Selection.of(request.POST).query()}")


def _row(card: SmartCard, *, may_act: bool) -> Row:
    differences = discrepancies.found(card)
    kinds = {one.kind for one in differences}
    return Row(
        card=card,
        differences=[(one.kind, _details(card, one), one.since) for one in differences],
        fixes=[fix for fix in FIXES if may_act and fix.kinds & kinds and fix.fits(card)],
        mail=_mail(card),
    )


def _details(card: SmartCard, one: Discrepancy) -> str:
    """What cannot be seen from the kind alone."""
    if one.kind is DiscrepancyKind.OTHER_NUMBER:
        return f"у нас {card.msisdn or 'нет номера'}, у оператора {card.seen_msisdn}"
    if one.kind is DiscrepancyKind.OTHER_DEVICE and card.terminal:
        return f"IMEI кассы {card.terminal.imei}, у оператора {card.seen_imei}"
    return block_of(card) if one.kind is DiscrepancyKind.HELD else ""


def _mail(card: SmartCard) -> str:
    """«Написать клиенту»: a `mailto:` link; "" where the address is not known."""
    if card.merchant is None or not card.merchant.email:
        return ""
    fields = {"subject": f"Смарт-карта {card.iccid}", "body": "Здравствуйте!\r\n\r\n"}
    return f"mailto:{quote(card.merchant.email, safe='@')}?{urlencode(fields, quote_via=quote)}"
