"""The market's deliveries: kept before anything is done with them, and never lost after that.

Processing happens inside the inbox's transaction. Whatever is unknown in a delivery ends parked for
staff, never in an error.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Upper

from cabinet.actors import Actor
from cabinet.errors import Refused
from cabinet.formatting import ru_format
from cabinet.inbox.processing import Inbox, Outcome, insert_once
from cabinet.messaging.alerts import raise_alert
from cabinet.models import Merchant
from cabinet.tasks.lock_timeout import limit_lock_waits
from cabinet.tasks.task_queue import enqueue_on_commit, enqueue_soon
from subscriptions.evotor import queries, services
from subscriptions.evotor.models import (
    Delivery,
    Hook,
    InstallationEvent,
    Problem,
    Sender,
    SubscriptionEvent,
)
from subscriptions.evotor.queries import StoredEvent
from subscriptions.evotor.schemas import (
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
    payload_of,
    read_json,
    row_owners,
)
from subscriptions.evotor.schemas import InstallationEvent as Installation
from subscriptions.evotor.schemas import SubscriptionEvent as Event
from subscriptions.evotor.services import record_decision
from subscriptions.models import MarketRequest, Module, Subscription, Tariff
from subscriptions.rules import is_ahead
from subscriptions.services import answer_market_requests, link_charge

REPEAT = "Повтор уже полученного события."
REQUEUED_AT_ONCE = 1_000
# The longest tariff is a year, and a renewal may come before the end of the last one.
FARTHEST_BILLING = timedelta(days=2 * 366)
# Seconds that a repeat waits for the worker that processes its row; the market sends it again.
REPEAT_WAIT = 3.0
UNPROVED = (
    "событие ничего не меняет, пока сотрудник его не примет. Проверьте в кабинете разработчика Эвотор ключ "
    "этого хука: он должен быть ключом приложения. Если Эвотор присылает события с ключом клиента, это "
    "разрешает настройка EVOTOR_EVENT_TOKENS."
)
OTHER_NUMBER = "Под этим номером с ключом приложения пришло другое событие: это ничего не меняет."
_UNREAD = "номер не прочитан"
# What may be known later: staff add modules and tariffs, merchants register.
_CURABLE = (Problem.UNKNOWN_USER, Problem.UNKNOWN_PRODUCT, Problem.UNKNOWN_PLAN)

# What one merchant's events have to do with each other.
_OF_ONE_MERCHANT = (Problem.UNPROVED, Problem.CONFLICT, Problem.FOREIGN)

State = Delivery.State
_PARKED = Delivery.objects.filter(state=State.PARKED)
Kind = MarketRequest.Kind
# Which requests of the merchant an event answers.
ANSWERS: dict[type[Event], tuple[Kind, ...]] = {
    Created: (Kind.INSTALL,),
    Activated: (Kind.INSTALL, Kind.RENEW, Kind.RESUME),
    Renewed: (Kind.RENEW, Kind.RESUME, Kind.INSTALL),
    TermsChanged: (Kind.CHANGE,),
    AddonsUpdated: (Kind.CHANGE,),
    TerminationRequested: (Kind.STOP, Kind.REMOVE),
    Terminated: (Kind.STOP, Kind.REMOVE),
}
_CHARGING = (Activated, Renewed, TermsChanged, AddonsUpdated)


class MarketInbox(Inbox[Delivery]):
    """What the market sent: in order for each user, users in turn."""

    rows = Delivery.objects.all()
    # A list that comes again has its old id and says how things are now.
    order = ("received_at", "pk")
    lane_field = "user_id"

    def handle(self, row: Delivery, at: datetime) -> Outcome:
        """Do what the delivery says; one that breaks the documented form is parked."""
        try:
            return _HANDLERS[Hook(row.hook)](row, read_json(row.body.encode()), at)
        except SchemaError as broken:
            return _parked(Problem.BAD_FORM, str(broken))

    def alert_key(self, row: Delivery) -> str:
        """One alert for one cause: the tariff, the merchant, or what is odd in a hook's bodies."""
        match row.parked_for:
            case Problem.UNKNOWN_PLAN:
                return f"evotor.plan.{_plan_of(row)}"
            case one if one in _OF_ONE_MERCHANT:
                return f"evotor.{row.parked_for}.{row.user_id.upper()}"
            case _:
                return f"evotor.{row.parked_for or 'failed'}.{row.hook}"

    def same_trouble(self, row: Delivery) -> QuerySet[Delivery]:
        """Rows parked, or given up, for the same cause."""
        if not row.parked_for:
            return self.rows.filter(state=State.FAILED, next_try_at=None, hook=row.hook)
        parked = _PARKED.filter(parked_for=row.parked_for)
        match row.parked_for:
            case Problem.UNKNOWN_PLAN:
                return parked.filter(subscription_event__payload__planId=_plan_of(row))
            case one if one in _OF_ONE_MERCHANT:
                return parked.alias(owner=Upper("user_id")).filter(owner=row.user_id.upper())
            case _:
                return parked.filter(hook=row.hook)

    def alert(self, row: Delivery, problem: str, at: datetime) -> None:
        """With a link to the delivery, and its merchant where the cause is one merchant's."""
        is_general = row.parked_for not in (*_OF_ONE_MERCHANT, Problem.UNKNOWN_PLAN)
        merchant = None if is_general else queries.merchant_of(row.user_id)
        raise_alert(
            key=self.alert_key(row),
            text=f"Эвотор, {row.hook}: {problem}",
            at=at,
            merchant_id=merchant.pk if merchant else None,
            link=f"/admin/evotor/delivery/{row.pk}/change/",
        )


