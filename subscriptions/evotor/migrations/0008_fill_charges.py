from datetime import timedelta

from django.db import migrations

from subscriptions.evotor.fold import fold
from subscriptions.evotor.schemas import parse_subscription_event

CLOCKS_APART = timedelta(minutes=10)
# Steps of a merchant that may lead to a charge.
STEPS = ("install", "renew", "resume", "change")


def fill(apps, schema_editor):
    """What was charged so far, from the stored events; again it changes nothing."""
    rows = apps.get_model("subscriptions", "Subscription").objects.filter(charges=None)
    for row in rows.select_related("module").order_by("pk").iterator(chunk_size=500):
        for charge in _charges(apps, row):
            charge.request_id = _step_before(apps, charge)
            charge.save()


def _charges(apps, row):
    """Not saved rows. The fold is the product's own: it is pure and tells the same of the same events."""
    events = apps.get_model("evotor", "SubscriptionEvent").objects.filter(
        subscription_id=row.external_id, conflict=False
    )
    gaps = apps.get_model("evotor", "GapDecision").objects.filter(subscription_id=row.external_id)
    state = fold(
        [parse_subscription_event(one.payload) for one in events.order_by("sequence_number")],
        addon_id=row.module.addon_id,
        gaps_accepted_up_to=gaps.values_list("up_to_number", flat=True).first() or 0,
    )
    tariffs = apps.get_model("subscriptions", "Tariff").objects.filter(module=row.module)
    known = dict(tariffs.values_list("plan_id", "pk"))
    charge = apps.get_model("subscriptions", "Charge")
    return [
        charge(
            subscription=row,
            number=one.number,
            kind=one.kind,
            charged_at=one.at,
            kopecks=one.kopecks,
            tariff_id=known.get(one.terms.plan_id),
            cards=one.terms.cards,
            tariff_before_id=known.get(one.before.plan_id),
            cards_before=one.before.cards,
            period_starts_at=one.period_starts_at,
            starts_at=one.starts_at,
            ends_at=one.ends_at,
        )
        for one in state.charges
    ]


def _step_before(apps, charge):
    """The merchant's latest step within three days before the charge that has led to no other."""
    steps = apps.get_model("subscriptions", "MarketRequest").objects.filter(
        merchant_id=charge.subscription.merchant_id,
        module_id=charge.subscription.module_id,
        kind__in=STEPS,
        answered_at__isnull=False,
        asked_at__gt=charge.charged_at - timedelta(days=3),
        asked_at__lte=charge.charged_at + CLOCKS_APART,
        charges=None,
    )
    return steps.order_by("-asked_at", "-pk").values_list("pk", flat=True).first()


class Migration(migrations.Migration):

    dependencies = [
        ("evotor", "0007_entry_ticket_used_by"),
        ("subscriptions", "0005_charge"),
    ]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
