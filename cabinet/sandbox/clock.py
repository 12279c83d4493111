"""The clock's part of the sandbox: a person or a test lets time pass for all processes."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from django.template.loader import render_to_string
from werkzeug.exceptions import BadRequest
from werkzeug.routing import Rule

from cabinet import clock
from cabinet.sandbox.http import Part, Request, Response, json_response, redirect, route

_MOSCOW = ZoneInfo("Europe/Moscow")
_HOUR = 3600
_STEPS = (("+1 час", _HOUR), ("+1 день", 24 * _HOUR), ("+1 месяц (30 дней)", 30 * 24 * _HOUR))


class ClockPart(Part):
    """Moves the shared offset; its state lives in the clock's own file."""

    name = "clock"

    def routes(self) -> list[Rule]:
        return [route("GET", "/clock", self._show), route("POST", "/clock", self._move)]

    def panel(self) -> str:
        seconds = round(clock.offset())
        days, rest = divmod(abs(seconds), 24 * _HOUR)
        context = {
            "local": f"{clock.now().astimezone(_MOSCOW):%d.%m.%Y %H:%M}",
            "sign": "+" if seconds > 0 else "−",
            "shifted": bool(seconds),
            "days": days,
            "hours": rest // _HOUR,
            "minutes": rest % _HOUR // 60,
            "steps": _STEPS,
        }
        return render_to_string("sandbox/clock.html", context)

    def _show(self, _request: Request) -> Response:
        return json_response({"offset_seconds": clock.offset(), "now": clock.now().isoformat()})

    def _move(self, request: Request) -> Response:
        _apply(request.form if request.is_form else request.json)
        return redirect("/") if request.is_form else self._show(request)


def _apply(change: Any) -> None:
    if not isinstance(change, Mapping):
        raise BadRequest("Send an object.")
    if change.get("reset") in (True, "true"):
        clock.reset()
        return
    try:
        clock.advance(float(change["advance_seconds"]))
    except (KeyError, TypeError) as error:
        raise BadRequest('Send {"advance_seconds": n} or {"reset": true}.') from error
    except ValueError as error:
        raise BadRequest(f"advance_seconds: {error}") from error
