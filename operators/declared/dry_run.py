"""The requests that a switch would send, shown to staff before anybody sends them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlencode

from operators.declared import outgoing, signing
from operators.declared.outgoing import Request
from operators.declared.parse_calls import ALWAYS
from operators.declared.profile import SWITCHES, Call, CallName, Profile
from operators.declared.templates import Unfit, Values
from operators.ports import Action, Sim

# Stars stay as they are in every place of a request.
MASK = "******"
_QUESTIONS = {
    CallName.READ: "Чтение состояния",
    CallName.CHECK: "Вопрос об исходе",
    CallName.PING: "Проверка связи",
}
_NONCE = "0" * 32
_KEY = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Shown:
    """One request as it would leave; `note` is a sentence, "" where there is nothing to say.

    `signed` is the text that a signature is made of, "" without one.
    """

    title: str
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: str
    note: str = ""
    signed: str = ""


def dry_run(
    profile: Profile,
    action: Action,
    sim: Sim,
    credentials: Mapping[str, str],
    *,
    at: datetime,
    base_url: str = "",
) -> tuple[Shown, ...]:
    """Every request of a switch, in order; the last one is the switch. Nothing is sent.

    `base_url` is the account's address, the profile's own without it. Secrets are masked before a
    request is made, so they are nowhere in it. Raises `templates.Unfit` where a value is missing.
    """
    maker = _Maker(profile, base_url or profile.base_url, _masked(profile, credentials))
    return tuple(maker.shown(action, sim, at))


def dry_questions(
    profile: Profile,
    sim: Sim,
    credentials: Mapping[str, str],
    *,
    at: datetime,
    base_url: str = "",
) -> tuple[Shown, ...]:
    """The questions that the profile has: `read`, `check`, `ping`. As `dry_run`."""
    maker = _Maker(profile, base_url or profile.base_url, _masked(profile, credentials))
    return tuple(maker.asked(name, sim, at) for name in _QUESTIONS if name in profile.calls)


def _masked(profile: Profile, credentials: Mapping[str, str]) -> dict[str, str]:
    """Every key has a value, so that a profile can be tried before an account has any."""
    keys = {key.name: credentials.get(key.name) or key.name for key in profile.credentials}
    secrets = {key.name: MASK for key in profile.credentials if key.secret}
    return keys | secrets


@dataclass(frozen=True)
class _Maker:
    profile: Profile
    base_url: str
    keys: Mapping[str, str]

    def shown(self, action: Action, sim: Sim, at: datetime) -> Iterator[Shown]:
        login, values = self.profile.login, self._values(sim, at)
        if login.call is not None:
            times = {name: values[name] for name in ALWAYS}
            made = outgoing.login_request(self.base_url, login, login.call, {**times, **self.keys})
            note = "Отправляется, когда прежний ключ доступа кончился."
            yield self._laid("Вход", made, times, note)
        call = self.profile.calls[SWITCHES[action]]
        find = self.profile.finder_of(call)
        if find is not None:
            yield self._call("Поиск смарт-карты", find, values)
        title = "Включение" if action is Action.ACTIVATE else "Отключение"
        yield self._call(title, call, values | {"key": _KEY})

    def asked(self, name: CallName, sim: Sim, at: datetime) -> Shown:
        """One question, about a request that was sent now."""
        values = self._values(sim, at) | outgoing.submitted_values(at, self.profile.zone)
        return self._call(
            _QUESTIONS[name], self.profile.calls[name], values | {"request_id": "REQUEST_ID"}
        )

    def _values(self, sim: Sim, at: datetime) -> dict[str, str | int]:
        times = outgoing.time_values(at, self.profile.zone) | {"nonce": _NONCE}
        return outgoing.card_values(self.profile, sim, self.keys) | times

    def _call(self, title: str, call: Call, values: Values) -> Shown:
        """With the names of what the search gives in the place of its values."""
        find = self.profile.finder_of(call)
        found = {} if find is None else {name: name.upper() for name in ("id", *find.answer.take)}
        note = _note([shown for name, shown in found.items() if name in call.names])
        values = {**values, **found}
        made = outgoing.request(self.base_url, call, values, self.profile.headers)
        made = outgoing.with_keys(made, self.profile.login, self.keys, MASK)
        return self._laid(title, made, values, note)

    def _laid(self, title: str, made: Request, values: Values, note: str) -> Shown:
        sign = self.profile.login.sign
        if sign is None:
            return _shown(title, made, note)
        text = signing.signed_text(made, sign, {**values, **self.keys})
        text = text.replace(quote(MASK), MASK)
        return _shown(title, outgoing.placed(made, sign.place, MASK), note, text)


def _note(names: list[str]) -> str:
    if not names:
        return ""
    if len(names) == 1:
        return f"Вместо {names[0]} встанет номер из ответа на поиск."
    return f"Вместо {', '.join(names)} встанут значения из ответа на поиск."


def _shown(title: str, made: Request, note: str, signed: str = "") -> Shown:
    query = urlencode(made.params, safe="*")
    return Shown(
        title,
        made.method,
        f"{made.url}?{query}" if query else made.url,
        tuple(_headers(made).items()),
        _body(made),
        note,
        signed,
    )


def _headers(made: Request) -> dict[str, str]:
    headers = dict(made.headers)
    if made.json is not None:
        headers.setdefault("Content-Type", "application/json")
    if made.data is not None:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    return headers | ({"Authorization": f"Basic {MASK}"} if made.auth else {})


def _body(made: Request) -> str:
    if made.json is not None:
        return json.dumps(made.json, ensure_ascii=False)
    return urlencode(made.data, safe="*") if isinstance(made.data, Mapping) else ""


__all__ = ["MASK", "Shown", "Unfit", "dry_questions", "dry_run"]
