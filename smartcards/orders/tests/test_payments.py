"""Orders that cost something: prices of their day, счета without gaps, payment, papers of a parcel, limits."""

import threading
from datetime import date, timedelta
from typing import NamedTuple

import pytest
from django.db import IntegrityError, connection, transaction
from django.urls import reverse

from cabinet.enums import Role
from cabinet.models import AuditEvent
from smartcards.models import SmartCard
from smartcards.orders import panels, queries, services, texts
from smartcards.orders.forms import cards_field
from smartcards.orders.models import (
    Order,
    OrderLine,
    OrderPaper,
    OrderTerms,
    PaperCounter,
    Seller,
)
from smartcards.orders.rules import CannotPack, OrderRefused, PriceChanged
from smartcards.orders.states import MAX_CARDS, Carrier, OrderState, PaperKind
from smartcards.orders.tests.orders import (
    INN,
    NOW,
    make_seller,
    pack,
    paid,
    place,
    place_for_money,
    priced,
    ship,
    shipped,
    stocked,
    store_order,
    store_paper,
)
from smartcards.tests.cards import OWNER, STAFF, make_account, make_member, make_merchant

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(hours=1)


class Paper(NamedTuple):
    kind: str
    number: int
    total: int
    is_paid: bool
    is_void: bool


def papers(order):
    rows = OrderPaper.objects.filter(order=order).order_by("issued_at", "pk")
    return [
        Paper(
            row.kind,
            row.number,
            row.total_kopecks,
            row.paid_on is not None,
            row.cancelled_at is not None,
        )
        for row in rows
    ]


def two_operators():
    return make_account("beeline", title="Билайн"), make_account()


# --- several operators ----------------------------------------------------------------------------


def test_one_order_has_cards_of_several_operators():
    beeline, mts = two_operators()

    order = place(make_merchant(), wanted={mts: 2, beeline: 3})

    assert [(line.account, line.quantity) for line in order.lines.all()] == [(beeline, 3), (mts, 2)]
    assert texts.ordered_in_full(order) == "5\u00a0смарт-карт, Билайн\u00a0— 3, МТС\u00a0— 2"


def test_each_operators_cards_are_counted_when_packing():
    beeline, mts = two_operators()
    order = place(make_merchant(), wanted={mts: 2, beeline: 1})
    cards = [*stocked(1, mts), *stocked(2, beeline)]

    with pytest.raises(CannotPack) as caught:
        services.pack_order(order=order, iccids=[card.iccid for card in cards], by=STAFF, at=LATER)

    assert caught.value.sentence == (
        "Билайн: в заказе 1\u00a0смарт-карта, выбрано: 2. МТС: в заказе 2\u00a0смарт-карты, выбрано: 1."
    )


def test_cards_of_all_operators_together_have_a_limit():
    beeline, mts = two_operators()

    with pytest.raises(OrderRefused) as caught:
        place(make_merchant(), wanted={mts: MAX_CARDS, beeline: 1})

    assert caught.value.sentence == "Можно заказать от 1 до 500 смарт-карт."


# --- prices ---------------------------------------------------------------------------------------


def test_an_order_keeps_the_prices_of_its_day():
    priced()
    order = place_for_money(make_merchant())

    OrderTerms.objects.update(card_kopecks=50_000, delivery_kopecks=0)

    order = Order.objects.get(pk=order.pk)
    assert (order.total_kopecks, order.delivery_kopecks) == (95_000, 35_000)


@pytest.mark.parametrize("agreed", [0, 94_999, 95_001])
def test_another_sum_than_agreed_is_refused(agreed):
    priced()

    with pytest.raises(PriceChanged):
        place(make_merchant(), agreed_kopecks=agreed)

    assert not Order.objects.exists()


def test_nothing_is_sold_without_a_seller():
    OrderTerms.objects.create(card_kopecks=100)

    with pytest.raises(OrderRefused) as caught:
        place(make_merchant(), agreed_kopecks=200)

    assert caught.value.sentence == "Сейчас смарт-карты не заказать: мы не можем выставить счёт."


def test_a_free_order_has_no_invoice():
    make_seller()

    order = ship(pack(place(make_merchant())))

    assert papers(order) == []


