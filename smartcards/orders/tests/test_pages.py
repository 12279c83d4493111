"""The merchant's pages of orders."""

import re
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import escape

from cabinet.accounts.access import MERCHANT_KEY
from cabinet.enums import Role
from cabinet.formatting.ru_format import NBSP
from cabinet.models import AuditEvent
from smartcards.orders import queries, services
from smartcards.orders.forms import cards_field
from smartcards.orders.models import Order
from smartcards.orders.tests.orders import INN, NOW, delivered, packed, place, shipped
from smartcards.tests.cards import STAFF, make_account, make_member, make_merchant

pytestmark = pytest.mark.django_db
KEY = "7f9c24e8-3b5a-4f0e-9d61-0d4a5c1b2e3f"
FIELDS = {
    "company": "ООО «Ромашка»",
    "inn": "7707 083 893",
    "recipient": "Соколова Анна",
    "phone": "8 (912) 345-67-89",
    "address": "614000, Пермь, Ленина, 10",
    "comment": "Позвонить\r\nза час",
    "key": KEY,
}
PAGES = [
    ("orders", False),
    ("order_new", False),
    ("order", True),
    ("order_cancel", True),
]


@pytest.fixture
def merchant():
    return make_merchant(inn=INN, phone="79120000000", address="Пермь, Мира, 1")


@pytest.fixture
def owner(client, merchant):
    client.force_login(make_member(merchant).user)
    return client


def signed_in(client, role, merchant):
    client.force_login(make_member(merchant, role).user)
    return client


def url(name, order=None):
    return reverse(name, kwargs={"pk": order.pk} if order else None)


def text_of(response):
    return response.content.decode()


def number_field(account=None):
    return cards_field(account or make_account())


def send(client, **fields):
    sent = FIELDS | {number_field(): "3", "step": "preview"} | fields
    return client.post(reverse("order_new"), sent)


# Who sees what


@pytest.mark.parametrize(
    ("role", "statuses"),
    [
        (Role.OWNER, [200, 200, 200, 200]),
        (Role.MANAGER, [200, 200, 200, 200]),
        (Role.ACCOUNTANT, [200, 403, 200, 403]),
        (Role.CASHIER, [403, 403, 403, 403]),
    ],
)
def test_each_role_opens_its_pages(client, merchant, role, statuses):
    order = place(merchant)
    signed_in(client, role, merchant)

    assert [
        client.get(url(name, order if own else None)).status_code for name, own in PAGES
    ] == statuses


@pytest.mark.parametrize("name", ["order", "order_cancel"])
def test_the_order_of_another_merchant_is_as_absent_as_none(owner, name):
    foreign = place(make_merchant("Чужой"))

    answers = [
        owner.get(url(name, foreign)),
        owner.get(reverse(name, kwargs={"pk": foreign.pk + 99})),
    ]

    assert [answer.status_code for answer in answers] == [404, 404]


def test_a_stranger_cancels_nothing_and_repeats_nothing(owner):
    foreign = place(make_merchant("Чужой"))

    statuses = [
        owner.post(url("order_cancel", foreign)).status_code,
        owner.get(url("order_new"), {"repeat": foreign.pk}).status_code,
    ]

    assert statuses == [404, 404]
    assert Order.objects.get().state == "accepted"


def test_the_list_holds_the_merchants_own_orders_only(owner, merchant):
    mine, foreign = place(merchant), place(make_merchant("Чужой"))

    page = text_of(owner.get(url("orders")))

    assert url("order", mine) in page
    assert url("order", foreign) not in page


def test_a_person_of_two_companies_sees_the_chosen_one(client, merchant):
    other = make_merchant("Вторая")
    member = make_member(merchant)
    second = make_member(other)
    second.user = member.user
    second.save()
    client.force_login(member.user)
    session = client.session
    session[MERCHANT_KEY] = other.pk
    session.save()
    first_order, second_order = place(merchant), place(other)

    statuses = [
        client.get(url("order", order)).status_code for order in (first_order, second_order)
    ]

    assert statuses == [404, 200]


@pytest.mark.parametrize(("name", "own"), PAGES)
def test_a_visitor_is_sent_to_sign_in(client, merchant, name, own):
    answer = client.get(url(name, place(merchant) if own else None))

    assert answer.status_code == 302
    assert answer.url.split("?")[0] == reverse("login")


@pytest.mark.parametrize("method", ["put", "delete"])
def test_other_methods_are_refused(owner, method):
    assert getattr(owner, method)(url("order_new")).status_code == 405


# The list


def test_an_empty_list_offers_the_first_order(owner):
    page = text_of(owner.get(url("orders")))

    assert "Заказов пока нет" in page
    assert "Заказать смарт-карту" in page


def test_an_accountant_is_not_offered_to_order(client, merchant):
    page = text_of(signed_in(client, Role.ACCOUNTANT, merchant).get(url("orders")))

    assert "Заказать смарт-карту" not in page


