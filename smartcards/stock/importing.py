"""Cards come into stock: a file is checked, shown to a person, and loaded where that person says so.

A short file is worked on at once, a long one by a worker in batches, each with its progress in one
transaction. Whatever stops half-way goes on from there.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID, uuid5

from django.db import transaction
from django.db.models import Q

from cabinet import audit
from cabinet.accounts.services.staff_sign_in import staff_actor
from cabinet.actors import SYSTEM, Actor
from cabinet.errors import Refused
from cabinet.formatting import ru_format, text_encoding
from cabinet.tasks import advisory_lock
from cabinet.tasks.task_queue import enqueue_on_commit
from operators.models import OperatorAccount
from smartcards import services
from smartcards.models import SmartCard, StockImport
from smartcards.states import (
    DOUBTS,
    IMPORT_TRANSITIONS,
    WORKING_IMPORTS,
    ImportState,
    RemarkKind,
)
from smartcards.stock.comparison import Comparison
from smartcards.stock.csv_file import (
    CardList,
    Problem,
    Row,
    UnreadableFile,
    as_csv,
    encoding_of,
    read,
    refuse_foreign,
)

BATCH = 2000
# What a page may do itself, in lines and in bytes.
SHORT_LINES, SHORT_BYTES = 1000, 200_000
SHOWN_REMARKS = 50
MAX_ATTEMPTS = 5
WAITING_FOR_PERSON = frozenset({ImportState.CHOOSING, ImportState.CHECKED})
KEEP_UNFINISHED, KEEP_FINISHED = timedelta(days=1), timedelta(days=30)
# Two files may name the same cards.
_LOCK = "stock_import"


class StockRefused(Refused):
    """The file cannot be loaded so."""


@dataclass
class Report:
    """What was found in a file, as the page shows it: the first remarks of each kind, and how many there are.

    `readings` are there where a person had to choose the encoding; `ignored` are columns that are not read.
    """

    readings: list[dict[str, Any]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    doubtful: int = 0
    shown: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, kind: RemarkKind, problem: Problem) -> None:
        """Count a remark; the first of its kind are kept."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        kept = self.shown.setdefault(kind, [])
        if len(kept) < SHOWN_REMARKS:
            kept.append(asdict(problem))


def begin_import(
    *,
    form_key: UUID,
    account: OperatorAccount,
    file_name: str,
    data: bytes,
    by: Actor,
    at: datetime,
) -> StockImport:
    """The import of this file, to be checked; the one that began before where the form was sent with it already.

    Raises UnreadableFile for what is surely no list of cards.
    """
    refuse_foreign(data)
    fields = {
        "account": account,
        "user_id": by.user_id,
        "file_name": file_name[:100] or "без имени",
        "file": data,
        "created_at": at,
        "changed_at": at,
    }
    # A page that the browser went back to keeps its key, and may be sent with another file.
    key = uuid5(form_key, f"{account.pk}:{hashlib.sha256(data).hexdigest()}")
    return StockImport.objects.get_or_create(key=key, defaults=fields)[0]


@transaction.atomic
def choose_encoding(*, import_id: int, encoding: str, by: Actor, at: datetime) -> StockImport:
    """The file is checked anew in this encoding. Nothing happens where it is being worked on or over."""
    row = _locked(import_id)
    if row.state in WAITING_FOR_PERSON:
        row.encoding, row.user_id = encoding, by.user_id
        _begin_work(row, ImportState.CHECKING, at)
    return row


@transaction.atomic
def request_load(
    *,
    import_id: int,
    skip_errors: bool,
    accepted: Iterable[RemarkKind],
    by: Actor,
    at: datetime,
) -> StockImport:
    """The good cards of a checked file are to be loaded, and the doubtful ones of the `accepted` kinds.

    Asked again it changes nothing. Raises StockRefused where rows with errors are not to be skipped, and
    where nothing is left to load.
    """
    row = _locked(import_id)
    if row.state != ImportState.CHECKED:
        return row
    report, wanted = report_of(row), DOUBTS & set(accepted)
    if report.counts.get(RemarkKind.ERROR) and not skip_errors:
        raise StockRefused(
            "В файле есть ошибки. Исправьте файл или отметьте, что строки с ошибками не нужны."
        )
    if not row.good and not any(report.counts.get(kind) for kind in wanted):
        raise StockRefused("Загружать нечего: ни одной новой смарт-карты не выбрано.")
    row.accepted, row.user_id = sorted(wanted), by.user_id
    _begin_work(row, ImportState.LOADING, at)
    return row


@transaction.atomic
def discard(*, import_id: int, by: Actor, at: datetime) -> bool:
    """Forget a file that waits for a person and is not to be loaded; whether it was forgotten.

    `by` and `at` are not stored: nothing is left that they could be told of.
    """
    row = _locked(import_id)
    if row.state not in WAITING_FOR_PERSON:
        return False
    row.delete()
    return True


def is_short(row: StockImport) -> bool:
    """Whether a page may work on this file itself."""
    data = bytes(row.file or b"")
    return len(data) <= SHORT_BYTES and max(data.count(b"\n"), data.count(b"\r")) < SHORT_LINES


def proceed(row: StockImport, *, at: datetime) -> None:
    """Do what the file waits for: at once where it is short, else by a worker."""
    if row.state not in WORKING_IMPORTS:
        return
    if is_short(row):
        work(import_id=row.pk, at=at)
    else:
        enqueue_on_commit("smartcards.import_stock", import_id=row.pk)


