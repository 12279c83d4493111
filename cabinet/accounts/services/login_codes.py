"""Codes by SMS: six digits, ten minutes, five tries, used once; only a keyed hash is kept.

Codes live side by side: each belongs to the browser that asked, so a request of somebody else neither ends
nor replaces it. What unknown browsers may ask for is limited by ceilings that say nothing about the phone; a
browser in which the phone's own person has signed in before has a reserve of its own beside them.
"""

import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, QuerySet, Sum

from cabinet import audit
from cabinet.actors import Actor
from cabinet.crypto import fingerprint
from cabinet.enums import ActorKind
from cabinet.errors import Refused
from cabinet.formatting import phone_numbers, ru_format
from cabinet.messaging import alerts, outbox
from cabinet.models import LoginCode, User
from cabinet.tasks import advisory_lock

LIFETIME = timedelta(minutes=10)
MAX_TRIES = 5
KEEP = timedelta(days=30)
# Wrong tries of codes that are still alive, from browsers that are not known: of one address, of the service.
MAX_WRONG_OF_ADDRESS = 15
MAX_WRONG = 50

# Clocks of two servers may differ by this much; codes from further ahead were left by a shifted sandbox clock.
_SKEW = timedelta(minutes=1)
_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
# The first seven digits of a number: a block of 10,000 numbers, as they are sold and pumped.
_PREFIX = 7
_LINK = "/admin/cabinet/message/?event=code"


class TooManyCodes(Refused):
    """A limit of the phone, of the visitor's address or of the service is reached."""


class ForeignNumber(Refused):
    """The number belongs to no country of SMS_COUNTRIES."""


class CodeRefused(Refused):
    """The code is wrong, old, used, or was tried too often."""


class CodeExpired(CodeRefused):
    """No further try can succeed: a new code has to be asked for."""


@dataclass(frozen=True)
class _Limit:
    """At most `most` codes within `window` among those that `fields` of the new one select."""

    fields: dict[str, object]
    window: timedelta
    most: int
    alarm: str = ""
    alarm_text: str = field(default="", repr=False)


SIGN_IN = "{code} — код входа в «Кассовые сервисы». Никому его не называйте."
CONFIRM_PHONE = "{code} — код подтверждения телефона в «Кассовых сервисах»."
# Sent to unknown phones too: otherwise the time of our answer would show which phones are known.
NO_CABINET = "На ваш номер запросили вход в «Кассовые сервисы», но кабинета с этим номером нет."


def send_code(
    *,
    phone: str,
    address: str | None,
    sms: str,
    at: datetime,
    browser: str = "",
    is_known: bool = False,
) -> int:
    """Store a new code, then send it; gives the primary key, for the visitor's session.

    `sms` is a text with «{code}»; a phone that is sent a text without it has no working code. `browser` is
    what the asking browser alone knows; "" where a session keeps the key. `is_known`: in this browser or
    session the phone's own person has signed in before, so the reserve is theirs. Raises TooManyCodes before
    anything is written (staff are alerted where the ceiling is the service's), and notifications.NotSent
    after the row is written: the failed attempt counts towards the limits.
    """
    if phone_numbers.mobile(f"+{phone}") is None:
        raise ForeignNumber("На этот номер мы не отправляем СМС. Укажите мобильный номер.")
    code = f"{secrets.randbelow(1_000_000):06d}"
    secret = code if "{code}" in sms else secrets.token_hex()
    row = LoginCode(
        phone=phone,
        address=address,
        browser=_browser_mark(browser),
        is_known=is_known,
        code_hash=_hash(phone, secret),
        sent_at=at,
        expires_at=at + LIFETIME,
    )
    refusal = _store(row, at)
    # Raised outside the transaction: the alert stays.
    if refusal:
        raise refusal
    outbox.send_code(phone=phone, text=sms.format(code=code), at=at)
    return row.pk


