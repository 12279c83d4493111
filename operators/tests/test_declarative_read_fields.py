"""Which fields of a described operator's answers are read, and so may be shown in the exchange log."""

from operators.adapters.declarative import Declarative
from operators.declarative.read_fields import answer_fields
from operators.declarative.validation import load

SWITCH = {
    "method": "POST",
    "path": "/sims/{iccid}/on",
    "answer": {"request_id": "body.operation.href"},
}
DOCUMENT = {
    "title": "Проба",
    "calls": {
        "activate": SWITCH,
        "deactivate": SWITCH,
        "read": {
            "path": "/sims/{iccid}",
            "answer": {
                "rows": "body.data.sims",
                "iccid": "row.iccid",
                "state": "row.services[?kind=='data'].status.name",
                "reason": "row.block[0].why",
                "msisdn": "row.tel",
            },
        },
        "check": {"path": "/r/{request_id}", "answer": {"result": "body.result"}},
    },
    "states": {"words": {"on": "active", "off": "inactive"}},
    "results": {"words": {"ok": "done"}},
    "errors": {
        "code": "body.error.code",
        "text": "body.error.text",
    },
}
REFUSAL = {("body", "error", "code"), ("body", "error", "text")}
SIMS = ("body", "data", "sims")


def test_fields_are_named_from_the_root_of_each_answer():
    assert answer_fields(load(DOCUMENT)) == {
        "activate": REFUSAL | {("body", "operation", "href")},
        "deactivate": REFUSAL | {("body", "operation", "href")},
        "check": REFUSAL | {("body", "result")},
        "read": REFUSAL
        | {
            SIMS,
            (*SIMS, "iccid"),
            (*SIMS, "services", "kind"),
            (*SIMS, "services", "status", "name"),
            (*SIMS, "block", "why"),
            (*SIMS, "tel"),
        },
    }


def test_adapter_shows_the_fields_of_bodies_alone():
    document = DOCUMENT | {"errors": {"code": 'headers."x-error"'}}

    fields = Declarative.answer_fields_of(document)

    assert ("x-error",) not in fields
    assert ("data", "sims", "iccid") in fields
