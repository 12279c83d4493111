"""The page of one card: does it work, is it paid, why so, and what may be done."""

from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from cabinet import rules as roles
from cabinet.models import Merchant
from cabinet.states import Right, Role
from cabinet.wording import Pill
from smartcards import phrases, queries, rules
from smartcards.models import Command, SmartCard
from smartcards.pages import offers, payment, progress, terms, timeline, troubles, words
from smartcards.pages.offers import Deed, Offer
from smartcards.pages.payment import Payment
from smartcards.pages.progress import Progress
from smartcards.pages.timeline import Timeline
from smartcards.pages.words import Number
from smartcards.rules import BLOCK_ADVICE, CardFacts
from smartcards.states import CardState, CommandKind, CommandState, Confirmed, WhyOff, Withdrawal


@dataclass(frozen=True)
class Why:
    """Why a card is as it is: a sentence, and whose decision or word that was."""

    text: str
    who: str = ""
    at: datetime | None = None


@dataclass(frozen=True)
class Failure:
    """The last command was not done: what happened, what comes next, when it is tried again by itself."""

    title: str
    text: str
    next_step: str
    retry_at: datetime | None


@dataclass(frozen=True)
class Link:
    """Another card of the merchant."""

    pk: int
    title: str


@dataclass(frozen=True)
class HeldBack:
    """It works, and the network may keep its data back: till when, why, and what to do."""

    title: str
    advice: str


@dataclass(frozen=True)
class CardPage:
    """Everything the page of a card shows. `offers` is empty while all one can do is wait.

    `promise` and `trouble` speak of a switch to come, `progress` of the one under way.
    """

    pk: int
    title: str
    label: str
    place: str
    operator: str
    number: Number
    msisdn: str
    pill: Pill
    works: str
    why: Why
    payment: Payment
    offers: tuple[Offer, ...]
    progress: Progress | None
    failure: Failure | None
    timeline: Timeline
    may_describe: bool
    may_withdraw: bool
    promise: str = ""
    trouble: str = ""
    held_back: HeldBack | None = None
    replaced_by: Link | None = None
    replaces: Link | None = None
    identity: str = ""
    identity_at: datetime | None = None

    @property
    def switchable(self) -> bool:
        """Whether the main button can be pressed and starts a switch that the operator has to do."""
        switches = {Deed.ACTIVATE, Deed.DEACTIVATE}
        return any(not offer.reason and offer.deed in switches for offer in self.offers[:1])

    @property
    def pressable(self) -> bool:
        """Whether there is anything to do with the card now."""
        return any(not offer.reason for offer in self.offers)

    @property
    def letter(self) -> str:
        """The subject of a letter to the support: enough to find the card, nothing secret."""
        return f"Смарт-карта …{self.number.tail}: {self.pill.text}"


def card_page(
    *, card: SmartCard, merchant: Merchant, role: Role, at: datetime, whole_history: bool = False
) -> CardPage:
    """The page of a card that came through `queries.with_facts`: about six more queries."""
    facts = queries.facts_of(card, at)
    zone = ZoneInfo(merchant.timezone)
    failure = _failure(card, facts, at)
    limit = timeline.LONG if whole_history else timeline.SHORT
    under_way = progress.progress_of(card=card, merchant=merchant, at=at)
    promise, trouble = _before_a_switch(card, zone, at) if under_way is None else ("", "")
    return CardPage(
        pk=card.pk,
        title=words.title_of(card),
        label=card.label,
        place=words.place_of(card),
        operator=card.account.title,
        number=words.number_of(card),
        msisdn=card.msisdn,
        pill=phrases.pill(facts),
        works=_works(facts),
        why=_FAILED_WHY if failure and not facts.withdrawn else _why(card, facts),
        payment=payment.payment_of(card, at),
        offers=_offers(card, facts, role, zone, at),
        progress=under_way,
        failure=failure,
        timeline=timeline.timeline_of(card=card, merchant=merchant, limit=limit),
        may_describe=roles.may(role, Right.CHOOSE_CARDS) and not facts.withdrawn,
        may_withdraw=offers.may_withdraw(facts, role),
        promise=promise,
        trouble=trouble,
        held_back=_held_back(card, facts, zone, at),
        replaced_by=_link(card.replaced_by),
        replaces=_link(SmartCard.objects.filter(replaced_by=card).first()),
        identity=phrases.IDENTITY_STATES.get(card.identity, ""),
        identity_at=card.identity_at,
    )


