"""The login of a document: seven kinds, of which three fetch a token by a call of their own."""

import re
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from operators.declared import templates
from operators.declared.nodes import Node
from operators.declared.parse_calls import ALL_VARIABLES, body, headers, method, pairs
from operators.declared.paths import Path
from operators.declared.profile import (
    Answer,
    Body,
    BodyKind,
    Call,
    Login,
    LoginKind,
    Place,
    Where,
)
from operators.masking import hides
from operators.ports import Field

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_USER = Field("username", "Имя пользователя", secret=False)
_PASSWORD = Field("password", "Пароль")
_CLIENT = (Field("client_id", "Client ID", secret=False), Field("client_secret", "Client Secret"))
_BEARER = Place(Where.HEADER, "Authorization", "Bearer ")
_TOKEN_FIELDS = ("token", "seconds", "default_seconds", "place", "stale")
_OAUTH_FIELDS = ("kind", "url", "client_auth", "body", "extra", *_TOKEN_FIELDS)
_CALL_FIELDS = ("kind", "method", "url", "query", "headers", "body", *_TOKEN_FIELDS)
_GRANTS = {LoginKind.CLIENT_CREDENTIALS: "client_credentials", LoginKind.PASSWORD: "password"}


def fields(node: Node) -> tuple[Field, ...]:
    """The account's own keys."""
    found = tuple(_field(place) for place in node.elements())
    names = [field.name for field in found]
    for name in sorted({name for name in names if names.count(name) > 1}):
        node.wrong(f"поле «{name}» названо дважды")
    return found


def _field(node: Node) -> Field:
    node.only("name", "label", "secret", "required")
    name = node.text("name")
    if name and not _NAME.fullmatch(name):
        node.at("name").wrong("имя поля: латиница, цифры и «_», до 32 знаков")
    if name in ALL_VARIABLES:
        node.at("name").wrong("так уже называется поле смарт-карты или запроса")
    return Field(name, node.text("label"), node.flag("secret", True), node.flag("required", True))


def login(node: Node, own: tuple[Field, ...]) -> Login:
    """How we are known; `own` are the account's keys that the document names."""
    kind = node.choice("kind", LoginKind, LoginKind.NONE)
    if kind in _GRANTS:
        return _oauth(node, kind)
    if kind is LoginKind.TOKEN_CALL:
        return _token_call(node, own)
    if kind is LoginKind.KEY:
        node.only("kind", "place")
        return Login(kind, (Field("api_key", "Ключ API"),), place=_place(node.at("place")))
    node.only("kind")
    if kind is LoginKind.BASIC:
        return Login(kind, (_USER, _PASSWORD), basic=(_USER.name, _PASSWORD.name))
    if kind is LoginKind.BEARER:
        return Login(kind, (Field("token", "Постоянный ключ (Bearer)"),), place=_BEARER)
    return Login(kind, ())


def _oauth(node: Node, kind: LoginKind) -> Login:
    node.only(*_OAUTH_FIELDS)
    client = node.text("client_auth", "basic")
    if client not in ("basic", "body", "none"):
        node.at("client_auth").wrong("нужно одно из: basic, body, none")
    person = (_USER, _PASSWORD) if kind is LoginKind.PASSWORD else ()
    keys = person if client == "none" else person + _CLIENT
    in_body = [key.name for key in person + (_CLIENT if client == "body" else ())]
    request = {"grant_type": _GRANTS[kind]} | {name: f"{{{name}}}" for name in in_body}
    return _fetching(
        node,
        kind,
        keys,
        basic=("client_id", "client_secret") if client == "basic" else None,
        call=_call(node, "POST", body=_oauth_body(node, request, {key.name for key in keys})),
    )


def _oauth_body(node: Node, request: dict[str, str], known: Collection[str]) -> Body:
    kind = node.choice("body", BodyKind, BodyKind.FORM)
    extra = dict(pairs(node.at("extra"), known))
    template = {name: templates.parse(value) for name, value in request.items()} | extra
    return Body(kind, template)


def _token_call(node: Node, own: tuple[Field, ...]) -> Login:
    node.only(*_CALL_FIELDS)
    # Without keys of its own, the document means the usual pair.
    keys = () if own else (_USER, _PASSWORD)
    known = {key.name for key in keys + own}
    call = _call(
        node,
        method(node) if node.has("method") else "POST",
        query=pairs(node.at("query"), known),
        headers=headers(node.at("headers"), known),
        body=body(node.at("body"), known),
    )
    return _fetching(node, LoginKind.TOKEN_CALL, keys, basic=None, call=call)


def _call(node: Node, method: str, **parts: Any) -> Call:
    empty: dict[str, Any] = {"query": (), "headers": (), "success": {}, "answer": Answer()}
    return Call(method=method, path=templates.parse(_url(node)), **(empty | parts))


def _url(node: Node) -> str:
    """A path below the account's address, or a whole address that keeps secrets secret."""
    url, place = node.text("url"), node.at("url")
    if re.search(r"[?#\s\\]", url):
        place.wrong("в адресе нельзя «?», «#» и пробелы; параметры стоят в query")
    if not url or (url.startswith("/") and not url.startswith("//")):
        return url.replace("{", "{{").replace("}", "}}")
    try:
        fits = urlsplit(url).scheme == "https" and bool(urlsplit(url).hostname)
    except ValueError:
        fits = False
    if not fits or "{" in url or "@" in url:
        place.wrong("нужен путь от адреса API («/oauth/token») или адрес целиком, с https://")
        return ""
    return url


def _fetching(
    node: Node,
    kind: LoginKind,
    keys: tuple[Field, ...],
    *,
    basic: tuple[str, str] | None,
    call: Call,
) -> Login:
    stale = node.at("stale")
    stale.only("statuses", "codes")
    statuses = frozenset(
        int(place.as_number(least=200, most=599)) for place in stale.at("statuses").elements()
    )
    codes = frozenset(place.as_text().casefold() for place in stale.at("codes").elements())
    return Login(
        kind,
        keys,
        place=_place(node.at("place")) if node.has("place") else _BEARER,
        call=call,
        basic=basic,
        token=node.json_path("token") or Path("access_token", ("access_token",)),
        seconds=node.json_path("seconds") or Path("expires_in", ("expires_in",)),
        default_seconds=node.number("default_seconds", 300, least=10),
        stale_statuses=statuses if stale.has("statuses") else frozenset({401}),
        stale_codes=codes,
    )


def _place(node: Node) -> Place:
    node.only("in", "name", "prefix")
    where, name, prefix = node.choice("in", Where), node.text("name"), node.value or {}
    before = str(prefix.get("prefix", "")) if isinstance(prefix, dict) else ""
    if name and not _HEADER.fullmatch(name):
        node.at("name").wrong("имя заголовка, параметра или cookie: латиница, цифры и знаки")
    if where is Where.QUERY and name and not hides(name):
        node.at("name").wrong(
            "такой параметр останется в журнале обмена: в имени нет token, key, auth"
        )
    if not (before.isascii() and before.isprintable()) or len(before) > 40:
        node.at("prefix").wrong("только латиница, цифры и знаки, до 40")
    return Place(where, name, before)
