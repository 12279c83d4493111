from django.db import migrations
from django.utils import timezone


def close_alerts(apps, schema_editor):
    """Their page is gone; nobody can press «Подписаться» any more."""
    alerts = apps.get_model("cabinet", "Alert").objects
    outdated = alerts.filter(key__regex=r"^operator:account:[0-9]+:hub$", closed_at=None)
    outdated.update(closed_at=timezone.now(), closed_by="сервис")


class Migration(migrations.Migration):
    dependencies = [
        ("operators", "0007_failing_switches"),
        ("cabinet", "0001_initial"),
    ]

    operations = [
        migrations.RunPython(close_alerts, migrations.RunPython.noop, elidable=True),
        migrations.DeleteModel(name="HubSubscription"),
    ]
