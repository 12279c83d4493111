"""What migrations make of rows that are there already."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from operators.models import OperatorAccount

pytestmark = pytest.mark.django_db


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
