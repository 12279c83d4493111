"""What merchants read while an operator is down or at work, while we brake, and how long a switch takes."""

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse

from cabinet.actors import SYSTEM
from cabinet.enums import Role
from cabinet.formatting.ru_format import NBSP
from smartcards import queries, safety_brake
from smartcards.models import Command, SmartCard
from smartcards.presentation import display_format, outages
from smartcards.presentation.card import card_page
from smartcards.presentation.card_list import card_list_page
from smartcards.presentation.list_options import ListQuery
from smartcards.presentation.outages import Outage, OutageCause
from smartcards.presentation.progress import progress_of
from smartcards.states import CommandKind, CommandState, OperatorState, Origin, WithdrawalReason
from smartcards.tests.cards import (
    NOW,
    STAFF,
    clock_at,
    cover,
    make_account,
    make_card,
    make_command,
    make_live_subscription,
    make_member,
    make_merchant,
)

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
MOSCOW = ZoneInfo("Europe/Moscow")
ON, OFF = CommandKind.ACTIVATE, CommandKind.DEACTIVATE
WORKS = {"confirmed": OperatorState.ACTIVE, "desired_on": True}
# NOW is 12:00 of a Sunday in Moscow.
DOWN = {"broken_since": NOW - HOUR - 18 * MINUTE, "probe_at": NOW + MINUTE}
AT_WORK = {"maintenance_windows": [{"from": "11:30", "to": "13:15"}]}
PAUSED = {"enabled": False}


def plain(text):
    return text.replace(NBSP, " ")


def texts_of(found):
    return tuple(plain(text) for text in found)


def down(code="mts", **fields):
    return make_account(code, **{**DOWN, **fields})


# --- what is wrong with an operator ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "zone", "head"),
    [
        ({}, "Europe/Moscow", None),
        (DOWN, "Europe/Moscow", "У МТС сбой с 10:42 (МСК)"),
        (DOWN, "Asia/Vladivostok", "У МТС сбой с 17:42 (МСК+7)"),
        (DOWN, "Europe/Kaliningrad", "У МТС сбой с 09:42 (МСК\u22121)"),
        (
            DOWN | {"broken_since": NOW - 20 * HOUR},
            "Europe/Moscow",
            "У МТС сбой с 21 ноября, 16:00 (МСК)",
        ),
        (DOWN | {"title": "Билайн"}, "Europe/Moscow", "У Билайна сбой с 10:42 (МСК)"),
        (AT_WORK, "Europe/Moscow", "У МТС технические работы до 13:15"),
        (AT_WORK, "Asia/Vladivostok", "У МТС технические работы до 20:15 (МСК+7)"),
        (
            {"maintenance_windows": [{"from": "11:00", "to": "02:00"}]},
            "Europe/Moscow",
            "У МТС технические работы до 23 ноября, 02:00",
        ),
        ({"maintenance_windows": [{"from": "13:00", "to": "14:00"}]}, "Europe/Moscow", None),
        ({"maintenance_windows": [{"from": "25:00"}]}, "Europe/Moscow", None),
        (PAUSED, "Asia/Vladivostok", "Мы приостановили работу с оператором «МТС»"),
        (PAUSED | DOWN | AT_WORK, "Europe/Moscow", "Мы приостановили работу с оператором «МТС»"),
    ],
)
def test_outage_names_operator_and_hour_in_merchants_zone(fields, zone, head):
    account = make_account(**fields)

    found = outages.outage_of(account, ZoneInfo(zone), NOW)

    assert (plain(found.head) if found else None) == head


@pytest.mark.parametrize(
    ("broken_since", "cause"),
    [(NOW - 20 * MINUTE, OutageCause.WORKS), (NOW - HOUR, OutageCause.DOWN)],
    ids=["silent since the works began", "down before them"],
)
def test_operator_silent_during_its_maintenance_is_in_maintenance(broken_since, cause):
    account = down(broken_since=broken_since, **AT_WORK)

    assert outages.outage_of(account, MOSCOW, NOW).cause is cause


@pytest.mark.parametrize(
    ("title", "genitive"),
    [
        ("МТС", "МТС"),
        ("Билайн", "Билайна"),
        ("МегаФон", "МегаФона"),
        ("Партнёр-Телеком", "Партнёр-Телекома"),
        ("Йота", "Йота"),
        ("Tele2", "Tele2"),
        ("Билайн M2M", "оператора «Билайн M2M»"),
    ],
)
def test_an_operators_name_after_u(title, genitive):
    assert display_format.of_operator(title) == genitive


