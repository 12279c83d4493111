"""Reads about subscriptions, modules and tariffs. Nothing here writes."""

from collections import Counter
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import TypedDict
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Count, F, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Greatest
from django_stubs_ext import WithAnnotations

from cabinet.models import Merchant
from subscriptions import pricing, rules
from subscriptions.models import (
    Installation,
    MarketRequest,
    Module,
    Period,
    Subscription,
    Tariff,
)
from subscriptions.pricing import Estimate
from subscriptions.rules import ContractTerms, SwitchTerms
from subscriptions.states import SubscriptionState

# After three days the market stops repeating its hooks: the merchant has not confirmed over there.
REQUEST_WAITS = timedelta(days=3)


@dataclass(frozen=True)
class SubscriptionView:
    """A subscription and what a page computes about it. Money in kopecks, instants in UTC.

    `paid_cards` is what is paid now, the row's own number what the next billing date brings.
    `next_charge_at` is empty after a request to stop and after the end; `estimate` is what we think
    the market will charge then. `charge_difference` is the market's charge less our estimate at the
    last request that has both.
    """

    row: Subscription
    state: SubscriptionState
    paid_cards: int
    next_charge_at: datetime | None
    estimate: Estimate | None
    days_left: int | None
    charge_difference: int | None
    periods: tuple[Period, ...]

    @property
    def billed_until(self) -> datetime | None:
        """Till when it is paid or, where nothing is paid yet, tried."""
        return self.row.paid_until or self.row.trial_until

    @property
    def works_until(self) -> datetime | None:
        """When the cards go off; while nobody knows that, `billed_until`."""
        return rules.known_end(self.row) or self.billed_until


@dataclass(frozen=True)
class ModuleView:
    """A module as the merchant sees it, with the tariffs on offer, the shortest first."""

    module: Module
    installed_at: datetime | None
    paid_cards: int
    tariffs: tuple[Tariff, ...]

    @property
    def installed(self) -> bool:
        """Whether the module is in the merchant's Evotor cabinet now."""
        return self.installed_at is not None


def entitled(subscription: Subscription, at: datetime) -> bool:
    """Whether this subscription's cards may work at `at`."""
    return rules.is_entitled(
        entitled_from=subscription.entitled_from,
        entitled_until=subscription.entitled_until,
        at=at,
    )


class PaidNow(TypedDict):
    """What `live_subscriptions` adds to a row."""

    cards_now: int


def live_subscriptions(at: datetime) -> "QuerySet[WithAnnotations[Subscription, PaidNow]]":
    """Subscriptions that are entitled at `at`, of all merchants.

    Annotated with `cards_now`, the cards that are paid at `at`, as `paid_cards_at` counts them.
    """
    running = Period.objects.filter(subscription=OuterRef("pk"), starts_at__lte=at, ends_at__gt=at)
    return Subscription.objects.filter(
        Q(entitled_until=None) | Q(entitled_until__gt=at),
        entitled_from__lte=at + rules.CLOCKS_APART,
    ).annotate(cards_now=Coalesce(Subquery(running.values("cards")[:1]), F("paid_cards")))


class CardsKept(TypedDict):
    """What `subscriptions_not_over` adds to a row."""

    cards_kept: int


def subscriptions_not_over(at: datetime) -> "QuerySet[WithAnnotations[Subscription, CardsKept]]":
    """Subscriptions whose end has not come at `at`, also those that have not begun yet by our clock.

    Annotated with `cards_kept`: more covered cards than these are too many. It counts every interval
    that is not over, so that a clock that steps back takes nothing away.
    """
    lasting = Period.objects.filter(subscription=OuterRef("pk"), ends_at__gt=at).order_by("-cards")
    return Subscription.objects.filter(
        Q(entitled_until=None) | Q(entitled_until__gt=at), entitled_from__isnull=False
    ).annotate(cards_kept=Coalesce(Subquery(lasting.values("cards")[:1]), F("paid_cards")))


