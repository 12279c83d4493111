"""What one login gives: a token, and other values that go with it; kept together as one text."""

import json
from collections.abc import Sequence

from operators.declared.keys import Named
from operators.declared.profile import Login
from operators.declared.refusals import body_of
from operators.declared.sources import header_of
from operators.ports import ErrorClass, Reply, Unavailable


def more_of(login: Login, reply: Reply) -> list[str]:
    """The values beside the token in an answer to a login. Raises `Unavailable`."""
    body = body_of(reply)
    found = [
        header_of(where, reply.headers) if isinstance(where, Named) else where.word(body)
        for where, _ in login.more
    ]
    if not all(found):
        text = "оператор выдал не все ключи доступа, которые названы в описании"
        raise Unavailable(ErrorClass.TRANSIENT, "no_token", text)
    return found


def packed(values: Sequence[str]) -> str:
    """All values as one text; a token alone stays as it is."""
    return values[0] if len(values) == 1 else json.dumps(values)


def unpacked(login: Login, text: str) -> list[str] | None:
    """The values again, in the order of `Login.token_places`; None where another description kept them."""
    if not login.more:
        return [text]
    try:
        values = json.loads(text)
    except ValueError:
        return None
    fits = isinstance(values, list) and len(values) == len(login.token_places)
    return [str(value) for value in values] if fits else None
