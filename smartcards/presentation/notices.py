"""What needs the merchant: counted over all cards, in a few sentences with links."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from cabinet.accounts import rules as roles
from cabinet.enums import Right, Role
from cabinet.formatting import ru_format
from smartcards import rules
from smartcards.listing.card_groups import Group, total
from smartcards.presentation.outages import BRAKED, stays_on
from smartcards.presentation.payment import Paid
from smartcards.rules import CardFacts
from smartcards.states import CardState

_CARDS = ("смарт-карта", "смарт-карты", "смарт-карт")


def _work(number: int) -> str:
    return ru_format.plural(number, "работает", "работают", "работают")


def _new(number: int) -> str:
    return ru_format.counted(number, "новая", "новые", "новых")


def _waiting(number: int) -> str:
    """«Новая смарт-карта ждёт включения», «2 новые смарт-карты ждут включения»."""
    if number == 1:
        return "Новая смарт-карта ждёт включения"
    verb = ru_format.plural(number, "ждёт", "ждут", "ждут")
    return f"{_new(number)} {ru_format.plural(number, *_CARDS)} {verb} включения"


@dataclass(frozen=True)
class CardCounts:
    """The merchant's cards in numbers; retired and withdrawn ones are counted in `everything` only."""

    everything: int
    cards: int
    works: int
    switching: int
    needs: int
    new: int = 0

    @property
    def headline(self) -> str:
        """One sentence that answers «всё ли работает»."""
        if not self.cards:
            return "Смарт-карт в работе нет"
        if self.new == self.cards:
            return _waiting(self.new)
        if self.cards == 1:
            return "Смарт-карта работает" if self.works else "Смарт-карта не работает"
        if self.works == self.cards:
            all_of_them = "Обе" if self.cards == 2 else f"Все {ru_format.grouped(self.cards)}"
            return f"{all_of_them} {ru_format.plural(self.cards, *_CARDS)} {_work(self.cards)}"
        if self.works and self.works + self.new == self.cards:
            verb = ru_format.plural(self.new, "ждёт включения", "ждут включения", "ждут включения")
            return f"{ru_format.cards(self.works)} {_work(self.works)}, {_new(self.new)} {verb}"
        of_cards = ru_format.counted(self.cards, "смарт-карты", "смарт-карт", "смарт-карт")
        if self.works == 0:
            return f"Не работает ни одна из {of_cards}"
        verb = ru_format.plural(self.works, "Работает", "Работают", "Работают")
        return f"{verb} {ru_format.grouped(self.works)} из {of_cards}"


@dataclass(frozen=True)
class Notice:
    """One notice for the merchant; `route` names the address, `pk` its row, `query` what is asked there.

    `tone` (of `ui/note.html`) makes it louder than one of the list; only the first notice may have one.
    """

    text: str
    link: str = ""
    route: str = ""
    query: str = ""
    pk: int | None = None
    tone: str = ""


def count_cards(groups: Sequence[Group]) -> CardCounts:
    """Count the groups."""
    alive = [group for group in groups if rules.is_in_use(group.facts)]
    return CardCounts(
        everything=total(groups),
        cards=total(alive),
        works=total(alive, rules.is_in(CardState.ACTIVE)),
        switching=total(alive, rules.is_in(CardState.ACTIVATING, CardState.DEACTIVATING)),
        needs=total(alive, rules.needs_merchant),
        new=total(alive, rules.is_in(CardState.NEW)),
    )


def notices(
    groups: Sequence[Group], paid: Paid, role: Role, *, is_braked: Callable[[], bool]
) -> tuple[Notice, ...]:
    """What to say, the most pressing first; ways to act only for those who may take them.

    `is_braked`: whether cards are not switched off by themselves now; asked only where one would be.
    """
    return (
        *_about_subscription(groups, paid, role),
        *_about_brake(total(groups, stays_on), is_braked),
        *_about_cards(groups),
        *_about_new_cards(groups, paid, role),
        *_about_slots(groups, paid, role),
    )


def _about_subscription(groups: Sequence[Group], paid: Paid, role: Role) -> Iterator[Notice]:
    route = "subscription"
    if paid.overdue:
        text = "Очередная оплата подписки пока не прошла. Смарт-карты работают, но оплату лучше проверить сегодня."
        notice = Notice(text, "Проверить оплату", route)
    elif paid.run_out:
        notice = Notice(_RUN_OUT, "Открыть подписку", route, tone="error")
    elif paid.coming:
        tone = "" if paid.coming.renews else _TONES[paid.coming.step]
        notice = Notice(paid.coming_text, "Открыть подписку", route, tone=tone)
    elif not paid.live and total(groups, rules.is_in_use):
        text = _ENDED if paid.ended else _NOT_BEGUN
        notice = Notice(text, "Открыть подписку", route, tone="error" if paid.ended else "")
    else:
        return
    yield _led(role, Right.SEE_SUBSCRIPTION, notice)


