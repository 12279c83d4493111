from django.db import migrations, models


class Migration(migrations.Migration):
    """Operators' events are tried again after an error, like the market's deliveries."""

    dependencies = [("operators", "0009_declarative_profiles")]

    operations = [
        migrations.RemoveConstraint(model_name="callback", name="callback_state_known"),
        migrations.RemoveIndex(model_name="callback", name="callback_waiting"),
        migrations.AddField(
            model_name="callback",
            name="attempts",
            field=models.PositiveIntegerField(default=0, verbose_name="попыток"),
        ),
        migrations.AddField(
            model_name="callback",
            name="next_try_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="следующая попытка"),
        ),
        migrations.AddField(
            model_name="callback",
            name="processed_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="обработано"),
        ),
        migrations.AddField(
            model_name="callback",
            name="parked_for",
            field=models.CharField(blank=True, max_length=30, verbose_name="причина"),
        ),
        migrations.AddField(
            model_name="callback",
            name="error",
            field=models.TextField(blank=True, verbose_name="ошибка"),
        ),
        migrations.AlterField(
            model_name="callback",
            name="note",
            field=models.CharField(blank=True, max_length=500, verbose_name="пояснение"),
        ),
        migrations.AlterField(
            model_name="callback",
            name="state",
            field=models.CharField(
                choices=[
                    ("new", "ждёт обработки"),
                    ("done", "обработано"),
                    ("parked", "отложено для сотрудника"),
                    ("failed", "ошибка обработки"),
                ],
                default="new",
                max_length=10,
                verbose_name="состояние",
            ),
        ),
        migrations.AddConstraint(
            model_name="callback",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["new", "done", "parked", "failed"])),
                name="callback_state_known",
            ),
        ),
        migrations.AddIndex(
            model_name="callback",
            index=models.Index(
                condition=models.Q(("state__in", ["new", "failed"])),
                fields=["received_at"],
                name="callback_waiting",
            ),
        ),
    ]
