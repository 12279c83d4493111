"""Cards come into stock: a parsed list becomes rows, once, however often it is loaded."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeVar

from django.db import connection, transaction

from cabinet import audit, wording
from cabinet.actors import Actor
from cabinet.errors import Refused
from operators.models import OperatorAccount
from smartcards import queries
from smartcards.models import SmartCard
from smartcards.numbers import issuer_mismatch
from smartcards.stock_csv import ICCID, Parsed, Problem, Row

T = TypeVar("T")
BATCH = 2000
# Any number that no other advisory lock of ours uses.
_IMPORT_LOCK = 7_201_900


class StockRefused(Refused):
    """The list cannot be loaded now."""


@dataclass(frozen=True)
class Imported:
    """What a load did, or would do.

    `added` cards are in stock now; `skipped` were known before and stay as they were; `problems`
    are lines that were not loaded; `warnings` are doubtful numbers among the good lines.
    """

    added: int
    skipped: tuple[Problem, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


@dataclass(frozen=True)
class _Plan:
    fresh: tuple[Row, ...]
    skipped: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def check_stock(*, account: OperatorAccount, parsed: Parsed, take_good: bool) -> Imported:
    """What `import_stock` would do now. Writes nothing."""
    return _outcome(_plan(account, parsed.rows), parsed, take_good)


@transaction.atomic
def import_stock(
    *, account: OperatorAccount, parsed: Parsed, take_good: bool, by: Actor, at: datetime
) -> Imported:
    """Put the cards of the list into stock, all in one transaction.

    A line with a problem stops the whole load unless `take_good`. Cards that are known already are
    skipped and reported, so a repeated load is harmless. Raises StockRefused while another runs.
    """
    _one_at_a_time()
    plan = _plan(account, parsed.rows)
    outcome = _outcome(plan, parsed, take_good)
    if outcome.added:
        for rows in _batches(plan.fresh):
            SmartCard.objects.bulk_create(_card(row, account, at) for row in rows)
        _note(account, outcome, by, at)
    return outcome


def _one_at_a_time() -> None:
    # Two lists may name the same cards; a lock of the account would hold up its commands.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_IMPORT_LOCK])
        (taken,) = cursor.fetchone()
    if not taken:
        raise StockRefused("Сейчас загружается другой список. Повторите через минуту.")


def _plan(account: OperatorAccount, rows: Sequence[Row]) -> _Plan:
    known = _known(row.iccid for row in rows)
    fresh = tuple(row for row in rows if row.iccid not in known)
    skipped = tuple(
        _about(row, _where(known[row.iccid], account)) for row in rows if row.iccid in known
    )
    name = f"{account.title} {account.code}"
    needs_number = queries.needs_number(account)
    doubtful = ((row, _warning(row, name, needs_number=needs_number)) for row in fresh)
    return _Plan(fresh, skipped, tuple(_about(row, said) for row, said in doubtful if said))


def _known(iccids: Iterable[str]) -> dict[str, SmartCard]:
    found: dict[str, SmartCard] = {}
    for batch in _batches(iccids):
        cards = SmartCard.objects.filter(iccid__in=batch).select_related("account")
        found.update((card.iccid, card) for card in cards)
    return found


def _where(card: SmartCard, account: OperatorAccount) -> str:
    # Whose it is stays unsaid: a list may be loaded by staff who do not see the merchants.
    if card.merchant_id is not None:
        return "Уже у клиента."
    return "Уже на складе." if card.account_id == account.pk else f"Уже на складе: {card.account}."


def _warning(row: Row, operator: str, *, needs_number: bool) -> str:
    said = (
        row.warning,
        issuer_mismatch(iccid=row.iccid, operator=operator),
        _NO_NUMBER if needs_number and not row.msisdn else "",
    )
    return " ".join(filter(None, said))


_NO_NUMBER = "Нет номера телефона, а этот оператор находит карты по нему: включить её не получится."


def _about(row: Row, sentence: str) -> Problem:
    return Problem(row.line, ICCID, row.iccid, sentence)


def _outcome(plan: _Plan, parsed: Parsed, take_good: bool) -> Imported:
    loads = take_good or not parsed.problems
    return Imported(
        added=len(plan.fresh) if loads else 0,
        skipped=plan.skipped,
        problems=parsed.problems,
        warnings=plan.warnings,
    )


def _card(row: Row, account: OperatorAccount, at: datetime) -> SmartCard:
    return SmartCard(
        iccid=row.iccid, msisdn=row.msisdn, label=row.label, account=account, imported_at=at
    )


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    waiting = iter(items)
    while batch := list(islice(waiting, BATCH)):
        yield batch


def _note(account: OperatorAccount, outcome: Imported, by: Actor, at: datetime) -> None:
    audit.record(
        target=account,
        action="stock_imported",
        text=f"На склад поступило: {wording.cards(outcome.added)}",
        by=by,
        at=at,
        merchant_id=None,
        details={"skipped": len(outcome.skipped), "problems": len(outcome.problems)},
    )
