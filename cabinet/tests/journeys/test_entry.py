"""The owner enters from the market's cabinet: the code before roles change, a form of another company."""

import re
from html import unescape

import pytest
import requests
from playwright.sync_api import Page, expect

from cabinet.tests.journeys.conftest import Visit
from cabinet.tests.journeys.people import Merchant
from cabinet.tests.journeys.running_product import RunningProduct
from cabinet.tests.journeys.test_frame import entry
from cabinet.tests.journeys.test_journey import keep_picture

pytestmark = pytest.mark.journey

DEMO_PHONE = "79990000001"


def test_new_member_is_confirmed_by_a_code_without_scripts(
    product: RunningProduct, visit: Visit, complaints: list[str]
):
    page = visit(scripts=False, width=320).new_page()
    page.goto(entry(product))
    page.goto(f"{product.web}/team/")
    page.get_by_label("Имя и фамилия").fill("Ёлкина Анна")
    page.get_by_label("Номер мобильного телефона").fill("+7 912 345-99-01")
    page.get_by_label("Владелец").check()
    page.get_by_role("button", name="Добавить сотрудника").click()
    expect(page.get_by_role("heading", name="Подтвердите, что это вы")).to_be_visible()
    keep_picture(page, "step_up.png")

    page.get_by_label("Код из СМС").fill(product.code_for(DEMO_PHONE))
    page.get_by_role("button", name="Подтвердить").click()

    expect(page).to_have_url(f"{product.web}/team/")
    expect(page.get_by_text("Ёлкина Анна").first).to_be_visible()
    refused_once(complaints)


def test_entry_over_another_company_asks_and_its_form_is_kept(
    product: RunningProduct, visit: Visit, complaints: list[str]
):
    context = visit(scripts=False, width=480)
    form = context.new_page()
    form.goto(entry(product))
    form.goto(f"{product.web}/company/")
    form.get_by_label("Адрес").fill("Пермь, Ленина, 10")
    _enter_second(product, context.new_page(), visit().new_page())

    form.get_by_role("button", name="Сохранить").click()

    expect(form.get_by_role("heading", name="Ничего не изменено")).to_be_visible()
    keep_picture(form, "stale.png")
    refused_once(complaints)


def refused_once(complaints: list[str]) -> None:
    """The browser notes the page that wrote nothing, and nothing else."""
    assert [("403" in complaint) for complaint in complaints] == [True]
    complaints.clear()


def _enter_second(product: RunningProduct, page: Page, market: Page) -> None:
    other = Merchant(product, market, phone="79123450055")
    other.appears("ИП Вторая П. П.")
    other.buys(plan="kassovye-3m", cards=1)
    shown = requests.get(f"{product.sandbox}/market/user/{other.user_id}", timeout=30)
    (address,) = re.findall(r'<iframe src="([^"]+)"', shown.text)
    page.goto(unescape(address))
    expect(page.get_by_role("heading", name="Сменить компанию?")).to_be_visible()
    keep_picture(page, "ask.png")
    page.get_by_role("button", name="Войти").click()
    expect(page).to_have_url(f"{product.web}/welcome/")
