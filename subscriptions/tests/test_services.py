"""Gifts, stops, silence and clicks towards the market."""

from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command

from cabinet.actors import SYSTEM, Actor
from cabinet.enums import ActorKind
from cabinet.errors import Refused
from cabinet.models import Alert, AuditEvent, Heartbeat
from subscriptions import demo, services, tasks
from subscriptions.evotor import demo as market_demo
from subscriptions.evotor.models import Delivery
from subscriptions.models import Gift, MarketRequest, Module, StaffStop, Subscription, Tariff
from subscriptions.panels import subscriptions as panel
from subscriptions.queries import subscription_views
from subscriptions.states import SubscriptionState
from subscriptions.tests.conftest import START, merchants_to_reconcile

DAY = timedelta(days=1)
END = START + 28 * DAY
STAFF = Actor(ActorKind.STAFF, "Ольга", 7)
OWNER = Actor(ActorKind.PERSON, "Анна", 1)
pytestmark = pytest.mark.django_db


def give(row, days=5, at=START, reason="сбой у оператора"):
    return services.give_days(subscription=row, days=days, reason=reason, by=STAFF, at=at)


# Gifts


def test_gift_begins_where_what_is_paid_ends(make):
    row = make(entitled_from=START, entitled_until=END, paid_until=END)

    gift = give(row, at=START + DAY)

    row.refresh_from_db()
    assert gift.starts_at == END
    assert gift.ends_at == END + 5 * DAY
    assert row.entitled_until == gift.ends_at
    assert merchants_to_reconcile() == [row.merchant_id]


def test_gift_after_the_end_begins_now(make):
    row = make(entitled_from=START, entitled_until=START + DAY)

    give(row, at=END)

    row.refresh_from_db()
    assert row.entitled_until == END + 5 * DAY


def test_gifts_add_up_while_the_end_is_open(make):
    row = make(entitled_from=START, paid_until=END)

    first, second = give(row), give(row)

    row.refresh_from_db()
    assert first.ends_at == END + 5 * DAY
    assert second.starts_at == END + 5 * DAY
    assert row.entitled_until is None


def test_gift_to_somebody_who_never_paid_entitles(make):
    row = make()

    give(row, at=START)

    row.refresh_from_db()
    assert row.entitled_from == START
    assert row.entitled_until == START + 5 * DAY


def test_gift_is_shown_to_the_merchant_with_its_reason(make):
    give(make(entitled_from=START, entitled_until=END))

    event = AuditEvent.objects.get(action="gift")
    assert event.text.replace("\u00a0", " ") == "Подарено дней: 5, до 5 марта 2026 г."
    assert event.reason == "сбой у оператора"
    assert event.actor_name == "Ольга"


@pytest.mark.parametrize(
    ("days", "reason"), [(0, "да"), (-1, "да"), (367, "да"), (5, ""), (5, "  ")]
)
def test_gift_is_refused_without_reason_or_measure(make, days, reason):
    with pytest.raises(Refused):
        give(make(), days=days, reason=reason)

    assert Gift.objects.count() == 0


# Staff stops


def stop(row, at, reason="Эвотор не отвечает"):
    return services.stop_by_staff(subscription=row, reason=reason, by=STAFF, at=at)


def test_stop_ends_a_silent_subscription(make):
    row = make(entitled_from=START, paid_until=END)
    services.alert_silent(at=END + 9 * DAY)

    stop(row, END + 9 * DAY)

    row.refresh_from_db()
    assert row.entitled_until == END + 9 * DAY
    assert merchants_to_reconcile() == [row.merchant_id]
    assert Alert.objects.get().closed_by == "Ольга"
    assert AuditEvent.objects.get(action="stopped_by_staff").reason == "Эвотор не отвечает"


def test_stop_never_cuts_what_is_paid(make):
    row = make(entitled_from=START, paid_until=END)

    stop(row, START)

    row.refresh_from_db()
    assert row.entitled_until == END


@pytest.mark.parametrize(
    "fields", [{}, {"entitled_from": START, "entitled_until": END}], ids=["never", "ended"]
)
def test_stop_of_what_has_an_end_is_refused(make, fields):
    with pytest.raises(Refused, match="уже есть конец"):
        stop(make(**fields), START)


