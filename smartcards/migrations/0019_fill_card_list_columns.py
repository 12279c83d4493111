"""The cards that were there before: by their trigger, a thousand a transaction; stopped in between, it goes on."""

from django.db import migrations

_BATCH = 1000
_FILL = """
UPDATE smartcards_smartcard SET list_key = '' WHERE id IN (
    SELECT id FROM smartcards_smartcard WHERE list_key = '' ORDER BY id LIMIT %s FOR NO KEY UPDATE
)
"""


def fill(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        while True:
            cursor.execute(_FILL, [_BATCH])
            if not cursor.rowcount:
                return


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("smartcards", "0018_index_of_card_list")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
