"""The guide to describing an operator, compared with the code: what it lists is what there is."""

import re
from pathlib import Path

import pytest

from operators.breaker import is_trouble
from operators.declared import parse, parse_answers, parse_calls, parse_login
from operators.declared.keys import Algorithm, Encoding, Where
from operators.declared.parse_calls import VARIABLES
from operators.declared.profile import BodyKind, CallName, LoginKind, NextKind, Proof, Result
from operators.declared.refusals import UNSURE
from operators.ports import BlockReason, ErrorClass, SimState
from smartcards.outcomes import RESENT
from smartcards.phrases import FAILURES
from smartcards.rules import BLOCK_ADVICE

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "how-to" / "describe-an-operator.md").read_text(encoding="utf-8")
CONSTANTS = {
    "all fields": {*parse._TOP, *parse._ERRORS, *parse_login._OAUTH_FIELDS, *parse_login._CALL_FIELDS},
    "login": {*parse_login._BESIDE, *parse_login._PLACE_FIELDS},
    "signatures": {*parse_login._SORTED_FIELDS, *set(Encoding)},
    "requests": {*parse_calls._PARTS, "statuses", "prepare"},
    "answers": {*parse_answers._PATHS, "state", "request_id", "take", "echo", "next"},
    "pages": set(NextKind),
    "calls": set(CallName),
    "logins": set(LoginKind),
    "places": set(Where),
    "bodies": set(BodyKind) - {BodyKind.NONE},
    "proofs": set(Proof),
    "results": set(Result),
    "states": set(SimState) - {SimState.UNKNOWN},
}  # fmt: skip


def section(title: str) -> str:
    return GUIDE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def variables() -> list[str]:
    """The rows of the table of variables."""
    return [
        f"| `{call}` | {', '.join(f'`{{{name}}}`' for name in sorted(names))} |"
        for call, names in VARIABLES.items()
    ]


def classes() -> list[str]:
    """The rows of the table of classes."""
    return [
        f"| `{error}` | {_statuses(error)} | {_sure(error)} | {_then(error)}"
        f" | {'counts' if is_trouble(error) else '–'} | {FAILURES[error]} |"
        for error in ErrorClass
    ]


def _statuses(error: ErrorClass) -> str:
    named = [str(status) for status, usual in parse.STATUSES.items() if usual is error]
    rest = {ErrorClass.INVALID: "other 4xx", ErrorClass.TRANSIENT: "other 5xx",
            ErrorClass.CONFIGURATION: "3xx", ErrorClass.UNKNOWN_OUTCOME: "other 2xx"}  # fmt: skip
    return ", ".join([*named, *([rest[error]] if error in rest else [])]) or "–"


def _sure(error: ErrorClass) -> str:
    if error is ErrorClass.UNKNOWN_OUTCOME:
        return "never"
    return "only by `not_done`" if error in UNSURE else "by a known code, or 4xx"


def _then(error: ErrorClass) -> str:
    if error is ErrorClass.ALREADY:
        return "done, after a reading"
    if error is ErrorClass.UNKNOWN_OUTCOME:
        return "the card is read"
    if error is ErrorClass.AUTH:
        return "sent again; staff are told"
    return "sent again" if error in RESENT else "not done; staff are told"


@pytest.mark.parametrize("names", CONSTANTS.values(), ids=CONSTANTS)
def test_every_word_of_the_language_is_told(names):
    told = set(re.findall(r"`\"?([a-z_0-9]+)\"?`", section("All fields")))
    told |= set(re.findall(r'"([a-z]+)"', section("All fields")))

    assert {str(name) for name in names} - told == set()


def test_tables_are_what_the_code_says():
    missing = [row for row in [*variables(), *classes()] if row not in GUIDE.splitlines()]

    assert missing == []


def test_every_reason_and_its_sentence_is_told():
    told = section("Reasons of blocks")

    assert [reason for reason in BlockReason if f"`{reason}`" not in told] == []
    assert [advice for advice in BLOCK_ADVICE.values() if advice not in told] == []


def test_signatures_of_the_guide_exist():
    named = set(re.findall(r'"algorithm": "([a-z0-9-]+)"', GUIDE))

    assert named
    assert named <= {str(algorithm) for algorithm in Algorithm}
