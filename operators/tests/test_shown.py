"""What the log keeps of operators whose adapter is code: what is read, staff's words, and no person."""

import json

import pytest
from django.conf import settings

from operators import registry
from operators.allowed import MASK
from operators.heard import Exchange
from operators.masking import masker
from operators.ports import Reply
from operators.shown import shown_by
from operators.tests.bench import SIM, MemoryTokens, running
from operators.tests.described import profile

SOAP = (
    '<?xml version="1.0"?><S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body>'
    "{}</S:Body></S:Envelope>"
)
PERSON = {
    "accountName": "Иванов",
    "comment": "Абонент Иванов Иван Иванович",
    "custom1": "Иванов Иван, +7 916 123 45 67",
    "note": {"text": "7.916.123.45.67"},
}
HIDDEN = {"accountName": MASK, "comment": MASK, "custom1": MASK, "note": {"text": MASK}}


def body_of(code: str, answer: object) -> str:
    """What the log keeps of the body of such an answer."""
    raw = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
    shown = shown_by(code, registry.adapter_class(code), None)
    return masker([], shown).reply(Reply(200, {}, raw)).partition("\n\n")[2]


def test_described_operator_s_sentences_are_kept_without_names_wherever_they_stand():
    said = "Абонент Иванов Иван Иванович не найден"
    listed = {
        "rows": "data.items",
        "iccid": "icc",
        "request_id": "id",
        "result": "st",
        "text": "why",
    }
    keyed = {"rows": "cards", "iccid": "@key", "result": "st", "text": "why"}
    document = profile(
        {"success": {"202": "request"}, "answer": {"request_id": "id"}},
        calls={"check": {"path": "/c", "answer": listed}, "ping": {"path": "/p", "answer": keyed}},
        errors={"code": ["e[0].code", "e[0].message"], "text": "e[0].message"},
        results={"words": {"1": "done"}},
    )  # fmt: skip
    shown = shown_by("declared", registry.adapter_class("declared"), document)
    answer = {
        "data": {"items": [{"st": "2", "why": said, "who": said}]},
        "cards": {"8970": {"st": "2", "why": said}},
        "e": [{"code": "GONE", "message": said}],
    }

    kept = masker([], shown).reply(Reply(200, {}, json.dumps(answer).encode()))

    left = "Абонент ••• не найден"
    assert json.loads(kept.partition("\n\n")[2]) == {
        "data": {"items": [{"st": "2", "why": left, "who": MASK}]},
        "cards": {"8970": {"st": "2", "why": left}},
        "e": [{"code": "GONE", "message": left}],
    }


def test_every_protocol_says_its_places_or_has_a_row():
    rowless = [
        code
        for code in settings.OPERATORS
        if shown_by(code, registry.adapter_class(code), None) is None
    ]

    assert [registry.is_declarative(code) for code in rowless] == [True]
    assert shown_by("somebody", object, None) is None


