"""F27: poison in the queue, in the inbox and among the cards; memory that runs out."""

import base64
import json
import time
import uuid
from collections.abc import Callable
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.db import close_old_connections

from bench import named_steps, place
from bench.named_house import House
from bench.named_killed import act, mortal_worker, played_market
from bench.named_trial import Findings, Trial, until
from cabinet import clock
from cabinet.models import Alert
from cabinet.wake import ring
from operators import quota
from smartcards.models import SmartCard
from subscriptions import demo
from subscriptions.evotor import inbox
from subscriptions.evotor.models import Delivery
from subscriptions.models import Subscription

FAULTS = ("F27",)


def poison(house: House) -> Findings:
    """F27: broken messages, tasks that always raise or die, a card that cannot be reconciled."""
    found, owner = Findings(), house.merchant(20)
    cards = owner.cards(6)
    database = urlsplit(settings.REDIS_URL).path
    redis = quota.client(house.servers.redis_url.removesuffix("/0") + database)
    for queue in settings.CELERY_TASK_QUEUES_NAMES:
        for body in _broken(queue):
            redis.lpush(queue, body)
    for task in ("bench.raises", "bench.dies", "bench.raises"):
        ring(task)
    ring("smartcards.dispatch", account_id=-1)
    ring("smartcards.reconcile_merchant", merchant_id="нет")
    began = time.monotonic()
    for card in cards:
        owner.activate(card)
    took = house.settled(cards, seconds=40)
    time.sleep(3)
    died = house.died()
    found.expect(not died, f"broken messages ended {', '.join(sorted(set(died)))}")
    if died:
        house.wait_until_ready()
    found.expect(took is not None, "the queue stood still for 40 s")
    found.expect(house.settled(cards, seconds=60) is not None, "not settled at all")
    found.wrong += house.books(cards, ["activate"])
    left = {
        queue: int(redis.execute_command("LLEN", queue))
        for queue in settings.CELERY_TASK_QUEUES_NAMES
    }
    found.expect(max(left.values()) < 10, f"messages left in the queue: {left}")
    seconds = time.monotonic() - began - 3
    found.note(f"{8 * len(left)} broken messages, 3 poison tasks: 6 clicks done in {seconds:.1f} s")
    _poison_card(found, house)
    return found


def _broken(queue: str) -> list[str]:
    """Bodies that no Celery would send."""
    whole = {
        "body": base64.b64encode(b"[[], {}, {}]").decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": "smartcards.sweep", "id": str(uuid.uuid4())},
        "properties": {
            "correlation_id": "x", "delivery_mode": 2, "priority": 0, "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": queue}, "delivery_tag": str(uuid.uuid4()),
        },
    }  # fmt: skip
    unknown = {**whole, "headers": {**whole["headers"], "task": "nobody.knows"}}  # type: ignore[dict-item]
    pickled = {**whole, "content-type": "application/x-python-serialize"}
    undecodable = {**whole, "body": "ключ"}
    bare = {**whole, "headers": {}}
    broken: list[object] = [unknown, pickled, undecodable, bare, {}, []]
    return [json.dumps(one) for one in broken] + [
        "не JSON",
        "",
    ]


def _poison_card(found: Findings, house: House) -> None:
    """A card whose command can never be written steps aside, staff are told, the others go on."""
    owner = house.merchant(5)
    cards = owner.cards(5)
    bad = cards[2].pk
    poison_of_the_card = f"""
        CREATE FUNCTION bench_poison() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.card_id = {bad} THEN RAISE EXCEPTION 'poison'; END IF; RETURN NEW; END $$;
        CREATE TRIGGER bench_poison BEFORE INSERT ON smartcards_command
          FOR EACH ROW EXECUTE FUNCTION bench_poison();
    """
    house.servers.tell_postgres(poison_of_the_card, database=place.DATABASE)
    try:
        mine = SmartCard.objects.filter(pk__in=[card.pk for card in cards])
        mine.update(
            wished_on=True, wished_at=clock.now(), wished_by="Анна", wished_by_kind="person"
        )
        ring("smartcards.reconcile_merchant", merchant_id=owner.subscription.merchant_id)
        on = until(lambda: mine.filter(confirmed="active").count() == 4, seconds=30)
        told = Alert.objects.filter(key=f"reconcile:{bad}", closed_at=None).count()
    finally:
        house.servers.tell_postgres(
            "DROP TRIGGER bench_poison ON smartcards_command", "DROP FUNCTION bench_poison()",
            database=place.DATABASE,
        )  # fmt: skip
    found.expect(on is not None, "a card that cannot be reconciled held the others up")
    found.expect(told == 1, f"{told} matters for staff about it")
    found.note("a card that cannot be reconciled: the other 4 done, one matter for staff")


