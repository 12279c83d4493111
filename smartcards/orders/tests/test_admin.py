"""Staff look for orders and take them step by step."""

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse, reverse_lazy
from stdnum import luhn

from cabinet.models import AuditEvent, User
from smartcards.models import SmartCard
from smartcards.numbers import DamagedBySpreadsheet
from smartcards.orders import panels, queries
from smartcards.orders.models import Order, OrderTerms, PackedCard, Seller
from smartcards.orders.tests.orders import (
    NOW,
    REQUISITES,
    delivered,
    make_seller,
    packed,
    paid,
    place,
    place_for_money,
    priced,
    shipped,
    stocked,
)
from smartcards.tests.cards import make_account, make_merchant

pytestmark = pytest.mark.django_db
LIST = "admin:orders_order_changelist"


def sign_in(client, *rights):
    user = User.objects.create_user("vera", "long-enough-word", is_staff=True, name="Вера")
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    client.force_login(user)
    return client


@pytest.fixture
def staff(client):
    return sign_in(client, "view_order", "change_order")


def page_of(order):
    return reverse("admin:orders_order_change", args=[order.pk])


def step_of(order, name):
    return reverse(f"admin:orders_order_{name}", args=[order.pk])


def errors_of(response):
    return [error for errors in response.context["form"].errors.values() for error in errors]


def test_an_order_goes_all_the_way_through_the_pages(staff):
    merchant = make_merchant()
    order, cards = place(merchant), stocked(3)

    taken = staff.get(step_of(order, "pack"), {"take": "1"})
    scanned = taken.context["form"]["iccids"].value()
    answers = [
        staff.post(step_of(order, "pack"), {"iccids": scanned}),
        staff.post(step_of(order, "ship"), {"carrier": "cdek", "track_number": "80084512345678"}),
        staff.post(step_of(order, "deliver")),
    ]

    assert scanned == "\n".join(card.iccid for card in cards[:2])
    assert [answer.url for answer in answers] == [page_of(order)] * 3
    assert Order.objects.get().state == "delivered"
    assert list(SmartCard.objects.filter(merchant=merchant).order_by("pk")) == cards[:2]
    by = AuditEvent.objects.filter(target="order", actor_kind="staff").order_by("pk")
    assert [(event.action, event.actor_name) for event in by] == [
        ("order_packed", "Вера"),
        ("order_shipped", "Вера"),
        ("order_delivered", "Вера"),
    ]


def test_a_packed_order_is_unpacked_and_cancelled_with_a_reason(staff):
    order = packed(make_merchant())

    staff.post(step_of(order, "unpack"), {"reason": "Клиент передумал"})
    staff.post(step_of(order, "cancel"), {"reason": "Клиент передумал"})

    assert Order.objects.get().state == "cancelled"
    assert PackedCard.objects.count() == 0
    assert list(
        AuditEvent.objects.filter(reason="Клиент передумал")
        .values_list("action", flat=True)
        .order_by("pk")
    ) == [
        "order_unpacked",
        "order_cancelled",
    ]


@pytest.mark.parametrize("between", ["\r\n", ";", ",", ", ", "\t", "F\n"])
def test_cards_are_read_as_they_are_typed_or_scanned(staff, between):
    order = place(make_merchant())
    iccids = [card.iccid for card in stocked(2)]
    typed = between.join([f"{iccids[0][:4]} {iccids[0][4:]}", iccids[1]])

    staff.post(step_of(order, "pack"), {"iccids": typed})

    assert [card.iccid for card in queries.packed_cards(order)] == iccids


def test_each_wrong_card_is_named_and_the_list_stays(staff):
    order, (good,) = place(make_merchant()), stocked(1)
    foreign = stocked(1, make_account("beeline", title="Билайн"))[0]
    typed = f"{good.iccid}\n{foreign.iccid}"

    answer = staff.post(step_of(order, "pack"), {"iccids": typed})

    assert errors_of(answer) == [
        "Не все смарт-карты можно взять для этого заказа.",
        f"{foreign.iccid}: Смарт-карта другого оператора: Билайн.",
    ]
    assert answer.context["form"]["iccids"].value() == typed
    assert Order.objects.get().state == "accepted"


def test_invalid_numbers_are_named_before_stock_is_checked(staff):
    order, (card,) = place(make_merchant()), stocked(1)
    typed = f"8,97E+18\n123\n{card.iccid}\n{card.iccid}"

    answer = staff.post(step_of(order, "pack"), {"iccids": typed})

    assert errors_of(answer) == [
        f"8,97E+18: {DamagedBySpreadsheet().sentence}",
        "123: В ICCID 3\u00a0цифры, а должно быть от 17 до 20.",
        f"{card.iccid}: Считана дважды.",
    ]


