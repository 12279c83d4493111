"""What migrations make of rows that are there already."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.apps.registry import Apps
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from smartcards.models import CardWithdrawal, Command, OffNotice

# Not in one transaction: indexes are made and dropped concurrently.
pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
BEFORE = ("smartcards", "0007_unnamed_since")


@pytest.fixture
def apps() -> Iterator[Apps]:
    """The models as they were before; the schema is the newest again when the test ends."""
    executor = MigrationExecutor(connection)
    executor.migrate([BEFORE])
    others = [node for node in executor.loader.graph.leaf_nodes() if node[0] != "smartcards"]
    try:
        yield executor.loader.project_state([BEFORE, *others]).apps
    finally:
        migrate()


def migrate() -> None:
    """One migration after the other: PostgreSQL alters no table with checks still to come."""
    loader = MigrationExecutor(connection).loader
    for migration, _ in MigrationExecutor(connection).migration_plan(
        loader.graph.leaf_nodes("smartcards")
    ):
        connection.check_constraints()
        MigrationExecutor(connection).migrate([(migration.app_label, migration.name)])


def make_card(apps: Apps, number: int, **fields):
    account, _ = apps.get_model("operators", "OperatorAccount").objects.get_or_create(
        code="mts", defaults={"title": "МТС", "adapter": "mts", "base_url": "https://example.com"}
    )
    return apps.get_model("smartcards", "SmartCard").objects.create(
        iccid=f"8970101{number:012}", account=account, imported_at=NOW, **fields
    )


def make_withdrawn(apps: Apps, number: int, details: dict[str, object] | None):
    author = {"wished_on": False, "wished_at": NOW, "wished_by": "Анна"}
    merchants = apps.get_model("cabinet", "Merchant").objects
    merchant, _ = merchants.get_or_create(name="ООО «Ромашка»", defaults={"created_at": NOW})
    owned = {"merchant": merchant, "handed_at": NOW, "withdrawn_because": "lost"}
    card = make_card(apps, number, withdrawn_at=NOW, **owned, **author)
    if details is not None:
        apps.get_model("cabinet", "AuditEvent").objects.create(
            at=NOW,
            target="smartcard",
            target_id=card.pk,
            action="withdrawn",
            text="Выведена из работы: потеряна",
            actor_kind="person",
            details=details,
        )
    return card


def make_subscription(apps: Apps, merchant):
    module = apps.get_model("subscriptions", "Module").objects.create(
        code="services", title="К", market_product_id=uuid4()
    )
    return apps.get_model("subscriptions", "Subscription").objects.create(
        merchant=merchant,
        module=module,
        external_id="1",
        paid_cards=1,
        created_at=NOW,
        entitled_from=NOW,
    )


def test_audit_log_of_a_withdrawal_becomes_its_row(apps):
    card = make_withdrawn(apps, 1, None)
    paid_by = make_subscription(apps, card.merchant)
    paid = make_withdrawn(apps, 2, {"wished_on": True, "subscription": paid_by.pk})
    gone = make_withdrawn(apps, 3, {"wished_on": True, "subscription": 404})

    migrate()

    rows = CardWithdrawal.objects.order_by("card")
    fields = ("card", "desired_on", "subscription", "withdrawn_at", "ended_at")
    assert list(rows.values_list(*fields)) == [
        (card.pk, False, None, NOW, None),
        (paid.pk, True, paid_by.pk, NOW, None),
        (gone.pk, True, None, NOW, None),
    ]


def test_steps_of_unknown_outcomes_become_a_time_of_the_command(apps):
    texts = {
        1: ["Ответ оператора не получен, уточняем", "Оператор так и не ответил"],
        2: ["Оператор ответил, что уже сделано: проверяем"],
    }
    for number, checks in texts.items():
        card = make_card(apps, number)
        command = apps.get_model("smartcards", "Command").objects.create(
            card=card,
            account=card.account,
            kind="activate",
            state="checking",
            origin=10,
            asked_by="Анна",
            asked_by_kind="person",
            created_at=NOW,
            due_at=NOW,
            sent_at=NOW,
        )
        steps = apps.get_model("smartcards", "CommandStep").objects
        for minute, text in enumerate(checks):
            at = NOW + timedelta(minutes=minute)
            steps.create(command=command, state="checking", at=at, text=text)

    migrate()

    known = Command.objects.order_by("card__iccid").values_list("outcome_unknown_at", flat=True)
    assert list(known) == [NOW, None]


def test_cards_that_are_off_already_make_no_messages():
    before = [("smartcards", "0021_notices_of_cards_that_went_off")]
    executor = MigrationExecutor(connection)
    executor.migrate(before)
    old = executor.loader.project_state(before).apps
    merchant = old.get_model("cabinet", "Merchant").objects.create(name="Ромашка", created_at=NOW)
    author = {"desired_at": NOW, "desired_by": "Анна"}
    owned = {"merchant": merchant, "handed_at": NOW, "desired_on": True, **author}
    off = make_card(old, 1, confirmed="inactive", off_since=NOW, **owned)
    make_card(old, 2, confirmed="active", **owned)
    make_card(old, 3, confirmed="inactive", off_since=NOW)

    migrate()

    assert list(OffNotice.objects.values_list("card_id", "merchant_id", "ended_at")) == [
        (off.pk, merchant.pk, None)
    ]