def _before_a_switch(card: SmartCard, zone: ZoneInfo, at: datetime) -> tuple[str, str]:
    """The promise or the trouble: no time is promised while the operator takes nothing."""
    found = troubles.trouble_of(card.account, zone, at)
    if found is not None:
        return "", troubles.before_any_switch(found)
    return f"{words.promise_of(card.account, at)}.", ""


def _offers(
    card: SmartCard, facts: CardFacts, role: Role, zone: ZoneInfo, at: datetime
) -> tuple[Offer, ...]:
    """The buttons; the steps of a switch under way say better than a dead button why to wait."""
    found = offers.offers(facts, role, readable=queries.tells_state(card.account))
    waiting = facts.open_command is not None and found and found[0].deed is Deed.ACTIVATE
    return () if waiting else tuple(_priced(offer, card, zone, at) for offer in found)


def _priced(offer: Offer, card: SmartCard, zone: ZoneInfo, at: datetime) -> Offer:
    """The button with what the contract and the network add to it."""
    if offer.reason or offer.deed not in {Deed.ACTIVATE, Deed.DEACTIVATE}:
        return offer
    if offer.deed is Deed.ACTIVATE:
        found = terms.activation_terms(card, zone, at)
        offer = replace(offer, costs=found.asks_first)
    else:
        found = terms.deactivation_terms(card, zone, at)
    said = [offer.hint, *(f"{fee.term}: {fee.value}." for fee in found.fees), *found.hints]
    return replace(offer, hint=" ".join(filter(None, said)))


def _held_back(card: SmartCard, facts: CardFacts, zone: ZoneInfo, at: datetime) -> HeldBack | None:
    if not facts.held_back or rules.card_state(facts) is not CardState.ACTIVE:
        return None
    return HeldBack(terms.held_back(card, zone, at), terms.held_back_advice(card.account))


def _link(card: SmartCard | None) -> Link | None:
    return Link(card.pk, words.short_name(card)) if card is not None else None


def _works(facts: CardFacts) -> str:
    if facts.withdrawn and facts.confirmed == Confirmed.ACTIVE:
        return "Пока да, отключаем"
    if facts.held_back and rules.card_state(facts) is CardState.ACTIVE:
        return "Работает, интернет может появиться не сразу"
    return {
        CardState.ACTIVE: "Да, работает",
        CardState.ACTIVATING: "Пока нет, включаем",
        CardState.DEACTIVATING: "Отключаем",
        CardState.UNCLEAR: "Уточняем у оператора",
    }.get(rules.card_state(facts), "Нет")


def _why(card: SmartCard, facts: CardFacts) -> Why:
    state = rules.card_state(facts)
    if facts.withdrawn:
        return _why_withdrawn(card)
    if state is CardState.INACTIVE:
        return _why_off(card, facts)
    if state is CardState.ACTIVE:
        return _why_on(card, facts)
    if state is CardState.NEW:
        return Why(_NEW_PAID if facts.paid else _NEW_UNPAID)
    return Why(_SENTENCES[state])


def _why_withdrawn(card: SmartCard) -> Why:
    said = Withdrawal(card.withdrawn_because).label
    who, _ = _wish_of(card)
    return Why(f"Смарт-карта {said} и выведена из работы", who, card.withdrawn_at)


_NEW_PAID = "Смарт-карта ещё не включалась. Вставьте её в кассу и нажмите «Активировать»."
_NEW_UNPAID = "Смарт-карта ещё не включалась."
_SENTENCES = {
    CardState.ACTIVATING: "Запрос на включение выполняется.",
    CardState.DEACTIVATING: "Запрос на отключение выполняется.",
    CardState.UNCLEAR: "Оператор не дал понятного ответа. Мы спросим его ещё раз и ничего не сделаем вслепую.",
    CardState.RETIRED: "Оператор списал смарт-карту навсегда. Вместо неё можно заказать новую.",
}


