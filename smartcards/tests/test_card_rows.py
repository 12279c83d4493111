"""What a line of the list of cards looks like."""

import re
from datetime import datetime, timedelta
from types import SimpleNamespace

from django.template import engines

from cabinet.formatting.ru_format import NBSP, Pill, Tone
from smartcards.presentation.actions import ActionButton, CardAction, HelpLink
from smartcards.presentation.card_list import CardRow
from smartcards.presentation.display_format import CardName
from smartcards.presentation.payment import Payment
from smartcards.tests.cards import NOW

NAME = CardName(
    pk=7,
    title="Касса 1",
    label="<b>Зал</b>",
    terminal="Касса 1",
    shop="Магазин",
    operator="МТС",
    iccid="89701010000000006789",
    msisdn="79123456789",
)
ICCID = '<span class="number iccid">8970 1010 0000 0000<b>6789</b></span>'


def shown(source: str, **context: object) -> str:
    """Markup without white space between tags and with ordinary spaces."""
    page = {"now": NOW, "csrf_token": "abc", "merchant": SimpleNamespace(pk=3), **context}
    html = engines["django"].from_string("{% load card_rows %}" + source).render(page)
    return re.sub(r"\s*(<[^>]*>)\s*", r"\1", html).replace(NBSP, " ").strip()


def payment_html(until: datetime | None, hint: str = "") -> str:
    payment = Payment(paid=True, text="Оплачена до", until=until, hint=hint)
    return shown("{% payment payment %}", payment=payment)


def test_row_shows_card_state_payment_and_action():
    row = CardRow(
        name=NAME,
        pill=Pill(Tone.OFF, "Отключена"),
        payment=Payment(paid=True, text="Оплачена до", until=NOW),
        button=ActionButton(CardAction.ACTIVATE),
        note="Сеть может придержать интернет",
    )

    assert shown("{% card_row row %}", row=row) == (
        '<tr><th scope="row"><a href="/cards/7/">Касса 1</a>'
        '<span class="sub">&lt;b&gt;Зал&lt;/b&gt;</span></th>'
        f'<td>{ICCID}<span class="sub">МТС · +7 912 345-67-89</span></td>'
        '<td><span class="pill pill-off">Отключена</span>'
        '<span class="sub">Сеть может придержать интернет</span></td>'
        "<td>Оплачена до 22 ноября</td>"
        '<td><form class="action" method="post" action="/cards/7/activate/">'
        '<input type="hidden" name="csrfmiddlewaretoken" value="abc">'
        '<input type="hidden" name="for_company" value="3">'
        '<span class="action"><button class="button button-primary" type="submit">Активировать'
        "</button></span></form></td></tr>"
    )


def test_row_leaves_out_what_a_card_lacks():
    name = CardName(7, "Зал", "Зал", "", "", "МТС", "89701010000000006789", "")
    payment = Payment(paid=False, text="Платить не нужно")
    row = CardRow(name=name, pill=Pill(Tone.OFF, "Списана"), payment=payment, button=None)

    assert shown("{% card_row row %}", row=row) == (
        '<tr><th scope="row"><a href="/cards/7/">Зал</a></th>'
        f'<td>{ICCID}<span class="sub">МТС</span></td>'
        '<td><span class="pill pill-off">Списана</span></td><td>Платить не нужно</td><td></td></tr>'
    )


def test_payment_of_another_year_names_it():
    found = [
        payment_html(None, hint="Подписка остановлена"),
        payment_html(NOW + timedelta(days=60)),
    ]

    assert found == [
        'Оплачена до<span class="sub">Подписка остановлена</span>',
        'Оплачена до<span class="nowrap">21 января 2027 г.</span>',
    ]


def test_button_that_asks_first_is_a_link():
    button = ActionButton(CardAction.DEACTIVATE, hint="Можно вернуть")

    assert shown("{% card_button button 7 %}", button=button) == (
        '<span class="action"><a class="button button-secondary" href="/cards/7/deactivate/">'
        'Деактивировать</a></span><span class="hint">Можно вернуть</span>'
    )


def test_disabled_button_has_its_reason_and_the_way_to_help():
    help_link = HelpLink("Открыть раздел", "choose_cards")
    button = ActionButton(CardAction.ACTIVATE, reason="Не выбрана.", help_link=help_link)

    assert shown("{% card_button button 7 %}", button=button) == (
        '<span class="action"><button class="button button-primary" type="button" disabled>'
        'Активировать</button><span class="reason">Не выбрана.</span></span>'
        '<span class="hint"><a href="/cards/choose/">Открыть раздел</a></span>'
    )
