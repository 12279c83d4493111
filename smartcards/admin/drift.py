"""«Расхождения»: where cards differ from what their operators say, and what staff may do about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, cast
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
from cabinet.admin.staff import actor_of, may
from cabinet.admin_site import CabinetAdminSite, SitePage
from cabinet.errors import Refused
from operators.models import OperatorAccount
from smartcards import drift, healing, queries, releases, services
from smartcards.admin.decisions import ACT_RIGHT
from smartcards.admin.words import block_of
from smartcards.drift import HEALED_BY_ITSELF, Drift, Found
from smartcards.models import SmartCard

SEE = "smartcards.view_smartcard"
PAGE_SIZE = 100
LIST, ACT = "smartcards_drift", "smartcards_drift_act"
TITLE = "Расхождения"
# What the journal says where staff pressed a button and had nothing to add.
USUAL_REASON = "расхождение с оператором"
_SEEN_IN_A_READING = frozenset({Drift.OTHER_NUMBER, Drift.OTHER_DEVICE})


@dataclass(frozen=True)
class Remedy:
    """One button: its word in the form, its text, what is said when it is done, for which kinds.

    `run` takes card, reason, by and at by keyword; it may raise Refused. `fits` is asked where the kind
    alone does not tell whether the button makes sense.
    """

    name: str
    button: str
    done: str
    kinds: frozenset[Drift]
    run: Callable[..., object]
    wants_reason: bool = False
    fits: Callable[[SmartCard], bool] = lambda _card: True


def _can_be_read(card: SmartCard) -> bool:
    return queries.can_be_read(card.account)


def _keeps_silent(card: SmartCard) -> bool:
    return not queries.tells_state(card.account)


def _switch_on(*, card: SmartCard, reason: str, by: Actor, at: datetime) -> None:
    services.request_activation(card=card, by=by, at=at, reason=reason)


def _switch_off(*, card: SmartCard, reason: str, by: Actor, at: datetime) -> None:
    if card.merchant_id is None:
        healing.switch_off_in_stock(card=card, by=by, at=at, reason=reason)
    else:
        services.request_deactivation(card=card, by=by, at=at, reason=reason)


REMEDIES = (
    Remedy(
        "number",
        "Принять номер оператора",
        "Номер оператора принят.",
        frozenset({Drift.OTHER_NUMBER}),
        healing.accept_number,
    ),
    Remedy(
        "on",
        "Включить",
        "Команда принята.",
        frozenset({Drift.PAID_BUT_OFF}),
        _switch_on,
    ),
    Remedy(
        "off",
        "Отключить",
        "Команда принята.",
        frozenset({Drift.ON_BUT_UNPAID, Drift.ON_THOUGH_WISHED_OFF, Drift.OTHER_DEVICE}),
        _switch_off,
        wants_reason=True,
    ),
    Remedy(
        "write-off",
        "Списать",
        "Смарт-карта списана, место в подписке свободно.",
        frozenset({Drift.RETIRED}),
        healing.write_off,
        wants_reason=True,
    ),
    Remedy(
        "released-on",
        "Блокировка снята: работает",
        "Записано: блокировка снята, смарт-карта работает.",
        frozenset({Drift.HELD}),
        partial(releases.release, working=True),
        wants_reason=True,
        fits=_keeps_silent,
    ),
    Remedy(
        "released-off",
        "Блокировка снята: отключена",
        "Записано: блокировка снята, смарт-карта отключена.",
        frozenset({Drift.HELD}),
        partial(releases.release, working=False),
        wants_reason=True,
        fits=_keeps_silent,
    ),
    Remedy(
        "read",
        "Прочитать ещё раз",
        "Спросим оператора, ответ появится здесь.",
        frozenset(Drift),
        healing.read_again,
        fits=_can_be_read,
    ),
)
_BY_NAME = {remedy.name: remedy for remedy in REMEDIES}


@dataclass(frozen=True)
class Chosen:
    """What the list is narrowed to; anything unknown in the address narrows nothing."""

    kind: Drift | None
    account_id: int | None
    page: int

    @classmethod
    def of(cls, given: Any) -> "Chosen":
        kind, account, page = (given.get(name, "") for name in ("kind", "account", "page"))
        return cls(
            kind=Drift(kind) if kind in Drift.values else None,
            account_id=int(account) if account.isdecimal() and len(account) < 10 else None,
            page=max(1, int(page)) if page.isdecimal() and len(page) < 6 else 1,
        )

    def query(self, **changed: object) -> str:
        """The address's part after «?»."""
        values = {"kind": self.kind, "account": self.account_id, "page": self.page} | changed
        return urlencode({name: value for name, value in values.items() if value})