def test_a_long_list_is_paged_newest_first(owner, merchant):
    orders = [place(merchant) for _ in range(21)]

    first = owner.get(url("orders")).context["page"].object_list
    last = owner.get(url("orders"), {"page": "99"}).context["page"].object_list

    assert [list(first), list(last)] == [orders[:0:-1], [orders[0]]]


def test_order_list_query_count_does_not_grow(owner, merchant):
    place(merchant)
    owner.get(url("orders"))  # the first visit of a session also saves its token
    with CaptureQueriesContext(connection) as one:
        owner.get(url("orders"))
    for _ in range(19):
        place(merchant)

    with CaptureQueriesContext(connection) as twenty:
        owner.get(url("orders"))

    assert len(twenty) == len(one)


# A new order


def test_the_form_knows_the_company(owner, merchant):
    make_account()

    form = owner.get(url("order_new")).context["form"]

    names = (number_field(), "company", "inn", "phone", "address", "recipient")
    assert {name: form[name].value() for name in names} == {
        number_field(): 1,
        "company": "ООО «Ромашка»",
        "inn": INN,
        "phone": "+7\u00a0912\u00a0000-00-00",
        "address": "Пермь, Мира, 1",
        "recipient": "Анна Владимировна",
    }
    assert uuid.UUID(str(form["key"].value()))


def test_order_pages_have_titles_headings_and_back_links(owner, merchant):
    placed = place(merchant)
    number = f"Заказ №{NBSP}{placed.pk}"
    addresses = [url("order_new"), url("order", placed), url("order_cancel", placed)]

    new, order, cancel = (owner.get(address) for address in addresses)
    preview = send(owner)

    assert [_frame(page) for page in (new, preview, order, cancel)] == [
        ("Новый заказ", "Новый заказ", (url("orders"), "Заказы")),
        ("Проверьте заказ", "Проверьте заказ", (url("orders"), "Заказы")),
        (number, number, (url("orders"), "Заказы")),
        (f"Отмена заказа № {placed.pk}", "Отменить заказ?", (url("order", placed), number)),
    ]


def _frame(page):
    """The words of the tab, of the heading, and of the way back."""
    html = page.content.decode()
    [tab] = re.findall(r"<title>(.*?) — ", html)
    [heading] = re.findall(r"<h1>(.*?)</h1>", html)
    [back] = re.findall(r'<a class="back" href="([^"]*)">(.*?)</a>', html)
    return tab, heading, back


def test_page_without_operators_has_its_own_text(owner):
    make_account(enabled=False)

    assert "Сейчас смарт-карты не заказать" in text_of(owner.get(url("order_new")))


def test_the_preview_shows_everything_and_orders_nothing(owner):
    page = text_of(send(owner))

    shown = ["3\u00a0смарт-карты", "МТС", INN, "Соколова Анна", "+7\u00a0912\u00a0345-67-89"]
    assert [text for text in shown if text not in page] == []
    assert "Подтвердить" in page
    assert not Order.objects.exists()


def test_the_preview_carries_every_field_and_confirms(owner, merchant):
    form = send(owner).context["form"]
    carried = {name: form[name].value() for name in form.fields}

    answer = owner.post(url("order_new"), carried | {"step": "confirm"})

    order = Order.objects.get()
    assert answer.status_code == 302
    assert answer.url == url("order", order)
    assert order.merchant == merchant
    assert [(line.account, line.quantity) for line in order.lines.all()] == [(make_account(), 3)]
    assert order.inn == INN
    assert order.phone == "79123456789"
    assert order.comment == "Позвонить\nза час"
    assert str(order.key) == KEY


def test_a_step_back_loses_nothing(owner):
    form = send(owner, step="edit").context["form"]

    assert {name: form[name].value() for name in FIELDS} == FIELDS
    assert not form.errors
    assert not Order.objects.exists()


@pytest.mark.parametrize("step", ["preview", "confirm", "edit", "unknown"])
def test_bad_input_loses_nothing_and_orders_nothing(owner, step):
    number = number_field()
    bad = {number: "501", "inn": "7707083894", "phone": "12", "recipient": "<b>Анна</b>"}

    answer = send(owner, step=step, **bad)

    form = answer.context["form"]
    assert {name: form[name].value() for name in FIELDS | bad} == FIELDS | bad
    assert set(form.errors) == {number, "inn", "phone"}
    assert escape("<b>Анна</b>") in text_of(answer)
    assert "<b>Анна</b>" not in text_of(answer)
    assert not Order.objects.exists()


@pytest.mark.parametrize(
    "bad",
    [
        {"company": ""},
        {"recipient": "Анна\x00"},
        {"address": "я" * 301},
        {"comment": "я" * 501},
        {"inn": "123"},
        {"key": "нет"},
        {"key": ""},
    ],
)
def test_what_cannot_be_an_order_is_answered_with_the_form(owner, bad):
    answer = send(owner, step="confirm", **bad)

    assert answer.status_code == 200
    assert answer.context["form"].errors
    assert not Order.objects.exists()


