from django.db import migrations, models

# How the notes of parked deliveries begin, to the code of what they wait for.
CODES = {
    "Неизвестный клиент": "unknown_user",
    "Неизвестный модуль": "unknown_product",
    "Неизвестный тариф": "unknown_plan",
    "Неизвестный тип события": "unknown_type",
    "Непонятное содержание": "bad_form",
    "Чужая подписка": "foreign",
    "Спорит с уже полученным событием": "conflict",
}


def fill(apps, schema_editor):
    deliveries = apps.get_model("evotor", "Delivery").objects.filter(state="parked")
    for beginning, code in CODES.items():
        deliveries.filter(note__startswith=beginning).update(parked_for=code)


class Migration(migrations.Migration):

    dependencies = [("evotor", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="delivery",
            name="parked_for",
            field=models.CharField(blank=True, max_length=30, verbose_name="причина"),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
