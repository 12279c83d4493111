"""A list of cards as bytes of a CSV file, read into rows and problems. Pure, no database.

Columns: ICCID; telephone number (may be absent); label (may be absent). Delimiter, header and titles
above it are found out; the encoding where the file proves it. Rows are numbered as a spreadsheet shows them.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

from cabinet.errors import Refused
from cabinet.formatting import plain_text, text_encoding
from cabinet.formatting.ru_format import counted, grouped
from cabinet.formatting.table_files import csv_rows
from operators.ports import iccid_spellings
from smartcards.numbers import NotANumber, parse_iccid, parse_msisdn

MAX_BYTES = 20 * 1024 * 1024
MAX_LINES = 200_000
MAX_COLUMNS = 100
LABEL_MAX = 100
SHOWN_VALUE_MAX = 60
DELIMITERS = (";", "\t", ",")
SAMPLE_LINES, SAMPLE_SIGNS = 30, 2000
# Titles and the name of the supplier stand above the header, hardly more.
HEADER_WITHIN = 20
SHOWN_HEADINGS = 10
# A quoted label may run over several lines; a stray quote must not swallow the rest of the file.
JOINED_LINES_MAX = 10

ICCID, MSISDN, LABEL, ROW = "ICCID", "номер телефона", "подпись", "вся строка"
COLUMNS = (ICCID, MSISDN, LABEL)
# A column named so holds telephone numbers only where another one holds ICCIDs.
_AMBIGUOUS = "номер"
_NAMES = {
    ICCID: "iccid|icc|icc id|icc-id|iccid карты|номер карты|номер смарт-карты|номер sim",
    MSISDN: f"номер телефона|телефон|телефонный номер|абонентский номер|msisdn|phone|{_AMBIGUOUS}",
    LABEL: "подпись|метка|название|комментарий|label|name|comment",
}
_HEADINGS = {name: field for field, names in _NAMES.items() for name in names.split("|")}
_FOREIGN_FILES = {
    b"PK\x03\x04": "книга Excel (xlsx)",
    b"\xd0\xcf\x11\xe0": "книга Excel (xls)",
    b"%PDF": "документ PDF",
    b"\x1f\x8b": "архив",
}
_NEWLINE = re.compile(r"\r\n|\r|\n")
_PIECES = re.compile(r"[\n;,\t]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_SEPARATOR_LINE = re.compile(r'[\ufeff "]*sep=([;,\t])[\ufeff "]*', re.IGNORECASE)
_DAMAGED = re.compile(r"\s*\d([.,]\d+)?[EeЕе]\+\d+\s*")
# A quoted cell that ends on its line, and the beginning of one that does not.
_CLOSED_CELL = {
    sign: re.compile(rf'(?:^|{sign})"(?:[^"]|"")*+"(?={sign}|$)') for sign in DELIMITERS
}
_OPEN_CELL = {sign: re.compile(rf'(?:^|{sign})"') for sign in DELIMITERS}


class UnreadableFile(Refused):
    """The whole file cannot be read as a list of cards."""


@dataclass(frozen=True)
class Row:
    """One good row. `doubt` is a Russian sentence about a doubtful ICCID, `note` about anything else; mostly empty."""

    line: int
    iccid: str
    msisdn: str = ""
    label: str = ""
    doubt: str = ""
    note: str = ""


@dataclass(frozen=True)
class Problem:
    """What is wrong in which row: the field, the value as given, a Russian sentence."""

    line: int
    field: str
    value: str
    sentence: str


@dataclass(frozen=True)
class CardList:
    """The file: every row below the header is a row of ours or has a problem, in the order of the file.

    `total` is about how many there are; `ignored` are headings of columns that are not read.
    """

    total: int
    ignored: tuple[str, ...]
    entries: Iterator[Row | Problem]


@dataclass(frozen=True)
class _Header:
    """Which field stands in each column, empty for foreign ones, and the row after it."""

    columns: tuple[str, ...] = COLUMNS
    ignored: tuple[str, ...] = ()
    after: int = 0


def encoding_of(data: bytes) -> str:
    """The encoding that the bytes or a known heading prove; "" where a person must choose."""
    proven = text_encoding.proven_by_bytes(data)
    if proven:
        return proven
    named = (code for code in ("utf-8", *text_encoding.SINGLE_BYTE) if _has_heading(data, code))
    return next(named, "utf-8" if text_encoding.mostly_utf8(data) else "")


def read(data: bytes, encoding: str) -> CardList:
    """The rows of the file; most of the work is done while `entries` are taken.

    Raises UnreadableFile, at once or on the way, where it is no list of cards at all, or too long a one.
    """
    lines = _NEWLINE.split(_text(data, encoding))
    sample = _sample(lines)
    if not sample:
        raise UnreadableFile("Файл пустой.")
    delimiter = _delimiter(sample)
    header = _found_header(_records(lines, delimiter))
    records = (one for one in _records(lines, delimiter) if one[0] > header.after)
    return CardList(len(lines), header.ignored, _entries(records, header.columns, encoding))


def refuse_foreign(data: bytes) -> None:
    """Raises UnreadableFile for what is no text, is empty or is too large; quick, for the moment of the upload."""
    if not data:
        raise UnreadableFile("Файл пустой.")
    if len(data) > MAX_BYTES:
        raise UnreadableFile("Файл больше 20 МБ. Разделите его на части.")
    for mark, kind in _FOREIGN_FILES.items():
        if data.startswith(mark):
            raise UnreadableFile(f"Это {kind}, а нужен файл CSV: «Сохранить как» → «CSV UTF-8».")


def as_csv(problems: Iterable[Problem]) -> bytes:
    """The problems as a file that Russian Excel opens: UTF-8 with a byte order mark, semicolons."""
    heading = ("Строка", "Поле", "Значение", "Что не так")
    rows = ((one.line, one.field, one.value, one.sentence) for one in problems)
    return b"".join(csv_rows(chain([heading], rows)))


# --- bytes to records -------------------------------------------------------------------------------


def _text(data: bytes, encoding: str) -> str:
    refuse_foreign(data)
    text = text_encoding.decoded(data, encoding)
    # Counted before anything is made of the lines: a file of line ends alone is large too.
    length = text.count("\n") + text.count("\r") - text.count("\r\n")
    if length > MAX_LINES:
        lines = counted(length, "строка", "строки", "строк")
        raise UnreadableFile(
            f"В файле {lines}, а можно не больше {grouped(MAX_LINES)}. Разделите его на части."
        )
    return text


def _sample(lines: list[str]) -> list[str]:
    return [line[:SAMPLE_SIGNS] for line in lines if line.strip()][:SAMPLE_LINES]


def _has_heading(data: bytes, encoding: str) -> bool:
    """Whether a heading of ours that is not ASCII is read so."""
    head = text_encoding.decoded(data[: SAMPLE_LINES * SAMPLE_SIGNS], encoding)
    cells = (
        _name(cell)
        for line in _sample(_NEWLINE.split(head))[:HEADER_WITHIN]
        for sign in DELIMITERS
        for cell in _cells(line, sign)
    )
    return any(name in _HEADINGS and not name.isascii() for name in cells)


def _delimiter(sample: list[str]) -> str:
    """The one that the file names, else the one that shows most numbers of cards and known headings."""
    named = _SEPARATOR_LINE.fullmatch(sample[0])
    if named:
        return named.group(1)

    def recognised(sign: str) -> int:
        cells = (cell for line in sample for cell in _cells(line, sign))
        return sum(_name(cell) in _HEADINGS or _like_iccid(cell) for cell in cells)

    return max(DELIMITERS, key=recognised)


def _like_iccid(cell: str) -> bool:
    if _DAMAGED.fullmatch(cell):
        return True
    try:
        parse_iccid(cell)
    except NotANumber:
        return False
    return True


def _records(lines: list[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of every row that is not empty.

    A spreadsheet shows a cell of several lines in one row, and the line «sep=» in none.
    """
    number = begin = 0
    while begin < len(lines):
        end = _record_end(lines, begin, delimiter)
        first = lines[begin]
        if not (number == 0 and _SEPARATOR_LINE.fullmatch(first)):
            number += 1
            cells = _cells("\n".join(lines[begin:end]), delimiter)
            _refuse_too_wide(number, cells)
            if any(cell.strip() for cell in cells):
                yield number, cells
        begin = end


