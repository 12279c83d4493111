"""Sums of a document: in figures, in words, the tax inside of them. Money is integer kopecks."""

from decimal import ROUND_HALF_UP, Decimal

from num2words import num2words

from cabinet.formatting.ru_format import NBSP, grouped, plural


def in_figures(kopecks: int) -> str:
    """«1 234,50», as documents have it: without the sign of the currency."""
    roubles, rest = divmod(kopecks, 100)
    return f"{grouped(roubles)},{rest:02}"


def spelled_out(kopecks: int) -> str:
    """«Одна тысяча двести рублей 50 копеек»."""
    roubles, rest = divmod(kopecks, 100)
    words = num2words(roubles, lang="ru")
    of_roubles = plural(roubles, "рубль", "рубля", "рублей")
    of_kopecks = plural(rest, "копейка", "копейки", "копеек")
    return f"{words[0].upper()}{words[1:]} {of_roubles} {rest:02}{NBSP}{of_kopecks}"


def vat_inside(kopecks: int, rate: int | None) -> int:
    """The part of a sum that is НДС at this rate in per cent; 0 without the tax. Half a kopeck counts as one."""
    if not rate:
        return 0
    exact = Decimal(kopecks) * rate / (100 + rate)
    return int(exact.quantize(Decimal(1), ROUND_HALF_UP))
