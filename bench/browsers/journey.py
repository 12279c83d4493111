"""The main journey, the same in every engine: from signing in to signing out."""

from dataclasses import dataclass
from pathlib import Path

from bench.browsers.drivers import Browser, Stuck
from cabinet.tests.journeys.running_product import RunningProduct

CARD = "Для прилавка"
_SWITCH_SECONDS, _LOOKS = 60, 20
_OPEN_CARD = (("open", "/"), ("press", CARD), ("see", "Что происходило"))
# Steps by name; each begins at an address of its own. An action is one of `Browser`'s and its arguments, or
# `shot` and the picture's name. {phone} and {code} are this person's.
STEPS: dict[str, tuple[tuple[str, ...], ...]] = {
    "sign in": (
        ("open", "/login/"),
        ("fill", "Номер", "+{phone}"),
        ("shot", "login"),
        ("press", "Получить код"),
        ("see", "Код действует"),
        ("fill", "Код из СМС", "{code}"),
        ("shot", "code"),
        ("press", "Войти"),
        ("see", CARD),
    ),
    "cards": (("open", "/"), ("see", CARD), ("see", "Новая"), ("shot", "cards")),
    "card": (*_OPEN_CARD, ("shot", "card")),
    "activate": (
        *_OPEN_CARD,
        ("press", "Активировать"),
        ("see", "Что происходило"),
        ("shot", "activated"),
    ),
    "works": (*_OPEN_CARD, ("wait", "Да, работает"), ("shot", "works")),
    "choose": (
        ("open", "/"),
        ("press", "Выбрать карты"),
        ("see", "Какие смарт-карты оплачены"),
        ("shot", "choose"),
        ("press", "Сохранить выбор"),
        ("see", "Выбор сохранён."),
        ("shot", "chosen"),
    ),
    "subscription": (
        ("open", "/"),
        ("press", "Меню"),
        ("shot", "menu"),
        ("press", "Подписка"),
        ("see", "Следующее списание"),
        ("shot", "subscription"),
    ),
    "order": (
        ("open", "/orders/new/"),
        ("fill", "МТС", "3"),
        ("fill", "Название компании", "ИП Орлова В. А."),
        ("fill", "ИНН", "7707083893"),
        ("fill", "Получатель", "Орлова Вера"),
        ("fill", "Адрес доставки", "614000, Пермь, Ленина, 10"),
        ("shot", "order"),
        ("press", "Продолжить"),
        ("see", "Заказ ещё не оформлен."),
        ("see", "Орлова Вера"),
        ("shot", "preview"),
    ),
    "sign out": (
        ("open", "/"),
        ("press", "Меню"),
        ("press", "Выйти"),
        ("see", "Вход в кабинет"),
        ("open", "/"),
        ("see", "Вход в кабинет"),
        ("shot", "signed-out"),
    ),
}


@dataclass(frozen=True)
class Journey:
    """A merchant in front of one browser."""

    browser: Browser
    product: RunningProduct
    phone: str
    shots: Path

    def run(self, step: str) -> None:
        """One of `STEPS`. Raises Stuck, or AssertionError where no code comes."""
        for action, *arguments in STEPS[step]:
            self._do(action, *arguments)

    def _do(self, action: str, argument: str, *more: str) -> None:
        match action:
            case "open":
                self.browser.open(self.product.web + argument)
            case "shot":
                self.browser.shot(self.shots / argument)
            case "wait":
                self._wait(argument)
            case "fill":
                code = self.product.code_for(self.phone) if more == ("{code}",) else ""
                self.browser.fill(argument, more[0].format(phone=self.phone, code=code))
            case _:
                getattr(self.browser, action)(argument)

    def _wait(self, text: str) -> None:
        """By itself where scripts run; else the card is opened again and again. Raises Stuck."""
        looks = 1 if self.browser.scripts else _LOOKS
        for look in range(1, looks + 1):
            try:
                self.browser.see(text, seconds=_SWITCH_SECONDS / looks)
                break
            except Stuck:
                if look == looks:
                    raise
                self.run("card")
