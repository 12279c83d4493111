"""The second factor of a person: an authenticator app (RFC 6238) and ten recovery codes.

Codes go by the real time, as the app does, and not by the product's clock.
"""

import secrets
from base64 import b32decode, b32encode
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import transaction
from django_otp.oath import TOTP

from cabinet import audit
from cabinet.actors import Actor
from cabinet.crypto import fingerprint
from cabinet.enums import ActorKind
from cabinet.errors import Refused
from cabinet.models import SecondFactor, User, UserSession

ISSUER = "Кассовые сервисы"
WRONG_CODES, WRONG_FOR = 5, timedelta(minutes=15)
RECOVERY_CODES = 10
# Phone and server may stand this many steps of 30 seconds apart.
_TOLERANCE = 1
_SECRET_BYTES = 20


class WrongCode(Refused):
    """The code does not fit, or too many wrong ones came before it."""


WRONG = "Код не подошёл. Введите новый код из приложения или запасной код."
_WRONG_FIRST = "Код не подошёл. Проверьте время на телефоне и введите код, который приложение показывает сейчас."


def is_set_up(user: User) -> bool:
    """Whether this person has confirmed an authenticator app."""
    return SecondFactor.objects.filter(user=user).exists()


def is_required(user: User) -> bool:
    """Whether this person may not work without a second factor: staff outside the sandbox."""
    return user.is_staff and not settings.SANDBOX


def new_secret() -> str:
    """A random key for an app, in Base32 as apps take it; nothing is stored before it is confirmed."""
    return b32encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def app_address(*, user: User, secret: str) -> str:
    """The `otpauth:` address that authenticator apps read from a QR code.

    Format: github.com/google/google-authenticator/wiki/Key-Uri-Format.
    """
    label = quote(f"{ISSUER}:{user.username}")
    return f"otpauth://totp/{label}?" + urlencode(
        {"secret": secret, "issuer": ISSUER}, quote_via=quote
    )


@transaction.atomic
def set_up(*, user: User, secret: str, code: str, by: Actor, at: datetime) -> list[str]:
    """Switch the factor on by the first code of the app. Gives the recovery codes, readable only now.

    Raises WrongCode, and Refused where one has been set up meanwhile.
    """
    factor = SecondFactor(user=user, secret=secret, confirmed_at=at)
    User.objects.select_for_update().get(pk=user.pk)
    if is_set_up(user):
        raise Refused("Код из приложения уже включён.")
    if not _fits_app(factor, code):
        raise WrongCode(_WRONG_FIRST)
    codes = _new_recovery_codes(factor)
    factor.save()
    audit.record(user, "second_factor.set_up", "Включён второй фактор входа", by=by, at=at)
    return codes


def check(*, user: User, code: str, at: datetime) -> bool:
    """Whether this is the code of the app, or a recovery code; each is accepted once.

    After five wrong codes within 15 minutes only a recovery code is accepted: it cannot be guessed.
    """
    with transaction.atomic():
        factor = _lock(user)
        if factor is None:
            return False
        fits = _use_recovery_code(factor, code) or (
            not _is_blocked(factor, at) and _fits_app(factor, code)
        )
        _count(factor, fits, at)
        factor.save()
        if not fits:
            audit.record(
                user, "second_factor.wrong", "Неверный код второго фактора", by=_actor(user), at=at
            )
        return fits


def renew_recovery_codes(*, user: User, code: str, by: Actor, at: datetime) -> list[str]:
    """New recovery codes; the former ones are worth nothing. Raises WrongCode."""
    _check(user, code, at)
    with transaction.atomic():
        factor = SecondFactor.objects.select_for_update().get(user=user)
        codes = _new_recovery_codes(factor)
        factor.save(update_fields=["recovery"])
        audit.record(user, "second_factor.new_codes", "Выданы новые запасные коды", by=by, at=at)
    return codes


def switch_off(*, user: User, code: str, by: Actor, at: datetime) -> None:
    """The person removes the factor. Raises WrongCode, and Refused where the factor is required."""
    if is_required(user):
        raise Refused("Сотрудники сервиса входят только со вторым фактором.")
    _check(user, code, at)
    with transaction.atomic():
        SecondFactor.objects.filter(user=user).delete()
        audit.record(user, "second_factor.removed", "Второй фактор входа отключён", by=by, at=at)


@transaction.atomic
def reset(*, user: User, reason: str, by: Actor, at: datetime) -> None:
    """Remove the factor of somebody who lost phone and codes, and end their sessions.

    Raises Refused where there is none.
    """
    if not SecondFactor.objects.filter(user=user).delete()[0]:
        raise Refused("Второй фактор не настроен.")
    UserSession.objects.filter(user=user).end()
    audit.record(
        user, "second_factor.reset", "Второй фактор входа сброшен", by=by, at=at, reason=reason
    )


def _actor(user: User) -> Actor:
    kind = ActorKind.STAFF if user.is_staff else ActorKind.PERSON
    return Actor(kind, user.shown_name, user.pk)


def _check(user: User, code: str, at: datetime) -> None:
    # In a transaction of its own: a wrong code is counted although the change is refused.
    if not check(user=user, code=code, at=at):
        raise WrongCode(WRONG)


def _lock(user: User) -> SecondFactor | None:
    return SecondFactor.objects.select_for_update().filter(user=user).first()


def _fits_app(factor: SecondFactor, code: str) -> bool:
    digits = "".join(code.split())
    if len(digits) != 6 or not (digits.isascii() and digits.isdigit()):
        return False
    totp = TOTP(b32decode(factor.secret))
    if not totp.verify(int(digits), tolerance=_TOLERANCE, min_t=factor.last_step + 1):
        return False
    factor.last_step = totp.t()
    return True


def _is_blocked(factor: SecondFactor, at: datetime) -> bool:
    return factor.wrong_codes >= WRONG_CODES and _is_recent(factor, at)


def _is_recent(factor: SecondFactor, at: datetime) -> bool:
    return factor.wrong_since is not None and abs(at - factor.wrong_since) < WRONG_FOR


def _count(factor: SecondFactor, fits: bool, at: datetime) -> None:
    if fits:
        factor.wrong_codes, factor.wrong_since = 0, None
    elif not _is_recent(factor, at):
        factor.wrong_codes, factor.wrong_since = 1, at
    else:
        factor.wrong_codes = min(factor.wrong_codes + 1, WRONG_CODES)


def _use_recovery_code(factor: SecondFactor, code: str) -> bool:
    mark = _recovery_mark(factor.user_id, code)
    if mark not in factor.recovery:
        return False
    factor.recovery.remove(mark)
    return True


def _new_recovery_codes(factor: SecondFactor) -> list[str]:
    codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
    factor.recovery = [_recovery_mark(factor.user_id, code) for code in codes]
    return codes


def _recovery_code() -> str:
    """«abcd-efgh-jkmn-pqrs»: 80 bits."""
    text = b32encode(secrets.token_bytes(10)).decode().lower()
    return "-".join(text[start : start + 4] for start in range(0, 16, 4))


def _recovery_mark(user_id: int, code: str) -> str:
    typed = "".join(code.split()).replace("-", "").casefold()
    return fingerprint(f"recovery-code:{user_id}:{typed}")
