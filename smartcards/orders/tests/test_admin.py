"""Staff look for orders and take them step by step."""

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from cabinet.models import AuditEvent, User
from smartcards.models import SmartCard
from smartcards.numbers import DamagedBySpreadsheet
from smartcards.orders import panels, queries
from smartcards.orders.models import Order, PackedCard
from smartcards.orders.tests.orders import NOW, delivered, packed, place, shipped, stocked
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

    taken = staff.post(step_of(order, "pack"), {"do": "take"})
    scanned = taken.context["form"]["iccids"].value()
    answers = [
        staff.post(step_of(order, "pack"), {"do": "pack", "iccids": scanned}),
        staff.post(step_of(order, "ship"), {"track_number": "80084512345678"}),
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

    assert (Order.objects.get().state, PackedCard.objects.count()) == ("cancelled", 0)
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

    staff.post(step_of(order, "pack"), {"do": "pack", "iccids": typed})

    assert [card.iccid for card in queries.packed_cards(order)] == iccids


def test_what_is_wrong_is_said_of_each_card_and_the_list_stays(staff):
    order, (good,) = place(make_merchant()), stocked(1)
    foreign = stocked(1, make_account("beeline", title="Билайн"))[0]
    typed = f"{good.iccid}\n{foreign.iccid}"

    answer = staff.post(step_of(order, "pack"), {"do": "pack", "iccids": typed})

    assert errors_of(answer) == [
        "Не все смарт-карты можно взять для этого заказа.",
        f"{foreign.iccid}: Смарт-карта другого оператора: Билайн.",
    ]
    assert answer.context["form"]["iccids"].value() == typed
    assert Order.objects.get().state == "accepted"


def test_numbers_that_are_none_are_named_before_the_stock_is_asked(staff):
    order, (card,) = place(make_merchant()), stocked(1)
    typed = f"8,97E+18\n123\n{card.iccid}\n{card.iccid}"

    answer = staff.post(step_of(order, "pack"), {"do": "pack", "iccids": typed})

    assert errors_of(answer) == [
        f"8,97E+18: {DamagedBySpreadsheet().sentence}",
        "123: В ICCID 3\u00a0цифры, а должно быть от 17 до 20.",
        f"{card.iccid}: Считана дважды.",
    ]


@pytest.mark.parametrize(
    ("made", "name", "sent", "error"),
    [
        (packed, "ship", {"track_number": " "}, "Укажите трек-номер отправления."),
        (packed, "unpack", {"reason": ""}, "Укажите причину: её увидит клиент."),
        (place, "cancel", {"reason": ""}, "Укажите причину: её увидит клиент."),
        (place, "pack", {"iccids": ""}, "Наберите или считайте ICCID смарт-карт."),
        (place, "ship", {"track_number": "1"}, "Заказ уже принят, отправить его нельзя."),
        (delivered, "unpack", {"reason": "x"}, "Заказ уже доставлен, разобрать его нельзя."),
        (packed, "deliver", {}, "Заказ уже собран, отметить доставленным его нельзя."),
    ],
)
def test_a_refused_step_says_why_and_changes_nothing(staff, made, name, sent, error):
    order = made(make_merchant())
    before = Order.objects.values().get()

    answer = staff.post(step_of(order, name), sent)

    assert (answer.status_code, errors_of(answer)) == (200, [error])
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

    offered = [url for url, _ in staff.get(page_of(order)).context["steps"]]

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

    assert client.get(page_of(order)).context["steps"] == []
    assert client.post(step_of(order, name), {"reason": "x"}).status_code == 403
    assert Order.objects.get().state == "accepted"


def test_an_absent_order_is_not_found(staff):
    assert staff.get(reverse("admin:orders_order_pack", args=[999])).status_code == 404


def test_orders_are_found_by_what_staff_are_told_on_the_phone(staff):
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
