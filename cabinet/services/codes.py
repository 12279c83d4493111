"""Codes by SMS: six digits, ten minutes, five tries, used once; only a keyed hash is kept."""

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from cabinet import locks, messengers, wording
from cabinet.crypto import fingerprint
from cabinet.errors import Refused
from cabinet.models import LoginCode

LIFETIME = timedelta(minutes=10)
MOST_TRIES = 5
KEEP = timedelta(days=30)

# Two servers' clocks may differ by this much; codes from further ahead were left by a clock that was moved.
_SKEW = timedelta(minutes=1)
_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
_LIMITS = (("phone", _MINUTE, 1), ("phone", _HOUR, 5), ("address", _HOUR, 20))


class TooManyCodes(Refused):
    """A limit of the phone or of the visitor's address is reached."""


class CodeRefused(Refused):
    """The code is wrong, old, used, or was tried too often."""


class CodeIsOver(CodeRefused):
    """No further try can succeed: a new code has to be asked for."""


@dataclass(frozen=True)
class Sms:
    """The words; `{code}` stands in them unless the phone must not get a working code."""

    text: str
    works: bool


SIGN_IN = Sms("{code} — код входа в «Кассовые сервисы». Никому его не называйте.", works=True)
CONFIRM_PHONE = Sms("{code} — код подтверждения телефона в «Кассовых сервисах».", works=True)
# Somebody without a cabinet gets an SMS too, so that nobody can tell a known phone by the time of our answer.
NO_CABINET = Sms(
    "На ваш номер запросили вход в «Кассовые сервисы», но кабинета с этим номером нет.", works=False
)


def send_code(*, phone: str, address: str | None, sms: Sms, at: datetime) -> int:
    """Keep a new code, then send it; gives the number of the row for the visitor's session.

    The phone's earlier codes stop working. Raises TooManyCodes before anything is written, and
    messengers.NotSent after the row is written: the failed attempt counts towards the limits.
    """
    code = f"{secrets.randbelow(1_000_000):06d}"
    row = _keep(phone, address, code if sms.works else secrets.token_hex(), at)
    messengers.send_sms(to=phone, text=sms.text.format(code=code))
    return row.pk


@transaction.atomic
def _keep(phone: str, address: str | None, secret: str, at: datetime) -> LoginCode:
    locks.hold(f"code:phone:{phone}")
    if address:
        locks.hold(f"code:address:{address}")
    _check_limits({"phone": phone, "address": address}, at)
    LoginCode.objects.filter(phone=phone, used_at=None, expires_at__gt=at).update(expires_at=at)
    return LoginCode.objects.create(
        phone=phone,
        address=address,
        code_hash=_hash(phone, secret),
        sent_at=at,
        expires_at=at + LIFETIME,
    )


def _hash(phone: str, secret: str) -> str:
    return fingerprint(f"login-code:{phone}:{secret}")


def _check_limits(values: dict[str, str | None], at: datetime) -> None:
    for field, window, most in _LIMITS:
        if values[field] is None:
            continue
        recent = LoginCode.objects.filter(
            **{field: values[field]}, sent_at__gt=at - window, sent_at__lte=at + _SKEW
        ).order_by("-sent_at")
        moments = list(recent.values_list("sent_at", flat=True)[:most])
        if len(moments) == most:
            raise TooManyCodes(_wait_sentence(moments[-1] + window - at))


def _wait_sentence(left: timedelta) -> str:
    seconds = max(1, int(left.total_seconds()))
    if seconds < 60:
        wait = wording.counted(seconds, "секунду", "секунды", "секунд")
        return f"Код уже отправлен. Новый можно запросить через {wait}."
    minutes = -(-seconds // 60)
    return (
        "Кодов запрошено слишком много. Следующий можно запросить через "
        f"{wording.counted(minutes, 'минуту', 'минуты', 'минут')}."
    )


def use_code(*, pk: int, code: str, at: datetime) -> str:
    """Spend the code; gives the phone that it proves. A wrong try is counted even though it is refused.

    Raises CodeRefused while there are tries left, CodeIsOver where there are none.
    """
    with transaction.atomic():
        row = LoginCode.objects.select_for_update().filter(pk=pk).first()
        outcome = _outcome(row, code, at)
    # Raised outside the transaction: the try stays counted.
    if isinstance(outcome, CodeRefused):
        raise outcome
    return outcome


def _outcome(row: LoginCode | None, code: str, at: datetime) -> str | CodeRefused:
    if row is None or row.used_at is not None or row.expires_at <= at or row.tries >= MOST_TRIES:
        return CodeIsOver("Этот код больше не действует. Запросите новый.")
    row.tries += 1
    right = hmac.compare_digest(row.code_hash, _hash(row.phone, code))
    if right:
        row.used_at = at
    row.save(update_fields=["tries", "used_at"])
    return row.phone if right else _wrong(MOST_TRIES - row.tries)


def _wrong(left: int) -> CodeRefused:
    if left == 0:
        return CodeIsOver("Код не подошёл пять раз. Запросите новый.")
    tries = wording.counted(left, "попытка", "попытки", "попыток")
    verb = wording.plural(left, "Осталась", "Осталось", "Осталось")
    return CodeRefused(f"Код не подошёл. {verb} {tries}.")


def purge_codes(*, at: datetime) -> int:
    """Forget codes older than `KEEP`; gives how many."""
    deleted, _ = LoginCode.objects.filter(sent_at__lt=at - KEEP).delete()
    return deleted
