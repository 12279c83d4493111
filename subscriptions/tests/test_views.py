"""«Подписка» and «Модули»: what a person reads, what may be pressed, and the way to the market."""

import html
import re
from datetime import UTC, date, datetime, timedelta

import pytest
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from cabinet import clock
from cabinet.actors import MARKET
from cabinet.enums import Role
from cabinet.tests.people import make_member, make_merchant, signed_in
from operators.models import OperatorAccount
from smartcards.models import Coverage, SmartCard
from subscriptions import demo, estimates, queries, services
from subscriptions.models import (
    Installation,
    MarketRequest,
    Module,
    Period,
    Subscription,
    Tariff,
)
from subscriptions.periods import add_months
from subscriptions.pricing import Estimate, EstimateRow
from subscriptions.queries import SubscriptionView
from subscriptions.rules import Installed, MarketCharge, MarketState, PaidInterval, Terms
from subscriptions.services import project_installations, project_market
from subscriptions.states import ChargeKind, PeriodKind, SubscriptionState
from subscriptions.views import texts

NOW = datetime(2027, 4, 15, 9, tzinfo=UTC)
BOUGHT = datetime(2027, 4, 1, 9, tzinfo=UTC)
PAID_TILL = datetime(2027, 5, 1, 9, tzinfo=UTC)
DAY = timedelta(days=1)
pytestmark = pytest.mark.filterwarnings("ignore:No directory at")


@pytest.fixture
def at_now(settings, tmp_path):
    settings.SANDBOX = True
    settings.CLOCK_FILE = tmp_path / "clock"

    def move(at):
        clock.set_offset((at - clock.real_now()).total_seconds())

    move(NOW)
    return move


@pytest.fixture
def module(db):
    demo.seed(BOUGHT)
    return Module.objects.get()


@pytest.fixture
def owner(module, at_now):
    return make_member()


@pytest.fixture
def browser(client, owner):
    return signed_in(client, owner)


def subscribe(
    member, module, external_id="a99fbf70-6307-4acc-b61c-741ee9eef6c0", cards=2, **changed
):
    terms = Terms("kassovye-1m", cards)
    paid = PaidInterval(PeriodKind.PAID, BOUGHT, PAID_TILL, terms, charged_kopecks=600_00)
    state = MarketState(
        **{
            "created_at": BOUGHT,
            "terms": terms,
            "entitled_from": BOUGHT,
            "periods": (paid,),
            "paid_until": PAID_TILL,
            "last_charged_kopecks": None if "periods" in changed else 600_00,
            "charges": () if "periods" in changed else (charge(terms),),
        }
        | changed
    )
    return project_market(
        merchant=member.merchant, module=module, external_id=external_id, state=state, at=NOW
    )


def charge(terms):
    return MarketCharge(
        number=2,
        kind=ChargeKind.PAYMENT,
        at=BOUGHT,
        kopecks=600_00,
        terms=terms,
        before=terms,
        period_starts_at=BOUGHT,
        starts_at=BOUGHT,
        ends_at=PAID_TILL,
    )


def install(member, module):
    project_installations(
        merchant=member.merchant, module=module, intervals=[Installed(BOUGHT)], at=NOW
    )


def cover(row, number, wished=True):
    account, _ = OperatorAccount.objects.get_or_create(
        code="mts", defaults={"title": "МТС", "adapter": "mts"}
    )
    card = SmartCard.objects.create(
        iccid=f"8970101000000000{number:03}",
        account=account,
        merchant=row.merchant,
        imported_at=BOUGHT,
        handed_at=BOUGHT,
        desired_on=wished,
        desired_at=BOUGHT,
        desired_by="Анна",
        desired_by_kind="person",
    )
    Coverage.objects.create(card=card, subscription=row, since=BOUGHT)


