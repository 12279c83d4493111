"""Fair turns in an account's queue: ten thousand cards of a chain do not stand before one kiosk's card.

Start-time fair queueing: a command's turn is one more than its merchant's last, but never before the
turn that is being served. The claim takes the smallest turns first.
"""

from django.db import connection

from operators.models import OperatorAccount

_TAKE = """
INSERT INTO smartcards_fairshare AS share (account_id, merchant_id, turn)
SELECT account.id, %(merchant)s, account.turn + %(count)s
  FROM operators_operatoraccount AS account WHERE account.id = %(account)s
ON CONFLICT (account_id, merchant_id)
DO UPDATE SET turn = GREATEST(share.turn, EXCLUDED.turn - %(count)s) + %(count)s
RETURNING turn
"""


def take_turn(*, account_id: int, merchant_id: int | None, count: int = 1) -> int:
    """The last of `count` turns in a row for a merchant; 0 for a card of nobody.

    Locks the merchant's row of this account till the end of the caller's transaction.
    """
    if merchant_id is None:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"account": account_id, "merchant": merchant_id, "count": count})
        (turn,) = cursor.fetchone()
    return int(turn)


def served(*, account_id: int, turn: int) -> None:
    """The queue has come to this turn: newcomers stand behind it."""
    OperatorAccount.objects.filter(pk=account_id, turn__lt=turn).update(turn=turn)