# --- numbers --------------------------------------------------------------------------------------


def test_invoices_are_numbered_without_gaps_in_each_year():
    priced(orders_a_day=10)
    merchant = make_merchant()
    # Half past ten in the evening of New Year's Eve in London is the new year in Moscow.
    days = [
        NOW,
        NOW,
        NOW.replace(month=12, day=31, hour=20),
        NOW.replace(month=12, day=31, hour=22),
    ]

    made = [place(merchant, agreed_kopecks=95_000, at=at) for at in days]

    numbered = [(paper.year, paper.number) for order in made for paper in order.papers.all()]
    assert numbered == [(2026, 1), (2026, 2), (2026, 3), (2027, 1)]


def test_a_refused_order_takes_no_number():
    priced()
    merchant = make_merchant()
    place_for_money(merchant)
    with pytest.raises(PriceChanged):
        place(merchant, agreed_kopecks=1)

    order = place_for_money(merchant)

    assert papers(order) == [Paper("invoice", 2, 95_000, is_paid=False, is_void=False)]


@pytest.mark.django_db(transaction=True)
def test_orders_at_once_get_numbers_in_turn():
    priced()
    merchants = [make_merchant(f"Клиент {number}") for number in range(4)]
    make_account()

    def run(merchant):
        try:
            place_for_money(merchant)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(merchant,)) for merchant in merchants]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(OrderPaper.objects.values_list("number", flat=True)) == [1, 2, 3, 4]
    assert PaperCounter.objects.get().last == 4


def test_a_void_number_stays_used():
    priced()
    order = place_for_money(make_merchant())

    services.reissue_invoice(order=order, reason="Новый банк", by=STAFF, at=LATER)

    assert papers(order) == [
        Paper("invoice", 1, 95_000, is_paid=False, is_void=True),
        Paper("invoice", 2, 95_000, is_paid=False, is_void=False),
    ]


def test_a_cancelled_order_voids_its_invoice():
    priced()
    order = place_for_money(make_merchant())

    services.cancel_order(order=order, by=OWNER, at=LATER)

    assert papers(order) == [Paper("invoice", 1, 95_000, is_paid=False, is_void=True)]


# --- what stands in a document --------------------------------------------------------------------


def test_a_document_keeps_the_requisites_of_its_day():
    priced()
    merchant = make_merchant(inn=INN, kpp="770701001", address="Пермь, Мира, 1")
    order = place_for_money(merchant)
    invoice = queries.invoice_of(order)
    before = invoice.frozen

    Seller.objects.update(name="ООО «Другие кассы»", vat="22")
    merchant.name, merchant.kpp = "ООО «Иное»", ""
    merchant.save()

    after = OrderPaper.objects.get().frozen
    assert after == before
    assert (after.seller.name, after.vat_rate) == ("ООО «Примерные кассы»", None)
    assert (after.buyer.name, after.buyer.kpp) == ("ООО «Ромашка»", "770701001")
    assert [(line.title, line.quantity, line.price) for line in after.lines] == [
        ("Смарт-карта «МТС»", 2, 30_000),
        ("Доставка", 1, 35_000),
    ]


def test_buyer_with_another_inn_gets_no_kpp_of_the_company():
    priced()
    order = place_for_money(make_merchant(inn="7712345671", kpp="770701001", address="Омск"))

    buyer = queries.invoice_of(order).frozen.buyer

    assert (buyer.inn, buyer.kpp, buyer.address) == (INN, "", "614000, Пермь, Ленина, 10, офис 3")


def test_free_lines_are_left_out_of_the_invoice():
    priced(card_kopecks=0)
    order = place(make_merchant(), agreed_kopecks=35_000)

    assert [line.title for line in queries.invoice_of(order).frozen.lines] == ["Доставка"]


# --- payment --------------------------------------------------------------------------------------


def test_payment_is_recorded_with_its_date_and_number():
    priced()
    order = place_for_money(make_merchant())

    services.record_payment(
        order=order, paid_on=date(2026, 11, 22), payment_number=" 15 ", by=STAFF, at=LATER
    )

    invoice = queries.invoice_of(order)
    assert (invoice.paid_on, invoice.payment_number) == (date(2026, 11, 22), "15")
    assert AuditEvent.objects.get(action="order_paid").text == (
        "Заказ оплачен: 950\u00a0₽, платёж 22\u00a0ноября 2026\u00a0г."
    )


