"""The pages of the cards, as the owner, the colleagues and strangers meet them."""

import re
from typing import NamedTuple

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from cabinet.enums import Role
from cabinet.formatting.ru_format import NBSP
from cabinet.models import AuditEvent
from smartcards import services
from smartcards.models import Command, Coverage, SmartCard
from smartcards.states import CommandKind, CommandState, OperatorState
from smartcards.tests.cards import (
    NOW,
    OWNER,
    clock_at,
    cover,
    make_account,
    make_card,
    make_command,
    make_live_subscription,
    make_member,
    make_merchant,
    make_terminal,
)

pytestmark = pytest.mark.django_db

WAS_ON = {"confirmed": OperatorState.ACTIVE, "desired_on": True}
DEEDS = ["card_activate", "card_deactivate", "card_cancel", "card_check"]
OF_A_CARD = ["card", "card_progress", "card_edit", *DEEDS]


@pytest.fixture(autouse=True)
def _noon(settings, tmp_path):
    clock_at(settings, tmp_path)


@pytest.fixture
def merchant():
    return make_merchant()


def signed_in(merchant, role=Role.OWNER, name="Анна Владимировна"):
    client = Client()
    client.force_login(make_member(merchant, role, name).user)
    return client


@pytest.fixture
def owner(merchant):
    return signed_in(merchant)


def paid_card(merchant, **fields):
    card = make_card(merchant, **fields)
    cover(card, make_live_subscription(merchant))
    return card


def text_of(response):
    """What a person reads: no markup, single spaces."""
    bare = re.sub(r"<[^>]*>", " ", response.content.decode())
    return re.sub(r"\s+", " ", bare.replace(NBSP, " "))


class Message(NamedTuple):
    level: str
    text: str


def messages_of(response):
    """The messages that wait for the next page, kind and sentence."""
    return [
        Message(message.level_tag, str(message)) for message in get_messages(response.wsgi_request)
    ]


def open_commands(card):
    return list(Command.objects.filter(card=card).values_list("kind", "state", "asked_by"))


# The first page


def test_first_page_answers_at_once_and_shows_the_card(owner, merchant):
    till = make_terminal(merchant, "Магазин на Ленина", "Касса 1")
    paid_card(merchant, iccid="8970101000000006789", msisdn="79101234567", terminal=till, **WAS_ON)

    text = text_of(owner.get("/"))

    assert "Смарт-карта работает Выбрать карты Заказать смарт-карту Ничего делать не нужно." in text
    assert (
        "Магазин на Ленина Отметить все в магазине Касса 1 8970 1010 0000 000 6789 МТС · +7 910 123-45-67 Работает "
        "Оплачена до 22 декабря Деактивировать"
    ) in text


def test_first_page_without_cards_leads_to_an_order(owner, merchant):
    page = owner.get("/")

    assert "Смарт-карт пока нет" in text_of(page)
    assert f'href="{reverse("order_new")}">Заказать смарт-карту</a>' in page.content.decode()


def test_first_page_without_cards_offers_order_by_role(merchant):
    page = signed_in(merchant, Role.CASHIER).get("/")

    assert "Смарт-карт пока нет" in text_of(page)
    assert "Заказать смарт-карту" not in text_of(page)


def test_card_list_links_keep_text_and_state_filters(owner, merchant):
    make_card(merchant, iccid="8970101000000006789")
    make_card(merchant, **WAS_ON)

    page = owner.get("/", {"q": "6789", "state": "new"})

    assert "Найдено по запросу «6789»: 1 смарт-карта." in text_of(page)
    html = page.content.decode()
    assert 'name="state" value="new"' in html
    assert 'href="/?q=6789&amp;state=works"' in html


