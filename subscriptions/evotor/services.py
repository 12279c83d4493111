"""Every write of the market's side: accounts and tokens, events, shops and terminals."""

import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from cabinet import audit
from cabinet.actors import MARKET, Actor
from cabinet.alerts import close_alert
from cabinet.crypto import fingerprint
from cabinet.errors import Refused
from cabinet.models import Merchant, Shop, Terminal
from cabinet.wake import wake
from subscriptions import services as core
from subscriptions.evotor import queries
from subscriptions.evotor.events import facts_of, moves_of, stored_events
from subscriptions.evotor.fold import fold
from subscriptions.evotor.models import Account, GapDecision
from subscriptions.evotor.schema import Device, Store, UserCreate, UserToken
from subscriptions.models import Module, Subscription
from subscriptions.rules import installations, is_silent

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
        evotor_user_id=user_id, defaults={"created_at": at}
    )
    if created:
        _record_registered(merchant, at)
    # The first call holds the row until it has made the account; the others find it made.
    Merchant.objects.select_for_update(no_key=True).get(pk=merchant.pk)
    account = Account.objects.filter(merchant=merchant).first() or _new_account(merchant)
    wake("evotor.revive", user_id=user_id)
    return account


def _record_registered(merchant: Merchant, at: datetime) -> None:
    audit.record(
        target=merchant,
        action="registered",
        text="Компания зарегистрирована из маркета Эвотор.",
        by=MARKET,
        at=at,
        merchant_id=merchant.pk,
    )


def _new_account(merchant: Merchant) -> Account:
    token = secrets.token_urlsafe(TOKEN_BYTES)
    return Account.objects.create(
        merchant=merchant, token=token, token_fingerprint=fingerprint(token)
    )


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
    wake("evotor.sync", merchant_id=account.merchant_id)
    return account


def refold(
    *, subscription_id: str, merchant: Merchant, module: Module, at: datetime
) -> Subscription:
    """Fold everything stored about a market subscription and bring its row to the result.

    Locks the merchant first: two events of one subscription are folded one after the other, and
    the later fold sees them both. Alerts about a gap or a silence
    are closed when these are over.
    """
    with transaction.atomic():
        Merchant.objects.select_for_update(no_key=True).get(pk=merchant.pk)
        events = list(queries.events_of(subscription_id))
        accepted = queries.gaps_accepted_up_to(subscription_id)
        state = fold(stored_events(events), gaps_accepted_up_to=accepted)
        facts = facts_of(events, state, module.addon_id)
        row = core.project_market(
            merchant_id=merchant.pk, module=module, facts=facts, by=MARKET, at=at
        )
        if not state.missing:
            close_alert(key=gap_key(subscription_id), by=MARKET, at=at)
        if not is_silent(entitlement=facts.entitlement, billing_end=facts.billing_end, at=at):
            close_alert(key=core.silence_key(row), by=MARKET, at=at)
    return row


def gap_key(subscription_id: str) -> str:
    """The key of the alert about missing events."""
    return f"evotor.gap.{subscription_id}"


def refold_installations(*, merchant: Merchant, module: Module, at: datetime) -> None:
    """Bring the rows of installs to what the market's events say, in the market's order."""
    with transaction.atomic():
        Merchant.objects.select_for_update(no_key=True).get(pk=merchant.pk)
        rows = queries.installation_events_of(
            merchant.evotor_user_id or "", str(module.market_product_id)
        )
        core.project_installations(
            merchant_id=merchant.pk,
            module=module,
            stretches=installations(moves_of(rows)),
            by=MARKET,
            at=at,
        )


@transaction.atomic
def accept_gap(*, subscription: Subscription, reason: str, by: Actor, at: datetime) -> GapDecision:
    """Staff decide to do without the missing events, up to the last one that is here.

    What was held back is applied at once. Raises Refused without a reason or without a gap.
    """
    if not reason.strip():
        raise Refused("Укажите причину: она останется в журнале.")
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
    _record_gap(subscription, gap, reason, by=by, at=at)
    refold(
        subscription_id=subscription.external_id,
        merchant=subscription.merchant,
        module=subscription.module,
        at=at,
    )
    return decision


def _record_gap(
    subscription: Subscription, gap: queries.Gap, reason: str, *, by: Actor, at: datetime
) -> None:
    audit.record(
        target=subscription,
        action="gap_accepted",
        text=f"События Эвотор до № {gap.top} применены без пропущенного № {gap.first_missing}.",
        by=by,
        at=at,
        merchant_id=subscription.merchant_id,
        reason=reason,
    )


@transaction.atomic
def keep_shops(*, merchant: Merchant, stores: Iterable[Store], at: datetime, whole: bool) -> None:
    """Bring the local copy of the shops to what the market said.

    `whole`: the list is complete, so what is not on it is gone over there. The rows stay.
    """
    Merchant.objects.select_for_update(no_key=True).get(pk=merchant.pk)
    seen = [_keep_shop(merchant, store, at) for store in stores]
    if whole:
        gone = Shop.objects.of(merchant).filter(gone_at=None).exclude(pk__in=seen)
        gone.update(gone_at=at)


def _keep_shop(merchant: Merchant, store: Store, at: datetime) -> int:
    facts: Mapping[str, Any] = {
        "name": store.name[:200] or "Магазин без названия",
        "address": store.address[:300],
    }
    row, _ = Shop.objects.update_or_create(
        merchant=merchant,
        evotor_id=store.id,
        defaults={**facts, "seen_at": at, "gone_at": None},
    )
    return row.pk


@transaction.atomic
def keep_terminals(
    *, merchant: Merchant, devices: Iterable[Device], at: datetime, whole: bool
) -> None:
    """Bring the local copy of the terminals to what the market said; `whole` as for shops."""
    Merchant.objects.select_for_update(no_key=True).get(pk=merchant.pk)
    shops = dict(Shop.objects.of(merchant).values_list("evotor_id", "pk"))
    seen = [_keep_terminal(merchant, device, shops, at) for device in devices]
    if whole:
        gone = Terminal.objects.of(merchant).filter(gone_at=None).exclude(pk__in=seen)
        gone.update(gone_at=at)


def _keep_terminal(
    merchant: Merchant, device: Device, shops: Mapping[str, int], at: datetime
) -> int:
    told = {
        "name": device.name[:200],
        "shop_id": shops.get(device.store_id or ""),
        "serial_number": device.serial_number[:32],
        "imei": device.imei[:16],
        "model": device.model[:32],
    }
    # Version 1 and a token without the permission leave fields out; that erases nothing.
    facts = {key: value for key, value in told.items() if value}
    row, _ = Terminal.objects.update_or_create(
        merchant=merchant,
        evotor_id=device.id,
        defaults={**facts, "seen_at": at, "gone_at": None},
        create_defaults={"name": "Касса без названия", **facts, "seen_at": at},
    )
    return row.pk


def note_synced(*, merchant: Merchant, at: datetime) -> None:
    """The cloud was asked; whether it answered or refused, the next time is a day later."""
    Account.objects.filter(merchant=merchant).update(synced_at=at)
