"""Descriptions of operators, from the language of before into `operators.declarative`.

One that cannot be converted stays as it is: without a readable description the adapter cannot be made, so
nothing is claimed and nothing is sent, commands wait, and an open alert says why.
"""

import re
from typing import Any

from django.db import migrations
from django.utils.timezone import now

from operators.declarative.validation import validate

ALERT_KEY = "operator:account:{}:description"
_TEXT = (
    "{title}: описание протокола не удалось перевести на новый язык, команды оператору ждут. {reason}"
    " Исправьте описание в договоре по docs/how-to/describe-an-operator.md."
)
_STEP = re.compile(
    r"""\.?(?P<name>[^.\[\]'"/{}]+) | \[(?P<index>-?[0-9]{1,4})\] | \[(?P<every>\*)\] | \['(?P<odd>[^']+)'\]
    | \[(?P<field>[^=&?\[\]'"]+)=(?P<word>[^\[\]]*)\]""",
    re.VERBOSE,
)
_PLAIN_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")


class NotConvertible(ValueError):
    """A part of the old language that the new one does not have; the text is a Russian sentence."""


def converted(old: dict[str, Any]) -> dict[str, Any]:
    """The same description in the new language. Raises `NotConvertible`."""
    fields = list(old.get("fields") or [])
    login, more = _login(dict(old.get("login") or {}), bool(fields))
    calls = {name: _call(name, call) for name, call in (old.get("calls") or {}).items() if call}
    states = dict(old.get("states") or {})
    if states.pop("quality", "exact") == "weak":
        raise NotConvertible("Чтение состояния «weak» больше не описывается.")
    new = {
        name: old[name] for name in ("title", "key", "base_url", "headers") if name in old
    }
    new |= {"fields": [*more, *fields]} if fields or more else {}
    new |= {"login": login, "calls": calls, "states": states}
    new |= {"results": _results(old["results"])} if old.get("results") else {}
    new |= {"errors": _errors(old["errors"])} if old.get("errors") else {}
    new |= {name: old[name] for name in ("limits", "times") if old.get(name)}
    new = _with_variables(new)
    if problems := validate(new):
        raise NotConvertible(f"Что не сходится: {'; '.join(map(str, problems[:3]))}.")
    return new


# --- expressions and variables ------------------------------------------------------------------------


def expression(path: str, root: str) -> str:
    """`data[code=DATA].st` → `body.data[?code=='DATA'].st`. Raises `NotConvertible`."""
    if path.startswith("header:"):
        return _header(path)
    path = path.removesuffix(":last")
    text, position = root, 0
    while position < len(path):
        found = _STEP.match(path, position)
        if found is None:
            raise NotConvertible(f"Место в ответе «{path}» на новом языке не записать.")
        text += _step(found, path)
        position = found.end()
    return text


def _step(found: re.Match[str], path: str) -> str:
    if found["index"] is not None:
        return f"[{found['index']}]"
    if found["every"]:
        return "[*]"
    if found["field"]:
        if found["word"].strip().isdigit() or "'" in found["word"]:
            raise NotConvertible(f"Отбор «{path}»: непонятно, число там или текст.")
        names = ".".join(map(_quoted, found["field"].strip().split(".")))
        return f"[?{names}=='{found['word'].strip()}']"
    name = found["name"] or found["odd"]
    if name in {"@key", "@value"} or ":" in name:
        raise NotConvertible(f"Место в ответе «{path}» на новом языке не записать.")
    return f".{_quoted(name)}"