def test_an_unpaid_order_does_not_ship():
    priced()
    order = pack(place_for_money(make_merchant()))

    with pytest.raises(OrderRefused) as caught:
        ship(order)

    assert caught.value.sentence == "Заказ не оплачен: сначала отметьте оплату."
    assert Order.objects.get().state == "packed"


@pytest.mark.parametrize(("form", "kind"), [("waybill", "waybill"), ("upd", "upd")])
def test_a_paid_parcel_goes_with_the_paper_of_the_seller(form, kind):
    priced()
    Seller.objects.update(parcel_paper=form, vat="22")

    order = ship(paid(pack(place_for_money(make_merchant()))))

    assert papers(order) == [
        Paper("invoice", 1, 95_000, is_paid=True, is_void=False),
        Paper(kind, 1, 95_000, is_paid=False, is_void=False),
    ]
    content = OrderPaper.objects.get(kind=kind).frozen
    assert (content.payment, content.vat_rate) == ("№ 15 от 22.11.2026", 22)


def test_a_paid_order_is_cancelled_by_staff_only():
    priced()
    order = paid(place_for_money(make_merchant()))

    with pytest.raises(OrderRefused) as caught:
        services.cancel_order(order=order, by=OWNER, at=LATER)
    services.cancel_order(order=order, by=STAFF, at=LATER, reason="Деньги вернём")

    assert caught.value.sentence == "Заказ оплачен. Чтобы отменить его, напишите в поддержку."
    assert papers(order) == [Paper("invoice", 1, 95_000, is_paid=True, is_void=False)]


def test_payment_marked_by_mistake_is_taken_off():
    priced()
    order = paid(place_for_money(make_merchant()))

    services.withdraw_payment(order=order, reason="Не тот заказ", by=STAFF, at=LATER)

    assert papers(order) == [Paper("invoice", 1, 95_000, is_paid=False, is_void=False)]


def test_invoice_of_a_cancelled_order_is_void_once_unpaid():
    priced()
    order = paid(place_for_money(make_merchant()))
    services.cancel_order(order=order, by=STAFF, at=LATER, reason="Деньги вернём")

    services.withdraw_payment(order=order, reason="Вернули", by=STAFF, at=LATER)

    assert papers(order) == [Paper("invoice", 1, 95_000, is_paid=False, is_void=True)]


def unpaid_order():
    priced()
    return place_for_money(make_merchant())


def paid_order():
    return paid(unpaid_order())


def shipped_order():
    return ship(pack(paid_order()))


def free_order():
    return place(make_merchant())


def cancelled_order():
    return services.cancel_order(order=unpaid_order(), by=OWNER, at=NOW)


def reissue(order):
    services.reissue_invoice(order=order, reason="так", by=STAFF, at=LATER)


def unpay(order):
    services.withdraw_payment(order=order, reason="так", by=STAFF, at=LATER)


def pay_tomorrow(order):
    tomorrow = NOW.date() + timedelta(days=1)
    services.record_payment(order=order, paid_on=tomorrow, payment_number="1", by=STAFF, at=LATER)


@pytest.mark.parametrize(
    ("made", "step", "sentence"),
    [
        (paid_order, paid, "Заказ уже оплачен 22\u00a0ноября 2026\u00a0г."),
        (free_order, paid, "Заказ бесплатный, счёта у него нет."),
        (cancelled_order, paid, "Заказ отменён."),
        (unpaid_order, pay_tomorrow, "Дата платежа ещё не наступила."),
        (paid_order, reissue, "Заказ уже оплачен 22\u00a0ноября 2026\u00a0г."),
        (unpaid_order, unpay, "Оплата этого заказа не отмечена."),
        (shipped_order, unpay, "Заказ уже отправлен."),
    ],
)
def test_wrong_steps_of_payment_are_refused(made, step, sentence):
    order = made()
    before = papers(order)

    with pytest.raises(OrderRefused) as caught:
        step(order)

    assert caught.value.sentence == sentence
    assert papers(order) == before


# --- limits ---------------------------------------------------------------------------------------


