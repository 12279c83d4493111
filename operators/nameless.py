"""Sentences of operators without the people in them: pure words.

Staff have to read why an operator refused, and operators write into such a sentence whom it is about:
«Абонент Иванов Иван Иванович не найден». So of a sentence stays what is an operator's everyday
vocabulary or an ordinary word in small letters; a word with a capital letter that is not known may be
a name, and so may every unknown word behind «абонент» and its like. Longer numbers may be a phone, a
contract, a passport or a birthday. Rather a word too few than a name too many.
"""

import re

from operators.allowed import MASK

_SPACE = r"[ \u00a0\u2009\u202f]"
# Up to three digits are a limit or a status; the last four that masking leaves of a number stay.
_DIGITS = re.compile(rf"(?<![…\d])\d(?:(?:{_SPACE}|[().,/:‑–-])*\d){{3,}}")
_WORD = re.compile(r"[^\W\d_]+(?:_[^\W\d_]+)*")
_HUMP = re.compile(r"[A-ZА-ЯЁ][a-zа-яё]+|[A-ZА-ЯЁ]+(?![a-zа-яё])|[a-zа-яё]+")
_PATRONYMIC = re.compile(
    rf"(?:[^\W\d_]+{_SPACE}+){{0,2}}\b[а-яё]+(?:ович|евич|овна|евна|инична|ьич)(?:а|у|ем|ом|е|ы|ой)?\b",
    re.IGNORECASE,
)
_MASKS = re.compile(rf"{MASK}(?:(?:{_SPACE}|[.,-])+{MASK})+")
_ENDS_A_SENTENCE = re.compile(r"[.;!?)]\s|\n")


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


# Behind these somebody is named.
_PERSONS = frozenset(
    _listed("""
    абонент абонента абоненту абоненты абонентом абонентов клиент клиента клиенту клиентом
    владелец владельца владельцу владельцем гражданин гражданина гражданка гражданки гражданке
    пользователь пользователя пользователю контакт контакта фио имя имени фамилия фамилии
    отчество отчества ип ооо subscriber subscribers customer customers client clients owner
    owners user users person persons name names holder contact contacts
""")
)
# Long beginnings of the words that operators refuse with, and of the names of their blocks: no surname
# begins so.
_STEMS = _listed("""
    аварийн авториз администр активац активир аутентиф блокирова блокировк валидац внутренн
    возможн восстановл выполнен выполня деактив действи добровольн достигн заблокир завершени
    задолженн запрещ значени изменени интервал исключени количеств конфликт корректн максимальн
    маршрут мошенничес недейств недопустим недостаточ некоррект необходим неправильн обработ
    обратит обслужив ограничен ожидани оперативн операци отклонен отключ отсутств параметр
    первоначальн персональн повторит повторн подключени подозрени подписк подтвержд похищен
    превыш принадлеж приостан разрешен соединени состояни существу текущ техническ транзакц
    требует удалени устройств учетн функци
    access account activat authent authoriz concurrent conflict connect credential
    deactivat disabled endpoint exceed excepti expired forbidden function gateway incorrect
    insufficient internal invalid maintenance operation parameter permission reject request
    required resource response securit service subscription suspend technical temporar
    timeout transacti transition unauthor unavailab unknown unsupported
""")
# Their other words whole: «Симонов», «Меньшенин», «Найденов» and «Командиров» begin with some of them;
# «запросов» and «финансов» are no less a surname, and so is «Неизвестный».
_WORDS = frozenset(
    _listed("""
    активен активна активно активны баланс билайн больше ведется ведутся временная временно
    временное временной временную временные временный госуслугах госуслуги данные данных дата
    даты длина договор договора договоре договором договору договоры долг долга долги долгу
    доступ доступа доступе доступен доступна доступно доступны есиа завершен завершена завершено
    завершены завершить закон закона закону занят занята занято записей записи запись запрос
    запроса запросе запросом запросу запросы истек истекла истекло карт карта карте картой карту
    карты ключ ключа ключей ключи код кода коды команд команда команде командой команду команды
    кража краже кражи лимит лимита лимитов лимиту лимиты логин логина меньше метод метода
    мошенник мтс найден найдена найдено найдены неверен неверна неверная неверно неверного
    неверное неверной неверную неверные неверный неверных неизвестен неизвестна неизвестная
    неизвестно неизвестное неизвестны неизвестные номер номера номере номеров номером номеру
    ожидает ожидается ожидайте оператор оператора операторе оператором оператору операторы ответ
    ответа отказ отказа отказано ошибка ошибке ошибки ошибкой ошибку ошибок пароль пароля повтор
    повтора повторе подключен подключена подключено подключены подключить поле полей поля
    попробуйте порог порога принят принята принято проверка проверке проверки проверкой проверку
    проверьте прочая прочие работ работа работе работы регион региона режим режиме сбой сбоя
    связи связь сейчас сервер сервера сервис сервиса сим слишком смарт смена смене смены срок
    срока статус статуса тариф тарифа телефон телефона телефоне телефоном телефону телефоны тип
    типа токен токена удален удалена удалено удалены уже указан указана указано услуг услуга
    услуге услуги услугу утере утеря утеряна утрата утрате файл файла финансовая финансового
    финансовое финансовой финансовую финансовые финансовый финансы формат формата фрод час часа
    часов частота частоте частотой частоту частоты часы шлюз шлюза
    a active already an and api are as at auth bad be bearer block blocked body busy by can
    cannot card cards change changed code codes ctn data denied device devices do ejb error
    errors exist exists fail failed failure fault field fields for found from gone has have
    header headers html http iccid id if imei imsi in is it its json key keys limit limits login
    many message method missing msisdn must network no not null number numbers object of on or
    parse pending plan please process processed query quota rate rateplan reason retry server
    session sim simstatus soap state states status system the this timed to token tokens too try
    type types unable url valid value values version wait was we were with wrong xml you your
    а без в вам вас ваш во для до же за и из или к ко как мы на над нам не нет нельзя но о об
    он она они от по под при с со так также то только у что эта это этот был была были было
    быть есть можно
""")
)


