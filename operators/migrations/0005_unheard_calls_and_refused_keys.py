from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("operators", "0004_longer_leases_and_callback_indexes"),
    ]

    operations = [
        migrations.AddField(
            model_name="operatoraccount",
            name="keys_refused_since",
            field=models.DateTimeField(
                blank=True, editable=False, null=True, verbose_name="ключи не приняты с"
            ),
        ),
        migrations.AlterField(
            model_name="exchange",
            name="seconds",
            field=models.FloatField(blank=True, null=True, verbose_name="длительность, с"),
        ),
    ]