def test_orders_of_a_day_have_a_limit():
    OrderTerms.objects.create(orders_a_day=2)
    merchant = make_merchant()
    first = place(merchant)
    place(merchant)
    services.cancel_order(order=first, by=OWNER, at=NOW)

    with pytest.raises(OrderRefused) as caught:
        place(merchant)

    assert (
        caught.value.sentence
        == "Сегодня уже оформлено 2\u00a0заказа, больше нельзя. Закажите завтра."
    )
    assert place(make_merchant("Другой")).state == OrderState.ACCEPTED
    assert place(merchant, at=NOW + timedelta(days=1)).state == OrderState.ACCEPTED


def test_cards_of_a_day_have_a_limit():
    OrderTerms.objects.create(cards_a_day=5)
    merchant = make_merchant()
    cancelled = place(merchant, quantity=5)
    services.cancel_order(order=cancelled, by=OWNER, at=NOW)
    place(merchant, quantity=3)

    with pytest.raises(OrderRefused) as caught:
        place(merchant, quantity=3)

    assert caught.value.sentence == (
        "За день можно заказать до 5 смарт-карт, сегодня заказано 3."
        " Если нужно больше, напишите в поддержку."
    )
    assert place(merchant, quantity=2).quantity == 2


# --- carriers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("carrier", "track", "link"),
    [
        ("cdek", "1234 5/6", "https://www.cdek.ru/ru/tracking?order_id=1234%205%2F6"),
        ("russian_post", "80084512345678", "https://www.pochta.ru/tracking?barcode=80084512345678"),
        ("own", "", ""),
        ("own", "12", ""),
        ("", "12", ""),
    ],
)
def test_a_parcel_leads_to_the_page_of_its_carrier(carrier, track, link):
    assert texts.track_link(Order(carrier=carrier, track_number=track)) == link


def test_our_courier_needs_no_track_number():
    order = ship(pack(place(make_merchant())), Carrier.OWN, "")

    assert texts.shipped(order) == "Заказ отправлен: Наш курьер"


# --- pages ----------------------------------------------------------------------------------------


@pytest.fixture
def merchant():
    return make_merchant(inn=INN, phone="79120000000", address="Пермь, Мира, 1")


@pytest.fixture
def owner(client, merchant):
    client.force_login(make_member(merchant).user)
    return client


def text_of(response):
    return response.content.decode()


def filled(**numbers):
    return {
        "company": "ООО «Ромашка»",
        "inn": INN,
        "recipient": "Соколова Анна",
        "phone": "+7 912 345-67-89",
        "address": "Пермь, Ленина, 10",
        "comment": "",
        "key": "7f9c24e8-3b5a-4f0e-9d61-0d4a5c1b2e3f",
        **numbers,
    }


def test_the_preview_counts_every_line_and_the_total(owner):
    priced()
    beeline, mts = two_operators()
    sent = filled(**{cards_field(beeline): 3, cards_field(mts): 2, "step": "preview"})

    page = owner.post(reverse("order_new"), sent)

    assert page.context["sums"] == [
        texts.PriceRow("Билайн", "900\u00a0₽", "3\u00a0смарт-карты × 300\u00a0₽"),
        texts.PriceRow("МТС", "600\u00a0₽", "2\u00a0смарт-карты × 300\u00a0₽"),
        texts.PriceRow("Доставка", "350\u00a0₽"),
    ]
    assert (page.context["agreed"], page.context["total"]) == (185_000, "1\u00a0850\u00a0₽")
    assert "Обычно привозим за 3–7\u00a0дней." in text_of(page)


@pytest.mark.parametrize("agreed", ["", "0", "нет", "9" * 30])
def test_a_changed_price_is_shown_before_anything_is_ordered(owner, agreed):
    priced()
    sent = filled(**{cards_field(make_account()): 2, "step": "confirm", "agreed": agreed})

    asked = owner.post(reverse("order_new"), sent)
    ordered = Order.objects.count()
    confirmed = owner.post(reverse("order_new"), sent | {"agreed": asked.context["agreed"]})

    assert "Цена изменилась. Проверьте заказ ещё раз." in text_of(asked)
    assert ordered == 0
    assert confirmed.url == reverse("order", kwargs={"pk": Order.objects.get().pk})


