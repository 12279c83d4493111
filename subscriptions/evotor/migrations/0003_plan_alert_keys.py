from django.db import migrations


def rename(apps, schema_editor):
    """Alerts about unknown tariffs were found by the note of a delivery, now by the planId."""
    alerts = apps.get_model("cabinet", "Alert").objects.filter(closed_at=None)
    parked = apps.get_model("evotor", "Delivery").objects.filter(
        parked_for="unknown_plan", subscription_event__isnull=False
    )
    for delivery in parked.select_related("subscription_event"):
        plan_id = delivery.subscription_event.payload["planId"]
        alerts.filter(key=f"evotor.{delivery.note}"[:150]).update(key=f"evotor.plan.{plan_id}")


class Migration(migrations.Migration):

    dependencies = [
        ("evotor", "0002_delivery_parked_for"),
        ("cabinet", "0002_alert_kind_and_target"),
    ]

    operations = [migrations.RunPython(rename, migrations.RunPython.noop)]