def _refuse_too_wide(number: int, cells: list[str]) -> None:
    if len(cells) > MAX_COLUMNS:
        raise UnreadableFile(
            f"В строке {number} больше {MAX_COLUMNS} столбцов: это не список смарт-карт."
        )


def _record_end(lines: list[str], begin: int, delimiter: str) -> int:
    """A quoted cell may take further lines, but never one that names a card."""
    if '"' in lines[begin] and _is_open(lines[begin], delimiter):
        for end in range(begin + 1, min(begin + 1 + JOINED_LINES_MAX, len(lines))):
            if lines[end].count('"') % 2:
                cells = _cells("\n".join(lines[begin : end + 1]), delimiter)
                return begin + 1 if any(map(_swallows_card, cells)) else end + 1
    return begin + 1


def _swallows_card(cell: str) -> bool:
    return "\n" in cell and any(map(_like_iccid, _PIECES.split(cell)))


def _is_open(line: str, delimiter: str) -> bool:
    """Whether a cell that begins with a quote does not end on its line."""
    return bool(_OPEN_CELL[delimiter].search(_CLOSED_CELL[delimiter].sub("", line)))


def _cells(line: str, delimiter: str) -> list[str]:
    """One cell more than are allowed at most: a line of delimiters alone would make millions."""
    if line.count(delimiter) > MAX_COLUMNS:
        return line.split(delimiter, MAX_COLUMNS)
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:  # a cell longer than the reader takes: nothing of ours is so long
        return [line]


# --- header -----------------------------------------------------------------------------------------