@transaction.atomic
def _store(row: LoginCode, at: datetime) -> TooManyCodes | None:
    advisory_lock.acquire("login-codes")
    refusal = _check_limits(_limits(row), at)
    if refusal is None:
        row.save(force_insert=True)
    return refusal


def _browser_mark(browser: str) -> str:
    """What the row keeps of the browser's secret; "" for none."""
    return fingerprint(f"code-browser:{browser}") if browser else ""


def _hash(phone: str, secret: str) -> str:
    return fingerprint(f"login-code:{phone}:{secret}")


def _limits(row: LoginCode) -> list[_Limit]:
    """Known browsers are counted apart, so that unknown ones cannot use up what is theirs."""
    return _known_limits(row) if row.is_known else _unknown_limits(row)


def _known_limits(row: LoginCode) -> list[_Limit]:
    own: dict[str, object] = {"is_known": True, "phone": row.phone}
    here = own | {"browser": row.browser}
    reserve = (
        "Со знакомых устройств просят больше 600 кодов за час. Новые коды не отправляем никому."
    )
    return [
        _Limit(here, _MINUTE, 1),
        _Limit(here, _HOUR, 5),
        _Limit(own, _HOUR, 10),
        _Limit({"is_known": True}, _HOUR, 600, "codes:reserve", reserve),
    ]


def _unknown_limits(row: LoginCode) -> list[_Limit]:
    unknown: dict[str, object] = {"is_known": False}
    of_phone = unknown | {"phone": row.phone}
    of_address = unknown | {"address": row.address}
    here = of_phone | of_address
    return [
        _Limit(here, _MINUTE, 1),
        _Limit(here, _HOUR, 5),
        _Limit(of_phone, _HOUR, 10),
        *([_Limit(of_address, _HOUR, 20)] if row.address else []),
        *_service_limits(row.phone[:_PREFIX], unknown),
    ]


def _service_limits(prefix: str, unknown: dict[str, object]) -> list[_Limit]:
    block = (
        f"На номера +{prefix}… просят больше 30 кодов за час. Новым устройствам с ними отказываем."
    )
    flood = "Кодов входа просят слишком много. Новым устройствам отказываем, знакомые входят."
    of_block = unknown | {"phone__startswith": prefix}
    return [
        _Limit(of_block, _HOUR, 30, f"codes:prefix:{prefix}", block),
        _Limit(unknown, _MINUTE, 60, "codes:all", flood),
        _Limit(unknown, _HOUR, 300, "codes:all", flood),
    ]


def _check_limits(limits: list[_Limit], at: datetime) -> TooManyCodes | None:
    for limit in limits:
        recent = LoginCode.objects.filter(
            **limit.fields, sent_at__gt=at - limit.window, sent_at__lte=at + _SKEW
        ).order_by("-sent_at")
        moments = list(recent.values_list("sent_at", flat=True)[: limit.most])
        if len(moments) == limit.most:
            if limit.alarm:
                alerts.raise_alert(key=limit.alarm, text=limit.alarm_text, at=at, link=_LINK)
            return TooManyCodes(_wait_sentence(moments[-1] + limit.window - at, limit))
    return None


