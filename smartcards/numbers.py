"""Numbers printed on a card and dialled: ICCID, MSISDN. Pure: no Django, no database.

Sources: ITU-T E.118 (ICCID), E.164 (MSISDN). Real lists drop the check digit
of the ICCID, pad it with F and pass through spreadsheets, so what is doubtful is a warning and only
what cannot be a number is refused.
"""

import re
import unicodedata
from dataclasses import dataclass

from stdnum import luhn

from cabinet.errors import Refused
from cabinet.formatting.ru_format import counted

ICCID_MIN, ICCID_MAX = 17, 20
# Shorter ICCIDs are printed without the check digit, so there is nothing to check.
CHECKED_LENGTHS = frozenset({19, 20})
# A spreadsheet keeps fifteen digits of a number and writes zeros for the rest.
SPREADSHEET_DIGITS = 15
SPREADSHEET_SUSPECTED_FROM = 18

# Latin and Cyrillic «E» look alike and both come out of spreadsheets.
_EXPONENT = re.compile(r"[+-]?\d+([.,]\d+)?[EeЕе][+-]?\d+")
_WITH_DECIMALS = re.compile(r"(\d+)[.,]0+")
_FORMULA = re.compile(r'^="?([^"]*)"?$')
_ASCII_DIGITS = re.compile(r"[0-9]+")
_QUOTES = "'’‘`\"«»"


class NotANumber(Refused):
    """The text is not the number that is asked for."""


class DamagedBySpreadsheet(NotANumber):
    """A spreadsheet rounded the number: its last digits are lost for good."""

    def __init__(self) -> None:
        super().__init__(
            "Excel испортил номер: последние цифры потеряны. "
            "Задайте столбцу формат «Текст» и выгрузите файл заново."
        )


class WrongIccid(NotANumber):
    """Not an ICCID."""


class WrongMsisdn(NotANumber):
    """Not a telephone number."""


@dataclass(frozen=True)
class Iccid:
    """17–20 digits; `warning` is a Russian sentence about a doubtful number, mostly empty."""

    value: str
    warning: str = ""


@dataclass(frozen=True)
class Issuer:
    """Who prints this prefix on cards. Only a hint: virtual operators print their host's prefix."""

    code: str
    title: str
    names: frozenset[str]


# Seen in third-party public files, not promised by anybody.
ISSUERS: dict[str, Issuer] = {
    "8970101": Issuer("mts", "МТС", frozenset({"мтс", "mts"})),
    "8970102": Issuer("megafon", "МегаФон", frozenset({"мегафон", "megafon"})),
    "8970199": Issuer("beeline", "Билайн", frozenset({"билайн", "beeline", "вымпелком"})),
    "8970120": Issuer("t2", "t2", frozenset({"t2", "tele2", "теле2", "т2"})),
}


def parse_iccid(text: str) -> Iccid:
    """The ICCID a person, a scanner or a spreadsheet gave.

    Spaces, hyphens, quotes and the filling F at the end are dropped, digits of any script are read.
    A failed check digit or a tail of zeros is a warning. Raises WrongIccid or DamagedBySpreadsheet.
    """
    digits = text if _ASCII_DIGITS.fullmatch(text) else _iccid_digits(text)
    if not ICCID_MIN <= len(digits) <= ICCID_MAX:
        raise WrongIccid(f"В ICCID {_digits(len(digits))}, а должно быть от 17 до 20.")
    return Iccid(digits, _iccid_warning(digits))


def parse_msisdn(text: str) -> str:
    """The telephone number in E.164 without plus; ten digits and a leading 8 are read as Russian.

    Raises WrongMsisdn or DamagedBySpreadsheet.
    """
    plain = _plain(text)
    digits = re.sub(r"[()+.]", "", plain)
    if not _ASCII_DIGITS.fullmatch(digits):
        raise WrongMsisdn("Номер телефона состоит из цифр, например +7 912 345-67-89.")
    number = digits if plain.startswith("+") else _with_country(digits)
    if not 10 <= len(number) <= 15 or number[0] == "0" or (number[0] == "7" and len(number) != 11):
        raise WrongMsisdn(
            f"В номере телефона {_digits(len(digits))}, а нужно 11, например +7 912 345-67-89."
        )
    return number


def issuer_hint(iccid: str) -> Issuer | None:
    """Whose cards usually begin so; None where the prefix is not known."""
    return ISSUERS.get(iccid[:7])


def issuer_mismatch(*, iccid: str, operator: str) -> str:
    """A warning where the prefix belongs to another operator than the chosen one; mostly empty.

    `operator` is how the contract is called: title and code.
    """
    hint = issuer_hint(iccid)
    chosen = _issuer_named(operator)
    if hint is None or chosen is None or hint == chosen:
        return ""
    return f"Начало номера — как у карт «{hint.title}», а выбран оператор «{chosen.title}»."


def _issuer_named(operator: str) -> Issuer | None:
    chosen = set(re.findall(r"\w+", operator.casefold()))
    return next((issuer for issuer in ISSUERS.values() if issuer.names & chosen), None)


def _iccid_digits(text: str) -> str:
    digits = _plain(text).rstrip("FfФф")
    if not digits:
        raise WrongIccid("ICCID не указан.")
    if not _ASCII_DIGITS.fullmatch(digits):
        raise WrongIccid("ICCID состоит только из цифр: 17–20 цифр, они напечатаны на карте.")
    return digits


def _iccid_warning(digits: str) -> str:
    if not digits.startswith("89"):
        return "ICCID обычно начинается с 89. Проверьте, тот ли это номер."
    if len(digits) >= SPREADSHEET_SUSPECTED_FROM and not digits[SPREADSHEET_DIGITS:].strip("0"):
        return "Номер кончается нулями: похоже, Excel потерял последние цифры. Сверьте с картой."
    if len(digits) in CHECKED_LENGTHS and not luhn.is_valid(digits):
        return "Контрольная цифра не сходится. Сверьте номер с картой."
    return ""


def _digits(number: int) -> str:
    return counted(number, "цифра", "цифры", "цифр")


def _with_country(digits: str) -> str:
    if digits.startswith("810") and len(digits) > 11:
        return digits[3:]
    if len(digits) == 11 and digits.startswith("8"):
        return "7" + digits[1:]
    return "7" + digits if len(digits) == 10 and digits[0] != "0" else digits


def _plain(text: str) -> str:
    """Digits of any script as ASCII, without what people and spreadsheets put between."""
    folded = unicodedata.normalize("NFKC", text).strip()
    formula = _FORMULA.match(folded)
    bare = (formula.group(1) if formula else folded).strip().strip(_QUOTES).strip()
    if _EXPONENT.fullmatch(bare):
        raise DamagedBySpreadsheet
    kept = "".join(_kept(sign) for sign in bare)
    whole = _WITH_DECIMALS.fullmatch(kept)
    return whole.group(1) if whole else kept


def _kept(sign: str) -> str:
    category = unicodedata.category(sign)
    if category == "Nd":
        return str(unicodedata.decimal(sign))
    # Spaces, hyphens of every length, invisible marks, the minus.
    return "" if category in {"Zs", "Pd", "Cf"} or sign in "\t\u2212" else sign
