"""One call of a profile made into a request, and the values its templates may name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from operators.declared import links, templates
from operators.declared.keys import Place, Where
from operators.declared.profile import Body, BodyKind, Call, Login, LoginKind, Profile
from operators.declared.templates import Template, Values
from operators.ports import Sim

# The only variable that may be empty: the first page of a list has none.
_CURSOR = "cursor"
_ACCEPT = templates.parse("application/json")
_FIXED = {LoginKind.BEARER: "token", LoginKind.KEY: "api_key"}


@dataclass(frozen=True)
class Request:
    """What leaves, in the arguments of `ports.Http.request`; secrets and all.

    `shown` is what the log may keep of `json` where that holds JSON of the operator's own, else None.
    """

    method: str
    url: str
    params: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    json: Any = field(default=None, repr=False)
    shown: Any = field(default=None, repr=False)
    data: Mapping[str, str] | bytes | None = field(default=None, repr=False)
    auth: tuple[str, str] | None = field(default=None, repr=False)
    base_url: str = ""

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
    url, followed = _url(base_url, call, values)
    body = _json(call.body, values)
    shown = _json(call.body, _without_foreign(values))
    return Request(
        method=call.method,
        url=url,
        params=followed | _params(call, values),
        headers=_headers((("Accept", _ACCEPT), *common, *call.headers), values),
        json=body,
        shown=shown if shown != body else None,
        data=_data(call, values),
        base_url=base_url.rstrip("/"),
    )


def _without_foreign(values: Values) -> Values:
    """The values with those hidden that are JSON of the operator's: nobody knows whose name is in it."""
    return {
        name: templates.without_values(value) if isinstance(value, dict | list) else value
        for name, value in values.items()
    }


def _url(base_url: str, call: Call, values: Values) -> tuple[str, dict[str, str]]:
    """The address, and the query that a followed link brings along."""
    if call.link:
        found = links.followed(base_url, str(values.get(call.link, "")))
        if found is None:
            raise templates.Unfit(call.link)
        return found
    rendered = call.path.rendered(values, templates.segment)
    whole = rendered.startswith("https://")
    return (rendered if whole else f"{base_url.rstrip('/')}{rendered}"), {}


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
    """The last of those that differ in case only counts: a header has no case."""
    last = {name.lower(): (name, template) for name, template in pairs}
    return {name: text.rendered(values, templates.line) for name, text in last.values()}


def with_usual(headers: Mapping[str, str], name: str, value: str) -> dict[str, str]:
    """The headers with this one, unless it is there in any case of letters."""
    there = name.lower() in {one.lower() for one in headers}
    return dict(headers) if there else {**headers, name: value}


def _json(body: Body, values: Values) -> Any:
    return templates.rendered_json(body.template, values) if body.kind is BodyKind.JSON else None


def _data(call: Call, values: Values) -> dict[str, str] | None:
    if call.body.kind is not BodyKind.FORM:
        return None
    pairs = call.body.template.items()
    return {name: template.rendered(values, templates.plain) for name, template in pairs}


# --- the login ----------------------------------------------------------------------------------------


def login_request(base_url: str, login: Login, call: Call, values: Values) -> Request:
    """The request by which `login.call` fetches a token; `values` hold the account's keys.

    Raises `templates.Unfit` for a key that is not entered.
    """
    return _with_more_keys(
        _with_basic(request(base_url, call, values), login, values), login, values
    )


def with_keys(
    made: Request, login: Login, credentials: Values, tokens: Sequence[str] = ()
) -> Request:
    """The request with what proves who we are: fixed keys, or the fetched `tokens`.

    Raises `templates.Unfit` for a key that is not entered.
    """
    return _with_more_keys(_with_own_key(made, login, credentials, tokens), login, credentials)


def _with_own_key(
    made: Request, login: Login, credentials: Values, tokens: Sequence[str]
) -> Request:
    if login.kind is LoginKind.BASIC:
        return _with_basic(made, login, credentials)
    if login.place is None:
        return made
    if login.kind in _FIXED:
        return placed(made, login.place, _key(credentials, _FIXED[login.kind]))
    for place, token in zip(login.token_places, tokens, strict=False):
        made = placed(made, place, token)
    return made


def _with_more_keys(made: Request, login: Login, credentials: Values) -> Request:
    for key in login.keys:
        made = placed(made, key.place, _key(credentials, key.field))
    return made


def _with_basic(made: Request, login: Login, credentials: Values) -> Request:
    if login.basic is None:
        return made
    user, secret = login.basic
    return replace(made, auth=(_key(credentials, user), _key(credentials, secret)))


