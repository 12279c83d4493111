"""Билайн: requests against the samples, and SOAP by the files kept here."""

import base64
import hashlib
import hmac
import threading
from typing import Any

import pytest
from zeep.loader import parse_xml

from operators.adapters import wsdl
from operators.adapters.wsdl import NotSoap, Soap, SoapFault
from operators.ports import (
    Accepted,
    Action,
    CallKind,
    Check,
    CheckState,
    ErrorClass,
    Reading,
    Rejected,
    Sim,
    SimState,
    Unavailable,
    Unknown,
)
from operators.tests.beeline import (
    AT,
    BOMB,
    OUTSIDE,
    SAMPLE_SIM,
    SAMPLES,
    answer,
    beeline,
    resting,
)
from operators.tests.sandbox_operator import SIM, submit

SUSPENDED = SAMPLES["suspend_response"]

# --- requests -----------------------------------------------------------------------------------


def shape(body: Any) -> Any:
    """The names and texts of an envelope's body; prefixes and an empty header do not count."""

    def of(element: Any) -> Any:
        return element.tag, (element.text or "").strip(), [of(child) for child in element]

    envelope = parse_xml(body, None)
    return envelope.tag, of(envelope[-1])


def assert_asked_as(asked: dict[str, Any], sample: str) -> None:
    wanted = SAMPLES[sample]
    service = "AuthService" if sample.startswith("auth") else "SubscriberService"
    assert asked["method"] == "POST"
    assert asked["url"] == f"https://my.beeline.ru/api/{service}"
    assert asked["headers"] == {
        "Content-Type": "text/xml; charset=utf-8",
        "SOAPAction": wanted["headers"]["SOAPAction"],
    }
    assert shape(asked["data"]) == shape(wanted["body"])


@pytest.mark.parametrize(
    ("action", "sample"),
    [(Action.DEACTIVATE, "suspend"), (Action.ACTIVATE, "restore")],
)
def test_switch_is_asked_for_as_in_the_sample(action, sample):
    operator, http = beeline(answer(SAMPLES[f"{sample}_response"]))

    result = operator.submit(action=action, sim=SAMPLE_SIM, key="k", at=AT)

    assert isinstance(result, Accepted)
    login, switch = http.asked
    assert_asked_as(login, "auth_request")
    assert_asked_as(switch, f"{sample}_request")
    assert [call["kind"] for call in http.asked] == [CallKind.AUTH, CallKind.SUBMIT]


def test_request_is_asked_about_as_in_the_sample():
    operator, http = beeline(answer(SAMPLES["request_list_response"]))

    check = operator.check(request_id="1000000001", sim=SAMPLE_SIM, submitted_at=AT, at=AT)

    assert check == Check(CheckState.COMPLETED, code="COMPLETE")
    assert_asked_as(http.asked[1], "request_list_request")


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("active", Reading(SimState.ACTIVE, raw="ACTIVE", msisdn="79990000001")),
        ("blocked", resting("WIB")),
    ],
)
def test_number_is_asked_about_as_in_the_sample(sample, expected):
    operator, http = beeline(answer(SAMPLES[f"ctn_info_response_{sample}"]))

    reading = operator.read_state(sim=SAMPLE_SIM)

    assert reading == expected
    assert_asked_as(http.asked[1], "ctn_info_request")


def test_no_secret_stands_in_an_address():
    operator, http = beeline(answer(SAMPLES["suspend_response"]))

    submit(operator, Action.DEACTIVATE)

    assert [call["url"] for call in http.asked] == [
        "https://my.beeline.ru/api/AuthService",
        "https://my.beeline.ru/api/SubscriberService",
    ]
    assert not any("params" in call for call in http.asked)


