"""A switch under way, step by step, with the operator's usual times."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from cabinet.formatting import ru_format
from cabinet.models import Merchant
from operators.ports import OurCode
from smartcards import texts
from smartcards.models import Command, CommandStep, SmartCard
from smartcards.presentation import display_format, outages
from smartcards.rules import shown_name
from smartcards.states import OPEN_COMMANDS, CommandKind, CommandState


@dataclass(frozen=True)
class Step:
    """One of the three steps; `state` is done, current or waiting, `hint` its time or what it waits for."""

    text: str
    state: str
    hint: str = ""


@dataclass(frozen=True)
class Progress:
    """`title`: what is under way; `promise`: how long it takes; `announcement`: for screen readers.

    With an `outage` the request waits for its end, and no time is promised.
    """

    state: str
    title: str
    steps: tuple[Step, ...]
    asked_by: str
    asked_at: datetime
    promise: str
    announcement: str
    outage: str = ""


_WAITS_FOR: dict[CommandState, str] = {
    CommandState.QUEUED: "ждёт своей очереди",
    CommandState.SENDING: "отправляем",
    CommandState.ACCEPTED: "ждём ответ оператора",
    CommandState.CHECKING: "уточняем у оператора",
    CommandState.NEEDS_STAFF: "выясняет сотрудник сервиса",
}
_TITLES = {
    CommandKind.ACTIVATE: "Включаем смарт-карту",
    CommandKind.DEACTIVATE: "Отключаем смарт-карту",
}


def progress_of(*, card: SmartCard, merchant: Merchant, at: datetime) -> Progress | None:
    """The command on its way for this card, or None: two queries, three of one in the queue."""
    command = (
        Command.objects.filter(card=card, state__in=OPEN_COMMANDS).select_related("account").first()
    )
    if command is None:
        return None
    zone = ZoneInfo(merchant.timezone)
    outage = _outage(command, zone, at)
    waits_for = _waits_for(command, zone, at, outage=outage)
    title = _TITLES[CommandKind(command.kind)]
    return Progress(
        state=command.state,
        title=title,
        steps=_steps(command, waits_for, zone, at),
        asked_by=shown_name(command.asked_by_kind, command.asked_by),
        asked_at=command.created_at,
        promise="" if outage else _promise(command, at),
        announcement=outage or f"{title}: {waits_for}",
        outage=outage,
    )


def _outage(command: Command, zone: ZoneInfo, at: datetime) -> str:
    found = outages.outage_of(command.account, zone, at)
    if found is not None and found.holds(command.state):
        return outages.about_command(found, command)
    return outages.brake_on(command)


def _waits_for(command: Command, zone: ZoneInfo, at: datetime, *, outage: str) -> str:
    """What the step under way is waiting for."""
    usual = _WAITS_FOR[CommandState(command.state)]
    # In trouble the queue has no hour of its own: it moves when the trouble is over.
    if command.state != CommandState.QUEUED or command.due_at <= at or outage:
        return usual
    if command.code == OurCode.QUOTA:
        return usual
    then = f"не раньше {ru_format.by_then(command.due_at, zone, at)}"
    if not command.error:
        return f"по правилам оператора {then}"
    reason = texts.why_waits(command.error, command.code)
    reason = f"{reason[:1].lower()}{reason[1:]}"
    return reason if texts.waits_for_staff(command.error, command.code) else f"{reason} {then}"


def _steps(command: Command, waits_for: str, zone: ZoneInfo, at: datetime) -> tuple[Step, ...]:
    accepted = Step("Принято", "done", ru_format.moment(command.created_at, zone, at))
    if command.state in {CommandState.QUEUED, CommandState.SENDING}:
        # What has not left must not read as if it had.
        sending = Step("Отправка оператору", "current", waits_for)
        return accepted, sending, Step("Подтверждено", "waiting")
    sent_at = _sent_at(command)
    sent = Step(
        "Отправлено оператору", "done", ru_format.moment(sent_at, zone, at) if sent_at else ""
    )
    return accepted, sent, Step("Подтверждено", "current", waits_for)


def _sent_at(command: Command) -> datetime | None:
    """When it last went to the operator: a refused attempt may have brought it back to the queue."""
    steps = CommandStep.objects.filter(command=command, state=CommandState.SENDING)
    last = steps.order_by("-pk").first()
    return last.at if last else command.sent_at


def _promise(command: Command, at: datetime) -> str:
    """Staff hear of a command past the contract's worst time, so only then we say that we know."""
    waited = (at - command.created_at).total_seconds()
    eta = display_format.eta_of(command.account, at)
    promise = display_format.eta_text(eta)
    if eta.waits and waited <= command.account.worst_seconds:
        return f"{promise}. {_NO_NEED_TO_WAIT}"
    if waited <= eta.usual:
        return f"{promise}."
    if waited <= eta.worst:
        return f"Дольше обычного. {promise}. {_NO_NEED_TO_WAIT}"
    if waited <= command.account.worst_seconds:
        return f"Заметно дольше обычного. {_NO_NEED_TO_WAIT}"
    return "Очень долго. Мы уже знаем об этом и разбираемся с оператором."


_NO_NEED_TO_WAIT = "Ждать здесь не нужно: мы доведём дело до конца."