def test_free_cards_are_called_free(owner):
    make_account()

    page = text_of(owner.get(reverse("order_new")))

    assert "Смарт-карты и доставка бесплатно. Обычно привозим за 3–7\u00a0дней." in page


def test_last_order_fills_the_next_form_in(owner, merchant):
    place(merchant, company="ООО «Филиал»", address="Омск, Мира, 3")

    form = owner.get(reverse("order_new")).context["form"]

    assert [form[name].value() for name in ("company", "address", "comment")] == [
        "ООО «Филиал»",
        "Омск, Мира, 3",
        None,
    ]


def test_an_order_of_several_operators_is_repeated(owner, merchant):
    beeline, mts = two_operators()
    order = place(merchant, wanted={mts: 2, beeline: 3})

    form = owner.get(reverse("order_new"), {"repeat": order.pk}).context["form"]

    assert [field.value() for field in form.numbers] == [3, 2]


def test_the_page_of_an_unpaid_order_leads_to_its_invoice(owner, merchant):
    priced()
    order = place_for_money(merchant)
    invoice = queries.invoice_of(order)

    page = owner.get(reverse("order", kwargs={"pk": order.pk}))
    file = owner.get(reverse("order_paper", kwargs={"pk": order.pk, "paper": invoice.pk}))

    assert [(step.text, step.state) for step in page.context["steps"]] == [
        ("Принят", "done"),
        ("Оплачен", "current"),
        ("Собран", "waiting"),
        ("Отправлен", "waiting"),
        ("Доставлен", "waiting"),
    ]
    assert file.headers["Content-Type"] == "application/pdf"
    assert file.headers["Content-Disposition"].startswith("attachment; filename*=utf-8''")
    assert file.content.startswith(b"%PDF-")


def test_papers_are_seen_by_members_who_see_orders(client, merchant):
    priced()
    order = place_for_money(merchant)
    names = {"pk": order.pk, "paper": queries.invoice_of(order).pk}
    people = {
        "owner": make_member(merchant),
        "accountant": make_member(merchant, Role.ACCOUNTANT),
        "cashier": make_member(merchant, Role.CASHIER),
        "stranger": make_member(make_merchant("Чужой")),
    }

    statuses = {}
    for name, member in people.items():
        client.force_login(member.user)
        statuses[name] = client.get(reverse("order_paper", kwargs=names)).status_code

    assert statuses == {"owner": 200, "accountant": 200, "cashier": 403, "stranger": 404}


def test_a_void_or_foreign_paper_is_not_found(owner, merchant):
    priced()
    order, other = place_for_money(merchant), place_for_money(merchant)
    void = queries.invoice_of(order)
    services.reissue_invoice(order=order, reason="так", by=STAFF, at=LATER)
    foreign = queries.invoice_of(other)

    statuses = [
        owner.get(reverse("order_paper", kwargs={"pk": order.pk, "paper": pk})).status_code
        for pk in (void.pk, foreign.pk, 99_999)
    ]

    assert statuses == [404, 404, 404]


def test_the_merchant_gets_the_cards_by_saying_so(owner, merchant):
    order = shipped(merchant)
    address = reverse("order_received", kwargs={"pk": order.pk})

    asked = owner.get(address)
    state_before = Order.objects.get().state
    answers = [owner.post(address), owner.post(address)]

    assert "Вы получили заказ?" in text_of(asked)
    assert state_before == "shipped"
    assert [answer.url for answer in answers] == [
        reverse("cards"),
        reverse("order", kwargs={"pk": order.pk}),
    ]
    assert SmartCard.objects.filter(merchant=merchant).count() == 2
    assert AuditEvent.objects.get(action="order_delivered").actor_kind == "person"


def test_an_order_that_has_not_left_cannot_be_received(owner, merchant):
    order = place(merchant)

    answer = owner.post(reverse("order_received", kwargs={"pk": order.pk}), follow=True)

    assert "Заказ уже принят, отметить доставленным его нельзя." in text_of(answer)
    assert Order.objects.get().state == "accepted"


