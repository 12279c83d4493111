"""Compare what should be with what is, and queue what is missing. Twice is once.

The database finds what differs, for all merchants at once; commands are queued in batches, each in a
transaction of its own. What the brake holds back, and what waits for a received payment to be processed,
is not found at all.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, cast

from celery.exceptions import SoftTimeLimitExceeded
from django.db import DatabaseError, OperationalError, transaction
from django.db.models import Q

from cabinet.actors import SYSTEM
from cabinet.messaging import alerts
from cabinet.models import Merchant
from cabinet.tasks import advisory_lock
from cabinet.tasks.lock_timeout import limit_lock_waits
from cabinet.tasks.task_queue import enqueue_on_commit
from operators.models import SECRETS
from smartcards import commands, queries, rules, safety_brake
from smartcards.models import Command, SmartCard
from smartcards.reconciliation import out_of_step, paid_slots
from smartcards.states import AlertKind, CommandKind, OffReason, Origin
from smartcards.texts import OFF_REASONS

logger = logging.getLogger(__name__)

# How far back the quick sweep looks for ended subscriptions; the full one looks at everything.
JUST_ENDED = timedelta(minutes=10)
# After so many failures in a row staff are alerted, though we go on trying.
FAILURES_TO_ALERT = 4
# So many cards are switched in one transaction.
BATCH_SIZE = 200
# Seconds that one merchant's wake-up, the quick sweep, and the sweep of everybody may take; what is
# left is queued by the next.
MERCHANT_SECONDS, ENDED_SECONDS, SWEEP_SECONDS = 5.0, 5.0, 20.0
# Seconds; a row that somebody else holds for longer is left to the next sweep.
_LOCK_PATIENCE = 2.0

_SECRETS = tuple(f"account__{name}" for name in SECRETS)


@dataclass(frozen=True)
class _Switch:
    """What a card lacks, and in whose name it gets it."""

    kind: CommandKind
    origin: Origin
    reason: str


_ON = _Switch(CommandKind.ACTIVATE, Origin.PAID, "оплата есть, смарт-карта должна работать")
# A switch-off that a person asked for stays that person's, however late it is sent; many of a merchant's are
# mass work, now as then.
_OFF_AS_ASKED = _Switch(CommandKind.DEACTIVATE, Origin.PERSON, "")
_OFF_MANY = _Switch(CommandKind.DEACTIVATE, Origin.MASS, "")
_OFF_UNPAID = _Switch(CommandKind.DEACTIVATE, Origin.RECONCILE, OFF_REASONS[OffReason.UNPAID])


def _lacking(*, desired_on: bool | None, is_paid: bool) -> _Switch:
    """What a card of `out_of_step.due_cards` lacks."""
    if not desired_on:
        return _OFF_AS_ASKED
    return _ON if is_paid else _OFF_UNPAID


def reconcile_merchant(*, merchant_id: int, at: datetime) -> int:
    """Settle the coverage and queue the commands that the merchant's cards lack. Returns how many.

    Runs after every change of entitlement. What five seconds are not enough for goes on behind the wake-ups
    of others.
    """
    _settle(out_of_step.merchants_to_settle(at, among=[merchant_id]), at)
    if safety_brake.watch_restore(at=at).report_only_at is not None:
        return 0
    ends_at = time.monotonic() + MERCHANT_SECONDS
    queued = _queue_due([Q(merchant=merchant_id)], at, ends_at)
    if queued and time.monotonic() >= ends_at:
        enqueue_on_commit("smartcards.reconcile_merchant", merchant_id=merchant_id)
    return queued


def reconcile_just_ended(*, at: datetime) -> int:
    """Merchants whose paid time has just run out: the switch-off is due at that instant.

    Returns how many commands were queued; 0 while another process does the same.
    """
    with advisory_lock.only_one("smartcards.reconcile_just_ended") as ours:
        ended = out_of_step.merchants_just_ended(at, within=JUST_ENDED) if ours else set()
        if not ended:
            return 0
        _settle_each(out_of_step.merchants_to_settle(at, among=ended), at)
        if safety_brake.watch_restore(at=at).report_only_at is not None:
            return 0
        return _queue_due([Q(merchant__in=ended)], at, time.monotonic() + ENDED_SECONDS)


def reconcile_all(*, at: datetime, thorough: bool = False) -> int:
    """Everybody with a card out of step: a lost wake-up costs a minute.

    Then the alerts about what is well again are closed. Returns how many commands were queued; 0 while
    another process does the same. `thorough` looks at every card and every slot, and not only where
    something unusual is known: see `out_of_step.where_cards_may_differ`.
    """
    with advisory_lock.only_one("smartcards.reconcile_all") as ours:
        if not ours:
            return 0
        queued = _reconcile_all(at, thorough)
        _close_alerts_about_cards(at)
        return queued


def _reconcile_all(at: datetime, thorough: bool) -> int:
    among = None
    if not thorough:
        among = out_of_step.merchants_with_unpaid_cards(at)
        among |= out_of_step.merchants_just_ended(at, within=JUST_ENDED)
    _settle_each(out_of_step.merchants_to_settle(at, among=among), at)
    if safety_brake.watch_restore(at=at).report_only_at is not None:
        return 0
    where = [Q()] if thorough else out_of_step.where_cards_may_differ(at)
    return _queue_due(where, at, time.monotonic() + SWEEP_SECONDS)


# --- coverage -------------------------------------------------------------------------------------


def _settle_each(merchant_ids: Iterable[int], at: datetime) -> None:
    """One merchant after the other; a row that is locked for long never stops those behind it."""
    for pk in sorted(merchant_ids):
        try:
            _settle([pk], at)
        except DatabaseError:
            logger.exception("Could not reconcile merchant %s, the next sweep tries again", pk)


def _settle(merchant_ids: Iterable[int], at: datetime) -> None:
    for merchant in Merchant.objects.filter(pk__in=list(merchant_ids)).order_by("pk"):
        with transaction.atomic():
            limit_lock_waits(_LOCK_PATIENCE)
            paid_slots.lock_slots(merchant)
            paid_slots.settle_coverage(merchant=merchant, at=at)


# --- commands -------------------------------------------------------------------------------------


def _queue_due(where: Sequence[Q], at: datetime, ends_at: float) -> int:
    """Queue what these cards lack until the time is over; «on» before «off». Returns how many."""
    found = _due_ids(where, at)
    queued = 0
    for switch in (_ON, _OFF_AS_ASKED, _OFF_MANY, _OFF_UNPAID):
        card_ids = found.get(switch, [])
        for begin in range(0, len(card_ids), BATCH_SIZE):
            if time.monotonic() >= ends_at:
                return queued
            if switch is _OFF_UNPAID and queries.is_braked(queries.brake_now()):
                return queued
            queued += _queue_safely(card_ids[begin : begin + BATCH_SIZE], switch, at, ends_at)
    return queued


def _due_ids(where: Sequence[Q], at: datetime) -> dict[_Switch, list[int]]:
    """The cards by what they lack, merchants in turn: a chain never stands before one kiosk's card."""
    due = out_of_step.due_cards(at)
    found: dict[_Switch, set[_Row]] = {}
    for condition in where:
        rows = due.filter(condition).values_list(
            "merchant_id", "handed_at", "pk", "desired_on", "is_paid"
        )
        for merchant_id, handed_at, pk, desired_on, is_paid in rows:
            switch = _lacking(desired_on=desired_on, is_paid=is_paid)
            # Cards of nobody are not found, and a card of somebody has its time.
            row = _Row(merchant_id, cast("datetime", handed_at), pk)
            found.setdefault(switch, set()).add(row)
    _part_mass_work(found)
    return {switch: _in_turn(rows) for switch, rows in found.items()}