def test_card_list_offers_only_fields_with_a_choice(owner, merchant):
    make_card(merchant, terminal=make_terminal(merchant, "Магазин 10"))
    make_card(merchant, terminal=make_terminal(merchant, "Магазин 2"))

    html = owner.get("/", {"payment": "paid", "sort": "number"}).content.decode()

    assert re.findall(r'<select id="list-\w+" name="(\w+)"', html) == [
        "shop",
        "payment",
        "sort",
        "size",
    ]
    assert re.findall(r">(Все магазины|Магазин \d+|Без магазина)</option>", html) == [
        "Все магазины",
        "Магазин 2",
        "Магазин 10",
        "Без магазина",
    ]
    assert '<option value="paid" selected>' in html
    assert '<details class="refine" open>' in html


def test_card_list_pages_keep_the_filter(owner, merchant):
    cards = [make_card(merchant, label=f"Зал {number}") for number in range(1, 54)]
    asked = {"q": "зал", "sort": "number"}

    first = owner.get("/", asked)
    second = owner.get("/", {**asked, "after": cards[49].pk})

    address = "/?q=%D0%B7%D0%B0%D0%BB&amp;sort=number"
    assert links(first) == [f"{address}&amp;after={cards[49].pk}"]
    assert links(second) == [address, f"{address}&amp;before={cards[50].pk}"]
    assert second.content.decode().count('<tr><th scope="row">') == 3


def links(page):
    [block] = re.findall(r'<nav class="pages".*?</nav>', page.content.decode(), re.DOTALL)
    return re.findall(r'href="(.*?)"', block)


def test_card_list_shows_that_nothing_was_found(owner, merchant):
    make_card(merchant)

    assert "Ничего не нашлось" in text_of(owner.get("/", {"q": "нет такой"}))


def test_first_page_escapes_what_was_typed(owner, merchant):
    make_card(merchant, label="<script>alert(1)</script>")

    html = owner.get("/", {"q": '"><script>alert(2)</script>'}).content.decode()

    assert "<script>alert" not in html + owner.get("/").content.decode()


@pytest.mark.parametrize(
    "address",
    [
        "q=%00",
        "after=-1",
        "before=1e9",
        "after=9223372036854775807",
        "shop=1x",
        "state=%27",
        "q=" + "я" * 999,
    ],
)
def test_first_page_survives_any_address(owner, merchant, address):
    make_card(merchant)

    assert owner.get(f"/?{address}").status_code == 200


@pytest.mark.parametrize("cards", [1, 3])
@pytest.mark.parametrize("query", [{}, {"q": "касса", "state": "works"}])
def test_first_page_asks_eleven_queries_whatever_the_number(
    owner, merchant, django_assert_num_queries, cards, query
):
    for _ in range(cards):
        paid_card(merchant, terminal=make_terminal(merchant), **WAS_ON)
    owner.get("/")

    with django_assert_num_queries(11):
        page = owner.get("/", query)

    assert page.content.decode().count(">Деактивировать</a>") == cards


def test_first_page_is_light(owner, merchant):
    for _ in range(50):
        paid_card(merchant, terminal=make_terminal(merchant), **WAS_ON)

    page = owner.get("/", headers={"accept-encoding": "gzip"})

    assert page.headers["Content-Encoding"] == "gzip"
    assert len(page.content) < 20_000


def test_first_page_is_frameable_by_market_and_uncached(owner):
    page = owner.get("/")

    assert "X-Frame-Options" not in page.headers
    assert "https://*.evotor.ru" in page.headers["Content-Security-Policy"]
    assert "no-store" in page.headers["Cache-Control"]


# One card


