"""Whether a card is paid, till when, and what that rests on."""

from dataclasses import dataclass
from datetime import datetime

from smartcards.models import Coverage, SmartCard
from smartcards.queries import is_live
from smartcards.states import Confirmed
from subscriptions.models import Subscription
from subscriptions.queries import state_of
from subscriptions.states import SubscriptionState


@dataclass(frozen=True)
class Payment:
    """`text` goes before `until` («Оплачена до …»); `hint` is a quieter sentence, mostly empty."""

    paid: bool
    text: str
    until: datetime | None = None
    hint: str = ""


_NOT_CHOSEN = Payment(paid=False, text="Не выбрана для оплаты")
_NO_NEED = Payment(paid=False, text="Платить не нужно")
_ENDED = "Не оплачена, подписка закончилась"
_LIVE: dict[SubscriptionState, tuple[str, str]] = {
    SubscriptionState.TRIAL: ("Пробный период до", ""),
    SubscriptionState.STOPPING: ("Оплачена до", "Подписка остановлена"),
}


def payment_of(card: SmartCard, at: datetime) -> Payment:
    """The payment of a card that came through `queries.with_facts`."""
    if card.confirmed == Confirmed.RETIRED or card.withdrawn_because:
        return _NO_NEED
    coverages: list[Coverage] = getattr(card, "open_coverages")  # noqa: B009 - set by Prefetch
    return _by(coverages[0].subscription, at) if coverages else _NOT_CHOSEN


def _by(subscription: Subscription, at: datetime) -> Payment:
    if not is_live(subscription, at):
        return Payment(paid=False, text=_ENDED, until=subscription.entitled_until)
    until = paid_end(subscription)
    state = state_of(subscription, at)
    if state == SubscriptionState.OVERDUE:
        return Payment(paid=True, text="Ждём оплату", hint="Пока смарт-карта остаётся включённой")
    text, hint = _LIVE.get(state, ("Оплачена до", ""))
    if until is None:
        return Payment(paid=True, text="Оплачена", hint=hint)
    return Payment(paid=True, text=text, until=until, hint=hint)


def paid_end(subscription: Subscription) -> datetime | None:
    """The end of what is paid, as far as it is known."""
    ends = [subscription.trial_until, subscription.paid_until]
    known = [end for end in ends if end is not None]
    return subscription.entitled_until or max(known, default=None)