def paid_cards_at(subscription: Subscription, at: datetime) -> int:
    """Cards that are paid at `at`: a fall inside a paid interval waits for its end."""
    running = _running_period(subscription, at)
    return running.cards if running else subscription.paid_cards


def switch_terms(
    *, subscription: Subscription | None, contract: ContractTerms, at: datetime
) -> SwitchTerms:
    """What a switch of a card costs that `subscription` covers (None: nothing does), and how long it lasts.

    The tariff that is paid at `at` counts, and where it says nothing, the contract with the operator. No
    query for a subscription that comes with `tariff` and `periods__tariff`.
    """
    paid_by = (_running_period(subscription, at) or subscription) if subscription else None
    tariff = paid_by.tariff if paid_by else None
    terms: dict[str, int] = {}
    for field in fields(SwitchTerms):
        of_tariff = getattr(tariff, field.name, None)
        terms[field.name] = getattr(contract, field.name) if of_tariff is None else of_tariff
    return SwitchTerms(**terms)


def _running_period(subscription: Subscription, at: datetime) -> Period | None:
    """The interval that is paid or tried at `at`; there is at most one."""
    rows = subscription.periods.all()
    return next((row for row in rows if row.starts_at <= at < row.ends_at), None)


def ending_before(*, since: datetime, at: datetime) -> list[int]:
    """Subscriptions whose entitlement or number of cards may have fallen in (since, at]."""
    over = Subscription.objects.filter(entitled_until__gt=since, entitled_until__lte=at)
    period_over = Period.objects.filter(ends_at__gt=since, ends_at__lte=at)
    # Two questions, each answered by its index.
    ids = over.values_list("pk", flat=True).union(
        period_over.values_list("subscription", flat=True)
    )
    return sorted(ids)


def silent_subscriptions(*, at: datetime) -> list[Subscription]:
    """Subscriptions past their end for more than eight days, of which the market is silent."""
    # Greatest ignores NULL in PostgreSQL.
    rows = Subscription.objects.select_related("merchant", "module").annotate(
        billing_end=Greatest("trial_until", "paid_until")
    )
    return list(
        rows.filter(
            entitled_from__isnull=False,
            entitled_until=None,
            billing_end__lt=at - rules.SILENCE,
        ).order_by("pk")
    )


def subscription_views(merchant: Merchant, at: datetime) -> list[SubscriptionView]:
    """The merchant's subscriptions, those that are over last, then the newest first."""
    rows = Subscription.objects.of(merchant).select_related("module", "tariff")
    periods = Period.objects.select_related("tariff").order_by("starts_at")
    rows = rows.prefetch_related(Prefetch("periods", queryset=periods))
    differences, zone = _differences(merchant), ZoneInfo(merchant.timezone)
    views = [
        _view(row, differences.get(row.module_id), zone, at)
        for row in rows.order_by("-created_at", "-pk")
    ]
    return sorted(views, key=lambda view: view.state is SubscriptionState.ENDED)


def subscription_view(row: Subscription, *, zone: ZoneInfo, at: datetime) -> SubscriptionView:
    """The view of one row; no query where it comes with `tariff` and `periods__tariff`."""
    return _view(row, None, zone, at)


def _differences(merchant: Merchant) -> dict[int, int]:
    """Module to the market's last charge less the estimate of the request it answered."""
    rows = MarketRequest.objects.of(merchant).filter(
        estimate_kopecks__isnull=False, charged_kopecks__isnull=False
    )
    answered = rows.order_by("answered_at").values_list(
        "module_id", "charged_kopecks", "estimate_kopecks"
    )
    return {module: (charged or 0) - (estimate or 0) for module, charged, estimate in answered}


