"""Money of a merchant over fourteen months, as the sandbox's market plays it: the history, whole."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings

from cabinet.actors import Actor
from cabinet.enums import ActorKind
from cabinet.formatting.ru_format import NBSP
from cabinet.models import Merchant
from cabinet.tests.people import make_merchant
from subscriptions import demo
from subscriptions.evotor.sandbox.accounts import Billing
from subscriptions.evotor.sandbox.actions import ActionRequest, Addon
from subscriptions.evotor.sandbox.hooks import INSTALLATION, SUBSCRIPTION, USER_CREATE, Answer
from subscriptions.evotor.sandbox.market import Market
from subscriptions.evotor.schemas import UserCreate
from subscriptions.evotor.services import register
from subscriptions.evotor.tests.market import deliver
from subscriptions.models import MarketRequest, Module, Subscription, Tariff
from subscriptions.payments import PaymentLine, paid_until_text, payment_history
from subscriptions.services import give_days, note_market_request

pytestmark = pytest.mark.django_db

USER = "01-000000000000777"
MOSCOW = ZoneInfo("Europe/Moscow")
ANNA = Actor(ActorKind.PERSON, "Анна Соколова", 5)
STAFF = Actor(ActorKind.STAFF, "Ольга Поддержкина", 7)
BOUGHT = datetime(2026, 1, 31, 9, tzinfo=UTC)


class Life:
    """A merchant, the market, and the time that passes in both."""

    def __init__(self) -> None:
        demo.seed(BOUGHT)
        self.now = BOUGHT
        self.market = Market(post=self.take)

    def take(self, hook) -> Answer:
        """The product's side of the hooks, processed as they come."""
        body = dict(hook.body)
        if hook.path == USER_CREATE:
            register(request=UserCreate(user_id=body["userId"]), at=self.now)
        if hook.path in {SUBSCRIPTION, INSTALLATION}:
            deliver(body, at=self.now)
        return Answer(200, {"userId": hook.user_id, "token": "token"})

    def pass_to(self, year: int, month: int, day: int, hour: int) -> None:
        self.now = datetime(year, month, day, hour, tzinfo=UTC)
        self.market.advance(self.now)

    def do(self, action: str, **wanted) -> None:
        request = ActionRequest(self.now, **wanted)
        self.market.act(action, USER, settings.EVOTOR_PRODUCT_ID, request, self.now)

    def step(self, kind: str, **chosen) -> None:
        """The merchant's own step in our cabinet."""
        note_market_request(
            merchant=self.merchant,
            module=Module.objects.get(),
            kind=kind,
            estimate_kopecks=None,
            by=ANNA,
            at=self.now,
            **chosen,
        )

    @property
    def merchant(self) -> Merchant:
        return Merchant.objects.get(evotor_user_id=USER)

    @property
    def row(self) -> Subscription:
        return Subscription.objects.latest("created_at")

    @property
    def paid(self) -> str:
        return paid_until_text(self.row, zone=MOSCOW, at=self.now).replace(NBSP, " ")

    @property
    def history(self) -> list[tuple[str, ...]]:
        return [_read(line) for line in payment_history(self.merchant, self.now)]


def _read(line: PaymentLine) -> tuple[str, ...]:
    """When, what, the paid time, the calculation, the sum and who."""
    days = [f"{one.astimezone(MOSCOW):%d.%m.%Y}" for one in (line.at, line.starts_at, line.ends_at)]
    said = [line.what, f"{days[1]}–{days[2]}", line.calculation, line.sum_text, line.by]
    return tuple(text.replace(NBSP, " ") for text in (days[0], *said, line.difference_text))


@pytest.fixture
def life():
    return Life()


def test_life_of_a_merchant_over_fourteen_months(life):
    said = []

    life.do("install", plan_id="kassovye-1m", devices=2)
    said.append(life.paid)

    life.pass_to(2026, 2, 10, 9)
    life.do("change_terms", plan_id="kassovye-12m")
    life.pass_to(2026, 2, 28, 10)
    said.append(life.paid)

    life.pass_to(2026, 3, 15, 9)
    life.step("change", tariff=Tariff.objects.get(plan_id="kassovye-12m"), cards=5)
    life.do("change_terms", devices=5)
    life.pass_to(2026, 4, 1, 9)
    give_days(subscription=life.row, days=10, reason="сбой у оператора", by=STAFF, at=life.now)

    life.market.set_billing(USER, Billing.REFUSES)
    life.pass_to(2027, 3, 1, 9)
    said.append(life.paid)
    life.pass_to(2027, 3, 6, 9)
    said.append(life.paid)

    life.market.set_billing(USER, Billing.PAYS)
    life.pass_to(2027, 3, 20, 9)
    life.step("install")
    life.do("install", plan_id="kassovye-1m", devices=5)
    said.append(life.paid)
    life.do("request_termination")
    said.append(life.paid)

    assert said == [
        "до 28 февраля, затем Эвотор спишет снова",
        "до 28 февраля 2027 г., затем Эвотор спишет снова",
        "до 28 февраля, ждём списания Эвотор",
        "до 10 марта, 12:00 по Москве",
        "до 20 апреля, затем Эвотор спишет снова",
        "до 20 апреля, 12:00 по Москве",
    ]
    assert life.history == [
        (
            "20.03.2027",
            "Оплата за 1 месяц",
            "20.03.2027–20.04.2027",
            "5 смарт-карт × 300 ₽",
            "1 500 ₽",
            "Анна Соколова",
            "",
        ),
        (
            "01.04.2026",
            "Подарено 10 дней: сбой у оператора",
            "28.02.2027–10.03.2027",
            "",
            "бесплатно",
            "Служба поддержки",
            "",
        ),
        (
            "15.03.2026",
            "Доплата за 3 смарт-карты",
            "15.03.2026–28.02.2027",
            "3 смарт-карты × 3 000 ₽ × 350 дней из 365",
            "8 630,14 ₽",
            "Анна Соколова",
            "",
        ),
        (
            "28.02.2026",
            "Оплата за 12 месяцев",
            "28.02.2026–28.02.2027",
            "2 смарт-карты × 3 000 ₽",
            "6 000 ₽",
            "Эвотор",
            "",
        ),
        (
            "10.02.2026",
            "Переход на 12 месяцев",
            "10.02.2026–28.02.2026",
            "",
            "без доплаты",
            "Эвотор",
            "",
        ),
        (
            "31.01.2026",
            "Оплата за 1 месяц",
            "31.01.2026–28.02.2026",
            "2 смарт-карты × 300 ₽",
            "600 ₽",
            "Эвотор",
            "",
        ),
    ]
    assert payment_history(make_merchant("ООО «Чужая»"), life.now) == ()


