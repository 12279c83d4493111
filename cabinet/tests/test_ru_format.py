"""Russian formats: tables of examples, and properties for money and plurals."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cabinet.formatting import ru_format

MOSCOW = ZoneInfo("Europe/Moscow")
VLADIVOSTOK = ZoneInfo("Asia/Vladivostok")
NOW = datetime(2026, 11, 22, 7, 42, tzinfo=UTC)


def plain(text: str) -> str:
    """The text with ordinary spaces, to be read in a table."""
    return text.replace(ru_format.NBSP, " ")


@pytest.mark.parametrize(
    ("number", "form"),
    [
        (0, "карт"),
        (1, "карта"),
        (2, "карты"),
        (4, "карты"),
        (5, "карт"),
        (11, "карт"),
        (12, "карт"),
        (14, "карт"),
        (21, "карта"),
        (22, "карты"),
        (25, "карт"),
        (100, "карт"),
        (101, "карта"),
        (111, "карт"),
        (112, "карт"),
        (1001, "карта"),
        (-1, "карта"),
        (-3, "карты"),
        (-11, "карт"),
        (1.5, "карты"),
        (2.0, "карты"),
    ],
)
def test_plural_takes_the_form_of_the_number(number, form):
    assert ru_format.plural(number, "карта", "карты", "карт") == form


@given(st.integers(min_value=0, max_value=10**9))
def test_plural_repeats_every_hundred(number):
    forms = ("карта", "карты", "карт")

    assert ru_format.plural(number, *forms) == ru_format.plural(number + 100, *forms)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (ru_format.cards(0), "0 смарт-карт"),
        (ru_format.cards(1), "1 смарт-карта"),
        (ru_format.cards(2), "2 смарт-карты"),
        (ru_format.cards(1211), "1 211 смарт-карт"),
        (ru_format.days(3), "3 дня"),
        (ru_format.days(5), "5 дней"),
        (ru_format.months(1), "1 месяц"),
        (ru_format.months(12), "12 месяцев"),
        (ru_format.counted(21, "касса", "кассы", "касс"), "21 касса"),
    ],
)
def test_counts_have_their_nouns(shown, expected):
    assert plain(shown) == expected
    assert " " not in shown


@pytest.mark.parametrize(
    ("kopecks", "expected"),
    [
        (0, "0 ₽"),
        (1, "0,01 ₽"),
        (50, "0,50 ₽"),
        (100, "1 ₽"),
        (99_900, "999 ₽"),
        (123_400, "1 234 ₽"),
        (123_450, "1 234,50 ₽"),
        (123_405, "1 234,05 ₽"),
        (1_234_567_890, "12 345 678,90 ₽"),
        (-123_450, "−1 234,50 ₽"),
        (-5, "−0,05 ₽"),
    ],
)
def test_money_is_in_rubles_without_breakable_spaces(kopecks, expected):
    shown = ru_format.money(kopecks)

    assert plain(shown) == expected
    assert " " not in shown


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_money_reads_back_to_the_same_kopecks(kopecks):
    assert ru_format.kopecks(ru_format.money(kopecks)) == kopecks


@pytest.mark.parametrize(
    ("text", "kopecks"),
    [("1234", 123_400), (" 1 234,5 ", 123_450), ("1234.50 ₽", 123_450), ("-7", -700), ("0,01", 1)],
)
def test_kopecks_reads_what_people_type(text, kopecks):
    assert ru_format.kopecks(text) == kopecks


@pytest.mark.parametrize("text", ["", "₽", "1,234", "1,2,3", "12a", "1e3", "--1", "½", "٣"])
def test_kopecks_refuses_what_is_not_a_sum(text):
    with pytest.raises(ValueError, match="not a sum of money"):
        ru_format.kopecks(text)


def test_day_names_month_and_year():
    assert plain(ru_format.day(date(2027, 1, 31))) == "31 января 2027 г."
    assert plain(ru_format.day_short(date(2027, 5, 9))) == "9 мая"


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (date(2027, 1, 5), date(2027, 1, 5), "5 января 2027 г."),
        (date(2027, 1, 1), date(2027, 1, 31), "1–31 января 2027 г."),
        (date(2027, 1, 15), date(2027, 2, 14), "15 января — 14 февраля 2027 г."),
        (date(2026, 12, 15), date(2027, 1, 14), "15 декабря 2026 г. — 14 января 2027 г."),
        (date(2026, 5, 1), date(2027, 5, 1), "1 мая 2026 г. — 1 мая 2027 г."),
    ],
)
def test_day_range_omits_repeated_month_and_year(first, last, expected):
    assert plain(ru_format.day_range(first, last)) == expected


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        # At midnight sharp: «до 15 февраля» stands beside it.
        (MOSCOW, "15 января — 15 февраля 2027 г."),
        (VLADIVOSTOK, "15 января — 15 февраля 2027 г."),
    ],
)
def test_period_shows_the_days_of_the_zone(zone, expected):
    since = datetime(2027, 1, 14, 21, tzinfo=UTC)
    till = datetime(2027, 2, 14, 21, tzinfo=UTC)

    assert plain(ru_format.period(since, till, zone)) == expected


def test_period_of_no_length_is_its_day():
    instant = datetime(2027, 1, 14, 21, tzinfo=UTC)

    assert plain(ru_format.period(instant, instant, MOSCOW)) == "15 января 2027 г."


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (NOW, "сегодня в 10:42"),
        (NOW - timedelta(hours=10, minutes=43), "вчера в 23:59"),
        (NOW + timedelta(days=1), "завтра в 10:42"),
        (NOW - timedelta(days=2), "20 ноября в 10:42"),
        (NOW + timedelta(days=70), "31 января 2027 г. в 10:42"),
        (datetime(2025, 12, 31, 20, 59, tzinfo=UTC), "31 декабря 2025 г. в 23:59"),
        (datetime(2025, 12, 31, 21, 0, tzinfo=UTC), "1 января в 00:00"),
    ],
)
def test_moment_is_seen_from_now(at, expected):
    assert plain(ru_format.moment(at, MOSCOW, NOW)) == expected


def test_moment_knows_yesterday_across_new_year():
    now = datetime(2027, 1, 1, 9, tzinfo=UTC)

    assert plain(ru_format.moment(now - timedelta(days=1), MOSCOW, now)) == "вчера в 12:00"


def test_moment_full_is_shown_in_the_zone():
    assert plain(ru_format.moment_full(NOW, MOSCOW)) == "22 ноября 2026 г., 10:42"
    assert plain(ru_format.moment_full(NOW, VLADIVOSTOK)) == "22 ноября 2026 г., 17:42"


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (timedelta(0), "0 секунд"),
        (timedelta(seconds=-5), "0 секунд"),
        (timedelta(seconds=45.9), "45 секунд"),
        (timedelta(minutes=2), "2 минуты"),
        (timedelta(hours=1, minutes=30, seconds=9), "1 час 30 минут"),
        (timedelta(hours=1, seconds=9), "1 час"),
        (timedelta(days=3), "3 дня"),
        (timedelta(days=2, hours=4, minutes=5), "2 дня 4 часа"),
        (timedelta(days=21), "21 день"),
    ],
)
def test_duration_has_two_units_at_most(length, expected):
    assert plain(ru_format.duration(length)) == expected


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (timedelta(seconds=20), "меньше минуты"),
        (timedelta(seconds=55), "около минуты"),
        (timedelta(seconds=110), "около 2 минут"),
        (timedelta(minutes=21), "около 21 минуты"),
        (timedelta(minutes=58), "около часа"),
        (timedelta(minutes=90), "около 2 часов"),
        (timedelta(hours=21), "около 21 часа"),
        (timedelta(hours=24), "около суток"),
        (timedelta(days=3), "около 3 дней"),
    ],
)
def test_about_promises_one_rounded_unit(length, expected):
    assert plain(ru_format.about(length)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("79123456789", "+7 912 345-67-89"),
        ("+7 (912) 345 67 89", "+7 912 345-67-89"),
        ("375291234567", "+375 29 123-45-67"),
        ("0500", "0500"),
        ("", ""),
        ("нет номера", "нет номера"),
    ],
)
def test_phone_is_grouped(text, expected):
    assert plain(ru_format.phone(text)) == expected


def test_phone_link_is_whole():
    assert ru_format.phone_link("+7 800 555-01-00") == "+78005550100"
    assert ru_format.phone_link("нет номера") == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8970101123456789019", "8970 1011 2345 6789 019"),
        ("8970 1011 2345 6789 0190", "8970 1011 2345 6789 0190"),
        ("", ""),
    ],
)
def test_iccid_is_grouped_by_four(text, expected):
    assert " ".join(ru_format.iccid_groups(text)) == expected


@given(st.from_regex(r"\A[0-9]{17,20}\Z"))
def test_iccid_groups_lose_no_digit(digits):
    assert "".join(ru_format.iccid_groups(digits)) == digits


def test_sort_key_puts_russian_names_in_order():
    names = ["Яблоко", "ёлочка", "Жук", "Елена", "арбуз", "  Ель", "Еж"]

    assert sorted(names, key=ru_format.sort_key) == [
        "арбуз",
        "Еж",
        "Елена",
        "ёлочка",
        "  Ель",
        "Жук",
        "Яблоко",
    ]


def test_sort_key_folds_composed_and_decomposed_letters():
    assert ru_format.sort_key("Ёж и йод") == ru_format.sort_key("еж и  и\u0306од")
