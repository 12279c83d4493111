"""Reminders of an end, a renewal, an unconfirmed payment: each once, at its time, by what stands in the rows."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from cabinet.enums import Role
from cabinet.models import Message, Notice
from cabinet.tests.people import make_member, make_merchant, make_user
from subscriptions import reminders
from subscriptions.models import Module, Period, Subscription, Tariff
from subscriptions.states import PeriodKind
from subscriptions.tasks import remind as remind_task

pytestmark = pytest.mark.django_db

# Noon in Moscow; the paid time ends at 15:56 there.
NOON = datetime(2027, 2, 1, 9, 0, tzinfo=UTC)
END = datetime(2027, 2, 28, 12, 56, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
def merchant():
    found = make_merchant("ООО «Ромашка»")
    make_member(Role.OWNER, found, make_user("79120000001", email="anna@example.com"))
    return found


def subscribe(merchant, *, cards=2, paid_until=END, **fields) -> Subscription:
    module, _ = Module.objects.get_or_create(
        code="services",
        defaults={"title": "Кассовые сервисы", "market_product_id": "0" * 32},
    )
    tariff, _ = Tariff.objects.get_or_create(
        plan_id="month",
        defaults={"module": module, "title": "Месяц", "months": 1, "price_kopecks": 30_000},
    )
    start = END - 31 * DAY
    row = Subscription.objects.create(
        merchant=merchant,
        module=module,
        tariff=tariff,
        external_id=f"s-{Subscription.objects.count()}",
        paid_cards=cards,
        created_at=start,
        entitled_from=start,
        paid_until=paid_until,
        **fields,
    )
    Period.objects.create(
        subscription=row,
        kind=PeriodKind.PAID,
        tariff=tariff,
        cards=cards,
        starts_at=start,
        ends_at=paid_until,
    )
    return row


def sent() -> list[tuple[str, str, str]]:
    rows = Message.objects.order_by("pk").values_list("event", "channel", "subject")
    return [(event, channel, subject.replace("\xa0", " ")) for event, channel, subject in rows]


def look_hourly(since, till) -> None:
    at = since
    while at <= till:
        reminders.remind(at=at)
        at += 6 * HOUR


def test_known_end_is_near_four_times_from_calm_to_loud(merchant):
    subscribe(merchant, stop_requested_at=NOON)

    look_hourly(NOON, END + DAY)

    assert sent() == [
        ("end_near", "email", "Оплата закончится через 14 дней"),
        ("end_near", "email", "Оплата закончится через 7 дней"),
        ("end_soon", "sms", "Оплата закончится через 3 дня"),
        ("end_soon", "email", "Оплата закончится через 3 дня"),
        ("end_soon", "sms", "Оплата закончится завтра"),
        ("end_soon", "email", "Оплата закончится завтра"),
    ]


def test_text_names_cards_hour_and_what_follows(merchant, settings):
    settings.PUBLIC_URL = "https://kassy.example"
    subscribe(merchant, cards=1, entitled_until=END)

    reminders.remind(at=END - DAY)

    assert Message.objects.filter(channel="sms").get().text.replace("\xa0", " ") == (
        "ООО «Ромашка». Оплачена 1 смарт-карта до 28 февраля, 15:56 по Москве. "
        "После этого она отключится. Продлить: https://kassy.example/subscription/"
    )


def test_hour_is_that_of_the_company(merchant):
    merchant.timezone = "Asia/Yekaterinburg"
    merchant.save(update_fields=["timezone"])
    subscribe(merchant, entitled_until=END)

    reminders.remind(at=END - DAY)

    assert "до 28 февраля, 17:56 (МСК+2)" in Message.objects.first().text.replace("\xa0", " ")


def test_renewal_is_near_once_three_days_before(merchant):
    subscribe(merchant)

    look_hourly(NOON, END)

    assert sent() == [("renewal_near", "email", "Эвотор продлит подписку через 3 дня")]
    assert "Потом Эвотор спишет примерно 600 ₽" in Message.objects.get().text.replace("\xa0", " ")


def test_unconfirmed_payment_is_told_once_after_three_hours(merchant):
    subscribe(merchant)

    before = reminders.remind(at=END + 2 * HOUR)
    look_hourly(END + 3 * HOUR, END + 5 * DAY)

    assert before == 0
    assert sent() == [
        ("payment_awaited", "sms", "Эвотор ещё не подтвердил оплату"),
        ("payment_awaited", "email", "Эвотор ещё не подтвердил оплату"),
    ]


def test_after_our_own_outage_only_the_present_is_told(merchant):
    subscribe(merchant, stop_requested_at=NOON)

    reminders.remind(at=END - 2 * DAY)

    assert sent() == [
        ("end_soon", "sms", "Оплата закончится через 2 дня"),
        ("end_soon", "email", "Оплата закончится через 2 дня"),
    ]


def test_new_date_brings_reminders_of_its_own(merchant):
    row = subscribe(merchant)
    reminders.remind(at=END - 3 * DAY)
    Subscription.objects.filter(pk=row.pk).update(paid_until=END + 28 * DAY)

    reminders.remind(at=END + 25 * DAY)

    assert [event for event, _, _ in sent()] == ["renewal_near", "renewal_near"]


def test_subscription_that_is_over_or_far_is_not_told(merchant):
    subscribe(merchant, entitled_until=NOON - DAY, terminated_at=NOON - DAY)
    subscribe(merchant)

    assert reminders.remind(at=NOON) == 0


def test_looking_takes_the_same_queries_for_many(merchant, django_assert_num_queries):
    for _ in range(3):
        subscribe(merchant, stop_requested_at=NOON)
    reminders.remind(at=END - DAY)

    # Lock, subscriptions, periods, their tariffs, known keys, unlock.
    with django_assert_num_queries(6):
        reminders.remind(at=END - DAY)


def test_task_runs_twice_without_harm(merchant):
    remind_task()
    remind_task()

    assert sent() == []


@effort(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.integers(-72, 96), min_size=1, max_size=12),
    stopped=st.booleans(),
)
def test_steps_of_the_clock_repeat_no_reminder(merchant, steps, stopped):
    row = subscribe(merchant, stop_requested_at=NOON if stopped else None)
    at = END - 15 * DAY

    for hours in steps:
        at += timedelta(hours=hours)
        reminders.remind(at=at)

    # A mark of days before the date is used once, whenever it was first seen.
    marks = Notice.objects.filter(target_id=row.pk).values_list("event", flat=True)
    most = {"end_near": 2, "end_soon": 2, "renewal_near": 1, "payment_awaited": 1}
    assert {event: list(marks).count(event) for event in marks} == {
        event: min(list(marks).count(event), most[event]) for event in marks
    }
