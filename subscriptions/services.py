"""Every write to modules, subscriptions, gifts and requests to the market."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from datetime import datetime, timedelta
from operator import attrgetter
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Subquery

from cabinet import audit
from cabinet.actors import MARKET, Actor
from cabinet.errors import Refused
from cabinet.formatting import ru_format
from cabinet.messaging.alerts import close_alert, raise_alert
from cabinet.models import Merchant
from cabinet.tasks.task_queue import enqueue_on_commit
from subscriptions import payments, rules
from subscriptions.models import (
    Charge,
    Gift,
    Installation,
    MarketRequest,
    Module,
    Period,
    StaffStop,
    Subscription,
    Tariff,
)
from subscriptions.queries import silent_subscriptions
from subscriptions.rules import Entitlement, Installed, MarketCharge, MarketState, PaidInterval

MODULE_DESCRIPTION = "Смарт-карты для ваших касс: включайте и отключайте связь, следите за оплатой, заказывайте новые."
GIFT_DAYS = 366
# The key of the alert about a subscription of which the market is silent.
SILENCE_ALERT = "subscription.silence.{}"


def ensure_module(*, product_id: str, by: Actor, at: datetime) -> Module:
    """The module of this market product; made where there is none, left alone where there is one."""
    module, created = Module.objects.get_or_create(
        market_product_id=product_id,
        defaults={
            "code": "kassovye",
            "title": "Кассовые сервисы",
            "addon_id": "smartcard",
            "description": MODULE_DESCRIPTION,
        },
    )
    if created:
        text = f"Добавлен модуль «{module.title}»."
        audit.record(module, "created", text, by=by, at=at)
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
    tariff: Tariff | None = None,
    cards: int | None = None,
) -> MarketRequest:
    """The merchant goes to the market's page; one open request of a kind, the last click counts.

    `tariff` and `cards` are what they want to choose there.
    """
    _locked_merchant(merchant.pk)
    request, created = MarketRequest.objects.update_or_create(
        merchant=merchant,
        module=module,
        kind=kind,
        answered_at=None,
        defaults={
            "asked_by": by.name,
            "asked_at": at,
            "estimate_kopecks": estimate_kopecks,
            "tariff": tariff,
            "cards": cards,
        },
    )
    if created:
        text = f"Переход в маркет Эвотор: {request.get_kind_display()}, модуль «{module.title}»."
        audit.record(request, request.kind, text, by=by, at=at)
    return request


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


# The market repeats its hooks for three days: an older step of a person led to something else.
STEP_LEADS = timedelta(days=3)


def link_charge(
    *, subscription: Subscription, number: int, kinds: Iterable[str], occurred_at: datetime
) -> None:
    """Keep with the charge of the event `number`, if there is one, which step of the merchant led to it.

    That is the latest of these kinds within three days before the event that has led to no other charge.
    """
    steps = MarketRequest.objects.filter(
        merchant_id=subscription.merchant_id,
        module_id=subscription.module_id,
        kind__in=list(kinds),
        asked_at__gt=occurred_at - STEP_LEADS,
        asked_at__lte=occurred_at + rules.CLOCKS_APART,
        charges=None,
    )
    latest = steps.order_by("-asked_at", "-pk").values("pk")[:1]
    Charge.objects.filter(subscription=subscription, number=number, request=None).update(
        request_id=Subquery(latest)
    )


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
    merchant, row = _locked(subscription)
    given = row.gifts.order_by("-ends_at").values_list("ends_at", flat=True).first()
    ends = [row.entitled_until, row.paid_until, row.trial_until, given]
    starts_at = rules.gift_start(at=at, ends=ends)
    gift = Gift.objects.create(
        subscription=row,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(days=days),
        days=days,
        reason=reason,
        given_by=by.name,
        given_at=at,
    )
    longer = rules.with_gifts(Entitlement(row.entitled_from, row.entitled_until), [gift])
    row.entitled_from, row.entitled_until = longer.since, longer.until
    row.gifts_until = gift.ends_at
    row.save(update_fields=["entitled_from", "entitled_until", "gifts_until"])
    text = f"Подарено дней: {days}, до {_day(gift.ends_at, ZoneInfo(merchant.timezone))}"
    audit.record(row, "gift", text, by=by, at=at, reason=reason)
    enqueue_on_commit("smartcards.reconcile_merchant", merchant_id=merchant.pk)
    return gift


@transaction.atomic
def stop_by_staff(*, subscription: Subscription, reason: str, by: Actor, at: datetime) -> StaffStop:
    """End a market subscription that the market keeps silent about, but never what is paid.

    A later payment that reaches beyond the end outweighs the decision by itself. Raises Refused
    without a reason, and where the subscription is over or has been stopped already.
    """
    _check_reason(reason)
    merchant, row = _locked(subscription)
    if row.entitled_from is None or row.entitled_until is not None:
        raise Refused("У этой подписки уже есть конец, прекращать нечего.")
    row.staff_stops.filter(cancelled_at=None).update(cancelled_at=at)
    end = rules.later(at, rules.later(row.paid_until, row.trial_until)) or at
    stop = StaffStop.objects.create(
        subscription=row, ends_at=end, reason=reason, decided_by=by.name, decided_at=at
    )
    row.entitled_until = max(end, row.entitled_from)
    row.save(update_fields=["entitled_until"])
    text = f"Подписка прекращена сотрудником сервиса с {_day(end, ZoneInfo(merchant.timezone))}"
    audit.record(row, "stopped_by_staff", text, by=by, at=at, reason=reason)
    close_alert(key=SILENCE_ALERT.format(row.pk), by=by, at=at)
    enqueue_on_commit("smartcards.reconcile_merchant", merchant_id=merchant.pk)
    return stop


def _locked(subscription: Subscription) -> tuple[Merchant, Subscription]:
    """The merchant and the subscription, locked in this order."""
    merchant = _locked_merchant(subscription.merchant_id)
    rows = Subscription.objects.select_for_update(no_key=True, of=("self",)).select_related(
        "tariff"
    )
    return merchant, rows.get(pk=subscription.pk)


def _locked_merchant(merchant_id: int) -> Merchant:
    # NO KEY: rows that only point to the merchant may be written meanwhile.
    return Merchant.objects.select_for_update(no_key=True).get(pk=merchant_id)


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise Refused("Укажите причину: её увидит клиент.")


def _day(at: datetime, zone: ZoneInfo) -> str:
    # The Russian «г.» ends with the full stop of the sentence.
    return ru_format.day(at.astimezone(zone).date())


def _instant(at: datetime, zone: ZoneInfo) -> str:
    """«28 февраля 2027 г., 15:56 по Москве.», the end of a sentence."""
    return f"{payments.end_text(at, zone)}."


def alert_silent(*, at: datetime) -> int:
    """Put subscriptions before staff whose end passed eight days ago without any event; how many.

    Nothing is switched off: silence alone cuts nobody.
    """
    rows = silent_subscriptions(at=at)
    for row in rows:
        raise_alert(
            key=SILENCE_ALERT.format(row.pk),
            text=_silence_text(row),
            at=at,
            merchant_id=row.merchant_id,
            can_wait=True,
        )
    return len(rows)


def _silence_text(row: Subscription) -> str:
    merchant = row.merchant
    end = rules.later(row.paid_until, row.trial_until)
    since = _day(end, ZoneInfo(merchant.timezone)) if end else "неизвестного дня"
    return (
        f"Эвотор молчит о подписке {row} клиента {merchant}: оплачено до {since}, "
        "ни продления, ни прекращения нет. Смарт-карты работают; решите, что делать."
    )


_ENTITLEMENT = attrgetter(
    "paid_cards", "entitled_from", "entitled_until", "paid_until", "trial_until"
)
_PERIOD = attrgetter("kind", "tariff_id", "cards", "starts_at", "ends_at", "charged_kopecks")


@transaction.atomic(savepoint=False)
def project_market(
    *, merchant: Merchant, module: Module, external_id: str, state: MarketState, at: datetime
) -> Subscription:
    """Bring the row, its periods and its entitlement to what the fold says.

    The caller holds the merchant's lock; the subscription is locked here. Writes to the audit log
    what the merchant can see, and has the cards compared where some may have to be switched.
    The same state changes nothing.
    """
    rows = Subscription.objects.select_for_update(no_key=True, of=("self",)).select_related(
        "tariff"
    )
    row = rows.filter(external_id=external_id).first()
    before = copy(row)
    row = row or Subscription(merchant=merchant, module=module, external_id=external_id)
    tariffs = _tariffs_of(state, module)
    zone = ZoneInfo(merchant.timezone)
    _bring_to_state(row, state, tariffs, zone, at)
    _replace_periods(row, state.periods, tariffs, is_new=before is None)
    _keep_charges(row, state.charges, tariffs, is_new=before is None)
    for action, text in visible_changes(before=before, after=row, zone=zone):
        audit.record(row, action, text, by=MARKET, at=at)
    if _what_decides(before) != _what_decides(row):
        enqueue_on_commit("smartcards.reconcile_merchant", merchant_id=merchant.pk)
    return row


def _tariffs_of(state: MarketState, module: Module) -> dict[str, Tariff]:
    """The tariffs of ours that the state names, by the market's `planId`."""
    terms = [state.terms, *(one.terms for one in state.periods)]
    terms += [side for one in state.charges for side in (one.terms, one.before)]
    plans = {one.plan_id for one in terms} - {None}
    return {one.plan_id: one for one in Tariff.objects.filter(module=module, plan_id__in=plans)}


