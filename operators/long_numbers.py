"""Phones, cards and contracts in a text: long runs of digits, however they are laid out."""

import re

# Marks of requests, instants, days and addresses of machines are left as they are; other runs of ten
# digits and more are cut.
_NUMBER = re.compile(
    r"(?P<kept>(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}(?![0-9A-Fa-f])"
    r"|(?<!\d)\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?"
    r"|(?<![\d.])(?:0[1-9]|[12]\d|3[01])\.(?:0[1-9]|1[0-2])\.(?:19|20)\d\d(?!\d)"
    r"|(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.]))"
    r"|\d(?:[ \u00a0\u2009\u202f().\u2010-\u2014-]{0,4}\d){9,}"
)


def cut_numbers(text: str) -> str:
    """Of ten digits and more only the last four stay, behind a «…»."""
    return _NUMBER.sub(_last_four, text)


def _last_four(found: re.Match[str]) -> str:
    if found["kept"]:
        return found[0]
    return f"…{re.sub(r'[^0-9]', '', found[0])[-4:]}"
