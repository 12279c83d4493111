from django.db import migrations
from django.db.models import Max, OuterRef, Subquery


def fill(apps, schema_editor):
    """The last given day of each subscription; again it changes nothing."""
    gifts = apps.get_model("subscriptions", "Gift").objects.filter(subscription=OuterRef("pk"))
    last = gifts.order_by().values("subscription").annotate(last=Max("ends_at")).values("last")
    rows = apps.get_model("subscriptions", "Subscription").objects.filter(gifts__isnull=False)
    rows.update(gifts_until=Subquery(last))


class Migration(migrations.Migration):

    dependencies = [("subscriptions", "0007_subscription_gifts_until")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
