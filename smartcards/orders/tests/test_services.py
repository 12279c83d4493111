"""Orders move by the services only; what the database itself refuses."""

import threading
import time
import uuid
from datetime import timedelta
from typing import NamedTuple

import pytest
from cryptography.fernet import Fernet
from django.db import IntegrityError, connection, transaction

from cabinet.models import AuditEvent
from smartcards.models import SmartCard
from smartcards.orders import queries, rules, services
from smartcards.orders.models import Order, PackedCard
from smartcards.orders.rules import CannotPack, OrderRefused
from smartcards.orders.services import OrderDetails
from smartcards.orders.states import MAX_CARDS, ORDER_TRANSITIONS, OrderState
from smartcards.orders.tests.orders import DETAILS, NOW, delivered, packed, place, shipped, stocked
from smartcards.rules import CardRefused
from smartcards.states import OperatorState
from smartcards.tests.cards import OWNER, STAFF, make_account, make_card, make_merchant

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(hours=1)


class Entry(NamedTuple):
    action: str
    text: str
    reason: str
    actor: str


def journal(order):
    events = AuditEvent.objects.filter(target="order", target_id=order.pk).order_by("pk")
    return [Entry(event.action, event.text, event.reason, event.actor_name) for event in events]


def iccids(cards):
    return [card.iccid for card in cards]


def pack(order, cards):
    return services.pack_order(order=order, iccids=iccids(cards), by=STAFF, at=LATER)


# Placing


def test_an_order_keeps_what_was_asked_for():
    merchant = make_merchant()

    order = place(merchant)

    order.refresh_from_db()
    assert order.merchant == merchant
    assert [(line.account, line.quantity, line.price_kopecks) for line in order.lines.all()] == [
        (make_account(), 2, 0)
    ]
    assert OrderDetails.of(order) == DETAILS
    assert queries.invoice_of(order) is None
    assert order.state == "accepted"
    assert order.created_at == NOW
    assert order.created_by == OWNER.name
    assert journal(order) == [
        Entry("order_placed", "Заказ принят: 2\u00a0смарт-карты, МТС", "", OWNER.name)
    ]


def test_the_same_form_twice_is_one_order():
    merchant, key = make_merchant(), uuid.uuid4()

    first, second = place(merchant, key=key), place(merchant, key=key)

    assert first == second
    assert Order.objects.count() == 1
    assert len(journal(first)) == 1


def test_same_form_with_other_contents_is_refused():
    merchant, key = make_merchant(), uuid.uuid4()
    first = place(merchant, key=key)

    with pytest.raises(OrderRefused) as caught:
        place(merchant, key=key, quantity=5)

    assert caught.value.sentence == (
        f"По этой форме уже оформлен заказ № {first.pk} с другими данными. Начните новый заказ."
    )
    assert Order.objects.get().lines.get().quantity == 2


def test_the_form_of_another_merchant_gives_nothing_away():
    key = uuid.uuid4()
    place(make_merchant("Первый"), key=key)

    with pytest.raises(OrderRefused) as caught:
        place(make_merchant("Второй"), key=key)

    assert caught.value.sentence == "Форма устарела. Начните новый заказ."


def test_repeated_form_returns_order_though_operator_is_disabled():
    merchant, key = make_merchant(), uuid.uuid4()
    first = place(merchant, key=key)
    account = make_account(enabled=False)

    again = place(merchant, wanted={account: 2}, key=key, at=LATER)

    assert again == first


@pytest.mark.parametrize("quantity", [0, -1, MAX_CARDS + 1])
def test_a_quantity_out_of_range_is_refused(quantity):
    with pytest.raises(OrderRefused) as caught:
        place(make_merchant(), quantity=quantity)

    assert caught.value.sentence == "Можно заказать от 1 до 500 смарт-карт."


def test_cards_of_disabled_operator_cannot_be_ordered():
    account = make_account(enabled=False)

    with pytest.raises(OrderRefused):
        place(make_merchant(), wanted={account: 2})

    assert not Order.objects.exists()


# The way of an order


