"""The QR code with which a bank's app fills in a payment: ГОСТ Р 56042-2014, format ST0001, UTF-8."""

import segno

from smartcards.orders.documents.content import PaperContent

# Limits of the standard, in characters.
_LIMITS = {"Name": 160, "BankName": 45, "Purpose": 210}


def payload(content: PaperContent, purpose: str) -> str:
    """The text inside the code. The sum is in kopecks, as the standard wants it."""
    seller = content.seller
    fields = {
        "Name": seller.name,
        "PersonalAcc": seller.account,
        "BankName": seller.bank,
        "BIC": seller.bik,
        "CorrespAcc": seller.corr_account or "0",
        "Sum": str(content.total),
        "Purpose": purpose,
        "PayeeINN": seller.inn,
        "KPP": seller.kpp,
    }
    filled = (f"{name}={_clean(name, value)}" for name, value in fields.items() if value)
    return "|".join(["ST00012", *filled])


def qr_code(text: str) -> segno.QRCode:
    """The code itself: UTF-8 without a mark of the encoding (banks' apps do not know it), correction level M."""
    return segno.make_qr(text, error="m", encoding="utf-8", eci=False, boost_error=False)


def _clean(name: str, value: str) -> str:
    """Without the separator, cut at the limit of the field."""
    return " ".join(value.replace("|", "/").split())[: _LIMITS.get(name)]
