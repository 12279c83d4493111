"""What migrations make of rows that are there already."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from cabinet.models import Alert

# Not in one transaction: indexes are made and dropped concurrently.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _newest_schema() -> Iterator[None]:
    """The schema is the newest again when the test ends."""
    yield
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def test_alert_keys_become_kind_and_target():
    before = [("cabinet", "0001_initial")]
    executor = MigrationExecutor(connection)
    executor.migrate(before)
    alerts = executor.loader.project_state(before).apps.get_model("cabinet", "Alert")
    for key in ("stuck:7", "operator:account:3:unusable", "brake", "operator:account:3:broken"):
        alerts.objects.create(key=key, text="", raised_at=NOW)

    MigrationExecutor(connection).migrate([("cabinet", "0002_alert_kind_and_target")])

    assert list(Alert.objects.order_by("key").values_list("key", "kind", "target_id")) == [
        ("account_unusable:3", "account_unusable", 3),
        ("brake", "", None),
        ("operator:account:3:broken", "", None),
        ("stuck:7", "stuck", 7),
    ]
