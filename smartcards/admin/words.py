"""What staff read for the words that operators' answers are kept in."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest

from cabinet.admin.readonly import WordFilter
from operators.ports import BlockReason, ErrorClass
from smartcards.models import SmartCard
from smartcards.phrases import IDENTITY_STATES
from smartcards.rules import hold_reason
from smartcards.states import Confirmed

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


def block_word(reason: str) -> str:
    """Why the operator blocks the card; "" where it does not, a foreign word as it is."""
    return _BLOCKS[BlockReason(reason)] if reason in set(BlockReason) else reason


def block_of(card: SmartCard) -> str:
    """The same of a card; what the operator holds is never blocked by us."""
    held = card.confirmed == Confirmed.HELD
    return block_word(hold_reason(card.block_reason) if held else card.block_reason)


def error_word(error: str) -> str:
    """What went wrong with a command; "" where nothing did, a foreign word as it is."""
    return _ERRORS[ErrorClass(error)] if error in set(ErrorClass) else error


def identity_word(state: str) -> str:
    """How the number stands on Госуслуги; "" where nobody asked, a foreign word as it is."""
    return IDENTITY_STATES.get(state, state)


class ErrorFilter(WordFilter):
    """Commands by what went wrong."""

    title = "что не так"
    parameter_name = "error"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return [(error.value, word) for error, word in _ERRORS.items()]
