"""Tables as files: CSV as Russian Excel opens it, XLSX; and tables that people upload, read from either.

A file that is opened shows what was written and runs nothing: texts that look like a formula stay texts, long
numbers (ICCID) keep all their digits. What we wrote is read back as it was.
"""

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, tzinfo
from decimal import Decimal
from enum import StrEnum
from itertools import chain, islice
from tempfile import TemporaryFile
from typing import IO, Any

from openpyxl import Workbook, load_workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

from cabinet.errors import Refused
from cabinet.formatting import text_encoding

# An instant comes as local time without its zone.
Value = str | int | Decimal | date | datetime | None


class FileKind(StrEnum):
    """The files that a table can be had as; the value is in addresses and at the end of file names."""

    CSV = "csv"
    XLSX = "xlsx"


class UnreadableTable(Refused):
    """The uploaded file is no table that we can read."""


def roubles(kopecks: int) -> Decimal:
    """A sum in kopecks as a number of roubles with two decimals."""
    return Decimal(kopecks).scaleb(-2)


def local_time(at: datetime, zone: tzinfo) -> datetime:
    """The instant as a clock in the zone shows it, to the minute, without the zone: as a table holds it."""
    return at.astimezone(zone).replace(tzinfo=None, second=0, microsecond=0)


# --- CSV ------------------------------------------------------------------------------------------

_ROWS_AT_ONCE = 200
# A spreadsheet takes a cell that begins so for a formula or drops the sign. An apostrophe goes before it.
_FORMULA_SIGNS = "=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20"
_FORMULA = re.compile(f"'*[{_FORMULA_SIGNS}]")
_DEFUSED = re.compile(f"'(?='*[{_FORMULA_SIGNS}])")
# A spreadsheet would round such a number or drop its first zeros: with a tab before it, it is a text.
_LONG_NUMBER = re.compile(r"[0-9]{12,}|0[0-9]+")
_BOM = b"\xef\xbb\xbf"


def csv_rows(rows: Iterable[Iterable[Value]]) -> Iterator[bytes]:
    """The file in pieces of some hundred rows: UTF-8 with a byte order mark, semicolons, CRLF, decimal commas."""
    yield _BOM
    left = iter(rows)
    while some := list(islice(left, _ROWS_AT_ONCE)):
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
        writer.writerows([_csv_text(value) for value in row] for row in some)
        yield out.getvalue().encode("utf-8", "replace")


