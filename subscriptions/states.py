"""States of a subscription, kinds of a paid interval, lengths of a tariff."""

from django.db import models


class SubscriptionState(models.TextChoices):
    """The states of the market's own diagram."""

    CREATED = "created", "ожидает оплаты"
    TRIAL = "trial", "пробный период"
    ACTIVE = "active", "оплачена"
    STOPPING = "stopping", "остановлена, работает до конца оплаченного"
    OVERDUE = "overdue", "ждём оплату"
    ENDED = "ended", "закончилась"


SUBSCRIPTION_TRANSITIONS: dict[SubscriptionState, frozenset[SubscriptionState]] = {
    SubscriptionState.CREATED: frozenset(
        {
            SubscriptionState.TRIAL,
            SubscriptionState.ACTIVE,
            SubscriptionState.STOPPING,
            SubscriptionState.ENDED,
        }
    ),
    SubscriptionState.TRIAL: frozenset(
        {
            SubscriptionState.ACTIVE,
            SubscriptionState.STOPPING,
            SubscriptionState.OVERDUE,
            SubscriptionState.ENDED,
        }
    ),
    SubscriptionState.ACTIVE: frozenset(
        {SubscriptionState.STOPPING, SubscriptionState.OVERDUE, SubscriptionState.ENDED}
    ),
    SubscriptionState.STOPPING: frozenset(
        {
            SubscriptionState.TRIAL,
            SubscriptionState.ACTIVE,
            SubscriptionState.OVERDUE,
            SubscriptionState.ENDED,
        }
    ),
    SubscriptionState.OVERDUE: frozenset(
        {SubscriptionState.ACTIVE, SubscriptionState.STOPPING, SubscriptionState.ENDED}
    ),
    SubscriptionState.ENDED: frozenset({SubscriptionState.ACTIVE}),
}


class PeriodKind(models.TextChoices):
    """What an interval of a subscription is."""

    TRIAL = "trial", "пробный"
    PAID = "paid", "оплаченный"


class ChargeKind(models.TextChoices):
    """What a sum was charged for."""

    PAYMENT = "payment", "оплата периода"
    CHANGE = "change", "изменение тарифа или числа карт"


MONTHS = ((1, "1 месяц"), (3, "3 месяца"), (12, "12 месяцев"))