def work(*, import_id: int, at: datetime) -> None:
    """Check or load a file that waits for it.

    Does nothing while another file is worked on: the sweep comes back to this one.
    """
    with advisory_lock.only_one(_LOCK) as ours:
        row = StockImport.objects.filter(pk=import_id, state__in=WORKING_IMPORTS).first()
        if not ours or row is None:
            return
        if row.attempts >= MAX_ATTEMPTS:
            _end(row, ImportState.REFUSED, at, refusal=_GIVEN_UP)
            return
        row.attempts += 1
        row.save(update_fields=["attempts"])
        try:
            _check(row, at) if row.state == ImportState.CHECKING else _load(row, at)
        except UnreadableFile as refusal:
            _end(row, ImportState.REFUSED, at, refusal=refusal.sentence)


_GIVEN_UP = "Файл не удалось обработать. Разделите его на части или сообщите разработчикам."


def waiting() -> list[int]:
    """Files that a worker should look at, the oldest first."""
    rows = StockImport.objects.filter(state__in=WORKING_IMPORTS)
    return list(rows.order_by("pk").values_list("pk", flat=True))


def purge(*, at: datetime) -> None:
    """Files that nobody loaded within a day are deleted, and what is known of the others after a month."""
    unfinished = Q(state__in=WAITING_FOR_PERSON, changed_at__lt=at - KEEP_UNFINISHED)
    finished = Q(
        state__in=[ImportState.LOADED, ImportState.REFUSED], changed_at__lt=at - KEEP_FINISHED
    )
    StockImport.objects.filter(unfinished | finished).delete()


def report_of(row: StockImport) -> Report:
    """What was found in this file; empty before its check."""
    return Report(**row.report)


# --- the check --------------------------------------------------------------------------------------


def _check(row: StockImport, at: datetime) -> None:
    data = bytes(row.file or b"")
    encoding = row.encoding or encoding_of(data)
    if not encoding:
        found = Report(readings=[asdict(one) for one in text_encoding.readings(data)])
        _change(row, ImportState.CHOOSING, at, report=asdict(found))
        return
    listed = read(data, encoding)
    report = Report(readings=report_of(row).readings, ignored=list(listed.ignored))
    remarks: list[Problem] = []
    good = row.done = 0
    comparison = Comparison(row.account)
    for entries in _batches(row, listed):
        batch = comparison.of(entries)
        for one in batch:
            for kind, problem in one.remarks:
                report.add(kind, problem)
                remarks.append(problem)
        good += sum(one.row is not None and not one.doubts for one in batch)
        report.doubtful += sum(bool(one.doubts) for one in batch)
        row.done += len(batch)
        row.save(update_fields=["total", "done"])
    kept = as_csv(remarks) if remarks else None
    _change(row, ImportState.CHECKED, at, good=good, report=asdict(report), remarks=kept)


def _batches(row: StockImport, listed: CardList) -> Iterator[list[Row | Problem]]:
    """What the file has from row `done` on, a batch at a time."""
    row.total = listed.total
    entries = islice(listed.entries, row.done, None)
    while batch := list(islice(entries, BATCH)):
        yield batch


# --- the load ---------------------------------------------------------------------------------------


def _load(row: StockImport, at: datetime) -> None:
    listed = read(bytes(row.file or b""), row.encoding or encoding_of(bytes(row.file or b"")))
    comparison = Comparison(row.account)
    for entries in _batches(row, listed):
        _store(row, comparison, entries, at)
    _end(row, ImportState.LOADED, at)


@transaction.atomic
def _store(
    row: StockImport, comparison: Comparison, entries: list[Row | Problem], at: datetime
) -> None:
    # What has a number now was compared with what nobody changes till these have theirs.
    services.lock_numbers()
    batch, accepted = comparison.of(entries), set(row.accepted)
    wanted = [one.row for one in batch if one.row is not None and one.doubts <= accepted]
    SmartCard.objects.bulk_create(_card(one, row, at) for one in wanted)
    row.done += len(batch)
    row.added += len(wanted)
    row.save(update_fields=["total", "done", "added"])


def _card(found: Row, row: StockImport, at: datetime) -> SmartCard:
    return SmartCard(
        iccid=found.iccid,
        msisdn=found.msisdn,
        label=found.label,
        account_id=row.account_id,
        imported_at=at,
    )


def _record(row: StockImport, at: datetime) -> None:
    counts = report_of(row).counts
    audit.record(
        target=row.account,
        action="stock_imported",
        text=f"На склад поступило: {ru_format.cards(row.added)}",
        by=staff_actor(row.user) if row.user else SYSTEM,
        at=at,
        details={"file": row.file_name, "accepted": row.accepted, **counts},
    )


# --- states -----------------------------------------------------------------------------------------


def _locked(import_id: int) -> StockImport:
    return StockImport.objects.select_for_update().get(pk=import_id)


def _begin_work(row: StockImport, state: ImportState, at: datetime) -> None:
    _change(row, state, at, done=0, total=0, attempts=0, user_id=row.user_id)
    row.save(update_fields=["encoding", "accepted"])


@transaction.atomic
def _end(row: StockImport, state: ImportState, at: datetime, refusal: str = "") -> None:
    """The file is forgotten; what came into stock is written down, also where a load stopped half-way."""
    _change(row, state, at, file=None, refusal=refusal)
    if row.added:
        _record(row, at)


def _change(row: StockImport, state: ImportState, at: datetime, **fields: Any) -> None:
    if state not in IMPORT_TRANSITIONS[ImportState(row.state)]:
        raise ValueError(f"The import {row.pk} does not become {state} after {row.state}.")
    changed = {"state": state, "changed_at": at, **fields}
    for name, value in changed.items():
        setattr(row, name, value)
    row.save(update_fields=list(changed))
