"""Ticks of «Выбрать карты» that are not saved yet, page after page: against what is paid, so that a colleague's
choice meanwhile is not undone by boxes that nobody touched.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from django.contrib.postgres.expressions import ArraySubquery
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery

from cabinet.actors import Actor
from cabinet.models import Merchant
from smartcards import rules
from smartcards.models import Coverage, PaidCardsDraft, SmartCard
from smartcards.rules import CardRefused

# What was left lying longer is begun anew.
KEPT = timedelta(days=1)


@dataclass(frozen=True)
class Ticks:
    """`paid` as they are, and what the person has ticked and unticked since."""

    paid: frozenset[int]
    ticked: frozenset[int] = frozenset()
    unticked: frozenset[int] = frozenset()

    @property
    def chosen(self) -> frozenset[int]:
        """The cards that would be paid."""
        return (self.paid - self.unticked) | self.ticked

    @property
    def changed(self) -> bool:
        """Whether there is anything to save."""
        return bool(self.ticked or self.unticked)


def ticks_of(merchant: Merchant, by: Actor, at: datetime) -> Ticks:
    """The boxes as the person has left them: one query."""
    drafts = PaidCardsDraft.objects.filter(
        merchant=OuterRef("pk"), user=by.user_id, changed_at__gt=at - KEPT
    )
    row = Merchant.objects.values(
        paid=ArraySubquery(_open().filter(card__merchant=OuterRef("pk")).values("card")),
        ticked=Subquery(drafts.values("ticked")),
        unticked=Subquery(drafts.values("unticked")),
    ).get(pk=merchant.pk)
    paid = frozenset(row["paid"])
    return Ticks(
        paid, frozenset(row["ticked"] or ()) - paid, frozenset(row["unticked"] or ()) & paid
    )


@transaction.atomic
def keep_ticks(
    *, merchant: Merchant, shown: Collection[int], ticked: Collection[int], by: Actor, at: datetime
) -> None:
    """Remember the boxes of one page. Raises NotAllowed, and CardRefused for a card of somebody else's."""
    rules.check_may_choose(by.role)
    boxes = {*shown, *ticked}
    own = set(SmartCard.objects.of(merchant).filter(pk__in=boxes).values_list("pk", flat=True))
    if not own.issuperset(ticked):
        raise CardRefused("Такой смарт-карты у вас нет.")
    _change(merchant, on={*ticked}, off=own - {*ticked}, by=by, at=at)


@transaction.atomic
def tick_all(
    *, merchant: Merchant, cards: QuerySet[SmartCard], on: bool, by: Actor, at: datetime
) -> None:
    """Tick all of these cards of the merchant, or untick them. Raises NotAllowed."""
    rules.check_may_choose(by.role)
    found = set(cards.values_list("pk", flat=True))
    _change(merchant, on=found if on else set(), off=set() if on else found, by=by, at=at)


def discard(*, merchant: Merchant, by: Actor) -> None:
    """Forget what is not saved."""
    PaidCardsDraft.objects.filter(merchant=merchant, user=by.user_id).delete()


def _change(merchant: Merchant, *, on: set[int], off: set[int], by: Actor, at: datetime) -> None:
    paid = _paid(merchant)
    # Only a person has boxes to tick.
    user_id, start = cast("int", by.user_id), {"changed_at": at}
    PaidCardsDraft.objects.get_or_create(merchant=merchant, user_id=user_id, defaults=start)
    row = PaidCardsDraft.objects.select_for_update().get(merchant=merchant, user_id=user_id)
    fresh = row.changed_at > at - KEPT
    before = (set(row.ticked), set(row.unticked)) if fresh else (set(), set())
    row.ticked = sorted((before[0] | on) - off - paid)
    row.unticked = sorted(((before[1] | off) - on) & paid)
    row.changed_at = at
    row.save()


def _paid(merchant: Merchant) -> frozenset[int]:
    return frozenset(_open().filter(card__merchant=merchant).values_list("card_id", flat=True))


def _open() -> QuerySet[Coverage]:
    return Coverage.objects.filter(till=None)
