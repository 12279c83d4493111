"""Invented SIM cards of the demo, the same in the product's demo data and in the sandbox operators.

Pure. Numbers never change, so that both sides agree whichever of them is started first.
"""

from dataclasses import dataclass

from stdnum import luhn

MTS, BEELINE, PARTNER, CONTROL_CENTER = "mts", "beeline", "tmf640", "control_center"
STOCK_SIZE = 40


@dataclass(frozen=True)
class DemoSim:
    """One card at its operator. `state` is a state of the sandbox; a card in stock is «new»."""

    code: str
    iccid: str
    msisdn: str
    imei: str = ""
    state: str = "new"


# How the numbers of an operator begin: ICCID, MSISDN.
_PREFIXES = {
    MTS: ("897010126000", "7910555"),
    BEELINE: ("897019926000", "7906555"),
    PARTNER: ("897017726000", "7958555"),
    CONTROL_CENTER: ("897019927000", "7962555"),
}


def _sim(code: str, number: int, *, imei: str = "", state: str = "new") -> DemoSim:
    iccid, msisdn = _PREFIXES[code]
    digits = f"{iccid}{number:06}"
    check = luhn.calc_check_digit(digits)
    return DemoSim(code, f"{digits}{check}", f"{msisdn}{number:04}", imei, state)


# In the hands of the first demo merchant; the IMEI is that of the terminal the card is in.
WORKS_AT_THE_DOOR = _sim(MTS, 1, imei="356938035643809", state="active")
WORKS_IN_THE_HALL = _sim(MTS, 2, imei="356938035643817", state="active")
WORKS_AT_THE_METRO = _sim(PARTNER, 1, imei="356938035643825", state="active")
SWITCHED_OFF = _sim(MTS, 3, imei="356938035643833", state="inactive")
NEW_AND_PAID = _sim(PARTNER, 2)
NEW_AND_UNPAID = _sim(MTS, 4)
HANDED = (
    WORKS_AT_THE_DOOR,
    WORKS_IN_THE_HALL,
    WORKS_AT_THE_METRO,
    SWITCHED_OFF,
    NEW_AND_PAID,
    NEW_AND_UNPAID,
)

STOCK = tuple(_sim(code, 1000 + number) for code in _PREFIXES for number in range(STOCK_SIZE))


def demo_sims() -> tuple[DemoSim, ...]:
    """Every card of the demo: first the merchant's, then the stock."""
    return HANDED + STOCK
