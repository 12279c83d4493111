"""One call of a description made into an HTTP request, with what proves who we are."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from operators.declarative import templates
from operators.declarative.calls import Key, Request
from operators.declarative.login import LoginStep
from operators.declarative.schema import Description
from operators.declarative.templates import PUT_BACK, Template, UnusableValue, Values

_ACCEPT = templates.parse("application/json")


class PutBackBody(bytes):
    """A JSON body of the operator's own fields with some of ours; `decode` gives ours alone.

    Who sends bytes does not decode them, who writes a log does.
    """

    log_text: str = ""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Our own fields, as JSON."""
        return self.log_text


@dataclass(frozen=True)
class HttpRequest:
    """The arguments of `ports.Http.request`; secrets and all."""

    method: str
    url: str
    params: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    json: Any = field(default=None, repr=False)
    data: Mapping[str, str] | bytes | None = field(default=None, repr=False)
    auth: tuple[str, str] | None = field(default=None, repr=False)


def build(
    base_url: str, call: Request, values: Values, common: Mapping[str, Template] | None = None
) -> HttpRequest:
    """The request of a call, without the login; `common` are headers of every call.

    Raises `templates.UnusableValue`.
    """
    path = call.path.render(values, templates.path_segment)
    url = path if path.startswith("https://") else f"{base_url.rstrip('/')}{path}"
    headers = _headers([{"Accept": _ACCEPT}, common or {}, call.headers], values)
    made = HttpRequest(call.method, url, _query(call, values), headers)
    if call.form is not None:
        form = {name: text.render(values, templates.plain) for name, text in call.form.items()}
        return replace(made, data=form)
    if call.puts_back:
        return _with_put_back(made, call.json_body, values)
    return replace(made, json=templates.render_json(call.json_body, values))


def _query(call: Request, values: Values) -> dict[str, str]:
    """The first page of a list has no cursor, and then no parameter for it."""
    return {
        name: text.render(values, templates.plain)
        for name, text in call.query.items()
        if text.names != ("cursor",) or values.get("cursor")
    }


def _headers(layers: list[Mapping[str, Template]], values: Values) -> dict[str, str]:
    """Of names that differ in case only the last counts."""
    last = {name.lower(): (name, text) for layer in layers for name, text in layer.items()}
    return {name: text.render(values, templates.header_value) for name, text in last.values()}


def _with_put_back(made: HttpRequest, json_body: Mapping[str, Any], values: Values) -> HttpRequest:
    own = {name: templates.render_json(one, values) for name, one in json_body.items()
           if name != PUT_BACK}  # fmt: skip
    [variable] = json_body[PUT_BACK].names
    taken = values.get(variable)
    if not isinstance(taken, dict):
        raise UnusableValue(variable)
    data = PutBackBody(json.dumps(_changed(taken, own), ensure_ascii=False).encode())
    data.log_text = json.dumps({PUT_BACK: "•••", **own}, ensure_ascii=False)
    return replace(made, data=data, headers={"Content-Type": "application/json", **made.headers})


def _changed(taken: Any, own: Any) -> Any:
    """The taken object with our fields; objects inside of it keep their other fields."""
    if not isinstance(taken, dict) or not isinstance(own, dict):
        return own
    return {**taken, **{name: _changed(taken.get(name), value) for name, value in own.items()}}


# --- who we are -------------------------------------------------------------------------------------


def login_step(
    description: Description, base_url: str, step: LoginStep, values: Values
) -> HttpRequest:
    """One request of a login, with the keys that are known by then. Raises `templates.UnusableValue`."""
    made = _with_basic(build(base_url, step, values), step.basic, values)
    for key in description.login.keys:
        made = _with_key(made, key, values) if values.get(key.field) else made
    return made


def with_login(made: HttpRequest, description: Description, values: Values) -> HttpRequest:
    """The request with what proves who we are; `values` are the account's fields and what the login took.

    Raises `templates.UnusableValue` for one that is missing.
    """
    for key in description.login.carried:
        made = _with_key(made, key, values)
    return _with_basic(made, description.login.basic, values)


def _with_key(made: HttpRequest, key: Key, values: Values) -> HttpRequest:
    """The request with one key; a prefix that the operator gave with it is not doubled."""
    value = templates.plain(key.field, str(values.get(key.field, ""))).removeprefix(key.prefix)
    if key.location == "query":
        return replace(made, params={**made.params, key.name: f"{key.prefix}{value}"})
    text = f"{key.prefix}{templates.header_value(key.field, value)}"
    return replace(made, headers={**made.headers, key.name: text})


def _with_basic(made: HttpRequest, fields: Sequence[str] | None, values: Values) -> HttpRequest:
    if not fields:
        return made
    user, password = (templates.plain(name, str(values.get(name, ""))) for name in fields)
    return replace(made, auth=(user, password))
