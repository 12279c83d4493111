"""The signature of a request, by the account's secret. Pure: the time comes with the values."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from operators.declared import outgoing, templates
from operators.declared.keys import Encoding, Sign, Sorted, Where
from operators.declared.outgoing import Request
from operators.declared.templates import Values


class Sealed(bytes):
    """A body that leaves as it is, and of which the log gets `shown`: it holds the operator's own JSON.

    Whoever writes a log asks bytes for their text; whoever sends them does not.
    """

    shown: str = ""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """What the log may keep."""
        return self.shown


def signed(made: Request, sign: Sign, values: Values) -> Request:
    """The request with its signature; the body is fixed as the very bytes that were signed.

    `values` are the account's keys and the variables of the call. A signature in the body is made of the
    body without it. Raises `templates.Unfit`.
    """
    in_body = sign.place.where is Where.BODY
    fixed = made if in_body else fixed_body(made)
    made_sign = signature(sign, signed_text(made, sign, values), values)
    placed = outgoing.placed(fixed, sign.place, made_sign)
    return fixed_body(placed) if in_body else placed


def signed_text(made: Request, sign: Sign, values: Values) -> str:
    """The text that is signed; of a secret that is not entered nothing stands there."""
    body = bytes(_raw_body(made))
    parts = {
        "method": made.method,
        "path": urlsplit(made.url).path,
        "query": urlencode(made.params),
        "params": _sorted(made, sign.params),
        "body": body.decode(),
        "body_sha256": hashlib.sha256(body).hexdigest(),
    }
    return sign.text.rendered(dict(values) | parts, templates.may_be_empty)


def signature(sign: Sign, text: str, values: Values) -> str:
    """The signature of a text. Raises `templates.Unfit` for a secret that is not entered."""
    name, keyed = sign.algorithm.removeprefix("hmac-"), sign.algorithm.startswith("hmac-")
    if keyed:
        secret = templates.plain(sign.secret, str(values.get(sign.secret, "")))
        made = hmac.digest(secret.encode(), text.encode(), name)
    else:
        made = hashlib.new(name, text.encode(), usedforsecurity=False).digest()
    match sign.encoding:
        case Encoding.BASE64:
            return base64.b64encode(made).decode()
        case Encoding.HEX_UPPER:
            return made.hex().upper()
    return made.hex()


def _sorted(made: Request, how: Sorted) -> str:
    """All fields of the query and of the body by name; of a JSON object those at its top."""
    inside = made.json if isinstance(made.json, dict) else made.data
    fields = {**made.params, **(inside if isinstance(inside, Mapping) else {})}
    named = {name: _said(value) for name, value in fields.items() if value is not None}
    return how.between.join(_one(name, said, how) for name, said in sorted(named.items()))


def _said(value: Any) -> Any:
    """Objects and lists count as the JSON that leaves, without spaces."""
    if not isinstance(value, dict | list):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _one(name: str, said: Any, how: Sorted) -> str:
    values = {"name": name, "value": said}

    def written(_name: str, value: str) -> str:
        return quote_plus(value) if how.encoded else value

    return how.each.rendered(values, written)


def fixed_body(made: Request) -> Request:
    """The request with its body as the bytes that leave."""
    body = _raw_body(made)
    if body is made.data or not body:
        return made
    kind = "application/json" if made.json is not None else "application/x-www-form-urlencoded"
    headers = outgoing.with_usual(made.headers, "Content-Type", kind)
    return replace(made, json=None, data=body, headers=headers)


def _raw_body(made: Request) -> bytes:
    """The bytes of the body; empty ones where there is none."""
    if made.json is not None:
        return _as_json(made)
    if isinstance(made.data, Mapping):
        return urlencode(made.data).encode()
    return made.data or b""


def _as_json(made: Request) -> bytes:
    body = Sealed(json.dumps(made.json, ensure_ascii=False).encode())
    if made.shown is None:
        return bytes(body)
    body.shown = json.dumps(made.shown, ensure_ascii=False)
    return body
