"""When a card is to be read next gets a column of its own."""

from datetime import timedelta

from django.db import migrations, models
from django.db.models import F


def fill(apps, schema_editor):
    """Cards that were read before are due a day after that, as they were."""
    cards = apps.get_model("smartcards", "SmartCard").objects
    cards.filter(read_at__isnull=False).update(read_due_at=F("read_at") + timedelta(hours=24))


class Migration(migrations.Migration):
    dependencies = [("smartcards", "0009_desired_state_names")]

    operations = [
        migrations.AddField(
            model_name="smartcard",
            name="read_due_at",
            field=models.DateTimeField(
                blank=True, editable=False, null=True, verbose_name="прочитать не раньше"
            ),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