def text_of(answer):
    """What is read on the page: the main part without tags."""
    source = re.sub(r"(?s)<(script|style|head).*?</\1>", " ", answer.content.decode())
    bare = html.unescape(re.sub(r"<[^>]+>", " ", source)).replace("\u00a0", " ")
    return re.sub(r"\s+([,.])", r"\1", re.sub(r"\s+", " ", bare))


def buttons(answer):
    """Big links and buttons that are on."""
    found = re.findall(r'class="button[^"]*"[^>]*>([^<]+)<', answer.content.decode())
    return [one for one in found if one != "Назад"]


# The page


def test_paid_subscription_tells_till_when_and_what_comes_next(browser, owner, module):
    row = subscribe(owner, module)
    install(owner, module)
    cover(row, 1)

    answer = browser.get("/subscription/")

    text = text_of(answer)
    absent = [
        one
        for one in (
            "Оплачена Оплачено до 1 мая, затем Эвотор спишет снова. Включённые смарт-карты работают.",
            "Оплачено до 1 мая, затем Эвотор спишет снова осталось 16 дней",
            "Оплачено: 2, выбрано: 1, свободно: 1 Выбрать карты",
            "Следующее списание 1 мая 2027 г., 600 ₽ Примерно; точную сумму покажет Эвотор.",
            "Последнее списание 600 ₽",
            "1 апреля 2027 г. Оплата за 1 месяц 2 смарт-карты × 300 ₽ 1 апреля — 1 мая 2027 г. Эвотор 600 ₽",
        )
        if one not in text
    ]
    assert absent == []
    assert buttons(answer) == ["Продлить", "Изменить период или число карт", "Остановить подписку"]
    assert f'href="{reverse("choose_cards")}"' in answer.content.decode()


def test_prices_stand_side_by_side(browser, owner, module):
    subscribe(owner, module)

    text = text_of(browser.get("/subscription/"))

    assert "1 месяц ваш тариф 300 ₽ 300 ₽ 3 месяца 810 ₽ выгода 90 ₽ 270 ₽" in text
    assert "12 месяцев 3 000 ₽ выгода 600 ₽ 250 ₽" in text


@pytest.mark.parametrize(
    ("days", "sentence"),
    [
        (0.5, "Эвотор пробует списать оплату ещё 5 дней; карты работают."),
        (4.5, "Эвотор пробует списать оплату ещё 1 день; карты работают."),
        (5.5, "Ждём сообщения Эвотор об оплате. Карты работают."),
    ],
)
def test_overdue_subscription_counts_the_days_of_trying(
    browser, owner, module, at_now, days, sentence
):
    subscribe(owner, module)
    at_now(PAID_TILL + days * DAY)

    text = text_of(browser.get("/subscription/"))

    assert f"Оплаченное время закончилось 1 мая 2027 г. {sentence}" in text


def test_stopped_subscription_works_to_the_end_and_may_be_resumed(browser, owner, module):
    subscribe(owner, module, stop_requested_at=NOW)

    answer = browser.get("/subscription/")

    text = text_of(answer)
    assert "Карты работают до 1 мая, 12:00 по Москве. До этого подписку можно возобновить." in text
    assert "Следующее списание не будет, подписка остановлена" in text
    assert buttons(answer) == ["Возобновить подписку", "Изменить период или число карт"]


def test_unpaid_subscription_says_what_comes_back_by_itself(browser, owner, module):
    ended = {"terminated_at": PAID_TILL, "entitled_until": NOW - DAY}
    row = subscribe(owner, module, **ended)
    cover(row, 1)
    cover(row, 2, wished=False)

    answer = browser.get("/subscription/")

    text = text_of(answer)
    assert (
        "Подписка закончилась 14 апреля, 12:00 по Москве. Смарт-карты отключены как неоплаченные. "
        "После оплаты 1 смарт-карта включится сама: заново ничего настраивать не нужно."
    ) in text
    assert "Прежние подписки" not in text
    assert buttons(answer) == ["Продлить"]


