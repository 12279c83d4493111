"""The requests that a switch would send, shown to staff before anybody sends them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from operators.declared import outgoing
from operators.declared.outgoing import Request
from operators.declared.profile import SWITCHES, CallName, Profile
from operators.declared.templates import Unfit, Values
from operators.ports import Action, Sim

# Stars stay as they are in every place of a request.
MASK = "******"
_ID = "ID"
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
        values = outgoing.card_values(self.profile, sim, self.keys)
        if login.call is not None:
            made = outgoing.login_request(self.base_url, login, self.keys)
            yield _shown("Вход", made, "Отправляется, когда прежний ключ доступа кончился.")
        name = SWITCHES[action]
        if "id" in self.profile.calls[name].names:
            yield _shown("Поиск смарт-карты", self._made(CallName.FIND, values))
            values["id"] = _ID
        values |= outgoing.time_values(at, self.profile.zone) | {"key": _KEY}
        title = "Включение" if action is Action.ACTIVATE else "Отключение"
        note = f"Вместо {_ID} встанет номер из ответа на поиск." if "id" in values else ""
        yield _shown(title, self._made(name, values), note)

    def _made(self, name: CallName, values: Values) -> Request:
        call = self.profile.calls[name]
        made = outgoing.request(self.base_url, call, values, self.profile.headers)
        return outgoing.with_keys(made, self.profile.login, self.keys, MASK)


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
        headers["Content-Type"] = "application/json"
    if made.data is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    return headers | ({"Authorization": f"Basic {MASK}"} if made.auth else {})


def _body(made: Request) -> str:
    if made.json is not None:
        return json.dumps(made.json, ensure_ascii=False)
    return urlencode(made.data, safe="*") if made.data is not None else ""


__all__ = ["MASK", "Shown", "Unfit", "dry_run"]
