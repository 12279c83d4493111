"""What others ask about subscriptions. Nothing here writes."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Prefetch, Q, QuerySet
from django.db.models.functions import Greatest

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
from subscriptions.periods import local_day
from subscriptions.pricing import Estimate
from subscriptions.rules import ContractTerms, Entitlement, Standing, SwitchTerms
from subscriptions.states import PeriodKind, Source, SubscriptionState

# After three days the market stops repeating its hooks: the merchant has not confirmed over there.
REQUEST_WAITS = timedelta(days=3)


@dataclass(frozen=True)
class LiveSubscription:
    """A subscription that is entitled now: how many cards it pays for, till when (None: open)."""

    id: int
    module_id: int
    paid_cards: int
    entitled_until: datetime | None
    created_at: datetime


@dataclass(frozen=True)
class PeriodView:
    """One stretch as a page shows it; money in kopecks."""

    kind: PeriodKind
    starts_at: datetime
    ends_at: datetime
    tariff_title: str
    cards: int
    charged_kopecks: int | None


@dataclass(frozen=True)
class SubscriptionView:
    """Everything a page shows of one subscription. Money in kopecks, instants in UTC.

    `paid_cards` is what is paid now, `next_cards` what the next billing date brings.
    `next_charge_at` is empty after a request to stop and after the end; `estimate` is what we think
    the market will charge then. `charge_difference` is the market's charge less our estimate at the
    last request that has both.
    """

    id: int
    module_id: int
    module_title: str
    source: Source
    state: SubscriptionState
    tariff_title: str
    months: int | None
    price_kopecks: int | None
    paid_cards: int
    next_cards: int
    created_at: datetime
    trial_until: datetime | None
    paid_until: datetime | None
    entitled_until: datetime | None
    stop_requested_at: datetime | None
    terminated_at: datetime | None
    next_charge_at: datetime | None
    estimate: Estimate | None
    days_left: int | None
    charged_kopecks: int | None
    charge_difference: int | None
    periods: tuple[PeriodView, ...]

    @property
    def billed_until(self) -> datetime | None:
        """Till when it is paid or, where nothing is paid yet, tried."""
        return self.paid_until or self.trial_until

    @property
    def works_until(self) -> datetime | None:
        """When the cards go off; while nobody knows that, `billed_until`."""
        return self.entitled_until or self.billed_until

    @property
    def estimate_kopecks(self) -> int | None:
        """The estimated sum of the next charge."""
        return self.estimate.total_kopecks if self.estimate else None


@dataclass(frozen=True)
class TariffView:
    """A tariff on offer: kopecks for one card and the whole period."""

    id: int
    title: str
    months: int
    price_kopecks: int
    trial_days: int


@dataclass(frozen=True)
class ModuleView:
    """A module as the merchant sees it; `market_url` is its page in the market."""

    id: int
    code: str
    title: str
    description: str
    market_url: str
    installed_at: datetime | None
    paid_cards: int
    tariffs: tuple[TariffView, ...]

    @property
    def installed(self) -> bool:
        """Whether the module stands in the merchant's Evotor cabinet now."""
        return self.installed_at is not None


def entitled(subscription: Subscription, at: datetime) -> bool:
    """Whether this subscription's cards may work at `at`."""
    return rules.is_entitled(
        entitled_from=subscription.entitled_from,
        entitled_until=subscription.entitled_until,
        at=at,
    )


def standing(subscription: Subscription) -> Standing:
    """The facts that the state is derived from."""
    return Standing(
        entitlement=Entitlement(subscription.entitled_from, subscription.entitled_until),
        trial_until=subscription.trial_until,
        paid_until=subscription.paid_until,
        stop_requested_at=subscription.stop_requested_at,
        terminated_at=subscription.terminated_at,
    )


def state_of(subscription: Subscription, at: datetime) -> SubscriptionState:
    """Where the subscription stands at `at`."""
    return rules.state_of(standing(subscription), at)


def live_subscriptions(*, merchant: Merchant, at: datetime) -> list[LiveSubscription]:
    """The merchant's entitled subscriptions, the oldest first."""
    rows = _with_periods(_entitled_rows(Subscription.objects.of(merchant), at))
    return [
        LiveSubscription(
            id=row.pk,
            module_id=row.module_id,
            paid_cards=paid_cards_at(row, at),
            entitled_until=row.entitled_until,
            created_at=row.created_at,
        )
        for row in rows.order_by("created_at", "pk")
    ]