def _plan_of(row: Delivery) -> str:
    plan_id: str = row.subscription_event.payload["planId"]
    return plan_id


INBOX = MarketInbox()


def store(
    *, hook: Hook, body: bytes, user_id: str, event_type: str, authorized_as: str, at: datetime
) -> Delivery:
    """Keep a raw notification, by one statement, and enqueue the processing of the inbox.

    The same body from the same user is kept once and counted; a list of shops or terminals is
    processed again, since it may report a change back. What was given up after too many tries has
    all its tries again. The application's word for what a merchant's own token brought counts from
    now on. `body` is UTF-8.
    """
    row = Delivery(
        hook=hook,
        body_hash=hashlib.sha256(f"{user_id.upper()}\n".encode() + body).hexdigest(),
        body=body.decode(),
        user_id=user_id.upper(),
        event_type=event_type,
        authorized_as=authorized_as,
        received_at=at,
    )
    if not insert_once(row):
        row = _repeated(row, at)
    if row.state == State.NEW:
        transaction.on_commit(lambda: enqueue_soon("evotor.drain"))
    return row


@transaction.atomic
def _repeated(again: Delivery, at: datetime) -> Delivery:
    limit_lock_waits(REPEAT_WAIT)
    rows = Delivery.objects.select_for_update()
    row = rows.get(hook=again.hook, body_hash=again.body_hash)
    row.repeats += 1
    is_proved_now = again.authorized_as == Sender.APPLICATION != row.authorized_as
    is_given_up = row.state == State.FAILED and row.next_try_at is None
    if is_proved_now:
        row.authorized_as = again.authorized_as
    if Hook(row.hook).is_snapshot or is_proved_now:
        row.received_at = at
    if is_proved_now:  # what was decided about it before was about something unproved
        row.holds_until = None
    if Hook(row.hook).is_snapshot or is_given_up or (is_proved_now and row.state != State.DONE):
        row.state, row.attempts, row.next_try_at = State.NEW, 0, None
    row.save(
        update_fields=[
            "repeats",
            "authorized_as",
            "state",
            "received_at",
            "holds_until",
            "attempts",
            "next_try_at",
        ]
    )
    return row


