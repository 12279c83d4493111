"""Reads about the market's side: accounts, events, gaps, deliveries. Nothing here writes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict

from django.conf import settings
from django.db import connection
from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Lower, Upper
from django_stubs_ext import WithAnnotations

from cabinet.models import Merchant
from subscriptions.evotor.models import (
    Account,
    Delivery,
    GapDecision,
    Hook,
    Problem,
    Sender,
    SubscriptionEvent,
)
from subscriptions.evotor.schemas import SubscriptionEvent as Event
from subscriptions.evotor.schemas import Unknown, parse_subscription_event
from subscriptions.models import Subscription

# How long an event that is not processed yet keeps the cards of its merchant on.
EVENT_HOLD = timedelta(minutes=15)
# And an event of a payment that nobody has proved, once for a merchant, behind a paid end.
UNPROVED_HOLD = timedelta(hours=24)
RENEWING = ("subscriptionactivated", "subscriptionrenewed")
_OPEN = Q(state=Delivery.State.NEW) | Q(state=Delivery.State.FAILED, next_try_at__isnull=False)

GAP_LIMIT = timedelta(minutes=15)
SYNC_EVERY = timedelta(days=1)


class HeldUntil(TypedDict):
    """What `waiting_payment_events` adds to a row."""

    until: datetime


class PaidEnd(TypedDict):
    """What `unproved_holds` adds to a row."""

    paid_end: datetime


@dataclass(frozen=True)
class Gap:
    """Numbers of a market subscription that never came: the first of them, and since when."""

    subscription_id: str
    user_id: str
    first_missing: int
    top: int
    since: datetime


@dataclass(frozen=True)
class StoredEvent:
    """What is stored of one event of a market subscription, and when its delivery came."""

    delivery_id: int
    user_id: str
    product_id: str
    number: int
    conflict: bool
    event: Event | Unknown
    arrived_at: datetime


def stored_events(subscription_id: str) -> list[StoredEvent]:
    """Everything stored about a market subscription, in the order of its arrival."""
    rows = SubscriptionEvent.objects.filter(subscription_id=subscription_id).order_by("pk")
    arrived = rows.annotate(arrived_at=F("delivery__received_at"))
    return [as_stored(row, row.arrived_at) for row in arrived]


def as_stored(row: SubscriptionEvent, arrived_at: datetime) -> StoredEvent:
    """A row as `stored_events` gives it."""
    return StoredEvent(
        delivery_id=row.delivery_id,
        user_id=row.user_id,
        product_id=row.product_id,
        number=row.sequence_number,
        conflict=row.conflict,
        event=parse_subscription_event(row.payload),
        arrived_at=arrived_at,
    )


def merchant_of(user_id: str) -> Merchant | None:
    """The merchant with this Evotor user id, in whatever letter case."""
    return Merchant.objects.filter(evotor_user_id__iexact=user_id).first() if user_id else None


def trusted_senders() -> list[str]:
    """Whose events about money and installation are believed.

    The merchant can read the user's token in the frame's address, so it is the application alone
    unless the setting says otherwise.
    """
    senders = {"application": Sender.APPLICATION, "user": Sender.USER}
    return [senders[one] for one in settings.EVOTOR_EVENT_TOKENS]


def is_believed(delivery: Delivery) -> bool:
    """Whether it may say something about money and installation, by itself or because staff accepted it."""
    return delivery.accepted_at is not None or delivery.authorized_as in trusted_senders()


def believed() -> Q:
    """As `is_believed`, for a query."""
    return Q(authorized_as__in=trusted_senders()) | Q(accepted_at__isnull=False)


def unprocessed_payment_events(at: datetime) -> QuerySet[Delivery]:
    """Billing events while which nothing of their merchant goes off by itself.

    Believed ones that are new or being retried, for fifteen minutes after they came or as long as
    staff decided; and, once for a merchant, what renews and waits for staff when a paid end comes, for
    at most 24 hours behind that end. Lists, parked rows and rows that were given up never hold.
    """
    found = waiting_payment_events().filter(until__gt=at).values("pk")
    return Delivery.objects.filter(pk__in=found.union(unproved_holds(at).values("pk")))


def waiting_payment_events() -> "QuerySet[WithAnnotations[Delivery, HeldUntil]]":
    """Believed billing events that are new or being retried, with `until`, when they cease to hold."""
    rows = Delivery.objects.filter(_OPEN, believed(), hook=Hook.SUBSCRIPTION)
    return rows.annotate(until=Coalesce("holds_until", F("received_at") + EVENT_HOLD))


def unproved_holds(at: datetime) -> "QuerySet[WithAnnotations[Delivery, PaidEnd]]":
    """Renewing events that wait for staff behind the paid end of their merchant, the first time.

    With `paid_end`, the first end that one of them holds at `at`.
    """
    ends = Subscription.objects.alias(owner=Upper("merchant__evotor_user_id")).filter(
        owner=Upper(OuterRef("user_id")),
        entitled_until__gt=at - UNPROVED_HOLD,
        entitled_until__lte=at,
        entitled_until__gte=OuterRef("received_at"),
    )
    end = Subquery(ends.order_by("entitled_until").values("entitled_until")[:1])
    billing = unproved().filter(hook=Hook.SUBSCRIPTION)
    spent = billing.alias(spender=Upper("user_id")).filter(
        holds_until__lte=at, spender=Upper(OuterRef("user_id"))
    )
    rows = billing.alias(kind=Lower("event_type")).annotate(paid_end=end)
    return rows.filter(~Exists(spent), kind__in=RENEWING, paid_end__isnull=False)


def unproved(user_id: str = "") -> QuerySet[Delivery]:
    """Events about money and installation that came with a user's token and wait for staff.

    Of all users, or of one in whatever spelling.
    """
    waiting = _OPEN | Q(state=Delivery.State.PARKED, parked_for=Problem.UNPROVED)
    rows = Delivery.objects.filter(waiting, hook__in=[Hook.SUBSCRIPTION, Hook.INSTALLATION])
    rows = rows.exclude(believed())
    return rows.alias(owner=Upper("user_id")).filter(owner=user_id.upper()) if user_id else rows


# Asked for every event of the application. Building the question by the ORM costs ten times its answer.
_HAS_UNPROVED = """
SELECT EXISTS (SELECT FROM evotor_delivery WHERE UPPER(user_id) = %s AND parked_for = 'unproved')
"""


def has_unproved(user_id: str) -> bool:
    """Whether `unproved` may find something of this user, by the index of what waits for staff."""
    with connection.cursor() as cursor:
        cursor.execute(_HAS_UNPROVED, [user_id.upper()])
        (found,) = cursor.fetchone()
    return bool(found)


def merchants_with_unprocessed_payment(at: datetime) -> QuerySet[Merchant, int]:
    """Ids of the merchants of `unprocessed_payment_events`, to be used as a subquery.

    Two spellings of a user id are one company.
    """
    users = unprocessed_payment_events(at).annotate(owner=Upper("user_id")).values("owner")
    merchants = Merchant.objects.alias(owner=Upper("evotor_user_id")).filter(owner__in=users)
    return merchants.values_list("pk", flat=True)


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
    accepted = GapDecision.objects.filter(subscription_id=subscription_id).first()
    rows = SubscriptionEvent.objects.filter(subscription_id=subscription_id, conflict=False)
    if accepted:
        rows = rows.filter(sequence_number__gt=accepted.up_to_number)
    events = list(rows.select_related("delivery").order_by("sequence_number"))
    expected = accepted.up_to_number + 1 if accepted else 1
    for place, event in enumerate(events, start=expected):
        if event.sequence_number > place:
            behind = events[place - expected :]
            since = min(row.delivery.received_at for row in behind)
            top = events[-1].sequence_number
            return Gap(subscription_id, event.user_id, place, top, since)
    return None


def accounts_to_sync(*, at: datetime) -> list[int]:
    """Merchants whose shops were not read from the cloud for a day, the longest waiting first."""
    rows = Account.objects.exclude(cloud_token_fingerprint="").filter(
        Q(synced_at=None) | Q(synced_at__lt=at - SYNC_EVERY)
    )
    ordered = rows.order_by(F("synced_at").asc(nulls_first=True), "pk")
    return list(ordered.values_list("merchant_id", flat=True)[:20])
