"""The login of a document: seven kinds, of which three fetch a token by a call of their own.

Beside any of them more fixed keys and a signature.
"""

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from operators.declared import templates
from operators.declared.keys import Algorithm, Encoding, Key, Named, Place, Sign, Sorted, Where
from operators.declared.nodes import Node
from operators.declared.parse_calls import (
    ALL_VARIABLES,
    ALWAYS,
    body,
    headers,
    method,
    pairs,
)
from operators.declared.paths import Path
from operators.declared.profile import Answer, Body, BodyKind, Call, Login, LoginKind
from operators.declared.sources import NAME_OF_HEADER
from operators.masking import hides
from operators.ports import Field

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_USER = Field("username", "Имя пользователя", secret=False)
_PASSWORD = Field("password", "Пароль")
_CLIENT = (Field("client_id", "Client ID", secret=False), Field("client_secret", "Client Secret"))
_BEARER = Place(Where.HEADER, "Authorization", "Bearer ")
_TOKEN_FIELDS = ("token", "seconds", "default_seconds", "place", "more", "stale")
_OAUTH_FIELDS = ("kind", "url", "client_auth", "body", "extra", *_TOKEN_FIELDS)
_CALL_FIELDS = ("kind", "method", "url", "query", "headers", "body", "basic", *_TOKEN_FIELDS)
_BESIDE = ("keys", "sign")
_PLACE_FIELDS = ("in", "name", "prefix")
_SORTED_FIELDS = ("each", "between", "encoded")
_SHOWN = "в журнале обмена осталось бы значение; скрыты имена key, auth, sign и те, где есть token, secret, session"
EACH = templates.parse("{name}={value}")
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
    made = _of_kind(node, own)
    secrets = {field.name for field in made.credentials + own if field.secret}
    known = secrets | {field.name for field in made.credentials + own}
    return replace(
        made,
        keys=tuple(_key(place, known) for place in node.at("keys").elements()),
        sign=_sign(node.at("sign"), known, secrets) if node.has("sign") else None,
    )


def _of_kind(node: Node, own: tuple[Field, ...]) -> Login:
    kind = node.choice("kind", LoginKind, LoginKind.NONE)
    if kind in _GRANTS:
        return _oauth(node, kind)
    if kind is LoginKind.TOKEN_CALL:
        return _token_call(node, own)
    if kind is LoginKind.KEY:
        node.only("kind", "place", *_BESIDE)
        return Login(kind, (Field("api_key", "Ключ API"),), place=_place(node.at("place")))
    node.only("kind", *_BESIDE)
    if kind is LoginKind.BASIC:
        return Login(kind, (_USER, _PASSWORD), basic=(_USER.name, _PASSWORD.name))
    if kind is LoginKind.BEARER:
        return Login(kind, (Field("token", "Постоянный ключ (Bearer)"),), place=_BEARER)
    return Login(kind, ())


def _key(node: Node, known: Collection[str]) -> Key:
    """One more fixed key."""
    node.only("field", *_PLACE_FIELDS)
    return Key(_field_name(node, "field", known), _placed(node))


def _field_name(node: Node, name: str, known: Collection[str]) -> str:
    given = node.text(name)
    if given and given not in known:
        here = ", ".join(sorted(known)) or "никаких; назовите его в fields"
        node.at(name).wrong(f"такого ключа у договора нет; есть: {here}")
    return given


def _sign(node: Node, known: Collection[str], secrets: Collection[str]) -> Sign:
    node.only("algorithm", "secret", "text", "params", "encoding", *_PLACE_FIELDS)
    algorithm = node.choice("algorithm", Algorithm)
    keyed = algorithm.startswith("hmac-")
    text = node.at("text").as_template({*known, *ALL_VARIABLES})
    if not keyed and not set(text.names) & set(secrets):
        node.at("text").wrong("в тексте нет секрета: такую подпись сделает кто угодно")
    if not keyed and node.has("secret"):
        node.at("secret").wrong("секрет нужен только для hmac, здесь он стоит в тексте")
    where = _placed(node)
    if where.where is Where.PATH:
        node.at("in").wrong("подпись идёт в header, query, cookie или body")
    secret = _field_name(node, "secret", secrets) if keyed else ""
    encoding = node.choice("encoding", Encoding, Encoding.HEX)
    return Sign(algorithm, secret, text, encoding, where, _sorted(node.at("params")))