def _csv_text(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _as_text(value)
    if isinstance(value, date):
        return _day_text(value)
    return str(value).replace(".", ",")


def _as_text(text: str) -> str:
    if _FORMULA.match(text):
        return f"'{text}"
    return f"\t{text}" if _LONG_NUMBER.fullmatch(text) else text


def _day_text(value: date) -> str:
    return value.strftime("%d.%m.%Y %H:%M" if isinstance(value, datetime) else "%d.%m.%Y")


# --- XLSX -----------------------------------------------------------------------------------------

_SAMPLE_ROWS = 100
_NARROWEST, _WIDEST = 10, 50
_TITLE_MAX = 31
_NOT_IN_TITLE = re.compile(r"[\\/?*\[\]:]")


def write_xlsx(rows: Iterable[Iterable[Value]], title: str) -> IO[bytes]:
    """A workbook of one sheet of that title, its first row in bold; a file on disk, to be closed by the caller.

    Rows are taken one by one: the memory does not grow with them.
    """
    book = Workbook(write_only=True)
    sheet = book.create_sheet(_NOT_IN_TITLE.sub(" ", title)[:_TITLE_MAX].strip())
    left = (tuple(row) for row in rows)
    sample = list(islice(left, _SAMPLE_ROWS))
    for number, width in enumerate(_widths(sample), start=1):
        sheet.column_dimensions[get_column_letter(number)].width = width
    sheet.freeze_panes = "A2"
    for number, row in enumerate(chain(sample, left)):
        sheet.append([_cell(sheet, value, is_heading=number == 0) for value in row])
    file = TemporaryFile()  # noqa: SIM115 - whoever sends it closes it
    book.save(file)
    file.seek(0)
    return file


def _widths(sample: Sequence[tuple[Value, ...]]) -> list[int]:
    widths: list[int] = []
    for row in sample:
        widths += [_NARROWEST] * (len(row) - len(widths))
        for number, value in enumerate(row):
            widths[number] = max(widths[number], min(len(_csv_text(value)) + 2, _WIDEST))
    return widths


def _cell(sheet: Any, value: Value, *, is_heading: bool) -> Any:
    shown: Any = ILLEGAL_CHARACTERS_RE.sub("", value) if isinstance(value, str) else value
    cell = WriteOnlyCell(sheet, shown)
    if isinstance(value, str):
        # By its first sign openpyxl would take it for a formula or an error.
        cell.data_type = "s"
    cell.number_format = _number_format(value)
    if is_heading:
        cell.font = Font(bold=True)
    return cell


def _number_format(value: Value) -> str:
    if isinstance(value, datetime):
        return "DD.MM.YYYY HH:MM"
    if isinstance(value, date):
        return "DD.MM.YYYY"
    if isinstance(value, Decimal):
        return "#,##0.00"
    return "@" if isinstance(value, str) else "General"


# --- reading --------------------------------------------------------------------------------------

MAX_BYTES = 10 * 1024 * 1024
MAX_ROWS = 20_000
MAX_COLUMNS = 50
# A workbook is compressed: a small file may unfold into a huge one.
_MAX_UNFOLDED = 200 * 1024 * 1024
_DELIMITERS = ";\t,"
_SEPARATOR_ROW = re.compile(r"sep=[;,\t]\r?\n?", re.IGNORECASE)
# So many digits a spreadsheet keeps.
_DIGITS_KEPT = 10**15
_BROKEN_BOOK = (
    *(zipfile.BadZipFile, zlib.error, OSError, EOFError, SyntaxError, NotImplementedError),
    *(LookupError, ValueError, TypeError, AttributeError, RuntimeError),
)


def read_table(file: Any) -> list[tuple[str, ...]]:
    """The rows of an uploaded CSV or XLSX file as texts; rows keep their numbers, empty ones at the end are dropped.

    Days come as «28.02.2027», whole numbers without a fraction; a number too long for a spreadsheet as it shows it,
    «8,97010E+19», since its digits are lost. `file` is binary. Raises UnreadableTable.
    """
    data: bytes = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UnreadableTable("Файл больше 10\u00a0МБ. Разделите его на\u00a0части.")
    if data.startswith((b"\xd0\xcf\x11\xe0", b"%PDF")):
        raise UnreadableTable("Сохраните таблицу как книгу Excel (xlsx) или\u00a0как CSV.")
    rows = _xlsx_rows(data) if data.startswith(b"PK\x03\x04") else _csv_table(data)
    found = list(islice(rows, MAX_ROWS + 1))
    if len(found) > MAX_ROWS:
        raise UnreadableTable(
            "В\u00a0таблице больше 20\u00a0000\u00a0строк. Разделите её на\u00a0части."
        )
    while found and not any(found[-1]):
        found.pop()
    if not found:
        raise UnreadableTable("Таблица пустая.")
    return found


def _csv_table(data: bytes) -> Iterator[tuple[str, ...]]:
    encoding = text_encoding.proven_by_bytes(data) or text_encoding.readings(data)[0].encoding
    text = text_encoding.decoded(data, encoding)
    text = _SEPARATOR_ROW.sub("", text, count=1) if _SEPARATOR_ROW.match(text) else text
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            yield tuple(_read_text(cell) for cell in row[:MAX_COLUMNS])
    except csv.Error as error:
        raise UnreadableTable("Файл не\u00a0читается как таблица.") from error


def _read_text(cell: str) -> str:
    """What `_as_text` made of a text, without it."""
    return _DEFUSED.sub("", cell, count=1) if _DEFUSED.match(cell) else cell.strip()


def _xlsx_rows(data: bytes) -> Iterator[tuple[str, ...]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            unfolded = sum(part.file_size for part in parts.infolist())
        if unfolded > _MAX_UNFOLDED:
            raise UnreadableTable("Книга слишком большая. Разделите её на\u00a0части.")
        sheet = load_workbook(io.BytesIO(data), read_only=True, data_only=True).worksheets[0]
        cells = sheet.iter_rows(max_row=MAX_ROWS + 1, max_col=MAX_COLUMNS, values_only=True)
        for row in cells:
            yield _without_empty_end(tuple(_shown(value) for value in row))
    except _BROKEN_BOOK as error:
        raise UnreadableTable("Книга Excel не\u00a0читается. Сохраните её заново.") from error


def _without_empty_end(row: tuple[str, ...]) -> tuple[str, ...]:
    filled = [number for number, text in enumerate(row, start=1) if text]
    return row[: max(filled, default=0)]


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime) and (value.hour, value.minute) == (0, 0):
        return _day_text(value.date())
    if isinstance(value, date):
        return _day_text(value)
    if isinstance(value, int | float) and abs(value) >= _DIGITS_KEPT:
        return f"{value:.5E}".replace(".", ",")
    if isinstance(value, float):
        return str(int(value) if value.is_integer() else value).replace(".", ",")
    return str(value).strip()
