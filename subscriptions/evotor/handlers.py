"""What a stored delivery does, inside the inbox's transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction

from cabinet.models import Merchant
from cabinet.wake import wake
from subscriptions import services as core
from subscriptions.evotor import queries, services
from subscriptions.evotor.events import INSTALLED, UNINSTALLED, payload_of
from subscriptions.evotor.hooks import Hook
from subscriptions.evotor.models import Delivery, InstallationEvent, SubscriptionEvent
from subscriptions.evotor.schema import (
    Activated,
    AddonsUpdated,
    Created,
    Renewed,
    SchemaError,
    Terminated,
    TerminationRequested,
    TermsChanged,
    Unknown,
    parse_devices,
    parse_installation_event,
    parse_stores,
    parse_subscription_event,
    read_json,
)
from subscriptions.evotor.schema import InstallationEvent as Installation
from subscriptions.evotor.schema import SubscriptionEvent as Event
from subscriptions.models import MarketRequest, Module, Tariff

UNKNOWN_USER = "Неизвестный клиент"
UNKNOWN_PRODUCT = "Неизвестный модуль"
UNKNOWN_PLAN = "Неизвестный тариф"
UNKNOWN_TYPE = "Неизвестный тип события"
BAD_FORM = "Непонятное содержание"
FOREIGN = "Чужая подписка"
CONFLICT = "Спорит с уже полученным событием"
REPEAT = "Повтор уже полученного события."

Kind = MarketRequest.Kind
# Which clicks an event answers.
ANSWERS: dict[type[Event], tuple[Kind, ...]] = {
    Created: (Kind.INSTALL,),
    Activated: (Kind.INSTALL, Kind.RENEW, Kind.RESUME),
    Renewed: (Kind.RENEW, Kind.RESUME, Kind.INSTALL),
    TermsChanged: (Kind.CHANGE,),
    AddonsUpdated: (Kind.CHANGE,),
    TerminationRequested: (Kind.STOP, Kind.REMOVE),
    Terminated: (Kind.STOP, Kind.REMOVE),
}


@dataclass(frozen=True)
class Outcome:
    """How a delivery ended; a parked one waits for staff with a note."""

    note: str = ""
    parked: bool = False


DONE = Outcome()


def parked(note: str) -> Outcome:
    """Kept for staff."""
    return Outcome(note, parked=True)


def handle(delivery: Delivery, at: datetime) -> Outcome:
    """Do what the delivery says. Everything in it that is unknown ends parked, never in an error."""
    try:
        return _HANDLERS[Hook(delivery.hook)](delivery, at)
    except SchemaError as broken:
        return parked(f"{BAD_FORM}: {broken}")


def _subscription(delivery: Delivery, at: datetime) -> Outcome:
    event = parse_subscription_event(_payload(delivery))
    if event.subscription_id is None or event.number is None:
        return parked(f"{UNKNOWN_TYPE}: {delivery.event_type}")
    merchant = queries.merchant_of(event.user_id or "")
    if merchant is not None:
        # Before the events are looked at: two deliveries of one merchant go one after the other.
        Merchant.objects.select_for_update(no_key=True).get(pk=merchant.pk)
    stored = _store(delivery, event)
    if stored is not None:
        return stored
    return _project(event, merchant, at)


def _payload(delivery: Delivery) -> object:
    return read_json(delivery.body.encode())


def _store(delivery: Delivery, event: Event | Unknown) -> Outcome | None:
    """Keep the event; an outcome where it must not be folded."""
    own = SubscriptionEvent.objects.filter(delivery=delivery).first()
    if own is not None:
        return _conflict_outcome(own) if own.conflict else None
    first = _first_of(event)
    if first is not None and _owner(first) != (event.user_id or "", event.product_id or ""):
        _insert(delivery, event, conflict=True)
        return _foreign_outcome(event)
    if _insert(delivery, event, conflict=False):
        return None
    known = queries.events_of(event.subscription_id or "").get(sequence_number=event.number or 0)
    if known.payload == payload_of(event):
        return Outcome(REPEAT)
    _insert(delivery, event, conflict=True)
    return _conflict_outcome(SubscriptionEvent.objects.get(delivery=delivery))


def _first_of(event: Event | Unknown) -> SubscriptionEvent | None:
    rows = SubscriptionEvent.objects.filter(subscription_id=event.subscription_id, conflict=False)
    return rows.order_by("pk").first()


def _owner(row: SubscriptionEvent) -> tuple[str, str]:
    return row.user_id, row.product_id


def _insert(delivery: Delivery, event: Event | Unknown, *, conflict: bool) -> bool:
    row = SubscriptionEvent(
        delivery=delivery,
        subscription_id=event.subscription_id or "",
        user_id=event.user_id or "",
        product_id=event.product_id or "",
        sequence_number=event.number or 0,
        type=payload_of(event)["type"],
        occurred_at=event.at or delivery.received_at,
        payload=payload_of(event),
        conflict=conflict,
    )
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:  # this number is here already
        return False
    return True


def _conflict_outcome(row: SubscriptionEvent) -> Outcome:
    return parked(f"{CONFLICT}: подписка {row.subscription_id}, № {row.sequence_number}")


def _foreign_outcome(event: Event | Unknown) -> Outcome:
    return parked(f"{FOREIGN}: {event.subscription_id} принадлежит другому клиенту или модулю")


def _project(event: Event | Unknown, merchant: Merchant | None, at: datetime) -> Outcome:
    module = _module(event.product_id)
    if merchant is None:
        return parked(f"{UNKNOWN_USER}: {event.user_id}")
    if module is None:
        return parked(f"{UNKNOWN_PRODUCT}: {event.product_id}")
    services.refold(
        subscription_id=event.subscription_id or "", merchant=merchant, module=module, at=at
    )
    if isinstance(event, Unknown):
        return parked(f"{UNKNOWN_TYPE}: {event.type}")
    _answer_requests(event, merchant, module, at)
    return _plan_outcome(event, module)


def _module(product_id: str | None) -> Module | None:
    # Compared as text: the market's documented sample is no uuid.
    modules = {str(row.market_product_id): row for row in Module.objects.all()}
    return modules.get(product_id or "")


def _answer_requests(event: Event, merchant: Merchant, module: Module, at: datetime) -> None:
    charged = getattr(event, "charged", None)
    core.answer_market_requests(
        merchant_id=merchant.pk,
        module=module,
        kinds=ANSWERS[type(event)],
        occurred_at=event.at,
        charged_kopecks=charged.kopecks if charged and charged.currency == "RUB" else None,
        at=at,
    )


def _plan_outcome(event: Event, module: Module) -> Outcome:
    plan_id = event.plan_id if isinstance(event, Created | TermsChanged) else None
    if plan_id is None or Tariff.objects.filter(module=module, plan_id=plan_id).exists():
        return DONE
    return parked(f"{UNKNOWN_PLAN}: {plan_id}")


def _installation(delivery: Delivery, at: datetime) -> Outcome:
    event = parse_installation_event(_payload(delivery))
    if isinstance(event, Unknown):
        return parked(f"{UNKNOWN_TYPE}: {event.type}")
    if not _keep_installation(delivery, event):
        return Outcome(REPEAT)
    merchant, module = queries.merchant_of(event.user_id), _module(event.product_id)
    if merchant is None:
        return parked(f"{UNKNOWN_USER}: {event.user_id}")
    if module is None:
        return parked(f"{UNKNOWN_PRODUCT}: {event.product_id}")
    services.refold_installations(merchant=merchant, module=module, at=at)
    core.answer_market_requests(
        merchant_id=merchant.pk,
        module=module,
        kinds=[Kind.INSTALL if event.installed else Kind.REMOVE],
        occurred_at=event.at,
        charged_kopecks=None,
        at=at,
    )
    return DONE


def _keep_installation(delivery: Delivery, event: Installation) -> bool:
    """Whether the event is this delivery's; another one may have brought it already."""
    row, _ = InstallationEvent.objects.get_or_create(
        event_id=event.id,
        defaults={
            "delivery": delivery,
            "user_id": event.user_id,
            "product_id": event.product_id,
            "type": INSTALLED if event.installed else UNINSTALLED,
            "occurred_at": event.at,
        },
    )
    return row.delivery_id == delivery.pk


def _devices(delivery: Delivery, at: datetime) -> Outcome:
    devices = parse_devices(_payload(delivery))
    merchant = queries.merchant_of(delivery.user_id)
    if merchant is None:
        return parked(f"{UNKNOWN_USER}: {delivery.user_id}")
    services.keep_terminals(merchant=merchant, devices=devices, at=at, whole=False)
    wake("evotor.sync", merchant_id=merchant.pk)
    return DONE


def _stores(delivery: Delivery, at: datetime) -> Outcome:
    stores = parse_stores(_payload(delivery))
    merchant = queries.merchant_of(delivery.user_id)
    if merchant is None:
        return parked(f"{UNKNOWN_USER}: {delivery.user_id}")
    services.keep_shops(merchant=merchant, stores=stores, at=at, whole=False)
    wake("evotor.sync", merchant_id=merchant.pk)
    return DONE


_HANDLERS: dict[Hook, Callable[[Delivery, datetime], Outcome]] = {
    Hook.SUBSCRIPTION: _subscription,
    Hook.INSTALLATION: _installation,
    Hook.DEVICES: _devices,
    Hook.STORES: _stores,
}