@pytest.mark.parametrize("number", ["", "0", "-1", "501", "9" * 30, "1.5", "' OR 1=1"])
def test_a_number_that_cannot_be_ordered_is_an_error_of_its_field(owner, number):
    answer = send(owner, step="confirm", **{number_field(): number})

    assert set(answer.context["form"].errors) == {number_field()}
    assert not Order.objects.exists()


def test_confirming_twice_gives_the_same_order(owner):
    answers = [send(owner, step="confirm") for _ in range(2)]

    order = Order.objects.get()
    assert [answer.url for answer in answers] == [url("order", order)] * 2
    assert AuditEvent.objects.filter(action="order_placed").count() == 1


def test_used_form_with_other_contents_is_refused_and_kept(owner):
    send(owner, step="confirm")

    answer = send(owner, step="confirm", **{number_field(): "7"})

    assert "уже оформлен заказ" in text_of(answer)
    assert answer.context["form"][number_field()].value() == "7"
    assert Order.objects.get().lines.get().quantity == 3


def test_an_operator_switched_off_before_the_confirmation_is_explained(owner):
    account = make_account()
    make_account(enabled=False)
    make_account("beeline", title="Билайн")

    answer = send(owner, step="confirm", **{number_field(account): "3"})

    assert answer.context["form"].errors == {
        "__all__": ["Смарт-карты этого оператора сейчас не заказать. Выберите другого."]
    }


# One order


def test_the_page_shows_the_way_of_the_order(owner, merchant):
    order = shipped(merchant)

    response = owner.get(url("order", order))

    steps = [(step.text, step.state) for step in response.context["steps"]]
    assert steps == [
        ("Принят", "done"),
        ("Собран", "done"),
        ("Отправлен", "done"),
        ("Доставлен", "current"),
    ]
    assert "80084512345678" in text_of(response)


def test_the_page_shows_what_was_ordered_and_where_it_goes(owner, merchant):
    order = place(merchant)

    page = text_of(owner.get(url("order", order)))

    shown = [
        "2\u00a0смарт-карты",
        INN,
        "Соколова Анна",
        "+7\u00a0912\u00a0345-67-89",
        "614000, Пермь, Ленина, 10, офис 3",
        "Позвонить<br>за час",
    ]
    assert [text for text in shown if text not in page] == []
    assert page.count("pill-") == 1


def test_a_cancelled_order_shows_the_reason_and_no_way_on(owner, merchant):
    order = place(merchant)
    services.cancel_order(order=order, by=STAFF, at=NOW, reason="Нет таких карт")

    response = owner.get(url("order", order))

    assert [step.state for step in response.context["steps"]] == ["done", "failed"]
    assert "Нет таких карт" in text_of(response)
    assert STAFF.name not in text_of(response)
    assert "сотрудник сервиса" in text_of(response)


@pytest.mark.parametrize(("made", "shown"), [(place, 0), (packed, 2), (shipped, 2), (delivered, 2)])
def test_cards_are_shown_once_they_are_packed(owner, merchant, made, shown):
    order = made(merchant)

    page = owner.get(url("order", order))

    assert len(page.context["packed"]) == shown
    assert text_of(page).count("data-copy=") == shown


def test_delivered_cards_lead_to_their_pages(owner, merchant):
    order = delivered(merchant)

    page = text_of(owner.get(url("order", order)))

    links = {reverse("card", kwargs={"pk": card.pk}) for card in queries.packed_cards(order)}
    assert {link for link in links if link in page} == links
    assert len(links) == 2


def test_an_order_is_cancelled_after_a_question(owner, merchant):
    order = place(merchant)

    asked = owner.get(url("order_cancel", order))
    state_before = Order.objects.get().state
    answer = owner.post(url("order_cancel", order))

    assert "Отменить заказ?" in text_of(asked)
    assert state_before == "accepted"
    assert Order.objects.get().state == "cancelled"
    assert answer.url == url("order", order)


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_packed_order_is_not_cancelled_any_more(owner, merchant, method):
    order = packed(merchant)

    answer = getattr(owner, method)(url("order_cancel", order), follow=True)

    assert "Заказ уже собран, отменить его нельзя." in text_of(answer)
    assert url("order_cancel", order) not in text_of(answer)
    assert Order.objects.get().state == "packed"


def test_an_order_is_repeated_as_a_new_form(owner, merchant):
    order = place(merchant)

    form = owner.get(url("order_new"), {"repeat": order.pk}).context["form"]

    assert [form[name].value() for name in (number_field(), "inn", "address", "comment")] == [
        2,
        order.inn,
        order.address,
        order.comment,
    ]
    assert str(form["key"].value()) != str(order.key)


@pytest.mark.parametrize("repeat", ["", "x", "-1", "9" * 40, "٣"])
def test_a_strange_order_to_repeat_does_no_harm(owner, repeat):
    assert owner.get(url("order_new"), {"repeat": repeat}).status_code in {200, 404}