def test_former_subscription_stands_below_the_present_one(browser, owner, module):
    subscribe(owner, module)
    ended = {"terminated_at": BOUGHT, "entitled_from": BOUGHT - 30 * DAY, "entitled_until": BOUGHT}
    subscribe(owner, module, external_id="former", created_at=BOUGHT - 30 * DAY, **ended)

    text = text_of(browser.get("/subscription/"))

    assert "Прежние подписки Кассовые сервисы 1 месяц закончилась 1 апреля 2027 г." in text


def test_trial_says_that_nothing_was_charged(browser, owner, module):
    subscribe(owner, module, paid_until=None, trial_until=PAID_TILL, periods=())

    text = text_of(browser.get("/subscription/"))

    assert (
        "Пробный период до 1 мая, затем Эвотор спишет оплату. Смарт-карты работают, деньги ещё не списаны."
        in text
    )
    assert "Последнее списание" not in text


def test_merchant_without_a_subscription_is_shown_how_to_begin(browser):
    answer = browser.get("/subscription/")

    assert "Подписки пока нет" in text_of(answer)
    assert buttons(answer) == ["Перейти к модулям"]


def test_charge_that_differs_from_the_estimate_is_shown(browser, owner, module):
    subscribe(owner, module)
    MarketRequest.objects.create(
        merchant=owner.merchant,
        module=module,
        kind="renew",
        asked_by="Анна",
        asked_at=BOUGHT,
        estimate_kopecks=590_00,
        answered_at=BOUGHT,
        charged_kopecks=600_00,
    )

    text = text_of(browser.get("/subscription/"))

    assert "Эвотор списал на 10 ₽ больше, чем показывала наша оценка." in text


# Who may


@pytest.mark.parametrize(
    ("role", "pages", "stop"),
    [
        (Role.OWNER, [200, 200], 200),
        (Role.MANAGER, [200, 200], 403),
        (Role.ACCOUNTANT, [200, 200], 403),
        (Role.CASHIER, [403, 403], 403),
    ],
)
def test_roles(client, module, at_now, role, pages, stop):
    member = make_member(role)
    row = subscribe(member, module)
    signed_in(client, member)

    got = [client.get(path).status_code for path in ("/subscription/", "/modules/")]

    assert got == pages
    assert client.get(f"/subscription/{row.pk}/stop/").status_code == stop


def test_accountant_pays_but_does_not_stop(client, module, at_now):
    member = make_member(Role.ACCOUNTANT)
    row = subscribe(member, module)
    signed_in(client, member)

    text = text_of(client.get("/subscription/"))

    assert "Остановить подписку Это действие доступно владельцу." in text
    assert client.get(f"/subscription/{row.pk}/renew/").status_code == 200


@pytest.mark.parametrize("button", ["renew", "change", "stop", "resume"])
def test_foreign_subscription_is_not_found(browser, module, button):
    foreign = subscribe(make_member(merchant=make_merchant("ООО «Чужая»")), module)

    answers = [browser.get(f"/subscription/{foreign.pk}/{button}/").status_code]
    answers.append(browser.post(f"/subscription/{foreign.pk}/{button}/").status_code)

    assert answers == [404, 404]
    assert MarketRequest.objects.count() == 0


# To the market


def confirm(browser, address, **changed):
    """Press «Подтвердить» on the page as it is shown."""
    shown = browser.get(address).content.decode()
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', shown))
    return browser.post(address.split("?")[0], {**fields, **changed})


def test_renewal_is_shown_noted_and_awaited(browser, owner, module, settings):
    row = subscribe(owner, module)
    address = f"/subscription/{row.pk}/renew/"

    offer = text_of(browser.get(address))
    went = confirm(browser, address)
    leave = browser.get(went["Location"])
    waits = text_of(browser.get("/subscription/"))

    request = MarketRequest.objects.get()
    assert "Будет оплачено: 2 смарт-карты до 1 июня 2027 г." in offer
    assert "1 месяц 600 ₽ 2 смарт-карты К оплате сейчас 600 ₽" in offer
    assert request.kind == "renew"
    assert request.estimate_kopecks == 600_00
    assert request.asked_by == owner.user.shown_name
    link = (
        f'href="http://localhost:8100/market/{module.market_product_id}'
        f'?user={owner.merchant.evotor_user_id}&amp;action=renew" target="_top"'
    )
    assert link in leave.content.decode()
    assert "Ждём, когда Эвотор подтвердит продление Переход в маркет: сегодня в 12:00." in waits


