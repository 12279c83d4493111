"""Staff's pages about what the market sent. No token is ever shown."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from cabinet import clock
from cabinet.admin.readonly import ReadOnlyAdmin, to_the_second
from cabinet.admin.staff import actor_of, may
from subscriptions.admin import DecidingAdmin, ReasonForm
from subscriptions.evotor import inbox, queries, services
from subscriptions.evotor.models import (
    Account,
    Delivery,
    GapDecision,
    InstallationEvent,
    SubscriptionEvent,
)
from subscriptions.models import Subscription

SECRET_WORDS = ("token", "password", "secret", "phone", "username", "email", "name")
SHOWN_CHARACTERS = 20_000
MASK = "•••"


_EVENTS = {
    "SubscriptionCreated": "подписка оформлена",
    "SubscriptionActivated": "подписка оплачена",
    "SubscriptionRenewed": "подписка продлена",
    "SubscriptionTermsChanged": "изменены тариф или число карт",
    "SubscriptionTerminationRequested": "запрошена остановка",
    "SubscriptionTerminated": "подписка прекращена",
    "AddonsUpdated": "изменены платные опции",
    "ApplicationInstalled": "модуль установлен",
    "ApplicationUninstalled": "модуль удалён",
}


def event_word(name: str) -> str:
    """What the market's event means; a foreign one as it is, none as a dash."""
    return _EVENTS.get(name, name) or "—"


def masked(body: str) -> str:
    """A body for reading: secrets and personal data covered, laid out, cut where it is long."""
    try:
        laid_out = json.dumps(_covered(json.loads(body)), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return "(не JSON)"
    return laid_out[:SHOWN_CHARACTERS]


def _covered(value: Any) -> Any:
    if isinstance(value, list):
        return [_covered(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: MASK if _is_secret(key) else _covered(one) for key, one in value.items()}


def _is_secret(key: str) -> bool:
    return any(word in key.lower() for word in SECRET_WORDS)


@admin.register(Delivery)
class DeliveryAdmin(DecidingAdmin):
    list_display = ("received", "what", "user_id", "state", "repeats", "note")
    list_filter = ("state", "hook", "event_type")
    search_fields = ("user_id", "event_type", "note")
    actions = ("replay",)
    exclude = ("body", "body_hash")
    readonly_fields = ("what", "shown_body")
    ordering = ("-received_at", "-pk")

    @admin.display(description="получено", ordering="received_at")
    def received(self, delivery: Delivery) -> str:
        return to_the_second(delivery.received_at)

    @admin.display(description="что", ordering="event_type")
    def what(self, delivery: Delivery) -> str:
        return event_word(delivery.event_type or delivery.hook)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return may(request, "evotor.change_delivery")

    @admin.display(description="тело")
    def shown_body(self, delivery: Delivery) -> str:
        return masked(delivery.body)

    @admin.action(description="Обработать ещё раз", permissions=["replay"])
    def replay(self, request: HttpRequest, rows: QuerySet[Delivery]) -> None:
        def act(row: Delivery) -> None:
            inbox.replay(delivery_id=row.pk, by=actor_of(request), at=clock.now())

        self.decide(request, rows.order_by("pk"), act, "Отправлено на обработку")


@admin.register(SubscriptionEvent)
class SubscriptionEventAdmin(DecidingAdmin):
    list_display = (
        "occurred_at",
        "subscription_id",
        "sequence_number",
        "what",
        "user_id",
        "conflict",
    )
    list_filter = ("type", "conflict")
    search_fields = ("subscription_id", "user_id")
    ordering = ("subscription_id", "sequence_number", "pk")
    action_form = ReasonForm
    actions = ("accept_gap",)

    @admin.display(description="что", ordering="type")
    def what(self, event: SubscriptionEvent) -> str:
        return event_word(event.type)

    def has_accept_permission(self, request: HttpRequest) -> bool:
        return may(request, "evotor.add_gapdecision")

    @admin.action(
        description="Применить без пропущенных событий (укажите причину)", permissions=["accept"]
    )
    def accept_gap(self, request: HttpRequest, rows: QuerySet[SubscriptionEvent]) -> None:
        reason = request.POST.get("reason", "")

        def act(row: Subscription) -> None:
            services.accept_gap(
                subscription=row, reason=reason, by=actor_of(request), at=clock.now()
            )

        self.decide(request, queries.market_subscriptions(rows), act, "Применено подпискам")


@admin.register(InstallationEvent)
class InstallationEventAdmin(ReadOnlyAdmin):
    list_display = ("occurred_at", "what", "user_id", "product_id")
    list_filter = ("type",)
    search_fields = ("user_id", "event_id")

    @admin.display(description="что", ordering="type")
    def what(self, event: InstallationEvent) -> str:
        return event_word(event.type)


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    list_display = ("merchant", "cloud_token_at", "synced_at")
    list_select_related = ("merchant",)
    search_fields = ("merchant__name", "merchant__evotor_user_id")
    fields = ("merchant", "cloud_token_at", "synced_at", "custom_fields")


@admin.register(GapDecision)
class GapDecisionAdmin(ReadOnlyAdmin):
    list_display = ("subscription_id", "up_to_number", "decided_by", "decided_at", "reason")
    search_fields = ("subscription_id",)
