"""F23 and F27: mass work with failures and a killed worker; poison in the queue."""

import base64
import json
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from bench import place, rows
from bench.named_house import QUICK, House
from bench.named_trial import Findings, Trial, until
from cabinet import clock
from cabinet.models import Alert
from cabinet.wake import ring
from operators import quota
from operators.models import OperatorAccount
from smartcards import reconcile
from smartcards.models import Command, SmartCard
from smartcards.states import CommandState
from subscriptions.models import Subscription

FAULTS = ("F23", "F27")
# Threads of the contract and what is begun beyond them.
MOST_IN_THE_AIR = 8 * 7
_FAILING = 20  # one card of so many the operator does not know


def mass(house: House, number: int) -> Findings:
    """F23: exact lists of done, failed and waiting; a repeat touches only the rest."""
    found = Findings()
    account = rows.account(
        "tmf640",
        house.sandbox,
        **{**QUICK, "concurrency": 8, "timeout_seconds": 10, "lease_seconds": 20},
    )
    rows.put(f"{house.sandbox}/limits/tmf640", {"delay_seconds": None})
    subscription = rows.merchant(number)
    cards = _undecided(account, subscription, number)
    known = [card for place_, card in enumerate(cards) if place_ % _FAILING]
    _tell(house, known)
    _ask_for_all(cards)
    ring("smartcards.dispatch", account_id=account.pk)
    mine = Command.objects.filter(account=account)
    done = mine.filter(state=CommandState.DONE)
    until(lambda: done.count() > number * 0.4, seconds=240, pause=0.2)
    house.kill("operators")
    middle = Counter(mine.values_list("state", flat=True))
    found.expect(sum(middle.values()) == number, f"{sum(middle.values())} commands after the kill")
    found.expect(middle[CommandState.QUEUED] > 0, "the worker was killed too late")
    repeated = reconcile.reconcile_merchant(merchant_id=subscription.merchant_id, at=clock.now())
    found.expect(repeated == 0, f"a repeat in the middle made {repeated} commands")
    house.again("operators")
    took = until(lambda: not _open(account.pk), seconds=300, pause=0.3)
    found.expect(took is not None, f"not over: {Counter(mine.values_list('state', flat=True))}")
    _finish_the_rest(found, house, subscription.merchant_id, account.pk)
    _lists(found, house, cards, {card.iccid for card in known})
    found.note(f"killed at {dict(sorted(middle.items()))}")
    return found


def _undecided(
    account: OperatorAccount, subscription: Subscription, number: int
) -> list[SmartCard]:
    """Nobody wishes them on yet: reconciliation, which runs meanwhile, leaves them alone."""
    with transaction.atomic():
        cards = rows.cards(account, subscription, number)
        SmartCard.objects.filter(account=account).update(
            wished_on=None, wished_at=None, wished_by=""
        )
    return cards


def _ask_for_all(cards: list[SmartCard]) -> None:
    """The wish and the command of every card at once, as a mass action."""
    with transaction.atomic():
        mine = SmartCard.objects.filter(account=cards[0].account)
        mine.update(
            wished_on=True, wished_at=clock.now(), wished_by="Анна", wished_by_kind="person"
        )
        rows.queue(cards)


def _open(account_id: int) -> bool:
    over = [CommandState.DONE, CommandState.FAILED, CommandState.CANCELLED]
    rest = Command.objects.filter(account_id=account_id).exclude(state__in=over)
    return rest.exclude(pk__in=_doubtful(account_id)).exists()


def _doubtful(account_id: int) -> "QuerySet[Command]":
    """In the air at the kill, of a card that the operator does not know: nobody can read what became of it,
    so it waits for staff. It is in the list of the waiting.
    """
    asked = Command.objects.filter(account_id=account_id, questions__gt=0)
    return asked.filter(state__in=[CommandState.CHECKING, CommandState.NEEDS_STAFF])


