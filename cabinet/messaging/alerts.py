"""Alerts for staff: one open row for one key, however often it is raised."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet

from cabinet.actors import Actor
from cabinet.models import Alert, Merchant


@dataclass(frozen=True)
class AlertPause:
    """Staff want no alerts about this merchant; `starts_at` is None where that is so now.

    `put_off`: how many open alerts wait for the end of it.
    """

    merchant: Merchant
    starts_at: datetime | None
    ends_at: datetime
    put_off: int = 0


def raise_alert(
    *,
    key: str,
    text: str,
    at: datetime,
    merchant_id: int | None = None,
    link: str = "",
    can_wait: bool = False,
) -> None:
    """Open the alert with this key, or count one more time where it is open already.

    With `can_wait` it is put off while staff want no alerts about the merchant.
    """
    alert = Alert(key=key, text=text[:500], raised_at=at, merchant_id=merchant_id, link=link)
    alert.can_wait = can_wait
    _raise(alert)


def raise_about(
    kind: str,
    target_id: int,
    *,
    text: str,
    at: datetime,
    merchant_id: int | None = None,
    link: str = "",
    can_wait: bool = False,
) -> None:
    """As `raise_alert`, for an alert that code finds again by its kind and the row it is about."""
    alert = Alert(key=f"{kind}:{target_id}", kind=kind, target_id=target_id, raised_at=at)
    alert.text, alert.merchant_id, alert.link = text[:500], merchant_id, link
    alert.can_wait = can_wait
    _raise(alert)


def _raise(alert: Alert) -> None:
    repeated = Alert.objects.filter(key=alert.key, closed_at=None).update(
        seen_times=F("seen_times") + 1, text=alert.text
    )
    if repeated:
        return
    try:
        with transaction.atomic():
            alert.save(force_insert=True)
    except IntegrityError:  # two processes at once: the other one has opened it
        return


def is_open(key: str) -> bool:
    """Whether an alert with this key is open."""
    return Alert.objects.filter(key=key, closed_at=None).exists()


def close_alert(*, key: str, by: Actor, at: datetime, text: str = "") -> None:
    """Close the open alert with this key, with its last word if there is one; does nothing where none is open."""
    if text:
        Alert.objects.filter(key=key, closed_at=None).update(text=text[:500])
    close_alerts(keys=[key], by=by, at=at)


def close_alerts(*, keys: Sequence[str], by: Actor, at: datetime) -> None:
    """Close the open alerts with these keys in one statement."""
    close_rows(Alert.objects.filter(key__in=keys), by=by, at=at)


def close_rows(rows: QuerySet[Alert], *, by: Actor, at: datetime) -> int:
    """Close those of these alerts that are open, in one statement; how many they were."""
    # By their numbers: rows may come ordered, annotated or sliced.
    wanted = Alert.objects.filter(pk__in=rows.order_by().values("pk"), closed_at=None)
    return wanted.update(closed_at=at, closed_by=by.name[:150] or "сервис")


def close_about(*kinds: str, target_ids: Collection[int], by: Actor, at: datetime) -> None:
    """Close the open alerts of these kinds about these rows in one statement."""
    keys = [f"{kind}:{pk}" for kind in kinds for pk in target_ids]
    close_alerts(keys=keys, by=by, at=at)


def open_targets(kind: str) -> set[int]:
    """The rows that open alerts of this kind are about."""
    found = Alert.objects.filter(kind=kind, closed_at=None).values_list("target_id", flat=True)
    return {pk for pk in found if pk is not None}


# --- pauses -------------------------------------------------------------------------------------


def put_off(at: datetime) -> Q:
    """The open alerts that wait for the end of their merchant's pause."""
    silent = Merchant.objects.filter(silent_from__lte=at, silent_until__gt=at)
    return Q(Exists(silent.filter(pk=OuterRef("merchant_id"))), can_wait=True, closed_at=None)


def pauses(at: datetime) -> list[AlertPause]:
    """The pauses that go on or are to come, the first to end first; two queries."""
    rows = Alert.objects.filter(put_off(at)).order_by().values_list("merchant_id")
    waiting = dict(rows.annotate(number=Count("pk")))
    found = (pause_of(one, at) for one in Merchant.objects.filter(silent_until__gt=at))
    shown = [replace(one, put_off=waiting.get(one.merchant.pk, 0)) for one in found if one]
    return sorted(shown, key=lambda one: (one.ends_at, one.merchant.pk))


def pause_of(merchant: Merchant, at: datetime) -> AlertPause | None:
    """The merchant's pause that goes on or is to come; no query."""
    starts_at, ends_at = merchant.silent_from, merchant.silent_until
    if starts_at is None or ends_at is None or ends_at <= at:
        return None
    return AlertPause(merchant, starts_at if starts_at > at else None, ends_at)
