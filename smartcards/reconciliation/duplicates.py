"""Cards that stand twice in our own data: one card in two spellings, one telephone number on two cards.

Nothing new of the kind is stored; what came earlier, or by an operator's word, staff mend. Reads only, a few
queries for any number of cards.
"""

from dataclasses import dataclass

from django.contrib.postgres.aggregates import ArrayAgg
from django.db import connection
from django.db.models import Count

from operators.models import OperatorAccount
from operators.ports import same_card
from smartcards import queries
from smartcards.models import SmartCard
from smartcards.states import OperatorState

# A card is joined with one that is a digit longer and begins alike.
_LONGER_BY_A_DIGIT = """
SELECT bare.iccid, whole.iccid
  FROM smartcards_smartcard AS whole
  JOIN smartcards_smartcard AS bare ON bare.iccid = left(whole.iccid, -1)
 ORDER BY bare.iccid, whole.iccid
"""


@dataclass(frozen=True)
class SharedNumber:
    """Cards in use of one contract that bear one telephone number, by their ICCIDs."""

    account: str
    iccids: tuple[str, ...]


def spelled_twice() -> list[tuple[str, str]]:
    """ICCIDs of each card that is stored without its check digit and with it, in this order."""
    with connection.cursor() as cursor:
        cursor.execute(_LONGER_BY_A_DIGIT)
        return [(bare, whole) for bare, whole in cursor.fetchall() if same_card(whole, bare)]


def shared_numbers() -> list[SharedNumber]:
    """Of the operators that need a card's number; by title, then by ICCID. Retired cards bear none."""
    accounts = {
        account.pk: account.title
        for account in OperatorAccount.objects.only("title", "adapter", "profile")
        if queries.needs_number(account)
    }
    cards = SmartCard.objects.filter(account__in=accounts).exclude(msisdn="")
    cards = cards.exclude(confirmed=OperatorState.RETIRED)
    groups = cards.order_by().values("account", "msisdn")
    groups = groups.annotate(number=Count("pk"), iccids=ArrayAgg("iccid", order_by="iccid"))
    rows = groups.filter(number__gt=1).values_list("account", "iccids")
    found = [SharedNumber(accounts[account], tuple(iccids)) for account, iccids in rows]
    return sorted(found, key=lambda one: (one.account, one.iccids))