def _key(credentials: Values, name: str) -> str:
    return templates.plain(name, str(credentials.get(name, "")))


def placed(made: Request, place: Place, value: str) -> Request:
    """The request with a key where it belongs."""
    name, whole = place.name, f"{place.prefix}{value}"
    match place.where:
        case Where.QUERY:
            return replace(made, params={**made.params, name: whole})
        case Where.HEADER:
            line = f"{place.prefix}{templates.line(name, value)}"
            return replace(made, headers={**made.headers, name: line})
        case Where.BODY:
            return _with_field(made, name, whole)
        case Where.PATH:
            return _with_segment(made, f"{place.prefix}{templates.segment(name, value)}")
    one = f"{name}={place.prefix}{templates.cookie(name, value)}"
    others = made.headers.get("Cookie")
    return replace(made, headers={**made.headers, "Cookie": f"{others}; {one}" if others else one})


def _with_segment(made: Request, segment: str) -> Request:
    """A login at an address of its own has no place for what belongs to the account's."""
    base = f"{made.base_url}/"
    if not made.url.startswith(base):
        return made
    return replace(made, url=f"{base}{segment}/{made.url.removeprefix(base)}")


def _with_field(made: Request, name: str, value: str) -> Request:
    if isinstance(made.json, dict):
        shown = {**made.shown, name: value} if made.shown is not None else None
        return replace(made, json={**made.json, name: value}, shown=shown)
    return replace(made, data={**_form(made), name: value})


def _form(made: Request) -> Mapping[str, str]:
    return made.data if isinstance(made.data, Mapping) else {}


def own_of(profile: Profile, credentials: Values, tokens: Sequence[str] = ()) -> links.Own:
    """What `with_keys` puts into every request, and so no link of an answer is kept with."""
    login, fixed = profile.login, [(key.place, key.field) for key in profile.login.keys]
    if login.place is not None and login.kind in _FIXED:
        fixed.insert(0, (login.place, _FIXED[login.kind]))
    sign = () if login.sign is None else (login.sign.place,)
    places = [*login.token_places, *(place for place, _ in fixed), *sign]
    segments = [
        f"{place.prefix}{credentials.get(name, '')}"
        for place, name in fixed
        if place.where is Where.PATH
    ]
    secrets = {credentials.get(key.name, "") for key in profile.credentials if key.secret}
    return links.Own(
        names=frozenset(place.name for place in places if place.where is Where.QUERY),
        # The last that was put there stands first.
        segments=tuple(reversed(segments)),
        secrets=frozenset({*secrets, *tokens}),
    )


# --- values -------------------------------------------------------------------------------------------


def card_values(profile: Profile, sim: Sim, credentials: Values) -> dict[str, str | int]:
    """The card, as every operator may want it named, and the account's open keys.

    `iccid_bare` is the ICCID without its check digit, `msisdn10` the number without the country;
    `iccid_int` and `msisdn_int` are numbers in JSON where they stand alone.
    """
    digits = re.sub(r"[^0-9]", "", sim.msisdn)
    card: dict[str, str | int] = {
        "iccid": sim.iccid,
        "iccid_bare": sim.iccid[:-1],
        "iccid_int": int(sim.iccid),
        "msisdn": digits,
        "msisdn10": digits[-10:],
        "msisdn_int": int(digits) if digits else "",
    }
    return open_values(profile, credentials) | card


def open_values(profile: Profile, credentials: Values) -> dict[str, str | int]:
    """The account's keys that are no secrets."""
    return {key.name: credentials.get(key.name, "") for key in profile.fields if not key.secret}


def time_values(at: datetime, zone: ZoneInfo) -> dict[str, str | int]:
    """`now` in UTC, `now_unix` in seconds, `now_ms` in milliseconds, `now_http` as headers have it;
    `now_local`, `now_compact` (20261120153000) and `today` by the operator's clock.
    """
    local = at.astimezone(zone)
    return {
        "now": utc(at),
        "now_unix": int(at.timestamp()),
        "now_ms": milliseconds(at),
        "now_http": format_datetime(at.astimezone(UTC), usegmt=True),
        "now_local": f"{local:%Y-%m-%dT%H:%M:%S}",
        "now_compact": f"{local:%Y%m%d%H%M%S}",
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


def since_values(since: datetime) -> dict[str, str | int]:
    """The moment after which changes are asked for."""
    unix = int(since.timestamp())
    return {"since": utc(since), "since_unix": unix, "since_ms": milliseconds(since)}


def milliseconds(moment: datetime) -> int:
    """Unix time in milliseconds."""
    return int(moment.timestamp() * 1000)


def utc(moment: datetime) -> str:
    """ISO 8601 with Z, whole seconds."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