def signature(text: str) -> str:
    digest = hmac.new(b"demo-hash-key", text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def sent_hash(call: dict[str, Any]) -> str | None:
    found = parse_xml(call["data"], None).find(".//hash")
    return None if found is None else found.text


def test_system_user_signs_every_call():
    operator, http = beeline(
        answer(SAMPLES["suspend_response"]),
        answer(SAMPLES["request_list_response"]),
        answer(SAMPLES["ctn_info_response_active"]),
        answer(SAMPLES["request_list_response"]),
        hash_key="demo-hash-key",
    )

    operator.submit(action=Action.DEACTIVATE, sim=SAMPLE_SIM, key="k", at=AT)
    operator.check(request_id="1000000001", sim=SAMPLE_SIM, submitted_at=AT, at=AT)
    operator.read_state(sim=SAMPLE_SIM)
    operator.ping()

    assert [sent_hash(call) for call in http.asked] == [
        None,
        signature("999000000120261120000000WIB"),
        signature("LOGIN1000000001"),
        signature("1000000019990000001"),
        signature("LOGIN0"),
    ]


@pytest.mark.parametrize("msisdn", ["", "4915112345678", "999000000"])
def test_card_without_operators_number_is_not_queried(msisdn):
    operator, http = beeline()
    sim = Sim(SIM.iccid, msisdn)

    result = submit(operator, Action.ACTIVATE, sim)

    assert result == Rejected(ErrorClass.INVALID, "no_msisdn", "у смарт-карты не указан номер")
    with pytest.raises(Unavailable) as refused:
        operator.read_state(sim=sim)
    assert refused.value.error == ErrorClass.INVALID
    assert refused.value.code == "no_msisdn"
    assert http.asked == []


def test_contract_without_a_password_is_not_configured():
    operator, http = beeline(password="")

    result = submit(operator, Action.ACTIVATE)

    assert result == Rejected(ErrorClass.CONFIGURATION, "no_keys", "не заданы логин и пароль")
    assert http.asked == []


# --- SOAP by the files kept here ----------------------------------------------------------------


def test_files_are_read_without_network(socket_disabled):
    operations = {
        file: sorted(client.wsdl.bindings[name].all())
        for file in ("AuthService.wsdl", "SubscriberService.wsdl")
        for client in [Soap(file)._client]
        for name in client.wsdl.bindings
    }

    assert operations == {
        "AuthService.wsdl": ["auth"],
        "SubscriberService.wsdl": [
            "getCTNInfoList",
            "getRequestList",
            "restoreCTN",
            "suspendCTN",
        ],
    }


@pytest.mark.parametrize(
    "location",
    ["https://my.beeline.ru/api/AuthService?WSDL", "/etc/passwd", "../mts.py"],
)
def test_nothing_but_our_files_is_read(location):
    with pytest.raises(ValueError, match="no file of ours"):
        wsdl._Files().load(location)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "OK",
        "<html><body>Вход</body></html>",
        SUSPENDED[:-30],
        BOMB + SUSPENDED,
        OUTSIDE + SUSPENDED,
        SUSPENDED.replace("suspendCTNResponse", "restoreCTNResponse"),
        SUSPENDED.replace("schemas.xmlsoap.org", "example.org"),
        SUSPENDED.replace("<return>1000000001</return>", "<return>&nbsp;</return>"),
        '<?xml version="1.0" encoding="nonsense"?>' + SUSPENDED,
        "<E/>",
        "<soapenv:Envelope xmlns:soapenv='http://schemas.xmlsoap.org/soap/envelope/'/>",
    ],
)
def test_invalid_soap_is_an_unknown_outcome(body):
    operator, _ = beeline(answer(body))

    result = submit(operator, Action.DEACTIVATE)

    assert result == Unknown("ответ оператора не разобрать", code="garbage")


def test_fault_in_windows_1251_is_read_by_its_declaration():
    said = SAMPLES["fault_http_500"].replace("20003", "20005")
    said = said.replace("TOKEN_NOT_FOUND", "Номер не найден")
    declared = '<?xml version="1.0" encoding="windows-1251"?>'
    operator, _ = beeline(answer((declared + said).encode("cp1251"), 500))

    result = submit(operator, Action.DEACTIVATE)

    assert result == Rejected(ErrorClass.NOT_FOUND, "20005", "Номер не найден")


@pytest.mark.parametrize("number", ["", "ok", "-1", "1.5"])
def test_answer_without_request_id_is_an_unknown_outcome(number):
    operator, _ = beeline(answer(SUSPENDED.replace("1000000001", number)))

    assert submit(operator, Action.DEACTIVATE) == Unknown("Билайн ответил без номера запроса")


def test_fault_in_a_namespace_is_read_as_one_without():
    said = SAMPLES["fault_http_500"]
    spaced = said.replace(
        "<UssWsApiException>", '<n:UssWsApiException xmlns:n="urn:uss-wsapi:Types">'
    ).replace("</UssWsApiException>", "</n:UssWsApiException>")

    for body in (said, spaced):
        with pytest.raises(SoapFault) as refused:
            wsdl.soap("SubscriberService.wsdl").read("suspendCTN", body.encode())
        assert refused.value.code == "20003"
        assert refused.value.text == "TOKEN_NOT_FOUND"


def test_one_reader_serves_many_threads():
    ours = wsdl.soap("SubscriberService.wsdl")
    seen: list[Any] = []

    def work(number: int) -> None:
        body = SUSPENDED.replace("1000000001", str(number))
        for _ in range(20):
            ours.message("suspendCTN", token="t", ctn="1", actvDate="d", reasonCode="WIB")
            seen.append(ours.read("suspendCTN", body.encode()) == {"return": str(number)})
        with pytest.raises(NotSoap):
            ours.read("suspendCTN", b"<half")

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert seen == [True] * 80
