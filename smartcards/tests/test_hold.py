"""What a contract and the network add to a switch: silence of 72 hours, pauses, prices, shortest terms."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from cabinet.enums import Role
from cabinet.formatting.ru_format import NBSP
from smartcards import queries
from smartcards.listing.card_filter import CardFilter, StateFilter
from smartcards.models import Command, SmartCard
from smartcards.presentation.card import HeldBack, card_page
from smartcards.presentation.card_list import card_list_page
from smartcards.presentation.list_options import ListQuery
from smartcards.presentation.notices import Notice
from smartcards.presentation.progress import Step, progress_of
from smartcards.states import CommandKind, CommandState, OperatorState
from smartcards.tests.cards import (
    NOW,
    clock_at,
    cover,
    make_account,
    make_card,
    make_command,
    make_live_subscription,
    make_member,
    make_merchant,
)
from smartcards.tests.dispatch_setup import Stand, standing
from subscriptions.models import Tariff

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
OFF = {"confirmed": OperatorState.INACTIVE, "desired_on": False}
ON = {"confirmed": OperatorState.ACTIVE, "desired_on": True}
SILENT = (
    f"Смарт-карта молчит больше 72{NBSP}часов: после включения сеть может до 24{NBSP}часов "
    "придерживать интернет."
)


@pytest.fixture
def merchant():
    return make_merchant()


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[Stand]:
    with standing("tmf640", tmp_path) as stand:
        yield stand


@pytest.fixture
def owner(merchant, settings, tmp_path) -> Client:
    clock_at(settings, tmp_path)
    client = Client()
    client.force_login(make_member(merchant).user)
    return client


def paid(merchant, **fields) -> SmartCard:
    card = make_card(merchant, **fields)
    cover(card, make_live_subscription(merchant))
    return card


def page_of(merchant, at=NOW):
    card = queries.cards_of(merchant).get()
    return card_page(card=card, merchant=merchant, role=Role.OWNER, at=at)


def first_page(merchant, state=StateFilter.ALL, at=NOW):
    return card_list_page(
        merchant=merchant, role=Role.OWNER, query=ListQuery(CardFilter(state=state)), at=at
    )


def text_of(response):
    return response.content.decode().replace(NBSP, " ").replace("&nbsp;", " ")


# --- silence ------------------------------------------------------------------------------------


def test_card_silent_for_three_days_shows_hold_end(
    partner,
):
    card = partner.card(state="active", desired_on=True)
    partner.deactivate(card)
    partner.work()
    partner.clock.pass_(hours=73)
    command = partner.activate(queries.cards_of(partner.merchant).get())
    partner.work()

    page = page_of(partner.merchant, partner.clock())
    view = first_page(partner.merchant, at=partner.clock())

    command.refresh_from_db()
    assert command.state == CommandState.DONE
    assert page.pill.text == "Работает"
    assert page.failure is None
    assert page.works == "Работает, интернет может появиться не сразу"
    assert isinstance(page.held_back, HeldBack)
    assert page.held_back.title.startswith("Сеть может придержать интернет до ")
    assert page.held_back.advice == (
        f"Смарт-карта молчала больше 72{NBSP}часов, и сети проверяют такие карты: это правило связи, а "
        "не поломка. Касса печатает чеки и передаст их, когда интернет вернётся. "
        f"Если через 10{NBSP}минут после включения интернета нет, перезагрузите кассу: после долгой "
        "паузы это часто нужно модему. Не помогло — подождите: раньше срока ограничение снимает только "
        "контакт-центр оператора. Если интернета нет и после него, напишите нам."
    )
    assert view.counts.works == 1
    assert view.counts.needs == 0
    [held_back] = [chip for chip in view.filters if chip.title == "Ждут интернета"]
    assert held_back.count == 1
    assert view.notices[0] == Notice(
        f"1{NBSP}смарт-карта работает, но после долгого молчания сеть может пока придержать интернет. "
        "Перезагрузите кассу, если его всё ещё нет.",
        "Показать",
        "cards",
        "state=held_back",
    )


def test_notice_of_the_network_goes_when_its_time_is_over(merchant):
    paid(merchant, **ON, may_hold_until=NOW + 24 * HOUR)

    before = page_of(merchant, NOW + 24 * HOUR - timedelta(seconds=1))
    after = page_of(merchant, NOW + 24 * HOUR)

    assert (before.held_back is None) is False
    assert after.held_back is None
    assert after.works == "Да, работает"
    assert first_page(merchant, at=NOW + 24 * HOUR).notices == ()
    assert first_page(merchant, StateFilter.HELD_BACK, NOW + 24 * HOUR).shops == ()


def test_card_list_row_shows_until_when_data_may_be_held(merchant):
    paid(merchant, **ON, may_hold_until=NOW + 24 * HOUR)

    [row] = first_page(merchant, StateFilter.HELD_BACK).shops[0].rows

    assert row.note == f"Сеть может придержать интернет до 23{NBSP}ноября, 12:00"
    assert row.pill.text == "Работает"


def test_time_of_today_stands_without_its_day(merchant):
    paid(merchant, **ON, may_hold_until=NOW + 3 * HOUR)

    page = page_of(merchant)

    assert page.held_back is not None
    assert page.held_back.title == "Сеть может придержать интернет до 15:00"


@pytest.mark.parametrize(
    ("silent", "hint"),
    [
        (71 * HOUR, ""),
        (72 * HOUR, SILENT),
        (None, SILENT.replace("карта молчит", "карта, возможно, молчит")),
    ],
)
def test_button_warns_of_hold_after_long_silence(merchant, silent, hint):
    paid(merchant, **OFF, off_since=silent and NOW - silent)

    assert page_of(merchant).buttons[0].hint == hint


def test_both_pages_show_it(owner, merchant):
    card = paid(merchant, **ON, may_hold_until=NOW + 24 * HOUR)

    whole = text_of(owner.get(reverse("card", args=[card.pk])))
    listed = text_of(owner.get("/"))

    assert "Работает. Сеть может придержать интернет до 23 ноября, 12:00" in whole
    assert "Сеть может придержать интернет до 23 ноября, 12:00" in listed
    assert "Смарт-карта работает" in listed


# --- the pause between two switches --------------------------------------------------------------


def test_waiting_for_the_contracts_pause_is_shown_with_its_time(merchant):
    card = make_card(merchant, account=make_account(cooldown_seconds=2400))
    make_command(card, due_at=NOW + timedelta(minutes=40))

    progress = progress_of(card=card, merchant=merchant, at=NOW)

    assert progress is not None
    assert progress.steps[1].hint == "по правилам оператора не раньше 12:40"
    assert progress.announcement == "Включаем смарт-карту: по правилам оператора не раньше 12:40"


def test_waiting_requested_by_the_operator_is_shown_separately(merchant):
    card = make_card(merchant)
    make_command(card, due_at=NOW + timedelta(minutes=5), error="rate_limited")

    progress = progress_of(card=card, merchant=merchant, at=NOW)

    assert progress is not None
    assert progress.steps[1] == Step(
        "Отправка оператору",
        "current",
        "оператор попросил подождать, повторим сами не раньше 12:05",
    )


def test_button_shows_the_pause_before_the_click(merchant):
    account = make_account(cooldown_seconds=3600)
    card = paid(merchant, account=account, **ON)
    make_command(card, state=CommandState.DONE, at=NOW - timedelta(seconds=1203))

    page = page_of(merchant)

    assert page.buttons[0].hint == "По правилам оператора переключим не раньше 12:40."
    assert page_of(merchant, NOW + HOUR).buttons[0].hint == ""


# --- prices --------------------------------------------------------------------------------------


def messages_of(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def test_activation_that_costs_shows_the_sum_and_waits(owner, merchant):
    card = paid(merchant, account=make_account(activation_fee_kopecks=1550))
    address = reverse("card_activate", args=[card.pk])

    by_link = owner.get(address)
    by_an_old_button = owner.post(address)

    for page in (by_link, by_an_old_button):
        assert "Плата за включение" in text_of(page)
        assert "15,50 ₽" in text_of(page)
    assert f'href="{address}">Активировать</a>' in text_of(owner.get("/"))
    assert Command.objects.count() == 0

    done = owner.post(address, {"fee": "1550"})

    assert messages_of(done)[-1] == "Запрос принят: включаем смарт-карту."
    assert Command.objects.count() == 1


def test_price_that_has_changed_meanwhile_is_asked_about_again(owner, merchant):
    card = paid(merchant, account=make_account(activation_fee_kopecks=1550))
    make_account(activation_fee_kopecks=2000)

    page = owner.post(reverse("card_activate", args=[card.pk]), {"fee": "1550"})

    assert "20 ₽" in text_of(page)
    assert Command.objects.count() == 0


def test_deactivation_that_costs_shows_the_sum_and_takes_no_other(owner, merchant):
    card = paid(merchant, account=make_account(deactivation_fee_kopecks=900), **ON)
    address = reverse("card_deactivate", args=[card.pk])

    page, unseen = owner.get(address), owner.post(address)
    assert ("9 ₽" in text_of(page)) is True
    assert ("9 ₽" in text_of(unseen)) is True
    assert Command.objects.count() == 0

    owner.post(address, {"fee": "900"})

    assert Command.objects.get().kind == CommandKind.DEACTIVATE


def test_switch_that_costs_nothing_is_made_at_once(owner, merchant):
    card = paid(merchant)

    owner.post(reverse("card_activate", args=[card.pk]))

    assert Command.objects.get().kind == CommandKind.ACTIVATE


@pytest.mark.parametrize("body", [{"fee": "x"}, {"fee": ""}, {"fee": "-1"}, {"fee": "9" * 40}])
def test_a_sum_that_is_none_agrees_to_nothing(owner, merchant, body):
    card = paid(merchant, account=make_account(activation_fee_kopecks=1550))

    page = owner.post(reverse("card_activate", args=[card.pk]), body)

    assert page.status_code == 200
    assert Command.objects.count() == 0


# --- shortest terms ------------------------------------------------------------------------------


def test_switching_on_too_soon_warns_and_is_not_refused(owner, merchant):
    account = make_account(min_inactive_days=30)
    card = paid(merchant, account=account, **OFF, off_since=NOW - 10 * DAY)
    address = reverse("card_activate", args=[card.pk])

    page = text_of(owner.get(address))
    assert "отключают не меньше чем на 30 дней, до 12 декабря 2026 г." in page

    owner.post(address, {"fee": "0"})

    assert Command.objects.get().kind == CommandKind.ACTIVATE


def test_switching_on_after_the_term_asks_nothing(merchant):
    paid(merchant, account=make_account(min_inactive_days=30), **OFF, off_since=NOW - 30 * DAY)

    assert page_of(merchant).buttons[0].asks_first is False


def test_switching_off_too_soon_warns_and_is_not_refused(owner, merchant):
    card = paid(merchant, account=make_account(min_active_days=30, min_inactive_days=7), **ON)
    make_command(card, state=CommandState.DONE, at=NOW - 10 * DAY)
    address = reverse("card_deactivate", args=[card.pk])

    page = text_of(owner.get(address))
    assert "должна проработать не меньше 30 дней, до 12 декабря 2026 г." in page
    assert "отключают не меньше чем на 7 дней: включение раньше 29 ноября 2026 г." in page

    owner.post(address)

    assert Command.objects.filter(kind=CommandKind.DEACTIVATE).count() == 1


def test_switch_off_after_the_term_has_no_warning(owner, merchant):
    card = paid(merchant, account=make_account(min_active_days=30), **ON)
    address = reverse("card_deactivate", args=[card.pk])

    unknown = text_of(owner.get(address))
    make_command(card, state=CommandState.DONE, at=NOW - 31 * DAY)
    old = text_of(owner.get(address))

    assert ("проработать" in unknown) is False
    assert ("проработать" in old) is False
    assert "Включить смарт-карту снова можно в любой момент." in old


def test_terms_of_the_tariff_speak_before_those_of_the_contract(owner, merchant):
    contract = make_account(
        activation_fee_kopecks=1500, deactivation_fee_kopecks=900, min_inactive_days=30
    )
    card = paid(merchant, account=contract, **OFF, off_since=NOW - 10 * DAY)
    by_the_contract = text_of(owner.get(reverse("card_activate", args=[card.pk])))
    Tariff.objects.update(activation_fee_kopecks=2500, min_inactive_days=0)

    asked = text_of(owner.get(reverse("card_activate", args=[card.pk])))
    owner.post(reverse("card_activate", args=[card.pk]), {"fee": "2500"})

    assert "15 ₽" in by_the_contract
    assert "отключают не меньше чем на 30 дней" in by_the_contract
    assert "25 ₽" in asked
    assert "отключают не меньше" not in asked
    assert Command.objects.get().kind == CommandKind.ACTIVATE


def test_free_switch_of_the_tariff_asks_nothing_first(merchant):
    contract = make_account(activation_fee_kopecks=1500)
    paid(merchant, account=contract, **OFF, off_since=NOW - HOUR)
    Tariff.objects.update(activation_fee_kopecks=0)

    button = page_of(merchant).buttons[0]

    assert button.asks_first is False
    assert button.hint == ""
