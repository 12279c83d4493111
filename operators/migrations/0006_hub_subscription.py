import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("operators", "0005_unheard_calls_and_refused_keys"),
    ]

    operations = [
        migrations.CreateModel(
            name="HubSubscription",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.CharField(max_length=200, verbose_name="номер у оператора")),
                (
                    "callback",
                    models.CharField(max_length=500, verbose_name="адрес для уведомлений"),
                ),
                (
                    "base_url",
                    models.CharField(max_length=300, verbose_name="адрес API при подписке"),
                ),
                (
                    "secret_mark",
                    models.CharField(max_length=64, verbose_name="отпечаток ключа подписи"),
                ),
                ("since", models.DateTimeField(verbose_name="действует с")),
                (
                    "account",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="hub",
                        to="operators.operatoraccount",
                        verbose_name="договор",
                    ),
                ),
            ],
            options={
                "verbose_name": "подписка на уведомления",
                "verbose_name_plural": "подписки на уведомления",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("number", ""), _negated=True),
                        name="hub_subscription_has_number",
                    )
                ],
            },
        ),
    ]
