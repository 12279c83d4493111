"""A switch under way, step by step, with the operator's usual times."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from cabinet import wording
from cabinet.models import Merchant
from operators.ports import OUR_QUOTA
from smartcards import phrases
from smartcards.models import Command, CommandStep, SmartCard
from smartcards.pages import troubles, words
from smartcards.queries import shown_name
from smartcards.states import OPEN_COMMANDS, CommandKind, CommandState

_OPEN = sorted(state.value for state in OPEN_COMMANDS)


@dataclass(frozen=True)
class Step:
    """One of the three steps; `state` is done, current or waiting, `hint` its time or what it waits for."""

    text: str
    state: str
    hint: str = ""


@dataclass(frozen=True)
class Progress:
    """`title` says what goes on, `promise` how long it takes, `said` is read aloud on a change.

    With a `trouble` the request waits for its end, and no time is promised.
    """

    state: str
    title: str
    steps: tuple[Step, ...]
    asked_by: str
    asked_at: datetime
    promise: str
    said: str
    trouble: str = ""


# How many of the three steps are behind, and what the current one is waiting for.
_STANDING: dict[CommandState, tuple[int, str]] = {
    CommandState.QUEUED: (1, "ждёт своей очереди"),
    CommandState.SENDING: (1, "отправляем"),
    CommandState.ACCEPTED: (2, "ждём ответ оператора"),
    CommandState.CHECKING: (2, "уточняем у оператора"),
    CommandState.NEEDS_STAFF: (2, "выясняет сотрудник сервиса"),
}
_TITLES = {
    CommandKind.ACTIVATE: "Включаем смарт-карту",
    CommandKind.DEACTIVATE: "Отключаем смарт-карту",
}
_STEPS = ("Принято", "Отправлено оператору", "Подтверждено")
# What has not left must not read as if it had.
_AHEAD = {"Отправлено оператору": "Отправка оператору"}


def progress_of(*, card: SmartCard, merchant: Merchant, at: datetime) -> Progress | None:
    """The command on its way for this card, or None: two queries, three of one in the queue."""
    command = Command.objects.filter(card=card, state__in=_OPEN).select_related("account").first()
    if command is None:
        return None
    steps = list(CommandStep.objects.filter(command=command).order_by("pk"))
    zone = ZoneInfo(merchant.timezone)
    trouble = _trouble(command, zone, at)
    behind, waits_for = _standing(command, zone, at, trouble=trouble)
    title = _TITLES[CommandKind(command.kind)]
    return Progress(
        state=command.state,
        title=title,
        steps=_three(command, steps, behind, waits_for, zone, at),
        asked_by=shown_name(command.asked_by_kind, command.asked_by),
        asked_at=command.created_at,
        promise="" if trouble else _promise(command, at),
        said=trouble or f"{title}: {waits_for}",
        trouble=trouble,
    )


def _trouble(command: Command, zone: ZoneInfo, at: datetime) -> str:
    found = troubles.trouble_of(command.account, zone, at)
    if found is not None and found.holds(command.state):
        return troubles.about_command(found, command)
    return troubles.brake_on(command)


def _standing(command: Command, zone: ZoneInfo, at: datetime, *, trouble: str) -> tuple[int, str]:
    behind, waits_for = _STANDING[CommandState(command.state)]
    # In trouble the queue has no hour of its own: it moves when the trouble is over.
    if command.state != CommandState.QUEUED or command.due_at <= at or trouble:
        return behind, waits_for
    then = words.by_then(command.due_at, zone, at)
    if command.code == OUR_QUOTA:
        return behind, waits_for
    if command.error:
        return behind, _again(command, then)
    return behind, f"по правилам оператора не раньше {then}"


def _again(command: Command, then: str) -> str:
    """Whose trouble brought it back to the queue, and when it goes again."""
    said = phrases.why_waits(command.error, command.code)
    said = f"{said[:1].lower()}{said[1:]}"
    return f"{said} не раньше {then}" if said.endswith("повторим сами") else said


def _three(
    command: Command,
    steps: list[CommandStep],
    behind: int,
    waits_for: str,
    zone: ZoneInfo,
    at: datetime,
) -> tuple[Step, ...]:
    times = (command.created_at, _left_at(command, steps))
    hints = [wording.moment(time, zone, at) if time else "" for time in times]
    return tuple(
        Step(text, "done", hints[place])
        if place < behind
        else Step(
            _AHEAD.get(text, text),
            "current" if place == behind else "waiting",
            waits_for if place == behind else "",
        )
        for place, text in enumerate(_STEPS)
    )


def _left_at(command: Command, steps: list[CommandStep]) -> datetime | None:
    """When it last went to the operator: a refused attempt may have brought it back to the queue."""
    sent = [step.at for step in steps if step.state == CommandState.SENDING]
    return sent[-1] if sent else command.sent_at


def _promise(command: Command, at: datetime) -> str:
    """Staff hear of a command past the contract's worst time, so only then we say that we know."""
    waited = (at - command.created_at).total_seconds()
    promise = words.promise_of(command.account, at)
    if promise.waits and waited <= command.account.worst_seconds:
        return f"{promise}. {_NO_NEED_TO_WAIT}"
    if waited <= promise.usual:
        return f"{promise}."
    if waited <= promise.worst:
        return f"Дольше обычного. {promise}. {_NO_NEED_TO_WAIT}"
    if waited <= command.account.worst_seconds:
        return f"Заметно дольше обычного. {_NO_NEED_TO_WAIT}"
    return "Очень долго. Мы уже знаем об этом и разбираемся с оператором."


_NO_NEED_TO_WAIT = "Ждать здесь не нужно: мы доведём дело до конца."
