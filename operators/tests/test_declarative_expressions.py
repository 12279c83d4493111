"""Expressions into answers, and templates whose values stay where they are put."""

from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.declarative import jmespath_expressions, request_builder, templates
from operators.declarative.calls import Request
from operators.declarative.jmespath_expressions import ExpressionError
from operators.declarative.request_builder import HttpRequest
from operators.declarative.variables import card_values
from operators.ports import Sim

BODY = {
    "data": {"id": 7, "status": {"value": "on"}, "flag": False, "none": None, "list": ["on"]},
    "list": [{"iccid": "1"}, {"iccid": "2", "code": 7}],
    "odd.name": {"@type": "x"},
    "deep": [{"type": {"code": "VOICE"}, "on": False}, {"type": {"code": "DATA"}, "on": True}, 7],
    "cards": {"8970": {"st": "on"}, "8971": {"st": "off"}},
    "groups": [{"rows": [{"n": 1}]}, {"rows": [{"n": 2}, {"n": 3}]}],
    "empty": [],
}
ANSWER = {
    "status": 200,
    "headers": {"location": "https://h.example/ops/77/", "x-id": "5"},
    "body": BODY,
}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("body.data.id", [7]),
        ("body.data.status.value", ["on"]),
        ("body.data.none", []),
        ("body.data.nothing.deeper", []),
        ("body.data.list", ["on"]),
        ("body.list[0].iccid", ["1"]),
        ("body.list[-1].iccid", ["2"]),
        ("body.list[2].iccid", []),
        ("body.list[*].iccid", ["1", "2"]),
        ("body.data[*]", []),
        ('body."odd.name"."@type"', ["x"]),
        ("body.list[?iccid=='2'].code", [7]),
        ("body.list[?code==`7`].iccid", ["2"]),
        ("body.list[?iccid=='3'].iccid", []),
        ("body.deep[?type.code=='DATA'].on", [True]),
        ("body.cards.*.st", ["on", "off"]),
        ("body.groups[].rows[].n", [1, 2, 3]),
        ('headers."x-id"', ["5"]),
        ("status", [200]),
    ],
)
def test_expression_gives_its_values(text, values):
    assert jmespath_expressions.parse(text).values(ANSWER) == values


@pytest.mark.parametrize(
    ("text", "scalar"),
    [
        ("body.data.id", "7"),
        ("body.data.flag", "false"),
        ("body.data.status", ""),
        ("body.list", ""),
    ],
)
def test_text_of_a_value_is_its_scalar(text, scalar):
    assert jmespath_expressions.parse(text).text(ANSWER) == scalar


@pytest.mark.parametrize(
    ("link", "number"),
    [
        ("https://h.example/ops/77/", "77"),
        ("/ops/a%2Fb?x=1", "a/b"),
        ("a-77/../x", "a-77/../x"),
        ("77", "77"),
        ("https://[bad", ""),
    ],
)
def test_link_gives_its_last_segment_as_an_identifier(link, number):
    assert jmespath_expressions.parse("body").identifier({"body": link}) == number


def test_location_is_a_link_also_without_a_slash_before_it():
    location = jmespath_expressions.parse("headers.location")

    assert location.identifier({"headers": {"location": "monitor/44"}}) == "44"


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("body.a[0].b", {("body", "a", "b")}),
        ("body.a[*].b[].c", {("body", "a", "b", "c")}),
        ("body.*.st", {("body", "*", "st")}),
        ("body.s[?kind.code=='DATA'].st", {("body", "s", "st"), ("body", "s", "kind", "code")}),
        ("body[?`7`==id].st", {("body", "st"), ("body", "id")}),
        ("row.x", {("row", "x")}),
        ("status", {("status",)}),
    ],
)
def test_fields_that_an_expression_reads_follow_from_its_text(text, paths):
    assert jmespath_expressions.parse(text).paths == paths


@pytest.mark.parametrize(
    "text",
    [
        "", "data.status", "@", "body.a[", "body.a b", "length(body)", "body | a", "body.a || body.b",
        "body.a[?b>`1`]", "body.a[?b]", "body.a[?b=='1' && c=='2']", "body.a[?b==c]", "body.a[0:2]",
        "body.{x: a}", "body.[a, b]", "!body.a", "&body.a", "headers.Location", "body.x-y", "`1`", "[0]",
    ],
)  # fmt: skip
def test_anything_but_fields_indexes_projections_and_equality_is_refused(text):
    with pytest.raises(ExpressionError):
        jmespath_expressions.parse(text)