def _wait_sentence(left: timedelta, limit: _Limit) -> str:
    seconds = max(1, int(left.total_seconds()))
    if seconds < 60 and limit.most == 1:
        wait = ru_format.counted(seconds, "секунду", "секунды", "секунд")
        return f"Код уже отправлен. Новый можно запросить через {wait}."
    minutes = -(-seconds // 60)
    return (
        "Кодов запрошено слишком много. Следующий можно запросить через "
        f"{ru_format.counted(minutes, 'минуту', 'минуты', 'минут')}."
    )


def newest_code(*, browser: str, at: datetime) -> LoginCode | None:
    """The unused code that this browser asked for last, of the last hour; it may have ended meanwhile."""
    if not browser:
        return None
    asked = LoginCode.objects.filter(
        browser=_browser_mark(browser),
        used_at=None,
        sent_at__gt=at - _HOUR,
        sent_at__lte=at + _SKEW,
    )
    return asked.order_by("-sent_at", "-pk").first()


def use_code(*, pk: int, code: str, at: datetime) -> str:
    """Mark the code as used; gives the phone that it proves. A wrong try is counted although it is refused.

    Where the code was asked for by a browser, any living code of that browser and phone is right: an SMS may
    come late. Right and wrong tries are in the audit log. Raises CodeRefused while there are tries left,
    CodeExpired where there are none.
    """
    with transaction.atomic():
        advisory_lock.acquire("login-codes:tries")
        row = LoginCode.objects.select_for_update().filter(pk=pk).first()
        outcome = _outcome(row, code, at)
    # Raised outside the transaction: the try stays counted.
    if isinstance(outcome, CodeRefused):
        raise outcome
    return outcome


def _outcome(row: LoginCode | None, code: str, at: datetime) -> str | CodeRefused:
    if row is None or row.used_at is not None or row.expires_at <= at or row.tries >= MAX_TRIES:
        return CodeExpired("Этот код больше не действует. Запросите новый.")
    if not row.is_known and _too_many_wrong(row, at):
        return CodeRefused(
            "Неверных кодов сейчас слишком много. Подождите 10 минут и запросите новый."
        )
    living = _living_codes(row, at)
    hashed = _hash(row.phone, code)
    right = [one for one in living if hmac.compare_digest(one.code_hash, hashed)]
    _record_try(row, "code.accepted" if right else "code.refused", at)
    if right:
        living.update(used_at=at)
        return row.phone
    LoginCode.objects.filter(pk=row.pk).update(tries=F("tries") + 1)
    return _wrong(MAX_TRIES - row.tries - 1)


def _living_codes(row: LoginCode, at: datetime) -> QuerySet[LoginCode]:
    own = LoginCode.objects.filter(pk=row.pk)
    if not row.browser:
        return own
    return LoginCode.objects.filter(
        browser=row.browser, phone=row.phone, used_at=None, expires_at__gt=at, tries__lt=MAX_TRIES
    )


def _too_many_wrong(row: LoginCode, at: datetime) -> bool:
    living = LoginCode.objects.filter(
        is_known=False, sent_at__gt=at - LIFETIME, sent_at__lte=at + _SKEW
    )
    if row.address and _wrong_tries(living.filter(address=row.address)) >= MAX_WRONG_OF_ADDRESS:
        return True
    if _wrong_tries(living) < MAX_WRONG:
        return False
    alerts.raise_alert(
        key="codes:wrong",
        text="Неверных кодов входа слишком много: подбирают. Новым устройствам отказываем, знакомые входят.",
        at=at,
        link="/admin/cabinet/auditevent/?action=code.refused",
    )
    return True


def _wrong_tries(codes: QuerySet[LoginCode]) -> int:
    return int(codes.aggregate(total=Sum("tries", default=0))["total"])


def _record_try(row: LoginCode, action: str, at: datetime) -> None:
    """For staff only: the event belongs to no company."""
    shown = phone_numbers.masked(row.phone)
    user = User.objects.filter(phone=row.phone).first() or User(pk=0)
    text = "Верный код из СМС" if action == "code.accepted" else "Неверный код из СМС"
    audit.record(
        user,
        action,
        f"{text}, номер {shown}",
        by=Actor(ActorKind.PERSON, shown),
        at=at,
        details={"known_browser": row.is_known},
    )


def _wrong(left: int) -> CodeRefused:
    if left == 0:
        return CodeExpired("Код не подошёл пять раз. Запросите новый.")
    tries = ru_format.counted(left, "попытка", "попытки", "попыток")
    verb = ru_format.plural(left, "Осталась", "Осталось", "Осталось")
    return CodeRefused(f"Код не подошёл. {verb} {tries}.")


def purge_codes(*, at: datetime) -> int:
    """Delete codes older than `KEEP`; gives how many."""
    deleted, _ = LoginCode.objects.filter(sent_at__lt=at - KEEP).delete()
    return deleted
