"""The page of one card: does it work, is it paid, why so, and what may be done."""

from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from cabinet.accounts import rules as roles
from cabinet.enums import Right, Role
from cabinet.formatting.ru_format import Pill
from cabinet.models import Merchant
from smartcards import queries, rules, texts
from smartcards.models import Command, SmartCard
from smartcards.presentation import (
    actions,
    display_format,
    outages,
    payment,
    progress,
    switch_conditions,
    timeline,
)
from smartcards.presentation.actions import ActionButton, CardAction
from smartcards.presentation.display_format import CardName
from smartcards.presentation.payment import Payment
from smartcards.presentation.progress import Progress
from smartcards.presentation.timeline import Timeline
from smartcards.rules import BLOCK_ADVICE, CardFacts
from smartcards.states import (
    CardState,
    CommandKind,
    CommandState,
    OffReason,
    OperatorState,
)


@dataclass(frozen=True)
class Why:
    """Why a card is as it is: a sentence, and whose decision or report it rests on."""

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
    """It works, and the network may hold back its data: until when, why, and what to do."""

    title: str
    advice: str


@dataclass(frozen=True)
class CardPage:
    """Everything the page of a card shows. `buttons` is empty while all one can do is wait.

    `promise` and `outage` are about the next switch, `progress` about the one under way.
    """

    name: CardName
    pill: Pill
    works: str
    why: Why
    payment: Payment
    buttons: tuple[ActionButton, ...]
    progress: Progress | None
    failure: Failure | None
    timeline: Timeline
    may_describe: bool
    may_withdraw: bool
    promise: str = ""
    outage: str = ""
    held_back: HeldBack | None = None
    replaced_by: Link | None = None
    replaces: Link | None = None
    identity: str = ""
    identity_at: datetime | None = None

    @property
    def switchable(self) -> bool:
        """Whether the main button can be pressed and starts a switch that the operator has to do."""
        switches = {CardAction.ACTIVATE, CardAction.DEACTIVATE}
        return any(not button.reason and button.action in switches for button in self.buttons[:1])

    @property
    def pressable(self) -> bool:
        """Whether there is anything to do with the card now."""
        return any(not button.reason for button in self.buttons)

    @property
    def mail_subject(self) -> str:
        """The subject of a message to the support: enough to find the card, nothing secret."""
        return f"Смарт-карта …{self.name.tail}: {self.pill.text}"


def card_page(
    *, card: SmartCard, merchant: Merchant, role: Role, at: datetime, whole_history: bool = False
) -> CardPage:
    """The page of a card that came through `queries.with_facts`: about six more queries."""
    facts = queries.facts_of(card, at)
    zone = ZoneInfo(merchant.timezone)
    failure = _failure(card, facts, at)
    limit = timeline.LONG if whole_history else timeline.SHORT
    under_way = progress.progress_of(card=card, merchant=merchant, at=at)
    promise, outage = _before_a_switch(card, zone, at) if under_way is None else ("", "")
    return CardPage(
        name=display_format.name_of(card),
        pill=texts.pill(facts),
        works=_works(facts),
        why=_why_now(card, facts, failure),
        payment=payment.payment_of(card, at),
        buttons=_buttons(card, facts, role, zone, at),
        progress=under_way,
        failure=failure,
        timeline=timeline.timeline_of(card=card, merchant=merchant, limit=limit),
        may_describe=roles.may(role, Right.CHOOSE_CARDS) and not facts.withdrawn,
        may_withdraw=actions.may_withdraw(facts, role),
        promise=promise,
        outage=outage,
        held_back=_held_back(card, facts, zone, at),
        replaced_by=_link(card.replaced_by),
        replaces=_link(SmartCard.objects.filter(replaced_by=card).first()),
        identity=texts.IDENTITY_STATES.get(card.identity, ""),
        identity_at=card.identity_at,
    )


def why_so(card: SmartCard, at: datetime) -> Why:
    """«Почему так» of a card that came through `queries.with_facts`, as its merchant reads it."""
    facts = queries.facts_of(card, at)
    return _why_now(card, facts, _failure(card, facts, at))


def _why_now(card: SmartCard, facts: CardFacts, failure: Failure | None) -> Why:
    if failure and not facts.withdrawn:
        return Why("Последний запрос оператор не выполнил.")
    return _why(card, facts)


def _before_a_switch(card: SmartCard, zone: ZoneInfo, at: datetime) -> tuple[str, str]:
    """The promise or the trouble: no time is promised while the operator takes nothing."""
    found = outages.outage_of(card.account, zone, at)
    if found is not None:
        return "", outages.before_any_switch(found)
    return f"{display_format.eta_text(display_format.eta_of(card.account, at))}.", ""


def _buttons(
    card: SmartCard, facts: CardFacts, role: Role, zone: ZoneInfo, at: datetime
) -> tuple[ActionButton, ...]:
    """The buttons; the steps of a switch under way say better than a dead button why to wait."""
    found = actions.action_buttons(facts, role, readable=queries.tells_state(card.account))
    waiting = facts.open_command is not None and found and found[0].action is CardAction.ACTIVATE
    return () if waiting else tuple(_priced(button, card, zone, at) for button in found)


def _priced(button: ActionButton, card: SmartCard, zone: ZoneInfo, at: datetime) -> ActionButton:
    """The button with what the contract and the network add to it."""
    if button.reason or button.action not in {CardAction.ACTIVATE, CardAction.DEACTIVATE}:
        return button
    if button.action is CardAction.ACTIVATE:
        kind, found = CommandKind.ACTIVATE, switch_conditions.activation_terms(card, zone, at)
        button = replace(button, costs=found.asks_first)
    else:
        kind, found = CommandKind.DEACTIVATE, switch_conditions.deactivation_terms(card, zone, at)
    fees = [f"{fee.term}: {fee.value}." for fee in found.fees]
    hints = [button.hint, *fees, *switch_conditions.switch_hints(card, kind, zone, at)]
    return replace(button, hint=" ".join(filter(None, hints)))


