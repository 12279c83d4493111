"""The shared offset of the sandbox's clock."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from cabinet import clock

CLOSE = timedelta(seconds=5)


@pytest.fixture(autouse=True)
def clock_file(settings, tmp_path: Path) -> Path:
    settings.SANDBOX = True
    settings.CLOCK_FILE = tmp_path / "clock"
    return tmp_path / "clock"


def test_now_is_real_without_a_file():
    assert clock.offset() == 0.0
    assert abs(clock.now() - datetime.now(UTC)) < CLOSE


def test_advance_adds_up_and_reset_returns():
    clock.advance(3600)
    clock.advance(86400)
    moved = clock.offset()
    shifted = clock.now() - clock.real_now()
    clock.reset()

    assert moved == 90000.0
    assert abs(shifted - timedelta(seconds=90000)) < CLOSE
    assert clock.offset() == 0.0


def test_offset_written_by_another_process_is_seen(clock_file):
    clock.set_offset(10)
    clock.offset()

    clock_file.write_text("25.5", encoding="ascii")

    assert clock.offset() == 25.5


def test_offset_counts_for_nothing_outside_the_sandbox(settings):
    clock.set_offset(86400)

    settings.SANDBOX = False

    assert clock.offset() == 0.0
    assert abs(clock.now() - clock.real_now()) < CLOSE


def test_broken_file_is_no_offset(clock_file):
    clock_file.write_text("soon", encoding="ascii")

    assert clock.offset() == 0.0


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e12])
def test_offset_beyond_the_calendar_is_refused_and_nothing_changes(seconds, clock_file):
    clock.set_offset(60)

    with pytest.raises(ValueError, match="offset"):
        clock.set_offset(seconds)

    assert clock_file.read_text(encoding="ascii") == "60.0"


def test_writing_leaves_only_the_file_itself(clock_file):
    clock.set_offset(1)
    clock.set_offset(2)

    assert sorted(clock_file.parent.iterdir()) == [clock_file]


def test_today_is_the_day_of_the_zone():
    now = clock.real_now()
    noon = now.replace(hour=22, minute=30, second=0, microsecond=0)
    clock.set_offset((noon - now).total_seconds())

    assert clock.today(ZoneInfo("UTC")) == noon.date()
    assert clock.today(ZoneInfo("Europe/Moscow")) == noon.date() + timedelta(days=1)
    assert isinstance(clock.today(ZoneInfo("Europe/Moscow")), date)


@effort(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.integers(-(10**6), 10**6), max_size=6))
def test_offset_is_the_sum_of_its_steps(steps):
    clock.reset()

    for step in steps:
        clock.advance(step)

    assert clock.offset() == float(sum(steps))
