"""Fields of a contract's form that are typed as people write: pauses, windows of works, sums, a profile."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import time
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput

from cabinet.formatting import ru_format
from operators.admin.profile_text import in_usual_order
from operators.declarative.schema import json_schema

_POLL_STEPS = 30
_MOST_WINDOWS = 50
_MOST_KOPECKS = 100_000_000
_DAYS = ("пн", "вт", "ср", "чт", "пт", "сб", "вс")
_EVERY_DAY = "ежедневно"
_DASH = r"\s*[-–—]\s*"
_TIME = r"\d{1,2}:\d{2}"
_WINDOW = re.compile(rf"(?P<days>\S.*?)\s+(?P<begins>{_TIME}){_DASH}(?P<ends>{_TIME})")


class _TypedField(forms.CharField):
    """Text that means something else: a change is a change of the meaning, not of the spelling."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(self.prepare_value(initial)) != self.to_python(data))
        except ValidationError:
            return True


class SecondsListField(_TypedField):
    """Pauses in seconds, typed as «5, 10, 30»; gives a list of positive numbers."""

    def prepare_value(self, value: Any) -> Any:
        """The pauses as they are typed."""
        return ", ".join(f"{pause:g}" for pause in value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """The pauses, seconds. Raises ValidationError."""
        text = super().to_python(value) or ""
        return [_pause(part) for part in text.replace(";", ",").split(",") if part.strip()]

    def validate(self, value: Any) -> None:
        """Raises ValidationError for more than thirty."""
        super().validate(value)
        if len(value) > _POLL_STEPS:
            raise ValidationError(f"Не больше {_POLL_STEPS} пауз: последняя повторяется.")


def _pause(text: str) -> float:
    try:
        pause = float(text)
    except ValueError as error:
        raise ValidationError("Запишите паузы числами через запятую: 5, 10, 30.") from error
    if not math.isfinite(pause) or not 0 < pause <= 86400:
        raise ValidationError("Пауза больше нуля и не длиннее суток (86400 с).")
    return int(pause) if pause == int(pause) else pause


class WindowsField(_TypedField):
    """Windows of works, one a line: «пн–пт 02:00–04:30»; gives the rows of `operators.limits.maintenance`."""

    widget = forms.Textarea(attrs={"rows": 4, "cols": 40, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        """The windows as they are typed."""
        return "\n".join(map(_window_text, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """The rows of `operators.limits.maintenance`. Raises ValidationError with the line."""
        text = super().to_python(value) or ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if len(lines) > _MOST_WINDOWS:
            raise ValidationError(f"Не больше {_MOST_WINDOWS} окон.")
        return [_window(number, line) for number, line in enumerate(lines, start=1)]


def _window_text(window: Any) -> str:
    """A row as it is typed; one that nobody could have typed is shown as it is stored."""
    try:
        days = _days_text(window.get("days") or [])
        return f"{days} {window['from']}–{window['to']}"
    except (AttributeError, IndexError, KeyError, TypeError):
        return json.dumps(window, ensure_ascii=False)


def _days_text(days: Iterable[int]) -> str:
    numbers = sorted(set(days))
    if len(numbers) in {0, len(_DAYS)}:
        return _EVERY_DAY
    return ", ".join(_runs(numbers))


def _runs(numbers: list[int]) -> Iterator[str]:
    """Three days in a row and more are a range."""
    while numbers:
        length = 1
        while length < len(numbers) and numbers[length] == numbers[0] + length:
            length += 1
        run, numbers = numbers[:length], numbers[length:]
        names = [_DAYS[number] for number in run]
        yield f"{names[0]}–{names[-1]}" if length > 2 else ", ".join(names)


def _window(number: int, line: str) -> Mapping[str, Any]:
    found = _WINDOW.fullmatch(line)
    if found is None:
        raise ValidationError(f"Строка {number}: запишите так: «пн–пт 02:00–04:30».")
    begins, ends = (_moment(number, found[name]) for name in ("begins", "ends"))
    if begins == ends:
        raise ValidationError(f"Строка {number}: начало и конец совпадают.")
    return {"days": _days(number, found["days"]), "from": begins, "to": ends}


def _moment(number: int, text: str) -> str:
    hours, minutes = (int(part) for part in text.split(":"))
    if (hours, minutes) == (24, 0):
        return "00:00"
    try:
        return f"{time(hours, minutes):%H:%M}"
    except ValueError as error:
        raise ValidationError(f"Строка {number}: «{text}» — не время суток.") from error


def _days(number: int, text: str) -> list[int]:
    """Weekdays, 0 is Monday; none means every day. «пт–пн» goes over Sunday."""
    words = text.lower().rstrip(",: ")
    if words == _EVERY_DAY:
        return []
    days: set[int] = set()
    for part in words.split(","):
        first, *rest = (_day(number, word) for word in re.split(_DASH, part.strip(), maxsplit=1))
        last = rest[0] if rest else first
        days |= {(first + step) % 7 for step in range((last - first) % 7 + 1)}
    return [] if len(days) == len(_DAYS) else sorted(days)


def _day(number: int, word: str) -> int:
    if word not in _DAYS:
        known = ", ".join(_DAYS)
        raise ValidationError(
            f"Строка {number}: «{word}» — не день недели. Пишите {known} или «{_EVERY_DAY}»."
        )
    return _DAYS.index(word)


class _Unshown(forms.Textarea):
    """Gives back to the page nothing of what was typed, not even beside a mistake."""

    def format_value(self, value: Any) -> None:
        return None


class SecretsField(forms.CharField):
    """Secrets to be written and never shown, one a line; gives them one a line, each once."""

    widget = _Unshown(attrs={"rows": 2, "cols": 60, "autocomplete": "off", "spellcheck": "false"})

    def __init__(self, *, most: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.most = most

    def to_python(self, value: Any) -> str:
        """The secrets without spaces and repeats."""
        lines = [line.strip() for line in (super().to_python(value) or "").splitlines()]
        return "\n".join(dict.fromkeys(line for line in lines if line))

    def validate(self, value: Any) -> None:
        """Raises ValidationError for more than `most`."""
        super().validate(value)
        if len(value.splitlines()) > self.most:
            raise ValidationError(f"Не больше {self.most}, по одному в строке.")


class RoublesField(_TypedField):
    """A sum typed in roubles, «12,50»; gives kopecks. Nothing typed is nothing to pay."""

    def prepare_value(self, value: Any) -> Any:
        """Kopecks as roubles."""
        if not isinstance(value, int):
            return value
        roubles, rest = divmod(value, 100)
        return f"{roubles},{rest:02}" if rest else str(roubles)

    def to_python(self, value: Any) -> Any:
        """Kopecks. Raises ValidationError."""
        text = super().to_python(value)
        if not text:
            return 0
        try:
            kopecks = ru_format.kopecks(text)
        except ValueError as error:
            raise ValidationError("Запишите сумму в рублях: 12 или 12,50.") from error
        if not 0 <= kopecks <= _MOST_KOPECKS:
            raise ValidationError("Сумма — от нуля до миллиона рублей.")
        return kopecks


# The least that can be saved: to be written over.
PROFILE_EXAMPLE = """{
  "title": "Мой оператор",
  "base_url": "https://api.example.com/v1",
  "login": {"kind": "bearer"},
  "calls": {
    "activate": {"method": "POST", "path": "/sims/{iccid}/activate"},
    "deactivate": {"method": "POST", "path": "/sims/{iccid}/suspend"},
    "read": {"path": "/sims/{iccid}", "answer": {"iccid": "body.iccid", "state": "body.status"}}
  },
  "states": {"words": {"ACTIVE": "active", "SUSPENDED": "inactive"}}
}"""


def _profile_help() -> str:
    schema = json_schema()
    optional = [name for name in schema["properties"] if name not in schema["required"]]
    return (
        f"JSON. Обязательны {', '.join(schema['required'])}; бывают ещё {', '.join(optional)}."
        " В\u00a0calls — что отправить: activate, deactivate и read, где нужно find (номер карты у\u00a0оператора)"
        " и check (исход запроса). В\u00a0answer — где в\u00a0ответе что стоит: body.data.status, headers.location."
        " В\u00a0states.words — что значат слова оператора: active, inactive, pending, held, new, retired."
        " Ключи, которые назовёт login, появятся на этой странице после сохранения. Адрес, квоты и времена"
        " возьмутся из описания там, где вы оставили обычные. Каждая ошибка будет названа со своим полем."
    )


class ProfileField(forms.JSONField):
    """The description of a protocol: a JSON object, laid out for reading; its meaning is checked by the form."""

    widget = forms.Textarea(
        attrs={
            "rows": 24,
            "cols": 100,
            "spellcheck": "false",
            "class": "vLargeTextField",
            "placeholder": PROFILE_EXAMPLE,
        }
    )

    def __init__(self) -> None:
        super().__init__(label="Описание протокола", help_text=_profile_help())

    def to_python(self, value: Any) -> Any:
        """The decoded document. Raises ValidationError with the place of a mistake in the JSON."""
        if value:
            _check_json(value)
        return super().to_python(value)

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What was typed, where it is nested too deep or has a number too long to decode."""
        try:
            return super().bound_data(data, initial)
        except (ValueError, RecursionError):
            return InvalidJSONInput(data)  # shown as it was typed, beside the mistake

    def prepare_value(self, value: Any) -> Any:
        """The document laid out in the usual order; "" shows the example."""
        if value is None:
            return ""  # of a new contract: the example shows through
        if isinstance(value, dict):
            laid = in_usual_order(value)
            return json.dumps(laid, ensure_ascii=False, indent=2) if value else ""
        return super().prepare_value(value)


def _check_json(text: str) -> None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise ValidationError(
            f"Это не JSON: ошибка в строке {error.lineno}, знак {error.colno}."
        ) from error
    except RecursionError as error:
        raise ValidationError("Слишком глубокая вложенность.") from error
    except ValueError as error:
        raise ValidationError("Слишком длинное число.") from error