def _entitled_rows(rows: QuerySet[Subscription], at: datetime) -> QuerySet[Subscription]:
    open_or_ahead = Q(entitled_until=None) | Q(entitled_until__gt=at)
    return rows.filter(open_or_ahead, entitled_from__lte=at + rules.CLOCKS_APART)


def _with_periods(rows: QuerySet[Subscription]) -> QuerySet[Subscription]:
    periods = Period.objects.select_related("tariff").order_by("starts_at")
    return rows.prefetch_related(Prefetch("periods", queryset=periods))


def paid_cards_at(subscription: Subscription, at: datetime) -> int:
    """Cards that are paid at `at`: a fall inside a paid stretch waits for its end."""
    running = _running(subscription, at)
    return running.cards if running else subscription.paid_cards


def switch_terms(
    *, subscription: Subscription | None, contract: ContractTerms, at: datetime
) -> SwitchTerms:
    """What a switch of a card costs that `subscription` covers (None: nothing does), and how long it lasts.

    The tariff that is paid at `at` speaks before the contract with the operator. No query for a
    subscription that comes with `tariff` and `periods__tariff`.
    """
    if subscription is None:
        return rules.switch_terms(tariff=None, contract=contract)
    running = _running(subscription, at)
    tariff = running.tariff if running else subscription.tariff
    return rules.switch_terms(tariff=tariff, contract=contract)


def _running(subscription: Subscription, at: datetime) -> Period | None:
    """The stretch that is paid or tried at `at`; there is at most one."""
    rows = subscription.periods.all()
    return next((row for row in rows if row.starts_at <= at < row.ends_at), None)


def ending_before(*, since: datetime, at: datetime) -> list[int]:
    """Subscriptions whose entitlement or number of cards may have fallen in (since, at]."""
    over = Q(entitled_until__gt=since, entitled_until__lte=at)
    stretch_over = Q(periods__ends_at__gt=since, periods__ends_at__lte=at)
    rows = Subscription.objects.filter(over | stretch_over)
    return list(rows.order_by("pk").values_list("pk", flat=True).distinct())


def silent_subscriptions(*, at: datetime) -> list[Subscription]:
    """Market subscriptions past their end for more than eight days, of which nothing is heard."""
    # Greatest ignores NULL in PostgreSQL.
    rows = Subscription.objects.select_related("merchant", "module").annotate(
        billing_end=Greatest("trial_until", "paid_until")
    )
    return list(
        rows.filter(
            source=Source.MARKET,
            entitled_from__isnull=False,
            entitled_until=None,
            billing_end__lt=at - rules.SILENCE,
        ).order_by("pk")
    )


def subscription_views(merchant: Merchant, at: datetime) -> list[SubscriptionView]:
    """The merchant's subscriptions, those that are over last, then the newest first."""
    rows = Subscription.objects.of(merchant).select_related("module", "tariff")
    differences = _differences(merchant)
    views = [
        _view(row, merchant, differences.get(row.module_id), at)
        for row in _with_periods(rows).order_by("-created_at", "-pk")
    ]
    return sorted(views, key=lambda view: view.state is SubscriptionState.ENDED)


def _differences(merchant: Merchant) -> dict[int, int]:
    """Module to the market's last charge less the estimate of the request it answered."""
    rows = MarketRequest.objects.of(merchant).filter(
        estimate_kopecks__isnull=False, charged_kopecks__isnull=False
    )
    told = rows.order_by("answered_at").values_list(
        "module_id", "charged_kopecks", "estimate_kopecks"
    )
    return {module: (charged or 0) - (estimate or 0) for module, charged, estimate in told}


def _view(
    row: Subscription, merchant: Merchant, difference: int | None, at: datetime
) -> SubscriptionView:
    state = state_of(row, at)
    zone = ZoneInfo(merchant.timezone)
    charge_at = _next_charge(row, state, at)
    return SubscriptionView(
        id=row.pk,
        module_id=row.module_id,
        module_title=row.module.title,
        source=Source(row.source),
        state=state,
        tariff_title=row.tariff.title if row.tariff else row.plan_id,
        months=row.tariff.months if row.tariff else None,
        price_kopecks=row.tariff.price_kopecks if row.tariff else None,
        paid_cards=paid_cards_at(row, at),
        next_cards=row.paid_cards,
        created_at=row.created_at,
        trial_until=row.trial_until,
        paid_until=row.paid_until,
        entitled_until=row.entitled_until,
        stop_requested_at=row.stop_requested_at,
        terminated_at=row.terminated_at,
        next_charge_at=charge_at,
        estimate=_estimate(row, charge_at, zone),
        days_left=rules.days_left(end=_shown_end(row), at=at, zone=zone),
        charged_kopecks=row.charged_kopecks,
        charge_difference=difference,
        periods=_period_views(row.periods.all()),
    )


