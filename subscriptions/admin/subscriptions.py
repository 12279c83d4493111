"""Staff's pages about subscriptions, installations and requests to the market.

What the market or the services move is read only here; what staff may decide goes through the
services, with a reason typed beside the action.
"""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from cabinet import clock
from cabinet.admin.readonly import ReadOnlyAdmin, ReadOnlyInline
from cabinet.admin.staff import actor_of, may
from subscriptions import queries, services
from subscriptions.admin.deciding import DecidingAdmin, ReasonForm
from subscriptions.admin.sums import roubles
from subscriptions.models import (
    Gift,
    Installation,
    MarketRequest,
    Period,
    StaffStop,
    Subscription,
)


class PeriodInline(ReadOnlyInline):
    model = Period
    ordering = ("-starts_at",)
    fields = ("kind", "tariff", "cards", "starts_at", "ends_at", "charged")
    readonly_fields = ("charged",)

    charged = roubles("charged_kopecks", "списано")


class GiftInline(ReadOnlyInline):
    model = Gift
    ordering = ("-given_at",)


class StaffStopInline(ReadOnlyInline):
    model = StaffStop
    ordering = ("-decided_at",)


@admin.register(Subscription)
class SubscriptionAdmin(DecidingAdmin):
    list_display = (
        "merchant",
        "module",
        "state",
        "tariff",
        "paid_cards",
        "paid_until",
        "entitled_until",
    )
    list_filter = ("module", "source")
    list_select_related = ("merchant", "module", "tariff")
    search_fields = ("external_id", "merchant__name", "merchant__inn", "merchant__evotor_user_id")
    inlines = (PeriodInline, GiftInline, StaffStopInline)
    fields = (
        "merchant",
        "module",
        "state",
        "source",
        "external_id",
        "tariff",
        "plan_id",
        "paid_cards",
        "anchor_day",
        "created_at",
        "trial_until",
        "paid_until",
        "stop_requested_at",
        "terminated_at",
        "entitled_from",
        "entitled_until",
        "charged",
        "last_event_at",
    )
    readonly_fields = ("state", "charged")

    charged = roubles("charged_kopecks", "последнее списание")
    action_form = ReasonForm
    actions = ("give_days", "stop")

    def has_give_permission(self, request: HttpRequest) -> bool:
        return may(request, "subscriptions.add_gift")

    def has_stop_permission(self, request: HttpRequest) -> bool:
        return may(request, "subscriptions.add_staffstop")

    @admin.display(description="состояние")
    def state(self, subscription: Subscription) -> str:
        return str(queries.state_of(subscription, clock.now()).label)

    @admin.action(description="Подарить дни (укажите число и причину)", permissions=["give"])
    def give_days(self, request: HttpRequest, rows: QuerySet[Subscription]) -> None:
        days, reason = request.POST.get("days", ""), request.POST.get("reason", "")
        number = int(days) if days.isdecimal() and len(days) < 5 else 0

        def act(row: Subscription) -> None:
            services.give_days(
                subscription=row,
                days=number,
                reason=reason,
                by=actor_of(request),
                at=clock.now(),
            )

        self.decide(request, rows, act, "Дни подарены подпискам")

    @admin.action(description="Прекратить подписку (укажите причину)", permissions=["stop"])
    def stop(self, request: HttpRequest, rows: QuerySet[Subscription]) -> None:
        reason = request.POST.get("reason", "")

        def act(row: Subscription) -> None:
            services.stop_by_staff(
                subscription=row, reason=reason, by=actor_of(request), at=clock.now()
            )

        self.decide(request, rows, act, "Прекращено подписок")


@admin.register(Installation)
class InstallationAdmin(ReadOnlyAdmin):
    list_display = ("merchant", "module", "installed_at", "removed_at")
    list_filter = ("module",)
    list_select_related = ("merchant", "module")
    search_fields = ("merchant__name", "merchant__evotor_user_id")


@admin.register(MarketRequest)
class MarketRequestAdmin(ReadOnlyAdmin):
    estimate = roubles("estimate_kopecks", "оценка")
    charged = roubles("charged_kopecks", "списано")
    list_display = (
        "merchant",
        "module",
        "kind",
        "asked_at",
        "asked_by",
        "estimate",
        "answered_at",
        "charged",
    )
    list_filter = ("kind", "module")
    list_select_related = ("merchant", "module")
    search_fields = ("merchant__name", "merchant__evotor_user_id")
