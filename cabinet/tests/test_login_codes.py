"""Codes by SMS: limits, tries, life, and that nothing readable is kept."""

import logging
import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import connection

from cabinet.accounts.services import login_codes
from cabinet.models import Alert, AuditEvent, LoginCode
from cabinet.tests.people import AT, make_user

pytestmark = pytest.mark.django_db

PHONE = "79120000011"
MINUTE = timedelta(minutes=1)


def ask(
    caplog, *, phone=PHONE, address="203.0.113.7", at=AT, sms=login_codes.SIGN_IN, **fields
) -> tuple[int, str]:
    """Number of the code and the digits that the SMS carried."""
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="cabinet.messaging.notifications"):
        pk = login_codes.send_code(phone=phone, address=address, sms=sms, at=at, **fields)
    found = re.search(r": ([0-9]{6}) ", caplog.text)
    return pk, found.group(1) if found else ""


def another(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


def test_code_proves_its_phone_once(caplog):
    pk, code = ask(caplog)

    phone = login_codes.use_code(pk=pk, code=code, at=AT + MINUTE)

    assert phone == PHONE
    with pytest.raises(login_codes.CodeExpired):
        login_codes.use_code(pk=pk, code=code, at=AT + MINUTE)


def test_code_lives_ten_minutes(caplog):
    pk, code = ask(caplog)

    with pytest.raises(login_codes.CodeExpired):
        login_codes.use_code(pk=pk, code=code, at=AT + timedelta(minutes=10))

    late = AT + timedelta(minutes=10) - timedelta(seconds=1)
    assert login_codes.use_code(pk=pk, code=code, at=late) == PHONE


def test_wrong_tries_are_counted_and_the_fifth_ends_it(caplog):
    pk, code = ask(caplog)
    sentences = []

    for _ in range(5):
        with pytest.raises(login_codes.CodeRefused) as refused:
            login_codes.use_code(pk=pk, code=another(code), at=AT)
        sentences.append(refused.value.sentence.replace("\u00a0", " "))

    assert sentences == [
        "Код не подошёл. Осталось 4 попытки.",
        "Код не подошёл. Осталось 3 попытки.",
        "Код не подошёл. Осталось 2 попытки.",
        "Код не подошёл. Осталась 1 попытка.",
        "Код не подошёл пять раз. Запросите новый.",
    ]
    with pytest.raises(login_codes.CodeExpired):
        login_codes.use_code(pk=pk, code=code, at=AT)


def test_any_living_code_of_the_asking_browser_is_right(caplog):
    first_pk, first = ask(caplog, browser="chrome")
    second_pk, _ = ask(caplog, browser="chrome", at=AT + MINUTE)

    phone = login_codes.use_code(pk=second_pk, code=first, at=AT + MINUTE)

    assert phone == PHONE
    for pk in (first_pk, second_pk):
        with pytest.raises(login_codes.CodeExpired):
            login_codes.use_code(pk=pk, code=first, at=AT + MINUTE)


def test_codes_of_two_browsers_live_side_by_side(caplog):
    own_pk, own = ask(caplog, browser="of the owner")
    other_pk, other = ask(caplog, browser="of somebody", address="203.0.113.8", at=AT + MINUTE / 2)

    with pytest.raises(login_codes.CodeRefused):
        login_codes.use_code(pk=other_pk, code=own, at=AT + MINUTE)

    assert login_codes.use_code(pk=own_pk, code=own, at=AT + MINUTE) == PHONE
    assert login_codes.use_code(pk=other_pk, code=other, at=AT + MINUTE) == PHONE


def test_same_digits_of_two_phones_are_kept_differently():
    kept = {login_codes._hash(phone, "123456") for phone in (PHONE, "79120000012")}

    assert len(kept) == 2


def test_second_code_within_a_minute_is_refused(caplog):
    ask(caplog)

    with pytest.raises(login_codes.TooManyCodes) as refused:
        ask(caplog, at=AT + timedelta(seconds=20))

    sentence = refused.value.sentence.replace("\u00a0", " ")
    assert sentence == "Код уже отправлен. Новый можно запросить через 40 секунд."
    assert LoginCode.objects.count() == 1


def test_sixth_code_within_an_hour_is_refused(caplog):
    for number in range(5):
        ask(caplog, at=AT + number * MINUTE)

    with pytest.raises(login_codes.TooManyCodes) as refused:
        ask(caplog, at=AT + 5 * MINUTE)
    ask(caplog, at=AT + timedelta(hours=1))

    sentence = refused.value.sentence.replace("\u00a0", " ")
    assert sentence == "Кодов запрошено слишком много. Следующий можно запросить через 55 минут."


def test_address_gets_twenty_codes_an_hour(caplog):
    for number in range(20):
        ask(caplog, phone=f"791200001{number:02d}")

    with pytest.raises(login_codes.TooManyCodes):
        ask(caplog, phone="79120000200")
    ask(caplog, phone="79120000200", address="203.0.113.8")

    assert LoginCode.objects.count() == 21


def test_visitor_without_address_is_limited_by_phone(caplog):
    pk, code = ask(caplog, address=None)

    with pytest.raises(login_codes.TooManyCodes):
        ask(caplog, address=None)

    assert login_codes.use_code(pk=pk, code=code, at=AT) == PHONE


def test_code_from_the_future_blocks_nobody(caplog):
    ask(caplog, at=AT + timedelta(days=365))

    pk, code = ask(caplog, at=AT)

    assert login_codes.use_code(pk=pk, code=code, at=AT) == PHONE


# Ceilings of the service


def earlier(number: int, *, phones: str = "7912{:03d}0000", at=AT) -> None:
    """Rows of as many codes, for as many numbers from as many addresses, none of them from a known browser."""
    LoginCode.objects.bulk_create(
        LoginCode(
            phone=phones.format(one),
            address=f"198.51.{one // 200}.{one % 200}",
            code_hash="0" * 64,
            sent_at=at,
            expires_at=at + login_codes.LIFETIME,
        )
        for one in range(number)
    )


def refused(caplog, number: int, *, phones: str, **fields) -> list[bool]:
    """Whether each of as many requests for as many numbers is refused."""
    seen = []
    for one in range(number):
        try:
            ask(caplog, phone=phones.format(one), address=f"203.0.113.{one}", **fields)
            seen.append(False)
        except login_codes.TooManyCodes:
            seen.append(True)
    return seen


def test_flood_of_numbers_and_addresses_stops_with_one_alert(caplog):
    earlier(58)

    seen = refused(caplog, 5, phones="7913{:03d}0000")

    assert seen == [False, False, True, True, True]
    assert list(Alert.objects.values_list("key", "seen_times")) == [("codes:all", 3)]


def test_unknown_browsers_get_three_hundred_codes_an_hour(caplog):
    earlier(298)

    seen = refused(caplog, 4, phones="7913{:03d}0000", at=AT + 30 * MINUTE)

    assert seen == [False, False, True, True]
    assert ask(caplog, at=AT + 61 * MINUTE)[1] != ""


def test_numbers_of_one_block_are_stopped_with_one_alert(caplog):
    earlier(28, phones="7912345{:04d}")

    seen = refused(caplog, 4, phones="79123451{:03d}")

    assert seen == [False, False, True, True]
    assert list(Alert.objects.values_list("key", "seen_times")) == [("codes:prefix:7912345", 2)]
    assert ask(caplog)[1] != ""


def test_known_browsers_have_a_reserve_with_an_alert(caplog):
    earlier(600)
    LoginCode.objects.update(is_known=True)

    seen = refused(caplog, 2, phones="7913{:03d}0000", is_known=True)

    assert seen == [True, True]
    assert list(Alert.objects.values_list("key", "seen_times")) == [("codes:reserve", 2)]
    assert ask(caplog)[1] != ""


def test_known_browser_signs_in_during_a_flood(caplog):
    earlier(300)

    pk, code = ask(caplog, browser="of the owner", is_known=True)

    assert login_codes.use_code(pk=pk, code=code, at=AT) == PHONE


def test_requests_of_others_leave_a_known_browser_its_codes(caplog):
    for number in range(12):
        with suppress(login_codes.TooManyCodes):
            ask(caplog, address=f"203.0.113.{number}", at=AT + number * MINUTE)

    from_unknown = LoginCode.objects.count()
    pk, code = ask(caplog, browser="of the owner", is_known=True, at=AT + 12 * MINUTE)

    assert from_unknown == 10
    assert login_codes.use_code(pk=pk, code=code, at=AT + 12 * MINUTE) == PHONE


def test_one_address_cannot_use_up_the_codes_of_a_phone(caplog):
    for number in range(8):
        with suppress(login_codes.TooManyCodes):
            ask(caplog, address="198.51.100.1", at=AT + number * MINUTE)

    _, code = ask(caplog, at=AT + 8 * MINUTE)

    assert LoginCode.objects.count() == 6
    assert code != ""


def test_known_browser_has_limits_of_its_own(caplog):
    for number in range(5):
        ask(caplog, browser="of the owner", is_known=True, at=AT + number * MINUTE)

    with pytest.raises(login_codes.TooManyCodes):
        ask(caplog, browser="of the owner", is_known=True, at=AT + 5 * MINUTE)


@pytest.mark.parametrize("phone", ["77011234567", "375291234567", "12025550123"])
def test_no_sms_goes_abroad_unless_the_country_is_listed(caplog, settings, phone):
    with pytest.raises(login_codes.ForeignNumber):
        ask(caplog, phone=phone)
    settings.SMS_COUNTRIES = ["RU", "KZ", "BY", "US"]

    _, code = ask(caplog, phone=phone)

    assert code != ""
    assert LoginCode.objects.count() == 1


# Wrong codes over the whole service


def guesses(caplog, *, people: int, each: int) -> Counter[str]:
    """Wrong codes for as many numbers from as many addresses: classes of the refusals."""
    seen: Counter[str] = Counter()
    for number in range(people):
        at = AT + number * timedelta(seconds=2)
        pk, code = ask(caplog, phone=f"7912{number:03d}0000", address=f"198.51.100.{number}", at=at)
        for _ in range(each):
            with pytest.raises(login_codes.CodeRefused) as refused:
                login_codes.use_code(pk=pk, code=another(code), at=at)
            seen[refused.value.sentence.replace("\u00a0", " ").split(".")[0]] += 1
    return seen


def test_fifty_wrong_codes_stop_unknown_browsers_with_one_alert(caplog):
    seen = guesses(caplog, people=15, each=4)

    assert seen == {"Код не подошёл": 50, "Неверных кодов сейчас слишком много": 10}
    assert list(Alert.objects.values_list("key", "seen_times")) == [("codes:wrong", 10)]


def test_right_code_of_an_unknown_browser_waits_during_guessing(caplog):
    guesses(caplog, people=15, each=4)
    unknown_pk, unknown = ask(caplog, at=AT + MINUTE)
    known_pk, known = ask(caplog, browser="of the owner", is_known=True, at=AT + MINUTE)

    with pytest.raises(login_codes.CodeRefused):
        login_codes.use_code(pk=unknown_pk, code=unknown, at=AT + MINUTE)

    assert login_codes.use_code(pk=known_pk, code=known, at=AT + MINUTE) == PHONE


def test_one_address_gets_fifteen_wrong_codes(caplog):
    codes = [ask(caplog, phone=f"7912000010{number}") for number in range(4)]
    sentences = []

    for pk, code in codes:
        for _ in range(4):
            with pytest.raises(login_codes.CodeRefused) as refused:
                login_codes.use_code(pk=pk, code=another(code), at=AT)
            sentences.append(refused.value.sentence)

    assert [sentence.startswith("Неверных") for sentence in sentences] == [False] * 15 + [True]


def test_right_and_wrong_codes_are_audited_with_masked_phone(caplog):
    person = make_user(PHONE)
    pk, code = ask(caplog)

    with pytest.raises(login_codes.CodeRefused):
        login_codes.use_code(pk=pk, code=another(code), at=AT)
    login_codes.use_code(pk=pk, code=code, at=AT)

    fields = ("action", "text", "target", "target_id", "actor_name", "merchant_id")
    assert list(AuditEvent.objects.order_by("pk").values_list(*fields)) == [
        (
            "code.refused",
            "Неверный код из СМС, номер +7912•••11",
            "user",
            person.pk,
            "+7912•••11",
            None,
        ),
        (
            "code.accepted",
            "Верный код из СМС, номер +7912•••11",
            "user",
            person.pk,
            "+7912•••11",
            None,
        ),
    ]


def test_row_keeps_a_keyed_hash_only(caplog):
    pk, code = ask(caplog)

    row = LoginCode.objects.get(pk=pk)

    assert code
    assert re.fullmatch(r"[0-9a-f]{64}", row.code_hash)


def test_phone_without_a_cabinet_gets_an_sms_without_a_code(caplog):
    pk, code = ask(caplog, sms=login_codes.NO_CABINET)

    assert code == ""
    assert "кабинета с этим номером нет" in caplog.text
    with pytest.raises(login_codes.CodeRefused):
        login_codes.use_code(pk=pk, code="000000", at=AT)


def test_purge_forgets_codes_older_than_thirty_days(caplog):
    ask(caplog)
    fresh_pk, _ = ask(caplog, at=AT + timedelta(days=10))

    purged = login_codes.purge_codes(at=AT + timedelta(days=31))

    assert purged == 1
    assert list(LoginCode.objects.values_list("pk", flat=True)) == [fresh_pk]


@pytest.mark.django_db(transaction=True)
def test_many_requests_at_once_send_one_code():
    together = threading.Barrier(6)

    def send(_number: int) -> bool:
        try:
            together.wait()
            login_codes.send_code(
                phone=PHONE, address="203.0.113.7", sms=login_codes.SIGN_IN, at=AT
            )
        except login_codes.TooManyCodes:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(6) as pool:
        sent = list(pool.map(send, range(6)))

    assert sorted(sent) == [False] * 5 + [True]
    assert LoginCode.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_many_tries_at_once_count_one_by_one(caplog):
    pk, code = ask(caplog)
    together = threading.Barrier(8)

    def guess(_number: int) -> str:
        try:
            together.wait()
            login_codes.use_code(pk=pk, code=another(code), at=AT)
        except login_codes.CodeRefused as refused:
            return type(refused).__name__
        finally:
            connection.close()
        return "taken"

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(guess, range(8)))

    assert outcomes == ["CodeExpired"] * 4 + ["CodeRefused"] * 4
    assert LoginCode.objects.get(pk=pk).tries == 5
