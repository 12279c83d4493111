from django.db import migrations, models


class Migration(migrations.Migration):
    """Every subscription is the market's: its `source` goes, and `external_id` is unique by itself."""

    dependencies = [("subscriptions", "0002_tariff_switch_terms")]

    operations = [
        migrations.RemoveConstraint(model_name="subscription", name="subscription_source_known"),
        migrations.RemoveConstraint(model_name="subscription", name="subscription_once"),
        migrations.RemoveField(model_name="subscription", name="source"),
        migrations.AlterField(
            model_name="subscription",
            name="external_id",
            field=models.CharField(max_length=64, verbose_name="номер в Эвотор"),
        ),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.UniqueConstraint(fields=("external_id",), name="subscription_once"),
        ),
    ]