def _shown_end(row: Subscription) -> datetime | None:
    return row.entitled_until or rules.later(row.trial_until, row.paid_until)


_CHARGED_ON = frozenset(
    {SubscriptionState.TRIAL, SubscriptionState.ACTIVE, SubscriptionState.OVERDUE}
)


def _next_charge(row: Subscription, state: SubscriptionState, at: datetime) -> datetime | None:
    """The coming charge; an overdue one is tried daily, so it is due now."""
    if state not in _CHARGED_ON or row.stop_requested_at is not None:
        return None
    end = rules.later(row.trial_until, row.paid_until)
    return None if end is None else max(end, at)


def _estimate(row: Subscription, charge_at: datetime | None, zone: ZoneInfo) -> Estimate | None:
    if row.tariff is None or charge_at is None:
        return None
    return pricing.estimate_period(
        tariff=row.tariff.title,
        card_kopecks=row.tariff.price_kopecks,
        cards=row.paid_cards,
        months=row.tariff.months,
        starts_on=local_day(charge_at, zone),
    )


def _period_views(periods: Iterable[Period]) -> tuple[PeriodView, ...]:
    return tuple(
        PeriodView(
            kind=PeriodKind(row.kind),
            starts_at=row.starts_at,
            ends_at=row.ends_at,
            tariff_title=row.tariff.title if row.tariff else "",
            cards=row.cards,
            charged_kopecks=row.charged_kopecks,
        )
        for row in periods
    )


def modules_view(merchant: Merchant, at: datetime) -> list[ModuleView]:
    """The modules on offer, and others that the merchant still has installed."""
    installed = dict(
        Installation.objects.of(merchant)
        .filter(removed_at=None)
        .values_list("module_id", "installed_at")
    )
    paid = _paid_by_module(merchant, at)
    on_offer = Tariff.objects.filter(archived_at=None).order_by("months", "price_kopecks")
    rows = Module.objects.filter(Q(enabled=True) | Q(pk__in=installed))
    return [
        _module_view(row, installed.get(row.pk), paid.get(row.pk, 0))
        for row in rows.prefetch_related(Prefetch("tariffs", queryset=on_offer)).order_by("pk")
    ]


def _paid_by_module(merchant: Merchant, at: datetime) -> dict[int, int]:
    totals: dict[int, int] = {}
    for live in live_subscriptions(merchant=merchant, at=at):
        totals[live.module_id] = totals.get(live.module_id, 0) + live.paid_cards
    return totals


def _module_view(row: Module, installed_at: datetime | None, paid_cards: int) -> ModuleView:
    return ModuleView(
        id=row.pk,
        code=row.code,
        title=row.title,
        description=row.description,
        market_url=market_url(row),
        installed_at=installed_at,
        paid_cards=paid_cards,
        tariffs=tuple(
            TariffView(one.pk, one.title, one.months, one.price_kopecks, one.trial_days)
            for one in row.tariffs.all()
        ),
    )


def market_url(module: Module) -> str:
    """The module's page in the market, where people install, pay, change and remove it."""
    return f"{settings.EVOTOR_MARKET_URL.rstrip('/')}/{module.market_product_id}"


def open_market_requests(merchant: Merchant, at: datetime) -> list[MarketRequest]:
    """What the merchant went to the market for and is not answered yet, the newest first."""
    rows = MarketRequest.objects.of(merchant).select_related("module")
    return list(
        rows.filter(answered_at=None, asked_at__gt=at - REQUEST_WAITS).order_by("-asked_at", "-pk")
    )


def is_used(tariff: Tariff) -> bool:
    """Whether somebody has ever taken this tariff: from then on it is never edited."""
    return tariff.subscriptions.exists() or Period.objects.filter(tariff=tariff).exists()
