"""How many cards a subscription pays for. The cards' app stands above: its relation is named only."""

from dataclasses import dataclass

from django.db.models import Count, Q

from cabinet.models import Merchant
from subscriptions.models import Subscription


@dataclass(frozen=True)
class Chosen:
    """Cards chosen to be paid by a subscription, and those of them that are wished on."""

    cards: int = 0
    wished: int = 0


def chosen_cards(merchant: Merchant) -> dict[int, Chosen]:
    """By the subscription's id."""
    is_open = Q(coverages__till=None)
    rows = Subscription.objects.of(merchant).annotate(
        chosen=Count("coverages", filter=is_open),
        wished=Count("coverages", filter=is_open & Q(coverages__card__wished_on=True)),
    )
    return {
        pk: Chosen(chosen, wished)
        for pk, chosen, wished in rows.values_list("pk", "chosen", "wished")
    }
