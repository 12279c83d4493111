from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """What reconciliation and the brake look for, by indexes that hold only these few rows."""

    atomic = False

    dependencies = [("smartcards", "0011_command_unknown_outcome")]

    operations = [
        AddIndexConcurrently(
            "smartcard",
            models.Index(
                fields=["merchant"],
                condition=Q(confirmed__in=["active", "unknown"], desired_on=False),
                name="card_on_though_unwanted",
            ),
        ),
        AddIndexConcurrently(
            "smartcard",
            models.Index(
                fields=["merchant"],
                condition=Q(confirmed__in=["inactive", "new", "unknown"], desired_on=True),
                name="card_off_though_wanted",
            ),
        ),
        AddIndexConcurrently(
            "coverage",
            models.Index(fields=["till"], condition=Q(till__isnull=False), name="coverage_by_end"),
        ),
        AddIndexConcurrently(
            "command",
            models.Index(
                fields=["account", "sent_at"],
                condition=Q(kind="deactivate", origin=30),
                name="command_automatic_off",
            ),
        ),
    ]