@transaction.atomic
def replay(*, delivery_id: int, by: Actor, at: datetime) -> None:
    """Process a delivery again because a person asks. Raises Refused where it waits already."""
    row = Delivery.objects.select_for_update().get(pk=delivery_id)
    if row.state == State.NEW:
        raise Refused("Это входящее и так ждёт обработки.")
    _requeue(Delivery.objects.filter(pk=row.pk))
    record_decision(
        delivery=row,
        action="replayed",
        text="Входящее из Эвотор отправлено на повторную обработку.",
        by=by,
        at=at,
    )


@transaction.atomic
def accept(*, rows: QuerySet[Delivery], reason: str, by: Actor, at: datetime) -> int:
    """Staff believe what a user's token brought: it is processed after commit; how many there were.

    Raises Refused without a reason, and where none of `rows` waits for this decision.
    """
    if not reason.strip():
        raise Refused("Укажите причину: она останется в журнале.")
    waiting = _PARKED.filter(parked_for=Problem.UNPROVED, pk__in=rows.values("pk"))
    chosen = list(waiting.select_for_update().order_by("pk")[:REQUEUED_AT_ONCE])
    if not chosen:
        raise Refused("Это событие уже принято или подтверждено ключом приложения.")
    for row in chosen:
        record_decision(
            delivery=row,
            action="event_accepted",
            text="Событие Эвотор, которое пришло с ключом клиента, принято сотрудником сервиса.",
            by=by,
            at=at,
            reason=reason,
        )
    accepted = Delivery.objects.filter(pk__in=[row.pk for row in chosen])
    # Until they are processed, they hold as if they had come now.
    accepted.update(accepted_at=at, holds_until=at + queries.EVENT_HOLD)
    return _requeue(accepted)


@transaction.atomic
def requeue_believed(*, at: datetime) -> int:
    """Queue again what waited for staff and is believed by now: the application brought the same body,
    or the setting was changed; how many there were.
    """
    rows = _PARKED.filter(queries.believed(), parked_for=Problem.UNPROVED)
    pks = list(rows.order_by("pk").values_list("pk", flat=True)[:REQUEUED_AT_ONCE])
    chosen = Delivery.objects.filter(pk__in=pks)
    if pks:
        chosen.update(holds_until=at + queries.EVENT_HOLD)
    return _requeue(chosen)


def requeue_parked(*, user_id: str = "") -> int:
    """Queue again what was parked for something that may be known now; how many there were.

    With `user_id`: what came before that merchant was known. Without: everything that waits for a
    merchant who is known by now, for a module or for a tariff.
    """
    if user_id:
        return _requeue(_PARKED.filter(user_id=user_id.upper(), parked_for=Problem.UNKNOWN_USER))
    return _requeue(_PARKED.filter(parked_for__in=_CURABLE))


def requeue_known_users() -> int:
    """Queue again what was parked for a merchant who is known by now; how many there were."""
    known = Merchant.objects.filter(evotor_user_id__isnull=False).values(
        spelled_once=Upper("evotor_user_id")
    )
    return _requeue(_PARKED.filter(parked_for=Problem.UNKNOWN_USER, user_id__in=known))


def _requeue(rows: QuerySet[Delivery]) -> int:
    """Process these from the first try on; how many did not wait already."""
    pks = list(rows.order_by("pk").values_list("pk", flat=True)[:REQUEUED_AT_ONCE])
    waited_not = Delivery.objects.filter(pk__in=pks).exclude(state=State.NEW)
    number = waited_not.update(state=State.NEW, attempts=0, next_try_at=None)
    if pks:
        enqueue_on_commit("evotor.drain")
    return number


# --- what a delivery does -------------------------------------------------------------------------


def _parked(problem: Problem, detail: str) -> Outcome:
    """Kept for staff, who read the note."""
    return Outcome(f"{problem.label}: {detail}", parked_for=problem)


