"""Labels that came before in decomposed letters are found by a search from now on."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("smartcards", "0013_word_of_an_unknown_state"),
    ]

    operations = [
        migrations.RunSQL(
            "UPDATE smartcards_smartcard SET label = normalize(label, NFC) WHERE label IS NOT NFC NORMALIZED",
            migrations.RunSQL.noop,
        )
    ]
