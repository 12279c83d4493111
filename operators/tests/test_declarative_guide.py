"""The guide to describing an operator and its JSON Schema, compared with the code."""

import json
import re
import runpy
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from operators.admin.answer_preview import parsed_reply, preview_answer
from operators.classification import POLICIES
from operators.declarative.refusals import STATUSES
from operators.declarative.schema import json_schema
from operators.declarative.validation import validate
from operators.declarative.variables import VARIABLES
from operators.ports import UNSURE, BlockReason, ErrorClass
from operators.tests import public_vendors, vendors
from operators.tests.declarative_server import EXAMPLES, SMALL, document
from smartcards.rules import BLOCK_ADVICE
from smartcards.texts import FAILURES

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = str(Path(__file__).parents[1] / "declarative" / "schema.py")
GUIDE = (DOCS / "how-to" / "describe-an-operator.md").read_text(encoding="utf-8")
REST = {
    ErrorClass.INVALID: "other 4xx",
    ErrorClass.TRANSIENT: "other 5xx",
    ErrorClass.CONFIGURATION: "3xx",
}


def section(title: str) -> str:
    return GUIDE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_published_schema_is_printed_by_its_module(capsys):
    """`python -m operators.declarative.schema > docs/reference/operator-description.schema.json`."""
    published = DOCS / "reference" / "operator-description.schema.json"

    runpy.run_path(SCHEMA, run_name="__main__")

    assert capsys.readouterr().out == published.read_text(encoding="utf-8")
    assert document(published) == json_schema()


@pytest.mark.parametrize(
    "description",
    [
        SMALL,
        *(document(path) for path in sorted(EXAMPLES.glob("*.json"))),
        vendors.LADOGA,
        vendors.DVINA,
        vendors.PECHORA,
        vendors.NEVA,
        vendors.ONEGA,
        public_vendors.HOLOGRAM,
        public_vendors.SORACOM,
    ],
    ids=lambda one: one["title"],
)
def test_descriptions_are_valid_by_the_published_schema_too(description):
    Draft202012Validator(json_schema()).validate(json.loads(json.dumps(description)))

    assert validate(description) == []


def test_descriptions_of_the_guide_are_valid():
    examples = [json.loads(one) for one in re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)]

    assert [one["title"] for one in examples] == ["Мой оператор", "Линия"]
    assert [validate(one) for one in examples] == [[], []]


def test_manual_of_the_guide_is_read_as_it_says():
    line = json.loads(re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)[1])
    listed = '{"lines": [{"line": 501, "icc": "89701990000000000017", "status": {"code": "OFF"}}]}'
    changing = '{"line": 501, "status": {"code": "CHANGING"}}'
    refusal = '{"error": {"id": "ALREADY_SET"}}'
    answers = [
        ("find", listed, 200),
        ("read", listed, 200),
        ("activate", changing, 202),
        ("activate", refusal, 409),
    ]

    told = [preview_answer(line, call, parsed_reply(text, status=status)).sentence
            for call, text, status in answers]  # fmt: skip

    assert told == [
        "Взято {line} = 501.",
        "Карта 89701990000000000017: отключена, включить можно.",
        "Оператор ещё переключает: карта будет прочитана по плану опроса.",
        "Оператор говорит, что так уже и было: карта будет прочитана.",
    ]


def test_every_field_is_in_the_tables_of_the_guide():
    schema = json_schema()
    models = [schema, *schema["$defs"].values()]
    fields = {name for model in models for name in model.get("properties", {})}
    words = {str(word) for model in models for word in model.get("enum", [])}
    documented = set(
        re.findall(r"`\"?([a-z_0-9]+)\"?`", section("All fields") + section("Classes of errors"))
    )
    documented |= set(re.findall(r"`([a-z]+)`", section("Reasons of blocks")))

    assert (fields | words) - documented == set()


def test_variables_of_each_call_are_listed():
    rows = [
        f"| `{call}` | {', '.join(f'`{{{name}}}`' for name in sorted(names))} |"
        for call, names in VARIABLES.items()
    ]

    assert [row for row in rows if row not in GUIDE.splitlines()] == []


def test_error_classes_in_the_guide_match_the_code():
    rows = [
        f"| `{error}` | {_statuses(error)} | {_sure(error)} | {_then(error)}"
        f" | {'counts' if POLICIES[error].breaker else '–'} | {FAILURES[error]} |"
        for error in ErrorClass
    ]

    assert [row for row in rows if row not in GUIDE.splitlines()] == []


def _statuses(error: ErrorClass) -> str:
    named = [str(status) for status, usual in STATUSES.items() if usual is error]
    return ", ".join([*named, *([REST[error]] if error in REST else [])]) or "–"


def _sure(error: ErrorClass) -> str:
    return "never" if error in UNSURE else "by a known code, or 4xx"


def _then(error: ErrorClass) -> str:
    if error is ErrorClass.ALREADY:
        return "done, after a reading"
    if error in UNSURE:
        return "the card is read"
    if error is ErrorClass.AUTH:
        return "sent again; staff are told"
    return "sent again" if POLICIES[error].resend else "not done; staff are told"


def test_every_block_reason_is_in_the_guide():
    documented = section("Reasons of blocks")

    assert [reason for reason in BlockReason if f"`{reason}`" not in documented] == []
    assert [advice for advice in BLOCK_ADVICE.values() if advice not in documented] == []