OVER = {"terminated_at": PAID_TILL, "entitled_until": NOW - DAY}


@pytest.mark.parametrize(
    ("facts", "stands", "sentence"),
    [
        ({}, True, "Откройте «Кассовые сервисы», нажмите «Оплатить сейчас»."),
        (
            {},
            False,
            "выберите «1 месяц» и 2 смарт-карты, потом нажмите «Установить».",
        ),
        (
            OVER,
            True,
            "выберите «1 месяц» и 2 смарт-карты, потом нажмите «Установить».",
        ),
        (
            {**OVER, "cards": 1},
            False,
            "выберите «1 месяц» и 1 смарт-карту, потом нажмите «Установить».",
        ),
    ],
    ids=["running", "not installed", "ended", "ended and not installed"],
)
def test_renewal_names_the_button_that_the_market_has(
    browser, owner, module, facts, stands, sentence
):
    row = subscribe(owner, module, **facts)
    if stands:
        install(owner, module)
    confirm(browser, f"/subscription/{row.pk}/renew/")

    # By the link of «Перейти ещё раз», which carries nothing but the number of the request.
    leave = text_of(browser.get(f"/subscription/market/{MarketRequest.objects.get().pk}/"))

    assert sentence in leave


def test_market_gets_the_terms_that_were_chosen_here(browser, owner, module):
    row = subscribe(owner, module)
    tariff = Tariff.objects.get(plan_id="kassovye-12m")
    went = confirm(browser, f"/subscription/{row.pk}/change/?tariff={tariff.pk}&cards=4")

    leave = browser.get(went["Location"]).content.decode()
    waits = text_of(browser.get("/subscription/"))

    assert "action=change&amp;plan=kassovye-12m&amp;cards=4" in leave
    assert "Ждём, когда Эвотор подтвердит переход на 12 месяцев, 4 смарт-карты" in waits


def test_payment_anew_carries_the_former_terms(browser, owner, module):
    row = subscribe(owner, module, **OVER)
    went = confirm(browser, f"/subscription/{row.pk}/renew/")

    leave = browser.get(went["Location"]).content.decode()

    assert "action=renew&amp;plan=kassovye-1m&amp;cards=2" in leave


def test_answered_request_leads_back(browser, owner, module):
    row = subscribe(owner, module)
    went = confirm(browser, f"/subscription/{row.pk}/renew/")
    MarketRequest.objects.update(answered_at=NOW)

    assert browser.get(went["Location"])["Location"] == "/subscription/"


def test_way_out_of_another_merchant_is_not_found(browser, module):
    request = services.note_market_request(
        merchant=make_merchant("ООО «Чужая»"),
        module=module,
        kind="renew",
        estimate_kopecks=None,
        by=MARKET,
        at=NOW,
    )

    assert browser.get(f"/subscription/market/{request.pk}/").status_code == 404


def test_other_terms_than_shown_are_shown_again(browser, owner, module):
    row = subscribe(owner, module)

    answer = confirm(browser, f"/subscription/{row.pk}/renew/", fingerprint="0" * 64)

    assert "Условия успели измениться. Проверьте их ещё раз." in text_of(answer)
    assert MarketRequest.objects.count() == 0


def test_stop_names_the_cards_and_the_day(browser, owner, module):
    row = subscribe(owner, module)
    cover(row, 1)
    cover(row, 2)

    offer = text_of(browser.get(f"/subscription/{row.pk}/stop/"))
    confirm(browser, f"/subscription/{row.pk}/stop/")

    assert (
        "2 смарт-карты оплачены до 1 мая, 12:00 по Москве. До этого всё работает как сейчас"
        in offer
    )
    assert MarketRequest.objects.get().kind == "stop"