def _why_on(card: SmartCard, facts: CardFacts) -> Why:
    if rules.target_on(facts):
        return Why("Подтвердил оператор", card.account.title, card.confirmed_at)
    if facts.wished_on is False:
        return Why("Решение об отключении, оператор его пока не выполнил", *_wish_of(card))
    if troubles.stays_on(facts) and troubles.is_braked():
        return Why(f"Больше не оплачена. {troubles.BRAKED}")
    if facts.wished_on:
        return Why("Работает, но больше не оплачена и скоро отключится.")
    return Why("Включена у оператора, решения об этом в сервисе не было.")


def _why_off(card: SmartCard, facts: CardFacts) -> Why:
    reason = rules.why_off(facts)
    if reason in BLOCK_ADVICE:
        return Why(BLOCK_ADVICE[reason])
    if reason in {WhyOff.PERSON, WhyOff.STAFF}:
        return Why(_OFF_BY_WISH, *_wish_of(card))
    if reason is WhyOff.UNPAID:
        return Why(_UNPAID_COVERED if facts.covered else _UNPAID_NOT_CHOSEN)
    return Why(_OFF_UNKNOWN if facts.wished_on is None or not facts.paid else _OFF_WAITING)


_OFF_BY_WISH = "Решение об отключении"
_UNPAID_COVERED = "Подписка закончилась. После оплаты смарт-карта включится сама."
_UNPAID_NOT_CHOSEN = "Смарт-карта не выбрана для оплаты. Выберите её, и она включится сама."
_OFF_UNKNOWN = "Причина неизвестна: включать смарт-карту никто не просил."
_OFF_WAITING = "Отключена у оператора. Мы включим её сами, или нажмите «Активировать»."
_FAILED_WHY = Why("Последний запрос оператор не выполнил.")


def _wish_of(card: SmartCard) -> tuple[str, datetime | None]:
    return queries.shown_name(card.wished_by_kind, card.wished_by), card.wished_at


_FAILED = {
    CommandKind.ACTIVATE: "Включить не удалось",
    CommandKind.DEACTIVATE: "Отключить не удалось",
}


def _failure(card: SmartCard, facts: CardFacts, at: datetime) -> Failure | None:
    """The last command, if it failed and the card is still not as it was asked to be."""
    newest = Command.objects.filter(card=card).order_by("-created_at", "-pk").first()
    if newest is None or newest.state != CommandState.FAILED or _reached(newest, facts):
        return None
    if queries.is_overcome(newest, card):
        return None
    retry_at = _retry_at(card, facts, newest, at)
    return Failure(
        title=_FAILED[CommandKind(newest.kind)],
        text=phrases.failure(newest.error, newest.code),
        next_step=_next_step(newest, retry_at, at),
        retry_at=retry_at if retry_at and retry_at > at else None,
    )


def _reached(command: Command, facts: CardFacts) -> bool:
    works = facts.confirmed == Confirmed.ACTIVE
    return works == (command.kind == CommandKind.ACTIVATE) or (bool(facts.withdrawn) and not works)


def _next_step(failed: Command, retry_at: datetime | None, at: datetime) -> str:
    if retry_at is not None:
        return _WILL_REPEAT if retry_at > at else _REPEATS_SOON
    if failed.code.startswith(phrases.IDENTITY_CODE):
        return "Потом нажмите «Активировать» ещё раз."
    if phrases.lacks_number(failed.error, failed.code):
        return "Потом смарт-карта включится сама, если оплачена."
    if failed.error in rules.PERMANENT_ERRORS:
        return "Повтор не поможет, напишите нам."
    return "Попробуйте ещё раз или напишите нам."


_WILL_REPEAT = "Мы повторим сами. Ждать не обязательно: кнопку можно нажать и сейчас."
_REPEATS_SOON = "Мы вот-вот повторим сами."


def _retry_at(card: SmartCard, facts: CardFacts, failed: Command, at: datetime) -> datetime | None:
    """When reconcile will try again by itself, if it will at all."""
    if failed.finished_at is None or rules.next_command(facts) != failed.kind:
        return None
    failures = len(queries.failures_that_count(card, CommandKind(failed.kind), at))
    return rules.retry_at(error=failed.error, failures=failures, failed_at=failed.finished_at)
