"""The requests that a described operator would get for an invented card. Nothing is sent."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from operators.declarative import request_builder
from operators.declarative.calls import Request, Switch
from operators.declarative.request_builder import HttpRequest
from operators.declarative.schema import Description
from operators.declarative.templates import PUT_BACK, Placeholder, UnusableValue, Values
from operators.declarative.validation import InvalidProfile, load
from operators.declarative.variables import account_values, card_values, time_values
from operators.ports import Action, Sim

INVENTED = Sim(iccid="89701990000000000017", msisdn="79990000001")
# Stars stay as they are everywhere in a request.
MASK = "******"
_KEY = "00000000-0000-4000-8000-000000000000"
_TITLES = {
    Action.ACTIVATE.value: "Включение",
    Action.DEACTIVATE.value: "Отключение",
    "questions": "Вопросы",
    "find": "Поиск смарт-карты",
    "prepare": "Подготовка",
    "read": "Чтение состояния",
    "check": "Вопрос об исходе",
    "ping": "Проверка связи",
}


@dataclass(frozen=True)
class RequestPreview:
    """One request as it would be sent, secrets masked; `note` is a sentence, "" where there is nothing to say."""

    title: str
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: str
    note: str = ""


@dataclass(frozen=True)
class Preview:
    """One switch, or the questions: requests in order, or why there are none."""

    title: str
    requests: tuple[RequestPreview, ...] = ()
    problem: str = ""


def preview_requests(
    document: Mapping[str, Any], credentials: Mapping[str, str], *, base_url: str, at: datetime
) -> list[Preview]:
    """Both switches and the questions of a document. `credentials` may be empty: each field has a value."""
    names = (*Action, "questions")
    try:
        description = load(document)
    except InvalidProfile:
        problem = "В описании протокола есть ошибки: исправьте их в договоре."
        return [Preview(_TITLES[name], problem=problem) for name in names]
    previews = _Previews(description, base_url, _masked(description, credentials), at)
    return [previews.of(name) for name in names]


def _masked(description: Description, credentials: Mapping[str, str]) -> dict[str, str]:
    """Secrets are masked before a request is made, so they are nowhere in it."""
    return {
        field.name: MASK if field.secret else credentials.get(field.name) or field.name
        for field in description.credentials
    }


@dataclass(frozen=True)
class _Previews:
    description: Description
    base_url: str
    credentials: Mapping[str, str]
    at: datetime

    def of(self, name: str) -> Preview:
        requests = self._questions() if name == "questions" else self._switch(Action(name))
        try:
            return Preview(_TITLES[name], tuple(requests))
        except UnusableValue as unusable:
            return Preview(_TITLES[name], problem=f"Запрос не составить: {unusable.text}.")

    def _switch(self, action: Action) -> Iterator[RequestPreview]:
        call = self.description.calls.switch(action)
        yield from self._login()
        before = {"find": self.description.find_before(call), "prepare": call.prepare}
        for name, request in [*before.items(), (action.value, call)]:
            if request is not None:
                yield self._call(name, request, self._values(call))

    def _questions(self) -> Iterator[RequestPreview]:
        for name in ("read", "check", "ping"):
            call = getattr(self.description.calls, name)
            if call is not None:
                yield self._call(name, call, self._values(call))

    def _login(self) -> Iterator[RequestPreview]:
        note = "Отправляется, когда прежний ключ доступа кончился."
        values = {**time_values("now", self.at), **self.credentials}
        for step in self.description.login_steps:
            made = request_builder.login_step(self.description, self.base_url, step, values)
            yield _preview("Вход", made, note)
            values |= dict.fromkeys(step.take, MASK)

    def _values(self, call: Request) -> dict[str, Any]:
        """What answers before will give stands by its name, in capitals."""
        found = self.description.taken_by_find | {"request_id"}
        if isinstance(call, Switch) and call.prepare is not None:
            found |= set(call.prepare.answer.take)
        values: dict[str, Any] = {
            **time_values("now", self.at),
            **account_values(self.description, self.credentials),
            **card_values(INVENTED),
            "key": _KEY,
            **{name: Placeholder(name.upper()) for name in found},
        }
        if call.puts_back:
            [taken] = call.json_body[PUT_BACK].names
            values[taken] = {PUT_BACK: taken.upper()}
        return values

    def _call(self, name: str, call: Request, values: Values) -> RequestPreview:
        made = request_builder.build(self.base_url, call, values, self.description.headers)
        carried = {key.field: MASK for key in self.description.login.carried}
        made = request_builder.with_login(made, self.description, {**carried, **self.credentials})
        unknown = [one for one in sorted(call.names - {"request_id"})
                   if isinstance(values[one], Placeholder | dict)]  # fmt: skip
        return _preview(_TITLES[name], made, _note([one.upper() for one in unknown]))


def _note(names: list[str]) -> str:
    if not names:
        return ""
    verb = "встанет значение" if len(names) == 1 else "встанут значения"
    return f"Вместо {', '.join(names)} {verb} из ответов выше."


def _preview(title: str, made: HttpRequest, note: str) -> RequestPreview:
    query = urlencode(made.params, safe="*")
    url = f"{made.url}?{query}" if query else made.url
    body, content_type = _body(made)
    headers = dict(made.headers)
    if content_type and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = content_type
    if made.auth:
        headers["Authorization"] = f"Basic {MASK}"
    return RequestPreview(title, made.method, url, tuple(headers.items()), body, note)


def _body(made: HttpRequest) -> tuple[str, str]:
    """The text of the body and its type."""
    if made.json is not None:
        return json.dumps(made.json, ensure_ascii=False), "application/json"
    if isinstance(made.data, bytes):
        return bytes(made.data).decode(), "application/json"
    if made.data is not None:
        return urlencode(made.data, safe="*"), "application/x-www-form-urlencoded"
    return "", ""