def test_resume_costs_nothing_now(browser, owner, module):
    row = subscribe(owner, module, stop_requested_at=NOW)

    offer = text_of(browser.get(f"/subscription/{row.pk}/resume/"))
    confirm(browser, f"/subscription/{row.pk}/resume/")

    assert "за уже оплаченные дни платить не нужно. Следующее списание 1 мая 2027 г." in offer
    request = MarketRequest.objects.get()
    assert request.kind == "resume"
    assert request.estimate_kopecks is None


def test_more_cards_cost_the_days_left(browser, owner, module):
    row = subscribe(owner, module)
    tariff = Tariff.objects.get(plan_id="kassovye-1m")
    address = f"/subscription/{row.pk}/change/?tariff={tariff.pk}&cards=4"

    offer = text_of(browser.get(address))
    went = confirm(browser, address)
    leave = text_of(browser.get(went["Location"]))

    assert "Доплата до 1 мая 2027 г. 320 ₽ 2 смарт-карты" in offer
    assert "С 1 мая 2027 г.: 1 200 ₽ за 1 месяц" in offer
    assert "вы сможете выбрать ещё 2 смарт-карты" in offer
    assert (
        "Откройте «Кассовые сервисы», выберите «1 месяц» и 4 смарт-карты, потом подтвердите."
        in leave
    )
    assert MarketRequest.objects.get().estimate_kopecks == 320_00


def test_fewer_cards_return_nothing_and_wait_for_the_next_period(browser, owner, module):
    row = subscribe(owner, module)
    tariff = Tariff.objects.get(plan_id="kassovye-1m")

    offer = text_of(browser.get(f"/subscription/{row.pk}/change/?tariff={tariff.pk}&cards=1"))

    assert (
        "До 1 мая 2027 г. работают все оплаченные карты: 2. Дальше будет оплачено: 1 смарт-карта."
        in offer
    )
    assert "К оплате сейчас 0 ₽" in offer


def test_choosing_other_terms_may_be_left(browser, owner, module):
    row = subscribe(owner, module)

    page = browser.get(f"/subscription/{row.pk}/change/").content.decode()

    assert '<a class="button button-secondary" href="/subscription/">Назад</a>' in page


def test_headings_of_price_tables_are_distinct(browser, owner, module):
    other = Module.objects.create(
        code="other", title="Другой", market_product_id="00000000-0000-4000-8000-000000000001"
    )
    Tariff.objects.create(module=other, plan_id="other", title="Т", months=1, price_kopecks=1)

    pages = [browser.get(address).content.decode() for address in ("/modules/", "/subscription/")]

    found = [re.findall(r'<h2 id="(tariffs-[^"]*)"', page) for page in pages]
    assert found == [[f"tariffs-{module.pk}", f"tariffs-{other.pk}"], ["tariffs-1", "tariffs-2"]]


def test_change_asks_for_something_else_than_it_is(browser, owner, module):
    row = subscribe(owner, module)
    tariff = Tariff.objects.get(plan_id="kassovye-1m")

    form = text_of(browser.get(f"/subscription/{row.pk}/change/"))
    same = text_of(browser.get(f"/subscription/{row.pk}/change/?tariff={tariff.pk}&cards=2"))

    assert "Сейчас: 1 месяц, 2 смарт-карты." in form
    assert "Сейчас именно так и есть." in same


def test_button_that_is_not_offered_leads_back(browser, owner, module):
    row = subscribe(owner, module)

    answer = browser.post(f"/subscription/{row.pk}/resume/", {"fingerprint": ""})

    assert answer["Location"] == "/subscription/"
    assert MarketRequest.objects.count() == 0


