from django.db import migrations
from django.db.models import F


def accept(apps, schema_editor):
    """What a user's token brought before only the application was believed stays in force."""
    deliveries = apps.get_model("evotor", "Delivery").objects.filter(
        hook__in=["subscription/event", "installation/event"], accepted_at=None
    )
    deliveries.exclude(authorized_as="приложение").update(accepted_at=F("received_at"))


class Migration(migrations.Migration):

    dependencies = [
        ("evotor", "0004_delivery_accepted_and_holds"),
    ]

    operations = [migrations.RunPython(accept, migrations.RunPython.noop)]
