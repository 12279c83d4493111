"""Sentences about cards that are said in more than one place."""

from cabinet.wording import Pill, Tone
from operators.ports import OUR_QUOTA, TOKENS_AWAY
from smartcards.rules import CardFacts, card_state, why_off, withdrawn_word
from smartcards.states import CardState, CommandKind, CommandState, Confirmed, WhyOff

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
    CardState.WITHDRAWN: ("Выведена", Tone.OFF),
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

# Class of an operator's refusal (`operators.ports.ErrorClass`) to what the merchant reads.
FAILURES: dict[str, str] = {
    "auth": "Оператор не принял наши ключи. Мы уже разбираемся.",
    "configuration": "Связь с оператором настроена неверно. Мы уже разбираемся.",
    "forbidden": "Оператор не разрешил нам менять эту смарт-карту. Мы уже разбираемся.",
    "not_found": "Оператор не знает такую смарт-карту. Сверьте номер на пластике и напишите нам.",
    "invalid": "Оператор не принял запрос. Мы уже разбираемся.",
    "already": "Оператор ответил, что так уже и было. Мы проверяем.",
    "held_by_operator": "Смарт-карту удерживает оператор. Снять блокировку может только он.",
    "unsupported": "Оператор не поддерживает это действие.",
    "conflict_pending": "У оператора выполняется другой запрос по этой смарт-карте.",
    "rate_limited": "Оператор попросил подождать.",
    "transient": "У оператора временный сбой.",
    "maintenance": "У оператора идут технические работы.",
    "unknown_outcome": "Оператор не подтвердил выполнение.",
}

# Why a command goes back to our queue: the beginning of a sentence, without its dot.
WAITS: dict[str, str] = {
    "auth": "Оператор не принял наши ключи, мы уже разбираемся",
    "configuration": "Связь с оператором настроена неверно, мы уже разбираемся",
    "conflict_pending": "У оператора выполняется другой запрос по этой смарт-карте",
    "rate_limited": "Оператор попросил подождать",
    "transient": "У оператора временный сбой",
    "maintenance": "У оператора идут технические работы",
}
# Not the operator's doing: our lease ran out, or our store of tokens was away.
_OURS = frozenset({"lease", TOKENS_AWAY})
# Where staff are needed there is no «сами» to promise.
WAITS_FOR_STAFF = ("auth", "configuration")
# An adapter that knows cards by telephone numbers was given none: nothing has left us.
_NO_NUMBER = "no_msisdn"

# The same to what staff should do.
STAFF_ADVICE: dict[str, str] = {
    "auth": "Проверьте ключи договора и нажмите «Проверить связь»: команды уйдут сами.",
    "configuration": "Проверьте в договоре протокол и адрес API, нажмите «Проверить связь» и повторите команду.",
    "forbidden": "Проверьте в кабинете оператора, что номер на нашем договоре и управление им подключено, и повторите.",
    "not_found": "Сверьте ICCID и номер с кабинетом оператора: карта другого договора или номер записан с ошибкой.",
    "invalid": "Сверьте номер карты. Если он верен, покажите обмен с оператором разработчику.",
    "already": "Делать ничего не нужно: состояние будет прочитано у оператора.",
    "conflict_pending": "Подождите: команда уйдёт сама. Если не уходит больше часа, спросите оператора о его запросе.",
    "held_by_operator": "Узнайте у оператора, что снимет блокировку, и скажите клиенту. "
    "Когда снимет, нажмите на странице карты «Оператор снял блокировку…».",
    "rate_limited": "Команда уйдёт сама. Если повторяется, уменьшите квоту в договоре или договоритесь о большей.",
    "transient": "Команда уйдёт сама. Если повторяется, нажмите «Проверить связь» и позвоните оператору.",
    "maintenance": "Команда уйдёт сама после работ. Впишите окно работ в договор, если оно постоянное.",
    "unknown_outcome": "Посмотрите состояние карты в кабинете оператора и нажмите «Записать исход».",
    "unsupported": "Переключите карту в кабинете оператора вручную: протокол договора этого не умеет.",
}

# The operator tells the state itself, so nobody has to write it down.
_HELD_AND_READABLE = (
    "Узнайте у оператора, что снимет блокировку, и скажите клиенту. Когда снимет, нажмите на странице "
    "карты «Проверить у оператора»: оплаченная карта включится сама."
)
_ADD_NUMBER = (
    "У карты не записан номер, а без него этот оператор её не найдёт. Нажмите на странице карты "
    "«Записать номер…». Оператору ничего не отправлено, обмена с ним нет."
)
_NUMBER_MISSING = (
    "У смарт-карты в сервисе не записан номер телефона, поэтому оператору ничего не отправлено. "
    "Номер добавит наш сотрудник."
)

