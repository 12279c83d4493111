from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q

# Nobody gets messages about cards that went off before there were any.
FILL = """
INSERT INTO smartcards_offnotice (card_id, merchant_id, made_at)
SELECT card.id, card.merchant_id, now()
  FROM smartcards_smartcard AS card
 WHERE card.confirmed IN ('inactive', 'held', 'retired')
   AND card.wished_on AND card.off_since IS NOT NULL
   AND card.withdrawn_at IS NULL AND card.merchant_id IS NOT NULL
ON CONFLICT DO NOTHING
"""


class Migration(migrations.Migration):
    """An index of cards that went off, and no messages about what is off already."""

    atomic = False

    dependencies = [("smartcards", "0021_notices_of_cards_that_went_off")]

    operations = [
        AddIndexConcurrently(
            "smartcard",
            models.Index(
                fields=["merchant"],
                condition=Q(
                    confirmed__in=["inactive", "held", "retired"],
                    desired_on=True,
                    off_since__isnull=False,
                ),
                name="card_fell_silent",
            ),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