def test_card_page_shows_facts_and_a_mail_link_without_secrets(owner, merchant):
    till = make_terminal(merchant, "Магазин на Ленина", "Касса 1")
    card = paid_card(
        merchant, iccid="8970101000000006789", label="запасная", terminal=till, **WAS_ON
    )

    page = owner.get(reverse("card", args=[card.pk]))

    text = text_of(page)
    assert "Касса 1 Работает Работает? Да, работает Оплачена? Оплачена до 22 декабря" in text
    assert "Почему так Подтвердил оператор: МТС, сегодня в 12:00 Деактивировать" in text
    assert "Обычно до 2 минут, в редких случаях до суток." in text
    html = page.content.decode()
    assert 'data-copy="8970101000000006789"' in html
    [mail_link] = re.findall(r'href="(mailto:[^"]*subject[^"]*)"', html)
    assert mail_link == (
        "mailto:support@kassovye.example?subject=%D0%A1%D0%BC%D0%B0%D1%80%D1%82-%D0%BA%D0%B0%D1%80"
        "%D1%82%D0%B0%20%E2%80%A66789%3A%20%D0%A0%D0%B0%D0%B1%D0%BE%D1%82%D0%B0%D0%B5%D1%82"
    )


def test_card_page_asks_as_many_queries_however_long_the_history(
    owner, merchant, django_assert_num_queries
):
    card = paid_card(merchant, **WAS_ON)
    for _ in range(9):
        make_command(card, state=CommandState.DONE)
    make_command(card, state=CommandState.QUEUED)
    owner.get(reverse("card", args=[card.pk]))

    with django_assert_num_queries(13):
        owner.get(reverse("card", args=[card.pk]))


def test_card_page_refreshes_during_switch_with_fallback_link(owner, merchant):
    card = paid_card(merchant, desired_on=True)
    make_command(card, state=CommandState.ACCEPTED)

    page = owner.get(reverse("card", args=[card.pk]))

    html = page.content.decode()
    address = reverse("card_progress", args=[card.pk])
    assert f'data-refresh-url="{address}?seen=accepted"' in html
    assert f'<a href="{reverse("card", args=[card.pk])}">Обновить</a>' in html
    assert "Принято сегодня в 12:00 Отправлено оператору сегодня в 12:00 Подтверждено" in text_of(
        page
    )


def test_progress_reloads_the_page_when_the_command_has_moved_on(owner, merchant):
    card = paid_card(merchant, desired_on=True)
    make_command(card, state=CommandState.ACCEPTED)
    address = reverse("card_progress", args=[card.pk])

    same = owner.get(address, {"seen": "accepted"}).content.decode()
    other = owner.get(address, {"seen": "queued"}).content.decode()

    assert "data-refresh-done" not in same
    assert 'data-refresh-done="reload"' in other


def test_progress_fragment_reloads_page_when_switch_has_ended(owner, merchant):
    card = paid_card(merchant, desired_on=True)
    command = make_command(card, state=CommandState.QUEUED)
    address = reverse("card_progress", args=[card.pk])

    during = owner.get(address).content.decode()
    Command.objects.filter(pk=command.pk).update(state=CommandState.CANCELLED, finished_at=NOW)
    after = owner.get(address).content.decode()

    assert 'data-refresh-say="Включаем смарт-карту: ждёт своей очереди"' in during
    assert ("data-refresh-done" in during) is False
    assert ('data-refresh-done="reload"' in after) is True
    assert "<html" not in during + after


def test_history_is_cut_and_shown_whole_on_request(owner, merchant):
    card = paid_card(merchant)
    for _ in range(20):
        make_command(card, state=CommandState.CANCELLED)
    address = reverse("card", args=[card.pk])

    short, whole = (owner.get(url).content.decode() for url in (address, f"{address}?history=all"))

    assert short.count("<time") == 15
    assert ("Показать всё" in short) is True
    assert whole.count("<time") == 40
    assert ("Показать всё" in whole) is False


# What may be done with a card


def test_activation_queues_one_command_and_leads_to_the_card(owner, merchant):
    card = paid_card(merchant)

    answer = owner.post(reverse("card_activate", args=[card.pk]))

    assert answer.status_code == 302
    assert answer.headers["Location"] == reverse("card", args=[card.pk])
    assert messages_of(answer) == [Message("success", "Запрос принят: включаем смарт-карту.")]
    assert open_commands(card) == [("activate", "queued", "Анна Владимировна")]


