"""Russian labels for stored codes: block reasons, errors, identity states."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest

from cabinet.admin.readonly import ChoiceFilter
from operators.ports import BlockReason, ErrorClass
from smartcards.models import SmartCard
from smartcards.rules import hold_reason
from smartcards.states import OperatorState
from smartcards.texts import IDENTITY_STATES

_BLOCKS = {
    BlockReason.VOLUNTARY: "добровольная: снять можем мы",
    BlockReason.DEBT: "долг перед оператором",
    BlockReason.FRAUD: "подозрение в мошенничестве",
    BlockReason.STOLEN: "заявлена украденной",
    BlockReason.LAW: "ограничена по закону",
    BlockReason.LIMIT: "достигнут лимит",
    BlockReason.IMEI: "стоит в другом терминале (IMEI)",
    BlockReason.OPERATOR: "решение оператора",
    BlockReason.UNKNOWN: "оператор не назвал причину",
}
_ERRORS = {
    ErrorClass.AUTH: "не пустили: вход к оператору",
    ErrorClass.FORBIDDEN: "не разрешено договором",
    ErrorClass.NOT_FOUND: "такой карты оператор не знает",
    ErrorClass.INVALID: "запрос не принят",
    ErrorClass.ALREADY: "так уже было",
    ErrorClass.CONFLICT_PENDING: "у оператора идёт другой запрос",
    ErrorClass.HELD_BY_OPERATOR: "карту удерживает оператор",
    ErrorClass.RATE_LIMITED: "превышена квота",
    ErrorClass.TRANSIENT: "временный сбой",
    ErrorClass.MAINTENANCE: "работы у оператора",
    ErrorClass.UNKNOWN_OUTCOME: "исход неизвестен",
    ErrorClass.CONFIGURATION: "договор настроен неверно",
    ErrorClass.UNSUPPORTED: "протокол этого не умеет",
}


def block_label(reason: str) -> str:
    """Why the operator blocks the card; "" where it does not, an unknown code as it is."""
    return _BLOCKS[BlockReason(reason)] if reason in set(BlockReason) else reason


def block_of(card: SmartCard) -> str:
    """The same of a card; what the operator holds is never blocked by us."""
    held = card.confirmed == OperatorState.HELD
    return block_label(hold_reason(card.block_reason) if held else card.block_reason)


def error_label(error: str) -> str:
    """What went wrong with a command; "" where nothing did, an unknown code as it is."""
    return _ERRORS[ErrorClass(error)] if error in set(ErrorClass) else error


def identity_label(state: str) -> str:
    """The state of the number on Госуслуги; "" where nobody asked, an unknown code as it is."""
    return IDENTITY_STATES.get(state, state)


class ErrorFilter(ChoiceFilter):
    """Commands by what went wrong."""

    title = "что не так"
    parameter_name = "error"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """Every error class with its label."""
        return [(error.value, label) for error, label in _ERRORS.items()]
