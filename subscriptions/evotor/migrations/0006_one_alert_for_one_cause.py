from django.db import migrations
from django.utils.timezone import now

PREFIX = "evotor.delivery."


def _key(delivery):
    if delivery.parked_for in ("conflict", "foreign"):
        return f"evotor.{delivery.parked_for}.{delivery.user_id.upper()}"
    return f"evotor.{delivery.parked_for or 'failed'}.{delivery.hook}"


def merge(apps, schema_editor):
    """There was an alert for each delivery; now the oldest one of a cause stays open for all of them."""
    alerts = apps.get_model("cabinet", "Alert").objects.filter(closed_at=None)
    deliveries = apps.get_model("evotor", "Delivery").objects.defer("body")
    for alert in alerts.filter(key__startswith=PREFIX).order_by("pk"):
        number = alert.key.removeprefix(PREFIX)
        delivery = deliveries.filter(pk=number).first() if number.isdecimal() else None
        key = _key(delivery) if delivery else ""
        if key and not alerts.filter(key=key).exists():
            alerts.filter(pk=alert.pk).update(key=key)
        else:
            alerts.filter(pk=alert.pk).update(closed_at=now(), closed_by="сервис")


class Migration(migrations.Migration):

    dependencies = [
        ("evotor", "0005_accept_stored_events"),
        ("cabinet", "0002_alert_kind_and_target"),
    ]

    operations = [migrations.RunPython(merge, migrations.RunPython.noop)]
