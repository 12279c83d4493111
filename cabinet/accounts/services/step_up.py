"""The person behind a session is asked for a code once more: SMS, the code generator where one is set up, or
a code that staff gave out to somebody who has lost the phone.
"""

import hmac
from datetime import datetime, timedelta

from django.db import transaction

from cabinet import audit
from cabinet.accounts.services import login_codes, second_factor
from cabinet.actors import Actor
from cabinet.crypto import fingerprint
from cabinet.errors import Refused
from cabinet.models import Merchant, StepUpPass, User

SMS = "{code} — код подтверждения в «Кассовых сервисах». Никому его не называйте."
PASS_LIFETIME = timedelta(hours=1)
PASS_TRIES = 5
PASS_DIGITS = 8


def send_code(
    *, user: User, address: str | None, session: str, is_known: bool, at: datetime
) -> int:
    """Send a code to the person's phone; gives its primary key, for the session that asked.

    Codes of one `session` live side by side; `is_known` as in login_codes.send_code. Raises Refused without
    a phone, login_codes.TooManyCodes, notifications.NotSent.
    """
    if not user.phone:
        raise Refused("У вас не указан телефон. Позвоните в поддержку: там дадут код.")
    return login_codes.send_code(
        phone=user.phone,
        address=address,
        sms=SMS,
        at=at,
        browser=f"session:{session}",
        is_known=is_known,
    )


def check_code(
    *, user: User, code: str, sent: int | None, merchant: Merchant | None, by: Actor, at: datetime
) -> None:
    """Use the code up: of staff, of the second factor where one is set up, else of the SMS `sent` to this session.

    The audit log keeps how it was proved. A wrong try is counted although it is refused. Raises
    login_codes.CodeRefused.
    """
    if len(code) == PASS_DIGITS and code.isdigit():
        _use_pass(user, code, at)
        text = "Личность подтверждена кодом, который дал сотрудник сервиса"
    elif second_factor.is_set_up(user):
        if not second_factor.check(user=user, code=code, at=at):
            raise login_codes.CodeRefused(second_factor.WRONG)
        text = "Личность подтверждена кодом из приложения или запасным кодом"
    else:
        _use_sms(user, code, sent, at)
        text = "Личность подтверждена кодом из СМС"
    audit.record(
        user,
        "step_up.confirmed",
        text,
        by=by,
        at=at,
        merchant_id=merchant.pk if merchant else None,
    )


def _use_sms(user: User, code: str, sent: int | None, at: datetime) -> None:
    if sent is None or login_codes.use_code(pk=sent, code=code, at=at) != user.phone:
        raise login_codes.CodeExpired("Этот код больше не действует. Запросите новый.")


def _use_pass(user: User, code: str, at: datetime) -> None:
    with transaction.atomic():
        row = StepUpPass.objects.select_for_update().filter(user=user, used_at=None).first()
        usable = row is not None and row.expires_at > at and row.tries < PASS_TRIES
        right = usable and row is not None and hmac.compare_digest(row.code_hash, _hash(user, code))
        if usable and row is not None:
            row.tries += 1
            row.used_at = at if right else None
            row.save(update_fields=["tries", "used_at"])
    # Raised outside the transaction: the try stays counted.
    if not right:
        raise login_codes.CodeRefused("Код не подошёл. Попросите в поддержке новый.")


@transaction.atomic
def allow_once(*, user: User, code: str, reason: str, by: Actor, at: datetime) -> None:
    """Staff have recognised the person: `code` is good once, within `PASS_LIFETIME`. An earlier one ends.

    Raises Refused where it does not have `PASS_DIGITS` digits. Only a keyed hash of the code is stored.
    """
    if len(code) != PASS_DIGITS or not (code.isascii() and code.isdigit()):
        raise Refused(f"В коде {PASS_DIGITS} цифр.")
    User.objects.select_for_update().get(pk=user.pk)
    StepUpPass.objects.filter(user=user).delete()
    StepUpPass.objects.create(
        user=user, code_hash=_hash(user, code), issued_at=at, expires_at=at + PASS_LIFETIME
    )
    text = "Сотрудник сервиса дал код для подтверждения без телефона"
    audit.record(user, "step_up.allowed", text, by=by, at=at, reason=reason)


def _hash(user: User, code: str) -> str:
    return fingerprint(f"step-up-pass:{user.pk}:{code}")