def test_the_first_page_knows_a_running_order(owner, merchant):
    order = shipped(merchant)

    page = text_of(owner.get(reverse("cards")))

    assert reverse("order", kwargs={"pk": order.pk}) in page
    assert "Когда получите, нажмите «Получил»." in page


def test_several_running_orders_are_one_notice(merchant):
    priced()
    first = place_for_money(merchant)
    one = panels.running(merchant, Role.OWNER)
    services.cancel_order(order=place_for_money(merchant), by=OWNER, at=NOW)
    place_for_money(merchant)

    two = panels.running(merchant, Role.ACCOUNTANT)

    assert [notice.text for notice in one] == [
        f"Заказ №\u00a0{first.pk} (2\u00a0смарт-карты) ждёт оплаты: 950\u00a0₽."
    ]
    assert [notice.text for notice in two] == ["2\u00a0заказа смарт-карт в\u00a0работе."]
    assert panels.running(merchant, Role.CASHIER) == []
    assert panels.running(make_merchant("Чужой"), Role.OWNER) == []


# --- what the database itself refuses -------------------------------------------------------------


def refuses(constraint, row, **wrong):
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        type(row).objects.filter(pk=row.pk).update(**wrong)
    return constraint in str(caught.value)


@pytest.mark.parametrize(
    ("constraint", "wrong"),
    [
        ("order_terms_are_one", {"id": 2}),
        ("order_terms_days_in_order", {"days_to": 2}),
        ("order_terms_allow_an_order", {"orders_a_day": 0}),
    ],
)
def test_terms_of_orders_stay_possible(constraint, wrong):
    assert refuses(constraint, OrderTerms.objects.create(), **wrong)


@pytest.mark.parametrize(
    ("constraint", "wrong"),
    [
        ("seller_is_one", {"id": 2}),
        ("seller_numbers_have_their_length", {"account": "1"}),
        ("seller_numbers_have_their_length", {"inn": "77123"}),
        ("seller_vat_known", {"vat": "18"}),
        ("seller_parcel_paper_known", {"parcel_paper": "act"}),
    ],
)
def test_seller_rows_stay_readable(constraint, wrong):
    assert refuses(constraint, make_seller(), **wrong)


@pytest.mark.parametrize("quantity", [0, MAX_CARDS + 1])
def test_a_line_has_a_possible_number_of_cards(quantity):
    line = store_order(make_merchant()).lines.get()

    assert refuses("order_quantity_in_range", line, quantity=quantity)


def test_an_operator_stands_once_in_an_order():
    order = store_order(make_merchant())

    with pytest.raises(IntegrityError, match="order_operator_once"), transaction.atomic():
        OrderLine.objects.create(order=order, account=make_account(), quantity=1)


@pytest.mark.parametrize(
    ("constraint", "wrong"),
    [
        ("paper_kind_known", {"kind": "act"}),
        ("paper_number_of_its_year", {"year": 2025}),
        ("paper_number_of_its_year", {"number": 0}),
        ("paper_has_a_sum", {"total_kopecks": 0}),
        ("paper_paid_by_a_payment", {"paid_on": NOW.date()}),
        ("paper_paid_by_a_payment", {"payment_number": "1"}),
        (
            "paper_paid_by_a_payment",
            {"paid_on": NOW.date(), "payment_number": "1", "cancelled_at": NOW},
        ),
        (
            "paper_paid_by_a_payment",
            {"paid_on": NOW.date(), "payment_number": "1", "kind": "waybill"},
        ),
    ],
)
def test_fields_of_a_paper_stay_in_step(constraint, wrong):
    assert refuses(constraint, store_paper(store_order(make_merchant())), **wrong)


def test_numbers_and_valid_papers_are_unique():
    first = store_order(make_merchant())
    second = store_order(make_merchant("Другой"))
    store_paper(first)
    PaperCounter.objects.create(kind=PaperKind.INVOICE, year=2026)

    with pytest.raises(IntegrityError, match="paper_number_once"), transaction.atomic():
        store_paper(second)
    with pytest.raises(IntegrityError, match="paper_one_valid"), transaction.atomic():
        store_paper(first, number=2)
    with pytest.raises(IntegrityError, match="paper_counter_once"), transaction.atomic():
        PaperCounter.objects.create(kind=PaperKind.INVOICE, year=2026)
