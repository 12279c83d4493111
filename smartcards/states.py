"""Words of the cards: states, commands and the tables of what may follow what."""

from enum import StrEnum

from django.db import models


class Confirmed(models.TextChoices):
    """What the operator last said about a card."""

    NEW = "new", "новая"
    ACTIVE = "active", "работает"
    INACTIVE = "inactive", "отключена"
    HELD = "held", "удержана оператором"
    RETIRED = "retired", "списана"
    UNKNOWN = "unknown", "неизвестно"


class Told(models.TextChoices):
    """From where a confirmed state is known."""

    REQUEST = "request", "ответ на команду"
    POLL = "poll", "опрос"
    CALLBACK = "callback", "уведомление оператора"
    READING = "reading", "чтение состояния"
    STAFF = "staff", "сотрудник сервиса"


class Withdrawal(models.TextChoices):
    """Why a person takes a card out of use for good."""

    LOST = "lost", "потеряна"
    STOLEN = "stolen", "украдена"
    BROKEN = "broken", "сломана"


class CardState(StrEnum):
    """What a person sees: derived, never stored."""

    NEW = "new"
    ACTIVATING = "activating"
    ACTIVE = "active"
    DEACTIVATING = "deactivating"
    INACTIVE = "inactive"
    UNCLEAR = "unclear"
    WITHDRAWN = "withdrawn"
    RETIRED = "retired"


class WhyOff(StrEnum):
    """Why a card is off, in the order in which the reasons are looked for."""

    PERSON = "person"
    STAFF = "staff"
    UNPAID = "unpaid"
    SEASON = "season"
    OPERATOR = "operator"
    LIMIT = "limit"
    IMEI = "imei"
    LAW = "law"
    UNKNOWN = "unknown"


class CommandKind(models.TextChoices):
    ACTIVATE = "activate", "включение"
    DEACTIVATE = "deactivate", "отключение"


class CommandState(models.TextChoices):
    QUEUED = "queued", "в очереди"
    SENDING = "sending", "отправляется оператору"
    ACCEPTED = "accepted", "принята оператором"
    CHECKING = "checking", "уточняем у оператора"
    NEEDS_STAFF = "needs_staff", "решает сотрудник"
    DONE = "done", "выполнена"
    FAILED = "failed", "не выполнена"
    CANCELLED = "cancelled", "отменена"


COMMAND_TRANSITIONS: dict[CommandState, frozenset[CommandState]] = {
    CommandState.QUEUED: frozenset({CommandState.SENDING, CommandState.CANCELLED}),
    CommandState.SENDING: frozenset(
        {
            CommandState.ACCEPTED,
            CommandState.DONE,
            CommandState.FAILED,
            CommandState.CHECKING,
            CommandState.QUEUED,
        }
    ),
    CommandState.ACCEPTED: frozenset(
        {CommandState.DONE, CommandState.FAILED, CommandState.CHECKING}
    ),
    CommandState.CHECKING: frozenset(
        {CommandState.DONE, CommandState.FAILED, CommandState.NEEDS_STAFF}
    ),
    CommandState.NEEDS_STAFF: frozenset(
        {CommandState.DONE, CommandState.FAILED, CommandState.CHECKING}
    ),
    CommandState.DONE: frozenset(),
    CommandState.FAILED: frozenset(),
    CommandState.CANCELLED: frozenset(),
}

OPEN_COMMANDS = frozenset(
    {
        CommandState.QUEUED,
        CommandState.SENDING,
        CommandState.ACCEPTED,
        CommandState.CHECKING,
        CommandState.NEEDS_STAFF,
    }
)


class Origin(models.IntegerChoices):
    """Whose command it is; the smaller number leaves first.

    Somebody waits at a page for a switch of theirs; many at once are mass work, whoever asked for
    them. A card that is paid and does not work is a till that stands still: it goes before mass work.
    """

    PERSON = 10, "человек"
    PAID = 15, "оплачена, но не работает"
    MASS = 20, "массовое действие"
    RECONCILE = 30, "сверка"


# What a person waits for at a page: it may use the whole quota.
CLICKS = (Origin.PERSON,)
