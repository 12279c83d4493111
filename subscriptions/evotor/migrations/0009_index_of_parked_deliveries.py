from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """Parked rows are counted on the first page of staff."""

    atomic = False

    dependencies = [("evotor", "0008_fill_charges")]

    operations = [
        AddIndexConcurrently(
            "delivery",
            models.Index(fields=["received_at"], condition=Q(state="parked"), name="delivery_parked"),
        ),
    ]