@pytest.mark.parametrize(
    ("made", "name", "sent", "error"),
    [
        (
            packed,
            "ship",
            {"carrier": "cdek", "track_number": " "},
            "Укажите трек-номер отправления.",
        ),
        (packed, "unpack", {"reason": ""}, "Укажите причину: её увидит клиент."),
        (place, "cancel", {"reason": ""}, "Укажите причину: её увидит клиент."),
        (place, "pack", {"iccids": ""}, "Наберите или считайте ICCID смарт-карт."),
        (
            place,
            "ship",
            {"carrier": "cdek", "track_number": "1"},
            "Заказ уже принят, отправить его нельзя.",
        ),
        (delivered, "unpack", {"reason": "x"}, "Заказ уже доставлен, разобрать его нельзя."),
        (packed, "deliver", {}, "Заказ уже собран, отметить доставленным его нельзя."),
    ],
)
def test_refused_step_shows_why_and_changes_nothing(staff, made, name, sent, error):
    order = made(make_merchant())
    before = Order.objects.values().get()

    answer = staff.post(step_of(order, name), sent)

    assert answer.status_code == 200
    assert errors_of(answer) == [error]
    assert Order.objects.values().get() == before


@pytest.mark.parametrize(
    ("made", "steps"),
    [
        (place, ["pack", "cancel"]),
        (packed, ["ship", "unpack"]),
        (shipped, ["deliver"]),
        (delivered, []),
    ],
)
def test_the_page_offers_the_steps_that_are_possible(staff, made, steps):
    order = made(make_merchant())

    offered = [url for url, _ in staff.get(page_of(order)).context["confirm_links"]]

    assert offered == [step_of(order, name) for name in steps]


@pytest.mark.parametrize("name", ["pack", "ship", "deliver", "unpack", "cancel"])
def test_every_step_has_a_page_in_every_state(staff, name):
    order = shipped(make_merchant())

    assert staff.get(step_of(order, name)).status_code == 200


def test_the_state_is_not_edited_past_the_services(staff):
    order = place(make_merchant())

    staff.post(page_of(order), {"state": "delivered", "track_number": "1"})

    assert Order.objects.get().state == "accepted"


@pytest.mark.parametrize("name", ["pack", "ship", "deliver", "unpack", "cancel"])
def test_staff_who_only_look_take_no_steps(client, name):
    order = place(make_merchant())
    sign_in(client, "view_order")

    assert client.get(page_of(order)).context["confirm_links"] == []
    assert client.post(step_of(order, name), {"reason": "x"}).status_code == 403
    assert Order.objects.get().state == "accepted"


def test_an_absent_order_is_not_found(staff):
    assert staff.get(reverse("admin:orders_order_pack", args=[999])).status_code == 404


def test_orders_are_found_by_number_phone_or_name(staff):
    merchant = make_merchant("Ромашка", evotor_user_id="01-000000000000777")
    order = shipped(merchant)
    place(make_merchant("Другой"), inn="500100732259", phone="79990000000", recipient="Иной")
    iccid = queries.packed_cards(order)[0].iccid
    asked = [
        str(order.pk),
        f"№ {order.pk}",
        "8 (912) 345-67-89",
        "7707083893",
        f"{iccid[:4]} {iccid[4:8]} {iccid[8:]}",
        "01-000000000000777",
        "80084512345678",
        "ромашка",
        "соколова",
    ]

    found = {
        term: list(staff.get(reverse(LIST), {"q": term}).context["cl"].queryset) for term in asked
    }

    assert found == {term: [order] for term in asked}


def test_order_is_found_by_the_other_spelling_of_a_card(staff):
    order = packed(make_merchant(), quantity=1)
    iccid = queries.packed_cards(order)[0].iccid
    full = f"{iccid}{luhn.calc_check_digit(iccid)}"

    found = staff.get(reverse(LIST), {"q": full}).context["cl"].queryset

    assert list(found.order_by("pk")) == [order]


@pytest.mark.parametrize("term", ["нет такого", "9" * 40, "'; --", "%"])
def test_a_search_for_nothing_finds_nothing(staff, term):
    place(make_merchant())

    assert list(staff.get(reverse(LIST), {"q": term}).context["cl"].queryset) == []


def test_the_list_is_filtered_by_state(staff):
    place(make_merchant())
    order = packed(make_merchant())

    assert list(staff.get(reverse(LIST), {"state__exact": "packed"}).context["cl"].queryset) == [
        order
    ]


def test_the_panel_shows_the_merchants_orders():
    merchant = make_merchant()
    order = shipped(merchant)
    place(make_merchant("Другой"))

    panel = panels.orders(merchant, NOW)

    assert [list(row) for row in panel.rows] == [
        [
            (f"№ {order.pk}", page_of(order)),
            "22\u00a0ноября 2026\u00a0г., 12:00",
            "МТС",
            "2\u00a0смарт-карты",
            "Отправлен",
            "80084512345678",
        ]
    ]
    assert len(panel.columns) == len(panel.rows[0])


# --- money ----------------------------------------------------------------------------------------


@pytest.fixture
def finance(client):
    return sign_in(
        client,
        "view_order",
        "change_orderpaper",
        *(f"{right}_{model}" for right in ("view", "add", "change") for model in MODELS),
    )