def _part_mass_work(found: dict[_Switch, set["_Row"]]) -> None:
    """Of what people asked for, the cards of merchants with many of them leave behind the clicks of others."""
    asked = found.pop(_OFF_AS_ASKED, set())
    numbers = Counter(row.merchant_id for row in asked)
    for row in asked:
        origin = rules.origin_of_a_choice(numbers[row.merchant_id])
        switch = _OFF_MANY if origin == Origin.MASS else _OFF_AS_ASKED
        found.setdefault(switch, set()).add(row)


class _Row(NamedTuple):
    """A card in the order of its merchant's cards."""

    merchant_id: int
    handed_at: datetime
    card_id: int


def _in_turn(rows: Iterable[_Row]) -> list[int]:
    """Each merchant's first card, then each merchant's second, and so on."""
    seen: Counter[int] = Counter()
    places: list[tuple[int, _Row]] = []
    for row in sorted(rows):
        places.append((seen[row.merchant_id], row))
        seen[row.merchant_id] += 1
    return [row.card_id for _place, row in sorted(places)]


def _queue_safely(card_ids: Sequence[int], switch: _Switch, at: datetime, ends_at: float) -> int:
    """How many got their command. Where the batch fails they go one by one, so that a card that breaks
    never stops the others; staff are alerted of it.
    """
    try:
        return _queue_batch(card_ids, switch, at)
    except SoftTimeLimitExceeded:
        # It is the task's time that is over, and no fault of a card: the next sweep goes on.
        raise
    except Exception as error:
        if len(card_ids) == 1:
            logger.exception("Could not reconcile card %s", card_ids[0])
            if not isinstance(
                error, OperationalError
            ):  # a lock that somebody holds is no fault of a card
                _alert_failed(card_ids[0], at)
            return 0
        logger.exception("Could not queue %s cards together, now one by one", len(card_ids))
    return sum(
        _queue_safely([pk], switch, at, ends_at) for pk in card_ids if time.monotonic() < ends_at
    )


