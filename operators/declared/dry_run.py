"""The requests that a switch would send, shown to staff before anybody sends them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from operators.declared import outgoing, signing, templates
from operators.declared.outgoing import Request
from operators.declared.parse_calls import ALWAYS
from operators.declared.profile import SWITCHES, Call, CallName, Profile
from operators.declared.sources import Source
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
        values |= {"key": _KEY}
        if call.prepare is not None:
            yield self._call("Подготовка", call.prepare, values, find)
        title = "Включение" if action is Action.ACTIVATE else "Отключение"
        yield self._call(title, call, values, find)

    def asked(self, name: CallName, sim: Sim, at: datetime) -> Shown:
        """One question, about a request that was sent now."""
        call = self.profile.calls[name]
        values = self._values(sim, at) | outgoing.submitted_values(at, self.profile.zone)
        values["request_id"] = templates.StandIn(f"{'/' if call.link else ''}REQUEST_ID")
        return self._call(_QUESTIONS[name], call, values, self.profile.finder_of(call))

    def _values(self, sim: Sim, at: datetime) -> dict[str, str | int]:
        times = outgoing.time_values(at, self.profile.zone) | {"nonce": _NONCE}
        return outgoing.card_values(self.profile, sim, self.keys) | times

    def _call(self, title: str, call: Call, values: Values, find: Call | None = None) -> Shown:
        """With the names of what earlier answers give in the place of its values."""
        found = _found(call, find)
        names = [name.upper() for name in found if name in call.own_names]
        note = _note(names, call.prepare is not None)
        values = {**values, **found}
        made = outgoing.request(self.base_url, call, values, self.profile.headers)
        tokens = [MASK for _ in self.profile.login.token_places]
        made = outgoing.with_keys(made, self.profile.login, self.keys, tokens)
        return self._laid(title, made, values, note)

    def _laid(self, title: str, made: Request, values: Values, note: str) -> Shown:
        sign = self.profile.login.sign
        if sign is None:
            return _shown(title, made, note)
        text = signing.signed_text(made, sign, {**values, **self.keys})
        text = text.replace(quote(MASK), MASK)
        return _shown(title, outgoing.placed(made, sign.place, MASK), note, text)


def _found(call: Call, find: Call | None) -> dict[str, Any]:
    """What the search and the preparation will give, by its name in capitals."""
    given: dict[str, Source] = {} if find is None else {"id": Source(), **find.answer.take}
    given |= call.prepare.answer.take if call.prepare is not None else {}
    return {name: _stand_in(name, source, call) for name, source in given.items()}


def _stand_in(name: str, source: Source, call: Call) -> Any:
    if name in {given.names[0] for given in templates.spreads(call.body.template)}:
        return {templates.SPREAD: name.upper()}
    return templates.StandIn(f"{'/' if source.is_link else ''}{name.upper()}")


def _note(names: list[str], prepared: bool) -> str:
    before = "ответов выше" if prepared else "ответа на поиск"
    if not names:
        return ""
    if len(names) == 1:
        return f"Вместо {names[0]} встанет значение из {before}."
    return f"Вместо {', '.join(names)} встанут значения из {before}."


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
    basic = {"Authorization": f"Basic {MASK}"} if made.auth else {}
    return {**signing.fixed_body(made).headers, **basic}


def _body(made: Request) -> str:
    if made.json is not None:
        return json.dumps(made.json, ensure_ascii=False)
    return urlencode(made.data, safe="*") if isinstance(made.data, Mapping) else ""


__all__ = ["MASK", "Shown", "Unfit", "dry_questions", "dry_run"]