def test_second_activation_names_who_asked_first(owner, merchant):
    card = paid_card(merchant)
    manager = signed_in(merchant, Role.MANAGER, "Борис")
    address = reverse("card_activate", args=[card.pk])

    answers = [owner.post(address), owner.post(address), manager.post(address)]

    sentence = (
        "Включение уже выполняется: его запросил(а) Анна Владимировна. Дождитесь ответа оператора."
    )
    assert [answer.status_code for answer in answers] == [302, 302, 302]
    assert messages_of(answers[2]) == [Message("error", sentence)]
    assert open_commands(card) == [("activate", "queued", "Анна Владимировна")]


def test_activation_of_unpaid_card_is_refused_with_button_reason(owner, merchant):
    card = make_card(merchant)
    sentence = "Смарт-карта не выбрана для оплаты. Сначала отметьте её в разделе «Выбрать карты»."

    answer = owner.post(reverse("card_activate", args=[card.pk]))

    assert messages_of(answer) == [Message("error", sentence)]
    assert sentence in text_of(owner.get("/"))
    assert sentence in text_of(owner.get(reverse("card", args=[card.pk])))
    assert open_commands(card) == []


def test_deactivation_asks_first_and_names_the_thirty_days(owner, merchant):
    card = paid_card(merchant, terminal=make_terminal(merchant), **WAS_ON)
    address = reverse("card_deactivate", args=[card.pk])

    page = owner.get(address)

    assert "Если за 30 дней не передать их в налоговую, накопитель заблокируется" in text_of(page)
    assert "Оплата от этого не остановится" in text_of(page)
    html = page.content.decode()
    assert '<button class="button button-danger" type="submit">Подтвердить</button>' in html
    assert (
        f'<a class="button button-secondary" href="{reverse("card", args=[card.pk])}">Назад</a>'
        in html
    )
    assert open_commands(card) == []


def test_deactivation_is_done_by_post_and_twice_is_once(owner, merchant):
    card = paid_card(merchant, **WAS_ON)
    address = reverse("card_deactivate", args=[card.pk])

    first, second = owner.post(address), owner.post(address)

    assert messages_of(first) == [Message("success", "Запрос принят: отключаем смарт-карту.")]
    assert second.headers["Location"] == reverse("card", args=[card.pk])
    assert open_commands(card) == [("deactivate", "queued", "Анна Владимировна")]


def test_deactivation_page_of_an_inactive_card_has_its_own_text(owner, merchant):
    card = paid_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=False)

    page = owner.get(reverse("card_deactivate", args=[card.pk]))

    assert "Подтвердить Смарт-карта уже отключена." in text_of(page)
    assert '<button class="button button-danger" type="button" disabled>' in page.content.decode()


def test_card_due_to_come_back_can_be_kept_off(owner, merchant):
    card = make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=True)
    address = reverse("card_deactivate", args=[card.pk])

    whole = owner.get(reverse("card", args=[card.pk]))
    asked = owner.get(address)
    answer = owner.post(address)

    assert f'href="{address}">Не включать</a>' in whole.content.decode()
    assert "Деактивировать" not in text_of(whole)
    assert "Касса останется без связи" not in text_of(asked)
    assert messages_of(answer) == [
        Message(
            "success", "Смарт-карта сама не включится. Когда понадобится, нажмите «Активировать»."
        )
    ]
    card.refresh_from_db()
    assert card.desired_on is False
    assert open_commands(card) == []


def test_keeping_a_card_off_costs_nothing(owner, merchant):
    account = make_account(deactivation_fee_kopecks=1500)
    card = make_card(merchant, account=account, confirmed=OperatorState.INACTIVE, desired_on=True)

    owner.post(reverse("card_deactivate", args=[card.pk]))

    card.refresh_from_db()
    assert card.desired_on is False


