"""What the tests of Билайн share: samples, a client that records its calls, and answers."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from operators.adapters.beeline import Beeline
from operators.ports import BlockReason, CallKind, Connection, Reading, Reply, Sim, SimState
from operators.tests.sandbox_operator import SIM, new_tokens

KEYS = {"login": "demo-login", "password": "demo-password", "ban": "100000001"}
SAMPLES = json.loads(Path(__file__).with_name("data").joinpath("beeline.json").read_text())
SAMPLE_SIM = Sim(SIM.iccid, "79990000001")
# 00:30 of 20 November in Moscow.
AT = datetime(2026, 11, 19, 21, 30, tzinfo=UTC)
# XML that is not plain: it would grow, or fetch.
BOMB = '<!DOCTYPE a [<!ENTITY a "a"><!ENTITY b "&a;&a;">]>'
OUTSIDE = '<!DOCTYPE a SYSTEM "file:///etc/passwd">'


def blocked(reason: BlockReason, code: str) -> Reading:
    return Reading(SimState.HELD, reason, raw=f"BLOCKED {code}", msisdn=SIM.msisdn)


def resting(code: str) -> Reading:
    raw = f"BLOCKED {code}"
    return Reading(SimState.INACTIVE, BlockReason.VOLUNTARY, raw=raw, msisdn=SIM.msisdn)


@dataclass
class RecordingHttp:
    """Answers the login, then what it was given; keeps what it was asked."""

    answers: list[Reply]
    login: Reply = field(default_factory=lambda: Reply(200, {}, SAMPLES["auth_response"].encode()))
    asked: list[dict[str, Any]] = field(default_factory=list)

    def request(self, method: str, url: str, *, kind: CallKind, **parts: Any) -> Reply:
        self.asked.append({"kind": kind, "method": method, "url": url, **parts})
        return self.login if kind is CallKind.AUTH else self.answers.pop(0)


def answer(body: str | bytes, status: int = 200, **headers: str) -> Reply:
    raw = body.encode() if isinstance(body, str) else body
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


def fault(code: object = "", text: str = "TEXT", status: int = 500) -> Reply:
    said = SAMPLES["fault_http_500"].replace("20003", str(code)).replace("TOKEN_NOT_FOUND", text)
    if not code:
        said = said[: said.index("<detail>")] + said[said.index("</soapenv:Fault>") :]
    return answer(said, status)


def beeline(*answers: Reply, **keys: str) -> tuple[Beeline, RecordingHttp]:
    http = RecordingHttp(list(answers))
    credentials = {"login": "LOGIN", "password": "PASSWORD", "ban": "100000001"} | keys
    url = "https://my.beeline.ru/api/"
    return Beeline(Connection("beeline", url, credentials, http, new_tokens())), http


def request_status(word: str, extra: str = "") -> Reply:
    body = SAMPLES["request_list_response"].replace("COMPLETE<", f"{word}<")
    return answer(body.replace("<requestStatus>", f"{extra}<requestStatus>"))


def listed(**facts: str) -> Reply:
    known = {"ctn": "9990000001", "status": "BLOCKED", "reasonStatus": "WIB"} | facts
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in known.items())
    body = SAMPLES["ctn_info_response_active"]
    head, tail = body.split("<CTNInfoList>")[0], body.split("</CTNInfoList>")[1]
    return answer(f"{head}<CTNInfoList>{inner}</CTNInfoList>{tail}")