def _held_back(card: SmartCard, facts: CardFacts, zone: ZoneInfo, at: datetime) -> HeldBack | None:
    if not facts.held_back or rules.card_state(facts) is not CardState.ACTIVE:
        return None
    title = switch_conditions.held_back(card, zone, at)
    return HeldBack(title, switch_conditions.held_back_advice(card.account))


def _link(card: SmartCard | None) -> Link | None:
    return Link(card.pk, display_format.short_name(card)) if card is not None else None


def _works(facts: CardFacts) -> str:
    if facts.withdrawn and facts.confirmed == OperatorState.ACTIVE:
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
        who, _ = _decision_of(card)
        reason = rules.withdrawal_label(facts)
        return Why(f"Смарт-карта {reason} и выведена из работы", who, card.withdrawn_at)
    if state is CardState.INACTIVE:
        return _why_off(card, facts)
    if state is CardState.ACTIVE:
        return _why_on(card, facts)
    if state is CardState.NEW:
        how = " Вставьте её в кассу и нажмите «Активировать»." if facts.paid else ""
        return Why(f"Смарт-карта ещё не включалась.{how}")
    return Why(_SENTENCES[state])


_SENTENCES = {
    CardState.ACTIVATING: "Запрос на включение выполняется.",
    CardState.DEACTIVATING: "Запрос на отключение выполняется.",
    CardState.UNCLEAR: "Оператор не дал понятного ответа. Мы спросим его ещё раз и ничего не сделаем вслепую.",
    CardState.RETIRED: "Оператор списал смарт-карту навсегда. Вместо неё можно заказать новую.",
}


def _why_on(card: SmartCard, facts: CardFacts) -> Why:
    if rules.target_on(facts):
        return Why("Подтвердил оператор", card.account.title, card.confirmed_at)
    if facts.desired_on is False:
        return Why("Решение об отключении, оператор его пока не выполнил", *_decision_of(card))
    if outages.stays_on(facts) and outages.is_braked():
        return Why(f"Больше не оплачена. {outages.BRAKED}")
    if facts.desired_on:
        return Why("Работает, но больше не оплачена и скоро отключится.")
    return Why("Включена у оператора, решения об этом в сервисе не было.")


def _why_off(card: SmartCard, facts: CardFacts) -> Why:
    reason = rules.off_reason(facts)
    if reason in BLOCK_ADVICE:
        return Why(BLOCK_ADVICE[reason])
    if reason in {OffReason.PERSON, OffReason.STAFF}:
        return Why("Решение об отключении", *_decision_of(card))
    if reason is OffReason.UNPAID and facts.covered:
        return Why("Подписка закончилась. После оплаты смарт-карта включится сама.")
    if reason is OffReason.UNPAID:
        return Why("Смарт-карта не выбрана для оплаты. Выберите её, и она включится сама.")
    if facts.desired_on is None or not facts.paid:
        return Why("Причина неизвестна: включать смарт-карту никто не просил.")
    return Why("Отключена у оператора. Мы включим её сами, или нажмите «Активировать».")


def _decision_of(card: SmartCard) -> tuple[str, datetime | None]:
    return rules.shown_name(card.desired_by_kind, card.desired_by), card.desired_at


def _failure(card: SmartCard, facts: CardFacts, at: datetime) -> Failure | None:
    """The last command, if it failed and the card is still not as it was asked to be."""
    newest = Command.objects.filter(card=card).order_by("-created_at", "-pk").first()
    if newest is None or newest.state != CommandState.FAILED or _reached(newest, facts):
        return None
    if queries.is_overcome(newest, card):
        return None
    retry_at = _retry_at(card, facts, newest, at)
    verb = "Включить" if newest.kind == CommandKind.ACTIVATE else "Отключить"
    return Failure(
        title=f"{verb} не удалось",
        text=texts.failure(newest.error, newest.code),
        next_step=_next_step(newest, retry_at, at),
        retry_at=retry_at if retry_at and retry_at > at else None,
    )


def _reached(command: Command, facts: CardFacts) -> bool:
    works = facts.confirmed == OperatorState.ACTIVE
    return works == (command.kind == CommandKind.ACTIVATE) or (bool(facts.withdrawn) and not works)


def _next_step(failed: Command, retry_at: datetime | None, at: datetime) -> str:
    if retry_at is not None and retry_at > at:
        return "Мы повторим сами. Ждать не обязательно: кнопку можно нажать и сейчас."
    if retry_at is not None:
        return "Мы вот-вот повторим сами."
    if failed.code in texts.NOT_CONFIRMED:
        return "Потом нажмите «Активировать» ещё раз."
    if texts.lacks_number(failed.error, failed.code):
        return "Потом смарт-карта включится сама, если оплачена."
    if failed.error in rules.PERMANENT_ERRORS:
        return "Повтор не поможет, напишите нам."
    return "Попробуйте ещё раз или напишите нам."


def _retry_at(card: SmartCard, facts: CardFacts, failed: Command, at: datetime) -> datetime | None:
    """When reconcile will try again by itself, if it will at all."""
    if failed.finished_at is None or rules.next_command(facts) != failed.kind:
        return None
    failures = len(queries.failures_that_count(card, CommandKind(failed.kind), at))
    return rules.retry_at(error=failed.error, failures=failures, failed_at=failed.finished_at)
