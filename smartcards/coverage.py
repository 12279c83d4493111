"""Which cards are paid: chosen by the merchant, moved by us only when the number of places changes."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef

from cabinet import audit
from cabinet.actors import SYSTEM, Actor
from cabinet.models import Merchant
from cabinet.wake import wake
from smartcards import commands, lanes, queries, rules
from smartcards.models import Command, Coverage, SmartCard
from smartcards.rules import CardRefused
from smartcards.states import OPEN_COMMANDS, CommandKind, Confirmed
from subscriptions.models import Subscription
from subscriptions.queries import LiveSubscription


class NotEnoughPlaces(CardRefused):
    """More cards were chosen than are paid."""


@transaction.atomic
def choose_cards(*, merchant: Merchant, card_ids: Collection[int], by: Actor, at: datetime) -> None:
    """These cards are covered from now on, and no others.

    Raises NotAllowed, NotEnoughPlaces, or CardRefused for a card that is not the merchant's or is out
    of use. A working card that drops out is switched off as the person's own wish (never braked); one
    that was wished on and is chosen again comes back by itself.
    """
    rules.check_may_choose(by.role)
    Merchant.objects.select_for_update(no_key=True).get(pk=merchant.pk)
    chosen = set(card_ids)
    lives = _locked_lives(merchant, at)
    cards = {card.pk: card for card in _locked_cards(merchant)}
    if not chosen <= cards.keys():
        raise CardRefused("Такой смарт-карты у вас нет.")
    total = sum(live.paid_cards for live in lives)
    if len(chosen) > total:
        raise NotEnoughPlaces(
            f"Выбрано смарт-карт: {len(chosen)}, а оплачено: {total}. Снимите лишние отметки или увеличьте число карт."
        )
    # From here on the person's choice counts, and not what we once took away.
    Coverage.objects.filter(card__merchant=merchant, dropped=True).update(dropped=False)
    open_rows = {row.card_id: row for row in _open_rows(merchant)}
    dropped = sorted(open_rows.keys() - chosen)
    for card_id in dropped:
        _drop(open_rows[card_id], cards[card_id], by=by, at=at)
    _switch_off_dropped([cards[card_id] for card_id in dropped], by=by, at=at)
    free = _free_places(lives, [row for pk, row in open_rows.items() if pk in chosen])
    for card_id in sorted(chosen - open_rows.keys()):
        _cover(cards[card_id], free, by=by, at=at)
    wake("smartcards.reconcile_merchant", merchant_id=merchant.pk)


def settle_coverage(*, merchant: Merchant, at: datetime) -> None:
    """Keep the coverage in step with what is paid. Expects the caller's transaction.

    Cards of a subscription that ended move to free places of a live one; where nothing is live they
    keep their row, so that a later payment brings them back. Where fewer places are paid than taken, the
    cards that drop out are inactive ones first, then the last covered.
    """
    lives = _locked_lives(merchant, at)
    if not lives:
        return
    rows = _open_rows(merchant)
    living = {live.id for live in lives}
    taken: Counter[int] = Counter()
    homeless: list[Coverage] = []
    places = {live.id: live.paid_cards for live in lives}
    for row in sorted(rows, key=_keeps_first):
        if (
            row.subscription_id in living
            and taken[row.subscription_id] < places[row.subscription_id]
        ):
            taken[row.subscription_id] += 1
        else:
            homeless.append(row)
    free = Counter({pk: count - taken[pk] for pk, count in places.items()})
    for row in homeless:
        _rehouse(row, free, at=at)
    _give_back(merchant, free, at=at)


def _give_back(merchant: Merchant, free: Counter[int], *, at: datetime) -> None:
    """Cards that we took the place from, not a person, get it back when there is room again."""
    left = sum(count for count in free.values() if count > 0)
    if left <= 0:
        return
    covered = Coverage.objects.filter(card=OuterRef("card"), till=None)
    rows = Coverage.objects.filter(
        ~Exists(covered), card__merchant=merchant, card__wished_on=True, dropped=True
    )
    rows = rows.exclude(card__confirmed=Confirmed.RETIRED).select_related("card__account")
    waiting = {row.card_id: row.card for row in rows.order_by("since", "pk")}
    for card in list(waiting.values())[:left]:
        _cover(card, free, by=SYSTEM, at=at)


def _keeps_first(row: Coverage) -> tuple[bool, bool, datetime, int]:
    """Working cards keep their place before those that only should work, and these before the others;
    earlier covered before later.
    """
    works = row.card.confirmed == Confirmed.ACTIVE
    should = bool(row.card.wished_on) and row.card.confirmed != Confirmed.RETIRED
    return (not works, not should, row.since, row.pk)


def _rehouse(row: Coverage, free: Counter[int], *, at: datetime) -> None:
    """To a free place of what pays; where there is none the card drops out till there is one."""
    place = next((pk for pk, count in free.items() if count > 0), None)
    if place is not None:
        free[place] -= 1
        _close(row, at)
        Coverage.objects.create(card=row.card, subscription_id=place, since=at)
        return
    _drop(row, row.card, by=SYSTEM, at=at)


def lock_places(merchant: Merchant) -> None:
    """Nobody else changes what is paid, or for which card, till the end of the transaction."""
    Merchant.objects.select_for_update(no_key=True).get(pk=merchant.pk)
    _lock_subscriptions(merchant)


def leave_place(card: SmartCard, *, at: datetime) -> int | None:
    """The card is covered no longer; returns the subscription that paid for it, None where none did.

    Expects the locks of `lock_places` and of the card; the journal is the caller's.
    """
    row = Coverage.objects.filter(card=card, till=None).first()
    if row is None:
        return None
    _close(row, at)
    return row.subscription_id


def take_place(card: SmartCard, *, like: int, at: datetime) -> bool:
    """Cover the card by a free place, of the subscription `like` if it has one. Returns whether it is.

    Where none is live, a place of `like` waits for its payment. Locks and journal as `leave_place`.
    """
    if card.merchant is None:
        return False
    rows = _open_rows(card.merchant)
    if any(row.card_id == card.pk for row in rows):
        return True
    lives = queries.live_of(card.merchant, at)
    free = _free_places(lives, rows) if lives else _places_kept(like, rows)
    chosen = sorted((pk for pk, count in free.items() if count > 0), key=lambda pk: pk != like)
    if not chosen:
        return False
    _settled(card)
    Coverage.objects.create(card=card, subscription_id=chosen[0], since=at)
    return True


def _places_kept(subscription_id: int, rows: Collection[Coverage]) -> Counter[int]:
    """Places of a subscription that has ended: its cards come back with the next payment."""
    ended = Subscription.objects.get(pk=subscription_id)
    taken = sum(row.subscription_id == ended.pk for row in rows)
    return Counter({ended.pk: ended.paid_cards - taken})


def _locked_lives(merchant: Merchant, at: datetime) -> Sequence[LiveSubscription]:
    _lock_subscriptions(merchant)
    return queries.live_of(merchant, at)


def _lock_subscriptions(merchant: Merchant) -> None:
    list(
        Subscription.objects.select_for_update(of=("self",))
        .filter(merchant=merchant)
        .order_by("pk")
        .values_list("pk")
    )


def _locked_cards(merchant: Merchant) -> list[SmartCard]:
    cards = SmartCard.objects.of(merchant).select_for_update(of=("self",))
    return list(cards.select_related("account").order_by("pk"))


def _open_rows(merchant: Merchant) -> list[Coverage]:
    rows = Coverage.objects.filter(card__merchant=merchant, till=None)
    return list(rows.select_related("card__account").order_by("since", "pk"))


def _free_places(lives: Sequence[LiveSubscription], kept: Collection[Coverage]) -> Counter[int]:
    taken = Counter(row.subscription_id for row in kept)
    return Counter({live.id: live.paid_cards - taken[live.id] for live in lives})


def _settled(card: SmartCard) -> None:
    """The card has a place: what was once taken from it is made good."""
    Coverage.objects.filter(card=card, dropped=True).update(dropped=False)


def _cover(card: SmartCard, free: Counter[int], *, by: Actor, at: datetime) -> None:
    if card.withdrawn_because:
        raise CardRefused(
            f"Смарт-карта …{card.iccid[-4:]} выведена из работы, платить за неё незачем."
        )
    # There is one: whoever calls has counted them under the same locks.
    place = next(pk for pk, count in free.items() if count > 0)
    free[place] -= 1
    _settled(card)
    Coverage.objects.create(card=card, subscription_id=place, since=at)
    audit.record(
        target=card,
        action="covered",
        text="Смарт-карта выбрана для оплаты",
        by=by,
        at=at,
        merchant_id=card.merchant_id,
    )


def _drop(row: Coverage, card: SmartCard, *, by: Actor, at: datetime) -> None:
    row.dropped = by is SYSTEM
    _close(row, at)
    audit.record(
        target=card,
        action="uncovered",
        text="Смарт-карта больше не оплачивается",
        by=by,
        at=at,
        merchant_id=card.merchant_id,
        reason="" if by is not SYSTEM else "оплачено меньше карт, чем было выбрано",
    )


def _close(row: Coverage, at: datetime) -> None:
    row.till = max(at, row.since)
    row.save(update_fields=["till", "dropped"])


def _switch_off_dropped(cards: Sequence[SmartCard], *, by: Actor, at: datetime) -> None:
    """Those that work, as one deed of the person: a few are clicks, many are mass work."""
    busy = Command.objects.filter(card__in=cards, state__in=OPEN_COMMANDS)
    held = set(busy.values_list("card_id", flat=True))
    working = [card for card in cards if card.confirmed == Confirmed.ACTIVE and card.pk not in held]
    origin = rules.origin_of_a_choice(len(working))
    # The queues of several contracts in one order, as reconcile takes them.
    for card in sorted(working, key=lambda card: (card.account_id, card.pk)):
        commands.create(
            card=card,
            kind=CommandKind.DEACTIVATE,
            origin=origin,
            by=by,
            at=at,
            reason="больше не оплачивается",
            ring=False,
        )
    for account in {card.account for card in working}:
        lanes.wake_up(account, origin)
