"""The company's requisites, and when staff want no alerts about it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction

from cabinet import audit
from cabinet.actors import Actor
from cabinet.errors import Refused
from cabinet.formatting import ru_format
from cabinet.models import Merchant

# A pause of alerts, or planned works at the merchant's, last at most so long and begin within so many days.
LONGEST_SILENCE_HOURS = 72
FARTHEST_SILENCE = timedelta(days=30)
_MOSCOW = ZoneInfo("Europe/Moscow")


@transaction.atomic
def update_company(
    *, merchant: Merchant, requisites: Mapping[str, str], by: Actor, at: datetime
) -> None:
    """Store the requisites, by field of the model; the audit log names the changed ones, not their values."""
    merchant = Merchant.objects.select_for_update().get(pk=merchant.pk)
    changed = [field for field, value in requisites.items() if getattr(merchant, field) != value]
    if not changed:
        return
    for field in changed:
        setattr(merchant, field, requisites[field])
    merchant.save(update_fields=changed)
    titles = {field.name: str(field.verbose_name) for field in Merchant._meta.fields}
    names = ", ".join(titles[field] for field in changed)
    audit.record(merchant, "company.changed", f"Изменены реквизиты: {names}", by=by, at=at)


class SilenceRefused(Refused):
    """The pause has no reason, is out of bounds, or there is none to end."""


@transaction.atomic
def silence_alerts(
    *,
    merchant: Merchant,
    starts_at: datetime | None,
    hours: int,
    reason: str,
    by: Actor,
    at: datetime,
) -> None:
    """«Взять паузу»: alerts about this merchant that can wait are put off for so many hours, from now or from
    `starts_at` on; 0 ends the pause. It takes the place of the one there was.

    Nothing else stops. Raises SilenceRefused.
    """
    begins = max(starts_at or at, at)
    _check_silence(merchant, begins, hours, reason, at)
    until = begins + timedelta(hours=hours)
    ends = {"silent_from": begins, "silent_until": until}
    Merchant.objects.filter(pk=merchant.pk).update(**ends if hours else dict.fromkeys(ends))
    audit.record(
        merchant,
        "merchant.alerts_silenced",
        _silence_text(begins, hours, at),
        by=by,
        at=at,
        reason=reason,
    )


def _check_silence(
    merchant: Merchant, begins: datetime, hours: int, reason: str, at: datetime
) -> None:
    if not reason.strip():
        raise SilenceRefused("Укажите, почему дела не нужны.")
    if not 0 <= hours <= LONGEST_SILENCE_HOURS:
        raise SilenceRefused(f"Не больше {LONGEST_SILENCE_HOURS} часов.")
    if begins > at + FARTHEST_SILENCE:
        raise SilenceRefused(f"Начало не позже чем через {ru_format.days(FARTHEST_SILENCE.days)}.")
    is_over = merchant.silent_until is None or merchant.silent_until <= at
    if not hours and is_over:
        raise SilenceRefused("Паузы уже нет.")


def _silence_text(begins: datetime, hours: int, at: datetime) -> str:
    if not hours:
        return "Дела о клиенте снова приходят"
    length = ru_format.counted(hours, "час", "часа", "часов")
    then = f" с {begins.astimezone(_MOSCOW):%d.%m.%Y %H:%M} (МСК)" if begins > at else ""
    return f"Дела о клиенте отложены на {length}{then}"