FOUND = {
    OutageCause.DOWN: Outage(OutageCause.DOWN, "У МТС сбой с 10:42 (МСК)"),
    OutageCause.WORKS: Outage(OutageCause.WORKS, "У Билайна технические работы до 06:00"),
    OutageCause.PAUSED: Outage(OutageCause.PAUSED, "Мы приостановили работу с оператором «МТС»"),
}


@pytest.mark.parametrize(
    ("cause", "kind", "state", "sentence"),
    [
        (
            OutageCause.DOWN,
            ON,
            CommandState.QUEUED,
            "У МТС сбой с 10:42 (МСК), включим сами. Запрос ждёт в очереди и не потеряется.",
        ),
        (
            OutageCause.DOWN,
            OFF,
            CommandState.QUEUED,
            "У МТС сбой с 10:42 (МСК), отключим сами. Запрос ждёт в очереди и не потеряется.",
        ),
        (
            OutageCause.DOWN,
            ON,
            CommandState.CHECKING,
            (
                "У МТС сбой с 10:42 (МСК), включим сами. "
                "Запрос не потерян: уточним его у оператора, когда оператор ответит."
            ),
        ),
        (
            OutageCause.PAUSED,
            ON,
            CommandState.QUEUED,
            (
                "Мы приостановили работу с оператором «МТС», включим сами, когда возобновим её. "
                "Запрос ждёт в очереди и не потеряется."
            ),
        ),
        (
            OutageCause.PAUSED,
            OFF,
            CommandState.ACCEPTED,
            (
                "Мы приостановили работу с оператором «МТС», отключим сами, когда возобновим её. "
                "Запрос не потерян: уточним его у оператора, когда возобновим работу с ним."
            ),
        ),
        (
            OutageCause.WORKS,
            ON,
            CommandState.QUEUED,
            (
                "У Билайна технические работы до 06:00, включим после них. "
                "Запрос ждёт в очереди и не потеряется."
            ),
        ),
    ],
)
def test_sentence_about_a_command_states_that_the_queue_is_kept(cause, kind, state, sentence):
    command = make_command(make_card(make_merchant()), kind=kind, state=state)

    assert outages.about_command(FOUND[cause], command) == sentence


# --- the page of a card ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "state", "shown"),
    [
        (DOWN, CommandState.QUEUED, True),
        (DOWN, CommandState.SENDING, True),
        (DOWN, CommandState.ACCEPTED, True),
        (DOWN, CommandState.CHECKING, True),
        (DOWN, CommandState.NEEDS_STAFF, False),
        (AT_WORK, CommandState.QUEUED, True),
        (AT_WORK, CommandState.ACCEPTED, False),
        (PAUSED, CommandState.QUEUED, True),
        (PAUSED, CommandState.CHECKING, True),
        (PAUSED, CommandState.NEEDS_STAFF, False),
        ({}, CommandState.QUEUED, False),
    ],
)
def test_progress_shows_the_outage_instead_of_a_time(fields, state, shown):
    merchant = make_merchant()
    card = make_card(merchant, desired_on=True, account=make_account(**fields))
    make_command(card, state=state, due_at=NOW + HOUR)

    progress = progress_of(card=card, merchant=merchant, at=NOW)

    assert bool(progress.outage) == shown
    assert bool(progress.promise) == (not shown)
    assert (progress.announcement == progress.outage) is shown


def test_progress_in_trouble_names_no_hour_of_its_own():
    merchant = make_merchant()
    card = make_card(merchant, desired_on=True, account=down())
    make_command(card, error="transient", due_at=NOW + HOUR)

    progress = progress_of(card=card, merchant=merchant, at=NOW)

    assert [step.hint for step in progress.steps if step.state == "current"] == [
        "ждёт своей очереди"
    ]


def test_progress_renews_itself_into_the_trouble_and_out_of_it(settings, tmp_path):
    clock_at(settings, tmp_path)
    merchant = make_merchant()
    card = make_card(merchant, desired_on=True)
    make_command(card)
    client, address = signed_in(merchant), reverse("card_progress", args=[card.pk])

    before = client.get(address, {"seen": "queued"}).content.decode()
    down()
    during = client.get(address, {"seen": "queued"}).content.decode()
    make_account(broken_since=None, probe_at=None)
    after = client.get(address, {"seen": "queued"}).content.decode()

    sentence = "У МТС сбой с 10:42 (МСК), включим сами."
    assert [plain(html).count(sentence) for html in (before, during, after)] == [0, 2, 0]
    assert "data-refresh-done" not in before + during + after


