"""F27: poison in the queue, in the inbox and among the cards; memory that runs out."""

import base64
import json
import time
import uuid

import requests
from django.conf import settings

from bench import fault_points
from bench.faults import scenario
from bench.harness import Harness, fresh
from bench.people import Person
from bench.timing import timed, until
from cabinet import clock
from cabinet.inbox.processing import MOST_ATTEMPTS
from cabinet.models import Alert
from cabinet.tasks.task_queue import enqueue_now
from operators.limits import quota
from smartcards.models import SmartCard
from subscriptions import demo
from subscriptions.evotor.models import Delivery


@scenario("F27", "broken bodies in every queue, tasks that raise or die, a poison card")
def poison(harness: Harness) -> str:
    """Broken messages, tasks that always raise or die, a card that cannot be reconciled."""
    owner = harness.owner(20)
    cards = harness.cards(owner, 6)
    redis = quota.client(settings.REDIS_URL)
    queues = settings.CELERY_TASK_QUEUES_NAMES
    for queue in queues:
        for body in _broken_messages(queue):
            redis.lpush(queue, body)
    for task in ("bench.raises", "bench.dies", "bench.raises"):
        enqueue_now(task)
    enqueue_now("smartcards.dispatch", account_id=-1)
    enqueue_now("smartcards.reconcile_merchant", merchant_id="нет")
    for card in cards:
        owner.activate(card)
    took = harness.finish(cards, "activate", seconds=40)
    time.sleep(3)
    died = harness.processes.died()
    assert not died, f"broken messages ended {', '.join(died)}"
    left = {queue: int(redis.execute_command("LLEN", queue)) for queue in queues}
    assert max(left.values()) < 10, f"messages left in the queue: {left}"
    _poison_card(harness, owner)
    return (
        f"{8 * len(left)} broken messages, 3 poison tasks: 6 clicks done in {took:.1f} s;"
        " a card that cannot be reconciled: the other 4 done, one alert for staff"
    )


def _broken_messages(queue: str) -> list[str]:
    """Bodies that no Celery would send."""
    delivery = {
        "correlation_id": "x",
        "delivery_mode": 2,
        "priority": 0,
        "body_encoding": "base64",
        "delivery_info": {"exchange": "", "routing_key": queue},
        "delivery_tag": str(uuid.uuid4()),
    }
    headers = {"lang": "py", "task": "smartcards.sweep", "id": str(uuid.uuid4())}
    whole = {
        "body": base64.b64encode(b"[[], {}, {}]").decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": delivery,
    }
    broken: list[object] = [
        {**whole, "headers": {**headers, "task": "nobody.knows"}},
        {**whole, "content-type": "application/x-python-serialize"},
        {**whole, "body": "ключ"},
        {**whole, "headers": {}},
        {},
        [],
    ]
    return [*map(json.dumps, broken), "не JSON", ""]


def _poison_card(harness: Harness, owner: Person) -> None:
    """A card whose command can never be written steps aside, staff are alerted, the others go on."""
    cards = harness.cards(owner, 5)
    bad = cards[2].pk
    with harness.servers.refusing_writes(
        "BEFORE INSERT", f"NEW.card_id = {bad}", "P0001", level="ROW"
    ):
        mine = SmartCard.objects.filter(pk__in=[card.pk for card in cards])
        mine.update(
            desired_on=True, desired_at=clock.now(), desired_by="Анна", desired_by_kind="person"
        )
        enqueue_now("smartcards.reconcile_merchant", merchant_id=owner.subscription.merchant_id)
        active = mine.filter(confirmed="active")
        until(lambda: active.count() == 4, "a card that fails held the others up", seconds=30)
        alerts = Alert.objects.filter(key=f"reconcile:{bad}", closed_at=None).count()
    assert alerts == 1, f"{alerts} alerts for staff about it"


# --- the inbox ------------------------------------------------------------------------------------


@scenario("F27", "an event that takes all memory (RLIMIT_AS), one that kills its process")
def out_of_memory(harness: Harness) -> str:
    """Each time that it is processed: both are put before staff, other merchants' events go on."""
    demo.seed(clock.now())
    marks = (fault_points.EATS_MEMORY, fault_points.KILLS_PROCESS)
    poisons = [_deliver(harness, mark) for mark in marks]
    user_id = f"01-{980_000_000_000_000 + int(clock.real_now().timestamp()):015}"
    took = timed(lambda: harness.bought(user_id))
    # What only the sweep can find, and what waits behind the poison there.
    mine = Delivery.objects.filter(user_id=user_id)
    mine.update(state=Delivery.State.NEW)
    enqueue_now("evotor.sweep")
    rest = mine.exclude(state=Delivery.State.DONE)
    until(lambda: fresh(lambda: not rest.exists()), "the sweep stops before the poison", seconds=40)
    tries = [_check_given_up(mark, pk) for mark, pk in zip(marks, poisons, strict=True)]
    return f"another merchant's purchase came in {took:.1f} s; put before staff after {tries} tries"


def _deliver(harness: Harness, mark: str) -> int:
    """A notification that the market really sends, with the mark in it; gives the delivery's id."""
    body = {"subscriptionId": str(uuid.uuid4()), "type": mark, "sequenceNumber": 1}
    answer = requests.post(
        f"{harness.product.web}/api/v1/subscription/event",
        json=body,
        headers={"Authorization": f"Bearer {settings.EVOTOR_APP_TOKENS[0]}"},
        timeout=20,
    )
    answer.raise_for_status()
    return Delivery.objects.filter(event_type=mark).latest("pk").pk


def _check_given_up(mark: str, pk: int) -> int:
    """Tried again and again until staff have it; gives the number of tries."""
    given_up = Delivery.objects.filter(pk=pk, state=Delivery.State.FAILED, next_try_at=None)

    def is_given_up() -> bool:
        clock.advance(3600)
        enqueue_now("evotor.sweep")
        return fresh(given_up.exists)

    until(is_given_up, f"{mark}: not given up", seconds=40, pause=1.0)
    alerts = Alert.objects.filter(key="evotor.failed.subscription/event", closed_at=None).count()
    assert alerts == 1, f"{mark}: {alerts} alerts for staff"
    tries = Delivery.objects.get(pk=pk).attempts
    assert tries <= MOST_ATTEMPTS, f"{mark}: {tries} tries"
    return tries
