"""Who uses the product: a merchant in the cabinet and in the market, a member of staff in the admin."""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Locator, Page, expect

from cabinet.tests.journeys.running_product import RunningProduct, eventually

OPERATOR_CODES = {"МТС": "mts", "Партнёр-Телеком": "tmf640"}


@dataclass(frozen=True)
class Card:
    """A card as its row on the first page names it."""

    iccid: str
    operator: str

    @property
    def code(self) -> str:
        """The operator's word in the sandbox."""
        return OPERATOR_CODES[self.operator]


@dataclass
class Merchant:
    """One person with a browser. Pages are found by the words on them, as people find them."""

    product: RunningProduct
    market: Page
    phone: str
    without_scripts: bool = False
    user_id: str = ""
    cabinet: Page = field(init=False)

    # --- in the market ----------------------------------------------------------------------------

    def appears(self, name: str) -> None:
        """Becomes a merchant of the market who has nothing of ours."""
        self.market.goto(f"{self.product.sandbox}/")
        self.market.get_by_label("Название").fill(name)
        self.market.get_by_role("button", name="Новый предприниматель").click()
        self.user_id = urlsplit(self.market.url).path.rsplit("/", 1)[-1]

    def buys(self, *, plan: str, cards: int) -> None:
        """«Установить» on the page of the market that is open."""
        self.buy_on(self.market, plan=plan, cards=cards)

    def buy_on(self, page: Page, *, plan: str, cards: int) -> None:
        """«Установить» on this page of the market."""
        form = page.locator("form", has=page.get_by_role("button", name="Установить", exact=True))
        form.locator("[name=planId]").select_option(plan)
        form.locator("[name=deviceNumber]").fill(str(cards))
        form.get_by_role("button", name="Установить", exact=True).click()
        expect(page.get_by_text("Модуль установлен.")).to_be_visible()

    def opens_the_module(self) -> None:
        """The link of the market's cabinet, in a window of its own, once its frame has shown the same."""
        inside = self.market.frame_locator("iframe")
        expect(inside.get_by_role("heading", name="Добро пожаловать")).to_be_visible()
        with self.market.expect_popup() as opened:
            self.market.get_by_role("link", name="Открыть модуль").click()
        self.cabinet = opened.value
        self.cabinet.wait_for_load_state()

    # --- the first entry --------------------------------------------------------------------------

    def introduces_themself(self, email: str) -> None:
        """Phone, e-mail, offer, consent, the code from the SMS."""
        page = self.cabinet
        expect(page).to_have_url(f"{self.product.web}/welcome/")
        page.get_by_label("Номер мобильного телефона").fill(f"+{self.phone}")
        page.get_by_label("Электронная почта").fill(email)
        page.get_by_label("Принимаю").check()
        page.get_by_label("Даю").check()
        page.get_by_role("button", name="Получить код").click()
        page.get_by_label("Код из СМС").fill(self.product.code_for(self.phone))
        page.get_by_role("button", name="Подтвердить").click()
        expect(page).to_have_url(f"{self.product.web}/")

    # --- cards ------------------------------------------------------------------------------------

    def orders(self, operator: str, number: int) -> int:
        """Orders new cards; gives the number of the order."""
        page = self.cabinet
        self.goes("/orders/new/")
        page.get_by_label(operator, exact=True).fill(str(number))
        page.get_by_label("Название компании").fill("ИП Орлова В. А.")
        page.get_by_label("ИНН").fill("7707083893")
        page.get_by_label("Получатель", exact=True).fill("Орлова Вера")
        page.get_by_label("Адрес доставки").fill("614000, Пермь, Ленина, 10")
        page.get_by_role("button", name="Продолжить").click()
        page.get_by_role("button", name="Подтвердить").click()
        expect(page).to_have_url(re.compile(r"/orders/\d+/$"))
        return int(urlsplit(page.url).path.split("/")[2])

    def goes(self, path: str) -> None:
        self.cabinet.goto(self.product.web + path)

    def cards(self) -> list[Card]:
        """The cards of the first page, in their order there."""
        self.goes("/")
        return [
            Card(
                iccid=re.sub(r"\D", "", row.locator(".iccid").inner_text()),
                operator=row.locator("td .sub").first.inner_text().split("·")[0].strip(),
            )
            for row in self._rows().all()
        ]

    def _rows(self) -> Locator:
        return self.cabinet.locator("table.cards tr", has=self.cabinet.locator(".iccid"))

    def row_of(self, card: Card) -> Locator:
        """The line of the card; the last four digits stand apart on the page."""
        return self._rows().filter(has=self.cabinet.get_by_text(card.iccid[-4:], exact=True))

    def states(self, cards: list[Card]) -> list[str]:
        """What the first page says of these cards now."""
        self.goes("/")
        return [self.row_of(card).locator(".pill").inner_text() for card in cards]

    def puts_into(self, card: Card, terminal: str) -> None:
        """Says which till the card is in."""
        page = self.cabinet
        self.opens(card)
        page.get_by_role("link", name="Изменить").click()
        page.get_by_label("Касса").select_option(label=terminal)
        page.get_by_role("button", name="Сохранить").click()
        expect(page.get_by_text("Сохранено.")).to_be_visible()

    def opens(self, card: Card) -> None:
        """The page of the card."""
        self.goes("/")
        self.row_of(card).get_by_role("link").first.click()

    def chooses(self, cards: list[Card]) -> None:
        """«Выбрать карты»: these are paid."""
        page = self.cabinet
        self.goes("/")
        page.get_by_role("link", name="Выбрать карты").first.click()
        for card in cards:
            box = page.locator(".field", has=page.get_by_text(card.iccid[-4:], exact=True))
            box.get_by_role("checkbox").check()
        page.get_by_role("button", name="Сохранить выбор").click()
        expect(page.get_by_text("Выбор сохранён.")).to_be_visible()

    def activates(self, card: Card) -> None:
        """«Активировать», from the list; then the page of the card."""
        self.goes("/")
        self.row_of(card).get_by_role("button", name="Активировать").click()
        expect(self.cabinet).to_have_url(re.compile(r"/cards/\d+/$"))

    def sees_it_work(self) -> None:
        """The open page of a card comes to «Работает» by itself; without scripts by «Обновить»."""
        works = self.cabinet.get_by_text("Да, работает")
        refresh = self.cabinet.get_by_role("link", name="Обновить")

        def looks_again() -> bool:
            if self.without_scripts and refresh.count():
                refresh.click()
            elif self.without_scripts:
                self.cabinet.reload()
            return works.is_visible()

        eventually(looks_again, bool)

    def waits_for(self, cards: list[Card], state: str) -> None:
        """Looks at the first page until all these cards say so."""
        eventually(lambda: self.states(cards), lambda shown: shown == [state] * len(cards))

    # --- money ------------------------------------------------------------------------------------

    def leaves_for_the_market(self, path: str, button: str) -> None:
        """A button of the cabinet, its confirmation, the way to the market's page."""
        page = self.cabinet
        self.goes(path)
        press(page, button)
        page.get_by_role("button", name=re.compile("Подтвердить|Перейти|Продолжить")).click()
        page.wait_for_url(re.compile(r"/subscription/market/\d+/"))
        page.locator(f"main a[href^='{self.product.sandbox}']").click()
        page.wait_for_url(re.compile(r"/market/"))
        assert parse_qs(urlsplit(page.url).query)["user"] == [self.user_id]

    def confirms_there(self, button: str) -> None:
        """The market's own button on the page we led to."""
        self.cabinet.get_by_role("button", name=button, exact=True).click()
        self.cabinet.wait_for_url(re.compile(r"done="))

    def comes_back(self) -> None:
        """The market's link to our pages."""
        self.cabinet.get_by_role("link", name="Вернуться в Кассовые сервисы").first.click()
        self.cabinet.wait_for_url(re.compile(re.escape(self.product.web)))

    def waits_to_read(self, path: str, text: str) -> None:
        """Looks at the page until it says so: hooks take their way through a worker."""

        def shown() -> bool:
            self.goes(path)
            return self.cabinet.locator("main").get_by_text(text).first.is_visible()

        eventually(shown, bool)


