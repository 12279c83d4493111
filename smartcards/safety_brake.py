"""The brake before every automatic switch-off, and the «стоп-кран» of staff."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q

from cabinet import audit
from cabinet.actors import SYSTEM, Actor
from cabinet.clock import real_now
from cabinet.messaging import alerts
from cabinet.tasks.task_queue import enqueue_on_commit
from operators.models import OperatorAccount
from smartcards import queries, rules
from smartcards.models import Brake, Command, SmartCard
from smartcards.rules import CardRefused
from smartcards.states import CommandState, OperatorState

# Below this many cards a share of an account means nothing.
SHARE_FLOOR = 10
WINDOW = timedelta(hours=1)
# Clocks this far apart cannot be trusted to say when a paid day ends.
CLOCK_LIMIT = timedelta(minutes=2)
_ALERT = "brake"


def lock_brake() -> Brake:
    """The brake row, locked: two reconciles at once cannot both stay under the limit."""
    Brake.objects.get_or_create(pk=1)
    return Brake.objects.select_for_update().get(pk=1)


def allowed_switch_offs(
    brake: Brake, cards: Sequence[SmartCard], at: datetime
) -> Sequence[SmartCard]:
    """Those of these cards, with their accounts, that may be switched off automatically now.

    Expects the brake's lock. Going over an account's limit engages it and alerts staff.
    """
    if queries.is_braked(brake):
        return []
    by_account: dict[OperatorAccount, list[SmartCard]] = {}
    for card in cards:
        by_account.setdefault(card.account, []).append(card)
    allowed: list[SmartCard] = []
    for account, wanted in by_account.items():
        limit = _limit(account)
        gone = switched_off_in_window(brake, at).filter(account=account).count()
        allowed += wanted[: max(0, limit - gone)]
        if gone + len(wanted) > limit:
            because = f"{account.title}: за час отключилось бы больше {limit} смарт-карт"
            engage(brake, because=because, at=at)
    return allowed


def _limit(account: OperatorAccount) -> int:
    """How many automatic switch-offs of the account an hour are let through."""
    # With more active cards than these the share is above `brake_cards` anyway: no need to count them.
    enough = account.brake_cards * 100 // account.brake_percent + 1 if account.brake_percent else 0
    active = SmartCard.objects.filter(account=account, confirmed=OperatorState.ACTIVE)
    return rules.brake_limit(
        cards=account.brake_cards,
        percent=account.brake_percent,
        active=active[:enough].count(),
        floor=SHARE_FLOOR,
    )


def switched_off_in_window(brake: Brake, at: datetime) -> "queries.Commands":
    """Automatic switch-offs that wait, and those that left within the hour, of all accounts.

    What waits counts however old it is: it may leave any moment, all of it together. After a release
    the count begins anew; a release that lies ahead of a clock that stepped back excuses nothing.
    """
    began = datetime.min.replace(tzinfo=at.tzinfo)
    if brake.counts_from is not None and brake.counts_from <= at:
        began = brake.counts_from
    waits = Q(state=CommandState.QUEUED, created_at__gt=began)
    left = Q(sent_at__gt=max(at - WINDOW, began))
    return Command.objects.filter(queries.AUTOMATIC_OFF, waits | left)


def engage(brake: Brake, *, because: str, at: datetime) -> None:
    """Stop automatic switch-offs and alert staff; nothing else stops."""
    if brake.engaged_at is None:
        brake.engaged_at = at
        brake.engaged_because = because[:300]
        brake.save(update_fields=["engaged_at", "engaged_because"])
        audit.record(
            brake, "engaged", "Сработал тормоз отключений", by=SYSTEM, at=at, reason=because
        )
    _alert(f"Автоматические отключения остановлены. {because}.", at)


def _alert(text: str, at: datetime) -> None:
    alerts.raise_alert(key=_ALERT, text=text, at=at, link="/admin/smartcards/brake/1/change/")


@transaction.atomic
def release(*, reason: str, by: Actor, at: datetime) -> None:
    """Staff looked and let automatic switch-offs go on: the count of the hour starts anew."""
    if not reason.strip():
        raise CardRefused("Укажите, почему тормоз можно отпустить.")
    brake = lock_brake()
    brake.engaged_at = brake.report_only_at = None
    brake.engaged_because = ""
    brake.counts_from = at
    brake.database_mark = database_mark()
    brake.save()
    alerts.close_alert(key=_ALERT, by=by, at=at)
    audit.record(brake, "released", "Тормоз отпущен", by=by, at=at, reason=reason)
    enqueue_on_commit("smartcards.reconcile_all", thorough=True)


@transaction.atomic
def close_tap(*, reason: str, by: Actor, at: datetime) -> None:
    """«Стоп-кран»: staff stop every automatic switch-off at once."""
    if not reason.strip():
        raise CardRefused("Укажите, почему закрываете стоп-кран.")
    brake = lock_brake()
    brake.tap_closed_at = at
    brake.tap_closed_by = by.name[:150]
    brake.tap_reason = reason[:300]
    brake.save()
    audit.record(brake, "tap_closed", "Закрыт стоп-кран", by=by, at=at, reason=reason)


@transaction.atomic
def open_tap(*, reason: str, by: Actor, at: datetime) -> None:
    """Staff open the «стоп-кран» again."""
    brake = lock_brake()
    brake.tap_closed_at = None
    brake.tap_closed_by = brake.tap_reason = ""
    brake.save()
    if not queries.is_braked(brake):
        alerts.close_alert(key=_ALERT, by=by, at=at)
    audit.record(brake, "tap_opened", "Открыт стоп-кран", by=by, at=at, reason=reason)
    enqueue_on_commit("smartcards.reconcile_all", thorough=True)


@transaction.atomic
def report_only(*, by: Actor, at: datetime) -> None:
    """After a restore from backup: differences are shown to staff and nothing is switched by itself."""
    brake = lock_brake()
    brake.report_only_at = at
    brake.save(update_fields=["report_only_at"])
    audit.record(brake, "report_only", "Режим «только отчёт» после восстановления", by=by, at=at)
    _alert("База восстановлена из копии: автоматические команды остановлены до проверки.", at)


def database_mark() -> str:
    """Which cluster and database this is: a dump restored elsewhere has another mark."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT system_identifier FROM pg_control_system())::text || ':' || oid"
            " FROM pg_database WHERE datname = current_database()"
        )
        (mark,) = cursor.fetchone()
    return str(mark)


