"""What migrations make of rows that are there already."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from cabinet.models import Alert
from operators.models import OperatorAccount

# Not in one transaction: indexes are made and dropped concurrently.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _newest_schema() -> Iterator[None]:
    """The schema is the newest again when the test ends."""
    yield
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def test_short_lease_becomes_the_shortest_that_is_allowed():
    before = [("operators", "0003_exchange_by_command")]
    executor = MigrationExecutor(connection)
    executor.migrate(before)
    accounts = executor.loader.project_state(before).apps.get_model("operators", "OperatorAccount")
    for code, lease in (("short", 21), ("enough", 40), ("long", 60)):
        accounts.objects.create(
            code=code,
            title=code,
            adapter="mts",
            base_url="https://api.example.com",
            timeout_seconds=20,
            lease_seconds=lease,
        )

    after = [("operators", "0004_longer_leases_and_callback_indexes")]
    MigrationExecutor(connection).migrate(after)

    assert dict(OperatorAccount.objects.values_list("code", "lease_seconds")) == {
        "short": 40,
        "enough": 40,
        "long": 60,
    }


def test_alerts_about_outdated_subscriptions_are_closed_with_their_table():
    before = [("operators", "0007_failing_switches")]
    MigrationExecutor(connection).migrate(before)
    for key in ("operator:account:7:hub", "operator:account:7:broken"):
        Alert.objects.create(key=key, text="?", raised_at=datetime(2026, 11, 22, tzinfo=UTC))

    MigrationExecutor(connection).migrate([("operators", "0008_delete_hub_subscription")])

    open_alerts = Alert.objects.filter(closed_at=None).values_list("key", flat=True)
    assert list(open_alerts) == ["operator:account:7:broken"]
    assert "operators_hubsubscription" not in connection.introspection.table_names()
