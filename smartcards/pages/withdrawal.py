"""What a person reads before a card leaves use, and before another takes its place."""

from dataclasses import dataclass

from cabinet import rules as roles
from cabinet.states import Right, Role
from smartcards.models import SmartCard
from smartcards.pages import words
from smartcards.pages.words import Number
from smartcards.rules import CardFacts
from smartcards.states import Confirmed, Withdrawal

_MEANING: dict[Withdrawal, tuple[str, str]] = {
    Withdrawal.LOST: (
        "Смарт-карта потеряна?",
        "Если она найдётся, её можно вернуть, пока нет замены.",
    ),
    Withdrawal.STOLEN: (
        "Смарт-карта украдена?",
        "Мы сообщим об этом сотруднику сервиса. Вернуть такую карту в работу нельзя.",
    ),
    Withdrawal.BROKEN: ("Смарт-карта сломана?", "Вернуть такую карту в работу нельзя."),
}


@dataclass(frozen=True)
class WithdrawalPage:
    """`because` is empty while the reason is being chosen; `points` is what will happen."""

    pk: int
    title: str
    place: str
    number: Number
    because: str
    heading: str
    points: tuple[str, ...]


def withdrawal_page(
    card: SmartCard, facts: CardFacts, because: Withdrawal | None
) -> WithdrawalPage:
    """Of a card that came through `queries.with_facts`."""
    heading, ending = _MEANING[because] if because else ("Что случилось со смарт-картой?", "")
    points = (_off(facts), _place(facts), _TILL if card.terminal else "", ending)
    return WithdrawalPage(
        pk=card.pk,
        title=words.title_of(card),
        place=words.place_of(card),
        number=words.number_of(card),
        because=because or "",
        heading=heading,
        points=tuple(filter(None, points)),
    )


_TILL = "Касса останется без связи, пока в ней нет другой смарт-карты: чеки печатаются и копятся до 30 дней."


def _off(facts: CardFacts) -> str:
    if facts.confirmed in {Confirmed.ACTIVE, Confirmed.UNKNOWN}:
        return "Смарт-карта отключится у оператора сразу после подтверждения."
    return "Смарт-карта останется отключённой, включить её будет нельзя."


def _place(facts: CardFacts) -> str:
    if not facts.covered:
        return ""
    return (
        "Оплаченное место освободится и перейдёт к замене. До замены его можно отдать другой карте."
    )


@dataclass(frozen=True)
class ReplacementPage:
    """`may_order`: where no card is at hand, the way to new ones is shown."""

    pk: int
    title: str
    number: Number
    because: str
    may_order: bool


def replacement_page(card: SmartCard, role: Role | None) -> ReplacementPage:
    """Of a card that came through `queries.with_facts`."""
    return ReplacementPage(
        pk=card.pk,
        title=words.title_of(card),
        number=words.number_of(card),
        because=str(Withdrawal(card.withdrawn_because).label),
        may_order=role is None or roles.may(role, Right.ORDER),
    )
