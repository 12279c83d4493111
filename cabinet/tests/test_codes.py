"""Codes by SMS: limits, tries, life, and that nothing readable is kept."""

import logging
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from cabinet.models import LoginCode
from cabinet.services import codes
from cabinet.tests.people import AT

pytestmark = pytest.mark.django_db

PHONE = "79120000011"
MINUTE = timedelta(minutes=1)


def ask(caplog, *, phone=PHONE, address="203.0.113.7", at=AT, sms=codes.SIGN_IN) -> tuple[int, str]:
    """Number of the code and the digits that the SMS carried."""
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="cabinet.messengers"):
        pk = codes.send_code(phone=phone, address=address, sms=sms, at=at)
    found = re.search(r": ([0-9]{6}) ", caplog.text)
    return pk, found.group(1) if found else ""


def another(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


def test_code_proves_its_phone_once(caplog):
    pk, code = ask(caplog)

    phone = codes.use_code(pk=pk, code=code, at=AT + MINUTE)

    assert phone == PHONE
    with pytest.raises(codes.CodeIsOver):
        codes.use_code(pk=pk, code=code, at=AT + MINUTE)


def test_code_lives_ten_minutes(caplog):
    pk, code = ask(caplog)

    with pytest.raises(codes.CodeIsOver):
        codes.use_code(pk=pk, code=code, at=AT + timedelta(minutes=10))

    late = AT + timedelta(minutes=10) - timedelta(seconds=1)
    assert codes.use_code(pk=pk, code=code, at=late) == PHONE


def test_wrong_tries_are_counted_and_the_fifth_ends_it(caplog):
    pk, code = ask(caplog)
    sentences = []

    for _ in range(5):
        with pytest.raises(codes.CodeRefused) as refused:
            codes.use_code(pk=pk, code=another(code), at=AT)
        sentences.append(refused.value.sentence.replace("\u00a0", " "))

    assert sentences == [
        "Код не подошёл. Осталось 4 попытки.",
        "Код не подошёл. Осталось 3 попытки.",
        "Код не подошёл. Осталось 2 попытки.",
        "Код не подошёл. Осталась 1 попытка.",
        "Код не подошёл пять раз. Запросите новый.",
    ]
    with pytest.raises(codes.CodeIsOver):
        codes.use_code(pk=pk, code=code, at=AT)


def test_new_code_ends_the_earlier_one(caplog):
    first_pk, first = ask(caplog)
    second_pk, second = ask(caplog, at=AT + MINUTE)

    with pytest.raises(codes.CodeIsOver):
        codes.use_code(pk=first_pk, code=first, at=AT + MINUTE)

    assert codes.use_code(pk=second_pk, code=second, at=AT + MINUTE) == PHONE


def test_same_digits_of_two_phones_are_kept_differently():
    kept = {codes._hash(phone, "123456") for phone in (PHONE, "79120000012")}

    assert len(kept) == 2


def test_second_code_within_a_minute_is_refused(caplog):
    ask(caplog)

    with pytest.raises(codes.TooManyCodes) as refused:
        ask(caplog, at=AT + timedelta(seconds=20))

    sentence = refused.value.sentence.replace("\u00a0", " ")
    assert sentence == "Код уже отправлен. Новый можно запросить через 40 секунд."
    assert LoginCode.objects.count() == 1


def test_sixth_code_within_an_hour_is_refused(caplog):
    for number in range(5):
        ask(caplog, at=AT + number * MINUTE)

    with pytest.raises(codes.TooManyCodes) as refused:
        ask(caplog, at=AT + 5 * MINUTE)
    ask(caplog, at=AT + timedelta(hours=1))

    sentence = refused.value.sentence.replace("\u00a0", " ")
    assert sentence == "Кодов запрошено слишком много. Следующий можно запросить через 55 минут."


def test_address_gets_twenty_codes_an_hour(caplog):
    for number in range(20):
        ask(caplog, phone=f"791200001{number:02d}")

    with pytest.raises(codes.TooManyCodes):
        ask(caplog, phone="79120000200")
    ask(caplog, phone="79120000200", address="203.0.113.8")

    assert LoginCode.objects.count() == 21


def test_visitor_without_a_known_address_is_limited_by_the_phone_alone(caplog):
    pk, code = ask(caplog, address=None)

    with pytest.raises(codes.TooManyCodes):
        ask(caplog, address=None)

    assert codes.use_code(pk=pk, code=code, at=AT) == PHONE


def test_code_left_by_a_clock_that_was_moved_back_blocks_nobody(caplog):
    ask(caplog, at=AT + timedelta(days=365))

    pk, code = ask(caplog, at=AT)

    assert codes.use_code(pk=pk, code=code, at=AT) == PHONE


def test_row_keeps_a_keyed_hash_only(caplog):
    pk, code = ask(caplog)

    row = LoginCode.objects.get(pk=pk)

    assert code
    assert re.fullmatch(r"[0-9a-f]{64}", row.code_hash)


def test_phone_without_a_cabinet_gets_an_sms_without_a_code(caplog):
    pk, code = ask(caplog, sms=codes.NO_CABINET)

    assert code == ""
    assert "кабинета с этим номером нет" in caplog.text
    with pytest.raises(codes.CodeRefused):
        codes.use_code(pk=pk, code="000000", at=AT)


def test_purge_forgets_codes_older_than_thirty_days(caplog):
    ask(caplog)
    fresh_pk, _ = ask(caplog, at=AT + timedelta(days=10))

    purged = codes.purge_codes(at=AT + timedelta(days=31))

    assert purged == 1
    assert list(LoginCode.objects.values_list("pk", flat=True)) == [fresh_pk]


@pytest.mark.django_db(transaction=True)
def test_many_requests_at_once_send_one_code():
    together = threading.Barrier(6)

    def send(_number: int) -> bool:
        try:
            together.wait()
            codes.send_code(phone=PHONE, address="203.0.113.7", sms=codes.SIGN_IN, at=AT)
        except codes.TooManyCodes:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(6) as pool:
        sent = list(pool.map(send, range(6)))

    assert (sorted(sent), LoginCode.objects.count()) == ([False] * 5 + [True], 1)


@pytest.mark.django_db(transaction=True)
def test_many_tries_at_once_count_one_by_one(caplog):
    pk, code = ask(caplog)
    together = threading.Barrier(8)

    def guess(_number: int) -> str:
        try:
            together.wait()
            codes.use_code(pk=pk, code=another(code), at=AT)
        except codes.CodeRefused as refused:
            return type(refused).__name__
        finally:
            connection.close()
        return "taken"

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(guess, range(8)))

    assert outcomes == ["CodeIsOver"] * 4 + ["CodeRefused"] * 4
    assert LoginCode.objects.get(pk=pk).tries == 5