def _what_decides(row: Subscription | None) -> tuple[object, ...] | None:
    """What decides about cards; None for a subscription that never entitled to any."""
    if row is None or row.entitled_from is None:
        return None
    return tuple(_ENTITLEMENT(row))


def visible_changes(
    *, before: Subscription | None, after: Subscription, zone: ZoneInfo
) -> Iterator[tuple[str, str]]:
    """What the audit log gets, oldest cause first: a code and a sentence for the merchant."""
    if before is None:
        plan = f"тариф «{after.plan_title}», " if after.plan_title else ""
        yield "created", f"Оформлена подписка: {plan}{ru_format.cards(after.paid_cards)}."
    if before and after.plan_id != before.plan_id:
        what = "Тариф изменён" if before.plan_title else "Тариф"
        yield "plan", f"{what}: «{after.plan_title}»."
    if before and after.paid_cards != before.paid_cards:
        cards = ru_format.cards(after.paid_cards)
        yield "cards", f"Оплачено: {cards} (раньше {before.paid_cards})."
    before = before or Subscription()
    yield from _changed_dates(before, after, zone)
    yield from _changed_end(before, after, zone)


def _changed_dates(
    before: Subscription, after: Subscription, zone: ZoneInfo
) -> Iterator[tuple[str, str]]:
    if after.trial_until and after.trial_until != before.trial_until:
        yield "trial", f"Пробный период до {_day(after.trial_until, zone)}"
    if not after.paid_until or after.paid_until == before.paid_until:
        return
    day = _day(after.paid_until, zone)
    if before.paid_until and after.paid_until < before.paid_until:
        yield "billing_day", f"День следующей оплаты перенесён на {day}"
    else:
        yield "paid", f"Подписка оплачена до {day}"


