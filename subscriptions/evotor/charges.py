"""What the market charged at each of its events, and for what. Pure.

A later event cuts, splits and moves paid intervals; what was charged stays as it was.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from subscriptions.evotor.schemas import (
    Activated,
    AddonsUpdated,
    Charge,
    Renewed,
    SubscriptionEvent,
    TermsChanged,
    Unknown,
)
from subscriptions.rules import MarketCharge, MarketState, PaidInterval
from subscriptions.states import ChargeKind, PeriodKind

Charges = tuple[MarketCharge, ...]
NOTHING_CHARGED: Charges = ()
# More options come in one event and their sum in the next one, sent together.
SUM_FOLLOWS = timedelta(minutes=10)


def with_charge(
    charges: Charges,
    *,
    before: MarketState,
    after: MarketState,
    event: SubscriptionEvent | Unknown,
) -> Charges:
    """`charges` and what `event` added, which brought the state from `before` to `after`."""
    match event:
        case Activated() | Renewed():
            return (*charges, *_payment(before, after, event))
        case AddonsUpdated() | TermsChanged():
            return _changed(charges, before, after, event)
        case _:
            return charges


def _kopecks(charge: Charge | None) -> int | None:
    return charge.roubles_in_kopecks if charge else None


def _payment(
    before: MarketState, after: MarketState, event: Activated | Renewed
) -> Iterator[MarketCharge]:
    kopecks, until = _kopecks(event.charged), event.next_billing_at
    is_later = before.billing_end is None or until > before.billing_end
    if isinstance(event, Renewed) and not is_later and not kopecks:
        return  # a request to stop was taken back
    yield _paid(before, after, event, until, kopecks)


def _paid(
    before: MarketState,
    after: MarketState,
    event: Activated | Renewed | TermsChanged,
    until: datetime,
    kopecks: int | None,
) -> MarketCharge:
    added = [one for one in after.periods if one not in before.periods and one.ends_at == until]
    since = added[-1].starts_at if added else event.at
    return MarketCharge(
        number=event.number,
        kind=ChargeKind.PAYMENT,
        at=event.at,
        kopecks=kopecks,
        terms=after.terms,
        before=before.terms,
        period_starts_at=since,
        starts_at=since,
        ends_at=max(since, until),
    )


def _changed(
    charges: Charges, before: MarketState, after: MarketState, event: AddonsUpdated | TermsChanged
) -> Charges:
    kopecks = _kopecks(event.charged) if isinstance(event, TermsChanged) else None
    is_same = before.terms == after.terms
    if is_same and kopecks and _waits_for_its_sum(charges, event.at):
        return (*charges[:-1], replace(charges[-1], kopecks=kopecks))
    running = _running(before, event.at)
    if running is None:
        return (*charges, *_bought_by_change(before, after, event, kopecks))
    if is_same and before.paid_until == after.paid_until and not kopecks:
        return charges
    return (*charges, _change(before, after, event, running, kopecks))


def _waits_for_its_sum(charges: Charges, at: datetime) -> bool:
    last = charges[-1] if charges else None
    return last is not None and last.kopecks is None and at <= last.at + SUM_FOLLOWS


def _running(state: MarketState, at: datetime) -> PaidInterval | None:
    """What was paid and runs at `at`, from where its whole period began."""
    start: PaidInterval | None = None
    for one in state.periods:
        if one.kind is not PeriodKind.PAID or one.starts_at > at:
            continue
        start = replace(one, starts_at=start.starts_at) if start and one.continues else one
    return start if start is not None and start.ends_at > at else None


def _bought_by_change(
    before: MarketState,
    after: MarketState,
    event: AddonsUpdated | TermsChanged,
    kopecks: int | None,
) -> Iterator[MarketCharge]:
    """Nothing was paid so far: a change that is charged pays like a first payment."""
    if isinstance(event, TermsChanged) and kopecks:
        yield _paid(before, after, event, after.billing_end or event.at, kopecks)


def _change(
    before: MarketState,
    after: MarketState,
    event: AddonsUpdated | TermsChanged,
    running: PaidInterval,
    kopecks: int | None,
) -> MarketCharge:
    charged = isinstance(event, TermsChanged) and event.charged is not None
    # The market names no sum where the new price is lower (Evotor, doc_subscriptions.md, 2018).
    is_free = not charged and after.terms.cards <= running.terms.cards
    return MarketCharge(
        number=event.number,
        kind=ChargeKind.CHANGE,
        at=event.at,
        kopecks=0 if is_free else kopecks,
        terms=after.terms,
        before=before.terms,
        period_starts_at=running.starts_at,
        starts_at=event.at,
        ends_at=max(after.paid_until or event.at, event.at),
    )
