"""The operator's word about Госуслуги: one word is taken, everything else of the answer is let go."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from operators import registry
from operators.adapters.mts import Mts
from operators.client.http import HttpExchange
from operators.ports import (
    Connection,
    ErrorClass,
    Identity,
    IdentityState,
    Sim,
    Unavailable,
)
from operators.tests.sandbox_operator import (
    SIM,
    STRANGER,
    RunningOperator,
    make_operator,
    new_tokens,
    own_clock,
    running,
)
from operators.tests.test_mts import KEYS, RecordingHttp, answer, mts

__all__ = ["own_clock"]

WORDS = {
    "Activated": IdentityState.CONFIRMED,
    "ActivatedPortIn": IdentityState.CONFIRMED,
    "NotRequired": IdentityState.NOT_REQUIRED,
    "WaitingForAcceptance": IdentityState.WAITING,
    "WaitingForCheck": IdentityState.WAITING,
    "Refusal": IdentityState.REFUSED,
    "MismatchOfData": IdentityState.MISMATCH,
    "NotFoundInEsia": IdentityState.NOT_FOUND,
    "RequestNotFoundInEsia": IdentityState.NOT_FOUND,
    "Depersonalized": IdentityState.UNKNOWN,
    "Anonymous": IdentityState.UNKNOWN,
    "Migration": IdentityState.UNKNOWN,
    "Postponed": IdentityState.UNKNOWN,
}


def confirmation(word: str) -> dict[str, str]:
    return {"name": "PersonalDataConfirmation", "value": word}


@pytest.fixture
def bench(tmp_path: Path, own_clock: None) -> Iterator[RunningOperator]:
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        yield bench


@pytest.mark.parametrize(("word", "state"), WORDS.items())
def test_each_word_of_the_manual_has_its_meaning(bench, word, state):
    bench.put(identity=word)

    assert bench.operator().read_identity(sim=SIM) == Identity(state, raw=word)


def test_question_names_the_number_and_asks_for_silence():
    operator, http = mts(answer([{"characteristic": [confirmation("Activated")]}]))

    operator.read_identity(sim=SIM)

    [asked] = http.asked
    assert asked["method"] == "GET"
    assert asked["url"] == "https://api.mts.ru/b2b/v1/PersonalData/PersonalDataInfo"
    assert asked["params"] == {"contactMedium.phoneNumber": SIM.msisdn}
    assert asked["private"] is True


@pytest.mark.parametrize(
    "body",
    [
        [confirmation("Refusal")],
        {"characteristic": confirmation("Refusal")},
        [{"party": {"characteristic": [{"name": "Other", "value": "x"}, confirmation("Refusal")]}}],
        json.dumps(json.dumps([confirmation("Refusal")])),
    ],
)
def test_word_is_found_wherever_it_stands(body):
    operator, _ = mts(answer(body))

    assert operator.read_identity(sim=SIM) == Identity(IdentityState.REFUSED, raw="Refusal")


def test_value_that_is_no_word_is_not_kept():
    operator, _ = mts(answer([confirmation("Иванов Иван, 4500 123456")]))

    assert operator.read_identity(sim=SIM) == Identity(IdentityState.UNKNOWN, raw="")


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ([], 200, ErrorClass.TRANSIENT),
        ("<html>", 200, ErrorClass.TRANSIENT),
        ([{"characteristic": [{"name": "Other", "value": "x"}]}], 200, ErrorClass.TRANSIENT),
        ({"errorCode": "1010"}, 403, ErrorClass.FORBIDDEN),
        ({"errorCode": "1011"}, 429, ErrorClass.RATE_LIMITED),
    ],
)
def test_answer_without_the_word_is_no_answer(body, status, error):
    operator, _ = mts(answer(body, status))

    with pytest.raises(Unavailable) as refused:
        operator.read_identity(sim=SIM)

    assert refused.value.error is error


def test_card_without_number_or_of_another_contract_is_unknown(bench):
    operator = bench.operator()

    with pytest.raises(Unavailable) as nameless:
        operator.read_identity(sim=Sim("89701010000000000015"))
    with pytest.raises(Unavailable) as stranger:
        operator.read_identity(sim=STRANGER)

    assert nameless.value.code == "no_msisdn"
    assert stranger.value.error == ErrorClass.NOT_FOUND


def test_nothing_of_the_answer_reaches_the_log_of_exchanges(bench, caplog):
    caplog.set_level("DEBUG")
    exchanges: list[HttpExchange] = []
    operator = make_operator(
        account="test-mts",
        adapter="mts",
        base_url=f"{bench.url}/operators/mts",
        credentials=KEYS,
        exchanges=exchanges,
    )

    operator.read_identity(sim=SIM)

    assert [(one.kind, one.status, one.reply) for one in exchanges if one.kind == "read"] == [
        ("read", 200, "HTTP 200\n\nПерсональные данные: ответ не сохраняется.")
    ]
    everything = caplog.text + "".join(f"{one.url}{one.request}{one.reply}" for one in exchanges)
    assert [word for word in ("Пример", "1970-01-01", SIM.msisdn) if word in everything] == []


def test_adapter_without_the_question_does_not_promise_it():
    assert registry.capabilities("tmf640").identity is False
    assert registry.problem("tmf640") == ""


def test_only_capable_adapters_report_identity():
    with_identity = [code for code in registry.codes() if registry.capabilities(code).identity]

    assert with_identity == ["mts"]
    assert registry.problem("mts") == ""


def test_adapter_keeps_no_state_of_what_it_read():
    http = RecordingHttp([answer([confirmation("Activated")]), answer([confirmation("Refusal")])])
    operator = Mts(Connection("mts", "https://api.mts.ru", KEYS, http, new_tokens()))

    said = [operator.read_identity(sim=SIM).state for _ in range(2)]

    assert said == [IdentityState.CONFIRMED, IdentityState.REFUSED]
