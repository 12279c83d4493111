"""The demo merchants as the market knows them, so that it can go on where the demo data began."""

from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from django.conf import settings

from cabinet.demo import MERCHANTS
from subscriptions.evotor import demo
from subscriptions.evotor.sandbox.accounts import (
    Account,
    MarketSubscription,
    ModuleState,
    local_day,
    months_later,
    plan_of,
)

# The numbers that subscriptions.evotor.demo has used: Created and Activated.
EVENTS_SO_FAR = 2


def demo_accounts(now: datetime) -> list[Account]:
    """Both demo merchants; the first one holds the subscription of the demo data.

    Its dates are counted from `now` as the demo data counts them: both are made on the same day.
    """
    accounts = [_account(one.evotor_user_id, one.name) for one in MERCHANTS]
    for account in accounts:
        if account.user_id == demo.USER_ID:
            account.modules[settings.EVOTOR_PRODUCT_ID] = ModuleState(True, _subscription(now))
    return accounts


def _account(user_id: str, name: str) -> Account:
    # The same key after each start from nothing, so that a kept one goes on working.
    return Account(user_id=user_id, name=name, cloud_token=str(uuid5(NAMESPACE_URL, user_id)))


def _subscription(now: datetime) -> MarketSubscription:
    # The day's beginning: never later than what the product knows, so that a resumption, which
    # names the day of the next payment again, does not look like a payment.
    bought_at = (now - demo.BOUGHT_BEFORE).replace(hour=0, minute=0, second=0, microsecond=0)
    anchor = local_day(bought_at).day
    return MarketSubscription(
        id=demo.SUBSCRIPTION_ID,
        plan_id=demo.PLAN_ID,
        devices=demo.CARDS,
        addons={},
        created_at=bought_at,
        number=EVENTS_SO_FAR,
        period_from=bought_at,
        paid_until=months_later(bought_at, plan_of(demo.PLAN_ID).months, anchor),
        anchor_day=anchor,
    )