def signed_in(merchant, role=Role.OWNER):
    client = Client()
    client.force_login(make_member(merchant, role).user)
    return client


def test_card_page_shows_outage_instead_of_switch_time():
    merchant = make_merchant()
    cover(make_card(merchant, **WORKS), make_live_subscription(merchant))

    fine = page_of(merchant)
    down()
    broken = page_of(merchant)

    assert plain(fine.promise) == "Обычно до 2 минут, в редких случаях до суток."
    assert fine.outage == ""
    assert broken.promise == ""
    assert (
        plain(broken.outage)
        == "У МТС сбой с 10:42 (МСК). Новый запрос подождёт в очереди, выполним его, когда оператор ответит."
    )


def page_of(merchant, at=NOW):
    [card] = queries.cards_of(merchant)
    return card_page(card=card, merchant=merchant, role=Role.OWNER, at=at)


@pytest.mark.parametrize(
    ("name", "card", "sentence"),
    [
        ("card_activate", {}, "У МТС сбой с 10:42 (МСК), включим сами."),
        ("card_deactivate", WORKS, "У МТС сбой с 10:42 (МСК), отключим сами."),
    ],
)
def test_confirmation_page_shows_the_outage_or_the_time(settings, tmp_path, name, card, sentence):
    clock_at(settings, tmp_path)
    merchant = make_merchant()
    row = make_card(merchant, account=make_account(activation_fee_kopecks=1500), **card)
    cover(row, make_live_subscription(merchant))
    client, address = signed_in(merchant), reverse(name, args=[row.pk])
    promise = "Обычно до 2 минут, в редких случаях до суток."

    fine = plain(client.get(address).content.decode())
    down()
    broken = plain(client.get(address).content.decode())

    assert (promise in fine) is True
    assert (sentence in fine) is False
    assert (promise in broken) is False
    assert (sentence in broken) is True


def test_withdrawal_and_choice_pages_show_the_outage(settings, tmp_path):
    clock_at(settings, tmp_path)
    merchant = make_merchant()
    row = make_card(merchant, account=down(), **WORKS)
    cover(row, make_live_subscription(merchant))
    client = signed_in(merchant)

    withdrawal = client.post(
        reverse("card_withdraw", args=[row.pk]), {"because": WithdrawalReason.BROKEN}
    )
    choice = client.post(reverse("choose_cards"), {"shown": row.pk})

    sentence = "У МТС сбой с 10:42 (МСК), отключим сами."
    pages = [plain(page.content.decode()) for page in (withdrawal, choice)]
    assert all(sentence in page for page in pages)


# --- the first page -------------------------------------------------------------------------------


def first_page(merchant, at=NOW):
    return card_list_page(merchant=merchant, role=Role.OWNER, query=ListQuery(), at=at)


def test_card_list_shows_each_outage_and_what_waits_for_it():
    merchant = make_merchant()
    mts, other = down(), make_account("beeline", title="Билайн", **AT_WORK)
    make_account("fine", title="Третий")
    for kind in (ON, ON):
        make_command(make_card(merchant, account=mts), kind=kind)
    make_command(make_card(merchant, account=mts), state=CommandState.NEEDS_STAFF)
    make_command(make_card(merchant, account=other, **WORKS), kind=OFF)
    make_command(make_card(merchant, account=other), state=CommandState.ACCEPTED)

    assert texts_of(first_page(merchant).outages) == (
        (
            "У Билайна технические работы до 13:15, отключим после них. "
            "Ждёт 1 смарт-карта, запросы не потеряются."
        ),
        "У МТС сбой с 10:42 (МСК), включим сами. Ждут 2 смарт-карты, запросы не потеряются.",
    )


def test_card_list_shows_a_paused_contract_only_where_something_waits():
    merchant, other = make_merchant(), make_merchant()
    paused = make_account(enabled=False)
    make_command(make_card(merchant, account=paused))
    make_command(make_card(other, account=paused), state=CommandState.NEEDS_STAFF)

    assert texts_of(first_page(merchant).outages) == (
        (
            "Мы приостановили работу с оператором «МТС», включим сами, когда возобновим её. "
            "Ждёт 1 смарт-карта, запросы не потеряются."
        ),
    )
    assert first_page(other).outages == ()


def test_card_page_before_a_switch_shows_a_paused_contract():
    merchant = make_merchant()
    card = make_card(merchant, account=make_account(enabled=False), **WORKS)
    cover(card, make_live_subscription(merchant))

    page = page_of(merchant)

    assert page.promise == ""
    assert plain(page.outage) == (
        "Мы приостановили работу с оператором «МТС». "
        "Новый запрос подождёт в очереди, выполним его, когда возобновим работу с ним."
    )


