"""«Операторы сейчас»: which operator is in trouble, how long the queues are, how the day went."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from cabinet import clock
from cabinet.admin.actor import may
from cabinet.admin.confirm_action import (
    ConfirmAction,
    ask,
    bound_form,
    carry_out,
    service_call,
)
from cabinet.admin_site import site_page
from cabinet.formatting import ru_format
from cabinet.forms.reason import ReasonForm
from cabinet.forms.silence import hours_field
from operators import services
from operators.models import SECRETS, OperatorAccount
from operators.services import LONGEST_SILENCE_HOURS
from smartcards.admin.permissions import ACT_RIGHT
from smartcards.monitoring import dashboard, operator_health
from smartcards.monitoring.operator_health import OperatorStatus, Severity, TimeBucket

TITLE = "Операторы сейчас"
CHART_HEIGHT = 96
BAR_STEP = 10
_BAR_WIDTH = 8
_LABEL_EVERY = 24


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
    width: int = dashboard.BUCKETS * BAR_STEP
    height: int = CHART_HEIGHT
    bar_width: int = _BAR_WIDTH


@dataclass(frozen=True)
class Row:
    """One operator as the page shows it."""

    status: OperatorStatus
    chart: Chart | None
    buckets: tuple[TimeBucket, ...]

    @property
    def rejected(self) -> str:
        """The signed events of the last day that were refused, in words."""
        account = self.status.account
        if not account.rejected_events:
            return "отказов не было"
        return operator_health.rejected_events(account)


@site_page(
    "smartcards/board/", name="smartcards_board", title=TITLE, permission="smartcards.view_command"
)
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """All operators, the worst first."""
    at = clock.now()
    rows = [_row(status) for status in dashboard.operator_statuses(at)]
    context = admin.site.each_context(request) | {
        "title": TITLE,
        "now": at,
        "rows": rows,
        "headline": headline([row.status for row in rows]),
        "troubled": any(row.status.severity >= Severity.ATTENTION for row in rows),
        "sees_exchanges": may(request, "operators.view_exchange"),
        "may_act": may(request, ACT_RIGHT),
    }
    return TemplateResponse(request, "admin/smartcards/dashboard.html", context)


class SilenceForm(ReasonForm):
    """For how long no alerts are wanted, and why."""

    hours = hours_field(1, 2, 4, 8, LONGEST_SILENCE_HOURS)


PAUSE_ACTIONS: tuple[ConfirmAction[OperatorAccount], ...] = (
    ConfirmAction(
        name="lift-pause",
        title="Снять паузу оператора",
        button="Снять паузу",
        done="Пауза снята: команды пойдут снова.",
        form=ReasonForm,
        run=service_call("account", services.lift_pause),
    ),
    ConfirmAction(
        name="silence",
        title="Взять паузу в оповещениях",
        button="Взять паузу",
        done="Записано. Команды уходят как обычно.",
        form=SilenceForm,
        run=service_call("account", services.silence_alerts),
    ),
)


@site_page(
    "smartcards/board/<int:pk>/<slug:name>/",
    name="smartcards_board_action",
    title=TITLE,
    permission=ACT_RIGHT,
    listed=False,
)
@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest, pk: int, name: str) -> HttpResponse:
    """«Снять паузу» and «Взять паузу» of one operator, each with a reason; a refusal stays on the page."""
    account = get_object_or_404(OperatorAccount.objects.defer(*SECRETS), pk=pk)
    action = next((one for one in PAUSE_ACTIONS if one.name == name), None)
    if action is None:
        raise Http404
    form, back = bound_form(request, action), reverse("admin:smartcards_board")
    context = {"title": f"{action.title}: {account.title}", "row": account, "back": back}
    return carry_out(request, action, account, form, back=back) or ask(
        request, action, form, model=OperatorAccount, listed=back, context=context
    )


def headline(operator_statuses: Sequence[OperatorStatus]) -> str:
    """Which operator is to blame; all is well where none is."""
    if not operator_statuses:
        return "Договоров с операторами нет."
    worst = operator_statuses[0]
    return worst.sentence if worst.severity >= Severity.ATTENTION else "Все операторы работают."


def _row(status: OperatorStatus) -> Row:
    busy = tuple(bucket for bucket in status.day.buckets if bucket.total)
    return Row(status, chart(status.day.buckets) if busy else None, busy)


def chart(buckets: Sequence[TimeBucket]) -> Chart:
    """Bars to scale; a slot with anything in it is at least one unit high."""
    top = max((bucket.total for bucket in buckets), default=0)
    bars = [
        Bar(number * BAR_STEP, _summary(bucket), _blocks(bucket, top))
        for number, bucket in enumerate(buckets)
        if bucket.total
    ]
    labels = [operator_health.time_of(bucket.starts_at) for bucket in buckets[::_LABEL_EVERY]]
    return Chart(tuple(bars), top, tuple(labels))


def _blocks(bucket: TimeBucket, top: int) -> tuple[Block, ...]:
    """From the ground up: done, failed, unknown."""
    blocks, ground = [], CHART_HEIGHT
    for kind in ("done", "failed", "unknown"):
        number = getattr(bucket, kind)
        height = min(ground, max(1, round(CHART_HEIGHT * number / top))) if number else 0
        ground -= height
        blocks.append(Block(kind, ground, height))
    return tuple(block for block in blocks if block.height)


def _summary(bucket: TimeBucket) -> str:
    ends = operator_health.time_of(bucket.starts_at + dashboard.BUCKET)
    return (
        f"{operator_health.time_of(bucket.starts_at)}{ru_format.RANGE}{ends}: выполнено {bucket.done}, "
        f"не выполнено {bucket.failed}, исход неизвестен {bucket.unknown}"
    )