def nameless(text: str) -> str:
    """The sentence with names, initials and longer numbers replaced by a mask."""
    text = _PATRONYMIC.sub(MASK, _DIGITS.sub(MASK, text))
    return _MASKS.sub(MASK, _without_names(text))


def _without_names(text: str) -> str:
    parts, position, names_somebody = [], 0, False
    for word in _WORD.finditer(text):
        between = text[position : word.start()]
        known = _is_known(word[0])
        names_somebody = (
            names_somebody and not known and not _ENDS_A_SENTENCE.search(between)
        ) or _is_a_person(word[0])
        is_name = not known and (names_somebody or word[0][0].isupper())
        parts += [between, MASK if is_name or _is_initial(word, text) else word[0]]
        position = word.end()
    return "".join([*parts, text[position:]])


def _is_initial(word: re.Match[str], text: str) -> bool:
    return len(word[0]) == 1 and word[0].isupper() and text[word.end() : word.end() + 1] == "."


def _is_known(word: str) -> bool:
    """An everyday word of operators; a code of several words is known by any of them."""
    parts = [part.casefold() for part in _HUMP.findall(word)] if _is_code(word) else []
    return any(_is_everyday(part) for part in (word.casefold(), *parts))


def _is_code(word: str) -> bool:
    """«CTN_NOT_FOUND», «BlockNotExists»."""
    return word.isascii() and ("_" in word or not (word[1:].islower() or word.isupper()))


def _is_everyday(word: str) -> bool:
    word = word.replace("ё", "е")
    return word in _WORDS or word in _PERSONS or word.startswith(_STEMS)


def _is_a_person(word: str) -> bool:
    return word.casefold() in _PERSONS
