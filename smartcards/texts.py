"""Sentences about cards that several modules show."""

from cabinet.formatting.ru_format import Pill, Tone
from operators.ports import IDENTITY_CODES, ErrorClass, IdentityState, OurCode
from smartcards.rules import CardFacts, card_state, off_reason, withdrawal_label
from smartcards.states import CardState, CommandKind, CommandState, OffReason, OperatorState

OFF_REASONS: dict[OffReason, str] = {
    OffReason.PERSON: "вами",
    OffReason.STAFF: "сотрудником сервиса",
    OffReason.UNPAID: "не оплачена",
    OffReason.OPERATOR: "оператором",
    OffReason.LIMIT: "лимит",
    OffReason.IMEI: "другой терминал (IMEI)",
    OffReason.LAW: "по закону",
    OffReason.UNKNOWN: "причина неизвестна",
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

# Commands refused so go back to our queue.
WAITS = frozenset(
    {"auth", "configuration", "conflict_pending", "rate_limited", "transient", "maintenance"}
)
# Not the operator's doing: our lease ran out, or our store of tokens was away.
_OURS = frozenset({OurCode.LEASE_EXPIRED, OurCode.TOKENS_AWAY})
# Where staff are needed there is no «сами» to promise.
WAITS_FOR_STAFF = ("auth", "configuration")

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

# The state can be read, so nobody has to record it.
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

_NUMBER_SHARED = (
    "Этот номер записан и у другой смарт-карты, которая должна работать, поэтому оператору ничего не отправлено. "
    "Номер исправит наш сотрудник."
)
_SEPARATE_NUMBERS = (
    "Этот номер записан и у другой карты, которая должна работать: оператор отключил бы её. Найдите обе карты "
    "по номеру и исправьте: «Записать номер…». Оператору ничего не отправлено, обмена с ним нет."
)

# Steps of a command whose outcome nobody knows yet: no answer came, or one that does not tell.
NO_ANSWER = "Ответ оператора не получен, уточняем"
OUTCOME_UNCLEAR = "По ответу оператора не понять, сделано ли, уточняем"
# The step of a command that the operator found done already.
ALREADY_SO = "Оператор ответил, что уже сделано: проверяем"
# Our own codes of a refusal before sending, and why the number is not confirmed.
NOT_CONFIRMED: dict[str, IdentityState] = {code: state for state, code in IDENTITY_CODES.items()}
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
    if code in NOT_CONFIRMED:
        return f"{_NOT_CONFIRMED} {_IDENTITY[NOT_CONFIRMED[code]]}"
    if lacks_number(error, code):
        return _NUMBER_MISSING
    if code == OurCode.SHARED_NUMBER:
        return _NUMBER_SHARED
    return FAILURES.get(error, FAILURES["unknown_outcome"])


def lacks_number(error: str, code: str) -> bool:
    """Whether it was not sent because the card has no telephone number here."""
    return error == ErrorClass.INVALID and code == OurCode.NO_NUMBER


def why_waits(error: str, code: str = "") -> str:
    """Why a command is in the queue again, in a sentence without its dot; empty while it waits its turn."""
    if not error or code == OurCode.QUOTA:
        return ""
    if code in _OURS:
        return "Отправить оператору не успели, повторим сами"
    sentence = FAILURES[error if error in WAITS else "transient"].rstrip(".").replace(". М", ", м")
    return sentence if waits_for_staff(error, code) else f"{sentence}, повторим сами"


def waits_for_staff(error: str, code: str) -> bool:
    """Whether a command that is back in the queue leaves only after staff have mended something."""
    return error in WAITS_FOR_STAFF and code not in _OURS


def staff_advice(error: str, code: str = "", *, readable: bool = False) -> str:
    """What staff should do about it; empty where nothing is wrong.

    `readable`: readings show the exact state of its cards.
    """
    if code in NOT_CONFIRMED:
        state = IDENTITY_STATES[NOT_CONFIRMED[code]]
        return f"Госуслуги: {state}. Помогите клиенту подтвердить номер и попросите включить карту ещё раз."
    if lacks_number(error, code):
        return _ADD_NUMBER
    if code == OurCode.SHARED_NUMBER:
        return _SEPARATE_NUMBERS
    if readable and error == "held_by_operator":
        return _HELD_AND_READABLE
    return STAFF_ADVICE.get(error, "")


def pill(facts: CardFacts, *, by_person: str = OFF_REASONS[OffReason.PERSON]) -> Pill:
    """The state of a card, with the reason where it is off; `by_person` names the merchant's decision."""
    state = card_state(facts)
    text, tone = _STATE[state]
    if state is CardState.WITHDRAWN:
        return _withdrawn(facts)
    if state is not CardState.INACTIVE:
        return Pill(tone, text)
    why = off_reason(facts)
    reason = by_person if why is OffReason.PERSON else OFF_REASONS[why]
    # Off for a reason that the merchant did not choose deserves a louder colour.
    chosen = why in {OffReason.PERSON, OffReason.STAFF}
    return Pill(tone if chosen else Tone.PROBLEM, f"{text}: {reason}")


def _withdrawn(facts: CardFacts) -> Pill:
    """A card that has left use and is not off yet is a trouble."""
    sentence = f"Выведена: {withdrawal_label(facts)}"
    if facts.confirmed == OperatorState.ACTIVE:
        return Pill(Tone.PROBLEM, f"{sentence}, ещё включена")
    return Pill(Tone.OFF, sentence)


def command_sentence(kind: CommandKind) -> str:
    """A command as a noun for journals."""
    return "включение" if kind == CommandKind.ACTIVATE else "отключение"


def staff_state(facts: CardFacts) -> str:
    """The state as staff read it: «клиентом» instead of «вами»."""
    return pill(facts, by_person="клиентом").text
