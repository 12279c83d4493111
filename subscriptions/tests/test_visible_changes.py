"""What a merchant reads when a subscription changes: facts before and after, sentences out."""

from copy import copy
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from cabinet.formatting.ru_format import NBSP
from subscriptions.models import Subscription
from subscriptions.services import visible_changes

MOSCOW = ZoneInfo("Europe/Moscow")
MARCH, APRIL = datetime(2026, 3, 1, 21, tzinfo=UTC), datetime(2026, 4, 1, 21, tzinfo=UTC)


def row(plan_title="Месяц", paid_cards=2, **dates) -> Subscription:
    return Subscription(plan_id=plan_title, paid_cards=paid_cards, **dates)


RUNNING = row(paid_until=APRIL)


def messages(before: Subscription | None, after: Subscription) -> list[tuple[str, str]]:
    found = visible_changes(before=before, after=after, zone=MOSCOW)
    return [(action, text.replace(NBSP, " ")) for action, text in found]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (RUNNING, copy(RUNNING), []),
        (
            None,
            row(plan_title="", paid_cards=1),
            [("created", "Оформлена подписка: 1 смарт-карта.")],
        ),
        (
            row(plan_title="", paid_until=APRIL),
            RUNNING,
            [("plan", "Тариф: «Месяц».")],
        ),
        (
            RUNNING,
            row(paid_until=MARCH),
            [("billing_day", "День следующей оплаты перенесён на 2 марта 2026 г.")],
        ),
        (
            row(paid_until=MARCH),
            RUNNING,
            [("paid", "Подписка оплачена до 2 апреля 2026 г.")],
        ),
        (
            row(),
            row(stop_requested_at=MARCH),
            [("stop_requested", "Запрошена остановка подписки.")],
        ),
        (
            row(trial_until=APRIL),
            row(trial_until=APRIL, stop_requested_at=MARCH),
            [
                (
                    "stop_requested",
                    "Запрошена остановка подписки: смарт-карты работают до 2 апреля 2026 г., 00:00 по Москве.",
                )
            ],
        ),
        (
            row(stop_requested_at=MARCH),
            row(terminated_at=MARCH),
            [("terminated", "Подписка прекращена.")],
        ),
        (
            row(terminated_at=MARCH, entitled_until=MARCH),
            row(),
            [("revived", "Подписка возобновлена.")],
        ),
    ],
)
def test_each_change_has_its_sentence(before, after, expected):
    assert messages(before, after) == expected
