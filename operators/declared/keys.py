"""Where keys, tokens and signatures stand in a request, and how a signature is made."""

from dataclasses import dataclass
from enum import StrEnum

from operators.declared.templates import Template


class Where(StrEnum):
    """The part of a request that carries a key or a token.

    `BODY`: a field of the form or of the JSON object; `PATH`: the first segment after the address.
    """

    HEADER = "header"
    QUERY = "query"
    COOKIE = "cookie"
    BODY = "body"
    PATH = "path"


class Algorithm(StrEnum):
    """How a signature is made: HMAC with a secret, or a bare digest of a text that has the secret in it."""

    HMAC_SHA256 = "hmac-sha256"
    HMAC_SHA512 = "hmac-sha512"
    HMAC_SHA1 = "hmac-sha1"
    HMAC_MD5 = "hmac-md5"
    SHA256 = "sha256"
    SHA512 = "sha512"
    SHA1 = "sha1"
    MD5 = "md5"


class Encoding(StrEnum):
    """How a signature is written."""

    HEX = "hex"
    HEX_UPPER = "hex_upper"
    BASE64 = "base64"


@dataclass(frozen=True)
class Place:
    """Where a key or a token is put: `{"in": "header", "name": "Authorization", "prefix": "Bearer "}`."""

    where: Where
    name: str
    prefix: str = ""


@dataclass(frozen=True)
class Key:
    """One more fixed key: a place, and the `field` of the account whose value goes there."""

    field: str
    place: Place


@dataclass(frozen=True)
class Named:
    """A header or a cookie of an answer, written `header:X-Token` or `cookie:SID`."""

    where: Where
    name: str


@dataclass(frozen=True)
class Sorted:
    """What `{params}` of a signature is: all fields of the query and of the body, sorted by name.

    `each`: a template of one field, with `{name}` and `{value}`; `between` stands between them;
    `encoded`: values as an address would have them.
    """

    each: Template
    between: str = "&"
    encoded: bool = False


@dataclass(frozen=True)
class Sign:
    """A signature of each request, put at `place`.

    `text` is a template; besides the account's keys it may name `{method}`, `{path}` and `{query}` (as they
    leave), `{body}`, `{body_sha256}` in hex, `{params}` (see `Sorted`), and every variable of a call: one that
    the call does not have is empty. `secret` is the account's field that HMAC is keyed with. In a body (a form
    or a JSON object) the signature is a field more, and `{body}` is what the body is without it.
    """

    algorithm: Algorithm
    secret: str
    text: Template
    encoding: Encoding
    place: Place
    params: Sorted