def _subscription_event(delivery: Delivery, payload: object, at: datetime) -> Outcome:
    dropped: list[str] = []
    event = parse_subscription_event(payload, dropped)
    if event.subscription_id is None or event.number is None:
        return _parked(Problem.UNKNOWN_TYPE, delivery.event_type)
    if not queries.is_believed(delivery):
        return _unproved_billing(delivery, event)
    merchant, module = _locked_merchant_and_module(*_owner_of(event))
    stored = queries.stored_events(event.subscription_id)
    refusal = _store_event(delivery, event, stored)
    if refusal is not None:
        return refusal
    _requeue_unproved(delivery, event)
    if merchant is None:
        return _parked(Problem.UNKNOWN_USER, event.user_id or _UNREAD)
    if module is None:
        return _parked(Problem.UNKNOWN_PRODUCT, event.product_id or _UNREAD)
    subscription = services.rebuild_subscription(
        subscription_id=event.subscription_id,
        stored=stored,
        merchant=merchant,
        module=module,
        at=at,
    )
    if isinstance(event, Unknown):
        return _parked(Problem.UNKNOWN_TYPE, event.type or "тип не прочитан")
    _alert_odd_dates(delivery, event, merchant.pk, at)
    _answer_steps(event, subscription, module, at)
    if isinstance(event, Created) and not event.plan_id:
        dropped.append("planId")
    unknown_plan = _unknown_plan(event, subscription)
    if unknown_plan:
        return _parked(Problem.UNKNOWN_PLAN, unknown_plan)
    return _done_without(delivery, dropped, at)


def _answer_steps(event: Event, subscription: Subscription, module: Module, at: datetime) -> None:
    """Close what the merchant went to the market for, and keep with a charge whose step led to it."""
    charged = getattr(event, "charged", None)
    kinds = ANSWERS[type(event)]
    answer_market_requests(
        merchant_id=subscription.merchant_id,
        module=module,
        kinds=kinds,
        occurred_at=event.at,
        charged_kopecks=charged.roubles_in_kopecks if charged else None,
        at=at,
    )
    if isinstance(event, _CHARGING):
        link_charge(
            subscription=subscription, number=event.number, kinds=kinds, occurred_at=event.at
        )


def _unknown_plan(event: Event, subscription: Subscription) -> str:
    """The tariff of an event that we do not know; empty where there is nothing to know."""
    plan_id = event.plan_id if isinstance(event, Created | TermsChanged) else None
    if not plan_id or (plan_id == subscription.plan_id and subscription.tariff is not None):
        return ""
    tariffs = Tariff.objects.filter(module=subscription.module, plan_id=plan_id)
    return "" if tariffs.exists() else plan_id


def _alert_odd_dates(delivery: Delivery, event: Event, merchant_id: int, at: datetime) -> None:
    """Put dates before staff that are applied and can hardly be meant.

    What is ahead of our clock is one cause, whosesoever it is; a far paid end is the merchant's own.
    """
    link = f"/admin/evotor/delivery/{delivery.pk}/change/"
    if is_ahead(event.at, delivery.received_at):
        text = "Эвотор присылает события со временем, которое ещё не наступило: проверьте часы сервера."
        raise_alert(key="evotor.ahead", text=text, at=at, link=link)
    until = getattr(event, "next_billing_at", None)
    if until is not None and until > delivery.received_at + FARTHEST_BILLING:
        text = (
            f"Эвотор, {delivery.hook}: следующая оплата {ru_format.day(until.date())} — применено."
        )
        key = f"evotor.far_billing.{delivery.user_id.upper()}"
        raise_alert(key=key, text=text, at=at, merchant_id=merchant_id, link=link)


def _unproved_billing(delivery: Delivery, event: Event | Unknown) -> Outcome:
    """What came with a user's token: parked, unless the application has brought that number already."""
    numbered = SubscriptionEvent.objects.filter(
        subscription_id=event.subscription_id, sequence_number=event.number or 0, conflict=False
    )
    proved = numbered.first()
    if proved is None:
        return _parked(Problem.UNPROVED, UNPROVED)
    return Outcome(REPEAT if parse_subscription_event(proved.payload) == event else OTHER_NUMBER)


