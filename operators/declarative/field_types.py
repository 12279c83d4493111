"""The kinds of values in a description: texts, templates, expressions; and the base of its models.

A check raises ValueError with a Russian sentence, which `validation` puts beside the field.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)

from operators.declarative import jmespath_expressions, templates
from operators.declarative.jmespath_expressions import Expression
from operators.declarative.templates import Template

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Part(BaseModel):
    """A part of the document."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
        allow_inf_nan=False,
    )


def matching(pattern: str, sentence: str) -> AfterValidator:
    """The check that a text has this form; `sentence` says in Russian which one."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(sentence)
        return text

    return AfterValidator(check)


Text = Annotated[
    str, StringConstraints(max_length=2000), matching(r"(?s).*\S.*", "нужен непустой текст")
]
Name = Annotated[
    str, matching("[a-z][a-z0-9_]{0,31}", "имя поля: латиница, цифры и «_», до 32 знаков")
]
HeaderName = Annotated[
    str, matching(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", "так заголовок назвать нельзя")
]
BaseUrl = Annotated[
    str,
    StringConstraints(max_length=300),
    matching(r"https://[^\s?#@]+", "адрес начинается с https:// и не содержит «?», «#» и «@»"),
    AfterValidator(lambda url: url.rstrip("/")),
]


# --- templates and expressions ----------------------------------------------------------------------


def parsed_text(parse: Callable[[str], Any], sentence: str) -> PlainValidator:
    """A text that is made into something else; `sentence` answers what is no text."""

    def check(value: object) -> Any:
        if not isinstance(value, str) or not value.strip():
            raise ValueError(sentence)
        return parse(value)

    return PlainValidator(check)


def _path(source: str) -> Template:
    if not source.startswith("/"):
        raise ValueError("путь начинается с «/» и стоит после адреса API")
    if re.search(r"[?#\s\\]|//|/\.{1,2}(/|$)", source):
        raise ValueError("в пути нельзя «?», «#», «//», «..» и пробелы; параметры стоят в query")
    return templates.parse(source)


def _login_path(source: str) -> Template:
    if not source.startswith("https://"):
        return _path(source)
    if not re.fullmatch(r"https://[^/?#\s\\{}@\[\]]+(/[^?#\s\\{}@]*)?", source):
        raise ValueError("в адресе нельзя «?», «#», «@», скобки и пробелы; параметры стоят в query")
    return templates.parse(source)


def _header(source: str) -> Template:
    if not (source.isascii() and source.isprintable()):
        raise ValueError("в заголовке только латиница, цифры и знаки, в одну строку")
    return templates.parse(source)


def _expressions(value: object) -> tuple[Expression, ...]:
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(_NEEDS_EXPRESSION)
    return tuple(map(jmespath_expressions.parse, texts))


_NEEDS_TEXT, _NEEDS_EXPRESSION = (
    "нужен непустой текст в кавычках",
    "нужно место в ответе, например body.data.status",
)
_TEXT = WithJsonSchema({"type": "string", "format": "template"})
_JMESPATH: dict[str, Any] = {"type": "string", "format": "jmespath"}
PlainTemplate = Annotated[Template, parsed_text(templates.parse, _NEEDS_TEXT), _TEXT]
PathTemplate = Annotated[Template, parsed_text(_path, _NEEDS_TEXT), _TEXT]
LoginPath = Annotated[Template, parsed_text(_login_path, _NEEDS_TEXT), _TEXT]
HeaderTemplate = Annotated[Template, parsed_text(_header, _NEEDS_TEXT), _TEXT]
JsonTemplate = Annotated[Any, PlainValidator(templates.parse_json), WithJsonSchema({})]
OneExpression = Annotated[
    Expression,
    parsed_text(jmespath_expressions.parse, _NEEDS_EXPRESSION),
    WithJsonSchema(_JMESPATH),
]
Expressions = Annotated[
    tuple[Expression, ...],
    PlainValidator(_expressions),
    WithJsonSchema({"anyOf": [_JMESPATH, {"type": "array", "items": _JMESPATH}]}),
]
