"""The main journey, the same in every engine: from signing in to signing out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.browsers.drivers import Browser, Stuck
from cabinet.tests.journeys.house import House

CARD = "Для прилавка"
_SWITCH_SECONDS = 60
_LOOKS = 20


@dataclass(frozen=True)
class Visitor:
    """A merchant in front of one browser. Every step begins at an address of its own."""

    browser: Browser
    house: House
    phone: str
    scripts: bool
    shots: Path

    def goes(self, path: str) -> None:
        self.browser.open(self.house.web + path)

    def keeps(self, name: str) -> None:
        self.browser.shot(self.shots / name)

    def signs_in(self) -> None:
        self.goes("/login/")
        self.browser.fill("Номер", f"+{self.phone}")
        self.keeps("login")
        self.browser.press("Получить код")
        self.browser.see("Код действует")
        self.browser.fill("Код из СМС", self.house.code_for(self.phone))
        self.keeps("code")
        self.browser.press("Войти")
        self.browser.see(CARD)

    def sees_the_cards(self) -> None:
        self.goes("/")
        self.browser.see(CARD)
        self.browser.see("Новая")
        self.keeps("cards")

    def opens_a_card(self) -> None:
        self.goes("/")
        self.browser.press(CARD)
        self.browser.see("Что происходило")
        self.keeps("card")

    def activates_it(self) -> None:
        self.goes("/")
        self.browser.press(CARD)
        self.browser.see("Что происходило")
        self.browser.press("Активировать")
        self.browser.see("Что происходило")
        self.keeps("activated")

    def sees_it_work(self) -> None:
        """By itself where scripts run; else by «Обновить»."""
        if self.scripts:
            self.browser.see("Да, работает", seconds=_SWITCH_SECONDS)
        else:
            self._looks_again()
        self.keeps("works")

    def _looks_again(self) -> None:
        for _ in range(_LOOKS):
            try:
                return self.browser.see("Да, работает", seconds=3)
            except Stuck:
                self.goes("/")
                self.browser.press(CARD)
        raise Stuck("«Да, работает» did not come")

    def chooses_cards(self) -> None:
        self.goes("/")
        self.browser.press("Выбрать карты")
        self.browser.see("Какие смарт-карты оплачены")
        self.keeps("choose")
        self.browser.press("Сохранить выбор")
        self.browser.see("Выбор сохранён.")
        self.keeps("chosen")

    def sees_the_subscription(self) -> None:
        self.goes("/")
        self.browser.press("Меню")
        self.keeps("menu")
        self.browser.press("Подписка")
        self.browser.see("Следующее списание")
        self.keeps("subscription")

    def orders_cards(self) -> None:
        self.goes("/orders/new/")
        self.browser.fill("Оператор", "МТС")
        self.browser.fill("Сколько смарт-карт", "3")
        self.browser.fill("ИНН", "7707083893")
        self.browser.fill("Получатель", "Орлова Вера")
        self.browser.fill("Адрес доставки", "614000, Пермь, Ленина, 10")
        self.keeps("order")
        self.browser.press("Продолжить")
        self.browser.see("Заказ ещё не оформлен.")
        self.browser.see("Орлова Вера")
        self.keeps("preview")

    def signs_out(self) -> None:
        self.goes("/")
        self.browser.press("Меню")
        self.browser.press("Выйти")
        self.browser.see("Вход в кабинет")
        self.goes("/")
        self.browser.see("Вход в кабинет")
        self.keeps("signed-out")


STEPS: tuple[tuple[str, Callable[[Visitor], None]], ...] = (
    ("sign in", Visitor.signs_in),
    ("cards", Visitor.sees_the_cards),
    ("card", Visitor.opens_a_card),
    ("activate", Visitor.activates_it),
    ("works", Visitor.sees_it_work),
    ("choose", Visitor.chooses_cards),
    ("subscription", Visitor.sees_the_subscription),
    ("order", Visitor.orders_cards),
    ("sign out", Visitor.signs_out),
)
