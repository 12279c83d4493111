"""The market's pages for people; all of them work with scripts off."""

from collections.abc import Iterable
from datetime import datetime
from html import escape
from urllib.parse import urlencode

from django.conf import settings

from cabinet import clock, wording
from cabinet.sandbox.http import Request, Response, Route, html_response
from subscriptions.evotor.sandbox import phrases
from subscriptions.evotor.sandbox.book import Account, Holding
from subscriptions.evotor.sandbox.html import button, form, near, page
from subscriptions.evotor.sandbox.market import Market
from subscriptions.evotor.sandbox.plans import PLANS, ZONE
from subscriptions.evotor.sandbox.store import NOTHING_TYPED, Terms, quick_forms, sections

TITLE = "Кассовые сервисы"


class Pages:
    """The list of merchants, one merchant's own cabinet, the module's page in the store."""

    def __init__(self, market: Market) -> None:
        self._market = market

    def routes(self) -> list[Route]:
        """The store page takes every other word, so it is the last."""
        return [
            Route("GET", r"/market/?", self._list),
            Route("GET", r"/market/user/(?P<user>[^/]+)", self._user),
            Route("GET", r"/market/(?P<product>[^/]+)/?", self._store),
        ]

    def panel(self) -> str:
        """The merchants on the sandbox's first page."""
        return f"<h2>Маркет Эвотор</h2>\n{self._table()}\n{_new_form()}"

    def _list(self, _request: Request) -> Response:
        return html_response(page("Маркет Эвотор", f"{self._table()}\n{_new_form()}"))

    def _table(self) -> str:
        rows = "\n".join(_row(account, clock.now()) for account in self._market.accounts())
        heads = "<th>Предприниматель</th><th>Модуль и подписка</th><th></th>"
        return f"<table>\n<tr>{heads}</tr>\n{rows}\n</table>"

    def _user(self, request: Request) -> Response:
        user_id = request.match["user"]
        self._market.introduce(user_id, clock.now())
        account = self._market.account(user_id)
        if account is None:
            return self._list(request)
        return html_response(
            page(
                account.name,
                self._said(request, account, "/"),
                _about(account, clock.now()),
                _doors(account, request),
                *sections(
                    account,
                    settings.EVOTOR_PRODUCT_ID,
                    page="user",
                    asked=_asked(request, "action"),
                    now=clock.now(),
                    typed=_typed(request),
                ),
            )
        )

    def _store(self, request: Request) -> Response:
        product_id = request.match["product"]
        account = self._market.account(_asked(request, "user"))
        if account is None:
            return html_response(page(_title(product_id), self._choice(product_id)))
        asked = _asked(request, "action")
        back = "/modules/" if asked in {"install", "remove"} else "/subscription/"
        return html_response(
            page(
                _title(product_id),
                self._said(request, account, back),
                _lead(account, asked, product_id),
                *sections(
                    account,
                    product_id,
                    page="store",
                    asked=asked,
                    now=clock.now(),
                    typed=_typed(request),
                ),
                _way_back(request, back),
            )
        )

    def _choice(self, product_id: str) -> str:
        links = "\n".join(
            f'<li><a href="/market/{escape(product_id)}?user={one.user_id}">{escape(one.name)}</a></li>'
            for one in self._market.accounts()
        )
        return f"<h2>Кто вы?</h2>\n<ul>\n{links}\n</ul>\n{_new_form()}"

    def _said(self, request: Request, account: Account, back: str) -> str:
        """How the last action ended, and the way back."""
        if refused := _asked(request, "refused"):
            return f"<p><strong>Не получилось.</strong> {escape(refused)}</p>"
        done = phrases.DONE.get(_asked(request, "done"))
        if done is None:
            return ""
        waiting = len(self._market.outbox.waiting(account.user_id))
        late = (
            f"<p>Сообщений, на которые кабинет ещё не ответил: {waiting}. Маркет повторяет их.</p>"
            if waiting
            else ""
        )
        return f"<p><strong>{done}</strong></p>{late}\n{_way_back(request, back)}"


def _asked(request: Request, name: str) -> str:
    return request.query.get(name, [""])[0]


def _typed(request: Request) -> Terms:
    """What a refused form brought back."""
    names = ("typed", "planId", "deviceNumber", "trialDays")
    action, plan_id, cards, trial = (_asked(request, name) for name in names)
    return Terms(action, plan_id or PLANS[0].id, cards, trial) if action else NOTHING_TYPED


def _title(product_id: str) -> str:
    return TITLE if product_id == settings.EVOTOR_PRODUCT_ID else f"Модуль {product_id}"


def _row(account: Account, now: datetime) -> str:
    cells = (
        f"{escape(account.name)}<br><code>{account.user_id}</code>",
        "<br>".join(_stands(account, now)),
        f'<p><a href="/market/user/{account.user_id}">Открыть</a></p>{quick_forms(account)}',
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _stands(account: Account, now: datetime) -> Iterable[str]:
    holdings = account.holdings or {settings.EVOTOR_PRODUCT_ID: Holding()}
    for product_id, holding in holdings.items():
        other = product_id != settings.EVOTOR_PRODUCT_ID and holding.deal is not None
        name = f"{_title(product_id)}: " if other else ""
        yield escape(name + phrases.state(holding, now))


def _new_form() -> str:
    name = (
        '<label>Название <input name="name" maxlength="100" placeholder="ИП Иванов И. И."></label>'
    )
    return form("new", {}, name + button("Новый предприниматель", "main"))


def _about(account: Account, now: datetime) -> str:
    stands = "</p>\n<p>".join(_stands(account, now))
    ours = account.holding(settings.EVOTOR_PRODUCT_ID)
    return (
        f"<p>{stands}</p>\n<p>{phrases.billing(account, ours)}</p>\n"
        f'<p class="note">userId <code>{account.user_id}</code>, сейчас {wording.moment_full(now, ZONE)}</p>'
    )


def _lead(account: Account, asked: str, product_id: str) -> str:
    came = phrases.ASKED.get(asked, "")
    stands = phrases.state(account.holding(product_id), clock.now())
    return f"<p>{came}</p>\n<p>{escape(account.name)}. {escape(stands)}</p>"


def _doors(account: Account, request: Request) -> str:
    """The module's own pages, as the market's cabinet shows them: a window and a frame."""
    if not account.token:
        return "<h2>Настройки модуля</h2>\n<p>Кабинет ещё не зарегистрировал этого предпринимателя.</p>"
    query = urlencode({"uid": account.user_id, "token": account.token})
    address = escape(near(f"{settings.PUBLIC_URL}/evotor/enter/?{query}", request))
    return (
        "<h2>Настройки модуля</h2>\n"
        f'<p><a href="{address}" target="_blank" rel="noopener">Открыть модуль</a> в новой вкладке</p>\n'
        f'<iframe src="{address}" width="100%" height="550" title="Настройки модуля"></iframe>'
    )


def _way_back(request: Request, back: str) -> str:
    address = escape(near(f"{settings.PUBLIC_URL}{back}", request))
    return f'<p><a href="{address}">Вернуться в Кассовые сервисы</a></p>'
