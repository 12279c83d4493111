"""States of cards and commands, and what may follow what."""

from enum import StrEnum

from django.db import models


class OperatorState(models.TextChoices):
    """The last state known from the operator."""

    NEW = "new", "новая"
    ACTIVE = "active", "работает"
    INACTIVE = "inactive", "отключена"
    HELD = "held", "удержана оператором"
    RETIRED = "retired", "списана"
    UNKNOWN = "unknown", "неизвестно"


class StateSource(models.TextChoices):
    """From where a confirmed state is known."""

    REQUEST = "request", "ответ на команду"
    POLL = "poll", "опрос"
    CALLBACK = "callback", "уведомление оператора"
    READING = "reading", "чтение состояния"
    STAFF = "staff", "сотрудник сервиса"


class WithdrawalReason(models.TextChoices):
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


class OffReason(StrEnum):
    """Why a card is off, in the order in which the reasons are looked for."""

    PERSON = "person"
    STAFF = "staff"
    UNPAID = "unpaid"
    OPERATOR = "operator"
    LIMIT = "limit"
    IMEI = "imei"
    LAW = "law"
    UNKNOWN = "unknown"


class AlertKind(StrEnum):
    """What an alert for staff is about; its target is a card, a command or an operator account."""

    CARD_STUCK = "stuck"
    RECONCILE_FAILED = "reconcile"
    CARD_STOLEN = "stolen"
    COMMAND_LATE = "late"
    OUTCOME_UNKNOWN = "command"
    ACCOUNT_UNUSABLE = "account_unusable"


class CommandKind(models.TextChoices):
    """What a command does at the operator."""

    ACTIVATE = "activate", "включение"
    DEACTIVATE = "deactivate", "отключение"


class CommandState(models.TextChoices):
    """Where a command is; what may follow is in `COMMAND_TRANSITIONS`."""

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

OPEN_COMMANDS = frozenset(state for state, following in COMMAND_TRANSITIONS.items() if following)


class Origin(models.IntegerChoices):
    """Whose command it is; the smaller number leaves first.

    Somebody waits at a page for a switch of theirs; many at once are mass work, whoever asked for
    them. A card that is paid and does not work stops a terminal: it goes before mass work.
    """

    PERSON = 10, "человек"
    PAID = 15, "оплачена, но не работает"
    MASS = 20, "массовое действие"
    RECONCILE = 30, "сверка"


# What a person waits for at a page: it may use the whole quota.
CLICKS = (Origin.PERSON,)


class ImportState(models.TextChoices):
    """Where a file of cards is; what may follow is in `IMPORT_TRANSITIONS`."""

    CHECKING = "checking", "проверяется"
    CHOOSING = "choosing", "нужно выбрать кодировку"
    CHECKED = "checked", "проверен, не загружен"
    LOADING = "loading", "загружается"
    LOADED = "loaded", "загружен"
    REFUSED = "refused", "не загружен"


IMPORT_TRANSITIONS: dict[ImportState, frozenset[ImportState]] = {
    ImportState.CHECKING: frozenset(
        {ImportState.CHOOSING, ImportState.CHECKED, ImportState.REFUSED}
    ),
    ImportState.CHOOSING: frozenset({ImportState.CHECKING}),
    ImportState.CHECKED: frozenset({ImportState.CHECKING, ImportState.LOADING}),
    ImportState.LOADING: frozenset({ImportState.LOADED, ImportState.REFUSED}),
    ImportState.LOADED: frozenset(),
    ImportState.REFUSED: frozenset(),
}

OPEN_IMPORTS = frozenset(state for state, following in IMPORT_TRANSITIONS.items() if following)
# A worker has something to do.
WORKING_IMPORTS = frozenset({ImportState.CHECKING, ImportState.LOADING})


class RemarkKind(models.TextChoices):
    """What a remark on a row of a file means for its card."""

    ERROR = "error", "Ошибки"
    NUMBER = "number", "Сомнительные номера"
    OPERATOR = "operator", "Похожи на карты другого оператора"
    KNOWN = "known", "Уже известны"
    NOTE = "note", "Замечания"


# Such cards are loaded only where a person says so.
DOUBTS = frozenset({RemarkKind.NUMBER, RemarkKind.OPERATOR})


class MassAction(models.TextChoices):
    """What a mass operation does with each of its cards."""

    ACTIVATE = "activate", "включение"
    DEACTIVATE = "deactivate", "отключение"
    CHOOSE = "choose", "выбор для оплаты"
    UNCHOOSE = "unchoose", "отказ от оплаты"


# A switch at the operator for each card; the others change what is paid.
MASS_SWITCHES: dict[MassAction, CommandKind] = {
    MassAction.ACTIVATE: CommandKind.ACTIVATE,
    MassAction.DEACTIVATE: CommandKind.DEACTIVATE,
}


class MassState(models.TextChoices):
    """Where a mass operation is; what may follow is in `MASS_TRANSITIONS`."""

    PREPARING = "preparing", "проверяется"
    PREPARED = "prepared", "ждёт подтверждения"
    CONFIRMED = "confirmed", "подтверждена"
    RUNNING = "running", "выполняется"
    CANCELLING = "cancelling", "отменяется"
    FINISHED = "finished", "закончена"
    CANCELLED = "cancelled", "отменена"


MASS_TRANSITIONS: dict[MassState, frozenset[MassState]] = {
    MassState.PREPARING: frozenset({MassState.PREPARED, MassState.CANCELLED}),
    MassState.PREPARED: frozenset({MassState.PREPARING, MassState.CONFIRMED, MassState.CANCELLED}),
    MassState.CONFIRMED: frozenset({MassState.RUNNING, MassState.CANCELLING}),
    MassState.RUNNING: frozenset({MassState.FINISHED, MassState.CANCELLING}),
    MassState.CANCELLING: frozenset({MassState.CANCELLED}),
    MassState.FINISHED: frozenset(),
    MassState.CANCELLED: frozenset(),
}

# Nobody has confirmed them yet.
UNCONFIRMED_MASS = frozenset({MassState.PREPARING, MassState.PREPARED})
OVER_MASS = frozenset(state for state, following in MASS_TRANSITIONS.items() if not following)


class CardOutcome(models.TextChoices):
    """What became of one card in a mass operation; of an accepted switch its command says more."""

    LISTED = "listed", "ещё не проверена"
    PLANNED = "planned", "изменится"
    EXCLUDED = "excluded", "не изменится"
    ACCEPTED = "accepted", "принято"
    REFUSED = "refused", "не выполнено"
    REVERTED = "reverted", "отменено"


# Cards with a reason why nothing was done.
NOT_DONE = frozenset({CardOutcome.EXCLUDED, CardOutcome.REFUSED})