def _view(
    row: Subscription, difference: int | None, zone: ZoneInfo, at: datetime
) -> SubscriptionView:
    state = rules.state_of(row, at)
    charge_at = _next_charge(row, state, at)
    end = row.entitled_until or rules.later(row.trial_until, row.paid_until)
    return SubscriptionView(
        row=row,
        state=state,
        paid_cards=paid_cards_at(row, at),
        next_charge_at=charge_at,
        estimate=estimate_of(row) if charge_at else None,
        days_left=rules.days_left(end=end, at=at, zone=zone),
        charge_difference=difference,
        periods=tuple(row.periods.all()),
    )


_CHARGED_ON = frozenset(
    {SubscriptionState.TRIAL, SubscriptionState.ACTIVE, SubscriptionState.OVERDUE}
)


def _next_charge(row: Subscription, state: SubscriptionState, at: datetime) -> datetime | None:
    """The coming charge; an overdue one is tried daily, so it is due now."""
    if state not in _CHARGED_ON or row.stop_requested_at is not None:
        return None
    end = rules.later(row.trial_until, row.paid_until)
    return None if end is None else max(end, at)


def estimate_of(row: Subscription) -> Estimate | None:
    """The price of its next whole period on the present terms; None where the price is not known."""
    if row.tariff is None:
        return None
    return pricing.estimate_period(
        tariff=row.plan_title, card_kopecks=row.tariff.price_kopecks, cards=row.paid_cards
    )


def modules_view(merchant: Merchant, at: datetime) -> list[ModuleView]:
    """The modules on offer, and others that the merchant still has installed."""
    installed = dict(
        Installation.objects.of(merchant)
        .filter(removed_at=None)
        .values_list("module_id", "installed_at")
    )
    paid: Counter[int] = Counter()
    for module_id, cards in (
        live_subscriptions(at).filter(merchant=merchant).values_list("module_id", "cards_now")
    ):
        paid[module_id] += cards
    on_offer = Tariff.objects.filter(archived_at=None).order_by("months", "price_kopecks")
    rows = Module.objects.filter(Q(enabled=True) | Q(pk__in=installed)).order_by("pk")
    return [
        ModuleView(row, installed.get(row.pk), paid[row.pk], tuple(row.tariffs.all()))
        for row in rows.prefetch_related(Prefetch("tariffs", queryset=on_offer))
    ]


def market_url(module: Module) -> str:
    """The module's page in the market, where people install, pay, change and remove it."""
    return f"{settings.EVOTOR_MARKET_URL.rstrip('/')}/{module.market_product_id}"


def open_market_requests(merchant: Merchant, at: datetime) -> list[MarketRequest]:
    """What the merchant went to the market for and is not answered yet, the newest first."""
    rows = MarketRequest.objects.of(merchant).select_related("module", "tariff", "merchant")
    return list(
        rows.filter(answered_at=None, asked_at__gt=at - REQUEST_WAITS).order_by("-asked_at", "-pk")
    )


def is_used(tariff: Tariff) -> bool:
    """Whether somebody has ever taken this tariff: from then on it is never edited."""
    return tariff.subscriptions.exists() or Period.objects.filter(tariff=tariff).exists()


@dataclass(frozen=True)
class CoveredCards:
    """How many cards a subscription covers, how many of these are wanted on, and how many work."""

    cards: int = 0
    wanted_on: int = 0
    working: int = 0


def covered_cards(merchant: Merchant) -> dict[int, CoveredCards]:
    """By the subscription's id. The app of the cards stands above: its relation is named only."""
    is_open = Q(coverages__till=None)
    rows = Subscription.objects.of(merchant).annotate(
        chosen=Count("coverages", filter=is_open),
        wanted_on=Count("coverages", filter=is_open & Q(coverages__card__desired_on=True)),
        working=Count("coverages", filter=is_open & Q(coverages__card__confirmed="active")),
    )
    return {
        pk: CoveredCards(*numbers)
        for pk, *numbers in rows.values_list("pk", "chosen", "wanted_on", "working")
    }