@pytest.mark.parametrize(
    ("code", "answer", "left"),
    [
        (
            "mts",
            {"eventID": "e-1", "eventTime": "2026-11-22T12:00:00+03:00"},
            {"eventID": "e-1", "eventTime": "2026-11-22T12:00:00+03:00"},
        ),
        (
            "mts",
            {"errorCode": "2005", "errorMessage": "Абонент Иванов Иван Иванович не найден"},
            {"errorCode": "2005", "errorMessage": "Абонент ••• не найден"},
        ),
        (
            "mts",
            {"fault": {"code": "1010", "message": "Нет подписки", "description": "для Иванова"}},
            {"fault": {"code": "1010", "message": "Нет подписки", "description": "для •••"}},
        ),
        (
            "mts",
            [
                {
                    "relatedParty": [
                        {
                            "id": "e-1",
                            "status": "Faulted",
                            "name": "Иванов",
                            "characteristic": [
                                {"name": "msisdn", "value": "79161234567"},
                                {"name": "foris_error_code", "value": "BlockNotExists"},
                                {"name": "comment", "value": "Иванов"},
                            ],
                        }
                    ]
                }
            ],
            [
                {
                    "relatedParty": [
                        {
                            "id": "e-1",
                            "status": "Faulted",
                            "name": "•••",
                            "characteristic": [
                                {"name": "msisdn", "value": "…4567"},
                                {"name": "foris_error_code", "value": "BlockNotExists"},
                                {"name": "comment", "value": "•••"},
                            ],
                        }
                    ]
                }
            ],
        ),
        (
            "mts",
            [{"externalID": "BL0005", "name": "Добровольная блокировка", "owner": "Иванов"}],
            [{"externalID": "BL0005", "name": "Добровольная блокировка", "owner": "•••"}],
        ),
        ("mts", [{"name": "ИП Иванов", "hasMore": False}], [{"name": "ИП •••", "hasMore": False}]),
        (
            "control_center",
            {"iccid": "89701010000000000015", "status": "ACTIVATED", "ratePlan": "Иванов"},
            {"iccid": "…0015", "status": "ACTIVATED", "ratePlan": "•••"},
        ),
        (
            "control_center",
            {"devices": [{"status": "ACTIVATED", "dateUpdated": "2026-11-22 09:00:00.000+0000"}]},
            {"devices": [{"status": "ACTIVATED", "dateUpdated": "2026-11-22 09:00:00.000+0000"}]},
        ),
        (
            "control_center",
            {"errorCode": "20000001", "errorMessage": "Resource of John Smith not found"},
            {"errorCode": "20000001", "errorMessage": "Resource of ••• not found"},
        ),
        (
            "tmf640",
            [
                {
                    "id": "s-1",
                    "state": "inactive",
                    "reason": "debt",
                    "supportingResource": [{"iccid": "89701010000000000015"}],
                    "name": "Иванов",
                    "relatedParty": [{"id": "Иванов"}],
                }
            ],
            [
                {
                    "id": "s-1",
                    "state": "inactive",
                    "reason": "debt",
                    "supportingResource": [{"iccid": "…0015"}],
                    "name": "•••",
                    "relatedParty": [{"id": "•••"}],
                }
            ],
        ),
        (
            "tmf640",
            {
                "id": "m-1",
                "state": "InError",
                "response": {
                    "statusCode": 409,
                    "body": '{"code": "heldByOperator", "reason": "долг Иванова А.", "who": "А."}',
                },
            },
            {
                "id": "m-1",
                "state": "InError",
                "response": {
                    "statusCode": 409,
                    "body": '{"code": "heldByOperator", "reason": "долг •••.", "who": "•••"}',
                },
            },
        ),
    ],
)
def test_answer_is_kept_with_what_is_read_and_without_the_person_beside_it(code, answer, left):
    if isinstance(answer, dict):
        answer, left = {**answer, **PERSON}, {**left, **HIDDEN}

    assert json.loads(body_of(code, answer)) == left


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (
            '<n:suspendCTNResponse xmlns:n="urn:x"><return>1001</return></n:suspendCTNResponse>',
            "<suspendCTNResponse><return>1001</return></suspendCTNResponse>",
        ),
        (
            (
                "<getCTNInfoListResponse><CTNInfoList><ctn>9161234567</ctn><status>BLOCKED</status>"
                "<reasonStatus>WIB</reasonStatus><accountName>Иванов</accountName>"
                '<lastActivity id="Иванов"/></CTNInfoList></getCTNInfoListResponse>'
            ),
            (
                "<getCTNInfoListResponse><CTNInfoList><ctn>…4567</ctn><status>BLOCKED</status>"
                "<reasonStatus>WIB</reasonStatus><accountName>•••</accountName>"
                '<lastActivity id="•••"></lastActivity></CTNInfoList></getCTNInfoListResponse>'
            ),
        ),
        (
            (
                "<S:Fault><faultcode>S:Server</faultcode><faultstring>CTN_NOT_FOUND</faultstring>"
                "<detail><UssWsApiException><errorCode>20005</errorCode>"
                "<errorDescription>Абонент Иванов &lt;7.916.123.45.67&gt; не найден</errorDescription>"
                "</UssWsApiException></detail></S:Fault>"
            ),
            (
                "<Fault><faultcode>S:Server</faultcode><faultstring>CTN_NOT_FOUND</faultstring>"
                "<detail><UssWsApiException><errorCode>20005</errorCode>"
                "<errorDescription>Абонент ••• &lt;…4567&gt; не найден</errorDescription>"
                "</UssWsApiException></detail></Fault>"
            ),
        ),
        (
            (
                "<getRequestListResponse><requestList><requests><requestId>1001</requestId>"
                "<requestStatus>REJECTED</requestStatus><requestComments>отказ, Иванов И. И."
                "</requestComments></requests></requestList></getRequestListResponse>"
            ),
            (
                "<getRequestListResponse><requestList><requests><requestId>1001</requestId>"
                "<requestStatus>REJECTED</requestStatus><requestComments>отказ, •••.</requestComments>"
                "</requests></requestList></getRequestListResponse>"
            ),
        ),
    ],
)
def test_soap_is_kept_by_its_elements(said, left):
    kept = body_of("beeline", SOAP.format(said))

    assert kept == f"<Envelope><Body>{left}</Body></Envelope>"