def _requeue_unproved(delivery: Delivery, event: Event | Unknown | Installation) -> None:
    """The application has brought what a user's token brought before: that has nothing to wait for."""
    if not queries.has_unproved(delivery.user_id):
        return
    waiting = queries.unproved(delivery.user_id).filter(hook=delivery.hook, state=State.PARKED)
    same = [row.pk for row in waiting.order_by("pk")[:REQUEUED_AT_ONCE] if _is_same(row, event)]
    if same:
        _requeue(Delivery.objects.filter(pk__in=same))


def _is_same(row: Delivery, event: Event | Unknown | Installation) -> bool:
    """Whether the delivery is about the same install, or the same number of a subscription."""
    try:
        payload = read_json(row.body.encode())
        if isinstance(event, Installation):
            other = parse_installation_event(payload)
            return isinstance(other, Installation) and other.id == event.id
        billing = parse_subscription_event(payload)
    except SchemaError:  # read by other rules when it came: it must not refuse the proved event
        return False
    return (billing.subscription_id, billing.number) == (event.subscription_id, event.number)


def _store_event(
    delivery: Delivery, event: Event | Unknown, stored: list[StoredEvent]
) -> Outcome | None:
    """Keep the event beside its delivery and in `stored`; an outcome where it must not be folded.

    Two deliveries of one number at once: the later one fails on the constraint and is tried again.
    """
    own = next((one for one in stored if one.delivery_id == delivery.pk), None)
    if own is not None and not own.conflict:  # processed before
        return None
    refusal = _refusal(event, [one for one in stored if not one.conflict])
    if own is not None:
        return refusal or _parked(Problem.CONFLICT, _numbered(event))
    if refusal and not refusal.parked_for:
        return refusal
    payload = payload_of(event)
    row = SubscriptionEvent.objects.create(
        delivery=delivery,
        subscription_id=event.subscription_id or "",
        user_id=event.user_id or "",
        product_id=event.product_id or "",
        sequence_number=event.number or 0,
        type=payload["type"],
        occurred_at=event.at or delivery.received_at,
        payload=payload,
        conflict=refusal is not None,
    )
    stored.append(queries.as_stored(row, delivery.received_at))
    return refusal


def _refusal(event: Event | Unknown, known: Sequence[StoredEvent]) -> Outcome | None:
    """Why an event is not folded with those that are known of its subscription, the oldest first."""
    if not _is_of(event, known):
        text = f"{event.subscription_id} принадлежит другому клиенту или модулю"
        return _parked(Problem.FOREIGN, text)
    same = next((one for one in known if one.number == event.number), None)
    if same is None:
        return None
    if same.event == event:
        return Outcome(REPEAT)
    return _parked(Problem.CONFLICT, _numbered(event))


def _numbered(event: Event | Unknown) -> str:
    return f"подписка {event.subscription_id}, № {event.number}"


def _is_of(event: Event | Unknown, known: Sequence[StoredEvent]) -> bool:
    """Whether it has the owner and the module of the others, as far as each can be read."""
    pairs = zip((event.user_id, event.product_id), _owner(known), strict=True)
    return all(own == theirs for own, theirs in pairs if own and theirs)


def _owner(known: Sequence[StoredEvent]) -> tuple[str, str]:
    """Whose subscription it is, and of which module, by the oldest that says so; empty where none does."""
    user_id = next((one.user_id for one in known if one.user_id), "")
    return user_id, next((one.product_id for one in known if one.product_id), "")


def _owner_of(event: Event | Unknown) -> tuple[str, str]:
    """Whose event it is, and of which module; where it does not say so, the others of its subscription do."""
    if event.user_id and event.product_id:
        return event.user_id, event.product_id
    stored = queries.stored_events(event.subscription_id or "")
    user_id, product_id = _owner([one for one in stored if not one.conflict])
    return event.user_id or user_id, event.product_id or product_id