def _changed_end(
    before: Subscription, after: Subscription, zone: ZoneInfo
) -> Iterator[tuple[str, str]]:
    if after.stop_requested_at and not before.stop_requested_at:
        end = rules.known_end(after)
        tail = f": смарт-карты работают до {_instant(end, zone)}" if end else "."
        yield "stop_requested", f"Запрошена остановка подписки{tail}"
    if before.stop_requested_at and not after.stop_requested_at and not after.terminated_at:
        yield "stop_cancelled", "Остановка отменена, подписка продолжается."
    if after.terminated_at and not before.terminated_at:
        end = after.entitled_until
        tail = f": смарт-карты работают до {_instant(end, zone)}" if end else "."
        yield "terminated", f"Подписка прекращена{tail}"
    if before.terminated_at and not after.terminated_at:
        yield "revived", "Подписка возобновлена."


def _bring_to_state(
    row: Subscription,
    state: MarketState,
    tariffs: Mapping[str, Tariff],
    zone: ZoneInfo,
    at: datetime,
) -> None:
    row.plan_id = state.terms.plan_id or ""
    row.tariff = tariffs.get(row.plan_id)
    row.paid_cards = state.terms.cards
    row.anchor_day = rules.anchor_day(state.periods, zone)
    row.created_at = state.created_at or at
    row.trial_until = state.trial_until
    row.paid_until = state.paid_until
    row.stop_requested_at = state.stop_requested_at
    row.terminated_at = state.terminated_at
    row.charged_kopecks = state.last_charged_kopecks
    row.last_event_at = state.last_event_at
    stop = row.staff_stops.filter(cancelled_at=None).first() if row.pk else None
    gifts = list(row.gifts.all()) if row.pk else []
    entitlement = rules.market_entitlement(state, stop=stop, gifts=gifts)
    row.entitled_from, row.entitled_until = entitlement.since, entitlement.until
    row.save()