MODELS = ("orderterms", "seller")
ADD_SELLER = reverse_lazy("admin:orders_seller_add")
ADD_TERMS = reverse_lazy("admin:orders_orderterms_add")
SELLER = REQUISITES | {"vat": "22", "parcel_paper": "upd"}
TERMS = {
    "card_kopecks": "299,50",
    "delivery_kopecks": "350",
    "days_from": "2",
    "days_to": "5",
    "orders_a_day": "10",
    "cards_a_day": "900",
}


def errors_of_admin(answer):
    return dict(answer.context["adminform"].form.errors)


def test_finance_enters_seller_then_prices(finance):
    before = finance.post(ADD_TERMS, TERMS)
    finance.post(ADD_SELLER, SELLER)

    finance.post(ADD_TERMS, TERMS)

    assert errors_of_admin(before) == {
        "__all__": ["Сначала заполните реквизиты продавца: без них не выставить счёт."]
    }
    assert Seller.objects.values().get() == {"id": 1, **SELLER}
    assert OrderTerms.objects.values().get() == {
        "id": 1,
        "card_kopecks": 29_950,
        "delivery_kopecks": 35_000,
        "days_from": 2,
        "days_to": 5,
        "orders_a_day": 10,
        "cards_a_day": 900,
    }
    events = AuditEvent.objects.order_by("pk")
    assert [event.action for event in events] == ["seller_changed", "order_terms_changed"]
    assert [finance.get(address).status_code for address in (ADD_SELLER, ADD_TERMS)] == [403, 403]


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("inn", "7712345672", "Проверьте ИНН: контрольная цифра не сходится."),
        ("bik", "04452599", "БИК состоит из 9 цифр."),
        (
            "account",
            "40702810900000001235",
            "Проверьте счёт и БИК: контрольная цифра не сходится.",
        ),
        (
            "corr_account",
            "30101810600000000998",
            "Проверьте корреспондентский счёт: контрольная цифра не сходится.",
        ),
    ],
)
def test_requisites_with_wrong_digits_are_refused(finance, field, value, error):
    answer = finance.post(ADD_SELLER, SELLER | {field: value})

    assert errors_of_admin(answer) == {field: [error]}
    assert not Seller.objects.exists()


@pytest.mark.parametrize("typed", ["-1", "даром", "1,234", "100001"])
def test_a_price_that_is_no_sum_is_refused(finance, typed):
    make_seller()

    answer = finance.post(ADD_TERMS, TERMS | {"card_kopecks": typed})

    assert set(errors_of_admin(answer)) == {"card_kopecks"}
    assert not OrderTerms.objects.exists()


def test_finance_marks_payment_and_reads_the_papers(finance):
    priced()
    order = place_for_money(make_merchant())
    sent = {"paid_on": "2026-11-22", "payment_number": "15"}

    answer = finance.post(step_of(order, "pay"), sent)

    page = finance.get(page_of(order)).content.decode()
    invoice = queries.invoice_of(order)
    file = reverse("admin:orders_order_paper", args=[order.pk, invoice.pk])
    assert answer.url == page_of(order)
    assert (str(invoice.paid_on), invoice.payment_number) == ("2026-11-22", "15")
    assert file in page
    assert finance.get(file).content.startswith(b"%PDF-")


def test_warehouse_marks_no_payment(staff):
    priced()
    order = place_for_money(make_merchant())

    assert staff.post(step_of(order, "pay"), {}).status_code == 403
    assert [url for url, _ in staff.get(page_of(order)).context["confirm_links"]] == [
        step_of(order, "pack"),
        step_of(order, "cancel"),
    ]


@pytest.mark.parametrize(("chosen", "found"), [("no", "unpaid"), ("yes", "paid")])
def test_orders_are_filtered_by_payment(staff, chosen, found):
    priced()
    merchant = make_merchant()
    orders = {"unpaid": place_for_money(merchant), "paid": paid(place_for_money(merchant))}
    OrderTerms.objects.update(card_kopecks=0, delivery_kopecks=0)
    place(merchant)

    shown = staff.get(reverse(LIST), {"paid": chosen}).context["cl"].queryset

    assert list(shown.order_by("pk")) == [orders[found]]


def test_stock_of_each_operator_fills_the_packing_form(staff):
    beeline = make_account("beeline", title="Билайн")
    order = place(make_merchant(), wanted={make_account(): 1, beeline: 2})
    mts_cards, beeline_cards = stocked(2), stocked(3, beeline)

    taken = staff.get(step_of(order, "pack"), {"take": "1"})

    chosen = [*beeline_cards[:2], mts_cards[0]]
    assert taken.context["form"]["iccids"].value() == "\n".join(card.iccid for card in chosen)
    assert taken.context["facts"][-2:] == [
        ("Новых на складе: Билайн", "3"),
        ("Новых на складе: МТС", "2"),
    ]
