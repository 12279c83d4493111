from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import AddIndexConcurrently, TrigramExtension
from django.db import migrations, models
from django.db.models import F, Q


class Migration(migrations.Migration):
    """Staff search for cards by a part of the ICCID: an index of its groups of three digits. And what they look
    at in «Расхождения», by an index that holds only these few rows.

    `pg_trgm` is a trusted extension: the owner of the database may create it.
    """

    atomic = False

    dependencies = [("smartcards", "0014_label_in_normal_form")]

    operations = [
        TrigramExtension(),
        # With a million cards an index takes longer than a page may.
        migrations.RunSQL("SET statement_timeout = 0", migrations.RunSQL.noop),
        AddIndexConcurrently(
            "smartcard",
            GinIndex(fields=["iccid"], opclasses=["gin_trgm_ops"], name="card_iccid_trigrams"),
        ),
        AddIndexConcurrently(
            "smartcard",
            models.Index(
                fields=["account"],
                condition=Q(confirmed__in=["held", "retired"])
                | Q(confirmed="inactive", block_reason__in=["debt", "fraud", "stolen", "operator", "law", "limit", "imei"])
                | Q(lost_to_operator_at__isnull=False)
                | (~Q(seen_msisdn="") & ~Q(seen_msisdn=F("msisdn"))),
                name="card_differs",
            ),
        ),
        migrations.RunSQL("RESET statement_timeout", migrations.RunSQL.noop),
    ]