def test_stop_without_a_reason_is_refused(make):
    with pytest.raises(Refused, match="причину"):
        stop(make(entitled_from=START), START, reason=" ")

    assert StaffStop.objects.count() == 0


# Silence


def test_silence_is_put_before_staff_once_and_cuts_nobody(make, merchant):
    row = make(entitled_from=START, paid_until=END)
    at = END + 9 * DAY

    numbers = [services.alert_silent(at=at), services.alert_silent(at=at)]

    alert = Alert.objects.get()
    row.refresh_from_db()
    assert numbers == [1, 1]
    assert alert.seen_times == 2
    assert alert.merchant_id == merchant.pk
    assert alert.text.replace("\u00a0", " ").startswith(
        "Эвотор молчит о подписке Кассовые сервисы number-1 клиента ИП Проверкин: "
        "оплачено до 28 февраля 2026 г."
    )
    assert row.entitled_until is None
    assert merchants_to_reconcile() == []


def test_sweep_leaves_its_heartbeat(db):
    tasks.sweep()

    assert Heartbeat.objects.filter(name="subscriptions.sweep").exists()


# Towards the market


def note(merchant, module, at=START, estimate=100, kind="renew"):
    return services.note_market_request(
        merchant=merchant, module=module, kind=kind, estimate_kopecks=estimate, by=OWNER, at=at
    )


def test_second_click_is_the_same_request(merchant, module):
    first, second = note(merchant, module), note(merchant, module, START + DAY, 200)

    assert first.pk == second.pk
    assert second.asked_at == START + DAY
    assert second.estimate_kopecks == 200
    assert AuditEvent.objects.filter(target="marketrequest").count() == 1


def test_answer_closes_only_its_own_kinds_and_merchant(merchant, module):
    renew, stopping = note(merchant, module), note(merchant, module, kind="stop")

    number = services.answer_market_requests(
        merchant_id=merchant.pk,
        module=module,
        kinds=["renew"],
        occurred_at=START,
        charged_kopecks=150,
        at=END,
    )

    renew.refresh_from_db()
    stopping.refresh_from_db()
    assert number == 1
    assert renew.answered_at == END
    assert renew.charged_kopecks == 150
    assert stopping.answered_at is None
    assert note(merchant, module).pk != renew.pk
    assert MarketRequest.objects.count() == 3


# The module and the demo


def test_module_is_made_once(db, capsys):
    call_command("ensure_module")
    Module.objects.update(title="Переименован сотрудником")
    call_command("ensure_module")

    module = Module.objects.get()
    assert str(module.market_product_id) == django_settings.EVOTOR_PRODUCT_ID
    assert module.title == "Переименован сотрудником"
    assert AuditEvent.objects.filter(target="module").count() == 1


def test_ensured_module_carries_its_option(db):
    module = services.ensure_module(
        product_id="00000000-0000-4000-8000-000000000009", by=SYSTEM, at=START
    )

    assert module.code == "kassovye"
    assert module.addon_id == "smartcard"
    assert module.enabled is True


def test_demo_subscription_is_made_once_by_real_events(db):
    for _ in range(2):
        assert [*demo.seed(START), *market_demo.seed(START)] == []

    row = Subscription.objects.get()
    (view,) = subscription_views(row.merchant, START)
    assert view.state == SubscriptionState.ACTIVE
    assert view.paid_cards == 5
    assert view.row.tariff.months == 3
    assert view.row.charged_kopecks == view.estimate.total_kopecks == 405_000
    assert row.merchant.installations.get().removed_at is None
    assert list(Delivery.objects.values_list("state", flat=True)) == ["done"] * 3
    assert Tariff.objects.count() == 3


def test_panel_shows_the_merchant_subscriptions(make, merchant):
    make(entitled_from=START, paid_until=END, charged_kopecks=30_000)

    found = panel(merchant, START)

    assert found.title == "Подписки"
    assert [[str(cell).replace("\u00a0", " ") for cell in row[1:]] for row in found.rows] == [
        ["оплачена", "1 месяц", "1", "28 февраля 2026 г., 12:00", "—", "300 ₽"]
    ]
    assert all(len(row) == len(found.columns) for row in found.rows)
