"""What needs the merchant: counted over all cards, said in a few sentences with a way to act."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db.models import Q

from cabinet import rules as roles
from cabinet import wording
from cabinet.models import Merchant
from cabinet.states import Right, Role
from smartcards import rules
from smartcards.pages.estate import Group, total
from smartcards.pages.payment import paid_end
from smartcards.pages.troubles import BRAKED, stays_on
from smartcards.queries import is_live
from smartcards.rules import CardFacts
from smartcards.states import CardState, WhyOff
from subscriptions.models import Subscription
from subscriptions.queries import paid_cards_at, state_of
from subscriptions.rules import CLOCKS_APART
from subscriptions.states import SubscriptionState

# Reasons that a person here, or the service for a person, has chosen.
_CHOSEN = frozenset({WhyOff.PERSON, WhyOff.STAFF, WhyOff.SEASON})
_BLOCKED = frozenset({WhyOff.OPERATOR, WhyOff.LIMIT, WhyOff.IMEI, WhyOff.LAW, WhyOff.UNKNOWN})


@dataclass(frozen=True)
class Paid:
    """What the live subscriptions pay for. `ends_at`: all of them are stopped and the last ends then."""

    places: int
    live: bool
    overdue: bool = False
    ends_on: str = ""


@dataclass(frozen=True)
class Tally:
    """The merchant's cards in numbers; retired and withdrawn ones are counted in none but `everything`."""

    everything: int
    cards: int
    works: int
    switching: int
    needs: int
    unpaid: int
    idle: int
    blocked: int
    unclear: int
    held_back: int
    stays_on: int
    chosen: int
    paid: Paid

    @property
    def headline(self) -> str:
        """One sentence that answers «всё ли работает»."""
        if not self.cards:
            return "Смарт-карт в работе нет"
        if self.cards == 1:
            return "Смарт-карта работает" if self.works else "Смарт-карта не работает"
        if self.works == self.cards:
            return f"Работают все {wording.cards(self.cards)}"
        if self.works == 0:
            return f"Не работает ни одна из {_of_cards(self.cards)}"
        verb = wording.plural(self.works, "Работает", "Работают", "Работают")
        return f"{verb} {wording.grouped(self.works)} из {_of_cards(self.cards)}"


@dataclass(frozen=True)
class Notice:
    """One matter for the merchant; `route` names the address, `query` narrows the first page."""

    text: str
    link: str = ""
    route: str = ""
    query: str = ""


def _of_cards(number: int) -> str:
    return wording.counted(number, "смарт-карты", "смарт-карт", "смарт-карт")


def lacks_payment(facts: CardFacts) -> bool:
    """It is chosen, should work, or does, and nobody pays for it."""
    if facts.paid or not _in_use(facts):
        return False
    # Every card of an ended subscription says «не оплачена» in the list, so it is counted as such.
    return facts.covered or bool(facts.wished_on) or rules.card_state(facts) is CardState.ACTIVE


def _waits_unused(facts: CardFacts) -> bool:
    """It is paid and has never been switched on."""
    return rules.card_state(facts) is CardState.NEW and facts.paid


def _blocked(facts: CardFacts) -> bool:
    """Off by nobody's choice here, and paid."""
    off = rules.card_state(facts) is CardState.INACTIVE
    return off and rules.why_off(facts) in _BLOCKED and not lacks_payment(facts)


def _unclear(facts: CardFacts) -> bool:
    return rules.card_state(facts) is CardState.UNCLEAR


def is_held_back(facts: CardFacts) -> bool:
    """It works, and the network may keep its data back for a while: no failure, and it passes by itself."""
    return facts.held_back and rules.card_state(facts) is CardState.ACTIVE


def _in_use(facts: CardFacts) -> bool:
    return not facts.withdrawn and rules.card_state(facts) is not CardState.RETIRED


def needs_merchant(facts: CardFacts) -> bool:
    """Whether the merchant should look at this card."""
    return _in_use(facts) and any(
        asks(facts) for asks in (lacks_payment, _waits_unused, _blocked, _unclear)
    )


def paid_places(merchant: Merchant, at: datetime) -> Paid:
    """What the merchant's live subscriptions pay for: two queries."""
    entitled = Q(entitled_until=None) | Q(entitled_until__gt=at)
    rows = Subscription.objects.of(merchant).filter(entitled, entitled_from__lte=at + CLOCKS_APART)
    lives = [row for row in rows.prefetch_related("periods") if is_live(row, at)]
    states = {state_of(row, at) for row in lives}
    return Paid(
        places=sum(paid_cards_at(row, at) for row in lives),
        live=bool(lives),
        overdue=SubscriptionState.OVERDUE in states,
        ends_on=_ends_on(lives, merchant) if states == {SubscriptionState.STOPPING} else "",
    )


