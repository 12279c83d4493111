"""What the database itself refuses."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from cabinet.models import Merchant
from subscriptions.models import (
    Gift,
    Installation,
    MarketRequest,
    Module,
    Period,
    StaffStop,
    Subscription,
    Tariff,
)
from subscriptions.tests.conftest import START

DAY = timedelta(days=1)


def refuses(name):
    return pytest.raises(IntegrityError, match=name)


def test_two_periods_of_one_subscription_never_overlap(make):
    row = make()
    Period.objects.create(
        subscription=row, kind="paid", cards=1, starts_at=START, ends_at=START + 2 * DAY
    )

    with refuses("period_no_overlap"), transaction.atomic():
        Period.objects.create(
            subscription=row, kind="paid", cards=1, starts_at=START + DAY, ends_at=START + 3 * DAY
        )

    Period.objects.create(
        subscription=row, kind="paid", cards=1, starts_at=START + 2 * DAY, ends_at=START + 3 * DAY
    )
    other = make(2)
    Period.objects.create(
        subscription=other, kind="paid", cards=1, starts_at=START, ends_at=START + DAY
    )
    assert Period.objects.count() == 3


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("period_not_empty", {"ends_at": START}),
        ("period_kind_known", {"kind": "gift"}),
        ("cards_check", {"cards": -1}),
    ],
)
def test_period_is_checked(make, name, fields):
    facts = {"kind": "paid", "cards": 1, "starts_at": START, "ends_at": START + DAY} | fields

    with refuses(name):
        Period.objects.create(subscription=make(), **facts)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("subscription_anchor_day", {"anchor_day": 32}),
        ("subscription_anchor_day", {"anchor_day": 0}),
        ("subscription_entitled_in_order", {"entitled_until": START}),
        (
            "subscription_entitled_in_order",
            {"entitled_from": START, "entitled_until": START - DAY},
        ),
        ("paid_cards_check", {"paid_cards": -1}),
    ],
)
def test_subscription_is_checked(make, name, fields):
    with refuses(name):
        make(**fields)


def test_external_id_is_unique(make):
    make(1)

    with refuses("subscription_once"):
        make(1)

    assert Subscription._meta.get_field("external_id").max_length == 64


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("tariff_months_known", {"months": 2}),
        ("tariff_price_positive", {"price_kopecks": 0}),
        ("plan_id", {"plan_id": "kassovye-1m"}),
        ("tariff_switch_fees_in_range", {"activation_fee_kopecks": 1_000_001}),
        ("tariff_switch_fees_in_range", {"deactivation_fee_kopecks": 1_000_001}),
        ("activation_fee_kopecks_check", {"activation_fee_kopecks": -1}),
        ("tariff_switch_days_in_range", {"min_active_days": 367}),
        ("tariff_switch_days_in_range", {"min_inactive_days": 367}),
        ("min_inactive_days_check", {"min_inactive_days": -1}),
    ],
)
def test_tariff_is_checked(module, tariff, name, fields):
    facts = {"plan_id": "new", "title": "Т", "months": 1, "price_kopecks": 1} | fields

    with refuses(name):
        Tariff.objects.create(module=module, **facts)


@pytest.mark.parametrize("terms", [(None, None), (0, 0), (1_000_000, 366)])
def test_tariff_may_leave_switch_terms_to_the_contract(module, terms):
    fee, days = terms
    facts = {
        "activation_fee_kopecks": fee,
        "deactivation_fee_kopecks": fee,
        "min_active_days": days,
        "min_inactive_days": days,
    }

    Tariff.objects.create(
        module=module, plan_id="new", title="Т", months=1, price_kopecks=1, **facts
    )

    assert Tariff.objects.values(*facts).get() == facts


@pytest.mark.parametrize(
    ("name", "fields"),
    [("gift_not_empty", {"ends_at": START}), ("gift_has_reason", {"reason": ""})],
)
def test_gift_is_checked(make, name, fields):
    facts = {"starts_at": START, "ends_at": START + DAY, "days": 1, "reason": "да"} | fields

    with refuses(name):
        Gift.objects.create(subscription=make(), given_by="Ольга", given_at=START, **facts)


def stop(row, reason="да"):
    return StaffStop.objects.create(
        subscription=row, ends_at=START, reason=reason, decided_by="Ольга", decided_at=START
    )


def test_staff_stop_has_a_reason(make):
    with refuses("staff_stop_has_reason"):
        stop(make(), reason="")


def test_one_staff_stop_is_open_at_a_time(make):
    row = make()
    stop(row)

    with refuses("staff_stop_open_once"):
        stop(row)


def test_module_is_installed_once_at_a_time(merchant, module):
    Installation.objects.create(merchant=merchant, module=module, installed_at=START)

    with refuses("installation_open_once"):
        Installation.objects.create(merchant=merchant, module=module, installed_at=START + DAY)


def test_removal_is_not_before_the_install(merchant, module):
    with refuses("installation_ends_after_start"):
        Installation.objects.create(
            merchant=merchant, module=module, installed_at=START, removed_at=START - DAY
        )


def ask(merchant, module, kind="renew"):
    return MarketRequest.objects.create(
        merchant=merchant, module=module, kind=kind, asked_by="Анна", asked_at=START
    )


def test_one_request_of_a_kind_is_open_at_a_time(merchant, module):
    ask(merchant, module)
    ask(merchant, module, "stop")

    with refuses("market_request_open_once"):
        ask(merchant, module)


@pytest.mark.parametrize("field", ["code", "market_product_id"])
def test_module_is_known_once(module, field):
    facts = {"code": "other", "market_product_id": "00000000-0000-4000-8000-000000000001"}

    with refuses(field):
        Module.objects.create(title="М", **(facts | {field: getattr(module, field)}))


def test_secrets_of_a_module_lie_encrypted(module):
    module.app_tokens, module.basic_auth = "первый\nвторой", "логин:пароль"
    module.save()

    with connection.cursor() as cursor:
        cursor.execute("SELECT app_tokens, basic_auth FROM subscriptions_module")
        stored = str(cursor.fetchall())

    assert "первый" not in stored
    assert "пароль" not in stored
    assert Module.objects.get().app_tokens == "первый\nвторой"


def test_merchant_keeps_its_history_of_the_market(make, merchant):
    make()

    assert [row.external_id for row in Subscription.objects.of(merchant)] == ["number-1"]
    assert list(Subscription.objects.of(Merchant(pk=0))) == []
