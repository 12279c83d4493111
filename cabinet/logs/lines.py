"""Log lines that cannot be forged: one record is one line, whatever a stranger has put into an address or header."""

import logging
import unicodedata
from typing import Any

# Control and format characters (ESC, line breaks, right-to-left marks), line and paragraph separators.
_ESCAPED = {"Cc", "Cf", "Zl", "Zp"}


def escaped(text: str) -> str:
    r"""The text on one line: `\n`, `\x1b`, `\u202e` instead of the characters themselves."""
    if text.isprintable():
        return text
    return "".join(
        sign.encode("unicode_escape").decode() if unicodedata.category(sign) in _ESCAPED else sign
        for sign in text
    )


class OneLineFormatter(logging.Formatter):
    """Escapes the message; lines of a traceback begin with «  | », so that none of them looks like a record."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - Python's name
        record.message = escaped(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - Python's name
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - Python's name
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    return "\n".join(f"  | {escaped(line)}" for line in text.split("\n"))