def test_cancel_works_only_while_command_is_queued(owner, merchant):
    card = paid_card(merchant)
    services.request_activation(card=card, by=OWNER, at=NOW)
    address = reverse("card_cancel", args=[card.pk])

    first, second = owner.post(address), owner.post(address)

    assert messages_of(first) == [
        Message("success", "Команда отменена, оператору ничего не отправлено.")
    ]
    assert messages_of(second)[-1] == Message(
        "error",
        "Команда уже отправлена оператору, отменить её нельзя. Дождитесь ответа.",
    )
    assert open_commands(card) == [("activate", "cancelled", "Анна Владимировна")]


def test_check_asks_the_operator_again_only_while_something_is_unclear(owner, merchant):
    unclear, clear = paid_card(merchant, desired_on=True), paid_card(merchant, **WAS_ON)
    make_command(unclear, state=CommandState.NEEDS_STAFF)

    asked = owner.post(reverse("card_check", args=[unclear.pk]))
    refused = owner.post(reverse("card_check", args=[clear.pk]))

    assert messages_of(asked) == [Message("success", "Спрашиваем оператора ещё раз.")]
    assert open_commands(unclear) == [("activate", "checking", "Анна Владимировна")]
    assert messages_of(refused)[-1] == Message(
        "error",
        "По этой смарт-карте уточнять нечего: состояние известно.",
    )


@pytest.mark.parametrize("name", ["card_activate", "card_cancel", "card_check"])
def test_action_by_get_does_nothing_and_shows_the_card(owner, merchant, name):
    card = paid_card(merchant)

    answer = owner.get(reverse(name, args=[card.pk]))

    assert answer.headers["Location"] == reverse("card", args=[card.pk])
    assert open_commands(card) == []


def test_edit_saves_label_and_terminal_and_writes_the_audit_log(owner, merchant):
    card, till = make_card(merchant), make_terminal(merchant, "Ёлка", "Касса 7")

    answer = owner.post(
        reverse("card_edit", args=[card.pk]), {"label": " летняя ", "terminal": till.pk}
    )

    assert answer.headers["Location"] == reverse("card", args=[card.pk])
    card.refresh_from_db()
    assert card.label == "летняя"
    assert card.terminal_id == till.pk
    assert list(AuditEvent.objects.values_list("text", "actor_name")) == [
        ("Изменены подпись и место: касса «Касса 7»", "Анна Владимировна")
    ]


@pytest.mark.parametrize("body", [{"label": "я" * 101}, {"terminal": "x"}, {"label": "\0"}])
def test_edit_keeps_what_was_typed_when_it_is_wrong(owner, merchant, body):
    card = make_card(merchant, label="прежняя")

    page = owner.post(reverse("card_edit", args=[card.pk]), body)

    card.refresh_from_db()
    assert page.status_code == 200
    assert card.label == "прежняя"
    assert "Проверьте поля, отмеченные красным." in text_of(page)


def test_edit_does_not_take_terminal_of_another_merchant(owner, merchant):
    card, foreign = make_card(merchant), make_terminal(make_merchant(), "Чужой магазин", "Чужая")
    address = reverse("card_edit", args=[card.pk])

    page = owner.post(address, {"label": "", "terminal": foreign.pk})

    card.refresh_from_db()
    assert page.status_code == 200
    assert card.terminal_id is None
    assert "Чужая" not in text_of(page)


# Which cards are paid


def test_choice_covers_the_ticked_cards(owner, merchant):
    make_live_subscription(merchant, cards=2)
    one, two, three = (make_card(merchant) for _ in range(3))
    shown = f"{one.pk},{two.pk},{three.pk}"

    answer = owner.post(reverse("choose_cards"), {"shown": shown, "cards": [one.pk, three.pk]})

    assert answer.headers["Location"] == "/"
    assert messages_of(answer) == [Message("success", "Выбор сохранён.")]
    assert covered() == {one.pk, three.pk}