def test_delivered_order_assigns_its_cards_to_the_merchant():
    merchant = make_merchant()
    order, cards = place(merchant), stocked(2)

    pack(order, cards)
    services.ship_order(order=order, carrier="cdek", track_number=" 800845 ", by=STAFF, at=LATER)
    services.deliver_order(order=order, by=STAFF, at=LATER + timedelta(days=3))

    order.refresh_from_db()
    assert order.state == "delivered"
    assert order.track_number == "800845"
    assert order.packed_at == LATER
    assert order.shipped_at == LATER
    assert order.delivered_at == LATER + timedelta(days=3)
    handed = SmartCard.objects.filter(merchant=merchant).order_by("pk")
    assert [(card, card.confirmed, card.handed_at) for card in handed] == [
        (card, "new", LATER + timedelta(days=3)) for card in cards
    ]
    assert [event[:2] for event in journal(order)] == [
        ("order_placed", "Заказ принят: 2\u00a0смарт-карты, МТС"),
        ("order_packed", "Заказ собран: 2\u00a0смарт-карты"),
        ("order_shipped", "Заказ отправлен: СДЭК, трек-номер 800845"),
        ("order_delivered", "Заказ доставлен: 2\u00a0смарт-карты"),
    ]


STEPS = {
    OrderState.PACKED: lambda order: pack(order, stocked(2)),
    OrderState.SHIPPED: lambda order: services.ship_order(
        order=order, carrier="cdek", track_number="1", by=STAFF, at=LATER
    ),
    OrderState.DELIVERED: lambda order: services.deliver_order(order=order, by=STAFF, at=LATER),
    OrderState.ACCEPTED: lambda order: services.unpack_order(
        order=order, reason="не те", by=STAFF, at=LATER
    ),
    OrderState.CANCELLED: lambda order: services.cancel_order(order=order, by=OWNER, at=LATER),
}


def cancelled(merchant):
    return services.cancel_order(order=place(merchant), by=OWNER, at=NOW)


MADE = {
    OrderState.ACCEPTED: place,
    OrderState.PACKED: packed,
    OrderState.SHIPPED: shipped,
    OrderState.DELIVERED: delivered,
    OrderState.CANCELLED: cancelled,
}


@pytest.mark.parametrize("state", OrderState)
@pytest.mark.parametrize("to", OrderState)
def test_only_the_steps_of_the_table_are_taken(state, to):
    order = MADE[state](make_merchant())
    before = Order.objects.filter(pk=order.pk).values().get()

    if to in ORDER_TRANSITIONS[state]:
        STEPS[to](order)

        assert Order.objects.get(pk=order.pk).state == to
        assert rules.can_move(state=state, to=to)
    else:
        with pytest.raises(OrderRefused) as caught:
            STEPS[to](order)

        assert caught.value.sentence.startswith("Заказ уже ")
        assert Order.objects.filter(pk=order.pk).values().get() == before


@pytest.mark.parametrize("state", OrderState)
def test_what_can_be_cancelled_is_one_rule(state):
    can_cancel = rules.can_move(state=state, to=OrderState.CANCELLED)

    assert can_cancel == (state == OrderState.ACCEPTED)


def test_step_is_decided_by_the_locked_row():
    order = place(make_merchant())
    seen_before = Order.objects.get(pk=order.pk)
    pack(order, stocked(2))

    with pytest.raises(OrderRefused) as caught:
        services.cancel_order(order=seen_before, by=OWNER, at=LATER)

    assert caught.value.sentence == "Заказ уже собран, отменить его нельзя."


def test_cancelled_order_shows_who_and_why():
    order = place(make_merchant())

    services.cancel_order(order=order, by=STAFF, at=LATER, reason=" нет таких карт ")

    assert journal(order)[-1] == Entry(
        "order_cancelled", "Заказ отменён", "нет таких карт", STAFF.name
    )
    assert Order.objects.get().cancelled_at == LATER


def test_an_unpacked_order_gives_its_cards_back_to_stock():
    order = packed(make_merchant())
    cards = queries.packed_cards(order)

    services.unpack_order(order=order, reason="перепутаны", by=STAFF, at=LATER)

    assert list(queries.stock_of(make_account())) == cards
    assert Order.objects.get().state == "accepted"
    assert Order.objects.get().packed_at is None
    assert journal(order)[-1].reason == "перепутаны"


@pytest.mark.parametrize("reason", ["", "  "])
def test_nothing_is_unpacked_without_a_reason(reason):
    order = packed(make_merchant())

    with pytest.raises(OrderRefused):
        services.unpack_order(order=order, reason=reason, by=STAFF, at=LATER)

    assert PackedCard.objects.count() == 2


