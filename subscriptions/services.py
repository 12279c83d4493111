"""Every write to modules, subscriptions, gifts and requests to the market."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction

from cabinet import audit, wording
from cabinet.actors import Actor
from cabinet.alerts import close_alert, raise_alert
from cabinet.errors import Refused
from cabinet.models import Merchant
from subscriptions import rules
from subscriptions.models import Gift, MarketRequest, Module, StaffStop, Subscription
from subscriptions.projection import (
    locked,
    locked_merchant,
    project_installations,
    project_market,
    record,
    send_changed,
)
from subscriptions.queries import silent_subscriptions

__all__ = [
    "alert_silent",
    "answer_market_requests",
    "ensure_module",
    "give_days",
    "note_market_request",
    "project_installations",
    "project_market",
    "silence_key",
    "stop_by_staff",
]

MODULE_CODE = "kassovye"
MODULE_TITLE = "Кассовые сервисы"
MODULE_DESCRIPTION = "Смарт-карты для ваших касс: включайте и отключайте связь, следите за оплатой, заказывайте новые."
ADDON_ID = "smartcard"
GIFT_DAYS = 366


def ensure_module(
    *,
    product_id: str,
    by: Actor,
    at: datetime,
    code: str = MODULE_CODE,
    title: str = MODULE_TITLE,
    addon_id: str = ADDON_ID,
) -> Module:
    """The module of this market product; made where there is none, left alone where there is one."""
    module, created = Module.objects.get_or_create(
        market_product_id=product_id,
        defaults={
            "code": code,
            "title": title,
            "addon_id": addon_id,
            "description": MODULE_DESCRIPTION,
        },
    )
    if created:
        text = f"Добавлен модуль «{title}»."
        audit.record(target=module, action="created", text=text, by=by, at=at, merchant_id=None)
    return module


@transaction.atomic
def note_market_request(
    *,
    merchant: Merchant,
    module: Module,
    kind: str,
    estimate_kopecks: int | None,
    by: Actor,
    at: datetime,
) -> MarketRequest:
    """The merchant goes to the market's page; one open request of a kind, the last click counts."""
    locked_merchant(merchant.pk)
    request, created = MarketRequest.objects.update_or_create(
        merchant=merchant,
        module=module,
        kind=kind,
        answered_at=None,
        defaults={"asked_by": by.name, "asked_at": at, "estimate_kopecks": estimate_kopecks},
    )
    if created:
        text = f"Переход в маркет Эвотор: {request.get_kind_display()}, модуль «{module.title}»."
        _record_request(request, text, by=by, at=at)
    return request


def _record_request(request: MarketRequest, text: str, *, by: Actor, at: datetime) -> None:
    audit.record(
        target=request,
        action=request.kind,
        text=text,
        by=by,
        at=at,
        merchant_id=request.merchant_id,
    )


def answer_market_requests(
    *,
    merchant_id: int,
    module: Module,
    kinds: Iterable[str],
    occurred_at: datetime,
    charged_kopecks: int | None,
    at: datetime,
) -> int:
    """Close the open requests that an event of `occurred_at` answers; how many there were.

    An event from before the click is not its answer, whenever it arrives.
    """
    return MarketRequest.objects.filter(
        merchant_id=merchant_id,
        module=module,
        kind__in=list(kinds),
        answered_at=None,
        asked_at__lte=occurred_at + rules.CLOCKS_APART,
    ).update(answered_at=at, charged_kopecks=charged_kopecks)


@transaction.atomic
def give_days(
    *, subscription: Subscription, days: int, reason: str, by: Actor, at: datetime
) -> Gift:
    """Give `days` from the end of what is paid or given, or from now where that has passed.

    Raises Refused without a reason and for a number of days outside 1..366.
    """
    _check_reason(reason)
    if not 1 <= days <= GIFT_DAYS:
        raise Refused(f"Подарить можно от 1 до {GIFT_DAYS} дней.")
    merchant, row = locked(subscription.pk)
    starts_at = rules.gift_start(at=at, ends=_known_ends(row))
    gift = Gift.objects.create(
        subscription=row,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(days=days),
        days=days,
        reason=reason,
        given_by=by.name,
        given_at=at,
    )
    _prolong(row, gift)
    day = _day(gift.ends_at, merchant)
    record(row, "gift", f"Подарено дней: {days}, до {day}", by=by, at=at, reason=reason)
    send_changed(row, at)
    return gift


def _known_ends(row: Subscription) -> list[datetime | None]:
    last = row.gifts.order_by("-ends_at").values_list("ends_at", flat=True).first()
    return [row.entitled_until, row.paid_until, row.trial_until, last]


def _prolong(row: Subscription, gift: Gift) -> None:
    given = rules.Gift(gift.starts_at, gift.ends_at, gift.given_at)
    entitlement = rules.Entitlement(row.entitled_from, row.entitled_until)
    longer = rules.with_gifts(entitlement, [given])
    row.entitled_from, row.entitled_until = longer.since, longer.until
    row.save(update_fields=["entitled_from", "entitled_until"])


@transaction.atomic
def stop_by_staff(*, subscription: Subscription, reason: str, by: Actor, at: datetime) -> StaffStop:
    """End a market subscription that the market keeps silent about, but never what is paid.

    A later payment that reaches beyond the end outweighs the decision by itself. Raises Refused
    without a reason, and where the subscription is over or has been stopped already.
    """
    _check_reason(reason)
    merchant, row = locked(subscription.pk)
    if row.entitled_from is None or row.entitled_until is not None:
        raise Refused("У этой подписки уже есть конец, прекращать нечего.")
    row.staff_stops.filter(cancelled_at=None).update(cancelled_at=at)
    end = rules.later(at, rules.later(row.paid_until, row.trial_until)) or at
    stop = StaffStop.objects.create(
        subscription=row, ends_at=end, reason=reason, decided_by=by.name, decided_at=at
    )
    row.entitled_until = max(end, row.entitled_from)
    row.save(update_fields=["entitled_until"])
    text = f"Подписка прекращена сотрудником сервиса с {_day(end, merchant)}"
    record(row, "stopped_by_staff", text, by=by, at=at, reason=reason)
    close_alert(key=silence_key(row), by=by, at=at)
    send_changed(row, at)
    return stop


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise Refused("Укажите причину: её увидит клиент.")


def _day(at: datetime, merchant: Merchant) -> str:
    return wording.day(at.astimezone(ZoneInfo(merchant.timezone)).date())


def silence_key(row: Subscription) -> str:
    """The key of the alert about a market that tells nothing."""
    return f"subscription.silence.{row.pk}"


def alert_silent(*, at: datetime) -> int:
    """Put subscriptions before staff whose end passed eight days ago without a word; how many.

    Nothing is switched off: silence alone cuts nobody.
    """
    rows = silent_subscriptions(at=at)
    for row in rows:
        raise_alert(
            key=silence_key(row), text=_silence_text(row), at=at, merchant_id=row.merchant_id
        )
    return len(rows)


def _silence_text(row: Subscription) -> str:
    merchant = row.merchant
    end = rules.later(row.paid_until, row.trial_until)
    since = _day(end, merchant) if end else "неизвестного дня"
    return (
        f"Эвотор молчит о подписке {row} клиента {merchant}: оплачено до {since}, "
        "ни продления, ни прекращения нет. Смарт-карты работают; решите, что делать."
    )
