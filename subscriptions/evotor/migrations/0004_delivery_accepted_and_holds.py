from django.db import migrations, models
from django.db.models.functions import Upper


class Migration(migrations.Migration):

    dependencies = [("evotor", "0003_plan_alert_keys")]

    operations = [
        migrations.AddField(
            model_name="delivery",
            name="accepted_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="принято сотрудником"),
        ),
        migrations.AddField(
            model_name="delivery",
            name="holds_until",
            field=models.DateTimeField(blank=True, null=True, verbose_name="не отключать до"),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                Upper("user_id"),
                condition=models.Q(parked_for="unproved"),
                name="delivery_unproved",
            ),
        ),
    ]
