"""Shops and terminals from the market's cloud into the local copy, one merchant at a time."""

import logging
from datetime import datetime

from django.conf import settings
from django.core.cache import cache

from subscriptions.evotor import queries, services
from subscriptions.evotor.client import Cloud, CloudBusy, CloudRefused, CloudTrouble
from subscriptions.evotor.models import Account

logger = logging.getLogger(__name__)

# After a failure the next try waits; a new token asks at once.
TROUBLE_SECONDS = 600


def sync_shops(*, merchant_id: int, at: datetime) -> bool:
    """Read a merchant's shops and terminals from the cloud; whether the copy is fresh now.

    No transaction is open during the calls. A refusal (the module is removed) keeps the copy as it
    is until tomorrow; «too many calls» and troubles are obeyed and tried again later.
    """
    account = queries.account_with_cloud(merchant_id)
    # One at a time, and not again for a while after a trouble; a success takes the mark away.
    if account is None or not cache.add(_pause_key(account), "1", timeout=TROUBLE_SECONDS):
        return False
    cloud = Cloud(settings.EVOTOR_API_URL, account.cloud_token)
    try:
        stores, devices = cloud.stores(), cloud.devices()
    except CloudRefused as refused:
        logger.info("The cloud refuses merchant %s: %s", merchant_id, refused)
        services.note_synced(merchant=account.merchant, at=at)
        return False
    except CloudBusy as busy:
        cache.set(_pause_key(account), "1", timeout=max(1, int(busy.seconds)))
        return False
    except CloudTrouble as trouble:
        logger.warning("The cloud has no answer about merchant %s: %s", merchant_id, trouble)
        return False
    services.keep_shops(merchant=account.merchant, stores=stores, at=at, whole=True)
    services.keep_terminals(merchant=account.merchant, devices=devices, at=at, whole=True)
    services.note_synced(merchant=account.merchant, at=at)
    cache.delete(_pause_key(account))
    return True


def _pause_key(account: Account) -> str:
    # With the token's own fingerprint: a new token does not wait for the old one.
    return f"evotor.pause.{account.cloud_token_fingerprint}"
