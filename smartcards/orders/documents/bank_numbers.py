"""Control digits of Russian bank accounts: Bank of Russia, «Порядок расчёта контрольного ключа», 08.09.1997 № 515."""

_WEIGHTS = (7, 1, 3)


def wrong_numbers(bik: str, account: str, corr_account: str) -> dict[str, str]:
    """What is wrong, by the field: «bik», «account», «corr_account»."""
    wrong = {}
    if not _digits(bik, 9):
        wrong["bik"] = "БИК состоит из 9 цифр."
    for field, number in (("account", account), ("corr_account", corr_account)):
        if not _digits(number, 20):
            wrong[field] = "Номер счёта состоит из 20 цифр."
    if wrong:
        return wrong
    if not _key_is_right(bik[-3:] + account):
        wrong["account"] = "Проверьте счёт и БИК: контрольная цифра не сходится."
    # The account of a bank at the Bank of Russia is checked with a zero and two digits of its branch.
    if not _key_is_right(f"0{bik[4:6]}{corr_account}"):
        wrong["corr_account"] = "Проверьте корреспондентский счёт: контрольная цифра не сходится."
    return wrong


def _digits(text: str, length: int) -> bool:
    return len(text) == length and text.isascii() and text.isdigit()


def _key_is_right(digits: str) -> bool:
    weighted = (int(digit) * _WEIGHTS[at % 3] for at, digit in enumerate(digits))
    return sum(one % 10 for one in weighted) % 10 == 0
