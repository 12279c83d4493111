"""What the pages of mass operations show: who changes, who does not and why, what it costs, what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import ceil
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.db.models import Q

from cabinet.accounts import rules as roles
from cabinet.enums import Role
from cabinet.formatting import ru_format
from cabinet.formatting.ru_format import Pill, Tone
from cabinet.models import Merchant
from operators.models import SECRETS
from smartcards import texts
from smartcards.mass_operations import queries
from smartcards.mass_operations.services import RIGHTS
from smartcards.models import MassOperation, MassOperationCard
from smartcards.presentation.display_format import CardName, name_of
from smartcards.rules import shown_name
from smartcards.states import (
    MASS_SWITCHES,
    OPEN_COMMANDS,
    UNCONFIRMED_MASS,
    CardOutcome,
    CommandState,
    MassAction,
    MassState,
)
from subscriptions import pricing
from subscriptions.queries import live_subscriptions

PAGE_SIZE = 50
RECENT = 50


class RowGroup(StrEnum):
    """Cards of one kind of outcome; the value is in the address."""

    PLANNED = "planned"
    UNDER_WAY = "under_way"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXCLUDED = "excluded"


_TITLES = {
    RowGroup.PLANNED: "Изменятся",
    RowGroup.UNDER_WAY: "Выполняются",
    RowGroup.DONE: "Выполнено",
    RowGroup.FAILED: "Не выполнено",
    RowGroup.CANCELLED: "Отменены",
    RowGroup.EXCLUDED: "Не изменятся",
}
_ACCEPTED = Q(outcome=CardOutcome.ACCEPTED)
_ROWS = {
    RowGroup.PLANNED: Q(outcome=CardOutcome.PLANNED),
    RowGroup.UNDER_WAY: _ACCEPTED & Q(command__state__in=OPEN_COMMANDS),
    RowGroup.DONE: _ACCEPTED & (Q(command=None) | Q(command__state=CommandState.DONE)),
    RowGroup.FAILED: Q(outcome=CardOutcome.REFUSED) | Q(command__state=CommandState.FAILED),
    RowGroup.CANCELLED: Q(outcome=CardOutcome.REVERTED)
    | _ACCEPTED & Q(command__state=CommandState.CANCELLED),
    RowGroup.EXCLUDED: Q(outcome=CardOutcome.EXCLUDED),
}
_PILLS = {
    RowGroup.PLANNED: (Tone.ATTENTION, "Изменится"),
    RowGroup.UNDER_WAY: (Tone.PROGRESS, "Выполняется"),
    RowGroup.DONE: (Tone.WORKS, "Выполнено"),
    RowGroup.FAILED: (Tone.PROBLEM, "Не выполнено"),
    RowGroup.CANCELLED: (Tone.OFF, "Отменено"),
    RowGroup.EXCLUDED: (Tone.OFF, "Не изменится"),
}
# «Отключить 20 карт», «Отключаем 20 карт», «Отключение 20 карт».
_ASKED = {
    MassAction.ACTIVATE: "Включить",
    MassAction.DEACTIVATE: "Отключить",
    MassAction.CHOOSE: "Оплачивать",
    MassAction.UNCHOOSE: "Не оплачивать",
}
_NAMES = {
    MassAction.ACTIVATE: "Включение",
    MassAction.DEACTIVATE: "Отключение",
    MassAction.CHOOSE: "Выбор для оплаты",
    MassAction.UNCHOOSE: "Отказ от оплаты",
}
_STATES = {
    MassState.PREPARING: (Tone.PROGRESS, "Проверяем"),
    MassState.PREPARED: (Tone.ATTENTION, "Ждёт подтверждения"),
    MassState.CONFIRMED: (Tone.PROGRESS, "Выполняется"),
    MassState.RUNNING: (Tone.PROGRESS, "Выполняется"),
    MassState.CANCELLING: (Tone.PROGRESS, "Отменяется"),
    MassState.FINISHED: (Tone.WORKS, "Закончено"),
    MassState.CANCELLED: (Tone.OFF, "Отменено"),
}


@dataclass(frozen=True)
class Item:
    """One line of what it comes to: a term and its value."""

    term: str
    value: str


@dataclass(frozen=True)
class GroupLink:
    """A link to the cards of one kind, with their number."""

    title: str
    value: str
    count: int
    current: bool


@dataclass(frozen=True)
class MassRow:
    """One card: what becomes of it and why. `goes_dark`: it works now and will not."""

    name: CardName
    pill: Pill
    note: str
    goes_dark: bool


@dataclass(frozen=True)
class MassProgress:
    """The live part. `seen` names what the page was made for; `seconds` are left before anything leaves."""

    state: MassState
    title: str
    items: tuple[Item, ...]
    percent: int
    seconds: int
    seen: str
    live: bool


@dataclass(frozen=True)
class MassPage:
    """One operation. The texts of the buttons are empty where there is none.

    `warning`: what goes dark; `money`: what it costs now and what stays of the regular payment.
    """

    key: UUID
    title: str
    pill: Pill
    asked_by: str
    asked_at: datetime
    reason: str
    progress: MassProgress
    money: tuple[Item, ...]
    warning: str
    lacking: int
    number: int
    confirm_text: str
    cancel_text: str
    repeat_text: str
    is_off: bool
    groups: tuple[GroupLink, ...]
    rows: tuple[MassRow, ...]
    page: Page[MassOperationCard]

    @property
    def asks(self) -> bool:
        """Whether a person is to confirm it."""
        return self.progress.state == MassState.PREPARED


def mass_page(
    *, operation: MassOperation, role: Role | None, show: str, number: str, at: datetime
) -> MassPage:
    """The page of an operation for somebody with this role (None: staff); nine queries, however many cards."""
    found = _by_group(queries.counts(operation))
    chosen = _chosen(show, operation, found)
    page = _cards_page(operation, chosen, found[chosen], number)
    return MassPage(
        key=operation.key,
        title=title_of(operation),
        pill=state_pill(operation),
        asked_by=shown_name(operation.asked_by_kind, operation.asked_by),
        asked_at=operation.confirmed_at or operation.created_at,
        reason=operation.reason,
        progress=progress_of(operation, at, found),
        money=tuple(_money(operation, at)) if operation.state == MassState.PREPARED else (),
        warning=_warning(operation),
        lacking=operation.lacking,
        number=operation.planned,
        is_off=operation.action in {MassAction.DEACTIVATE, MassAction.UNCHOOSE},
        groups=_links(operation, found, chosen),
        rows=tuple(_row(row, chosen) for row in page.object_list),
        page=page,
        **_buttons(operation, role, found),
    )


def title_of(operation: MassOperation) -> str:
    """«Отключение 20 смарт-карт», as far as the number is known."""
    name, number = _NAMES[MassAction(operation.action)], operation.planned or operation.total
    return f"{name}: {ru_format.cards(number)}" if number else name


def state_pill(operation: MassOperation) -> Pill:
    """Where it is."""
    return Pill(*_STATES[MassState(operation.state)])


@dataclass(frozen=True)
class MassLine:
    """An operation in the list of them."""

    key: UUID
    title: str
    pill: Pill
    asked_by: str
    at: datetime


def recent(merchant: Merchant) -> tuple[MassLine, ...]:
    """The latest operations, the newest first."""
    return tuple(
        MassLine(
            key=row.key,
            title=title_of(row),
            pill=state_pill(row),
            asked_by=shown_name(row.asked_by_kind, row.asked_by),
            at=row.confirmed_at or row.created_at,
        )
        for row in queries.latest(merchant)[:RECENT]
    )


# --- progress ---------------------------------------------------------------------------------------


def progress_of(
    operation: MassOperation, at: datetime, found: Mapping[RowGroup, int] | None = None
) -> MassProgress:
    """The live part; one query where the numbers are not known yet."""
    numbers = _by_group(queries.counts(operation)) if found is None else found
    state, seconds = MassState(operation.state), seconds_left(operation, at)
    return MassProgress(
        state=state,
        title=_progress_title(operation, state, seconds),
        items=_numbers(operation, numbers),
        percent=_percent(operation, numbers),
        seconds=seconds,
        seen=f"{state}-{bool(seconds)}",
        live=state not in {MassState.PREPARED, MassState.FINISHED, MassState.CANCELLED},
    )


def seconds_left(operation: MassOperation, at: datetime) -> int:
    """How many seconds are left before anything leaves; 0 where nothing waits for that."""
    waits = operation.state in {MassState.CONFIRMED, MassState.RUNNING}
    if operation.starts_at is None or not waits:
        return 0
    return max(0, ceil((operation.starts_at - at).total_seconds()))


def _progress_title(operation: MassOperation, state: MassState, seconds: int) -> str:
    if seconds:
        verb = "Отправим" if operation.action in MASS_SWITCHES else "Сохраним"
        return f"{verb} через {ru_format.counted(seconds, 'секунду', 'секунды', 'секунд')}"
    return {
        MassState.PREPARING: "Проверяем смарт-карты",
        MassState.PREPARED: "",
        MassState.CONFIRMED: "Выполняем",
        MassState.RUNNING: "Ждём ответов операторов",
        MassState.CANCELLING: "Отменяем",
        MassState.FINISHED: "Закончено",
        MassState.CANCELLED: "Отменено",
    }[state]


def _numbers(operation: MassOperation, numbers: Mapping[RowGroup, int]) -> tuple[Item, ...]:
    shown: tuple[RowGroup, ...] = (RowGroup.PLANNED, RowGroup.EXCLUDED)
    if operation.state not in UNCONFIRMED_MASS:
        shown = (RowGroup.DONE, RowGroup.UNDER_WAY, RowGroup.FAILED, RowGroup.CANCELLED)
    return tuple(
        Item(_TITLES[group], ru_format.cards(numbers[group]))
        for group in shown
        if numbers[group] or group == shown[0]
    )


def _percent(operation: MassOperation, numbers: Mapping[RowGroup, int]) -> int:
    if operation.state == MassState.PREPARING:
        return 100 * operation.done // operation.total if operation.total else 0
    over = sum(numbers[group] for group in (RowGroup.DONE, RowGroup.FAILED, RowGroup.CANCELLED))
    return 100 * over // operation.planned if operation.planned else 100


def _by_group(counts: Mapping[tuple[str, str], int]) -> dict[RowGroup, int]:
    found = dict.fromkeys(RowGroup, 0)
    for (outcome, command_state), number in counts.items():
        group = group_of(outcome, command_state)
        if group is not None:
            found[group] += number
    return found


def group_of(outcome: str, command_state: str) -> RowGroup | None:
    """The group of a card; None while it is not judged. `command_state` is empty without a command."""
    if outcome != CardOutcome.ACCEPTED:
        return _OF_OUTCOME.get(outcome)
    if command_state in OPEN_COMMANDS:
        return RowGroup.UNDER_WAY
    return _OF_COMMAND.get(command_state, RowGroup.DONE)


_OF_OUTCOME: dict[str, RowGroup] = {
    CardOutcome.PLANNED: RowGroup.PLANNED,
    CardOutcome.EXCLUDED: RowGroup.EXCLUDED,
    CardOutcome.REFUSED: RowGroup.FAILED,
    CardOutcome.REVERTED: RowGroup.CANCELLED,
}
_OF_COMMAND: dict[str, RowGroup] = {
    CommandState.FAILED: RowGroup.FAILED,
    CommandState.CANCELLED: RowGroup.CANCELLED,
}


# --- cards ------------------------------------------------------------------------------------------


def _chosen(show: str, operation: MassOperation, found: Mapping[RowGroup, int]) -> RowGroup:
    if show in set(RowGroup):
        return RowGroup(show)
    first = [RowGroup.PLANNED, RowGroup.EXCLUDED]
    if operation.state not in UNCONFIRMED_MASS:
        first = [RowGroup.FAILED, RowGroup.UNDER_WAY, RowGroup.DONE, RowGroup.CANCELLED, *first]
    return next((group for group in first if found[group]), first[0])


def _links(
    operation: MassOperation, found: Mapping[RowGroup, int], chosen: RowGroup
) -> tuple[GroupLink, ...]:
    past = {} if operation.state in UNCONFIRMED_MASS else {RowGroup.EXCLUDED: "Не изменились"}
    return tuple(
        GroupLink((_TITLES | past)[group], group.value, found[group], group == chosen)
        for group in RowGroup
        if found[group]
    )


def _cards_page(
    operation: MassOperation, group: RowGroup, count: int, number: str
) -> Page[MassOperationCard]:
    rows = (
        operation.cards.filter(_ROWS[group])
        .order_by("position")
        .defer(*(f"card__account__{name}" for name in SECRETS))
    )
    shown = rows.select_related("card__account", "card__terminal__shop", "command")
    paginator: Paginator[MassOperationCard] = Paginator(shown, PAGE_SIZE)
    # Known already; counting again would be the slowest query.
    paginator.__dict__["count"] = count
    return paginator.get_page(number)


def _row(row: MassOperationCard, group: RowGroup) -> MassRow:
    command, note = row.command, row.reason
    if command is not None and group in {RowGroup.UNDER_WAY, RowGroup.FAILED, RowGroup.CANCELLED}:
        note = command.text or texts.STEP[CommandState(command.state)]
    goes_dark = row.goes_dark and group == RowGroup.PLANNED and row.card.terminal_id is not None
    return MassRow(name_of(row.card), Pill(*_PILLS[group]), note, goes_dark)


# --- money, warnings, buttons -----------------------------------------------------------------------


def _money(operation: MassOperation, at: datetime) -> list[Item]:
    """What it costs now, and that the regular payment stays as it is: it is the market's, by paid cards."""
    items = []
    if operation.action in MASS_SWITCHES:
        on = operation.action == MassAction.ACTIVATE
        fee = ru_format.money(operation.fee_kopecks) if operation.fee_kopecks else "бесплатно"
        items.append(Item("Плата за включение" if on else "Плата за отключение", fee))
    live = live_subscriptions(at).filter(merchant=operation.merchant_id).select_related("tariff")
    for row in live.order_by("pk"):
        if row.tariff is None:
            continue
        whole = ru_format.money(pricing.price(row.tariff.price_kopecks, row.cards_now))
        months = ru_format.months(row.tariff.months)
        items.append(Item("Подписка", f"{whole} за {months}, не изменится"))
        if operation.lacking:
            more = ru_format.money(pricing.price(row.tariff.price_kopecks, operation.lacking))
            items.append(
                Item(f"Оплатить ещё {_accusative(operation.lacking)}", f"{more} за {months}")
            )
    return items


