from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """Parked rows are counted on the first page of staff."""

    atomic = False

    dependencies = [("operators", "0014_exchange_forbidden_address")]

    operations = [
        AddIndexConcurrently(
            "callback",
            models.Index(fields=["received_at"], condition=Q(state="parked"), name="callback_parked"),
        ),
    ]
