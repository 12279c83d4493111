"""Every write of the market's side: accounts and tokens, events, shops and terminals."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import transaction

from cabinet import audit
from cabinet.actors import MARKET, Actor
from cabinet.crypto import fingerprint
from cabinet.errors import Refused
from cabinet.formatting import plain_text
from cabinet.messaging.alerts import close_alerts
from cabinet.models import Merchant, Shop, Terminal
from cabinet.tasks.task_queue import enqueue_on_commit
from subscriptions.evotor import queries
from subscriptions.evotor.fold import fold
from subscriptions.evotor.models import Account, Delivery, GapDecision, InstallationEvent
from subscriptions.evotor.queries import StoredEvent
from subscriptions.evotor.schemas import (
    INSTALLED,
    Device,
    Store,
    Unknown,
    UserCreate,
    UserToken,
)
from subscriptions.evotor.schemas import SubscriptionEvent as Event
from subscriptions.models import Module, Subscription
from subscriptions.rules import (
    InstallEvent,
    MarketState,
    installations,
    is_ahead,
    is_silent,
)
from subscriptions.services import SILENCE_ALERT, project_installations, project_market

# The key of the alert about missing events of one market subscription.
GAP_ALERT = "evotor.gap.{}"
TOKEN_BYTES = 32  # 43 url-safe characters: the market's alphabet knows no dot, plus or slash


@transaction.atomic
def register(*, request: UserCreate, at: datetime) -> Account:
    """The account of an Evotor user; made once, however many calls come at once.

    A repeat gets the same token, which lets the merchant go on after a lost answer. What the market
    sent before the merchant was known is processed after commit.
    """
    account = _account(request.user_id, at)
    custom = dict(request.custom)
    if custom and custom != account.custom_fields:
        account.custom_fields = custom
        account.save(update_fields=["custom_fields"])
    return account


def _account(user_id: str, at: datetime) -> Account:
    merchant, created = Merchant.objects.get_or_create(
        evotor_user_id__iexact=user_id, defaults={"evotor_user_id": user_id, "created_at": at}
    )
    if created:
        text = "Компания зарегистрирована из маркета Эвотор."
        audit.record(merchant, "registered", text, by=MARKET, at=at)
    # The first call holds the row until it has made the account; the others find it made.
    Merchant.objects.select_for_update(no_key=True).get(pk=merchant.pk)
    account = Account.objects.filter(merchant=merchant).first()
    if account is None:
        token = secrets.token_urlsafe(TOKEN_BYTES)
        account = Account.objects.create(
            merchant=merchant, token=token, token_fingerprint=fingerprint(token)
        )
    enqueue_on_commit("evotor.revive", user_id=user_id)
    return account


@transaction.atomic
def keep_cloud_token(*, request: UserToken, at: datetime) -> Account:
    """Keep the key to the market's cloud, encrypted; a newer one replaces it.

    It may come before anything else about the user, so it makes the account where there is none.
    """
    account = _account(request.user_id, at)
    account.cloud_token = request.token
    account.cloud_token_fingerprint = fingerprint(request.token)
    account.cloud_token_at = at
    account.synced_at = None
    account.save(
        update_fields=["cloud_token", "cloud_token_fingerprint", "cloud_token_at", "synced_at"]
    )
    enqueue_on_commit("evotor.sync", merchant_id=account.merchant_id)
    return account


@transaction.atomic(savepoint=False)
def rebuild_subscription(
    *,
    subscription_id: str,
    stored: Sequence[StoredEvent],
    merchant: Merchant,
    module: Module,
    at: datetime,
) -> Subscription:
    """Fold `stored`, everything about a market subscription, and bring its row to the result.

    The caller holds the merchant's lock since before it read `stored`: two events of one subscription
    are folded one after the other, and the later fold sees them both. Alerts about a gap or a silence
    are closed when these are over.
    """
    counted = [one for one in stored if not one.conflict]
    state = _folded(subscription_id, [one.event for one in counted], module)
    subscription = project_market(
        merchant=merchant,
        module=module,
        external_id=subscription_id,
        state=_begun_at_arrival(state, counted),
        at=at,
    )
    if [one.number for one in counted] == [1]:  # nothing came before it that could be over now
        return subscription
    over = [] if state.missing else [GAP_ALERT.format(subscription_id)]
    over += [] if is_silent(state, at) else [SILENCE_ALERT.format(subscription.pk)]
    close_alerts(keys=over, by=MARKET, at=at)
    return subscription


def _folded(subscription_id: str, events: Sequence[Event | Unknown], module: Module) -> MarketState:
    """Their state, without what staff have decided to do without."""
    state = fold(events, addon_id=module.addon_id)
    accepted = state.missing and GapDecision.objects.filter(subscription_id=subscription_id).first()
    if not accepted:
        return state
    return fold(events, addon_id=module.addon_id, gaps_accepted_up_to=accepted.up_to_number)


def _begun_at_arrival(state: MarketState, events: Iterable[StoredEvent]) -> MarketState:
    """Nobody waits for the instant of a payment or trial that is stamped ahead of its arrival."""
    since = state.entitled_from
    arrivals = [one.arrived_at for one in events if one.event.at == since]
    if since is None or not arrivals:
        return state
    arrived_at = min(arrivals)
    return replace(state, entitled_from=arrived_at) if is_ahead(since, arrived_at) else state


def rebuild_installations(*, merchant: Merchant, module: Module, at: datetime) -> None:
    """Bring the rows of installs to what the market's events say, in the market's order.

    The caller holds the merchant's lock.
    """
    rows = InstallationEvent.objects.filter(
        user_id=(merchant.evotor_user_id or "").upper(), product_id=str(module.market_product_id)
    )
    events = [InstallEvent(row.event_id, row.occurred_at, row.type == INSTALLED) for row in rows]
    project_installations(merchant=merchant, module=module, intervals=installations(events), at=at)


@transaction.atomic
def accept_gap(*, subscription: Subscription, reason: str, by: Actor, at: datetime) -> GapDecision:
    """Staff decide to do without the missing events, up to the last one that is here.

    What was held back is applied at once. Raises Refused without a reason or without a gap.
    """
    if not reason.strip():
        raise Refused("Укажите причину: она останется в журнале.")
    merchant = Merchant.objects.select_for_update(no_key=True).get(pk=subscription.merchant_id)
    gap = queries.gap_of(subscription.external_id)
    if gap is None:
        raise Refused("Пропущенных событий у этой подписки нет.")
    decision, _ = GapDecision.objects.update_or_create(
        subscription_id=subscription.external_id,
        defaults={
            "up_to_number": gap.top,
            "decided_by": by.name,
            "decided_at": at,
            "reason": reason,
        },
    )
    audit.record(
        target=subscription,
        action="gap_accepted",
        text=f"События Эвотор до № {gap.top} применены без пропущенного № {gap.first_missing}.",
        by=by,
        at=at,
        merchant_id=merchant.pk,
        reason=reason,
    )
    rebuild_subscription(
        subscription_id=subscription.external_id,
        stored=queries.stored_events(subscription.external_id),
        merchant=merchant,
        module=subscription.module,
        at=at,
    )
    return decision


@transaction.atomic
def keep_shops(*, merchant: Merchant, stores: Sequence[Store], at: datetime, whole: bool) -> None:
    """Bring the local copy of the shops to what the market sent.

    `whole`: the list was complete at `at`, so what is not on it and was not seen since is gone over
    there. The rows stay.
    """
    Merchant.objects.select_for_update(no_key=True).get(pk=merchant.pk)
    for store in stores:
        name = plain_text.visible(store.name or "") or "Магазин без названия"
        address = plain_text.visible(store.address or "")
        Shop.objects.update_or_create(
            merchant=merchant,
            evotor_id=store.id,
            defaults={
                "name": name[:200],
                "address": address[:300],
                "seen_at": at,
                "gone_at": None,
            },
        )
    if whole:
        gone = Shop.objects.of(merchant).filter(gone_at=None, seen_at__lte=at)
        gone.exclude(evotor_id__in=[store.id for store in stores]).update(gone_at=at)


@transaction.atomic
def keep_terminals(
    *, merchant: Merchant, devices: Sequence[Device], at: datetime, whole: bool
) -> None:
    """Bring the local copy of the terminals to what the market sent; `whole` as for shops."""
    Merchant.objects.select_for_update(no_key=True).get(pk=merchant.pk)
    shops = dict(Shop.objects.of(merchant).values_list("evotor_id", "pk"))
    for device in devices:
        sent = {
            "name": plain_text.visible(device.name or "")[:200],
            "shop_id": shops.get(device.store_id or ""),
            "serial_number": (device.serial_number or "")[:32],
            "imei": (device.imei or "")[:16],
            "model": (device.model or "")[:32],
        }
        # Version 1 and a token without the permission leave fields out; that erases nothing.
        facts: dict[str, Any] = {key: value for key, value in sent.items() if value}
        Terminal.objects.update_or_create(
            merchant=merchant,
            evotor_id=device.id,
            defaults={**facts, "seen_at": at, "gone_at": None},
            create_defaults={"name": "Касса без названия", **facts, "seen_at": at},
        )
    if whole:
        gone = Terminal.objects.of(merchant).filter(gone_at=None, seen_at__lte=at)
        gone.exclude(evotor_id__in=[device.id for device in devices]).update(gone_at=at)


def record_decision(
    *, delivery: Delivery, action: str, text: str, by: Actor, at: datetime, reason: str = ""
) -> int | None:
    """What staff have decided about a delivery, in the audit log of its merchant; whose id, where known."""
    merchant = queries.merchant_of(delivery.user_id)
    merchant_id = merchant.pk if merchant else None
    audit.record(
        target=delivery,
        action=action,
        text=text,
        by=by,
        at=at,
        merchant_id=merchant_id,
        reason=reason,
    )
    return merchant_id


def note_synced(*, merchant: Merchant, at: datetime) -> None:
    """The cloud was asked; whether it answered or refused, the next time is a day later."""
    Account.objects.filter(merchant=merchant).update(synced_at=at)