def test_market_link_keeps_the_name_of_this_machine(browser, owner, module):
    row = subscribe(owner, module)
    went = confirm(browser, f"/subscription/{row.pk}/renew/")

    page = browser.get(went["Location"], headers={"host": "127.0.0.1:8000"}).content.decode()

    assert 'href="http://127.0.0.1:8100/market/' in page


# Modules


def test_module_that_is_not_installed_is_offered_with_prices(browser, module):
    answer = browser.get("/modules/")

    text = text_of(answer)
    assert "Кассовые сервисы Не установлен" in text
    assert "12 месяцев 3 000 ₽" in text
    assert buttons(answer) == ["Установить"]


def test_installed_module_tells_since_when(browser, owner, module):
    subscribe(owner, module)
    install(owner, module)

    answer = browser.get("/modules/")

    assert "В кабинете Эвотор установлен 1 апреля 2027 г. Оплачено 2 смарт-карты" in text_of(answer)
    assert buttons(answer) == ["Удалить модуль"]


def test_removal_names_the_cards_and_the_day_and_is_awaited(browser, owner, module):
    row = subscribe(owner, module)
    install(owner, module)
    cover(row, 1)

    offer = text_of(browser.get(f"/modules/{module.pk}/remove/"))
    went = confirm(browser, f"/modules/{module.pk}/remove/")
    waits = text_of(browser.get("/modules/"))

    assert "1 смарт-карта оплачена до 1 мая, 12:00 по Москве." in offer
    assert went["Location"] == f"/subscription/market/{MarketRequest.objects.get().pk}/"
    assert "Ждём, когда Эвотор подтвердит удаление" in waits
    assert Installation.objects.get().removed_at is None


def test_return_in_the_paid_time_is_free(browser, owner, module):
    subscribe(owner, module, stop_requested_at=NOW)

    offer = text_of(browser.get(f"/modules/{module.pk}/install/"))

    assert "Оплаченное время идёт до 1 мая 2027 г. Заново платить не нужно" in offer


def test_module_that_does_not_exist_is_not_found(browser, module):
    assert browser.get(f"/modules/{module.pk + 1}/install/").status_code == 404


@pytest.mark.parametrize("role", [Role.MANAGER, Role.ACCOUNTANT])
def test_only_the_owner_moves_modules(client, module, at_now, role):
    member = make_member(role)
    signed_in(client, member)

    text = text_of(client.get("/modules/"))

    assert "Установить Это действие доступно владельцу." in text
    assert client.post(f"/modules/{module.pk}/install/").status_code == 403


def test_pages_may_be_framed_by_the_market_only(browser):
    policy = browser.get("/subscription/")["Content-Security-Policy"]

    assert "frame-ancestors 'self' https://*.evotor.ru" in policy


def test_renewal_foretells_the_anchor_day(browser, owner, module, at_now):
    began, end = datetime(2027, 1, 31, 9, tzinfo=UTC), datetime(2027, 2, 28, 9, tzinfo=UTC)
    at_now(began + timedelta(days=3))
    paid = PaidInterval(PeriodKind.PAID, began, end, Terms("kassovye-1m", 2))
    row = subscribe(owner, module, entitled_from=began, periods=(paid,), paid_until=end)

    text = text_of(browser.get(f"/subscription/{row.pk}/renew/"))

    assert "Будет оплачено: 2 смарт-карты до 31 марта 2027 г." in text


def test_end_at_local_midnight_is_one_day_everywhere(browser, owner, module, at_now):
    began, end = datetime(2027, 1, 27, 21, tzinfo=UTC), datetime(2027, 2, 27, 21, tzinfo=UTC)
    at_now(began + timedelta(days=3))
    paid = PaidInterval(PeriodKind.PAID, began, end, Terms("kassovye-1m", 2))
    subscribe(owner, module, entitled_from=began, periods=(paid,), paid_until=end)

    text = text_of(browser.get("/subscription/"))

    assert "Оплачено до 28 февраля, затем Эвотор спишет снова." in text
    assert "затем Эвотор спишет снова осталось 28 дней" in text
    assert "27 февраля" not in text


