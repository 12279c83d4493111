"""A list of cards as bytes of a CSV file, read into rows and complaints. Pure, no database.

Columns: ICCID; telephone number (may be absent); label (may be absent). Encoding, delimiter and
header are found out.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from cabinet.errors import Refused
from cabinet.wording import counted, grouped
from smartcards.numbers import Iccid, NotANumber, parse_iccid, parse_msisdn

MAX_BYTES = 20 * 1024 * 1024
MAX_LINES = 200_000
LABEL_MAX = 100
SHOWN_VALUE_MAX = 60
DELIMITERS = (";", "\t", ",")
SAMPLE_LINES = 30
# A quoted label may run over several lines; a stray quote must not swallow the rest of the file.
JOINED_LINES_MAX = 10

ICCID, MSISDN, LABEL = "ICCID", "номер телефона", "подпись"
COLUMNS = (ICCID, MSISDN, LABEL)
# A column named so holds telephone numbers only where another one holds ICCIDs.
_AMBIGUOUS = "номер"
_HEADINGS = {
    ICCID: {
        "iccid",
        "icc",
        "icc id",
        "icc-id",
        "iccid карты",
        "номер карты",
        "номер смарт-карты",
        "номер sim",
    },
    MSISDN: {
        "номер телефона",
        "телефон",
        "телефонный номер",
        "абонентский номер",
        "msisdn",
        "phone",
        _AMBIGUOUS,
    },
    LABEL: {"подпись", "метка", "название", "комментарий", "label", "name", "comment"},
}
_FOREIGN_FILES = {
    b"PK\x03\x04": "книга Excel (xlsx)",
    b"\xd0\xcf\x11\xe0": "книга Excel (xls)",
    b"%PDF": "документ PDF",
    b"\x1f\x8b": "архив",
}
_NEWLINE = re.compile(r"\r\n|\r|\n")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_SEPARATOR_LINE = re.compile(r"sep=([;,\t])", re.IGNORECASE)
_AROUND = '\ufeff "'
_DAMAGED = re.compile(r"\s*\d([.,]\d+)?[EeЕе]\+\d+\s*")


class UnreadableFile(Refused):
    """The whole file cannot be read as a list of cards."""


@dataclass(frozen=True)
class Row:
    """One good line. `warning` is a Russian sentence about a doubtful number, mostly empty."""

    line: int
    iccid: str
    msisdn: str = ""
    label: str = ""
    warning: str = ""


@dataclass(frozen=True)
class Problem:
    """What is wrong in which line: the field, the value as it stands there, a Russian sentence."""

    line: int
    field: str
    value: str
    sentence: str


@dataclass(frozen=True)
class Parsed:
    """The file: every line is either a row or has a problem."""

    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class _Line:
    number: int
    cells: list[str]


class _Bad(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.sentence)
        self.problem = problem


def parse(data: bytes) -> Parsed:
    """Rows and problems of the file, lines counted from 1.

    Raises UnreadableFile where it is no list of cards at all, or too long a one.
    """
    text = _decoded(data)
    _check_length(text)
    lines = _NEWLINE.split(text)
    sample = [line for line in lines if line.strip()][:SAMPLE_LINES]
    if not sample:
        raise UnreadableFile("Файл пустой.")
    return _read(_split(lines, _delimiter(sample)))


def as_csv(problems: tuple[Problem, ...]) -> bytes:
    """The problems as a file that Russian Excel opens: UTF-8 with a mark, semicolons."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    writer.writerow(["Строка", "Поле", "Значение", "Что не так"])
    writer.writerows(
        [problem.line, problem.field, _harmless(problem.value), problem.sentence]
        for problem in problems
    )
    return b"\xef\xbb\xbf" + out.getvalue().encode("utf-8", "replace")


def _harmless(value: str) -> str:
    # A spreadsheet would run a cell that begins so as a formula.
    return f"'{value}" if value[:1] in {"=", "+", "-", "@", "\t"} else value


