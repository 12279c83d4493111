"""The signature of a request, by the account's secret. Pure: the time comes with the values."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlencode, urlsplit

from operators.declared import outgoing, templates
from operators.declared.outgoing import Request
from operators.declared.profile import Encoding, Sign, Where
from operators.declared.templates import Values


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
    fixed = fixed_body(made)
    parts = {
        "method": fixed.method,
        "path": urlsplit(fixed.url).path,
        "query": urlencode(fixed.params),
        "body": fixed.data.decode() if isinstance(fixed.data, bytes) else "",
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
    return made.hex() if sign.encoding is Encoding.HEX else base64.b64encode(made).decode()


def fixed_body(made: Request) -> Request:
    """The request with its body as the bytes that leave."""
    if made.json is not None:
        body, kind = json.dumps(made.json, ensure_ascii=False), "application/json"
    elif isinstance(made.data, Mapping):
        body, kind = urlencode(made.data), "application/x-www-form-urlencoded"
    else:
        return made
    headers = {"Content-Type": kind} | dict(made.headers)
    return replace(made, json=None, data=body.encode(), headers=headers)
