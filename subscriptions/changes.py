"""What a merchant reads about a change of a subscription. Pure Russian sentences."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from cabinet import wording


@dataclass(frozen=True)
class Told:
    """The facts of a subscription that a merchant is told about."""

    plan_title: str
    paid_cards: int
    trial_until: datetime | None = None
    paid_until: datetime | None = None
    stop_requested_at: datetime | None = None
    terminated_at: datetime | None = None
    entitled_until: datetime | None = None


@dataclass(frozen=True)
class Change:
    """One line of the journal."""

    action: str
    text: str


def changes(*, before: Told | None, after: Told, zone: ZoneInfo) -> list[Change]:
    """The lines to write, oldest cause first; empty where nothing visible changed."""
    start = [] if before is not None else [_created(after)]
    known = before or Told(after.plan_title, after.paid_cards)
    return [
        *start,
        *_terms(known, after),
        *_dates(known, after, zone),
        *_stop(known, after, zone),
        *_end(known, after, zone),
    ]


def _created(after: Told) -> Change:
    plan = f"тариф «{after.plan_title}», " if after.plan_title else ""
    return Change("created", f"Оформлена подписка: {plan}{wording.cards(after.paid_cards)}.")


def _terms(before: Told, after: Told) -> list[Change]:
    found = []
    if after.plan_title != before.plan_title:
        what = "Тариф изменён" if before.plan_title else "Тариф"
        found.append(Change("plan", f"{what}: «{after.plan_title}»."))
    if after.paid_cards != before.paid_cards:
        text = f"Оплачено: {wording.cards(after.paid_cards)} (раньше {before.paid_cards})."
        found.append(Change("cards", text))
    return found


def _dates(before: Told, after: Told, zone: ZoneInfo) -> list[Change]:
    found = []
    if after.trial_until and after.trial_until != before.trial_until:
        found.append(Change("trial", f"Пробный период до {_day(after.trial_until, zone)}"))
    if after.paid_until and after.paid_until != before.paid_until:
        found.append(_paid(before, after.paid_until, zone))
    return found


def _paid(before: Told, paid_until: datetime, zone: ZoneInfo) -> Change:
    if before.paid_until and paid_until < before.paid_until:
        return Change("billing_day", f"День следующей оплаты перенесён на {_day(paid_until, zone)}")
    return Change("paid", f"Подписка оплачена до {_day(paid_until, zone)}")


def _stop(before: Told, after: Told, zone: ZoneInfo) -> list[Change]:
    if after.stop_requested_at and not before.stop_requested_at:
        end = after.paid_until or after.trial_until
        tail = f": смарт-карты работают до {_day(end, zone)}" if end else "."
        return [Change("stop_requested", f"Запрошена остановка подписки{tail}")]
    if before.stop_requested_at and not after.stop_requested_at and not after.terminated_at:
        return [Change("stop_cancelled", "Остановка отменена, подписка продолжается.")]
    return []


def _end(before: Told, after: Told, zone: ZoneInfo) -> list[Change]:
    if after.terminated_at and not before.terminated_at:
        until = after.entitled_until
        tail = f": оплачено до {_day(until, zone)}" if until else "."
        return [Change("terminated", f"Подписка прекращена{tail}")]
    if before.terminated_at and not after.terminated_at:
        return [Change("revived", "Подписка возобновлена.")]
    return []


def _day(at: datetime, zone: ZoneInfo) -> str:
    # The Russian «г.» ends with the full stop of the sentence.
    return wording.day(at.astimezone(zone).date())
