"""The pages of mass operations, as the owner, the colleagues and strangers meet them."""

import re
from uuid import uuid4

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from cabinet.accounts import confirmation
from cabinet.enums import Role
from cabinet.formatting.ru_format import NBSP
from smartcards.models import Command, Coverage, MassOperation, SmartCard
from smartcards.states import CommandState, MassAction, OperatorState
from smartcards.tests.cards import NOW, clock_at, make_member
from smartcards.tests.mass_operations import (
    SENT,
    add_card,
    begin,
    confirm,
    make_chain,
    run,
)

pytestmark = pytest.mark.django_db

OFF = {"confirmed": OperatorState.INACTIVE, "desired_on": False}


@pytest.fixture(autouse=True)
def _noon(settings, tmp_path):
    clock_at(settings, tmp_path)


def signed_in(member):
    client = Client()
    client.force_login(member.user)
    return client


def text_of(response):
    """What a person reads: no markup, single spaces."""
    main = re.sub(r"(?s).*<main[^>]*>|</main>.*", "", response.content.decode())
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", main).replace(NBSP, " ")).strip()


def warnings_of(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def post_ticked(client, cards, action="deactivate", **fields):
    form = {"action": action, "scope": "ticked", "form_key": str(uuid4()), **fields}
    return client.post(reverse("mass_new"), form | {"card": [card.pk for card in cards]})


def address(name, operation):
    return reverse(name, args=[operation.key])


def test_ticked_cards_are_previewed_confirmed_and_cancelled():
    chain = make_chain(2)
    client = signed_in(chain.owner)

    preview = post_ticked(client, SmartCard.objects.of(chain.merchant))
    operation = MassOperation.objects.get()
    shown = text_of(client.get(preview.url))
    client.post(address("mass_confirm", operation), {"number": 2})
    going = text_of(client.get(preview.url))
    client.post(address("mass_cancel", operation))
    cancelled = text_of(client.get(preview.url))

    assert preview.url == address("mass", operation)
    assert "Без связи останутся 2 кассы." in shown
    assert "Плата за отключение бесплатно Подписка 2 500 ₽ за 1 месяц, не изменится" in shown
    assert "Отключить 2 карты" in shown
    assert "Отправим через 60 секунд" in going
    assert "Выполняются 2 смарт-карты" in going
    assert "Отменено Выполнено 0 смарт-карт Отменены 2 смарт-карты" in cancelled
    assert list(Command.objects.values_list("state", flat=True)) == ["cancelled"] * 2


def test_preview_shows_why_a_card_does_not_change():
    chain = make_chain(1)
    add_card(chain, "Касса 2", **OFF)
    operation = begin(chain)

    text = text_of(signed_in(chain.owner).get(address("mass", operation), {"show": "excluded"}))

    assert "Изменятся 1 Не изменятся 1" in text
    assert "Касса 2" in text
    assert "Не изменится Смарт-карта уже отключена." in text


def test_found_cards_are_those_of_the_filter():
    chain = make_chain(1)
    add_card(chain, "Касса 2", label="веранда")

    form = {"action": "deactivate", "scope": "found", "form_key": str(uuid4()), "q": "веранда"}
    page = signed_in(chain.owner).post(reverse("mass_new"), form)

    operation = run(MassOperation.objects.get())
    assert page.url == address("mass", operation)
    assert (operation.total, operation.planned) == (1, 1)


def test_result_offers_to_repeat_only_the_failed():
    chain = make_chain(2)
    client = signed_in(chain.owner)
    operation = confirm(chain, begin(chain))
    Command.objects.update(state=CommandState.DONE, sent_at=SENT, finished_at=SENT)
    last = Command.objects.order_by("pk").last()
    Command.objects.filter(pk=last.pk).update(state=CommandState.FAILED, text="Оператор отказал.")
    run(operation, at=SENT)

    text = text_of(client.get(address("mass", operation)))
    again = client.post(address("mass_repeat", operation), {"form_key": str(uuid4())})

    assert "Выполнено 1 смарт-карта Не выполнено 1 смарт-карта" in text
    assert "Не выполнено Оператор отказал." in text
    assert "Повторить только неудачные" in text
    repeated = MassOperation.objects.get(repeats=operation)
    assert again.url == address("mass", repeated)
    assert repeated.cards.get().card == last.card


def test_choice_without_room_leads_to_the_subscription():
    chain = make_chain(1, paid=1)
    add_card(chain, "Касса 2", covered=False, **OFF)
    operation = begin(chain, MassAction.CHOOSE)

    page = signed_in(chain.owner).get(address("mass", operation))

    assert "Оплачено меньше карт, чем отмечено. Изменить число карт" in text_of(page)
    assert "Подписка 250 ₽ за 1 месяц, не изменится Оплатить ещё 1 карту 250 ₽" in text_of(page)
    assert "Менять нечего" in text_of(page)
    assert f'href="{reverse("subscription")}"' in page.content.decode()


def test_progress_says_when_the_page_is_out_of_date():
    chain = make_chain(1)
    operation = confirm(chain, begin(chain))
    client = signed_in(chain.owner)

    current = client.get(address("mass_progress", operation), {"seen": "running-True"})
    outdated = client.get(address("mass_progress", operation), {"seen": "prepared-False"})

    assert "Отправим через" in current.content.decode()
    assert "data-refresh-done" not in current.content.decode()
    assert 'data-refresh-done="reload"' in outdated.content.decode()


def test_list_names_operations_newest_first():
    chain = make_chain(1)
    confirm(chain, begin(chain))
    begin(chain, MassAction.UNCHOOSE)

    text = text_of(signed_in(chain.owner).get(reverse("mass_new")))

    assert text.index("Отказ от оплаты: 1 смарт-карта") < text.index("Отключение: 1 смарт-карта")
    assert "Ждёт подтверждения" in text


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"action": ""}, "Выберите, что сделать с отмеченными смарт-картами."),
        ({"action": "explode"}, "Выберите, что сделать с отмеченными смарт-картами."),
        ({"form_key": "x"}, "Откройте страницу заново и повторите."),
        ({"card": []}, "Отметьте хотя бы одну смарт-карту."),
        ({"card": ["x"]}, "Список смарт-карт не читается. Обновите страницу."),
    ],
)
def test_form_that_makes_no_sense_is_refused(form, sentence):
    chain = make_chain(1)
    fields = {"action": "deactivate", "scope": "ticked", "form_key": str(uuid4()), "card": ["1"]}

    page = signed_in(chain.owner).post(reverse("mass_new"), fields | form)

    assert (page.url, warnings_of(page)) == (reverse("cards"), [sentence])
    assert MassOperation.objects.count() == 0