def _warning(operation: MassOperation) -> str:
    number = operation.dark_terminals
    if operation.state != MassState.PREPARED or not number:
        return ""
    stays = ru_format.plural(number, "останется", "останутся", "останутся")
    tills = ru_format.counted(number, "касса", "кассы", "касс")
    return (
        f"Без связи {stays} {tills}. Если чеки не передать в налоговую за 30{ru_format.NBSP}дней, "
        "фискальный накопитель заблокируется и касса перестанет работать."
    )


def _buttons(
    operation: MassOperation, role: Role | None, found: Mapping[RowGroup, int]
) -> dict[str, str]:
    may = role is None or roles.may(role, RIGHTS[MassAction(operation.action)])
    asks = may and operation.state == MassState.PREPARED and operation.planned
    failed = found[RowGroup.FAILED] if operation.state == MassState.FINISHED else 0
    return {
        "confirm_text": _confirm_text(operation) if asks else "",
        "cancel_text": _cancel_text(operation) if may else "",
        "repeat_text": "Повторить только неудачные" if may and failed else "",
    }


def _confirm_text(operation: MassOperation) -> str:
    return f"{_ASKED[MassAction(operation.action)]} {_accusative(operation.planned)}"


def _accusative(number: int) -> str:
    return ru_format.counted(number, "карту", "карты", "карт")


def _cancel_text(operation: MassOperation) -> str:
    if operation.state in {MassState.PREPARING, MassState.PREPARED}:
        return "Не выполнять"
    if operation.state == MassState.CONFIRMED:
        return "Отменить"
    switches = operation.action in MASS_SWITCHES
    return "Отменить" if operation.state == MassState.RUNNING and switches else ""