def mark_of(page):
    [mark] = re.findall(r'name="confirmed" value="(\w+)"', page.content.decode())
    return mark


def covered():
    return set(Coverage.objects.filter(till=None).values_list("card_id", flat=True))


def test_choice_of_too_many_keeps_ticks_and_links_to_payment(owner, merchant):
    make_live_subscription(merchant, cards=1)
    one, two, three = (make_card(merchant) for _ in range(3))
    body = {"shown": f"{one.pk},{two.pk},{three.pk}", "cards": [one.pk, two.pk]}

    page = owner.post(reverse("choose_cards"), body)

    assert "Выбрано смарт-карт: 2, а оплачено: 1." in text_of(page)
    html = page.content.decode()
    assert f'<a href="{reverse("subscription")}">Изменить число карт</a>' in html
    assert ticked(page) == [one.pk, two.pk]
    assert covered() == set()


def test_choice_that_drops_working_cards_lists_exactly_them_and_waits(owner, merchant):
    subscription = make_live_subscription(merchant, cards=3)
    till = make_terminal(merchant, "Ёлка", "Касса 7")
    works = make_card(merchant, iccid="8970101000000006789", terminal=till, **WAS_ON)
    off, stays = make_card(merchant), make_card(merchant, **WAS_ON)
    for card in (works, off, stays):
        cover(card, subscription)
    body = {"shown": f"{works.pk},{off.pk},{stays.pk}", "cards": [stays.pk]}

    page = owner.post(reverse("choose_cards"), body)

    [listed] = re.findall(r"мы отключим: (.*?) Кассы с этими", text_of(page))
    assert listed.strip() == "Касса 7 , Ёлка 8970 1010 0000 000 6789"
    assert covered() == {works.pk, off.pk, stays.pk}

    done = owner.post(reverse("choose_cards"), {"confirmed": mark_of(page)})

    assert done.headers["Location"] == "/"
    assert covered() == {stays.pk}
    assert open_commands(works) == [("deactivate", "queued", "Анна Владимировна")]


def test_choice_is_confirmed_again_when_dropped_cards_have_changed(owner, merchant):
    subscription = make_live_subscription(merchant, cards=2)
    one, two = make_card(merchant, **WAS_ON), make_card(merchant, **WAS_ON)
    cover(one, subscription)
    cover(two, subscription)

    first = owner.post(reverse("choose_cards"), {"shown": str(one.pk)})
    body = {"shown": str(two.pk), "confirmed": mark_of(first)}
    page = owner.post(reverse("choose_cards"), body)

    assert "Отключится 1 смарт-карта" in text_of(first)
    assert "Отключатся 2 смарт-карты" in text_of(page)
    assert covered() == {one.pk, two.pk}


def test_choice_goes_back_from_the_warning_with_every_tick(owner, merchant):
    subscription = make_live_subscription(merchant, cards=2)
    works, new = make_card(merchant, **WAS_ON), make_card(merchant)
    cover(works, subscription)
    body = {"shown": f"{works.pk},{new.pk}", "cards": [new.pk]}

    warning = owner.post(reverse("choose_cards"), body)
    page = owner.get(reverse("choose_cards"))

    assert f'href="{reverse("choose_cards")}"' in warning.content.decode()
    assert ticked(page) == [new.pk]
    assert covered() == {works.pk}


def ticked(page):
    return [int(pk) for pk in re.findall(r'value="(\d+)" checked', page.content.decode())]