def press(page: Page, name: str) -> None:
    """A button or a link with that word on it."""
    page.locator("main").get_by_role("button", name=name).or_(
        page.locator("main").get_by_role("link", name=name)
    ).first.click()


@dataclass
class Staff:
    """A member of staff in the admin."""

    product: RunningProduct
    page: Page

    def signs_in(self) -> None:
        """With the name and password that the first start printed."""
        self.page.goto(f"{self.product.web}/admin/")
        self.page.locator("input[name=username]").fill("admin")
        self.page.locator("input[name=password]").fill(self.product.admin_password)
        self.page.locator("input[type=submit]").click()
        expect(self.page.get_by_role("heading", name="Сегодня")).to_be_visible()

    def delivers(self, order: int) -> None:
        """Packs from stock, ships, marks as delivered."""
        self.page.goto(f"{self.product.web}/admin/orders/order/{order}/change/")
        self._steps("Собрать заказ")
        self.page.get_by_role("link", name="Подставить из остатка").click()
        self._does("Собрать заказ", "Заказ собран.")
        self._steps("Отправить")
        self.page.get_by_label("Трек-номер").fill("80084512345678")
        self._does("Отправить", "Заказ отправлен.")
        self._steps("Отметить доставленным")
        self._does("Отметить доставленным", "Заказ доставлен")

    def _steps(self, title: str) -> None:
        self.page.get_by_role("link", name=title, exact=True).click()

    def _does(self, title: str, shown: str) -> None:
        self.page.get_by_role("button", name=title, exact=True).click()
        expect(self.page.get_by_text(shown)).to_be_visible()
