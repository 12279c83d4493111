"""The one way in which a market subscription's rows move: they are made equal to the fold."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import transaction

from cabinet import audit
from cabinet.actors import Actor
from cabinet.models import Merchant
from subscriptions import rules
from subscriptions.changes import Told, changes
from subscriptions.models import Installation, Module, Period, Subscription, Tariff
from subscriptions.rules import Installed, MarketFacts, Stretch
from subscriptions.signals import entitlement_changed
from subscriptions.states import Source


@transaction.atomic
def project_market(
    *, merchant_id: int, module: Module, facts: MarketFacts, by: Actor, at: datetime
) -> Subscription:
    """Bring the row, its periods and its entitlement to what the fold says; the only mover of them.

    Locks the merchant, then the subscription. Writes the journal for what the merchant can see and
    sends `entitlement_changed` where cards may have to be switched. The same facts change nothing.
    """
    merchant = locked_merchant(merchant_id)
    row = _locked_market_row(facts.external_id)
    tariffs = _tariffs(module, facts)
    before = None if row is None else _told(row)
    row = row or Subscription(merchant=merchant, module=module, source=Source.MARKET)
    was = _switching(row)
    _fill(row, facts, tariffs.get(facts.plan_id), ZoneInfo(merchant.timezone))
    _entitle(row, facts)
    row.save()
    _replace_periods(row, facts.stretches, tariffs)
    _tell(row, before, merchant, by=by, at=at)
    if before is None or was != _switching(row):
        send_changed(row, at)
    return row


def locked_merchant(merchant_id: int) -> Merchant:
    """The merchant, locked: the first lock of every write here."""
    # NO KEY: rows that only point to the merchant may be written meanwhile.
    return Merchant.objects.select_for_update(no_key=True).get(pk=merchant_id)


def _locked_market_row(external_id: str) -> Subscription | None:
    rows = Subscription.objects.select_for_update(no_key=True, of=("self",)).select_related(
        "tariff"
    )
    return rows.filter(source=Source.MARKET, external_id=external_id).first()


def locked(subscription_id: int) -> tuple[Merchant, Subscription]:
    """The merchant and the subscription, locked in this order."""
    merchant_id = Subscription.objects.values_list("merchant_id", flat=True).get(pk=subscription_id)
    merchant = locked_merchant(merchant_id)
    rows = Subscription.objects.select_for_update(no_key=True, of=("self",)).select_related(
        "tariff"
    )
    return merchant, rows.get(pk=subscription_id)


def _tariffs(module: Module, facts: MarketFacts) -> dict[str, Tariff]:
    plans = {facts.plan_id, *(stretch.plan_id for stretch in facts.stretches)}
    return {row.plan_id: row for row in Tariff.objects.filter(module=module, plan_id__in=plans)}


def _told(row: Subscription) -> Told:
    return Told(
        plan_title=row.tariff.title if row.tariff else row.plan_id,
        paid_cards=row.paid_cards,
        trial_until=row.trial_until,
        paid_until=row.paid_until,
        stop_requested_at=row.stop_requested_at,
        terminated_at=row.terminated_at,
        entitled_until=row.entitled_until,
    )


def _switching(row: Subscription) -> tuple[object, ...]:
    """What decides about cards."""
    return row.paid_cards, row.entitled_from, row.entitled_until, row.paid_until, row.trial_until


def _fill(row: Subscription, facts: MarketFacts, tariff: Tariff | None, zone: ZoneInfo) -> None:
    row.external_id = facts.external_id
    row.tariff = tariff
    row.plan_id = facts.plan_id
    row.paid_cards = facts.paid_cards
    row.anchor_day = rules.anchor_day(facts.stretches, zone)
    row.created_at = facts.created_at
    row.trial_until = facts.trial_until
    row.paid_until = facts.paid_until
    row.stop_requested_at = facts.stop_requested_at
    row.terminated_at = facts.terminated_at
    row.charged_kopecks = facts.charged_kopecks
    row.last_event_at = facts.last_event_at


def _entitle(row: Subscription, facts: MarketFacts) -> None:
    gifts, stop = ([], None) if row.pk is None else (_gifts(row), _stop(row))
    entitlement = rules.market_entitlement(facts=facts, stop=stop, gifts=gifts)
    row.entitled_from, row.entitled_until = entitlement.since, entitlement.until


def _gifts(row: Subscription) -> list[rules.Gift]:
    return [rules.Gift(gift.starts_at, gift.ends_at, gift.given_at) for gift in row.gifts.all()]


def _stop(row: Subscription) -> rules.StaffStop | None:
    stop = row.staff_stops.filter(cancelled_at=None).first()
    return rules.StaffStop(stop.ends_at, stop.decided_at) if stop else None


def _replace_periods(
    row: Subscription, stretches: Sequence[Stretch], tariffs: dict[str, Tariff]
) -> None:
    wanted = [_period(row, stretch, tariffs.get(stretch.plan_id)) for stretch in stretches]
    if _contents(row.periods.order_by("starts_at")) == _contents(wanted):
        return
    # All go before any comes: a moved end would overlap its neighbour for a moment.
    row.periods.all().delete()
    Period.objects.bulk_create(wanted)


def _period(row: Subscription, stretch: Stretch, tariff: Tariff | None) -> Period:
    return Period(
        subscription=row,
        kind=stretch.kind,
        tariff=tariff,
        cards=stretch.cards,
        starts_at=stretch.starts_at,
        ends_at=stretch.ends_at,
        charged_kopecks=stretch.charged_kopecks,
    )


def _contents(periods: Iterable[Period]) -> list[tuple[object, ...]]:
    return [
        (one.kind, one.tariff_id, one.cards, one.starts_at, one.ends_at, one.charged_kopecks)
        for one in periods
    ]


def _tell(
    row: Subscription, before: Told | None, merchant: Merchant, *, by: Actor, at: datetime
) -> None:
    zone = ZoneInfo(merchant.timezone)
    for change in changes(before=before, after=_told(row), zone=zone):
        record(row, change.action, change.text, by=by, at=at)


def record(
    row: Subscription, action: str, text: str, *, by: Actor, at: datetime, reason: str = ""
) -> None:
    """Write a line about the subscription that its merchant may read."""
    audit.record(
        target=row,
        action=action,
        text=text,
        by=by,
        at=at,
        merchant_id=row.merchant_id,
        reason=reason,
    )


def send_changed(row: Subscription, at: datetime) -> None:
    """Tell whoever keeps cards that they may have to be compared."""
    entitlement_changed.send(sender=Subscription, merchant_id=row.merchant_id, at=at)


@transaction.atomic
def project_installations(
    *, merchant_id: int, module: Module, stretches: Sequence[Installed], by: Actor, at: datetime
) -> None:
    """Bring the rows of installs to `stretches`; entitlement is never touched by them."""
    merchant = locked_merchant(merchant_id)
    rows = Installation.objects.of(merchant).filter(module=module).order_by("installed_at", "pk")
    known = [Installed(row.installed_at, row.removed_at) for row in rows]
    if known == list(stretches):
        return
    rows.delete()
    Installation.objects.bulk_create(
        Installation(merchant=merchant, module=module, installed_at=one.since, removed_at=one.till)
        for one in stretches
    )
    _tell_installed(merchant, module, known, stretches, by=by, at=at)


def _tell_installed(
    merchant: Merchant,
    module: Module,
    before: Sequence[Installed],
    after: Sequence[Installed],
    *,
    by: Actor,
    at: datetime,
) -> None:
    was, now = _stands(before), _stands(after)
    if was == now:
        return
    action, word = ("installed", "установлен") if now else ("removed", "удалён из Эвотор")
    text = f"Модуль «{module.title}» {word}."
    audit.record(target=merchant, action=action, text=text, by=by, at=at, merchant_id=merchant.pk)


def _stands(stretches: Sequence[Installed]) -> bool:
    return bool(stretches) and stretches[-1].till is None
