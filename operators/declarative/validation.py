"""A document made into a `Description`, or every mistake in it: its field and a Russian sentence."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from operators.declarative import consistency
from operators.declarative.consistency import Problem
from operators.declarative.schema import Description, json_schema

_MAX_PROBLEMS = 50
# In JSON, and not behind a backslash of its own. The database takes no such text.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_KINDS = frozenset({"none", "basic", "bearer", "keys", "oauth2_client_credentials", "token_call"})
# By the type of pydantic's error; `{…}` are its facts.
_SENTENCES = {
    "extra_forbidden": "такого поля нет",
    "missing": "нужно заполнить",
    "model_type": "нужен объект {{…}}",
    "model_attributes_type": "нужен объект {{…}}",
    "dict_type": "нужен объект {{…}}",
    "list_type": "нужен список […]",
    "tuple_type": "нужен список […]",
    "too_short": "нужно хотя бы {min_length}",
    "too_long": "не больше {max_length}",
    "string_type": "нужен текст",
    "string_too_long": "не длиннее {max_length} знаков",
    "bool_type": "нужно true или false",
    "int_type": "нужно целое число",
    "int_from_float": "нужно целое число",
    "int_parsing": "нужно целое число",
    "float_type": "нужно число",
    "finite_number": "нужно число",
    "greater_than_equal": "нужно число не меньше {ge:g}",
    "less_than_equal": "нужно число не больше {le:g}",
    "literal_error": "нужно одно из: {expected}",
    "enum": "нужно одно из: {expected}",
    "union_tag_invalid": "нужно одно из: {expected_tags}",
    "union_tag_not_found": "нужно заполнить kind",
    "json_invalid": "описание не разобрать: оно слишком глубоко вложено или записано не как JSON",
    "value_error": "{error}",
}
# Where the usual sentence would not say enough.
_BY_FIELD = {
    ("missing", "calls.activate"): "без этого вызова оператор не подключить",
    ("missing", "calls.deactivate"): "без этого вызова оператор не подключить",
    ("missing", "calls.read"): "без чтения состояния нечем проверить включение и отключение",
    ("too_long", "times.poll_plan"): "не больше 30 пауз: последняя повторяется",
}


class InvalidProfile(ValueError):
    """A document that describes no operator; `problems` say why, the first fifty."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(problems))[:_MAX_PROBLEMS]
        super().__init__("; ".join(map(str, self.problems)))


def validate(document: Any) -> list[Problem]:
    """The mistakes, the first fifty; none: the document may be used."""
    try:
        load(document)
    except InvalidProfile as invalid:
        return list(invalid.problems)
    return []


def load(document: Mapping[str, Any]) -> Description:
    """The description of a document. Raises `InvalidProfile`."""
    if not isinstance(document, dict):
        raise InvalidProfile((Problem("", "описание протокола — это объект {…}"),))
    try:
        text = json.dumps(document, allow_nan=False)
    except ValueError:
        raise InvalidProfile((Problem("", _SENTENCES["json_invalid"]),)) from None
    if _NUL.search(text):
        raise InvalidProfile((Problem("", "в описании есть нулевой знак, \\u0000: уберите его"),))
    return _loaded(text)


@lru_cache(maxsize=64)
def _loaded(document: str) -> Description:
    """Kept, for it is asked for before every call."""
    try:
        description = Description.model_validate_json(document)
    except ValidationError as errors:
        found_wrong = _without_echoes(errors.errors(include_url=False))
        raise InvalidProfile(map(_problem, found_wrong)) from None
    # What does not fit together is looked for only where every part can be read.
    if found := list(consistency.problems(description)):
        raise InvalidProfile(found)
    return description


def _without_echoes(errors: list[ErrorDetails]) -> Iterator[ErrorDetails]:
    """Without a list that seems too short only because its elements are wrong."""
    for error in errors:
        within = [one for one in errors if one["loc"][: len(error["loc"])] == error["loc"]]
        if error["type"] != "too_short" or within == [error]:
            yield error


def _problem(error: ErrorDetails) -> Problem:
    kind, field = error["type"], _field(error["loc"])
    usual = _SENTENCES.get(kind, "значение не подходит")
    facts = {name: _fact(value) for name, value in error.get("ctx", {}).items()}
    sentence = _BY_FIELD.get((kind, field), usual).format(**facts)
    if kind == "extra_forbidden":
        sentence += _fields_instead(error["loc"])
    return Problem(field, sentence)


def _fields_instead(steps: tuple[int | str, ...]) -> str:
    """The fields that there are where an unknown one was written, the one that was meant first."""
    known = sorted(_model_at(steps[:-1]).get("properties", {}))
    meant = get_close_matches(str(steps[-1]), known, n=1)
    guess = f", есть похожее: «{meant[0]}»" if meant else ""
    return f"{guess}; здесь бывают: {', '.join(known)}"


def _model_at(steps: tuple[int | str, ...]) -> Mapping[str, Any]:
    """The JSON Schema of the model that stands there."""
    schema = json_schema()
    models = schema["$defs"]
    found: Any = schema
    for step in steps:
        if isinstance(step, int):
            found = found.get("items", {})
        elif step in found.get("discriminator", {}).get("mapping", {}):
            found = {"$ref": found["discriminator"]["mapping"][step]}
        else:
            found = found.get("properties", {}).get(step, {})
        choices = [one for one in found.get("anyOf", []) if one.get("type") != "null"]
        found = choices[0] if choices else found
        found = models[found["$ref"].rpartition("/")[2]] if "$ref" in found else found
    return dict(found)


def _fact(value: Any) -> Any:
    return value.replace("'", "").replace(" or ", ", ") if isinstance(value, str) else value


def _field(steps: tuple[int | str, ...]) -> str:
    """«calls.read.answer.state», «fields[0].name»; without the tags that pydantic puts in."""
    text = ""
    for at, step in enumerate(steps):
        if isinstance(step, int):
            text += f"[{step}]"
        elif step != "[key]" and not (at == 1 and steps[0] == "login" and step in _KINDS):
            text += f".{step}" if text else step
    return text
