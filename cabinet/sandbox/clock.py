"""The clock's part of the sandbox: a person or a test lets time pass for all processes."""

from typing import Any
from zoneinfo import ZoneInfo

from cabinet import clock
from cabinet.sandbox.http import BadRequest, Request, Response, Route, json_response, redirect

_MOSCOW = ZoneInfo("Europe/Moscow")
_HOUR = 3600
_STEPS = (("+1 час", _HOUR), ("+1 день", 24 * _HOUR), ("+1 месяц (30 дней)", 30 * 24 * _HOUR))
_FORM_TYPE = "application/x-www-form-urlencoded"


class ClockPart:
    """Moves the shared offset; its state lives in the clock's own file."""

    name = "clock"

    def routes(self) -> list[Route]:
        return [Route("GET", "/clock", self._show), Route("POST", "/clock", self._move)]

    def panel(self) -> str:
        local = clock.now().astimezone(_MOSCOW)
        buttons = "\n".join(
            _button("advance_seconds", str(seconds), title) for title, seconds in _STEPS
        )
        return (
            "<h2>Время</h2>\n"
            f"<p>Сейчас для всех служб: <strong>{local:%d.%m.%Y %H:%M}</strong> (Москва)"
            f"{_shift_words()}</p>\n"
            f"{buttons}\n{_button('reset', 'true', 'Сбросить')}"
        )

    def dump(self) -> Any:
        return None

    def load(self, data: Any) -> None:
        """Nothing is kept here."""

    def _show(self, _request: Request) -> Response:
        return json_response({"offset_seconds": clock.offset(), "now": clock.now().isoformat()})

    def _move(self, request: Request) -> Response:
        from_page = request.headers.get("content-type", "").startswith(_FORM_TYPE)
        _apply(request.form() if from_page else request.json())
        return redirect("/") if from_page else self._show(request)


def make() -> ClockPart:
    """The factory that settings.SANDBOX_PARTS names."""
    return ClockPart()


def _apply(wanted: Any) -> None:
    if not isinstance(wanted, dict):
        raise BadRequest("Send an object.")
    if wanted.get("reset") in (True, "true"):
        clock.reset()
        return
    try:
        clock.advance(float(wanted["advance_seconds"]))
    except (KeyError, TypeError) as error:
        raise BadRequest('Send {"advance_seconds": n} or {"reset": true}.') from error
    except ValueError as error:
        raise BadRequest(f"advance_seconds: {error}") from error


def _button(name: str, value: str, title: str) -> str:
    return (
        '<form class="inline" method="post" action="/clock">'
        f'<input type="hidden" name="{name}" value="{value}">'
        f'<button type="submit">{title}</button></form>'
    )


def _shift_words() -> str:
    seconds = round(clock.offset())
    if not seconds:
        return ", без сдвига."
    days, rest = divmod(abs(seconds), 24 * _HOUR)
    hours, minutes = rest // _HOUR, rest % _HOUR // 60
    sign = "+" if seconds > 0 else "−"
    return f", сдвиг {sign}{days}&nbsp;сут {hours}&nbsp;ч {minutes}&nbsp;мин."
