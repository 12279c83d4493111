"""One open alert for one key; those with a kind and a target can be found again."""

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, transaction

from cabinet.actors import SYSTEM
from cabinet.messaging import alerts
from cabinet.models import Alert

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def raise_late(*target_ids: int) -> None:
    for pk in target_ids:
        alerts.raise_about("late", pk, text=f"Команда {pk}", at=NOW)


def test_repeated_alert_is_counted_with_its_newest_text():
    raise_late(1)
    alerts.raise_about("late", 1, text="Идёт дольше", at=NOW)

    assert list(Alert.objects.values("kind", "target_id", "text", "seen_times")) == [
        {"kind": "late", "target_id": 1, "text": "Идёт дольше", "seen_times": 2}
    ]


def test_closed_alert_is_opened_anew():
    raise_late(1)
    alerts.close_about("late", target_ids=[1], by=SYSTEM, at=NOW)
    raise_late(1)

    assert list(Alert.objects.order_by("pk").values_list("closed_at", flat=True)) == [NOW, None]


def test_only_open_alerts_of_the_kind_are_found():
    raise_late(1, 2)
    alerts.raise_about("stuck", 3, text="", at=NOW)
    alerts.raise_alert(key="late:4", text="", at=NOW)
    alerts.close_about("late", target_ids=[1], by=SYSTEM, at=NOW)

    assert alerts.open_targets("late") == {2}


def test_alerts_of_several_kinds_close_together():
    raise_late(1, 2)
    alerts.raise_about("command", 1, text="", at=NOW)

    alerts.close_about("late", "command", target_ids=[1], by=SYSTEM, at=NOW)

    assert list(Alert.objects.filter(closed_at=None).values_list("kind", "target_id")) == [
        ("late", 2)
    ]


@pytest.mark.parametrize("fields", [{"kind": "late"}, {"target_id": 1}])
def test_database_refuses_half_of_kind_and_target(fields):
    with pytest.raises(IntegrityError, match="alert_kind_has_target"), transaction.atomic():
        Alert.objects.create(key="x", text="", raised_at=NOW, **fields)

    assert Alert.objects.count() == 0
