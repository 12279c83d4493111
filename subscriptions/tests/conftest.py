"""A merchant with a module, tariffs and a way to make subscriptions.

pytest reads this file before the apps are loaded, so models are asked for when a fixture runs.
"""

from datetime import UTC, datetime
from functools import partial

import pytest
from django.apps import apps
from django.db import connection

START = datetime(2026, 1, 31, 9, tzinfo=UTC)


@pytest.fixture
def merchant(db):
    return apps.get_model("cabinet.Merchant").objects.create(
        evotor_user_id="01-000000000000777", name="ИП Проверкин", created_at=START
    )


@pytest.fixture
def module(db):
    return apps.get_model("subscriptions.Module").objects.create(
        code="kassovye",
        title="Кассовые сервисы",
        market_product_id="5f0c2a7e-3d1b-4c8e-9a64-1b7d2f8c9e10",
    )


@pytest.fixture
def tariff(module):
    return apps.get_model("subscriptions.Tariff").objects.create(
        module=module, plan_id="kassovye-1m", title="Месяц", months=1, price_kopecks=30_000
    )


@pytest.fixture
def make(merchant, module, tariff):
    """Makes a market subscription; its number is its external id."""

    def made(number=1, **fields):
        facts = {
            "merchant": merchant,
            "module": module,
            "tariff": tariff,
            "external_id": f"number-{number}",
            "created_at": START,
        }
        return apps.get_model("subscriptions.Subscription").objects.create(**(facts | fields))

    return made


def merchants_to_reconcile() -> list[int]:
    """Whose cards are compared with what is paid after the commit, in the order of asking."""
    wanted = [entry[1] for entry in connection.run_on_commit if isinstance(entry[1], partial)]
    return [
        function.keywords["merchant_id"]
        for function in wanted
        if function.args == ("smartcards.reconcile_merchant",)
    ]
