"""Names that came before in decomposed letters («й» of two characters) are found by a search from now on."""

from django.db import migrations

_FIELDS = {
    "cabinet_merchant": ("name", "address"),
    "cabinet_shop": ("name", "address"),
    "cabinet_terminal": ("name",),
    "cabinet_user": ("name",),
}


class Migration(migrations.Migration):
    dependencies = [
        ("cabinet", "0009_submitted_form"),
    ]

    operations = [
        migrations.RunSQL(
            f"UPDATE {table} SET {field} = normalize({field}, NFC) WHERE {field} IS NOT NFC NORMALIZED",
            migrations.RunSQL.noop,
        )
        for table, fields in _FIELDS.items()
        for field in fields
    ]
