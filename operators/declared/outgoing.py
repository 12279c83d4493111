"""One call of a profile made into a request, and the values its templates may name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from operators.declared import templates
from operators.declared.profile import BodyKind, Call, Login, LoginKind, Place, Profile, Where
from operators.declared.templates import Template, Values
from operators.ports import Sim

# The only variable that may be empty: the first page of a list has none.
_CURSOR = "cursor"


@dataclass(frozen=True)
class Request:
    """What leaves, in the arguments of `ports.Http.request`; secrets and all."""

    method: str
    url: str
    params: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    json: Any = field(default=None, repr=False)
    data: Mapping[str, str] | None = field(default=None, repr=False)
    auth: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """The URL with its query."""
        return f"{self.url}?{urlencode(self.params)}" if self.params else self.url


def request(
    base_url: str, call: Call, values: Values, common: tuple[tuple[str, Template], ...] = ()
) -> Request:
    """The request of a call, without a login; `common` are headers of every call.

    Raises `templates.Unfit`.
    """
    return Request(
        method=call.method,
        url=_url(base_url, call.path, values),
        params=_params(call, values),
        headers={"Accept": "application/json"} | _headers((*common, *call.headers), values),
        json=_json(call, values),
        data=_data(call, values),
    )


def _url(base_url: str, path: Template, values: Values) -> str:
    rendered = path.rendered(values, templates.segment)
    whole = rendered.startswith("https://")
    return rendered if whole else f"{base_url.rstrip('/')}{rendered}"


def _params(call: Call, values: Values) -> dict[str, str]:
    """The query; a parameter that is an empty cursor stays away."""
    return {
        name: template.rendered(values, _cursor_or_plain)
        for name, template in call.query
        if template.names != (_CURSOR,) or values.get(_CURSOR)
    }


def _cursor_or_plain(name: str, value: str) -> str:
    return value if name == _CURSOR else templates.plain(name, value)


def _headers(pairs: tuple[tuple[str, Template], ...], values: Values) -> dict[str, str]:
    return {name: template.rendered(values, templates.line) for name, template in pairs}


def _json(call: Call, values: Values) -> Any:
    if call.body.kind is not BodyKind.JSON:
        return None
    return templates.rendered_json(call.body.template, values)


def _data(call: Call, values: Values) -> dict[str, str] | None:
    if call.body.kind is not BodyKind.FORM:
        return None
    pairs = call.body.template.items()
    return {name: template.rendered(values, templates.plain) for name, template in pairs}


# --- the login ----------------------------------------------------------------------------------------


def login_request(base_url: str, login: Login, credentials: Values) -> Request:
    """The request that fetches a token. Raises `templates.Unfit` for a key that is not entered."""
    if login.call is None:
        raise ValueError("this login fetches no token")
    return _with_basic(request(base_url, login.call, credentials), login, credentials)


def with_keys(made: Request, login: Login, credentials: Values, token: str = "") -> Request:
    """The request with what proves who we are: fixed keys, or the fetched `token`.

    Raises `templates.Unfit` for a key that is not entered.
    """
    match login.kind:
        case LoginKind.NONE:
            return made
        case LoginKind.BASIC:
            return _with_basic(made, login, credentials)
        case LoginKind.BEARER:
            return _placed(made, login.place, _key(credentials, "token"))
        case LoginKind.KEY:
            return _placed(made, login.place, _key(credentials, "api_key"))
    return _placed(made, login.place, token)


def _with_basic(made: Request, login: Login, credentials: Values) -> Request:
    if login.basic is None:
        return made
    user, secret = login.basic
    return replace(made, auth=(_key(credentials, user), _key(credentials, secret)))


def _key(credentials: Values, name: str) -> str:
    return templates.plain(name, str(credentials.get(name, "")))


def _placed(made: Request, place: Place | None, value: str) -> Request:
    if place is None:
        raise ValueError("this login names no place for a token")
    name = place.name
    if place.where is Where.QUERY:
        return replace(made, params={**made.params, name: f"{place.prefix}{value}"})
    if place.where is Where.HEADER:
        line = f"{place.prefix}{templates.line(name, value)}"
        return replace(made, headers={**made.headers, name: line})
    one = f"{name}={place.prefix}{templates.cookie(name, value)}"
    others = made.headers.get("Cookie")
    return replace(made, headers={**made.headers, "Cookie": f"{others}; {one}" if others else one})


# --- values -------------------------------------------------------------------------------------------


def card_values(profile: Profile, sim: Sim, credentials: Values) -> dict[str, str | int]:
    """The card, as every operator may want it named, and the account's open keys.

    `iccid_bare` is the ICCID without its check digit, `msisdn10` the number without the country.
    """
    digits = re.sub(r"[^0-9]", "", sim.msisdn)
    card = {
        "iccid": sim.iccid,
        "iccid_bare": sim.iccid[:-1],
        "msisdn": digits,
        "msisdn10": digits[-10:],
    }
    return open_values(profile, credentials) | card


def open_values(profile: Profile, credentials: Values) -> dict[str, str | int]:
    """The account's keys that are no secrets."""
    return {key.name: credentials.get(key.name, "") for key in profile.fields if not key.secret}


def time_values(at: datetime, zone: ZoneInfo) -> dict[str, str]:
    """`now` in UTC, `now_local` and `today` by the operator's clock."""
    local = at.astimezone(zone)
    return {
        "now": utc(at),
        "now_local": f"{local:%Y-%m-%dT%H:%M:%S}",
        "today": f"{local:%Y-%m-%d}",
    }


def submitted_values(submitted_at: datetime, zone: ZoneInfo) -> dict[str, str]:
    """When a request was sent, for operators that look it up by its time."""
    local = submitted_at.astimezone(zone)
    return {
        "submitted_at": utc(submitted_at),
        "submitted_local": f"{local:%Y-%m-%dT%H:%M:%S}",
        "submitted_day": f"{local:%Y-%m-%d}",
    }


def utc(moment: datetime) -> str:
    """ISO 8601 with Z, whole seconds."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