def test_choice_keeps_ticks_while_paging_and_saves_all(owner, merchant):
    make_live_subscription(merchant, cards=99)
    cards = [make_card(merchant, label=f"Карта {number}") for number in range(1, 53)]
    first = ",".join(str(card.pk) for card in cards[:50])
    turn = {"shown": first, "cards": [cards[0].pk], "after": cards[49].pk}

    answer = owner.post(reverse("choose_cards"), turn)
    second = owner.get(answer.headers["Location"])
    body = {"shown": f"{cards[50].pk},{cards[51].pk}", "cards": [cards[51].pk]}
    saved = owner.post(reverse("choose_cards"), body)

    assert answer.headers["Location"] == f"{reverse('choose_cards')}?after={cards[49].pk}"
    assert re.findall(r'name="cards" value="(\d+)"', second.content.decode()) == [
        str(cards[50].pk),
        str(cards[51].pk),
    ]
    assert "1 отмечено" in text_of(second)
    assert saved.headers["Location"] == "/"
    assert covered() == {cards[0].pk, cards[51].pk}


def test_choice_keeps_ticks_while_searching(owner, merchant):
    one, two = make_card(merchant, label="Зал"), make_card(merchant, label="Веранда")
    body = {"shown": f"{one.pk},{two.pk}", "cards": [one.pk], "go": "show", "q": "веранда"}

    page = owner.post(reverse("choose_cards"), body, follow=True)

    assert re.findall(r'name="cards" value="(\d+)"', page.content.decode()) == [str(two.pk)]
    assert "Найдено: 1 смарт-карта." in text_of(page)
    assert ticked(owner.get(reverse("choose_cards"))) == [one.pk]


def test_choice_ticks_all_found_cards_with_one_button(owner, merchant):
    make_live_subscription(merchant, cards=99)
    cards = [make_card(merchant, label=f"Зал {number}") for number in range(60)]
    make_card(merchant, label="Веранда")

    owner.post(reverse("choose_cards"), {"go": "tick_found", "q": "зал"})
    owner.post(reverse("choose_cards"), {})

    assert covered() == {card.pk for card in cards}


def test_choice_forgets_unsaved_ticks_on_request(owner, merchant):
    card = make_card(merchant)
    body = {"shown": str(card.pk), "cards": [card.pk], "go": "show"}
    owner.post(reverse("choose_cards"), body)

    page = owner.get(reverse("choose_cards"))
    after = owner.post(reverse("choose_cards"), {"go": "discard"}, follow=True)

    assert "Отменить изменения" in text_of(page)
    assert "Отменить изменения" not in text_of(after)
    assert ticked(after) == []


def test_choice_sent_twice_is_once(owner, merchant):
    make_live_subscription(merchant, cards=1)
    card = make_card(merchant)
    body = {"shown": str(card.pk), "cards": [card.pk]}

    owner.post(reverse("choose_cards"), body)
    again = owner.post(reverse("choose_cards"), body)

    assert again.headers["Location"] == "/"
    assert Coverage.objects.count() == 1


def test_choice_refuses_a_strangers_card_and_gives_nothing_away(owner, merchant):
    make_live_subscription(merchant, cards=2)
    foreign = make_card(make_merchant())

    answer = owner.post(reverse("choose_cards"), {"shown": str(foreign.pk), "cards": [foreign.pk]})

    assert messages_of(answer) == [Message("error", "Такой смарт-карты у вас нет.")]
    assert covered() == set()


@pytest.mark.parametrize("body", [{"cards": "x"}, {"shown": "1,,"}, {"cards": ["9" * 30]}])
def test_choice_survives_garbage(owner, merchant, body):
    answer = owner.post(reverse("choose_cards"), body)

    assert answer.headers["Location"] == reverse("choose_cards")
    assert messages_of(answer) == [
        Message("error", "Список смарт-карт не читается. Выберите карты ещё раз.")
    ]


@pytest.mark.parametrize("cards", [1, 3])
def test_choice_asks_as_many_queries_whatever_the_number(
    owner, merchant, django_assert_num_queries, cards
):
    for _ in range(cards):
        paid_card(merchant, terminal=make_terminal(merchant), **WAS_ON)
    owner.get(reverse("choose_cards"))

    with django_assert_num_queries(9):
        owner.get(reverse("choose_cards"))


# Owner, colleague, stranger