@pytest.mark.parametrize(
    ("text", "is_empty"),
    [
        ("body.empty", True),
        ("body.empty[*].type", True),
        ("body.missing[*].type", False),
        ("body.list[*].iccid", False),
        ("body.data.none", False),
        ("body.data.missing", False),
    ],
)
def test_empty_list_differs_from_a_missing_one(text, is_empty):
    assert jmespath_expressions.parse(text).is_empty_list(ANSWER) is is_empty


@given(
    st.text(max_size=12),
    st.recursive(st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one), max_leaves=4),
)  # fmt: skip
def test_no_expression_breaks_on_an_answer(text, body):
    try:
        expression = jmespath_expressions.parse(f"body{text}")
    except ExpressionError:
        return

    answer = {"status": 1, "headers": {}, "body": body}
    assert isinstance(expression.values(answer), list)
    assert isinstance(expression.identifier(answer), str)
    assert expression.is_empty_list(answer) in {True, False}


# --- templates --------------------------------------------------------------------------------------


def built(path: str = "/a", values: object = None, **parts: object) -> HttpRequest:
    call = Request.model_validate({"method": "POST", "path": path, **parts})
    return request_builder.build("https://h.example/v1", call, {"id": values})


texts = st.text(min_size=1, max_size=20).filter(str.strip)


@given(texts)
def test_value_in_a_path_is_one_segment(value):
    try:
        made = built("/a/{id}/b", value)
    except templates.UnusableValue:
        assert value.strip().strip(".") == ""
        return

    segments = urlsplit(made.url).path.split("/")
    assert [unquote(one) for one in segments] == ["", "v1", "a", value.strip(), "b"]


@pytest.mark.parametrize("value", ["", ".", "..", "..."])
def test_value_that_would_climb_out_of_a_path_is_unusable(value):
    with pytest.raises(templates.UnusableValue):
        built("/a/{id}", value)


@given(texts)
def test_value_in_a_query_is_one_parameter(value):
    made = built(values=value, query={"X": "{id}"})

    assert parse_qs(urlencode(made.params), keep_blank_values=True) == {"X": [value.strip()]}


@given(texts)
def test_value_in_a_header_is_one_line(value):
    header = built(values=value, headers={"X": "{id}"}).headers["X"]

    assert header.isascii()
    assert header.isprintable()
    assert unquote(header) == unquote(value.strip())


@given(texts)
def test_value_in_json_stays_a_text(value):
    made = built(values=value, json={"a": ["<{id}>", 1, None, True]})

    assert made.json == {"a": [f"<{value.strip()}>", 1, None, True]}


def test_text_that_is_one_variable_keeps_its_type():
    assert built(values=5, json={"id": "{id}", "text": "n{id}"}).json == {"id": 5, "text": "n5"}


@pytest.mark.parametrize(("value", "made"), [("0077", 77), (templates.Placeholder("ID"), "ID")])
def test_number_may_be_asked_for_alone_in_json(value, made):
    assert built(values=value, json={"id": "{id:int}"}).json == {"id": made}


@pytest.mark.parametrize("value", ["", "7a", 7.5, None])
def test_what_is_no_number_is_unusable_for_one(value):
    with pytest.raises(templates.UnusableValue):
        built(values=value, json={"id": "{id:int}"})


@pytest.mark.parametrize("value", [None, {"a": 1}, ["a"]])
def test_what_is_no_scalar_stands_in_no_query(value):
    with pytest.raises(templates.UnusableValue):
        built(values=value, query={"X": "{id}"})


def test_taken_object_is_put_back_and_hidden_from_the_log():
    card = {"owner": {"name": "Анна"}, "state": {"code": 1, "since": "2026"}, "ok": True}

    made = built(values=card, json={"...": "{id}", "state": {"code": 2}})

    assert isinstance(made.data, bytes)
    assert bytes(made.data).startswith('{"owner": {"name": "Анна"}, "state": {"code": 2,'.encode())
    assert made.data.decode() == '{"...": "•••", "state": {"code": 2}}'
    assert made.headers["Content-Type"] == "application/json"


def test_doubled_braces_are_braces():
    template = templates.parse("{{{id}}} {{x}}")

    assert template.render({"id": "1"}, templates.plain) == "{1} {x}"
    assert template.names == ("id",)


@pytest.mark.parametrize("source", ["{", "}", "{Id}", "{a b}", "{a.b}", "{{id}", "{}"])
def test_brace_without_its_pair_is_refused(source):
    with pytest.raises(templates.TemplateError):
        templates.parse(source)


def test_card_is_named_in_three_ways():
    assert card_values(Sim("89701010000000000015", "+7 999 000-00-01")) == {
        "iccid": "89701010000000000015",
        "iccid_bare": "8970101000000000001",
        "msisdn": "79990000001",
    }