def _sorted(node: Node) -> Sorted:
    """How the parameters of a request are laid out for a signature."""
    node.only(*_SORTED_FIELDS)
    each = Node(node.value or {}, node.path, node.problems).at("each")
    template = each.as_template(("name", "value")) if each.value is not None else EACH
    between = node.at("between").value
    if between is not None and not isinstance(between, str):
        node.at("between").wrong("нужен текст, можно пустой")
    return Sorted(template, "&" if between is None else str(between), node.flag("encoded", False))


def _oauth(node: Node, kind: LoginKind) -> Login:
    node.only(*_OAUTH_FIELDS, *_BESIDE)
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
    node.only(*_CALL_FIELDS, *_BESIDE)
    # Without keys of its own, the document means the usual pair.
    keys = () if own else (_USER, _PASSWORD)
    names = {key.name for key in keys + own}
    known = names | ALWAYS
    for name in ("token", "place"):
        if not node.has(name):
            # A guess would only show at the first switch: nobody else answers like this operator.
            node.at(name).wrong("нужно заполнить: у входа своей формы это угадать нельзя")
    call = _call(
        node,
        method(node) if node.has("method") else "POST",
        query=pairs(node.at("query"), known),
        headers=headers(node.at("headers"), known),
        body=body(node.at("body"), known),
    )
    return _fetching(node, LoginKind.TOKEN_CALL, keys, basic=_basic(node, names), call=call)


def _basic(node: Node, known: Collection[str]) -> tuple[str, str] | None:
    """The two keys of a login by HTTP Basic."""
    if not node.has("basic"):
        return None
    place = node.at("basic")
    given = place.value if isinstance(place.value, list) else []
    if len(given) != 2 or not all(name in known for name in given):
        place.wrong(f"нужны два ключа договора, имя и пароль; есть: {', '.join(sorted(known))}")
        return None
    return str(given[0]), str(given[1])


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
        place=_kept_secret(node.at("place"), _place(node.at("place")))
        if node.has("place")
        else _BEARER,
        more=tuple(_more(place) for place in node.at("more").elements()),
        call=call,
        basic=basic,
        token=_token(node.at("token")) or Path("access_token", ("access_token",)),
        seconds=node.json_path("seconds") or Path("expires_in", ("expires_in",)),
        default_seconds=node.number("default_seconds", 300, least=10),
        stale_statuses=statuses if stale.has("statuses") else frozenset({401}),
        stale_codes=codes,
    )


def _token(place: Node) -> Path | Named | None:
    """Where in an answer to a login a value stands; None where nothing is said."""
    where, _, name = str(place.value).partition(":")
    if where not in {Where.HEADER, Where.COOKIE} or not name:
        return None if place.value is None else place.as_json_path()
    if not NAME_OF_HEADER.fullmatch(name):
        place.wrong("имя заголовка или cookie: латиница, цифры и знаки")
    return Named(Where(where), name)


def _more(node: Node) -> tuple[Path | Named, Place]:
    """One more value of the same answer, and where it goes."""
    node.only("token", *_PLACE_FIELDS)
    if not node.has("token"):
        node.at("token").wrong("нужно заполнить")
    return _token(node.at("token")) or Path("", ()), _kept_secret(node, _placed(node))


def _kept_secret(node: Node, place: Place) -> Place:
    """The place of a fetched token: unlike the account's own keys, the log knows it by its name only."""
    if place.where is Where.PATH:
        node.at("in").wrong("выданный ключ доступа в пути остался бы в журнале обмена")
    if place.where in {Where.BODY, Where.QUERY} and place.name and not hides(place.name):
        node.at("name").wrong(_SHOWN)
    return place


def _place(node: Node) -> Place:
    node.only(*_PLACE_FIELDS)
    return _placed(node)


def _placed(node: Node) -> Place:
    """The place that an object names beside other things."""
    where, prefix = node.choice("in", Where), node.value or {}
    name = "" if where is Where.PATH and not node.has("name") else node.text("name")
    before = str(prefix.get("prefix", "")) if isinstance(prefix, dict) else ""
    if name and not NAME_OF_HEADER.fullmatch(name):
        node.at("name").wrong("имя заголовка, параметра или cookie: латиница, цифры и знаки")
    if not (before.isascii() and before.isprintable()) or len(before) > 40:
        node.at("prefix").wrong("только латиница, цифры и знаки, до 40")
    return Place(where, name, before)