def _finish_the_rest(found: Findings, house: House, merchant_id: int, account_id: int) -> None:
    """What the kill left undone for sure comes again by itself; what was refused does not."""
    undone = Command.objects.filter(
        account_id=account_id, state="failed", error="transient"
    ).count()
    clock.advance(120)
    repeated = reconcile.reconcile_merchant(merchant_id=merchant_id, at=clock.now())
    found.expect(
        repeated <= undone, f"a repeat made {repeated} commands where {undone} were undone"
    )
    found.expect(
        until(lambda: not _open(account_id), seconds=60) is not None, "the rest is not over"
    )
    again = reconcile.reconcile_merchant(merchant_id=merchant_id, at=clock.now())
    found.expect(again == 0, f"a second repeat made {again} commands")


def _lists(found: Findings, house: House, cards: Sequence[SmartCard], known: set[str]) -> None:
    shown = rows.call("GET", f"{house.sandbox}/state/tmf640")["sims"]
    effects = {sim["iccid"]: [one["action"] for one in sim["effects"]] for sim in shown}
    wrong = {iccid: effects[iccid] for iccid in known if effects[iccid] != ["activate"]}
    found.expect(
        not wrong, f"{len(wrong)} cards without exactly one effect: {list(wrong.items())[:3]}"
    )
    ours = SmartCard.objects.filter(pk__in=[card.pk for card in cards])
    active = set(ours.filter(confirmed="active").values_list("iccid", flat=True))
    found.expect(active == known, f"{len(active ^ known)} cards are not in the right list")
    failed = Command.objects.filter(card__in=ours, state="failed").exclude(error="transient")
    refused = set(failed.values_list("card__iccid", flat=True))
    strangers = {card.iccid for card in cards} - known
    waiting = set(_doubtful(cards[0].account_id).values_list("card__iccid", flat=True))
    rest = (refused | waiting) ^ strangers
    found.expect(not rest, f"{len(rest)} cards are not in the lists of failed and waiting")
    found.expect(len(waiting) <= MOST_IN_THE_AIR, f"{len(waiting)} wait for their outcome")
    found.expect(failed.count() == len(refused), f"{failed.count()} refusals, {len(refused)} cards")
    found.note(
        f"done {len(active)}, failed {len(refused)}, waiting {len(waiting)}; one effect each, repeats add none"
    )


def _tell(house: House, cards: Sequence[SmartCard]) -> None:
    with requests.Session() as line, ThreadPoolExecutor(2) as both:

        def put(card: SmartCard) -> None:
            address = f"{house.sandbox}/state/tmf640/{card.iccid}"
            line.put(address, json={"msisdn": card.msisdn, "state": "inactive"}, timeout=20)

        list(both.map(put, cards))


# --- F27 ------------------------------------------------------------------------------------------


def poison(house: House) -> Findings:
    """F27: broken messages, tasks that always raise or die, a card that cannot be reconciled."""
    found, owner = Findings(), house.merchant(20)
    cards = owner.cards(6)
    database = urlsplit(settings.REDIS_URL).path
    redis = quota.client(house.servers.redis_url.removesuffix("/0") + database)
    for queue in ("default", "operators"):
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
    left = {queue: int(redis.execute_command("LLEN", queue)) for queue in ("default", "operators")}
    found.expect(max(left.values()) < 10, f"messages left in the queue: {left}")
    seconds = time.monotonic() - began - 3
    found.note(f"16 broken messages, 3 poison tasks: 6 clicks done in {seconds:.1f} s")
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


def trials(house: House, number: int) -> list[Trial]:
    """What is played with many commands and with poison."""
    return [
        Trial(
            "F27",
            "broken bodies in both queues, tasks that raise or die, a poison card",
            lambda: poison(house),
        ),
        Trial(
            "F23",
            f"{number} commands, 5 % refused, worker killed -9 in the middle",
            lambda: mass(house, number),
        ),
    ]