def _found_header(records: Iterator[tuple[int, list[str]]]) -> _Header:
    """The header among the first rows, below titles; none where a row that names a card comes first."""
    for number, cells in records:
        if number > HEADER_WITHIN or any(map(_like_iccid, cells)):
            break
        columns = _columns(cells)
        if columns:
            foreign = [cell for cell, field in zip(cells, columns, strict=True) if not field]
            return _Header(columns, _headings(foreign), number)
    return _Header()


def _columns(cells: list[str]) -> tuple[str, ...]:
    """Which field stands in each column; nothing where this is no header.

    Raises UnreadableFile for a header without ICCIDs.
    """
    names = [_name(cell) for cell in cells]
    found = tuple(_HEADINGS.get(name, "") for name in names)
    if not any(found):
        return ()
    if ICCID in found:
        return found
    if _AMBIGUOUS not in names:
        shown = ", ".join(_headings(cells))
        raise UnreadableFile(f"В заголовке файла нет столбца «ICCID». Есть столбцы: {shown}.")
    return tuple(
        ICCID if name == _AMBIGUOUS else field for name, field in zip(names, found, strict=True)
    )


def _headings(cells: Iterable[str]) -> tuple[str, ...]:
    """«Цена», «Дата» …: as they are shown to a person."""
    named = [f"«{_shown(cell)}»" for cell in cells if _name(cell)]
    return tuple(named[:SHOWN_HEADINGS]) + (("…",) if len(named) > SHOWN_HEADINGS else ())


def _name(cell: str) -> str:
    shown = plain_text.visible(cell).strip("*:. \t").casefold().replace("_", " ")
    name = " ".join(shown.split())
    latin = plain_text.as_latin(name)
    return latin if latin in _HEADINGS else name


# --- records to rows --------------------------------------------------------------------------------


def _entries(
    records: Iterator[tuple[int, list[str]]], columns: tuple[str, ...], encoding: str
) -> Iterator[Row | Problem]:
    first_lines: dict[str, int] = {}
    for line, cells in records:
        found = _checked(line, cells, columns, encoding)
        yield found if isinstance(found, Problem) else _compared(found, first_lines)


def _checked(line: int, cells: list[str], columns: tuple[str, ...], encoding: str) -> Row | Problem:
    """The row, or the first thing wrong with it."""
    whole = ";".join(cells)
    if text_encoding.is_unreadable(whole, encoding):
        return _problem(line, ROW, whole, _UNREADABLE_ROW)
    further = next(filter(str.strip, cells[len(columns) :]), "")
    if further:
        sentence = "В строке лишние столбцы. Возьмите подпись в кавычки."
        return _problem(line, LABEL, further, sentence)
    # Of two columns of one name the first counts.
    given = dict(reversed(list(zip(columns, cells, strict=False))))
    field = ICCID
    try:
        iccid = parse_iccid(given.get(ICCID, ""))
        field = MSISDN
        msisdn = parse_msisdn(given[MSISDN]) if given.get(MSISDN, "").strip() else ""
        field = LABEL
        label = _label(given.get(LABEL, ""))
    except Refused as refusal:
        return _problem(line, field, given.get(field, ""), refusal.sentence)
    return Row(line, iccid.value, msisdn, label, iccid.warning)


_UNREADABLE_ROW = (
    "Буквы в строке не читаются: она в другой кодировке. Сохраните файл заново как «CSV UTF-8»."
)


def _compared(row: Row, first_lines: dict[str, int]) -> Row | Problem:
    """The row, or where its card stood before; `first_lines`: where a number was seen first."""
    spellings = [one for one in iccid_spellings(row.iccid) if one in first_lines]
    first_lines.setdefault(row.iccid, row.line)
    if not spellings:
        return _with_repeated_phone(row, first_lines)
    first = first_lines[spellings[0]]
    if spellings[0] == row.iccid:
        sentence = f"Повтор: строки {first} и {row.line} — одна и та же карта."
    elif len(spellings) == 1:
        sentence = (
            f"Повтор: строки {first} и {row.line} — одна и та же карта, "
            "номера отличаются только контрольной цифрой."
        )
    else:
        sentence = (
            f"Не понять, какая это карта: номер похож и на строку {first}, "
            f"и на строку {first_lines[spellings[1]]}."
        )
    return _problem(row.line, ICCID, row.iccid, sentence)


def _with_repeated_phone(row: Row, first_lines: dict[str, int]) -> Row:
    first = first_lines.setdefault(f"+{row.msisdn}", row.line) if row.msisdn else row.line
    if first == row.line:
        return row
    return replace(row, note=f"Тот же номер телефона стоит в строке {first}.")


def _label(cell: str) -> str:
    label = " ".join(plain_text.visible(cell).split())
    if len(label) > LABEL_MAX:
        raise Refused(f"Подпись длиннее {LABEL_MAX} знаков.")
    return label


def _problem(line: int, field: str, value: str, sentence: str) -> Problem:
    return Problem(line, field, _shown(value), sentence)


def _shown(value: str) -> str:
    shown = _CONTROL.sub(text_encoding.UNREADABLE, value).strip()
    return shown if len(shown) <= SHOWN_VALUE_MAX else shown[: SHOWN_VALUE_MAX - 1] + "…"
