from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """A page of the list reads its own cards only, however many there are before it."""

    atomic = False

    dependencies = [("smartcards", "0017_card_list_columns")]

    operations = [
        # With a million cards an index takes longer than a page may.
        migrations.RunSQL("SET statement_timeout = 0", migrations.RunSQL.noop),
        AddIndexConcurrently(
            "smartcard",
            models.Index(fields=["merchant", "list_key", "id"], name="card_list_order"),
        ),
        migrations.RunSQL("RESET statement_timeout", migrations.RunSQL.noop),
    ]