# The nearer the end, the louder: days before it, and how the notice looks.
_TONES = {14: "", 7: "info", 3: "warning", 1: "error"}
_ENDED = "Подписка закончилась. Продлите её, и карты включатся сами."
_RUN_OUT = (
    "Подписка остановлена, и оплаченное время закончилось: смарт-карты отключатся, когда Эвотор это "
    "подтвердит."
)
_NOT_BEGUN = "Подписки пока нет. Оплатите её, и смарт-карты можно будет включить."


@dataclass(frozen=True)
class PayButton:
    """The first button of the page where nothing is paid; `pk` of the subscription where there was one."""

    text: str
    route: str
    pk: int | None = None


def pay_button(groups: Sequence[Group], paid: Paid, role: Role) -> PayButton | None:
    """How to pay where no subscription is live and there are cards; None for whoever may not pay."""
    if paid.live or not total(groups, rules.is_in_use) or not roles.may(role, Right.PAY):
        return None
    if paid.ended is None:
        return PayButton("Оплатить", "subscription")
    return PayButton("Продлить", "subscription_renew", paid.ended)


def _about_brake(number: int, is_braked: Callable[[], bool]) -> Iterator[Notice]:
    if not number or not is_braked():
        return
    works = ru_format.plural(number, "работает", "работают", "работают")
    unpaid = ru_format.counted(
        number,
        "неоплаченная смарт-карта",
        "неоплаченные смарт-карты",
        "неоплаченных смарт-карт",
    )
    yield Notice(f"{BRAKED} Пока {works} {unpaid}.")


def _about_cards(groups: Sequence[Group]) -> Iterator[Notice]:
    for wanted, state, text in _ABOUT_CARDS:
        if number := total(groups, wanted):
            yield Notice(text(number), "Показать", "cards", f"state={state}")


def _counted(one: str, many: str) -> Callable[[int], str]:
    """«1 смарт-карта не оплачена.», «5 смарт-карт не оплачены.»"""
    return lambda number: f"{ru_format.cards(number)} {ru_format.plural(number, one, many, many)}."


_HELD_BACK = (
    "{}, но после долгого молчания сеть может пока придержать интернет. "
    "Перезагрузите кассу, если его всё ещё нет."
)
# Which cards, the filter that shows them, and what is said of so many.
_ABOUT_CARDS: tuple[tuple[Callable[[CardFacts], bool], str, Callable[[int], str]], ...] = (
    (rules.lacks_payment, "unpaid", _counted("не оплачена", "не оплачены")),
    (rules.is_off_by_others, "attention", _counted("отключена не вами", "отключены не вами")),
    (
        rules.is_unclear,
        "unclear",
        lambda number: f"Уточняем у оператора состояние: {ru_format.cards(number)}.",
    ),
    (
        rules.waits_unused,
        "new",
        _counted("оплачена, но не включена", "оплачены, но не включены"),
    ),
    (
        rules.is_held_back,
        "held_back",
        lambda number: _HELD_BACK.format(_counted("работает", "работают")(number).rstrip(".")),
    ),
)


def _about_new_cards(groups: Sequence[Group], paid: Paid, role: Role) -> Iterator[Notice]:
    """New cards beyond the paid number, with what they cost and the way that carries their number."""
    beyond = total(groups, rules.is_in_use) - paid.slots
    number = min(beyond, total(groups, _new_and_not_chosen))
    if number <= 0 or not paid.live:
        return
    text = f"Не оплачено: {_new(number)} {ru_format.plural(number, *_CARDS)}."
    if paid.extendable is None or not roles.may(role, Right.PAY):
        yield Notice(text)
        return
    price = paid.extendable.price_of(number)
    cost = f": {ru_format.money(price)}" if price else ""
    terms = {"tariff": paid.extendable.tariff_id, "cards": paid.extendable.cards_with(number)}
    pk = paid.extendable.view.row.pk
    link = f"Оплатить ещё {ru_format.grouped(number)}{cost}"
    yield Notice(text, link, "subscription_change", urlencode(terms), pk)


def _new_and_not_chosen(facts: CardFacts) -> bool:
    return rules.is_in_use(facts) and not facts.covered and rules.card_state(facts) is CardState.NEW


def _about_slots(groups: Sequence[Group], paid: Paid, role: Role) -> Iterator[Notice]:
    chosen = total(groups, lambda facts: facts.covered)
    if not paid.live or paid.slots <= chosen or total(groups, rules.is_in_use) <= chosen:
        return
    verb = ru_format.plural(paid.slots, "Оплачена", "Оплачены", "Оплачено")
    cards = ru_format.counted(paid.slots, "карта", "карты", "карт")
    rest = f"выбрано {ru_format.grouped(chosen)}. Отметьте ещё." if chosen else "отметьте какие."
    text = f"{verb} {cards}, {rest}"
    yield _led(role, Right.CHOOSE_CARDS, Notice(text, "Выбрать карты", "choose_cards"))


def _led(role: Role, right: Right, notice: Notice) -> Notice:
    """The notice with its way to act, or without it for whoever may not go there."""
    return notice if roles.may(role, right) else Notice(notice.text, tone=notice.tone)
