"""The brake before every automatic switch-off, and the «стоп-кран» of staff."""

from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q

from cabinet import alerts, audit
from cabinet.actors import SYSTEM, Actor
from cabinet.clock import real_now
from cabinet.wake import wake
from operators.models import OperatorAccount
from smartcards import queries, rules
from smartcards.models import Brake, Command, SmartCard
from smartcards.rules import CardRefused
from smartcards.states import CommandKind, CommandState, Confirmed, Origin

# Below this many cards a share of an account says nothing.
SHARE_FLOOR = 10
WINDOW = timedelta(hours=1)
# Clocks this far apart cannot be trusted to say when a paid day ends.
CLOCK_LIMIT = timedelta(minutes=2)
_ALERT = "brake"


def lock_brake() -> Brake:
    """The brake row, locked: two reconciles at once cannot both stay under the limit."""
    queries.brake_now()
    return Brake.objects.select_for_update().get(pk=1)


def lets_through(brake: Brake, account: OperatorAccount, at: datetime) -> bool:
    """Whether one more automatic switch-off may be queued now.

    Expects the lock of `lock_brake`. Going over the account's limit engages the brake and tells staff.
    """
    if queries.is_braked(brake):
        return False
    limit = rules.brake_limit(
        cards=account.brake_cards,
        percent=account.brake_percent,
        active=SmartCard.objects.filter(account=account, confirmed=Confirmed.ACTIVE).count(),
        floor=SHARE_FLOOR,
    )
    gone = switched_off_in_window(brake, at).filter(account=account).count()
    if gone < limit:
        return True
    engage(
        brake,
        because=f"{account.title}: за час отключилось бы больше {limit} смарт-карт",
        at=at,
    )
    return False


def switched_off_in_window(brake: Brake, at: datetime) -> "queries.Commands":
    """Automatic switch-offs that wait, and those that left within the hour, of all accounts.

    What waits counts however old it is: it may leave any moment, all of it together. After a release
    the count begins anew.
    """
    began = brake.counts_from or datetime.min.replace(tzinfo=at.tzinfo)
    waits = Q(state=CommandState.QUEUED, created_at__gt=began)
    left = Q(sent_at__gt=max(at - WINDOW, began))
    return Command.objects.filter(
        waits | left, kind=CommandKind.DEACTIVATE, origin=Origin.RECONCILE
    )


def engage(brake: Brake, *, because: str, at: datetime) -> None:
    """Stop automatic switch-offs and tell staff; nothing else stops."""
    if brake.engaged_at is None:
        brake.engaged_at = at
        brake.engaged_because = because[:300]
        brake.save(update_fields=["engaged_at", "engaged_because"])
        audit.record(
            target=brake,
            action="engaged",
            text="Сработал тормоз отключений",
            reason=because,
            by=SYSTEM,
            at=at,
            merchant_id=None,
        )
    alerts.raise_alert(
        key=_ALERT,
        text=f"Автоматические отключения остановлены. {because}.",
        at=at,
        link="/admin/smartcards/brake/1/change/",
    )


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
    audit.record(
        target=brake,
        action="released",
        text="Тормоз отпущен",
        reason=reason,
        by=by,
        at=at,
        merchant_id=None,
    )
    wake("smartcards.reconcile_all")


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
    audit.record(
        target=brake,
        action="tap_closed",
        text="Закрыт стоп-кран",
        reason=reason,
        by=by,
        at=at,
        merchant_id=None,
    )


@transaction.atomic
def open_tap(*, reason: str, by: Actor, at: datetime) -> None:
    """Staff open the «стоп-кран» again."""
    brake = lock_brake()
    brake.tap_closed_at = None
    brake.tap_closed_by = brake.tap_reason = ""
    brake.save()
    if not queries.is_braked(brake):
        alerts.close_alert(key=_ALERT, by=by, at=at)
    audit.record(
        target=brake,
        action="tap_opened",
        text="Открыт стоп-кран",
        reason=reason,
        by=by,
        at=at,
        merchant_id=None,
    )
    wake("smartcards.reconcile_all")


@transaction.atomic
def report_only(*, by: Actor, at: datetime) -> None:
    """After a restore from backup: differences are shown to staff and nothing is switched by itself."""
    brake = lock_brake()
    brake.report_only_at = at
    brake.save(update_fields=["report_only_at"])
    audit.record(
        target=brake,
        action="report_only",
        text="Режим «только отчёт» после восстановления",
        by=by,
        at=at,
        merchant_id=None,
    )
    alerts.raise_alert(
        key=_ALERT,
        text="База восстановлена из копии: автоматические команды остановлены до проверки.",
        at=at,
        link="/admin/smartcards/brake/1/change/",
    )


def database_mark() -> str:
    """Which cluster and database this is: a dump restored elsewhere has another mark."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT system_identifier FROM pg_control_system())::text || ':' || oid"
            " FROM pg_database WHERE datname = current_database()"
        )
        (mark,) = cursor.fetchone()
    return str(mark)


def watch_restore(*, at: datetime) -> None:
    """A database restored elsewhere starts in report-only mode: asked before anything is sent or queued."""
    brake = queries.brake_now()
    mark = database_mark()
    if not brake.database_mark:
        Brake.objects.filter(pk=1, database_mark="").update(database_mark=mark)
    elif brake.database_mark != mark and brake.report_only_at is None:
        report_only(by=SYSTEM, at=at)


def watch(*, at: datetime) -> None:
    """Look for a restored database and for clocks that stand apart; engage what must be engaged."""
    watch_restore(at=at)
    brake = queries.brake_now()
    _remind(brake, at)
    apart = _clocks_apart()
    if apart and brake.engaged_at is None:
        with transaction.atomic():
            engage(lock_brake(), because=apart, at=at)


def _remind(brake: Brake, at: datetime) -> None:
    """While switch-offs stand still staff have an open matter about it, closed by hand or not."""
    if brake.tap_closed_at is not None:
        why = f"Стоп-кран закрыт: {brake.tap_reason}"
    elif brake.engaged_at is not None:
        why = brake.engaged_because
    elif brake.report_only_at is not None:
        why = "База восстановлена из копии"
    else:
        return
    alerts.raise_alert(
        key=_ALERT,
        text=f"Автоматические отключения остановлены. {why}.",
        at=at,
        link="/admin/smartcards/brake/1/change/",
    )


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
