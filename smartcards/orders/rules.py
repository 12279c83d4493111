"""What may be done with an order, which card may be packed. Facts are arguments; no database."""

from collections.abc import Sequence
from dataclasses import dataclass

from cabinet import rules as roles
from cabinet.errors import Refused
from cabinet.states import Right, Role
from cabinet.wording import cards as counted_cards
from smartcards.orders.states import ORDER_TRANSITIONS, OrderState
from smartcards.states import Confirmed

MAX_CARDS = 500
REASON_MAX = 300
TRACK_MAX = 60

_IS = {
    OrderState.ACCEPTED: "принят",
    OrderState.PACKED: "собран",
    OrderState.SHIPPED: "отправлен",
    OrderState.DELIVERED: "доставлен",
    OrderState.CANCELLED: "отменён",
}
_MOVES = {
    OrderState.ACCEPTED: "разобрать",
    OrderState.PACKED: "собрать",
    OrderState.SHIPPED: "отправить",
    OrderState.DELIVERED: "отметить доставленным",
    OrderState.CANCELLED: "отменить",
}


class OrderRefused(Refused):
    """This may not be done with the order now."""


@dataclass(frozen=True)
class CardProblem:
    """Why this card cannot be packed for the order: a Russian sentence."""

    iccid: str
    sentence: str


class CannotPack(OrderRefused):
    """The chosen cards do not make up the order; `problems` says what is wrong with which."""

    def __init__(self, sentence: str, problems: Sequence[CardProblem] = ()) -> None:
        super().__init__(sentence)
        self.problems = tuple(problems)


@dataclass(frozen=True)
class StockFacts:
    """What is known of a card somebody wants to pack."""

    same_operator: bool
    operator: str
    in_stock: bool
    packed_for: int | None
    confirmed: Confirmed


def can_move(*, state: OrderState, to: OrderState) -> bool:
    """Whether the table of transitions has this step."""
    return to in ORDER_TRANSITIONS[state]


def check_move(*, state: OrderState, to: OrderState) -> None:
    """Raises OrderRefused with a sentence that names the state the order is in."""
    if not can_move(state=state, to=to):
        raise OrderRefused(f"Заказ уже {_IS[state]}, {_MOVES[to]} его нельзя.")


def can_cancel(*, state: OrderState) -> bool:
    """Only what nobody has begun to pack is cancelled."""
    return can_move(state=state, to=OrderState.CANCELLED)


def check_cancel(*, state: OrderState) -> None:
    """Raises OrderRefused where the order has gone too far."""
    check_move(state=state, to=OrderState.CANCELLED)


def can_order(*, role: Role) -> bool:
    """Whether this member places and cancels orders."""
    return roles.may(role, Right.ORDER)


def check_place(*, operator_works: bool, quantity: int) -> None:
    """Raises OrderRefused for an operator that is switched off or a quantity out of 1…500."""
    if not operator_works:
        raise OrderRefused("Смарт-карты этого оператора сейчас не заказать. Выберите другого.")
    if not 1 <= quantity <= MAX_CARDS:
        raise OrderRefused(f"Можно заказать от 1 до {MAX_CARDS} смарт-карт.")


def check_reason(reason: str) -> str:
    """The reason without spaces around it. Raises OrderRefused where there is none."""
    said = reason.strip()
    if not said:
        raise OrderRefused("Укажите причину: её увидит клиент.")
    return said[:REASON_MAX]


def check_track_number(track_number: str) -> str:
    """The number without spaces around it. Raises OrderRefused where it is absent or too long."""
    said = track_number.strip()
    if not said:
        raise OrderRefused("Укажите трек-номер отправления.")
    if len(said) > TRACK_MAX:
        raise OrderRefused(f"Трек-номер длиннее {TRACK_MAX} знаков.")
    return said


def check_pack_quantity(*, wanted: int, chosen: int) -> None:
    """Exactly as many cards as were ordered. Raises CannotPack."""
    if wanted != chosen:
        raise CannotPack(f"В заказе {counted_cards(wanted)}, выбрано: {chosen}.")


def why_not_packable(facts: StockFacts | None) -> str:
    """Why this card cannot be packed, None standing for an unknown one; empty where it can."""
    if facts is None:
        return "Такой смарт-карты нет на складе."
    if not facts.in_stock:
        return "Смарт-карта уже у клиента."
    if facts.packed_for is not None:
        return f"Смарт-карта уже собрана для заказа № {facts.packed_for}."
    if not facts.same_operator:
        return f"Смарт-карта другого оператора: {facts.operator}."
    if facts.confirmed is not Confirmed.NEW:
        return f"Смарт-карта не новая: по данным оператора она «{facts.confirmed.label}»."
    return ""
