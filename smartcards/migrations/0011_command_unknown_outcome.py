"""What is known of a command whose outcome is unknown gets columns of its own."""

from django.db import migrations, models
from django.db.models import F


def fill(apps, schema_editor):
    """Until now the first sign was kept as the operator's code."""
    checking = apps.get_model("smartcards", "Command").objects.filter(state="checking")
    checking.filter(code="not_done").update(unchanged_at=F("sent_at"), code="")
    checking.filter(code="lost").update(not_found_at=F("sent_at"), code="")


class Migration(migrations.Migration):
    dependencies = [("smartcards", "0010_card_read_due_at")]

    operations = [
        migrations.AddField(
            model_name="command",
            name="unchanged_at",
            field=models.DateTimeField(
                blank=True, editable=False, null=True, verbose_name="прочитана в прежнем состоянии"
            ),
        ),
        migrations.AddField(
            model_name="command",
            name="not_found_at",
            field=models.DateTimeField(
                blank=True, editable=False, null=True, verbose_name="оператор не нашёл запрос"
            ),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