def test_progress_shows_that_the_operator_is_slow():
    merchant = make_merchant()
    row = make_card(merchant, desired_on=True)
    for _ in range(19):
        other = make_card(make_merchant(), account=row.account)
        make_command(other, at=NOW - 7 * HOUR)
    make_command(row, at=NOW - HOUR)

    young = progress_of(card=row, merchant=merchant, at=NOW)
    old = progress_of(card=row, merchant=merchant, at=NOW + 24 * HOUR)

    assert plain(young.promise) == (
        "Сейчас дольше обычного: запросы ждут уже 7 часов. "
        "Ждать здесь не нужно: мы доведём дело до конца."
    )
    assert plain(old.promise) == ("Очень долго. Мы уже знаем об этом и разбираемся с оператором.")


def test_card_list_describes_mixed_switches_neutrally():
    merchant = make_merchant()
    make_command(make_card(merchant, account=down()), kind=ON)
    make_command(make_card(merchant, **WORKS), kind=OFF)

    assert texts_of(first_page(merchant).outages) == (
        "У МТС сбой с 10:42 (МСК), переключим сами. Ждут 2 смарт-карты, запросы не потеряются.",
    )


@pytest.mark.parametrize(
    ("card", "shown"),
    [
        ({}, True),
        (WORKS, True),
        ({"confirmed": OperatorState.RETIRED}, False),
        (
            {
                "confirmed": OperatorState.INACTIVE,
                "desired_on": False,
                "withdrawn_at": NOW,
                "withdrawn_because": WithdrawalReason.LOST,
            },
            False,
        ),
        (
            {
                "confirmed": OperatorState.ACTIVE,
                "desired_on": False,
                "withdrawn_at": NOW,
                "withdrawn_because": WithdrawalReason.LOST,
            },
            True,
        ),
    ],
    ids=["new", "works", "retired", "withdrawn", "withdrawn and still on"],
)
def test_card_list_shows_outages_of_operators_with_switchable_cards(card, shown):
    merchant = make_merchant()
    make_card(merchant, account=down(), **card)
    make_card(make_merchant(), **WORKS)

    assert texts_of(first_page(merchant).outages) == (
        (
            (
                "У МТС сбой с 10:42 (МСК). Новые запросы подождут в очереди, выполним их, "
                "когда оператор ответит."
            ),
        )
        if shown
        else ()
    )


def test_first_page_shows_the_trouble_above_the_list(settings, tmp_path):
    clock_at(settings, tmp_path)
    merchant = make_merchant()
    make_card(merchant, account=down())

    html = plain(signed_in(merchant).get("/", {"state": "new"}).content.decode())

    assert html.index("У МТС сбой с 10:42 (МСК).") < html.index("<table")


@pytest.mark.parametrize("cards", [1, 4])
def test_troubles_of_many_cards_and_operators_cost_two_queries(django_assert_num_queries, cards):
    merchant = make_merchant()
    for number in range(cards):
        account = down(f"operator-{number}", title=f"Оператор-{number}")
        make_command(make_card(merchant, account=account))

    with django_assert_num_queries(2):
        found = outages.outages_of(merchant, NOW)

    assert len(found) == cards


def test_without_trouble_the_question_costs_one_query(django_assert_num_queries):
    merchant = make_merchant()
    make_command(make_card(merchant))

    with django_assert_num_queries(1):
        assert outages.outages_of(merchant, NOW) == ()


# --- our own brake --------------------------------------------------------------------------------

BRAKED = "Автоматические отключения приостановлены до проверки сотрудниками сервиса."


def braked_card(merchant, **fields):
    """Works, is not paid any more, and is to go off by itself."""
    card = make_card(merchant, **WORKS)
    cover(card, make_live_subscription(merchant, entitled_until=NOW - MINUTE))
    make_command(card, kind=OFF, by=SYSTEM, **{"origin": Origin.RECONCILE, **fields})
    return card


def close_tap():
    safety_brake.close_tap(reason="проверяем", by=STAFF, at=NOW)


@pytest.mark.parametrize(
    ("fields", "shown"),
    [({}, True), ({"origin": Origin.PERSON}, False), ({"state": CommandState.SENDING}, False)],
    ids=["by itself", "a click", "gone already"],
)
def test_braked_switch_off_is_explained_on_its_page(fields, shown):
    merchant = make_merchant()
    card = braked_card(merchant, **fields)
    close_tap()

    progress = progress_of(card=card, merchant=merchant, at=NOW)

    sentence = f"{BRAKED} Смарт-карта пока работает, потом отключим её сами."
    assert progress.outage == (sentence if shown else "")


