"""What a merchant reads when a subscription changes: facts before and after, sentences out."""

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from cabinet.wording import NBSP
from subscriptions.changes import Told, changes

MOSCOW = ZoneInfo("Europe/Moscow")
MARCH, APRIL = datetime(2026, 3, 1, 21, tzinfo=UTC), datetime(2026, 4, 1, 21, tzinfo=UTC)
RUNNING = Told(plan_title="Месяц", paid_cards=2, paid_until=APRIL)


def said(before: Told | None, after: Told) -> list[tuple[str, str]]:
    found = changes(before=before, after=after, zone=MOSCOW)
    return [(one.action, one.text.replace(NBSP, " ")) for one in found]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (RUNNING, RUNNING, []),
        (
            None,
            Told(plan_title="", paid_cards=1),
            [("created", "Оформлена подписка: 1 смарт-карта.")],
        ),
        (
            replace(RUNNING, plan_title=""),
            RUNNING,
            [("plan", "Тариф: «Месяц».")],
        ),
        (
            RUNNING,
            replace(RUNNING, paid_until=MARCH),
            [("billing_day", "День следующей оплаты перенесён на 2 марта 2026 г.")],
        ),
        (
            replace(RUNNING, paid_until=MARCH),
            RUNNING,
            [("paid", "Подписка оплачена до 2 апреля 2026 г.")],
        ),
        (
            Told("Месяц", 2),
            Told("Месяц", 2, stop_requested_at=MARCH),
            [("stop_requested", "Запрошена остановка подписки.")],
        ),
        (
            Told("Месяц", 2, trial_until=APRIL),
            Told("Месяц", 2, trial_until=APRIL, stop_requested_at=MARCH),
            [
                (
                    "stop_requested",
                    "Запрошена остановка подписки: смарт-карты работают до 2 апреля 2026 г.",
                )
            ],
        ),
        (
            Told("Месяц", 2, stop_requested_at=MARCH),
            Told("Месяц", 2, terminated_at=MARCH),
            [("terminated", "Подписка прекращена.")],
        ),
        (
            Told("Месяц", 2, terminated_at=MARCH, entitled_until=MARCH),
            Told("Месяц", 2),
            [("revived", "Подписка возобновлена.")],
        ),
    ],
)
def test_each_change_has_its_sentence(before, after, expected):
    assert said(before, after) == expected
