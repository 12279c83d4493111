"""Which cards and merchants are not as they should be: found by the database, for everybody at once. Reads only.

`rules.next_command` decides the same for one card; a property test holds the two equal.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TypedDict

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django_stubs_ext import WithAnnotations

from smartcards.models import Command, Coverage, SmartCard
from smartcards.queries import (
    brake_now,
    coverage_not_over,
    is_braked,
    live_coverage,
    merchants_with_unprocessed_payment,
)
from smartcards.rules import FOREIGN_BLOCKS, MAY_BE_OFF, MAY_BE_ON
from smartcards.states import OPEN_COMMANDS, OperatorState
from subscriptions.models import Subscription
from subscriptions.queries import ending_before, live_subscriptions, subscriptions_not_over


class PaidMark(TypedDict):
    """What `cards_out_of_step` adds to a card."""

    is_paid: bool


def cards_out_of_step(
    at: datetime, *, with_automatic_off: bool = True, held: Collection[int] = ()
) -> "QuerySet[WithAnnotations[SmartCard, PaidMark]]":
    """Cards that `rules.next_command` has a command for, found by the database.

    Those that are desired on and `is_paid` have to come on, all others to go off. Without
    `with_automatic_off` those are left out that would go off for want of payment: what the brake
    holds back. Of the merchants `held` nothing goes off for want of payment either.
    """
    paid = Exists(live_coverage(at).filter(card=OuterRef("pk")))
    not_over = Exists(coverage_not_over(at).filter(card=OuterRef("pk")))
    busy = Exists(Command.objects.filter(card=OuterRef("pk"), state__in=OPEN_COMMANDS))
    unpaid = Q(~not_over, desired_on=True) & (~Q(merchant__in=held) if held else Q())
    unwanted = Q(desired_on=False)
    should_go_off = Q(confirmed__in=MAY_BE_ON) & (
        unwanted | unpaid if with_automatic_off else unwanted
    )
    should_come_on = Q(confirmed__in=MAY_BE_OFF, desired_on=True) & paid
    return SmartCard.objects.annotate(is_paid=paid).filter(
        ~busy,
        should_go_off | should_come_on & ~Q(block_reason__in=FOREIGN_BLOCKS),
        merchant__isnull=False,
    )


def due_cards(at: datetime) -> "QuerySet[WithAnnotations[SmartCard, PaidMark]]":
    """`cards_out_of_step` that may be switched now: without what the brake holds back, and without
    unpaid cards of merchants whose payment may be among what has been received and not processed.
    """
    if is_braked(brake_now()):
        return cards_out_of_step(at, with_automatic_off=False)
    return cards_out_of_step(at, held=merchants_with_unprocessed_payment(at))


# A coverage that was closed within this time is looked at by every sweep, others by the thorough one.
_LATELY_CLOSED = timedelta(days=1)


def where_cards_may_differ(at: datetime) -> list[Q]:
    """Conditions that find all cards out of step by indexes which hold only what is unusual.

    A working card without a coverage for more than a day may be missing: then its wake-ups were lost
    all that time, and the thorough sweep finds it.
    """
    return [
        Q(confirmed__in=MAY_BE_ON, desired_on=False),
        Q(confirmed__in=MAY_BE_OFF, desired_on=True),
        Q(coverages__till=None, coverages__subscription__entitled_until__lte=at),
        Q(coverages__till__gt=at - _LATELY_CLOSED),
    ]


def merchants_out_of_step(at: datetime) -> set[int]:
    """Merchants with a card that may be switched now, and those whose coverage has to be settled."""
    found = due_cards(at).values_list("merchant_id", flat=True).distinct()
    return {pk for pk in found if pk is not None} | merchants_to_settle(at)


def merchants_to_settle(at: datetime, *, among: Collection[int] | None = None) -> set[int]:
    """Merchants whose coverage is not as it should be; `among` asks about these only.

    Their open coverage goes beyond what their subscription pays for, or another subscription has room
    for what one pays no more, or for a card that lost its slot by us.
    """
    live, lasting = live_subscriptions(at), subscriptions_not_over(at)
    lost = Coverage.objects.filter(
        ~Exists(Coverage.objects.filter(card=OuterRef("card"), till=None)),
        card__desired_on=True,
        dropped=True,
    ).exclude(card__confirmed=OperatorState.RETIRED)
    stranded = Coverage.objects.filter(till=None, subscription__entitled_until__lte=at)
    if among is not None:
        live, lasting = live.filter(merchant__in=among), lasting.filter(merchant__in=among)
        lost = lost.filter(card__merchant__in=among)
        stranded = stranded.filter(subscription__merchant__in=among)
    taken = Count("coverages", filter=Q(coverages__till=None))
    too_many = lasting.annotate(taken=taken).filter(taken__gt=F("cards_kept"))
    over = set(too_many.values_list("merchant_id", flat=True))
    waiting = set(lost.values_list("card__merchant", flat=True))
    waiting |= set(stranded.values_list("subscription__merchant", flat=True))
    if not waiting:
        return over
    with_room = live.filter(merchant__in=waiting).annotate(taken=taken)
    return over | set(
        with_room.filter(taken__lt=F("cards_now")).values_list("merchant_id", flat=True)
    )


def merchants_with_unpaid_cards(at: datetime) -> set[int]:
    """Merchants with a live subscription, and with a card that is desired on and that nothing pays for.

    Found as `where_cards_may_differ`.
    """
    live = live_subscriptions(at).filter(merchant=OuterRef("merchant"))
    unpaid = ~Exists(live_coverage(at).filter(card=OuterRef("pk")))
    cards = SmartCard.objects.filter(Exists(live), unpaid, desired_on=True)
    return {
        pk
        for where in where_cards_may_differ(at)
        for pk in cards.filter(where).values_list("merchant_id", flat=True).distinct()
        if pk is not None
    }


def merchants_just_ended(at: datetime, *, within: timedelta) -> set[int]:
    """Merchants who have paid for less since lately: the sweep looks at them first."""
    ended = ending_before(since=at - within, at=at)
    return set(Subscription.objects.filter(pk__in=ended).values_list("merchant_id", flat=True))
