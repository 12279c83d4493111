"""How the operator knows us."""

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from operators import ports
from operators.declarative import jmespath_expressions
from operators.declarative.calls import Key, Request
from operators.declarative.field_types import (
    LoginPath,
    Method,
    Name,
    OneExpression,
    Part,
    Text,
    matching,
)


class AccountField(Part):
    """One more value that staff enter for the account. A secret may stand only in `login`."""

    name: Name
    label: Text
    secret: bool = True
    required: bool = True


class LoginStep(Request):
    """One request of a login. Its templates may name every field of the account and what a step before took.

    `path` may be a whole address with https. `basic`: the two fields of HTTP Basic.
    """

    method: Method = "POST"
    path: LoginPath
    basic: Annotated[tuple[Name, ...], Field(min_length=2, max_length=2)] | None = None
    take: dict[Name, OneExpression] = {}


# What staff enter for a kind, and the field that goes as `Authorization: Bearer`.
_FIELDS = {
    "basic": (
        ports.Field("username", "Имя пользователя", secret=False),
        ports.Field("password", "Пароль"),
    ),
    "bearer": (ports.Field("token", "Постоянный ключ (Bearer)"),),
    "oauth2_client_credentials": (
        ports.Field("client_id", "Client ID", secret=False),
        ports.Field("client_secret", "Client Secret"),
    ),
}
_BEARERS = {"bearer": "token", "oauth2_client_credentials": "access_token"}


class Login(Part):
    """How the operator knows us: HTTP Basic, a fixed bearer token, or only `keys`, which every request of any
    kind carries.
    """

    kind: Literal["none", "basic", "bearer", "keys"] = "none"
    keys: tuple[Key, ...] = ()

    @property
    def account_fields(self) -> tuple[ports.Field, ...]:
        """What staff enter for this kind."""
        return _FIELDS.get(self.kind, ())

    @property
    def basic(self) -> tuple[str, ...]:
        """The two fields of HTTP Basic, where every request goes with it."""
        return ("username", "password") if self.kind == "basic" else ()

    @property
    def carried(self) -> tuple[Key, ...]:
        """Every key that each request carries."""
        if self.kind not in _BEARERS:
            return self.keys
        key = {"in": "header", "name": "Authorization", "prefix": "Bearer "}
        return (Key.model_validate(key | {"field": _BEARERS[self.kind]}), *self.keys)


class TokenLogin(Login):
    """A login that fetches a token. `seconds`: where the last answer has its lifetime; kept for
    `default_seconds` where it does not.

    `stale`: statuses of refusals after which a new one is fetched and the call is repeated once.
    """

    default_seconds: Annotated[float, Field(ge=10, le=604_800)] = 300
    stale: tuple[Annotated[int, Field(ge=400, le=499)], ...] = (401,)
    seconds: OneExpression | None = None


class ClientCredentials(TokenLogin):
    """OAuth2 client credentials (RFC 6749, 4.4); the token goes as `Authorization: Bearer`."""

    kind: Literal["oauth2_client_credentials"]  # type: ignore[assignment]
    path: LoginPath
    client_auth: Literal["basic", "body"] = "basic"
    body: Literal["form", "json"] = "form"
    scope: (
        Annotated[str, matching(r'[^{}"\\]{1,300}', "нужен текст без скобок и кавычек")] | None
    ) = None
    seconds: OneExpression | None = Field(
        default_factory=lambda: jmespath_expressions.parse("body.expires_in")
    )

    @cached_property
    def steps(self) -> tuple[LoginStep, ...]:
        """The one request for a token."""
        body = {"grant_type": "client_credentials", "scope": self.scope}
        if self.client_auth == "body":
            body |= {"client_id": "{client_id}", "client_secret": "{client_secret}"}
        step: dict[str, Any] = {
            "path": self.path.source,
            self.body: {name: text for name, text in body.items() if text},
            "basic": ("client_id", "client_secret") if self.client_auth == "basic" else None,
            "take": {"access_token": "body.access_token"},
        }
        return (LoginStep.model_validate(step),)


class TokenCall(TokenLogin):
    """A login of one or two requests of the operator's own; `keys` say where the taken values go."""

    kind: Literal["token_call"]  # type: ignore[assignment]
    steps: Annotated[tuple[LoginStep, ...], Field(min_length=1, max_length=2)]


AnyLogin = Annotated[
    Login | ClientCredentials | TokenCall,
    Field(discriminator="kind"),
]