@dataclass(frozen=True)
class Line:
    """One card of the list: what differs, what may be done."""

    card: SmartCard
    differences: Sequence[tuple[Drift, str, datetime | None]]
    remedies: Sequence[Remedy]
    mail: str

    @property
    def wants_reason(self) -> bool:
        """Whether one of the buttons is refused without a reason."""
        return any(remedy.wants_reason for remedy in self.remedies)


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Counts by account and kind, and a page of cards."""
    if not may(request, SEE):
        raise PermissionDenied
    chosen, at = Chosen.of(request.GET), clock.now()
    lines = drift.counts(at)
    start = (chosen.page - 1) * PAGE_SIZE
    # One more tells whether there is a next page: counting all of them would cost as much again.
    found = drift.page_of(
        at, kind=chosen.kind, account_id=chosen.account_id, start=start, size=PAGE_SIZE + 1
    )
    context = _site().each_context(request) | {
        "title": TITLE,
        "chosen": chosen,
        "kinds": list(Drift),
        "counts": lines,
        "totals": drift.totals(lines),
        "total": sum(line.total for line in lines),
        "accounts": OperatorAccount.objects.only("title").order_by("title", "pk"),
        "lines": [_line(card, may_act=may(request, ACT_RIGHT)) for card in found[:PAGE_SIZE]],
        "before": chosen.query(page=chosen.page - 1) if chosen.page > 1 else "",
        "after": chosen.query(page=chosen.page + 1) if len(found) > PAGE_SIZE else "",
        "healed": [kind.label for kind in Drift if kind in HEALED_BY_ITSELF],
        "everything": reverse(f"admin:{LIST}"),
        "seen_in_a_reading": _SEEN_IN_A_READING,
    }
    return TemplateResponse(request, "admin/smartcards/drift.html", context)


@require_POST
def act(request: HttpRequest, pk: int) -> HttpResponse:
    """Do it and go back to the same place of the list; a refusal is said there."""
    if not (may(request, SEE) and may(request, ACT_RIGHT)):
        raise PermissionDenied
    remedy = _BY_NAME.get(request.POST.get("act", ""))
    card = SmartCard.objects.filter(pk=pk).first()
    if remedy is None or card is None:
        raise Http404
    typed = request.POST.get("reason", "").strip()[:300]
    reason = typed or ("" if remedy.wants_reason else USUAL_REASON)
    try:
        remedy.run(card=card, reason=reason, by=actor_of(request), at=clock.now())
        messages.success(request, f"{card.iccid}: {remedy.done}")
    except Refused as refusal:
        messages.error(request, f"{card.iccid}: {refusal.sentence}")
    return redirect(f"{reverse(f'admin:{LIST}')}?{Chosen.of(request.POST).query()}")


def _line(card: SmartCard, *, may_act: bool) -> Line:
    differences = drift.found(card)
    kinds = {one.kind for one in differences}
    return Line(
        card=card,
        differences=[(one.kind, _details(card, one), one.since) for one in differences],
        remedies=_remedies(card, kinds) if may_act else [],
        mail=_mail(card),
    )


def _remedies(card: SmartCard, kinds: set[Drift]) -> list[Remedy]:
    return [remedy for remedy in REMEDIES if remedy.kinds & kinds and remedy.fits(card)]


def _details(card: SmartCard, one: Found) -> str:
    """What cannot be seen from the kind alone."""
    if one.kind is Drift.OTHER_NUMBER:
        return f"у нас {card.msisdn or 'нет номера'}, у оператора {card.seen_msisdn}"
    if one.kind is Drift.OTHER_DEVICE and card.terminal:
        return f"IMEI кассы {card.terminal.imei}, у оператора {card.seen_imei}"
    return block_of(card) if one.kind is Drift.HELD else ""


def _mail(card: SmartCard) -> str:
    """«Написать клиенту»: a letter begun; "" where the address is not known."""
    if card.merchant is None or not card.merchant.email:
        return ""
    words = {"subject": f"Смарт-карта {card.iccid}", "body": "Здравствуйте!\r\n\r\n"}
    return f"mailto:{quote(card.merchant.email, safe='@')}?{urlencode(words, quote_via=quote)}"


def _site() -> CabinetAdminSite:
    return cast("CabinetAdminSite", admin.site)


_site().add_page(SitePage("smartcards/drift/", LIST, TITLE, "smartcards", SEE, page))
_site().add_page(
    SitePage("smartcards/drift/<int:pk>/", ACT, TITLE, "smartcards", SEE, act, listed=False)
)