# Bytes to lines


def _decoded(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise UnreadableFile("Файл больше 20 МБ. Разделите его на части.")
    for mark, kind in _FOREIGN_FILES.items():
        if data.startswith(mark):
            raise UnreadableFile(f"Это {kind}, а нужен файл CSV: «Сохранить как» → «CSV UTF-8».")
    encoding = _wide_encoding(data)
    if encoding:
        return data.decode(encoding, "replace").lstrip("\ufeff")
    if data.startswith(b"\xef\xbb\xbf"):
        return data.decode("utf-8-sig", "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1251", "replace")


def _check_length(text: str) -> None:
    """Counted before anything is made of the lines: a file of line ends alone is large too."""
    length = text.count("\n") + text.count("\r") - text.count("\r\n")
    if length > MAX_LINES:
        said = counted(length, "строка", "строки", "строк")
        raise UnreadableFile(
            f"В файле {said}, а можно не больше {grouped(MAX_LINES)}. Разделите его на части."
        )


def _wide_encoding(data: bytes) -> str:
    """UTF-16 by its mark, or by the empty halves of its digits; empty where it is not UTF-16."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    head = data[:400]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) * 4 < len(head):
        return ""
    return "utf-16-le" if odd > even else "utf-16-be"


def _delimiter(sample: list[str]) -> str:
    """The delimiter under which the sample shows most numbers of cards and known headings."""
    told = _SEPARATOR_LINE.fullmatch(sample[0].strip(_AROUND))
    if told:
        return told.group(1)
    return max(DELIMITERS, key=lambda sign: sum(_recognised(line, sign) for line in sample))


def _is_separator_line(line: str) -> bool:
    return _SEPARATOR_LINE.fullmatch(line.strip(_AROUND)) is not None


def _recognised(line: str, delimiter: str) -> int:
    cells = _cells(line, delimiter)
    return sum(_heading(cell) != "" or _like_iccid(cell) for cell in cells)


def _like_iccid(cell: str) -> bool:
    if _DAMAGED.fullmatch(cell):
        return True
    try:
        parse_iccid(cell)
    except NotANumber:
        return False
    return True


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:  # a cell longer than the reader takes: nothing of ours is so long
        return [line]


def _split(lines: list[str], delimiter: str) -> Iterator[_Line]:
    waiting = list(enumerate(lines, start=1))
    waiting.reverse()
    while waiting:
        number, line = waiting.pop()
        for _ in range(_continuation(line, waiting, delimiter)):
            line += "\n" + waiting.pop()[1]
        cells = _cells(line, delimiter)
        if any(cell.strip() for cell in cells) and not _is_separator_line(line):
            yield _Line(number, cells)


def _continuation(line: str, waiting: list[tuple[int, str]], delimiter: str) -> int:
    """How many of the next lines belong to a quoted cell of this; never one that names a card."""
    if line.count('"') % 2 == 0:
        return 0
    for taken, (_, further) in enumerate(waiting[: -JOINED_LINES_MAX - 1 : -1], start=1):
        if _like_iccid(_cells(further, delimiter)[0] if further else ""):
            return 0
        if further.count('"') % 2:
            return taken
    return 0


# Lines to rows


class _Reading:
    """The lines read so far."""

    def __init__(self) -> None:
        self._columns: tuple[str, ...] = ()
        self._rows: list[Row] = []
        self._problems: list[Problem] = []
        self._seen: dict[str, int] = {}
        self._phones: dict[str, int] = {}

    def take(self, line: _Line) -> None:
        if self._is_header(line):
            return
        try:
            row = _row(line, self._columns or COLUMNS)
            self._check_first(row)
        except _Bad as bad:
            self._problems.append(bad.problem)
        else:
            self._rows.append(self._with_phone_noted(row))

    def result(self) -> Parsed:
        return Parsed(tuple(self._rows), tuple(self._problems))

    def _is_header(self, line: _Line) -> bool:
        """Suppliers put a title above the header, so it is looked for until the first good line."""
        if self._columns or self._rows:
            return False
        self._columns = _header(line.cells)
        return bool(self._columns)

    def _check_first(self, row: Row) -> None:
        first = self._seen.setdefault(row.iccid, row.line)
        if first != row.line:
            sentence = f"Повтор: строки {first} и {row.line} — одна и та же карта."
            raise _bad(row.line, ICCID, row.iccid, sentence)

    def _with_phone_noted(self, row: Row) -> Row:
        first = self._phones.setdefault(row.msisdn, row.line) if row.msisdn else row.line
        if first == row.line:
            return row
        repeated = f"Тот же номер телефона стоит в строке {first}."
        return replace(row, warning=f"{row.warning} {repeated}".strip())


def _read(lines: Iterator[_Line]) -> Parsed:
    reading = _Reading()
    for line in lines:
        reading.take(line)
    return reading.result()


def _header(cells: list[str]) -> tuple[str, ...]:
    """Which field stands in each column, empty for foreign ones; nothing where it is no header."""
    found = tuple(_heading(cell) for cell in cells)
    if not any(found) or any(_like_iccid(cell) for cell in cells):
        return ()
    if ICCID not in found:
        pairs = zip(cells, found, strict=True)
        found = tuple(ICCID if _named(cell) == _AMBIGUOUS else field for cell, field in pairs)
    if ICCID not in found:
        raise UnreadableFile("В заголовке файла нет столбца «ICCID».")
    return found


def _heading(cell: str) -> str:
    name = _named(cell)
    return next((field for field, names in _HEADINGS.items() if name in names), "")


def _named(cell: str) -> str:
    return " ".join(cell.strip("\ufeff*:. \t").casefold().replace("_", " ").split())


def _row(line: _Line, columns: tuple[str, ...]) -> Row:
    """The row of the line. Raises _Bad."""
    cells = _named_cells(line, columns)
    iccid = _iccid(line.number, cells.get(ICCID, ""))
    return Row(
        line=line.number,
        iccid=iccid.value,
        msisdn=_msisdn(line.number, cells.get(MSISDN, "")),
        label=_label(line.number, cells.get(LABEL, "")),
        warning=iccid.warning,
    )


def _named_cells(line: _Line, columns: tuple[str, ...]) -> dict[str, str]:
    further = [cell for cell in line.cells[len(columns) :] if cell.strip()]
    if further:
        sentence = "В строке лишние столбцы. Возьмите подпись в кавычки."
        raise _bad(line.number, LABEL, further[0], sentence)
    cells: dict[str, str] = {}
    for field, cell in zip(columns, line.cells, strict=False):
        cells.setdefault(field, cell)
    return cells


def _iccid(line: int, cell: str) -> Iccid:
    try:
        return parse_iccid(cell)
    except NotANumber as refusal:
        raise _bad(line, ICCID, cell, refusal.sentence) from refusal


def _msisdn(line: int, cell: str) -> str:
    if not cell.strip():
        return ""
    try:
        return parse_msisdn(cell)
    except NotANumber as refusal:
        raise _bad(line, MSISDN, cell, refusal.sentence) from refusal


def _label(line: int, cell: str) -> str:
    label = " ".join(_CONTROL.sub("", cell).split())
    if len(label) > LABEL_MAX:
        raise _bad(line, LABEL, label, f"Подпись длиннее {LABEL_MAX} знаков.")
    return label


def _bad(line: int, field: str, value: str, sentence: str) -> _Bad:
    shown = _CONTROL.sub("\ufffd", value).strip()
    short = shown if len(shown) <= SHOWN_VALUE_MAX else shown[: SHOWN_VALUE_MAX - 1] + "…"
    return _Bad(Problem(line, field, short, sentence))
