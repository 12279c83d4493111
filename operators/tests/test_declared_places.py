"""Paths into answers, and templates whose values stay in their places."""

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.declared import outgoing, paths, templates
from operators.declared.profile import Answer, Body, BodyKind, Call
from operators.declared.validate import load
from operators.ports import Sim
from operators.tests.described import EXAMPLES, document

DATA = {
    "data": {"id": 7, "status": {"value": "on"}, "flag": False, "none": None},
    "list": [{"iccid": "1"}, {"iccid": "2"}],
    "odd.name": {"@type": "x"},
    "inside": '{"code": "E1"}',
    "broken": "{not json",
    "deep": [{"type": {"code": "VOICE"}, "on": False}, {"type": {"code": "DATA"}, "on": True}, 7],
}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("", [DATA]),
        ("data.id", [7]),
        ("data.status.value", ["on"]),
        ("data.none", [None]),
        ("data.nothing", []),
        ("data.id.deeper", []),
        ("list[0].iccid", ["1"]),
        ("list[-1].iccid", ["2"]),
        ("list[2].iccid", []),
        ("list[*].iccid", ["1", "2"]),
        ("data[*]", []),
        ("['odd.name'].@type", ["x"]),
        ("inside.code", ["E1"]),
        ("broken.code", []),
        ("list[iccid=2]", [{"iccid": "2"}]),
        ("list[ iccid = 2 ].iccid", ["2"]),
        ("list[iccid=3].iccid", []),
        ("deep[type.code=data].on", [True]),
        ("data[id=7]", []),
    ],
)
def test_path_leads_to_its_values(path, values):
    assert paths.parse(path).every(DATA) == values


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("data.id", "7"),
        ("data.flag", "false"),
        ("data.none", ""),
        ("data.status", ""),
        ("list", ""),
    ],
)
def test_word_is_a_scalar(path, word):
    assert paths.parse(path).word(DATA) == word


@pytest.mark.parametrize("path", [".a", "a..b", "a[", "a[x]", "a]", "a['b", "a.", "[?(@.x)]"])
def test_path_that_cannot_be_read_is_refused(path):
    with pytest.raises(paths.PathTrouble):
        paths.parse(path)


@given(st.text(max_size=12), st.recursive(st.text() | st.none(), st.lists, max_leaves=4))
def test_no_path_breaks_on_an_answer(text, data):
    try:
        path = paths.parse(text)
    except paths.PathTrouble:
        return

    assert isinstance(path.every(data), list)


# --- templates ----------------------------------------------------------------------------------------


def call(path: str = "/a", **parts: object) -> Call:
    """A call with one value, `id`, where it is asked for."""
    one = templates.parse("{id}")
    usual: dict[str, object] = {"query": (), "headers": (), "body": Body()}
    named = {name: (("X", one),) for name in ("query", "headers") if name in parts}
    body = {"body": parts["body"]} if "body" in parts else {}
    return Call("POST", templates.parse(path), success={}, answer=Answer(), **usual | named | body)  # type: ignore[arg-type]


values = st.text(min_size=1, max_size=20)


@given(values)
def test_value_in_a_path_is_one_segment(value):
    try:
        made = outgoing.request("https://h.example/v1", call("/a/{id}/b"), {"id": value})
    except templates.Unfit:
        assert value.strip(".") == ""
        return

    segments = urlsplit(made.url).path.split("/")
    assert [unquote(one) for one in segments] == ["", "v1", "a", value, "b"]


@pytest.mark.parametrize("value", ["", ".", "..", "..."])
def test_value_that_would_climb_out_of_a_path_is_unfit(value):
    with pytest.raises(templates.Unfit):
        outgoing.request("https://h.example", call("/a/{id}"), {"id": value})


@given(values)
def test_value_in_a_query_is_one_parameter(value):
    made = outgoing.request("https://h.example", call(query=True), {"id": value})

    assert parse_qs(urlsplit(made.address).query, keep_blank_values=True) == {"X": [value]}


@given(values)
def test_value_in_a_header_is_one_line(value):
    line = outgoing.request("https://h.example", call(headers=True), {"id": value}).headers["X"]

    assert line.isascii()
    assert line.isprintable()
    assert unquote(line) == unquote(value)


@given(values)
def test_value_in_a_cookie_is_one_value(value):
    shown = templates.cookie("id", value)

    assert not set(shown) & set('; ,"\\\r\n')
    assert unquote(shown) == unquote(value)


@given(values)
def test_value_in_json_stays_a_text(value):
    body = Body(BodyKind.JSON, templates.parse_json({"a": ["<{id}>", 1, None, True]}))

    made = outgoing.request("https://h.example", call(body=body), {"id": value})

    assert made.json == {"a": [f"<{value}>", 1, None, True]}


def test_text_that_is_one_variable_keeps_its_type():
    body = Body(BodyKind.JSON, templates.parse_json({"id": "{id}", "text": "n{id}"}))

    made = outgoing.request("https://h.example", call(body=body), {"id": 5})

    assert made.json == {"id": 5, "text": "n5"}


def test_number_may_be_asked_for_alone_in_json():
    body = Body(BodyKind.JSON, templates.parse_json({"id": "{id:int}", "text": "n{id:int}"}))

    made = outgoing.request("https://h.example", call(body=body), {"id": "0077"})
    drafted = outgoing.request(
        "https://h.example", call(body=body), {"id": templates.StandIn("ID")}
    )

    assert made.json == {"id": 77, "text": "n0077"}
    assert drafted.json == {"id": "ID", "text": "nID"}
    for odd in ("", "7a", [7], 7.5):
        with pytest.raises(templates.Unfit):
            outgoing.request("https://h.example", call(body=body), {"id": odd})


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (1.5, "1.5"), (0, "0"), ("x", "x")]
)
def test_word_is_written_as_answers_have_it(value, text):
    made = outgoing.request("https://h.example", call(query=True), {"id": value})

    assert made.params == {"X": text}


@pytest.mark.parametrize("value", [None, {"a": 1}, ["a"]])
def test_what_is_no_word_stands_in_no_query(value):
    with pytest.raises(templates.Unfit):
        outgoing.request("https://h.example", call(query=True), {"id": value})


def test_doubled_braces_are_braces():
    template = templates.parse("{{{id}}} {{x}}")

    assert template.rendered({"id": "1"}, templates.plain) == "{1} {x}"
    assert template.names == ("id",)


@pytest.mark.parametrize("source", ["{", "}", "{Id}", "{a b}", "{a.b}", "{{id}", "{}"])
def test_brace_without_its_pair_is_refused(source):
    with pytest.raises(templates.TemplateTrouble):
        templates.parse(source)


def test_card_may_be_named_in_six_ways():
    profile = load(document(EXAMPLES / "tmf640.json"))

    values = outgoing.card_values(profile, Sim("89701010000000000015", "79990000001"), {})

    assert values == {
        "iccid": "89701010000000000015",
        "iccid_bare": "8970101000000000001",
        "iccid_int": 89701010000000000015,
        "msisdn": "79990000001",
        "msisdn10": "9990000001",
        "msisdn_int": 79990000001,
    }