def test_finished_trial_is_called_a_trial(browser, owner, module):
    trial = PaidInterval(
        PeriodKind.TRIAL, BOUGHT, NOW - timedelta(hours=1), Terms("kassovye-1m", 2)
    )
    ended = {"periods": (trial,), "paid_until": None, "trial_until": trial.ends_at}
    subscribe(owner, module, **ended)

    text = text_of(browser.get("/subscription/"))

    assert "Пробный период закончился" in text
    assert "Оплаченное время" not in text


def test_working_cards_are_not_called_off(browser, owner, module):
    row = subscribe(owner, module, entitled_until=PAID_TILL)
    cover(row, 1)
    SmartCard.objects.update(confirmed="active", confirmed_at=BOUGHT)
    Subscription.objects.update(entitled_until=NOW - timedelta(hours=1))

    text = text_of(browser.get("/subscription/"))

    assert "1 смарт-карта ещё работает, но отключение" in text
    assert "отключены" not in text


# What a change costs


def view_of(start, months, kopecks, cards, anchor=None):
    begins = datetime(start.year, start.month, start.day, 9, tzinfo=UTC)
    day = add_months(begins.date(), months)
    ends = begins.replace(year=day.year, month=day.month, day=day.day)
    tariff = Tariff(title="Прежний", months=months, price_kopecks=kopecks)
    return SubscriptionView(
        row=Subscription(tariff=tariff, paid_cards=cards, created_at=begins, paid_until=ends),
        state=SubscriptionState.ACTIVE,
        paid_cards=cards,
        next_charge_at=ends,
        estimate=None,
        days_left=None,
        charge_difference=None,
        periods=(
            Period(
                kind=PeriodKind.PAID, starts_at=begins, ends_at=ends, tariff=tariff, cards=cards
            ),
        ),
    )


@given(
    start=st.dates(date(2026, 1, 1), date(2028, 12, 31)),
    months=st.sampled_from([1, 3, 12]),
    cards=st.integers(1, 50),
    wanted=st.integers(1, 50),
    share=st.floats(0, 0.999),
)
def test_more_cards_cost_their_share_and_fewer_cost_nothing(start, months, cards, wanted, share):
    view = view_of(start, months, 300_00, cards)
    begins, ends = view.periods[0].starts_at, view.row.paid_until
    at = begins + (ends - begins) * share

    estimate = estimates.change(view, view.row.tariff, wanted, at, estimates.ZoneInfo("UTC"))

    days = (ends.date() - begins.date()).days
    left = (ends.date() - at.date()).days
    exact = max(0, wanted - cards) * 300_00 * left / days
    assert abs(estimate.total_kopecks - exact) <= 0.5


def test_difference_from_the_estimate_has_its_direction():
    text = [texts.difference(one).replace("\u00a0", " ") for one in (None, 0, 5, -100_00)]

    assert text == [
        "",
        "",
        "Эвотор списал на 0,05 ₽ больше, чем показывала наша оценка.",
        "Эвотор списал на 100 ₽ меньше, чем показывала наша оценка.",
    ]


def test_sums_are_the_rows_of_the_estimate():
    estimate = Estimate((EstimateRow("Тариф", 2, 100_00), EstimateRow("Зачтено", 1, -30_00)))

    assert [(one.term, one.value, one.hint) for one in texts.sums(estimate)] == [
        ("Тариф", "100\u00a0₽", "2\u00a0смарт-карты"),
        ("Зачтено", "\u221230\u00a0₽", "1\u00a0смарт-карта"),
    ]


def test_page_asks_the_database_a_fixed_number_of_times(
    browser, owner, module, django_assert_max_num_queries
):
    subscribe(owner, module)
    for number in range(5):
        subscribe(owner, module, external_id=f"a99fbf70-6307-4acc-b61c-00000000000{number}")

    with django_assert_max_num_queries(20):
        browser.get("/subscription/")
    assert len(queries.subscription_views(owner.merchant, NOW)) == 6
