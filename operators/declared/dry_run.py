"""The requests that a switch would send, shown to staff before anybody sends them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from operators.declared import outgoing
from operators.declared.outgoing import Request
from operators.declared.profile import SWITCHES, Call, Profile
from operators.declared.templates import Unfit, Values
from operators.ports import Action, Sim

# Stars stay as they are in every place of a request.
MASK = "******"
_NONCE = "0" * 32
_KEY = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Shown:
    """One request as it would leave; `note` is a sentence, "" where there is nothing to say."""

    title: str
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: str
    note: str = ""


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
        login = self.profile.login
        times = outgoing.time_values(at, self.profile.zone) | {"nonce": _NONCE}
        values = outgoing.card_values(self.profile, sim, self.keys) | times
        if login.call is not None:
            made = outgoing.login_request(self.base_url, login, login.call, {**times, **self.keys})
            note = "Отправляется, когда прежний ключ доступа кончился."
            yield _shown("Вход", self._signed(made), note)
        call = self.profile.calls[SWITCHES[action]]
        find, note = self.profile.finder_of(call), ""
        if find is not None:
            yield _shown("Поиск смарт-карты", self._made(find, values))
            found = {name: name.upper() for name in ("id", *find.answer.take)}
            values |= found
            note = _note([shown for name, shown in found.items() if name in call.names])
        title = "Включение" if action is Action.ACTIVATE else "Отключение"
        yield _shown(title, self._made(call, values | {"key": _KEY}), note)

    def _made(self, call: Call, values: Values) -> Request:
        made = outgoing.request(self.base_url, call, values, self.profile.headers)
        return self._signed(outgoing.with_keys(made, self.profile.login, self.keys, MASK))

    def _signed(self, made: Request) -> Request:
        sign = self.profile.login.sign
        return made if sign is None else outgoing.placed(made, sign.place, MASK)


def _note(names: list[str]) -> str:
    if len(names) == 1:
        return f"Вместо {names[0]} встанет номер из ответа на поиск."
    return f"Вместо {', '.join(names)} встанут значения из ответа на поиск."


def _shown(title: str, made: Request, note: str = "") -> Shown:
    query = urlencode(made.params, safe="*")
    return Shown(
        title,
        made.method,
        f"{made.url}?{query}" if query else made.url,
        tuple(_headers(made).items()),
        _body(made),
        note,
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


__all__ = ["MASK", "Shown", "Unfit", "dry_run"]