# The step of a command whose card is said to be so already: the board knows it by these words.
ALREADY_SO = "Оператор ответил, что уже сделано: проверяем"
# A refusal with this code is ours: the operator says that the number is not confirmed.
IDENTITY_CODE = "identity:"
_NOT_CONFIRMED = "Оператор не включит смарт-карту: номер не подтверждён на Госуслугах."
_IDENTITY: dict[str, str] = {
    "waiting": "Что сделать: войдите на Госуслуги как организация или ИП и подтвердите номер. "
    "Если он уже подтверждён, подождите проверки оператора.",
    "refused": "От номера там отказались. Что сделать: войдите на Госуслуги как организация или ИП "
    "и подтвердите его, или напишите нам.",
    "mismatch": "Данные компании у оператора и на Госуслугах различаются. Что сделать: сверьте "
    "реквизиты в разделе «Компания» и напишите нам.",
    "not_found": "Там нет вашей компании или запроса о номере. Что сделать: сверьте ИНН и ОГРН "
    "в разделе «Компания» и напишите нам.",
}
IDENTITY_STATES: dict[str, str] = {
    "confirmed": "номер подтверждён",
    "not_required": "подтверждение не требуется",
    "waiting": "ждёт подтверждения",
    "refused": "отказано",
    "mismatch": "данные не совпали",
    "not_found": "не найдено",
    "unknown": "оператор не сказал",
}


def failure(error: str, code: str = "") -> str:
    """What the merchant reads of a command that was not done."""
    if code.startswith(IDENTITY_CODE):
        return f"{_NOT_CONFIRMED} {_IDENTITY[code.removeprefix(IDENTITY_CODE)]}"
    if lacks_number(error, code):
        return _NUMBER_MISSING
    return FAILURES.get(error, FAILURES["unknown_outcome"])


def lacks_number(error: str, code: str) -> bool:
    """Whether it was not sent because the card has no telephone number here."""
    return error == "invalid" and code.startswith(_NO_NUMBER)


def why_waits(error: str, code: str = "") -> str:
    """Why a command is in the queue again, in a sentence without its dot; empty while it waits its turn."""
    if not error or code == OUR_QUOTA:
        return ""
    if code in _OURS:
        return "Отправить оператору не успели, повторим сами"
    said = WAITS.get(error, WAITS["transient"])
    return said if error in WAITS_FOR_STAFF else f"{said}, повторим сами"


def staff_advice(error: str, code: str = "", *, readable: bool = False) -> str:
    """What staff should do about it; empty where nothing is wrong.

    `readable`: the operator tells dependably how its cards are.
    """
    if code.startswith(IDENTITY_CODE):
        state = IDENTITY_STATES[code.removeprefix(IDENTITY_CODE)]
        return f"Госуслуги: {state}. Помогите клиенту подтвердить номер и попросите включить карту ещё раз."
    if lacks_number(error, code):
        return _ADD_NUMBER
    if readable and error == "held_by_operator":
        return _HELD_AND_READABLE
    return STAFF_ADVICE.get(error, "")


def pill(facts: CardFacts) -> Pill:
    """The state of a card, with the reason where it is off."""
    state = card_state(facts)
    text, tone = _STATE[state]
    if state is CardState.WITHDRAWN:
        return _withdrawn(facts)
    if state is not CardState.INACTIVE:
        return Pill(tone, text)
    why = why_off(facts)
    return Pill(Tone.PROBLEM if why in _LOUD else tone, f"{text}: {WHY_OFF[why]}")


def _withdrawn(facts: CardFacts) -> Pill:
    """A card that has left use and is not off yet is a trouble."""
    said = f"Выведена: {withdrawn_word(facts)}"
    if facts.confirmed == Confirmed.ACTIVE:
        return Pill(Tone.PROBLEM, f"{said}, ещё включена")
    return Pill(Tone.OFF, said)


def command_sentence(kind: CommandKind) -> str:
    """A command as a noun for journals."""
    return "включение" if kind == CommandKind.ACTIVATE else "отключение"


def staff_state(facts: CardFacts) -> str:
    """The state in the words of staff, for whom the merchant is not «вы»."""
    return pill(facts).text.replace(f": {WHY_OFF[WhyOff.PERSON]}", ": клиентом")
