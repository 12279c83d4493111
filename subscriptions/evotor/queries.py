"""What others ask about the market's side. Nothing here writes."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, F, Max, Q, QuerySet

from cabinet.models import Merchant
from subscriptions.evotor.models import (
    Account,
    Delivery,
    GapDecision,
    InstallationEvent,
    SubscriptionEvent,
)
from subscriptions.models import Subscription
from subscriptions.states import Source

GAP_LIMIT = timedelta(minutes=15)
SYNC_EVERY = timedelta(days=1)
SWEEP_LIMIT = 500


@dataclass(frozen=True)
class Gap:
    """Numbers of a market subscription that never came: the first of them, and since when."""

    subscription_id: str
    user_id: str
    first_missing: int
    top: int
    since: datetime


def merchant_of(user_id: str) -> Merchant | None:
    """The merchant with this Evotor user id."""
    return Merchant.objects.filter(evotor_user_id=user_id).first() if user_id else None


def account_of(user_id: str) -> Account | None:
    """The account of an Evotor user that is known here."""
    return Account.objects.filter(merchant__evotor_user_id=user_id).first()


def account_with_cloud(merchant_id: int) -> Account | None:
    """The merchant's account, where the cloud may be asked on its behalf."""
    rows = Account.objects.select_related("merchant").exclude(cloud_token_fingerprint="")
    return rows.filter(merchant_id=merchant_id).first()


def events_of(subscription_id: str) -> QuerySet[SubscriptionEvent]:
    """The events that count, in the order of their numbers."""
    rows = SubscriptionEvent.objects.filter(subscription_id=subscription_id, conflict=False)
    return rows.order_by("sequence_number")


def installation_events_of(user_id: str, product_id: str) -> QuerySet[InstallationEvent]:
    """All installs and removals of one merchant's module."""
    return InstallationEvent.objects.filter(user_id=user_id, product_id=product_id)


def gaps_accepted_up_to(subscription_id: str) -> int:
    """The number up to which staff decided to do without what is missing; 0 without a decision."""
    rows = GapDecision.objects.filter(subscription_id=subscription_id)
    return rows.values_list("up_to_number", flat=True).first() or 0


def waiting_deliveries(*, at: datetime) -> list[int]:
    """Deliveries to process now, in the order in which they came."""
    new = Q(state=Delivery.State.NEW, next_try_at=None)
    again = Q(state__in=[Delivery.State.NEW, Delivery.State.FAILED], next_try_at__lte=at)
    return list(
        Delivery.objects.filter(new | again)
        .order_by("pk")
        .values_list("pk", flat=True)[:SWEEP_LIMIT]
    )


def old_gaps(*, at: datetime) -> list[Gap]:
    """Gaps that have been open for more than fifteen minutes and that staff have not accepted."""
    rows = (
        SubscriptionEvent.objects.filter(conflict=False)
        .values("subscription_id")
        .annotate(known=Count("pk"), top=Max("sequence_number"))
        .exclude(known=F("top"))
        .values_list("subscription_id", flat=True)
    )
    found = (gap_of(subscription_id) for subscription_id in rows)
    return [gap for gap in found if gap is not None and gap.since < at - GAP_LIMIT]


def gap_of(subscription_id: str) -> Gap | None:
    """The first gap of a subscription that staff have not accepted."""
    expected = gaps_accepted_up_to(subscription_id) + 1
    events = list(events_of(subscription_id).select_related("delivery"))
    for event in events:
        if event.sequence_number > expected:
            behind = [row for row in events if row.sequence_number > expected]
            since = min(row.delivery.received_at for row in behind)
            top = events[-1].sequence_number
            return Gap(subscription_id, event.user_id, expected, top, since)
        expected = max(expected, event.sequence_number + 1)
    return None


def accounts_to_sync(*, at: datetime) -> list[int]:
    """Merchants whose shops were not read from the cloud for a day, the longest waiting first."""
    rows = Account.objects.exclude(cloud_token_fingerprint="").filter(
        Q(synced_at=None) | Q(synced_at__lt=at - SYNC_EVERY)
    )
    ordered = rows.order_by(F("synced_at").asc(nulls_first=True), "pk")
    return list(ordered.values_list("merchant_id", flat=True)[:20])


def deliveries_of(merchant: Merchant, limit: int) -> list[Delivery]:
    """The merchant's latest deliveries."""
    if not merchant.evotor_user_id:
        return []
    return list(Delivery.objects.filter(user_id=merchant.evotor_user_id).order_by("-pk")[:limit])


def market_subscriptions(events: QuerySet[SubscriptionEvent]) -> QuerySet[Subscription]:
    """The subscriptions that these events are about."""
    numbers = events.order_by().values("subscription_id")
    rows = Subscription.objects.select_related("merchant", "module")
    return rows.filter(source=Source.MARKET, external_id__in=numbers)
