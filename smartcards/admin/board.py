"""«Операторы сейчас»: which operator is in trouble, how long the queues are, how the day went."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.http import require_safe

from cabinet import clock, wording
from cabinet.admin.staff import may
from cabinet.admin_site import CabinetAdminSite, SitePage
from smartcards import board, verdicts
from smartcards.verdicts import Level, Slot, Standing

RIGHT = "smartcards.view_command"
TITLE = "Операторы сейчас"
CHART_HEIGHT = 96
BAR_STEP = 10
_BAR_WIDTH = 8
_LABEL_EVERY = 24

_LEVELS = {
    Level.FINE: ("fine", "Работает"),
    Level.OFF: ("off", "Выключен"),
    Level.ATTENTION: ("attention", "Внимание"),
    Level.PROBLEM: ("problem", "Задержки"),
    Level.DOWN: ("down", "Сбой"),
}


@dataclass(frozen=True)
class Block:
    """One coloured piece of a bar: what it counts, where it begins from the top, how high it is."""

    kind: str
    y: int
    height: int


@dataclass(frozen=True)
class Bar:
    """A quarter of an hour, `x` from the left."""

    x: int
    text: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Chart:
    """24 hours of commands. `top` is how many the highest bar stands for."""

    bars: tuple[Bar, ...]
    top: int
    labels: tuple[str, ...]
    width: int = board.SLOTS * BAR_STEP
    height: int = CHART_HEIGHT
    bar_width: int = _BAR_WIDTH


@dataclass(frozen=True)
class Row:
    """One operator as the page shows it."""

    standing: Standing
    look: str
    word: str
    chart: Chart | None
    slots: tuple[Slot, ...]


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """All operators, the worst first."""
    if not may(request, RIGHT):
        raise PermissionDenied
    at = clock.now()
    rows = [_row(standing) for standing in board.standings(at)]
    context = admin.site.each_context(request) | {
        "title": TITLE,
        "now": at,
        "rows": rows,
        "headline": headline([row.standing for row in rows]),
        "troubled": any(row.standing.level >= Level.ATTENTION for row in rows),
        "sees_exchanges": may(request, "operators.view_exchange"),
    }
    return TemplateResponse(request, "admin/smartcards/board.html", context)


def headline(standings: Sequence[Standing]) -> str:
    """Which operator is to blame; all is well where none is."""
    if not standings:
        return "Договоров с операторами нет."
    worst = standings[0]
    return worst.sentence if worst.level >= Level.ATTENTION else "Все операторы работают."


def _row(standing: Standing) -> Row:
    look, word = _LEVELS[standing.level]
    busy = tuple(slot for slot in standing.day.slots if slot.total)
    return Row(standing, look, word, chart(standing.day.slots) if busy else None, busy)


def chart(slots: Sequence[Slot]) -> Chart:
    """Bars to scale; a slot with anything in it is at least one unit high."""
    top = max((slot.total for slot in slots), default=0)
    bars = [
        Bar(number * BAR_STEP, _told(slot), _blocks(slot, top))
        for number, slot in enumerate(slots)
        if slot.total
    ]
    labels = [verdicts.time_of(slot.starts_at) for slot in slots[::_LABEL_EVERY]]
    return Chart(tuple(bars), top, tuple(labels))


def _blocks(slot: Slot, top: int) -> tuple[Block, ...]:
    """From the ground up: done, failed, unknown."""
    blocks, ground = [], CHART_HEIGHT
    for kind in ("done", "failed", "unknown"):
        number = getattr(slot, kind)
        height = min(ground, max(1, round(CHART_HEIGHT * number / top))) if number else 0
        ground -= height
        blocks.append(Block(kind, ground, height))
    return tuple(block for block in blocks if block.height)


def _told(slot: Slot) -> str:
    ends = verdicts.time_of(slot.starts_at + board.SLOT)
    return (
        f"{verdicts.time_of(slot.starts_at)}{wording.RANGE}{ends}: выполнено {slot.done}, "
        f"не выполнено {slot.failed}, исход неизвестен {slot.unknown}"
    )


cast("CabinetAdminSite", admin.site).add_page(
    SitePage(
        route="smartcards/board/",
        name="smartcards_board",
        title=TITLE,
        app_label="smartcards",
        permission=RIGHT,
        view=page,
    )
)
