"""The main journey: from the first purchase in the market to cards that come back by themselves."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page

from cabinet.tests.journeys.conftest import Visit
from cabinet.tests.journeys.people import Card, Merchant, Staff
from cabinet.tests.journeys.running_product import RunningProduct, eventually

pytestmark = pytest.mark.journey

THREE_MONTHS = "kassovye-3m"
NEW, WORKS, UNPAID = "Новая", "Работает", "Отключена: не оплачена"


@pytest.fixture
def staff(product: RunningProduct, visit: Visit) -> Staff:
    person = Staff(product, visit().new_page())
    person.signs_in()
    return person


def settles_in(merchant: Merchant, staff: Staff, name: str) -> list[Card]:
    """Buys, enters, orders three cards of two operators, gets them; the first two are to be paid."""
    merchant.appears(name)
    merchant.buys(plan=THREE_MONTHS, cards=2)
    merchant.opens_the_module()
    merchant.introduces_themself("vera@example.com")
    orders = [merchant.orders("МТС", 2), merchant.orders("Партнёр-Телеком", 1)]
    for order in orders:
        staff.delivers(order)
    cards = sorted(merchant.cards(), key=lambda card: (card.operator, card.iccid))
    assert [card.operator for card in cards] == ["МТС", "МТС", "Партнёр-Телеком"]
    assert merchant.states(cards) == [NEW, NEW, NEW]
    return [cards[0], cards[2], cards[1]]


def effects(product: RunningProduct, cards: list[Card]) -> list[list[str]]:
    return [product.effects(card.code, card.iccid) for card in cards]


def keep_picture(page: Page, name: str) -> None:
    """Where JOURNEY_SCREENSHOTS names a folder (or a .png): the README shows this picture."""
    wanted = os.environ.get("JOURNEY_SCREENSHOTS", "")
    if wanted:
        path = Path(wanted)
        page.screenshot(path=path if path.suffix == ".png" else path / name)


def test_merchant_from_install_to_renewal(product, visit, staff):
    merchant = Merchant(product, visit().new_page(), phone="79123450001")

    # A purchase, the first entry, three cards of two operators.
    *chosen, spare = settles_in(merchant, staff, "ИП Орлова В. П.")
    for card, till in zip(chosen, ("Касса у входа", "Касса 1"), strict=True):
        merchant.puts_into(card, _label_of(merchant, till))

    # Two of them are paid and switched on, once each.
    merchant.chooses(chosen)
    for card in chosen:
        merchant.activates(card)
        merchant.sees_it_work()
    merchant.waits_for(chosen, WORKS)
    assert effects(product, [*chosen, spare]) == [["activate"], ["activate"], []]
    assert [product.sim_state(card.code, card.iccid) for card in chosen] == ["active", "active"]
    merchant.goes("/")
    keep_picture(merchant.cabinet, "cards.png")

    # The subscription is stopped in the market and taken back.
    merchant.leaves_for_the_market("/subscription/", "Остановить подписку")
    merchant.confirms_there("Остановить")
    merchant.comes_back()
    merchant.waits_to_read("/subscription/", "Остановлена, пока работает")
    merchant.leaves_for_the_market("/subscription/", "Возобновить подписку")
    merchant.confirms_there("Возобновить")
    merchant.comes_back()
    merchant.waits_to_read("/subscription/", "Оплачена")

    # The module is removed; what is paid goes on working till its end, then the cards go off.
    merchant.leaves_for_the_market("/modules/", "Удалить модуль")
    merchant.confirms_there("Удалить")
    merchant.comes_back()
    merchant.waits_to_read("/modules/", "Не установлен")
    assert merchant.states(chosen) == [WORKS, WORKS]
    product.let_pass(days=93)
    merchant.waits_for(chosen, UNPAID)
    assert effects(product, [*chosen, spare]) == [["activate", "deactivate"]] * 2 + [[]]

    # Paid again: what was wished on comes back by itself.
    merchant.leaves_for_the_market("/modules/", "Установить")
    merchant.buy_on(merchant.cabinet, plan=THREE_MONTHS, cards=2)
    merchant.comes_back()
    merchant.waits_for(chosen, WORKS)
    assert effects(product, [*chosen, spare]) == [["activate", "deactivate", "activate"]] * 2 + [[]]


def _label_of(merchant: Merchant, till: str) -> str:
    """«Касса 1 — Магазин у вокзала»: tills come from the cloud by themselves, a little later."""
    page = merchant.cabinet
    merchant.opens(merchant.cards()[0])
    page.get_by_role("link", name="Изменить").click()

    def known() -> list[str]:
        page.reload()
        return [
            text
            for text in page.get_by_label("Касса").locator("option").all_inner_texts()
            if till in text
        ]

    return eventually(known, bool)[0]


def test_a_small_screen_without_scripts_is_enough(product, visit, staff):
    narrow = visit(scripts=False, width=480, height=800)
    merchant = Merchant(product, narrow.new_page(), phone="79123450002", without_scripts=True)

    *chosen, spare = settles_in(merchant, staff, "ООО «Без скриптов»")
    merchant.chooses(chosen)
    for card in chosen:
        merchant.activates(card)
        merchant.sees_it_work()

    assert merchant.states([*chosen, spare]) == [WORKS, WORKS, NEW]
    assert effects(product, [*chosen, spare]) == [["activate"], ["activate"], []]