@pytest.mark.parametrize("track_number", ["", "  ", "1" * 61])
def test_nothing_is_shipped_without_a_track_number(track_number):
    order = packed(make_merchant())

    with pytest.raises(OrderRefused):
        services.ship_order(
            order=order, carrier="cdek", track_number=track_number, by=STAFF, at=LATER
        )

    assert Order.objects.get().state == "packed"


def test_a_clock_put_back_does_not_stop_a_delivery():
    order = shipped(make_merchant())

    services.deliver_order(order=order, by=STAFF, at=NOW - timedelta(hours=1))

    assert Order.objects.get().delivered_at == NOW


def test_nothing_is_delivered_where_a_card_has_left_the_stock():
    order = shipped(make_merchant())
    card = queries.packed_cards(order)[0]
    SmartCard.objects.filter(pk=card.pk).update(merchant=make_merchant("Другой"), handed_at=NOW)

    with pytest.raises(CardRefused):
        services.deliver_order(order=order, by=STAFF, at=LATER)

    assert Order.objects.get().state == "shipped"
    assert SmartCard.objects.filter(merchant=order.merchant).count() == 0


# Packing


def test_each_unpackable_card_is_named_with_its_reason():
    merchant = make_merchant()
    order = place(merchant)
    other = packed(merchant, quantity=1)
    good = make_card(account=make_account())
    foreign = make_card(account=make_account("beeline", title="Билайн"))
    sold = make_card(merchant, account=make_account())
    working = make_card(account=make_account(), confirmed=OperatorState.ACTIVE)
    taken = queries.packed_cards(other)[0]

    with pytest.raises(CannotPack) as caught:
        pack(order, [good, foreign, sold, working, taken, SmartCard(iccid="89701010000000000")])

    assert caught.value.problems == {
        foreign.iccid: "Смарт-карта другого оператора: Билайн.",
        sold.iccid: "Смарт-карта уже у клиента.",
        working.iccid: "Смарт-карта не новая: по данным оператора она «работает».",
        taken.iccid: f"Смарт-карта уже собрана для заказа № {other.pk}.",
        "89701010000000000": "Такой смарт-карты нет на складе.",
    }
    assert Order.objects.get(pk=order.pk).state == "accepted"
    assert not PackedCard.objects.filter(order=order).exists()


@pytest.mark.parametrize(
    ("chosen", "number"),
    [(1, "1"), (3, "3"), (0, "0")],
)
def test_exactly_as_many_cards_are_packed_as_were_ordered(chosen, number):
    order = place(make_merchant())

    with pytest.raises(CannotPack) as caught:
        pack(order, stocked(chosen))

    assert caught.value.sentence == f"МТС: в заказе 2\u00a0смарт-карты, выбрано: {number}."


def test_one_card_typed_twice_is_one_card():
    order = place(make_merchant())
    (card,) = stocked(1)

    with pytest.raises(CannotPack):
        pack(order, [card, card])


def test_the_stock_offers_new_cards_of_the_operator_only():
    account = make_account()
    free = stocked(2)
    packed(make_merchant())
    make_card(make_merchant("Чужой"), account=account)
    make_card(account=account, confirmed=OperatorState.RETIRED)
    make_card(account=make_account("beeline", title="Билайн"))

    assert list(queries.stock_of(account)) == free


def _at_once(*jobs):
    """Run the jobs in threads that begin together; what each gave or raised."""
    gate = threading.Barrier(len(jobs))
    outcomes = []

    def run(job):
        try:
            gate.wait(10)
            outcomes.append(job())
        except (OrderRefused, CannotPack) as refusal:
            outcomes.append(refusal)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return outcomes


@pytest.mark.django_db(transaction=True)
def test_two_staff_pack_the_last_card_and_one_gets_it():
    orders = [place(make_merchant(), quantity=1), place(make_merchant(), quantity=1)]
    (card,) = stocked(1)

    outcomes = _at_once(*(lambda order=order: pack(order, [card]) for order in orders))

    winners = [outcome for outcome in outcomes if isinstance(outcome, Order)]
    losers = [outcome for outcome in outcomes if isinstance(outcome, CannotPack)]
    assert len(winners) == 1
    assert len(losers) == 1
    assert losers[0].problems == {
        card.iccid: f"Смарт-карта уже собрана для заказа № {winners[0].pk}.",
    }
    assert sorted(Order.objects.values_list("state", flat=True)) == ["accepted", "packed"]


