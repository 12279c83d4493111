"""Words of the subscriptions."""

from django.db import models


class Source(models.TextChoices):
    """Who keeps the books of a subscription."""

    MARKET = "market", "Эвотор"
    OWN = "own", "сервис"


class SubscriptionState(models.TextChoices):
    """The market's own diagram; own billing uses the same words."""

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
    """What a stretch of time is."""

    TRIAL = "trial", "пробный"
    PAID = "paid", "оплаченный"


MONTHS = ((1, "1 месяц"), (3, "3 месяца"), (12, "12 месяцев"))