def _locked_merchant_and_module(
    user_id: str, product_id: str
) -> tuple[Merchant | None, Module | None]:
    """The merchant and the module of an event, as far as known here.

    The merchant is locked before its events are looked at: two deliveries go one after the other.
    """
    merchants = Merchant.objects.select_for_update(no_key=True)
    merchant = merchants.filter(evotor_user_id__iexact=user_id).first() if user_id else None
    # Compared as text: the market's documented sample is no uuid. The secrets are not needed.
    modules = Module.objects.defer("app_tokens", "basic_auth")
    by_product = {str(row.market_product_id): row for row in modules}
    return merchant, by_product.get(product_id)


def _installation_event(delivery: Delivery, payload: object, at: datetime) -> Outcome:
    dropped: list[str] = []
    event = parse_installation_event(payload, dropped)
    if isinstance(event, Unknown):
        return _parked(Problem.UNKNOWN_TYPE, event.type)
    if not queries.is_believed(delivery):
        is_known = InstallationEvent.objects.filter(event_id=event.id).exists()
        return Outcome(REPEAT) if is_known else _parked(Problem.UNPROVED, UNPROVED)
    merchant, module = _locked_merchant_and_module(event.user_id, event.product_id)
    row, _ = InstallationEvent.objects.get_or_create(
        event_id=event.id,
        defaults={
            "delivery": delivery,
            "user_id": event.user_id,
            "product_id": event.product_id,
            "type": event.type,
            "occurred_at": event.at,
        },
    )
    if row.delivery_id != delivery.pk:  # another delivery has brought it already
        return Outcome(REPEAT)
    _requeue_unproved(delivery, event)
    if merchant is None:
        return _parked(Problem.UNKNOWN_USER, event.user_id)
    if module is None:
        return _parked(Problem.UNKNOWN_PRODUCT, event.product_id)
    services.rebuild_installations(merchant=merchant, module=module, at=at)
    answer_market_requests(
        merchant_id=merchant.pk,
        module=module,
        kinds=[Kind.INSTALL if event.installed else Kind.REMOVE],
        occurred_at=event.at,
        charged_kopecks=None,
        at=at,
    )
    return _done_without(delivery, dropped, at)


def _inventory(delivery: Delivery, payload: object, at: datetime) -> Outcome:
    """A list of shops or terminals. It may be only a part, so the cloud is asked for the whole."""
    owners = row_owners(payload) - {""}
    if not delivery.user_id and len(owners) == 1:
        delivery.user_id = next(iter(owners))
        delivery.save(update_fields=["user_id"])
    if {owner.upper() for owner in owners} - {delivery.user_id.upper()}:
        return _parked(Problem.FOREIGN_ROWS, delivery.user_id)
    merchant = queries.merchant_of(delivery.user_id)
    if merchant is None:
        return _parked(Problem.UNKNOWN_USER, delivery.user_id)
    dropped: list[str] = []
    if delivery.hook == Hook.DEVICES:
        devices = parse_devices(payload, dropped)
        services.keep_terminals(merchant=merchant, devices=devices, at=at, whole=False)
    else:
        stores = parse_stores(payload, dropped)
        services.keep_shops(merchant=merchant, stores=stores, at=at, whole=False)
    enqueue_on_commit("evotor.sync", merchant_id=merchant.pk)
    return _done_without(delivery, dropped, at)


def _done_without(delivery: Delivery, dropped: list[str], at: datetime) -> Outcome:
    """Done; what was odd and left out is a note, and one alert for each kind of it."""
    if not dropped:
        return Outcome()
    names = ", ".join(sorted(set(dropped)))
    note = f"Применено без непонятного: {names}."
    raise_alert(
        key=f"evotor.dropped.{delivery.hook}.{names}"[:150],
        text=f"Эвотор, {delivery.hook}: {note}",
        at=at,
        link=f"/admin/evotor/delivery/{delivery.pk}/change/",
    )
    return Outcome(note)


_HANDLERS: dict[Hook, Callable[[Delivery, object, datetime], Outcome]] = {
    Hook.SUBSCRIPTION: _subscription_event,
    Hook.INSTALLATION: _installation_event,
    Hook.DEVICES: _inventory,
    Hook.STORES: _inventory,
}
