"""Whether a card is paid, until when, and by what; what all subscriptions of a merchant pay for."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from smartcards.models import Coverage, SmartCard
from smartcards.states import OperatorState
from subscriptions import estimates
from subscriptions.models import Subscription
from subscriptions.payments import coming_end_text
from subscriptions.queries import SubscriptionView, entitled, paid_cards_at, subscription_view
from subscriptions.rules import ComingEnd, coming_end, known_end, later, state_of
from subscriptions.states import SubscriptionState


@dataclass(frozen=True)
class Payment:
    """`text` goes before `until` («Оплачена до …»); `hint` is a quieter sentence, mostly empty.

    `is_end`: the card stops then, so the hour is shown too.
    """

    paid: bool
    text: str
    until: datetime | None = None
    hint: str = ""
    is_end: bool = False


def payment_of(card: SmartCard, at: datetime) -> Payment:
    """The payment of a card that came through `queries.with_facts`."""
    if card.confirmed == OperatorState.RETIRED or card.withdrawn_because:
        return Payment(paid=False, text="Платить не нужно")
    coverages: list[Coverage] = getattr(card, "open_coverages")  # noqa: B009 - set by Prefetch
    if not coverages:
        return Payment(paid=False, text="Не выбрана для оплаты")
    return _by(coverages[0].subscription, at)


_STOPS = "Подписка остановлена: смарт-карта отключится, когда Эвотор это подтвердит"


def _by(subscription: Subscription, at: datetime) -> Payment:
    if not entitled(subscription, at):
        ended = "Не оплачена, подписка закончилась"
        return Payment(paid=False, text=ended, until=subscription.entitled_until, is_end=True)
    state = state_of(subscription, at)
    if state == SubscriptionState.OVERDUE and subscription.stop_requested_at is not None:
        return Payment(paid=True, text="Оплаченное время закончилось", hint=_STOPS)
    if state == SubscriptionState.OVERDUE:
        return Payment(paid=True, text="Ждём оплату", hint="Пока смарт-карта остаётся включённой")
    until = known_end(subscription) or later(subscription.trial_until, subscription.paid_until)
    hint = "Подписка остановлена" if state == SubscriptionState.STOPPING else ""
    if until is None:
        return Payment(paid=True, text="Оплачена", hint=hint)
    trial = state == SubscriptionState.TRIAL
    text = "Пробный период до" if trial else "Оплачена до"
    return Payment(True, text, until, hint, is_end=known_end(subscription) is not None)


@dataclass(frozen=True)
class Extendable:
    """A live subscription to which cards may be added now."""

    view: SubscriptionView
    zone: ZoneInfo
    at: datetime

    @property
    def tariff_id(self) -> int | None:
        """Of the tariff that it runs on."""
        return self.view.row.tariff_id

    def cards_with(self, more: int) -> int:
        """How many cards it would pay for."""
        return self.view.row.paid_cards + more

    def price_of(self, more: int) -> int | None:
        """Kopecks that so many cards more cost now, about; None where nothing is charged now."""
        tariff = self.view.row.tariff
        if tariff is None:
            return None
        cards = self.view.paid_cards + more
        return estimates.change(self.view, tariff, cards, self.at, self.zone).total_kopecks or None


@dataclass(frozen=True)
class Paid:
    """What the live subscriptions pay for.

    `overdue`: one waits for a payment; `run_out`: one was stopped and its paid time has ended.
    `coming`: the first end or renewal of one of them that is near, and what is said of it. `extendable`
    takes more cards; `ended` is the id of the latest one that is over, where all are.
    """

    slots: int
    live: bool
    overdue: bool = False
    run_out: bool = False
    coming: ComingEnd | None = None
    coming_text: str = ""
    extendable: Extendable | None = None
    ended: int | None = None


def paid_slots(subscriptions: Iterable[Subscription], zone: ZoneInfo, at: datetime) -> Paid:
    """What those of a merchant's subscriptions that are live pay for; no query where they come with `periods`."""
    rows = list(subscriptions)
    lives = [row for row in rows if entitled(row, at)]
    late = [row for row in lives if state_of(row, at) is SubscriptionState.OVERDUE]
    coming = _first_coming(lives, zone, at)
    return Paid(
        slots=sum(paid_cards_at(row, at) for row in lives),
        live=bool(lives),
        overdue=any(row.stop_requested_at is None for row in late),
        run_out=any(row.stop_requested_at is not None for row in late),
        coming=coming,
        coming_text=coming_end_text(coming, zone=zone, at=at) if coming else "",
        extendable=_extendable(lives, zone, at),
        ended=None if lives else _latest_ended(rows),
    )


def _first_coming(rows: Iterable[Subscription], zone: ZoneInfo, at: datetime) -> ComingEnd | None:
    """An end before a renewal: it is the end that switches cards off."""
    found = [one for row in rows if (one := coming_end(row, at=at, zone=zone))]
    return min(found, key=lambda one: (one.renews, one.at), default=None)


def _extendable(rows: Iterable[Subscription], zone: ZoneInfo, at: datetime) -> Extendable | None:
    for row in rows:
        if row.terminated_at is None and row.tariff is not None and not row.tariff.archived_at:
            return Extendable(subscription_view(row, zone=zone, at=at), zone, at)
    return None


def _latest_ended(rows: Iterable[Subscription]) -> int | None:
    ended = [row for row in rows if row.entitled_until is not None]
    latest = max(ended, key=lambda row: (row.entitled_until, row.pk), default=None)
    return latest.pk if latest else None
