"""Sentences about cards that are said in more than one place."""

from cabinet.wording import Pill, Tone
from smartcards.rules import CardFacts, card_state, why_off
from smartcards.states import CardState, CommandKind, CommandState, WhyOff

WHY_OFF: dict[WhyOff, str] = {
    WhyOff.PERSON: "вами",
    WhyOff.STAFF: "сотрудником сервиса",
    WhyOff.UNPAID: "не оплачена",
    WhyOff.SEASON: "не сезон",
    WhyOff.OPERATOR: "оператором",
    WhyOff.LIMIT: "лимит",
    WhyOff.IMEI: "другой терминал (IMEI)",
    WhyOff.LAW: "по закону",
    WhyOff.UNKNOWN: "причина неизвестна",
}

_STATE: dict[CardState, tuple[str, Tone]] = {
    CardState.NEW: ("Новая", Tone.OFF),
    CardState.ACTIVATING: ("Включается…", Tone.PROGRESS),
    CardState.ACTIVE: ("Работает", Tone.WORKS),
    CardState.DEACTIVATING: ("Отключается…", Tone.PROGRESS),
    CardState.INACTIVE: ("Отключена", Tone.OFF),
    CardState.UNCLEAR: ("Уточняем у оператора", Tone.ATTENTION),
    CardState.RETIRED: ("Списана", Tone.OFF),
}
# Off for a reason that the merchant did not choose deserves a louder colour.
_LOUD = frozenset(
    {WhyOff.UNPAID, WhyOff.OPERATOR, WhyOff.LIMIT, WhyOff.IMEI, WhyOff.LAW, WhyOff.UNKNOWN}
)

STEP: dict[CommandState, str] = {
    CommandState.QUEUED: "Принято, ждёт отправки оператору",
    CommandState.SENDING: "Отправляется оператору",
    CommandState.ACCEPTED: "Оператор принял запрос",
    CommandState.CHECKING: "Уточняем у оператора",
    CommandState.NEEDS_STAFF: "Передано сотруднику сервиса",
    CommandState.DONE: "Подтверждено оператором",
    CommandState.FAILED: "Не выполнено",
    CommandState.CANCELLED: "Отменено",
}

# Class of an operator's refusal to what the merchant reads.
FAILURES: dict[str, str] = {
    "auth": "Сервис не смог войти к оператору. Мы уже разбираемся.",
    "configuration": "Связь с оператором настроена неверно. Мы уже разбираемся.",
    "forbidden": "Оператор не разрешил нам менять эту смарт-карту. Мы уже разбираемся.",
    "not_found": "Оператор не знает такую смарт-карту. Сверьте номер на пластике и напишите нам.",
    "invalid": "Оператор не принял запрос. Мы уже разбираемся.",
    "held_by_operator": "Смарт-карту удерживает оператор. Снять блокировку может только он.",
    "unsupported": "Оператор не поддерживает это действие.",
    "conflict_pending": "У оператора выполняется другой запрос по этой смарт-карте.",
    "rate_limited": "Оператор попросил подождать.",
    "transient": "У оператора временный сбой.",
    "maintenance": "У оператора идут технические работы.",
    "unknown_outcome": "Оператор не подтвердил выполнение.",
}


def pill(facts: CardFacts) -> Pill:
    """The state of a card, with the reason where it is off."""
    state = card_state(facts)
    text, tone = _STATE[state]
    if state is not CardState.INACTIVE:
        return Pill(tone, text)
    why = why_off(facts)
    return Pill(Tone.PROBLEM if why in _LOUD else tone, f"{text}: {WHY_OFF[why]}")


def command_sentence(kind: CommandKind) -> str:
    """A command as a noun for journals."""
    return "включение" if kind == CommandKind.ACTIVATE else "отключение"