def test_clicks_from_before_a_restore_are_shown_as_being_checked():
    merchant = make_merchant()
    card = make_card(merchant, desired_on=True)
    make_command(card)
    sentence = (
        "Сервис восстановлен из копии: сотрудники проверяют запросы, прежде чем их отправить."
    )

    safety_brake.report_only(by=SYSTEM, at=NOW + MINUTE)
    old = progress_of(card=card, merchant=merchant, at=NOW + HOUR)
    Command.objects.update(created_at=NOW + 2 * MINUTE)
    new = progress_of(card=card, merchant=merchant, at=NOW + HOUR)

    assert old.outage == sentence
    assert new.outage == ""


def test_unpaid_card_kept_on_by_the_brake_is_explained():
    merchant = make_merchant()
    card = make_card(merchant, **WORKS)
    cover(card, make_live_subscription(merchant, entitled_until=NOW - MINUTE))

    before = page_of(merchant).why.text
    close_tap()

    assert before == "Работает, но больше не оплачена и скоро отключится."
    assert page_of(merchant).why.text == f"Больше не оплачена. {BRAKED}"


@pytest.mark.parametrize("queued", [True, False])
def test_card_list_mentions_brake_only_where_it_applies(queued):
    merchant, other = make_merchant(), make_merchant()
    card = braked_card(merchant)
    cover(make_card(other, **WORKS), make_live_subscription(other))
    if not queued:
        card.commands.all().delete()
    close_tap()

    texts = [
        [plain(notice.text) for notice in first_page(whose).notices if BRAKED in notice.text]
        for whose in (merchant, other)
    ]

    assert texts == [[f"{BRAKED} Пока работает 1 неоплаченная смарт-карта."], []]


# --- how long it takes ----------------------------------------------------------------------------


def measured(*, seconds, number=20):
    """So many switches of МТС that took so long each."""
    for _ in range(number):
        make_command(
            make_card(make_merchant()),
            state=CommandState.DONE,
            at=NOW - timedelta(days=1),
            finished_at=NOW - timedelta(days=1) + timedelta(seconds=seconds),
        )
    return make_account()


@pytest.mark.parametrize(
    ("number", "seconds", "promise"),
    [
        (19, 5, "Обычно до 2 минут, в редких случаях до суток"),
        (20, 5, "Обычно до минуты"),
        (20, 61, "Обычно до 2 минут"),
        (20, 150, "Обычно до 3 минут"),
        (20, 3 * 3600 + 1, "Обычно до 4 часов"),
    ],
)
def test_promise_is_measured_and_rounded_up_or_else_the_contracts(number, seconds, promise):
    account = measured(number=number, seconds=seconds)

    assert plain(display_format.eta_text(display_format.eta_of(account, NOW))) == promise


def test_promise_names_the_rare_times_apart():
    measured(number=18, seconds=70)
    account = measured(number=2, seconds=900)

    assert plain(display_format.eta_text(display_format.eta_of(account, NOW))) == (
        "Обычно до 2 минут, в редких случаях до 15 минут"
    )


@pytest.mark.parametrize(
    ("waited", "promise"),
    [
        (timedelta(seconds=60), "Обычно до минуты."),
        (
            timedelta(minutes=2),
            "Заметно дольше обычного. Ждать здесь не нужно: мы доведём дело до конца.",
        ),
        (
            timedelta(hours=25),
            "Очень долго. Мы уже знаем об этом и разбираемся с оператором.",
        ),
    ],
)
def test_progress_uses_measured_times_and_staff_contract_times(waited, promise):
    measured(seconds=5)
    merchant = make_merchant()
    card = make_card(merchant)
    make_command(card, state=CommandState.ACCEPTED)

    progress = progress_of(card=card, merchant=merchant, at=NOW + waited)

    assert plain(progress.promise) == promise


def test_a_second_look_at_a_card_measures_nothing_again(django_assert_num_queries):
    merchant = make_merchant()
    cover(make_card(merchant, **WORKS), make_live_subscription(merchant))
    measured(seconds=5)
    [card] = queries.with_facts(SmartCard.objects.filter(merchant=merchant), terms=True)
    first = card_page(card=card, merchant=merchant, role=Role.OWNER, at=NOW)

    with django_assert_num_queries(5):
        again = card_page(card=card, merchant=merchant, role=Role.OWNER, at=NOW)

    assert first.promise == "Обычно до" + NBSP + "минуты."
    assert again == replace(first)
