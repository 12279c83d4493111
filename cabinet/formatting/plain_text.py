"""Text that people or systems typed, in the one form in which it is stored and searched.

«й» of one character and «й» of «и» with a sign above look the same and are different to a search, a soft
hyphen from a document is seen by nobody, and a mark of writing direction can make a name read as another.
"""

import re
import unicodedata

from cabinet.errors import Refused

# Controls, and the marks that turn the direction of writing (Unicode Standard Annex 9).
_HARMFUL = re.compile(
    "[\u0000-\u0008\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]"
)
_LOOKALIKE = str.maketrans("АВЕКМНОРСТУХІавекмнорстухі", "ABEKMHOPCTYXIabekmhopctyxi")


class HarmfulCharacters(Refused):
    """A text with characters that nobody sees and that change how it is read."""


def visible(text: str) -> str:
    """The text in normal form C, its spaces single, without what is never seen.

    Joined emoji fall apart into single ones. Nothing is refused: for what systems send.
    """
    shown = unicodedata.normalize("NFC", _HARMFUL.sub("", text))
    kept = "".join(
        one for one in shown if unicodedata.category(one) not in {"Cf", "Cs", "Co", "Cn"}
    )
    return "\n".join(" ".join(line.split()) for line in kept.splitlines()).strip()


def checked(text: str) -> str:
    """`visible`, for what a person typed. Raises HarmfulCharacters for controls and direction marks."""
    if _HARMFUL.search(text):
        raise HarmfulCharacters(
            "В тексте есть невидимые управляющие знаки. Наберите его заново, не вставляя из буфера."
        )
    return visible(text)


def as_latin(text: str) -> str:
    """Cyrillic letters that look like Latin ones, as those: for codes made of digits and Latin letters."""
    return text.translate(_LOOKALIKE)