@pytest.mark.django_db(transaction=True)
def test_concurrent_click_returns_order_of_the_first():
    merchant, key = make_merchant(), uuid.uuid4()
    make_account()
    outcomes = []

    def second():
        try:
            outcomes.append(place(merchant, key=key))
        finally:
            connection.close()

    with transaction.atomic():
        first = place(merchant, key=key)
        clicking = threading.Thread(target=second)
        clicking.start()
        _wait_for_somebody_blocked()
    clicking.join(30)

    assert outcomes == [first]
    assert Order.objects.count() == 1
    assert AuditEvent.objects.filter(action="order_placed").count() == 1


def _wait_for_somebody_blocked():
    """Until another connection of this database waits for a lock."""
    blocked = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    ends_at = time.monotonic() + 10
    with connection.cursor() as cursor:
        cursor.execute(blocked)
        while not cursor.fetchone()[0]:
            assert time.monotonic() < ends_at
            time.sleep(0.01)
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(blocked)


@pytest.mark.django_db(transaction=True)
def test_a_double_click_is_one_order():
    merchant, key = make_merchant(), uuid.uuid4()
    make_account()

    outcomes = _at_once(*[lambda: place(merchant, key=key)] * 4)

    assert set(outcomes) == {Order.objects.get()}
    assert AuditEvent.objects.filter(action="order_placed").count() == 1


@pytest.mark.django_db(transaction=True)
def test_concurrent_packing_and_cancelling_end_in_one_outcome():
    order, cards = place(make_merchant()), stocked(2)

    outcomes = _at_once(
        lambda: pack(order, cards),
        lambda: services.cancel_order(order=order, by=OWNER, at=LATER),
    )

    refused = [outcome for outcome in outcomes if isinstance(outcome, OrderRefused)]
    state = Order.objects.get().state
    assert len(refused) == 1
    assert state in {"packed", "cancelled"}
    assert PackedCard.objects.count() == (2 if state == "packed" else 0)


# What the database itself refuses

WRONG = [
    ("order_state_known", place, {"state": "lost"}),
    ("order_carrier_known", place, {"carrier": "pigeon"}),
    ("order_shipped_has_track", shipped, {"track_number": ""}),
    ("order_shipped_has_track", shipped, {"shipped_at": None}),
    ("order_delivered_at", delivered, {"delivered_at": None}),
    ("order_delivered_at", shipped, {"delivered_at": LATER}),
    ("order_cancelled_at", cancelled, {"cancelled_at": None}),
    ("order_cancelled_at", place, {"cancelled_at": LATER}),
    ("order_delivered_after_shipped", delivered, {"delivered_at": NOW - timedelta(seconds=1)}),
]


@pytest.mark.parametrize(("constraint", "made", "wrong"), WRONG)
def test_the_database_keeps_fields_in_step(constraint, made, wrong):
    order = made(make_merchant())

    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        Order.objects.filter(pk=order.pk).update(**wrong)

    assert constraint in str(caught.value)


def test_the_database_lets_a_card_be_packed_once():
    card = queries.packed_cards(packed(make_merchant(), quantity=1))[0]
    other = place(make_merchant())

    with pytest.raises(IntegrityError), transaction.atomic():
        PackedCard.objects.create(order=other, card=card)


def test_details_with_another_comment_are_other_contents():
    merchant, key = make_merchant(), uuid.uuid4()
    place(merchant, key=key)

    with pytest.raises(OrderRefused):
        place(merchant, key=key, comment="другое", at=LATER)


# --- who is on offer -----------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("adapter", "credentials", "offered"),
    [
        ("mts", {"key": "k", "secret": "s"}, True),
        ("mts", {"key": "k", "secret": ""}, False),
        ("mts", {}, False),
        ("tmf640", {"token": "t"}, True),
        ("tmf640", {"token_url": "https://api.example.com/token"}, False),
        ("declared", {}, True),
        ("gone", {"key": "k", "secret": "s"}, False),
    ],
)
def test_contract_without_keys_is_not_offered(adapter, credentials, offered):
    account = make_account("one", adapter=adapter, credentials=credentials)

    assert list(queries.operators_on_offer()) == ([account] if offered else [])


@pytest.mark.django_db
def test_contract_with_unreadable_keys_is_not_offered(settings):
    make_account("lost")
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]
    readable = make_account("new", title="Новый")

    assert list(queries.operators_on_offer()) == [readable]