@pytest.mark.parametrize(
    ("code", "answer", "left"),
    [
        ("mts", "EJB Exception Иванов", "••• не JSON, знаков: 20, текст «EJB Exception •••»"),
        ("mts", "Иванов " * 50, "••• не JSON, знаков: 349"),
        ("mts", '{"accountName": "Иванов', "••• не JSON, знаков: 23"),
        ("beeline", "<S:Envelope><Иванов", "••• не XML, знаков: 19"),
        (
            "beeline",
            '<!DOCTYPE a [<!ENTITY e "Иванов">]><a>&e;</a>',
            "••• не XML, знаков: 45",
        ),
        (
            "beeline",
            "<html><title>Technical Maintenance, Иванов</title><br></html>",
            "••• не XML, знаков: 61, страница «Technical Maintenance, •••»",
        ),
        ("beeline", f"<a>{'<b/>' * 52}</a>", f"<a>{'<b></b>' * 50}… ещё 2</a>"),
        ("beeline", "<html><body>Иванов</body></html>", "<html><body>•••</body></html>"),
    ],
)
def test_answer_of_another_kind_is_hidden_but_for_the_title_of_a_page(code, answer, left):
    assert body_of(code, answer) == left


@pytest.mark.parametrize(
    ("code", "credentials", "words"),
    [
        ("mts", {"key": "demo-key", "secret": "demo-secret"}, ["Финансовая блокировка", "BL0001"]),
        (
            "beeline",
            {"login": "demo-login", "password": "demo-password", "ban": "100000001"},
            ["<status>BLOCKED</status>", "<reasonStatus>", "<pricePlan>•••</pricePlan>"],
        ),
        (
            "control_center",
            {"username": "demo-user", "api_key": "demo-api-key"},
            ['"status": "DEACTIVATED"', '"iccid": "…0015"'],
        ),
        (
            "tmf640",
            {"token": "demo-partner-token"},
            ['"state": "inactive"', '"reason": "debt"', '"iccid": "…0015"'],
        ),
    ],
)
def test_staff_see_of_a_real_answer_what_the_adapter_saw(tmp_path, code, credentials, words):
    noted: list[Exchange] = []
    with running(code, credentials, tmp_path / "sandbox.json") as bench:
        bench.put(state="held", reason="debt")
        operator = registry.make(
            account="test-log",
            adapter=code,
            base_url=f"{bench.url}/operators/{code}",
            credentials=credentials,
            tokens=MemoryTokens(),
            on_exchange=noted.append,
        )
        operator.read_state(sim=SIM)

    body = noted[-1].reply.partition("\n\n")[2]
    assert [word for word in words if word not in body] == []