def _replace_periods(
    row: Subscription,
    intervals: Sequence[PaidInterval],
    tariffs: Mapping[str, Tariff],
    *,
    is_new: bool,
) -> None:
    wanted = [
        Period(
            subscription=row,
            kind=one.kind,
            tariff=tariffs.get(one.terms.plan_id or ""),
            cards=one.terms.cards,
            starts_at=one.starts_at,
            ends_at=one.ends_at,
            charged_kopecks=one.charged_kopecks,
        )
        for one in intervals
    ]
    known = [] if is_new else [*map(_PERIOD, row.periods.order_by("starts_at"))]
    if known == [*map(_PERIOD, wanted)]:
        return
    # All go before any comes: a moved end would overlap its neighbour for a moment.
    if known:
        row.periods.all().delete()
    Period.objects.bulk_create(wanted)


_CHARGE = (
    *("number", "kind", "charged_at", "kopecks", "tariff_id", "cards", "tariff_before_id"),
    *("cards_before", "period_starts_at", "starts_at", "ends_at"),
)
_CHARGE_FACTS = attrgetter(*_CHARGE)


def _keep_charges(
    row: Subscription,
    charges: Sequence[MarketCharge],
    tariffs: Mapping[str, Tariff],
    *,
    is_new: bool,
) -> None:
    """Bring the rows to what the fold says; the request that led to a charge stays with it."""
    wanted = [_as_row(row, one, tariffs) for one in charges]
    known = [] if is_new else [*map(_CHARGE_FACTS, row.charges.order_by("number"))]
    if known == [*map(_CHARGE_FACTS, wanted)]:
        return
    # A late event of an earlier number may show that a later one charged nothing.
    gone = {fact[0] for fact in known} - {one.number for one in charges}
    if gone:
        row.charges.filter(number__in=gone).delete()
    Charge.objects.bulk_create(
        wanted,
        update_conflicts=True,
        unique_fields=["subscription", "number"],
        update_fields=_CHARGE[1:],
    )


def _as_row(row: Subscription, one: MarketCharge, tariffs: Mapping[str, Tariff]) -> Charge:
    return Charge(
        subscription=row,
        number=one.number,
        kind=one.kind,
        charged_at=one.at,
        kopecks=one.kopecks,
        tariff=tariffs.get(one.terms.plan_id or ""),
        cards=one.terms.cards,
        tariff_before=tariffs.get(one.before.plan_id or ""),
        cards_before=one.before.cards,
        period_starts_at=one.period_starts_at,
        starts_at=one.starts_at,
        ends_at=one.ends_at,
    )


@transaction.atomic
def project_installations(
    *, merchant: Merchant, module: Module, intervals: Sequence[Installed], at: datetime
) -> None:
    """Bring the rows of installs to `intervals`; entitlement is never touched by them.

    The caller holds the merchant's lock.
    """
    rows = Installation.objects.of(merchant).filter(module=module).order_by("installed_at", "pk")
    known = [Installed(row.installed_at, row.removed_at) for row in rows]
    if known == list(intervals):
        return
    rows.delete()
    Installation.objects.bulk_create(
        Installation(merchant=merchant, module=module, installed_at=one.since, removed_at=one.till)
        for one in intervals
    )
    was, now = (bool(some) and some[-1].till is None for some in (known, intervals))
    if was == now:
        return
    action, done = ("installed", "установлен") if now else ("removed", "удалён из Эвотор")
    audit.record(merchant, action, f"Модуль «{module.title}» {done}.", by=MARKET, at=at)
