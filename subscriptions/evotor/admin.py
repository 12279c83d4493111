"""Staff's pages about what the market sent. No token is ever shown."""

import json
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from cabinet.actors import Actor
from cabinet.admin.clients import UserIdMixin
from cabinet.admin.confirm_action import ConfirmAction, ConfirmActionAdmin, service_call
from cabinet.admin.readonly import ReadOnlyAdmin, to_the_second
from cabinet.errors import Refused
from cabinet.forms.reason import NoFieldsForm, ReasonForm
from subscriptions.evotor import holds, inbox, queries, services
from subscriptions.evotor.models import (
    Account,
    Delivery,
    GapDecision,
    InstallationEvent,
    Problem,
    SubscriptionEvent,
)
from subscriptions.models import Subscription

SECRET_KEYS = ("token", "password", "secret", "phone", "username", "email", "name")
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


def event_title(name: str) -> str:
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
    return any(part in key.lower() for part in SECRET_KEYS)


def _replay(delivery: Delivery, _asked: dict[str, Any], by: Actor, at: datetime) -> None:
    inbox.replay(delivery_id=delivery.pk, by=by, at=at)


def _check_unproved(delivery: Delivery, _at: datetime) -> None:
    if delivery.parked_for != Problem.UNPROVED:
        raise Refused("Это событие не ждёт решения сотрудника.")


def _accept(delivery: Delivery, asked: dict[str, Any], by: Actor, at: datetime) -> None:
    rows = Delivery.objects.filter(pk=delivery.pk)
    inbox.accept(rows=rows, reason=asked["reason"], by=by, at=at)


def _accept_all(delivery: Delivery, asked: dict[str, Any], by: Actor, at: datetime) -> None:
    rows = queries.unproved(delivery.user_id)
    inbox.accept(rows=rows, reason=asked["reason"], by=by, at=at)


def _accept_gap(event: SubscriptionEvent, asked: dict[str, Any], by: Actor, at: datetime) -> None:
    rows = Subscription.objects.select_related("merchant", "module")
    subscription = rows.filter(external_id=event.subscription_id).first()
    if subscription is None:
        raise Refused("Такой подписки у нас ещё нет.")
    services.accept_gap(subscription=subscription, reason=asked["reason"], by=by, at=at)


@admin.register(Delivery)
class DeliveryAdmin(UserIdMixin, ConfirmActionAdmin):
    """The market's deliveries: masked bodies, errors, and a button to process one again."""

    list_display = ("received", "what", "client", "state", "repeats", "note")
    list_filter = ("state", "hook", "event_type")
    search_fields = ("user_id", "event_type", "note")
    search_help_text = "Название, телефон, ИНН или userId клиента, тип события, слова из пояснения"
    confirm_actions = (
        ConfirmAction(
            "replay",
            "Обработать ещё раз",
            "Обработать ещё раз",
            "Отправлено на обработку.",
            NoFieldsForm,
            _replay,
            permission="evotor.change_delivery",
            done_many="Отправлено на обработку",
        ),
        ConfirmAction(
            "accept",
            "Принять событие…",
            "Принять событие",
            "Событие принято.",
            ReasonForm,
            _accept,
            _check_unproved,
            permission="evotor.change_delivery",
            done_many="Принято событий",
        ),
        ConfirmAction(
            "accept_all",
            "Принять все события клиента…",
            "Принять все события клиента",
            "События приняты.",
            ReasonForm,
            _accept_all,
            _check_unproved,
            permission="evotor.change_delivery",
        ),
        ConfirmAction(
            "prolong",
            "Не отключать ещё час…",
            "Не отключать ещё час",
            "Смарт-карты клиента не отключаются автоматически ещё час.",
            ReasonForm,
            service_call("delivery", holds.prolong),
            holds.check_waits,
            permission="evotor.change_delivery",
        ),
        ConfirmAction(
            "release",
            "Отменить удержание…",
            "Отменить удержание",
            "Удержание отменено.",
            ReasonForm,
            service_call("delivery", holds.release),
            holds.check_holds,
            permission="evotor.change_delivery",
        ),
    )
    exclude = ("body", "body_hash", "parked_for")
    readonly_fields = ("what", "shown_body")
    ordering = ("-received_at", "-pk")

    @admin.display(description="получено", ordering="received_at")
    def received(self, delivery: Delivery) -> str:
        return to_the_second(delivery.received_at)

    @admin.display(description="что", ordering="event_type")
    def what(self, delivery: Delivery) -> str:
        return event_title(delivery.event_type or delivery.hook)

    @admin.display(description="тело")
    def shown_body(self, delivery: Delivery) -> str:
        return masked(delivery.body)


@admin.register(SubscriptionEvent)
class SubscriptionEventAdmin(UserIdMixin, ConfirmActionAdmin):
    """Stored billing events; staff may apply what waits behind a gap."""

    list_display = (
        "occurred_at",
        "subscription_id",
        "sequence_number",
        "what",
        "client",
        "conflict",
    )
    list_filter = ("type", "conflict")
    search_fields = ("subscription_id", "user_id")
    search_help_text = "Название, телефон, ИНН или userId клиента, номер подписки маркета"
    ordering = ("subscription_id", "sequence_number", "pk")
    confirm_actions = (
        ConfirmAction(
            "accept_gap",
            "Применить без пропущенных событий…",
            "Применить без пропущенных событий",
            "События применены.",
            ReasonForm,
            _accept_gap,
            permission="evotor.add_gapdecision",
            done_many="Применено подпискам",
        ),
    )

    @admin.display(description="что", ordering="type")
    def what(self, event: SubscriptionEvent) -> str:
        return event_title(event.type)

    def confirm_selected(
        self,
        request: HttpRequest,
        rows: QuerySet[SubscriptionEvent],
        action: ConfirmAction[SubscriptionEvent],
    ) -> HttpResponse | None:
        # One decision for each subscription, however many of its events are chosen.
        one_each = rows.order_by("subscription_id", "pk").distinct("subscription_id")
        return super().confirm_selected(request, one_each, action)


@admin.register(InstallationEvent)
class InstallationEventAdmin(UserIdMixin, ReadOnlyAdmin):
    """Stored installs and removals."""

    list_display = ("occurred_at", "what", "client", "product_id")
    list_filter = ("type",)
    search_fields = ("user_id", "event_id")
    search_help_text = "Название, телефон, ИНН или userId клиента, номер события маркета"

    @admin.display(description="что", ordering="type")
    def what(self, event: InstallationEvent) -> str:
        return event_title(event.type)


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    """Evotor accounts; the tokens are never shown."""

    list_display = ("merchant", "cloud_token_at", "synced_at")
    list_select_related = ("merchant",)
    search_fields = ("merchant__name", "merchant__evotor_user_id")
    fields = ("merchant", "cloud_token_at", "synced_at", "custom_fields")


@admin.register(GapDecision)
class GapDecisionAdmin(ReadOnlyAdmin):
    """Who decided to do without which events, and why."""

    list_display = ("subscription_id", "up_to_number", "decided_by", "decided_at", "reason")
    search_fields = ("subscription_id",)