@transaction.atomic
def _queue_batch(card_ids: Sequence[int], switch: _Switch, at: datetime) -> int:
    """One transaction: the brake first, then the cards, then the queue. Returns how many."""
    limit_lock_waits(_LOCK_PATIENCE)
    brake = safety_brake.lock_brake() if switch is _OFF_UNPAID else None
    cards: Sequence[SmartCard] = _repeatable(_locked_due(card_ids, switch, at), switch.kind, at)
    if brake is not None:
        cards = safety_brake.allowed_switch_offs(brake, cards, at)
    commands.create_many(
        cards=cards, kind=switch.kind, origin=switch.origin, by=SYSTEM, at=at, reason=switch.reason
    )
    for account_id in sorted({card.account_id for card in cards}):
        enqueue_on_commit("smartcards.dispatch", account_id=account_id)
    return len(cards)


def _locked_due(card_ids: Sequence[int], switch: _Switch, at: datetime) -> list[SmartCard]:
    """Those that still lack it now that nobody else can change them; held ones are passed over."""
    locked = SmartCard.objects.select_for_update(of=("self",), skip_locked=True).order_by("pk")
    free = list(locked.filter(pk__in=card_ids).values_list("pk", flat=True))
    due = out_of_step.due_cards(at).filter(pk__in=free).select_related("account").defer(*_SECRETS)
    lacking = _OFF_AS_ASKED if switch is _OFF_MANY else switch
    return [
        card
        for card in due.order_by("pk")
        if _lacking(desired_on=card.desired_on, is_paid=card.is_paid) is lacking
    ]


def _repeatable(cards: Sequence[SmartCard], kind: CommandKind, at: datetime) -> list[SmartCard]:
    """Without those that were refused and may not be tried again yet; staff read which are stuck."""
    failures = queries.failures_of_many(cards, kind, at)
    stuck = [card for card in cards if len(failures[card.pk]) >= FAILURES_TO_ALERT]
    known = alerts.open_targets(AlertKind.CARD_STUCK) if stuck else set()
    for card in stuck:
        if card.pk not in known:
            times = len(failures[card.pk])
            text = f"{card.account}: смарт-карта {card} не переключается, попыток: {times}."
            _alert(AlertKind.CARD_STUCK, card, text, at)
    return [card for card in cards if _may_repeat(failures[card.pk], at)]


def _may_repeat(failed: Sequence[Command], at: datetime) -> bool:
    if not failed or failed[0].finished_at is None:
        return True
    return rules.may_repeat(
        error=failed[0].error, failures=len(failed), failed_at=failed[0].finished_at, at=at
    )


def _alert_failed(card_id: int, at: datetime) -> None:
    card = SmartCard.objects.select_related("account").defer(*_SECRETS).get(pk=card_id)
    text = f"Сверка смарт-карты {card} не удалась, нужна помощь разработчика."
    _alert(AlertKind.RECONCILE_FAILED, card, text, at)


def _alert(kind: AlertKind, card: SmartCard, text: str, at: datetime) -> None:
    alerts.raise_about(
        kind,
        card.pk,
        text=text,
        at=at,
        merchant_id=card.merchant_id,
        link=f"/admin/smartcards/smartcard/{card.pk}/change/",
        can_wait=kind is AlertKind.CARD_STUCK,
    )


# --- alerts ---------------------------------------------------------------------------------------


def _close_alerts_about_cards(at: datetime) -> None:
    """«It does not switch» ends when the card is as it should be, «its reconcile broke» when it is past."""
    stuck = alerts.open_targets(AlertKind.CARD_STUCK)
    failed = alerts.open_targets(AlertKind.RECONCILE_FAILED)
    if not stuck and not failed:
        return
    rows = queries.with_facts(SmartCard.objects.filter(pk__in=stuck | failed))
    facts = {row.pk: queries.facts_of(row, at) for row in rows}
    still_stuck = {pk for pk, found in facts.items() if not rules.is_in_step(found)}
    still_due = {pk for pk, found in facts.items() if rules.next_command(found) is not None}
    close = partial(alerts.close_about, by=SYSTEM, at=at)
    close(AlertKind.CARD_STUCK, target_ids=stuck - still_stuck)
    close(AlertKind.RECONCILE_FAILED, target_ids=failed - still_due)


def alert_overdue(*, at: datetime) -> int:
    """Alert staff of every command that took longer than the operator's worst time. Returns how many."""
    late = queries.late_commands(at)
    for command in late:
        alerts.raise_about(
            AlertKind.COMMAND_LATE,
            command.pk,
            text=f"{command.account}: команда «{command}» идёт дольше обещанного.",
            at=at,
            merchant_id=command.card.merchant_id,
            link=f"/admin/smartcards/command/{command.pk}/change/",
            can_wait=True,
        )
    return len(late)
