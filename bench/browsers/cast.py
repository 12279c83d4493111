"""A person and two cards for each merchant: `python -m bench.browsers.cast USER_ID=PHONE …`.

Runs in the product's environment, once the market has told of the merchants. The person may sign in and
has agreed to everything; of the cards, which the played operators know as stock, one is paid and new,
the other a spare.
"""

import os
import sys
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cabinet.settings")
django.setup()

from cabinet import clock  # noqa: E402 - after setup
from cabinet.actors import SYSTEM, Actor  # noqa: E402
from cabinet.models import Consent, LegalDocument, Member, Merchant, User  # noqa: E402
from cabinet.states import ActorKind, DocumentKind, Role  # noqa: E402
from smartcards import coverage, queries, services  # noqa: E402
from smartcards.models import SmartCard  # noqa: E402

PATIENCE = 90.0  # seconds; the market's purchase takes its way through a worker
AGREED = (DocumentKind.OFFER, DocumentKind.CONSENT)


def paid_merchant(user_id: str) -> Merchant:
    """Waits for the purchase to arrive."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        merchant = Merchant.objects.filter(evotor_user_id=user_id).first()
        if merchant is not None and queries.places(merchant, clock.now()).total > 0:
            return merchant
        time.sleep(0.3)
    raise SystemExit(f"the purchase of {user_id} has not arrived in {PATIENCE:.0f} s")


def person(merchant: Merchant, phone: str) -> Actor:
    """The owner, who has agreed to everything."""
    at = clock.now()
    user = User.objects.create(phone=phone, username=phone, password="!", name="Вера Орлова")
    Member.objects.create(merchant=merchant, user=user, role=Role.OWNER, created_at=at)
    for document in LegalDocument.objects.filter(kind__in=AGREED, published_at__isnull=False):
        Consent.objects.create(user=user, document=document, given_at=at)
    return Actor(ActorKind.PERSON, user.shown_name, user.pk, Role.OWNER)


def cards(merchant: Merchant, owner: Actor) -> None:
    """A paid new card at the partner, whose switch is quick, and a spare one."""
    at = clock.now()
    stock = SmartCard.objects.filter(merchant=None).order_by("pk")
    paid, spare = (stock.filter(account__code=code)[0] for code in ("tmf640", "mts"))
    services.hand_over(cards=[paid, spare], merchant=merchant, by=SYSTEM, at=at)
    for card, label in ((paid, "Для прилавка"), (spare, "Запасная")):
        services.describe(card=card, label=label, terminal=None, by=owner, at=at)
    coverage.choose_cards(merchant=merchant, card_ids=[paid.pk], by=owner, at=at)


def main(pairs: list[str]) -> None:
    for pair in pairs:
        user_id, phone = pair.split("=")
        merchant = paid_merchant(user_id)
        cards(merchant, person(merchant, phone))


if __name__ == "__main__":
    main(sys.argv[1:])