def _ends_on(stopped: Iterable[Subscription], merchant: Merchant) -> str:
    ends = [end for row in stopped if (end := paid_end(row)) is not None]
    return wording.day(max(ends).astimezone(ZoneInfo(merchant.timezone)).date()) if ends else ""


def tally_of(groups: Sequence[Group], paid: Paid) -> Tally:
    """Count the groups."""
    alive = [group for group in groups if _in_use(group.facts)]
    moving = {CardState.ACTIVATING, CardState.DEACTIVATING}
    return Tally(
        everything=total(groups),
        cards=total(alive),
        works=total(alive, lambda facts: rules.card_state(facts) is CardState.ACTIVE),
        switching=total(alive, lambda facts: rules.card_state(facts) in moving),
        needs=total(alive, needs_merchant),
        unpaid=total(alive, lacks_payment),
        idle=total(alive, _waits_unused),
        blocked=total(alive, _blocked),
        unclear=total(alive, _unclear),
        held_back=total(alive, is_held_back),
        stays_on=total(alive, stays_on),
        chosen=total(groups, lambda facts: facts.covered),
        paid=paid,
    )


def notices(tally: Tally, role: Role, *, braked: bool = False) -> tuple[Notice, ...]:
    """What to say, the most pressing first; ways to act only for those who may take them.

    `braked`: cards are not switched off by themselves now.
    """
    said = [
        *_about_subscription(tally, role),
        *(_about_brake(tally) if braked else ()),
        *_about_cards(tally),
        *_about_places(tally, role),
    ]
    return tuple(said)


def _about_subscription(tally: Tally, role: Role) -> list[Notice]:
    if tally.paid.overdue:
        text = "Очередная оплата подписки пока не прошла. Смарт-карты работают, но оплату лучше проверить сегодня."
        return [
            _led(role, Right.SEE_SUBSCRIPTION, Notice(text, "Проверить оплату", "subscription"))
        ]
    if tally.paid.ends_on:
        text = f"Подписка остановлена, смарт-карты работают до {tally.paid.ends_on}"
        return [
            _led(role, Right.SEE_SUBSCRIPTION, Notice(text, "Открыть подписку", "subscription"))
        ]
    if not tally.paid.live and tally.cards:
        text = "Действующей подписки нет, поэтому смарт-карты не включить."
        return [
            _led(role, Right.SEE_SUBSCRIPTION, Notice(text, "Открыть подписку", "subscription"))
        ]
    return []


def _about_brake(tally: Tally) -> list[Notice]:
    works = wording.plural(tally.stays_on, "работает", "работают", "работают")
    unpaid = wording.counted(
        tally.stays_on,
        "неоплаченная смарт-карта",
        "неоплаченные смарт-карты",
        "неоплаченных смарт-карт",
    )
    return [Notice(f"{BRAKED} Пока {works} {unpaid}.")]


def _about_cards(tally: Tally) -> list[Notice]:
    count, plural = wording.cards, wording.plural
    said = []
    if tally.unpaid:
        verb = plural(tally.unpaid, "не оплачена", "не оплачены", "не оплачены")
        said.append(Notice(f"{count(tally.unpaid)} {verb}.", "Показать", "cards", "state=unpaid"))
    if tally.blocked:
        verb = plural(tally.blocked, "отключена", "отключены", "отключены")
        said.append(
            Notice(
                f"{count(tally.blocked)} {verb} не вами.", "Показать", "cards", "state=attention"
            )
        )
    if tally.unclear:
        text = f"Уточняем у оператора состояние: {count(tally.unclear)}."
        said.append(Notice(text, "Показать", "cards", "state=unclear"))
    if tally.idle:
        verb = plural(
            tally.idle,
            "оплачена, но не включена",
            "оплачены, но не включены",
            "оплачены, но не включены",
        )
        said.append(Notice(f"{count(tally.idle)} {verb}.", "Показать", "cards", "state=new"))
    if tally.held_back:
        verb = plural(tally.held_back, "работает", "работают", "работают")
        text = (
            f"{count(tally.held_back)} {verb}, но после долгого молчания сеть может пока придержать интернет. "
            "Делать ничего не нужно, это пройдёт само."
        )
        said.append(Notice(text, "Показать", "cards", "state=held_back"))
    return said


def _about_places(tally: Tally, role: Role) -> list[Notice]:
    free = tally.paid.places - tally.chosen
    if not tally.paid.live or free <= 0 or tally.cards <= tally.chosen:
        return []
    places = wording.counted(tally.paid.places, "место", "места", "мест")
    text = f"Оплачено {places}, выбрано {wording.grouped(tally.chosen)}."
    return [_led(role, Right.CHOOSE_CARDS, Notice(text, "Выбрать карты", "choose_cards"))]


def _led(role: Role, right: Right, notice: Notice) -> Notice:
    """The notice with its way to act, or without it for whoever may not go there."""
    return notice if roles.may(role, right) else Notice(notice.text)
