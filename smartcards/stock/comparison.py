"""Rows of a file beside the cards that are known: what may be loaded, and what a person should know of the rest."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from operators.models import OperatorAccount
from operators.ports import iccid_spellings
from smartcards import queries
from smartcards.models import SmartCard
from smartcards.numbers import issuer_mismatch
from smartcards.states import DOUBTS, RemarkKind
from smartcards.stock.csv_file import ICCID, Problem, Row

_NO_NUMBER = "Нет номера телефона, а этот оператор находит карты по нему: включить её не получится."

Remark = tuple[RemarkKind, Problem]


@dataclass(frozen=True)
class Compared:
    """One row of the file: the card that may be loaded, None where none may, and the remarks on it."""

    row: Row | None
    remarks: tuple[Remark, ...] = ()

    @property
    def doubts(self) -> frozenset[RemarkKind]:
        """What a person has to accept before the card is loaded."""
        return DOUBTS & {kind for kind, _problem in self.remarks}


class Comparison:
    """The rows of one account's file, compared in batches; asks the database once for each."""

    def __init__(self, account: OperatorAccount) -> None:
        self._account = account
        self._needs_number = queries.needs_number(account)

    def of(self, entries: Sequence[Row | Problem]) -> list[Compared]:
        """Each entry compared, in their order."""
        rows = [one for one in entries if isinstance(one, Row)]
        found = _found({row.iccid: iccid_spellings(row.iccid) for row in rows})
        new = [(row.iccid, row.msisdn) for row in rows if not found[row.iccid]]
        taken = queries.numbers_taken(self._account, new)
        return [
            Compared(None, ((RemarkKind.ERROR, one),))
            if isinstance(one, Problem)
            else self._compared(one, found[one.iccid], taken.get(one.iccid, ""))
            for one in entries
        ]

    def _compared(self, row: Row, found: list[SmartCard], taken: str) -> Compared:
        if found and found[0].iccid == row.iccid:
            return Compared(None, ((RemarkKind.KNOWN, _about(row, self._where(found[0]))),))
        if len(found) > 1:
            return Compared(None, ((RemarkKind.ERROR, _about(row, _which_of(found))),))
        if found:
            sentence = f"{_same_but_check_digit(found[0])} {self._where(found[0])}"
            return Compared(None, ((RemarkKind.KNOWN, _about(row, sentence)),))
        if taken:
            return Compared(None, ((RemarkKind.ERROR, _about(row, taken)),))
        return Compared(row, tuple(self._remarks(row)))

    def _remarks(self, row: Row) -> Iterable[Remark]:
        name = f"{self._account.title} {self._account.code}"
        sentences = (
            (RemarkKind.NUMBER, row.doubt),
            (RemarkKind.OPERATOR, issuer_mismatch(iccid=row.iccid, operator=name)),
            (RemarkKind.NOTE, row.note),
            (RemarkKind.NOTE, _NO_NUMBER if self._needs_number and not row.msisdn else ""),
        )
        return ((kind, _about(row, sentence)) for kind, sentence in sentences if sentence)

    def _where(self, card: SmartCard) -> str:
        # Whose it is stays unsaid: a list may be loaded by staff who do not see the merchants.
        if card.merchant_id is not None:
            return "Уже у клиента."
        if card.account_id == self._account.pk:
            return "Уже на складе."
        return f"Уже на складе: {card.account}."


def _found(spelled: dict[str, tuple[str, ...]]) -> dict[str, list[SmartCard]]:
    """The cards that each number may mean, those of all operators; the one of exactly its digits first."""
    wanted = set(chain.from_iterable(spelled.values()))
    cards = SmartCard.objects.filter(iccid__in=wanted).select_related("account")
    known = {card.iccid: card for card in cards}
    return {iccid: [known[one] for one in by if one in known] for iccid, by in spelled.items()}


def _same_but_check_digit(card: SmartCard) -> str:
    return f"Это карта {card.iccid}: номера отличаются только контрольной цифрой."


def _which_of(cards: list[SmartCard]) -> str:
    named = " и ".join(sorted(card.iccid for card in cards))
    return f"Не понять, какая это карта: номер похож на {named}. Впишите его так, как он записан у нас."


def _about(row: Row, sentence: str) -> Problem:
    return Problem(row.line, ICCID, row.iccid, sentence)