def test_wrong_number_is_refused_with_a_message():
    chain = make_chain(2)
    operation = begin(chain)
    client = signed_in(chain.owner)

    page = client.post(address("mass_confirm", operation), {"number": 1})

    assert warnings_of(page) == ["Список изменился. Посмотрите его ещё раз и подтвердите."]
    assert Command.objects.count() == 0


# Whose it is


OF_AN_OPERATION = ["mass", "mass_progress", "mass_confirm", "mass_cancel", "mass_repeat"]
POSTED = {
    "mass_confirm": {"number": 1},
    "mass_cancel": {},
    "mass_repeat": {"form_key": str(uuid4())},
}


def ask(client, name, operation):
    if name in POSTED:
        return client.post(address(name, operation), POSTED[name])
    return client.get(address(name, operation))


@pytest.mark.parametrize("name", OF_AN_OPERATION)
def test_strangers_find_no_operation(name):
    operation = begin(make_chain(1))

    answer = ask(signed_in(make_chain(1).owner), name, operation)

    operation.refresh_from_db()
    assert (answer.status_code, operation.state) == (404, "prepared")


@pytest.mark.parametrize(
    ("role", "action", "statuses"),
    [
        (Role.MANAGER, MassAction.DEACTIVATE, [200, 302, 302]),
        (Role.CASHIER, MassAction.ACTIVATE, [200, 302, 302]),
        (Role.CASHIER, MassAction.DEACTIVATE, [200, 403, 403]),
        (Role.ACCOUNTANT, MassAction.ACTIVATE, [200, 403, 403]),
        (Role.ACCOUNTANT, MassAction.CHOOSE, [200, 403, 403]),
    ],
)
def test_colleagues_see_and_do_what_their_role_may(role, action, statuses):
    chain = make_chain(1, **(OFF if action == MassAction.ACTIVATE else {}))
    if action == MassAction.CHOOSE:
        Coverage.objects.all().delete()
    operation = begin(chain, action)
    client = signed_in(make_member(chain.merchant, role))

    answers = [ask(client, name, operation) for name in ("mass", "mass_confirm", "mass_cancel")]

    assert [answer.status_code for answer in answers] == statuses


def test_colleague_without_the_right_sees_no_buttons():
    chain = make_chain(1)
    operation = begin(chain)

    text = text_of(
        signed_in(make_member(chain.merchant, Role.CASHIER)).get(address("mass", operation))
    )

    assert "Отключить 1 карту" not in text
    assert "Не выполнять" not in text


@pytest.mark.parametrize("name", OF_AN_OPERATION)
def test_nobody_without_a_session(name):
    operation = begin(make_chain(1))

    assert ask(Client(), name, operation).url.startswith("/login/")


# A code before many cards


def entered_from_the_market(chain):
    client = signed_in(chain.owner)
    session = client.session
    session[confirmation.ENTERED_KEY] = chain.merchant.pk
    session.save()
    return client


@pytest.mark.parametrize(("cards", "status"), [(5, 302), (6, 403)])
def test_many_switch_offs_from_the_market_need_a_code(cards, status):
    chain = make_chain(cards)
    operation = begin(chain)

    answer = entered_from_the_market(chain).post(
        address("mass_confirm", operation), {"number": cards}
    )

    operation.refresh_from_db()
    assert answer.status_code == status
    assert operation.state == ("running" if status == 302 else "prepared")


def test_several_small_operations_need_a_code_together():
    """Also where the worker has not begun the first one yet."""
    chain = make_chain(6)
    cards = list(SmartCard.objects.of(chain.merchant).order_by("pk"))
    first, second = begin(chain, cards=cards[:4]), begin(chain, cards=cards[4:])
    MassOperation.objects.filter(pk=first.pk).update(
        state="confirmed", confirmed_at=NOW, starts_at=SENT
    )

    answer = entered_from_the_market(chain).post(address("mass_confirm", second), {"number": 2})

    assert answer.status_code == 403


def test_switching_on_from_the_market_needs_no_code():
    chain = make_chain(6, **OFF)
    operation = begin(chain, MassAction.ACTIVATE)

    answer = entered_from_the_market(chain).post(address("mass_confirm", operation), {"number": 6})

    assert answer.status_code == 302


# Size


@pytest.mark.parametrize("cards", [2, 30])
def test_page_asks_equally_many_queries(cards, django_assert_max_num_queries):
    chain = make_chain(cards, paid=cards)
    operation = begin(chain)
    client = signed_in(chain.owner)

    with django_assert_max_num_queries(10):
        page = client.get(address("mass", operation))

    assert len(page.content) < 50_000