def watch_restore(*, at: datetime) -> Brake:
    """The brake as it is now; a database restored elsewhere starts in report-only mode.

    Asked before anything is sent or queued. Reading makes no row until there is a mark to keep.
    """
    brake = queries.brake_now()
    mark = database_mark()
    if not brake.database_mark:
        Brake.objects.get_or_create(pk=1)
        Brake.objects.filter(pk=1, database_mark="").update(database_mark=mark)
    elif brake.database_mark != mark and brake.report_only_at is None:
        report_only(by=SYSTEM, at=at)
    else:
        return brake
    return queries.brake_now()


def watch(*, at: datetime) -> None:
    """Look for a restored database and for clocks that stand apart; engage what must be engaged."""
    brake = watch_restore(at=at)
    _remind(brake, at)
    apart = _clocks_apart()
    if apart and brake.engaged_at is None:
        with transaction.atomic():
            engage(lock_brake(), because=apart, at=at)


def _remind(brake: Brake, at: datetime) -> None:
    """While switch-offs are stopped an alert stays open, even if staff close it."""
    if brake.tap_closed_at is not None:
        why = f"Стоп-кран закрыт: {brake.tap_reason}"
    elif brake.engaged_at is not None:
        why = brake.engaged_because
    elif brake.report_only_at is not None:
        why = "База восстановлена из копии"
    else:
        return
    _alert(f"Автоматические отключения остановлены. {why}.", at)


def _clocks_apart() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (database_now,) = cursor.fetchone()
    if abs(database_now - real_now()) > CLOCK_LIMIT:
        return "Часы сервера и базы данных расходятся"
    # Only what is asked here: keys that cannot be read must not stop the watch.
    known = OperatorAccount.objects.filter(enabled=True, clock_skew_seconds__isnull=False)
    for account in known.only("title", "clock_skew_seconds"):
        if abs(account.clock_skew_seconds or 0) > CLOCK_LIMIT.total_seconds():
            return f"Часы сервера и оператора «{account.title}» расходятся"
    return ""
