from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """What ended lately is found by its time."""

    atomic = False

    dependencies = [("subscriptions", "0003_only_the_market")]

    operations = [
        AddIndexConcurrently("period", models.Index(fields=["ends_at"], name="period_by_end")),
    ]
