"""Many rows of a mass operation stored in one statement each: Django's `bulk_update` takes seconds for them."""

from collections.abc import Sequence

from django.db import connection

from smartcards.models import MassOperationCard

_LIST = """
INSERT INTO smartcards_massoperationcard
    (operation_id, card_id, position, outcome, reason, fee_kopecks, goes_dark, before_by, before_by_kind)
SELECT %(operation)s, card, position, 'listed', '', 0, false, '', ''
  FROM unnest(%(cards)s::bigint[]) WITH ORDINALITY AS listed(card, position)
"""


def list_cards(operation_id: int, card_ids: Sequence[int]) -> None:
    """Write down which cards are meant, in this order."""
    with connection.cursor() as cursor:
        cursor.execute(_LIST, {"operation": operation_id, "cards": list(card_ids)})


_TYPES = {
    "outcome": "text",
    "reason": "text",
    "fee_kopecks": "integer",
    "goes_dark": "boolean",
    "command_id": "bigint",
    "done_at": "timestamptz",
    "before_on": "boolean",
    "before_at": "timestamptz",
    "before_by": "text",
    "before_by_kind": "text",
}
JUDGED = ("outcome", "reason", "fee_kopecks", "goes_dark")
DONE = (
    *("outcome", "reason", "command_id", "done_at"),
    *("before_on", "before_at", "before_by", "before_by_kind"),
)


def store(rows: Sequence[MassOperationCard], columns: Sequence[str]) -> None:
    """Write these columns of the rows as they are in Python."""
    given = ", ".join(["%s::bigint[]", *(f"%s::{_TYPES[name]}[]" for name in columns)])
    changes = ", ".join(f"{name} = new.{name}" for name in columns)
    statement = (
        f"UPDATE smartcards_massoperationcard AS stored SET {changes}"  # noqa: S608 - names of ours
        f" FROM unnest({given}) AS new(id, {', '.join(columns)}) WHERE stored.id = new.id"
    )
    values = [[getattr(row, name) for row in rows] for name in ("pk", *columns)]
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


_DECISIONS = """
UPDATE smartcards_smartcard AS card
   SET wished_on = row.before_on, wished_at = row.before_at,
       wished_by = row.before_by, wished_by_kind = row.before_by_kind
  FROM smartcards_massoperationcard AS row
 WHERE row.id = ANY(%(rows)s) AND card.id = row.card_id AND card.wished_at = row.done_at
"""


def bring_decisions_back(rows: Sequence[MassOperationCard]) -> None:
    """The decisions from before count again, save where somebody has decided since."""
    with connection.cursor() as cursor:
        cursor.execute(_DECISIONS, {"rows": [row.pk for row in rows]})