# --- the inbox ------------------------------------------------------------------------------------


def out_of_memory(house: House) -> Findings:
    """F27: one event takes all the memory each time, one ends its process: dead letters, others go on."""
    found = Findings()
    demo.seed(clock.now())
    with played_market(house) as market, mortal_worker(house):
        poisons = {word: _deliver(house, word) for word in (named_steps.EATS, named_steps.DIES)}
        began = time.monotonic()
        user_id = f"01-{980_000_000_000_000 + int(clock.real_now().timestamp()):015}"
        act(market, "install", user_id, deviceNumber=1)
        bought = Subscription.objects.filter(merchant__evotor_user_id=user_id)
        arrived = until(lambda: _fresh(bought.exclude(paid_until=None).exists), seconds=40)
        found.expect(arrived is not None, "another merchant's purchase was held up")
        found.note(f"another merchant's purchase came in {time.monotonic() - began:.1f} s")
        _behind_the_poison(found, user_id)
        for word, pk in poisons.items():
            _dead_letter(found, word, pk)
    return found


def _fresh(question: Callable[[], bool]) -> bool:
    close_old_connections()
    return question()


def _deliver(house: House, word: str) -> int:
    """A notification that the market really sends, with the word in it."""
    body = {"subscriptionId": str(uuid.uuid4()), "type": word, "sequenceNumber": 1}
    answer = requests.post(
        f"http://127.0.0.1:{house.port}/api/v1/subscription/event",
        json=body,
        headers={"Authorization": f"Bearer {settings.EVOTOR_APP_TOKENS[0]}"},
        timeout=20,
    )
    answer.raise_for_status()
    return Delivery.objects.filter(event_type=word).latest("pk").pk


def _behind_the_poison(found: Findings, user_id: str) -> None:
    """What only the sweep can find, and that stands in its line behind the poison."""
    mine = Delivery.objects.filter(user_id=user_id)
    mine.update(state=Delivery.State.NEW)
    ring("evotor.sweep")
    swept = until(
        lambda: _fresh(lambda: not mine.exclude(state=Delivery.State.DONE).exists()), seconds=40
    )
    found.expect(swept is not None, "the sweep never came to what stands behind the poison")


def _dead_letter(found: Findings, word: str, pk: int) -> None:
    row = Delivery.objects.filter(pk=pk)

    def given_up() -> bool:
        close_old_connections()
        clock.advance(3600)
        ring("evotor.sweep")
        return row.filter(state=Delivery.State.FAILED, next_try_at=None).exists()

    over = until(given_up, seconds=40, pause=1.0)
    one = row.get()
    found.expect(over is not None, f"{word}: not given up, {one.attempts} tries counted")
    told = Alert.objects.filter(key=f"evotor.delivery.{pk}", closed_at=None).count()
    found.expect(told == 1, f"{word}: {told} matters for staff")
    found.expect(one.attempts <= inbox.MOST_ATTEMPTS, f"{word}: {one.attempts} tries")
    found.note(f"{word}: put before staff after {one.attempts} tries")


def trials(house: House) -> list[Trial]:
    """What is played with poison."""
    return [
        Trial(
            "F27",
            "broken bodies in every queue, tasks that raise or die, a poison card",
            lambda: poison(house),
        ),
        Trial(
            "F27",
            "an event that takes all memory (RLIMIT_AS), one that kills its process",
            lambda: out_of_memory(house),
        ),
    ]
