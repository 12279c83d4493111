"""Demo data: a stock, a merchant's six cards with their history, twice is once, same as the sandbox."""

from datetime import UTC, datetime

import pytest
from stdnum import luhn

from cabinet import demo as people_demo
from cabinet.models import AuditEvent, Merchant
from operators.demo import contracts
from operators.demo import sims as demo_sims
from operators.sandbox.routes import make_demo
from smartcards import demo
from smartcards.models import Command, Coverage, SmartCard
from smartcards.panels import cards as panel
from smartcards.reconciliation import out_of_step, reconcile
from smartcards.states import CommandState
from subscriptions import demo as subscriptions_demo
from subscriptions.evotor import demo as market_demo
from subscriptions.models import Subscription

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def seed_all(at: datetime = AT) -> None:
    people_demo.seed(at)
    subscriptions_demo.seed(at)
    market_demo.seed(at)
    contracts.seed(at)
    demo.seed(at)


def everything():
    tables = (SmartCard, Coverage, Command, AuditEvent, Subscription)
    return [list(table.objects.order_by("pk").values()) for table in tables]


def the_merchant() -> Merchant:
    return Merchant.objects.get(evotor_user_id=demo.USER_ID)


def test_merchant_gets_six_cards_in_different_states():
    seed_all()

    shown = panel(the_merchant(), AT)

    cells = [(row[3], row[4], row[5]) for row in shown.rows]
    assert cells == [
        ("Работает", "Касса у входа", "да"),
        ("Работает", "Касса в зале", "да"),
        ("Работает", "Касса 1", "да"),
        ("Отключена: клиентом", "Выездная касса", "да"),
        ("Новая", "—", "да"),
        ("Новая", "—", "не выбрана"),
    ]


def test_each_operator_has_forty_valid_new_stock_cards():
    seed_all()

    stock = SmartCard.objects.filter(merchant=None)

    assert {
        code: stock.filter(account__code=code, confirmed="new").count()
        for code in ("mts", "beeline", "tmf640", "control_center")
    } == {"mts": 40, "beeline": 40, "tmf640": 40, "control_center": 40}
    assert [card.iccid for card in SmartCard.objects.all() if not luhn.is_valid(card.iccid)] == []
    numbers = [card.msisdn for card in SmartCard.objects.all()]
    assert len(set(numbers)) == len(numbers) == 166


def test_second_run_changes_nothing():
    seed_all()
    before = everything()

    seed_all()

    assert everything() == before


def test_nothing_is_left_to_be_sent_or_reconciled():
    seed_all()

    queued = reconcile.reconcile_merchant(merchant_id=the_merchant().pk, at=AT)

    assert queued == 0
    assert set(Command.objects.values_list("state", flat=True)) == {CommandState.DONE}
    assert out_of_step.merchants_out_of_step(AT) == set()


def test_merchant_without_a_subscription_gets_no_cards_yet():
    people_demo.seed(AT)
    contracts.seed(AT)

    demo.seed(AT)

    assert SmartCard.objects.filter(merchant__isnull=False).count() == 0
    assert SmartCard.objects.count() == 160


def test_sandbox_knows_the_same_cards_in_the_same_states():
    seed_all()

    played = make_demo().dump()["operators"]

    shown = {
        (code, sim["iccid"], sim["msisdn"], sim["state"])
        for code, operator in played.items()
        for sim in operator["world"]["sims"]
    }
    ours = SmartCard.objects.values_list("account__code", "iccid", "msisdn", "confirmed")
    assert shown == set(ours)


def test_terminals_of_the_demo_hold_the_cards_of_their_imei():
    seed_all()

    placed = SmartCard.objects.filter(terminal__isnull=False).values_list("iccid", "terminal__imei")

    assert dict(placed) == {sim.iccid: sim.imei for sim in demo_sims.HANDED if sim.imei}
