"""What a person reads before a card leaves use."""

from smartcards.models import SmartCard
from smartcards.rules import CardFacts
from smartcards.states import OperatorState, WithdrawalReason

HEADINGS = {
    WithdrawalReason.LOST: "Смарт-карта потеряна?",
    WithdrawalReason.STOLEN: "Смарт-карта украдена?",
    WithdrawalReason.BROKEN: "Смарт-карта сломана?",
}
_ENDINGS = {
    WithdrawalReason.LOST: "Если она найдётся, её можно вернуть, пока нет замены.",
    WithdrawalReason.STOLEN: "Мы сообщим об этом сотруднику сервиса. Вернуть такую карту в работу нельзя.",
    WithdrawalReason.BROKEN: "Вернуть такую карту в работу нельзя.",
}
_ON = "Смарт-карта отключится у оператора сразу после подтверждения."
_OFF = "Смарт-карта останется отключённой, включить её будет нельзя."
_SLOT = "Оплаченное место освободится и перейдёт к замене. До замены его можно отдать другой карте."
_TERMINAL = "Касса останется без связи, пока в ней нет другой смарт-карты: чеки печатаются и копятся до 30 дней."


def consequences(card: SmartCard, facts: CardFacts, because: WithdrawalReason) -> list[str]:
    """What will happen to the card, in sentences."""
    may_be_on = facts.confirmed in {OperatorState.ACTIVE, OperatorState.UNKNOWN}
    points = [_ON if may_be_on else _OFF]
    points += [_SLOT] if facts.covered else []
    points += [_TERMINAL] if card.terminal else []
    return [*points, _ENDINGS[because]]
