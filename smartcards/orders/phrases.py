"""How an order is shown: its pill, its steps."""

from dataclasses import dataclass
from datetime import datetime, tzinfo

from cabinet.models import AuditEvent
from cabinet.states import ActorKind
from cabinet.wording import Pill, Tone, moment_full
from smartcards.orders.models import Order
from smartcards.orders.states import OrderState

_TONES = {
    OrderState.ACCEPTED: Tone.PROGRESS,
    OrderState.PACKED: Tone.PROGRESS,
    OrderState.SHIPPED: Tone.PROGRESS,
    OrderState.DELIVERED: Tone.WORKS,
    OrderState.CANCELLED: Tone.OFF,
}
_WAY = (OrderState.ACCEPTED, OrderState.PACKED, OrderState.SHIPPED, OrderState.DELIVERED)
# Said of the step that comes next.
_NEXT = {
    OrderState.PACKED: "Собираем",
    OrderState.SHIPPED: "Передаём в доставку",
    OrderState.DELIVERED: "В пути",
}


@dataclass(frozen=True)
class Step:
    """One step of the way: `state` is done, current, waiting or failed."""

    text: str
    state: str
    hint: str = ""


def pill(state: str) -> Pill:
    """The state as a coloured word."""
    known = OrderState(state)
    return Pill(_TONES[known], known.label)


def steps(order: Order, zone: tzinfo) -> list[Step]:
    """The whole way of the order with the times of what is behind it."""
    if order.state == OrderState.CANCELLED:
        return [
            _done(OrderState.ACCEPTED, order.created_at, zone),
            Step(OrderState.CANCELLED.label, "failed", _said(order.cancelled_at, zone)),
        ]
    reached = _WAY.index(OrderState(order.state))
    times = (order.created_at, order.packed_at, order.shipped_at, order.delivered_at)
    behind = [_done(state, at, zone) for state, at in zip(_WAY, times, strict=True)][: reached + 1]
    ahead = [Step(state.label, "waiting") for state in _WAY[reached + 2 :]]
    return behind + [_current(state) for state in _WAY[reached + 1 : reached + 2]] + ahead


def _current(state: OrderState) -> Step:
    return Step(state.label, "current", _NEXT[state])


def _done(state: OrderState, at: datetime | None, zone: tzinfo) -> Step:
    return Step(state.label, "done", _said(at, zone))


def _said(at: datetime | None, zone: tzinfo) -> str:
    return moment_full(at, zone) if at else ""


def who(event: AuditEvent) -> str:
    """Who did it, as the merchant reads it: people by name, all others by what they are."""
    if event.actor_kind == ActorKind.PERSON:
        return event.actor_name
    return ActorKind(event.actor_kind).label
