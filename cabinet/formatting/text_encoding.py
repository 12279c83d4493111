"""Which encoding the bytes of a file are in. Pure.

A byte order mark, plain ASCII and UTF-8 prove themselves. Any bytes are a text in each single-byte encoding,
so among those nothing is proven by the bytes alone: a known heading proves it, else a person chooses.
"""

import re
import unicodedata
from dataclasses import dataclass
from itertools import islice

# In the order in which Russian files are met: spreadsheets, old cash and banking programs, mail, Macs.
SINGLE_BYTE = ("cp1251", "cp866", "koi8-r", "mac-cyrillic")
TITLES = {
    "cp1251": "Windows (1251)",
    "cp866": "DOS (866)",
    "koi8-r": "КОИ-8",
    "mac-cyrillic": "Mac OS",
    "utf-8": "UTF-8",
}
UNREADABLE = "\ufffd"
SAMPLE_LINES, SAMPLE_SIGNS = 5, 120
# How many readable Cyrillic letters stand against each unreadable sign of a damaged UTF-8 file.
_READABLE_FOR_ONE = 4
_NEWLINE = re.compile(rb"\r\n|\r|\n")
_CYRILLIC = re.compile("[А-Яа-яЁё]")
# A word as people write it; a wrong encoding turns the case about or breaks words with signs.
_WORD = re.compile(r"\b(?:[А-ЯЁ]?[а-яё]+|[А-ЯЁ]+)\b")


@dataclass(frozen=True)
class Reading:
    """How the first lines with more than ASCII read in one encoding."""

    encoding: str
    title: str
    lines: tuple[str, ...]


def proven_by_bytes(data: bytes) -> str:
    """The codec, "" where the bytes alone prove none.

    UTF-16 without a byte order mark is known by the zero halves of its digits.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if data.startswith(b"\xef\xbb\xbf"):
        return "utf-8"
    head = data[:400]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if head and max(even, odd) * 4 >= len(head):
        return "utf-16-le" if odd > even else "utf-16-be"
    return "utf-8" if _is_utf8(data) else ""


def mostly_utf8(data: bytes) -> bool:
    """Whether this is UTF-8 with a few damaged bytes: far more Cyrillic letters than unreadable signs."""
    text = data.decode("utf-8", "replace")
    return len(_CYRILLIC.findall(text)) >= _READABLE_FOR_ONE * text.count(UNREADABLE)


def decoded(data: bytes, encoding: str) -> str:
    """The text without its byte order mark; what cannot be read becomes `UNREADABLE`."""
    return data.decode(encoding, "replace").lstrip("\ufeff")


def is_unreadable(line: str, encoding: str) -> bool:
    """Whether a decoded line has signs that cannot be read, or was written as UTF-8 into a file of another encoding."""
    if line.isascii():
        return False
    if UNREADABLE in line:
        return True
    return encoding in SINGLE_BYTE and _reads_as_russian_utf8(line.encode(encoding))


def readings(data: bytes) -> tuple[Reading, ...]:
    """The first lines that are not ASCII in every encoding that is plausible, the likeliest first."""
    lines = (line for line in _NEWLINE.split(data) if not line.isascii())
    sample = tuple(islice(lines, SAMPLE_LINES))
    found = [Reading(code, TITLES[code], _shown(sample, code)) for code in (*SINGLE_BYTE, "utf-8")]
    return tuple(sorted(found, key=_likeness, reverse=True))


def _shown(sample: tuple[bytes, ...], encoding: str) -> tuple[str, ...]:
    return tuple(
        "".join(_shown_sign(sign) for sign in decoded(line, encoding)[:SAMPLE_SIGNS])
        for line in sample
    )


def _shown_sign(sign: str) -> str:
    return " " if unicodedata.category(sign) in {"Cc", "Cf", "Cn"} else sign


def _likeness(reading: Reading) -> float:
    """The share of letters in ordinary Russian words among all that is not ASCII."""
    text = "\n".join(reading.lines)
    foreign = sum(not sign.isascii() for sign in text)
    return sum(map(len, _WORD.findall(text))) / foreign if foreign else 0.0


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _reads_as_russian_utf8(line: bytes) -> bool:
    try:
        signs = [sign for sign in line.decode("utf-8") if not sign.isascii()]
    except UnicodeDecodeError:
        return False
    return all(_CYRILLIC.fullmatch(sign) for sign in signs)