def test_first_payment_stays_after_a_change_and_paying_anew(life):
    life.do("install", plan_id="kassovye-3m", devices=2)
    life.pass_to(2026, 2, 1, 9)
    life.do("change_terms", plan_id="kassovye-1m")
    life.pass_to(2026, 2, 2, 9)
    life.do("terminate")
    life.pass_to(2026, 6, 1, 9)
    life.do("renew")

    assert [(one[0], one[1], one[2], one[4]) for one in life.history] == [
        ("01.06.2026", "Оплата за 1 месяц", "01.06.2026–01.07.2026", "600 ₽"),
        ("01.02.2026", "Переход на 1 месяц", "01.02.2026–30.04.2026", "283,92 ₽"),
        ("31.01.2026", "Оплата за 3 месяца", "31.01.2026–30.04.2026", "1 620 ₽"),
    ]


def test_trial_and_its_first_payment_are_two_lines(life):
    life.do("install", plan_id="kassovye-1m", devices=2, trial_days=14)
    on_trial = life.paid
    life.pass_to(2026, 2, 15, 9)

    assert on_trial == "до 14 февраля, затем Эвотор спишет оплату"
    assert [(one[0], one[1], one[2], one[4]) for one in life.history] == [
        ("14.02.2026", "Оплата за 1 месяц", "14.02.2026–14.03.2026", "600 ₽"),
        ("31.01.2026", "Пробный период, 14 дней", "31.01.2026–14.02.2026", "бесплатно"),
    ]


def test_options_and_their_sum_are_one_line(life):
    life.do("install", plan_id="kassovye-1m", devices=1)
    life.pass_to(2026, 2, 14, 9)
    life.do("change_terms", addons=[Addon("smartcard", 2)])

    assert [(one[1], one[3], one[4]) for one in life.history] == [
        ("Доплата за 2 смарт-карты", "2 смарт-карты × 300 ₽ × 14 дней из 28", "300 ₽"),
        ("Оплата за 1 месяц", "1 смарт-карта × 300 ₽", "300 ₽"),
    ]


def test_cards_added_after_a_change_cost_a_year_by_days(life):
    life.do("install", plan_id="kassovye-1m", devices=1)
    life.pass_to(2026, 2, 14, 9)
    life.do("change_terms", plan_id="kassovye-12m")
    life.do("change_terms", devices=2)

    line = life.history[0]
    assert line[1:] == (
        "Доплата за 1 смарт-карту",
        "14.02.2026–28.02.2026",
        "1 смарт-карта × 3 000 ₽ × 14 дней из 365",
        "115,07 ₽",
        "Эвотор",
        "",
    )


def test_step_leads_to_one_charge_only(life):
    life.do("install", plan_id="kassovye-1m", devices=1)
    life.step("renew")
    life.do("renew")
    life.do("renew")

    by = [one.by for one in payment_history(life.merchant, life.now)]
    assert by == ["Эвотор", "Анна Соколова", "Эвотор"]
    assert MarketRequest.objects.get().charges.count() == 1


def test_line_differs_from_the_tariff_where_the_market_does(life):
    life.do("install", plan_id="kassovye-1m", devices=2)
    Tariff.objects.filter(plan_id="kassovye-1m").update(price_kopecks=310_00)

    assert life.history[0][4:] == (
        "600 ₽",
        "Эвотор",
        "Эвотор списал на 20 ₽ меньше, чем по тарифу",
    )


def test_refold_keeps_the_step_of_a_charge(life):
    life.do("install", plan_id="kassovye-1m", devices=2)
    life.step("change")
    life.do("change_terms", devices=3)
    life.now += timedelta(days=1)
    life.do("change_terms", devices=4)

    assert [one[5] for one in life.history] == ["Эвотор", "Анна Соколова", "Эвотор"]


def test_gift_is_the_end_of_a_stopped_subscription(life):
    life.do("install", plan_id="kassovye-1m", devices=2)
    give_days(subscription=life.row, days=10, reason="сбой", by=STAFF, at=life.now)
    life.do("request_termination")
    promised = life.paid
    life.pass_to(2026, 2, 28, 10)

    assert promised == "до 10 марта, 12:00 по Москве"
    assert life.paid == promised