def _quoted(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else f'"{name}"'


def _header(path: str) -> str:
    _, name, *part = path.split(":")
    if part and part != ["last"]:
        raise NotConvertible(f"Часть ссылки «{path}» на новом языке не записать.")
    return f"headers.{_quoted(name.lower())}"


def _with_variables(value: Any) -> Any:
    """Texts of requests with the variables of the new language. Raises `NotConvertible`."""
    if isinstance(value, dict):
        return {name: _with_variables(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_with_variables(one) for one in value]
    if not isinstance(value, str):
        return value
    for name in ("msisdn10", "nonce"):
        if f"{{{name}}}" in value:
            raise NotConvertible(f"Поля {{{name}}} больше нет.")
    for name in ("iccid", "msisdn"):
        spelling = f"{{{name}:int}}" if value == f"{{{name}_int}}" else f"{{{name}}}"
        value = value.replace(f"{{{name}_int}}", spelling)
    return value


# --- calls --------------------------------------------------------------------------------------------


def _call(name: str, old: dict[str, Any]) -> dict[str, Any]:
    if old.get("statuses"):
        raise NotConvertible(
            f"calls.{name}.statuses больше нет: код HTTP сам по себе ничего не говорит."
        )
    new = _request(old)
    new |= {"path": old.get("path", "")}
    if name in {"activate", "deactivate"} and old.get("prepare"):
        new["prepare"] = _prepare(name, old["prepare"])
    answer = _answer(name, dict(old.get("answer") or {}))
    if name != "ping":
        new["answer"] = answer
    return new


def _request(old: dict[str, Any]) -> dict[str, Any]:
    new = {part: old[part] for part in ("method", "query", "headers") if old.get(part)}
    if "method" in new:
        new["method"] = str(new["method"]).upper()
    body = old.get("body") or {}
    if isinstance(body, dict) and body.get("kind", "none") != "none":
        new[body["kind"]] = body.get("template")
    return new


def _prepare(name: str, old: dict[str, Any]) -> dict[str, Any]:
    if old.get("method", "GET").upper() != "GET":
        raise NotConvertible(f"calls.{name}.prepare больше ничего не меняет: бывает только GET.")
    return {
        **_request(old),
        "path": old.get("path", ""),
        "answer": _answer("find", dict(old.get("answer") or {})),
    }


def _answer(name: str, old: dict[str, Any]) -> dict[str, Any]:
    if old.get("echo"):
        raise NotConvertible(f"calls.{name}.answer.echo больше нет.")
    rows = old.pop("rows", None)
    root = "body" if rows is None else "row"
    new: dict[str, Any] = {} if rows is None else {"rows": expression(rows, "body")}
    wanted = _ANSWERS.get(name, ())
    for part in wanted:
        value = old.get(part)
        if value == "{key}":
            raise NotConvertible("Номером запроса больше не может быть {key}: он читается из ответа.")
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, list):
            raise NotConvertible("Состояние из нескольких мест ответа больше не складывается.")
        if value is not None:
            new[part] = expression(value, root)
    if name == "find":
        taken = dict(old.get("take") or {}) | (
            {"id": old["id"]} if old.get("id") is not None else {}
        )
        new["take"] = {one: expression(path, root) for one, path in taken.items()}
    if name == "list_changes" and old.get("next"):
        new["next"] = _next(old["next"])
    return new


_CARD = ("iccid", "msisdn")
_ANSWERS = {
    "find": _CARD,
    "activate": (*_CARD, "state", "request_id"),
    "deactivate": (*_CARD, "state", "request_id"),
    "read": (*_CARD, "state", "reason", "imei"),
    "list_changes": (*_CARD, "state", "reason", "imei"),
    "check": (*_CARD, "request_id", "result", "code", "text"),
}


def _next(old: dict[str, Any]) -> dict[str, Any]:
    if old["kind"] == "page":
        page = {part: old[part] for part in ("first", "size") if old.get(part) is not None}
        return {"page": page}
    path = old.get("path", "")
    if old["kind"] == "link":
        path = path.removesuffix(":link").removesuffix(":rel=next")
    return {old["kind"]: expression(path, "body")}


# --- words --------------------------------------------------------------------------------------------


def _results(old: dict[str, Any]) -> dict[str, Any]:
    same = {"accepted": "pending", "already": "done"}
    words = {name: same.get(word, word) for name, word in (old.get("words") or {}).items()}
    return {"words": words}


def _errors(old: dict[str, Any]) -> dict[str, Any]:
    """`fine`, `not_done` and other places of a pause have no successors: only listed codes count, what is
    unsure is read, and a pause is told by `Retry-After`.
    """
    new = {part: old[part] for part in ("codes", "statuses", "rate_limited_pause") if part in old}
    for part in ("code", "text"):
        paths = old.get(part)
        if paths:
            new[part] = [
                expression(one, "body") for one in ([paths] if isinstance(paths, str) else paths)
            ]
    return new


# --- login --------------------------------------------------------------------------------------------

_USER = [
    {"name": "username", "label": "Имя пользователя", "secret": False},
    {"name": "password", "label": "Пароль"},
]
_CLIENT = [
    {"name": "client_id", "label": "Client ID", "secret": False},
    {"name": "client_secret", "label": "Client Secret"},
]
_USUAL = {
    "token": "access_token",
    "seconds": "expires_in",
    "place": None,
    "more": None,
    "extra": None,
}
_BEARER = {"in": "header", "name": "Authorization", "prefix": "Bearer "}


def _login(old: dict[str, Any], has_fields: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The new login, and the fields of the account that the old kind named by itself."""
    if old.get("sign"):
        raise NotConvertible("Подписи запросов (login.sign) больше не описываются.")
    kind, keys = old.get("kind", "none"), [_key(key) for key in old.get("keys") or []]
    if kind == "key":
        own = [{"name": "api_key", "label": "Ключ API"}]
        return {"kind": "keys", "keys": [_key({"field": "api_key", **old["place"]}), *keys]}, own
    if kind in {"oauth2_client_credentials", "oauth2_password", "token_call"}:
        return _fetching(kind, old, keys, has_fields)
    if kind == "none" and keys:
        kind = "keys"
    return {"kind": kind, **({"keys": keys} if keys else {})}, []


def _key(old: dict[str, Any]) -> dict[str, Any]:
    if old.get("in") not in {"header", "query"}:
        raise NotConvertible(
            "Ключ доступа бывает только в заголовке или в параметрах (header, query)."
        )
    return {part: old[part] for part in ("field", "in", "name", "prefix") if old.get(part)}


def _fetching(
    kind: str, old: dict[str, Any], keys: list[dict[str, Any]], has_fields: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    stale = old.get("stale") or {}
    if stale.get("codes"):
        raise NotConvertible(
            "login.stale.codes больше нет: новый ключ запрашивается только по коду HTTP."
        )
    common = {"default_seconds": old["default_seconds"]} if old.get("default_seconds") else {}
    common |= {"stale": stale["statuses"]} if stale.get("statuses") else {}
    usual = all(old.get(part, default) == default for part, default in _USUAL.items())
    if kind == "oauth2_client_credentials" and usual and old.get("client_auth") != "none":
        parts = {part: old[part] for part in ("client_auth", "body") if old.get(part)}
        parts |= {"path": old.get("url", "")}
        return {"kind": kind, **parts, **common, **({"keys": keys} if keys else {})}, []
    step, own = _token_call(old, has_fields) if kind == "token_call" else _oauth(kind, old)
    place = old.get("place") or _BEARER
    more = old.get("more") or []
    step["take"] = {"access": expression(old.get("token", "access_token"), "body")}
    step["take"] |= {f"more{at}": expression(one["token"], "body") for at, one in enumerate(more)}
    taken = [_key({**place, "field": "access"})]
    taken += [_key({**one, "field": f"more{at}"}) for at, one in enumerate(more)]
    seconds = expression(old.get("seconds", "expires_in"), "body")
    return {
        "kind": "token_call",
        "steps": [step],
        "seconds": seconds,
        "keys": [*taken, *keys],
        **common,
    }, own


def _token_call(
    old: dict[str, Any], has_fields: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    step = _request(old) | {"path": old.get("url", "")}
    step |= {"basic": old["basic"]} if old.get("basic") else {}
    return step, [] if has_fields else _USER


def _oauth(kind: str, old: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A grant as a login of our own."""
    auth, person = old.get("client_auth", "basic"), kind == "oauth2_password"
    fields = [*(_USER if person else []), *([] if auth == "none" else _CLIENT)]
    in_body = ["username", "password"] if person else []
    in_body += ["client_id", "client_secret"] if auth == "body" else []
    grant = "password" if person else "client_credentials"
    body = {
        "grant_type": grant,
        **{name: f"{{{name}}}" for name in in_body},
        **(old.get("extra") or {}),
    }
    step: dict[str, Any] = {"path": old.get("url", ""), old.get("body", "form"): body}
    step |= {"basic": ["client_id", "client_secret"]} if auth == "basic" else {}
    return step, fields


# --- rows ---------------------------------------------------------------------------------------------


def convert(apps: Any, schema_editor: Any) -> None:
    """Convert every stored description; raise an alert for one that cannot be converted."""
    accounts = apps.get_model("operators", "OperatorAccount")
    alerts = apps.get_model("cabinet", "Alert")
    for account in accounts.objects.filter(adapter="declared").only("pk", "title", "profile"):
        if not account.profile or not validate(account.profile):
            continue
        reason = ""
        try:
            new = converted(account.profile)
        except NotConvertible as error:
            reason = str(error)
        except (AttributeError, KeyError, TypeError, ValueError):
            reason = "Описание записано не так, как ждал прежний язык."
        if not reason:
            accounts.objects.filter(pk=account.pk).update(profile=new)
            continue
        alerts.objects.update_or_create(
            key=ALERT_KEY.format(account.pk),
            closed_at=None,
            defaults={
                "text": _TEXT.format(title=account.title, reason=reason)[:500],
                "raised_at": now(),
                "link": f"/admin/operators/operatoraccount/{account.pk}/change/",
            },
        )


class Migration(migrations.Migration):
    dependencies = [
        ("operators", "0008_delete_hub_subscription"),
        ("cabinet", "0001_initial"),
    ]

    operations = [migrations.RunPython(convert, migrations.RunPython.noop)]