@pytest.mark.parametrize("name", OF_A_CARD)
@pytest.mark.parametrize("method", ["get", "post"])
def test_card_of_another_merchant_is_not_found(owner, merchant, name, method):
    foreign, stock = paid_card(make_merchant(), **WAS_ON), make_card()

    answers = [
        getattr(owner, method)(reverse(name, args=[pk]), {"label": "моя"}).status_code
        for pk in (foreign.pk, stock.pk, 10**9, 10**30)
    ]

    only_read = method == "post" and name in {"card", "card_progress"}
    assert set(answers) == ({405} if only_read else {404})
    assert Command.objects.count() == 0
    assert set(SmartCard.objects.values_list("label", flat=True)) == {""}


@pytest.mark.parametrize("name", ["cards", "choose_cards"])
def test_whoever_is_not_signed_in_is_asked_to(name):
    answer = Client().get(reverse(name))

    assert answer.headers["Location"] == f"{reverse('login')}?next={reverse(name)}"


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.OWNER, {"activate", "deactivate", "cancel", "check", "edit", "choose"}),
        (Role.MANAGER, {"activate", "deactivate", "cancel", "check", "edit", "choose"}),
        (Role.CASHIER, {"activate", "cancel", "check"}),
        (Role.ACCOUNTANT, set()),
    ],
)
def test_each_role_acts_by_its_rights_or_reads_why(merchant, role, allowed):
    client = signed_in(merchant, role)
    queued, unclear = paid_card(merchant, desired_on=True), paid_card(merchant, desired_on=True)
    make_command(queued, kind=CommandKind.ACTIVATE)
    make_command(unclear, state=CommandState.CHECKING)
    requests = {
        "activate": reverse("card_activate", args=[paid_card(merchant).pk]),
        "deactivate": reverse("card_deactivate", args=[paid_card(merchant, **WAS_ON).pk]),
        "cancel": reverse("card_cancel", args=[queued.pk]),
        "check": reverse("card_check", args=[unclear.pk]),
        "edit": reverse("card_edit", args=[queued.pk]),
        "choose": reverse("choose_cards"),
    }

    answers = {action: client.post(address) for action, address in requests.items()}

    assert {action for action, answer in answers.items() if answer.status_code != 403} == allowed
    refusals = [text_of(answer) for answer in answers.values() if answer.status_code == 403]
    assert all("Это действие доступно владельцу" in text for text in refusals)
    assert client.get("/").status_code == 200
    assert client.get(reverse("card", args=[queued.pk])).status_code == 200


def test_an_accountant_is_offered_no_switch(merchant):
    client = signed_in(merchant, Role.ACCOUNTANT)
    card = paid_card(merchant)

    for page in (client.get("/"), client.get(reverse("card", args=[card.pk]))):
        assert reverse("card_activate", args=[card.pk]) not in page.content.decode()
    assert "Выбрать карты Это действие доступно владельцу или администратору." in text_of(
        client.get("/")
    )


def test_person_of_two_companies_sees_cards_of_chosen_one(merchant):
    other = make_merchant("ИП Второй")
    card = paid_card(other)
    member = make_member(merchant)
    member.__class__.objects.create(
        merchant=other, user=member.user, role=Role.OWNER, created_at=NOW
    )
    client = Client()
    client.force_login(member.user)
    session = client.session
    session["merchant_id"] = merchant.pk
    session.save()

    first = client.get(reverse("card", args=[card.pk])).status_code
    session["merchant_id"] = other.pk
    session.save()

    assert first == 404
    assert client.get(reverse("card", args=[card.pk])).status_code == 200


@pytest.mark.parametrize("name", [*DEEDS, "card_edit"])
def test_a_forged_post_is_refused(merchant, name):
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_member(merchant).user)
    card = paid_card(merchant)

    answer = client.post(reverse(name, args=[card.pk]))

    assert answer.status_code == 403
    assert open_commands(card) == []
