"""Sentences of operators: what staff have to read stays, whom it is about does not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.nameless import nameless

on_a_busy_machine = settings(deadline=None)


@pytest.mark.parametrize(
    "text",
    [
        "Превышен лимит запросов",
        "Не найдена связь региона и тарифа с номером",
        "Номер не принадлежит договору",
        "Нет подписки на функцию",
        "Срок действия токена истёк. Повторите попытку",
        "Ошибка валидации: интервал больше одного дня",
        "Ведутся технические работы",
        "Первоначальная блокировка",
        "Блокировка по подозрению в мошенничестве",
        "Блокировка по смене IMEI",
        "Абонент временно заблокирован оператором",
        "Не больше 3 запросов в секунду, ответ 429",
        "Больше нельзя, меньше можно",
        "Финансовая блокировка",
        "Временная ошибка оператора. Договор не найден, команда отклонена",
        "Неизвестная ошибка",
        "Абонент временно отключён: завершён срок договора",
        "Session expired",
        "Client Authentication failed.",
        "Internal Server Error",
        "503 Service Temporarily Unavailable",
        "SIMSTATUS_INVALID_TRANSITION",
        "BlockNotExists",
        "CTN_NOT_FOUND",
        "Operation timed out, please retry",
        "номер …4567 не найден",
        "",
    ],
)
def test_what_staff_have_to_read_stays(text):
    assert nameless(text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Абонент Иванов Иван Иванович не найден", "Абонент ••• не найден"),
        ("абонент иванов иван не найден", "абонент ••• не найден"),
        ("иванов иван иванович заблокирован", "••• заблокирован"),
        ("ИВАНОВ ИВАН ИВАНОВИЧ ЗАБЛОКИРОВАН", "••• ЗАБЛОКИРОВАН"),
        ("Иванова А. И. не прошла проверку", "•••. не прошла проверку"),
        ("Петрова-Водкина, Анна: доступ запрещён", "•••: доступ запрещён"),
        ("Договор с ООО «Ромашка» приостановлен", "Договор с ООО «•••» приостановлен"),
        ("Нет данных по Ивановой Марии Петровне", "Нет данных по •••"),
        ("Subscriber John Smith is blocked", "Subscriber ••• is blocked"),
        ("user ivan.petrov is not found", "user ••• is not found"),
        ("Блокировка по заявлению Иванова", "Блокировка по заявлению •••"),
        ("г. Москва, ул. Ленина, д. 5", "г. •••, ул. •••, д. 5"),
        ("Паспорт 4509 123456 не подтверждён", "••• не подтверждён"),
        ("родился 01.02.1980, договор 123456", "родился •••, договор •••"),
        ("номер 7.916.123.45.67 занят", "номер ••• занят"),
        ("запрос № 20251", "запрос № •••"),
        ("Ivanov", "•••"),
    ],
)
def test_people_and_longer_numbers_go(text, left):
    assert nameless(text) == left


# Some begin as an everyday word does.
names = st.sampled_from(
    ["Иванов", "Мария", "Сидоренко", "ПЕТРОВ", "Абдуллаев", "Юй", "Симонов", "Карташова",
     "Долгов", "Большев", "Меньшенин", "Финансов", "Финансова", "Командиров", "Найдёнов",
     "Завершинский", "Договоров", "Ошибкин", "Мошенников", "Повторов", "Проверкин", "Sessions",
     "Ключников", "Ипатов", "Неверов", "Кодиров", "Полевой", "Тарифулин", "Smith", "Simon",
     "Keynes", "McDonald"]
)  # fmt: skip
sentences = st.sampled_from(
    [
        "Абонент {} не найден",
        "{} заблокирован",
        "Договор {}, отказ",
        "Owner: {}",
        "Нет доступа ({})",
    ]
)


@on_a_busy_machine
@given(sentence=sentences, first=names, second=names)
def test_no_name_stays_wherever_it_stands(sentence, first, second):
    said = nameless(sentence.format(f"{first} {second}"))

    assert (first in said, second in said) == (False, False), said


@on_a_busy_machine
@given(text=st.text(max_size=200))
def test_anything_may_come(text):
    assert nameless(nameless(text)) == nameless(text)
