"""Which cards are paid: chosen by the merchant, moved by us only when the number of paid slots changes."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, When

from cabinet import audit
from cabinet.actors import SYSTEM, Actor
from cabinet.models import Merchant
from cabinet.tasks.task_queue import enqueue_on_commit
from smartcards import commands, rules
from smartcards.models import Command, Coverage, SmartCard
from smartcards.rules import CardRefused
from smartcards.states import OPEN_COMMANDS, CommandKind, OperatorState
from subscriptions.models import Subscription
from subscriptions.queries import live_subscriptions, subscriptions_not_over

_SHOULD_WORK = Q(card__desired_on=True) & ~Q(card__confirmed=OperatorState.RETIRED)
# Working cards keep their slot before those that only should work, and these before the others;
# earlier covered before later.
_KEEPS_FIRST = (
    Case(When(card__confirmed=OperatorState.ACTIVE, then=0), default=1),
    Case(When(_SHOULD_WORK, then=0), default=1),
    "since",
    "pk",
)


class NotEnoughSlots(CardRefused):
    """More cards were chosen than are paid."""


@transaction.atomic
def choose_cards(*, merchant: Merchant, card_ids: Collection[int], by: Actor, at: datetime) -> None:
    """These cards are covered from now on, and no others.

    Raises NotAllowed, NotEnoughSlots, or CardRefused for a card that is not the merchant's or is out
    of use. A working card that drops out is switched off as the person's own decision (never braked);
    one that is desired on and is chosen again comes back by itself.
    """
    rules.check_may_choose(by.role)
    lock_slots(merchant)
    chosen = set(card_ids)
    locked = SmartCard.objects.of(merchant).select_for_update(of=("self",))
    cards = {card.pk: card for card in locked.select_related("account").order_by("pk")}
    if not chosen <= cards.keys():
        raise CardRefused("Такой смарт-карты у вас нет.")
    free = _paid_slots(merchant, at)
    total = sum(free.values())
    if len(chosen) > total:
        raise NotEnoughSlots(
            f"Выбрано смарт-карт: {len(chosen)}, а оплачено: {total}. Снимите лишние отметки или увеличьте число карт."
        )
    # From here on the person's choice counts, and not what we once took away.
    Coverage.objects.filter(card__merchant=merchant, dropped=True).update(dropped=False)
    open_rows = {row.card_id: row for row in _open_rows(merchant)}
    left_out = sorted(open_rows.keys() - chosen)
    for card_id in left_out:
        _drop(open_rows.pop(card_id), by=by, at=at)
    _switch_off([cards[card_id] for card_id in left_out], by=by, at=at)
    free.subtract(row.subscription_id for row in open_rows.values())
    for card_id in sorted(chosen - open_rows.keys()):
        _cover(cards[card_id], free, by=by, at=at)
    enqueue_on_commit("smartcards.reconcile_merchant", merchant_id=merchant.pk)


def lock_slots(merchant: Merchant) -> None:
    """Nobody else changes what is paid, or for which card, until the end of the transaction."""
    Merchant.objects.select_for_update(no_key=True).get(pk=merchant.pk)
    rows = Subscription.objects.select_for_update(of=("self",)).filter(merchant=merchant)
    list(rows.order_by("pk").values_list("pk"))


def settle_coverage(*, merchant: Merchant, at: datetime) -> None:
    """Keep the coverage in step with what is paid. Expects the locks of `lock_slots`.

    Cards of a subscription that ended move to free slots of a live one; where nothing is live they
    keep their row, so that a later payment brings them back. Where fewer slots are paid than taken,
    inactive cards drop out first, then the last covered. A card whose slot we took, and not a person,
    gets one back when there is room again. What is paid from later on keeps its cards too: a clock
    that steps back takes nothing away.
    """
    free = _paid_slots(merchant, at)
    if not free:
        return
    kept = _kept_slots(merchant, at)
    stranded = []
    for row in _open_rows(merchant).order_by(*_KEEPS_FIRST):
        if kept[row.subscription_id] > 0:
            kept[row.subscription_id] -= 1
            free[row.subscription_id] = max(0, free[row.subscription_id] - 1)
        else:
            stranded.append(row)
    for row in stranded:
        if sum(free.values()):
            _close(row, at)
            Coverage.objects.create(card=row.card, subscription_id=_take(free), since=at)
        else:
            _drop(row, by=SYSTEM, at=at)
    if sum(free.values()):
        _give_back(merchant, free, at=at)


def _give_back(merchant: Merchant, free: Counter[int], *, at: datetime) -> None:
    covered = Coverage.objects.filter(card=OuterRef("card"), till=None)
    rows = Coverage.objects.filter(
        ~Exists(covered), card__merchant=merchant, card__desired_on=True, dropped=True
    )
    rows = rows.exclude(card__confirmed=OperatorState.RETIRED).select_related("card__account")
    waiting = {row.card_id: row.card for row in rows.order_by("since", "pk")}
    for card in list(waiting.values())[: sum(free.values())]:
        _cover(card, free, by=SYSTEM, at=at)


def free_slot(card: SmartCard, *, at: datetime) -> int | None:
    """The card is covered no longer; returns the subscription that paid for it, None where none did.

    Expects the locks of `lock_slots` and of the card; the audit log is the caller's.
    """
    row = Coverage.objects.filter(card=card, till=None).first()
    if row is None:
        return None
    _close(row, at)
    return row.subscription_id


def occupy_slot(card: SmartCard, *, like: int, at: datetime) -> bool:
    """Cover the card by a free slot, of the subscription `like` if it has one. Returns whether it is.

    Where none is live, a slot of `like` waits for its payment. Locks and audit log as `free_slot`.
    """
    if card.merchant is None:
        return False
    rows = _open_rows(card.merchant)
    if any(row.card_id == card.pk for row in rows):
        return True
    free = _paid_slots(card.merchant, at)
    if not free:
        free[like] = Subscription.objects.get(pk=like).paid_cards
    free.subtract(row.subscription_id for row in rows)
    chosen = like if free[like] > 0 else next((pk for pk, count in free.items() if count > 0), None)
    if chosen is None:
        return False
    Coverage.objects.filter(card=card, dropped=True).update(dropped=False)
    Coverage.objects.create(card=card, subscription_id=chosen, since=at)
    return True


def _open_rows(merchant: Merchant) -> QuerySet[Coverage]:
    rows = Coverage.objects.filter(card__merchant=merchant, till=None)
    return rows.select_related("card").order_by("since", "pk")


def _paid_slots(merchant: Merchant, at: datetime) -> Counter[int]:
    """Paid cards by live subscription, the one that lasts longest first; empty where none is live."""
    rows = live_subscriptions(at).filter(merchant=merchant)
    longest_first = rows.order_by(F("entitled_until").desc(nulls_first=True), "-pk")
    return Counter(dict(longest_first.values_list("pk", "cards_now")))


def _kept_slots(merchant: Merchant, at: datetime) -> Counter[int]:
    """How many cards each subscription keeps covered, also one that has not begun by our clock."""
    rows = subscriptions_not_over(at).filter(merchant=merchant)
    return Counter(dict(rows.values_list("pk", "cards_kept")))


def _take(free: Counter[int]) -> int:
    """One of the free slots; the caller has seen that there is one."""
    chosen = next(pk for pk, count in free.items() if count > 0)
    free[chosen] -= 1
    return chosen


def _cover(card: SmartCard, free: Counter[int], *, by: Actor, at: datetime) -> None:
    if card.withdrawn_because:
        raise CardRefused(
            f"Смарт-карта …{card.iccid[-4:]} выведена из работы, платить за неё незачем."
        )
    # What was once taken from the card is made good.
    Coverage.objects.filter(card=card, dropped=True).update(dropped=False)
    Coverage.objects.create(card=card, subscription_id=_take(free), since=at)
    audit.record(card, "covered", "Смарт-карта выбрана для оплаты", by=by, at=at)


def _drop(row: Coverage, *, by: Actor, at: datetime) -> None:
    row.dropped = by is SYSTEM
    _close(row, at)
    audit.record(
        row.card,
        "uncovered",
        "Смарт-карта больше не оплачивается",
        by=by,
        at=at,
        reason="" if by is not SYSTEM else "оплачено меньше карт, чем было выбрано",
    )


def _close(row: Coverage, at: datetime) -> None:
    row.till = max(at, row.since)
    row.save(update_fields=["till", "dropped"])


def _switch_off(cards: Sequence[SmartCard], *, by: Actor, at: datetime) -> None:
    """Those that work, as one action of the person: a few are clicks, many are mass work."""
    busy = Command.objects.filter(card__in=cards, state__in=OPEN_COMMANDS)
    held = set(busy.values_list("card_id", flat=True))
    working = [
        card for card in cards if card.confirmed == OperatorState.ACTIVE and card.pk not in held
    ]
    origin = rules.origin_of_a_choice(len(working))
    # In the order in which reconcile locks the queues of several contracts.
    for card in sorted(working, key=lambda card: (card.account_id, card.pk)):
        commands.create(
            card=card,
            kind=CommandKind.DEACTIVATE,
            origin=origin,
            by=by,
            at=at,
            reason="больше не оплачивается",
            wake_dispatcher=False,
        )
    for account in {card.account for card in working}:
        enqueue_on_commit("smartcards.dispatch", account_id=account.pk)
