"""What the log keeps of a call: the fields of the allow-list, no secret, no whole number; and never a crash."""

import base64
import html
import json
from unittest.mock import Mock
from urllib.parse import quote, quote_plus, urlencode

import pytest
from django.conf import settings as django_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import registry
from operators.client.http import HttpExchange
from operators.client.redaction import (
    ANY,
    CUT,
    KEPT_BYTES,
    LOGIN_BODY,
    MASK,
    NOTHING,
    FieldAllowlist,
    Match,
    Redactor,
    allowlist_of,
    redacted,
)
from operators.client.tokens import AccountTokens
from operators.ports import Action, Reply, Token
from operators.tests.declarative_server import Handler, replies, serving_handlers
from operators.tests.sandbox_operator import SIM, MemoryTokens, make_operator, running, submit

on_a_busy_machine = settings(deadline=None)
UUID = "550e8400-e29b-41d4-a716-446655440000"
# Where secrets may turn up in an answer: a field that is read, and a body of plain text.
READ = FieldAllowlist(frozenset({("note",), ("list",), ("a", "note"), ()}))


def kept_body(
    body: object, allowed: FieldAllowlist, secrets: tuple[str, ...] = (), content_type: str = ""
) -> str:
    """What the log keeps of the body of such an answer."""
    if isinstance(body, bytes):
        raw = body
    else:
        raw = (body if isinstance(body, str) else json.dumps(body)).encode("utf-8", "replace")
    headers = {"Content-Type": content_type} if content_type else {}
    return Redactor(secrets, allowed).reply(Reply(200, headers, raw)).partition("\n\n")[2]


# --- refusals that are no data ----------------------------------------------------------------------

LOGIN_PAGE = (
    "<!DOCTYPE html><html><head><title>t</title><style>p{}</style></head><body><script>x()</script>"
    "<h1>Доступ&nbsp;закрыт</h1><p>Пишите на a@example.com, 79990000001</p></body></html>"
)


@pytest.mark.parametrize(
    ("status", "body", "kept"),
    [
        (503, "Service Unavailable", ", текст «Service Unavailable»"),
        (403, LOGIN_PAGE, f", текст «Доступ закрыт Пишите на {MASK}, …0001»"),
        (403, "Ключ s3cret-word отозван", f", текст «Ключ {MASK} отозван»"),
        (500, "EJB " * 200, f", текст «{'EJB ' * 75}…»"),
        (500, '{"accountName": "Иванов', ""),
        (500, "<a><Иванов", ""),
        (200, LOGIN_PAGE, f", текст «Доступ закрыт Пишите на {MASK}, …0001»"),
        (302, "Найдено", ", текст «Найдено»"),
        (200, "Найдено", ""),
    ],
)
@pytest.mark.parametrize("xml", [False, True])
def test_text_of_a_page_or_refusal_is_shown_masked(status, body, kept, xml):
    reply = Reply(status, {}, body.encode())
    shown = Redactor(["s3cret-word"], FieldAllowlist(frozenset(), xml=xml)).reply(reply)

    kind = "XML" if xml else "JSON"
    assert shown == f"HTTP {status}\n\n{MASK} не {kind}, знаков: {len(body.strip())}{kept}"


@pytest.mark.parametrize(
    ("content_type", "meta"),
    [
        ("text/html; charset=windows-1251", ""),
        ("text/html", '<meta charset="windows-1251">'),
        ("", '<meta http-equiv="Content-Type" content="text/html; charset=Windows-1251">'),
        ("text/html; charset=windows-1251", '<meta charset="utf-8">'),
    ],
)
def test_page_is_read_in_the_encoding_it_names(content_type, meta):
    page = f"<!DOCTYPE html><html><head>{meta}</head><body>Войдите</body></html>".encode("cp1251")

    kept = kept_body(page, READ, content_type=content_type)

    assert kept == f"{MASK} не JSON, знаков: {len(page)}, текст «Войдите»"


def test_xml_is_read_in_the_encoding_it_declares():
    fault = '<?xml version="1.0" encoding="windows-1251"?><a><b><state>Отказ</state></b></a>'

    kept = kept_body(fault.encode("cp1251"), XML)

    assert kept == "<a><b><state>Отказ</state></b></a>"


@on_a_busy_machine
@given(st.text(), st.sampled_from([400, 500]))
def test_any_refusal_text_keeps_the_log_whole_and_secrets_hidden(text, status):
    body = f"{text} s3cret-word {text}"

    shown = Redactor(["s3cret-word"]).reply(Reply(status, {}, body.encode("utf-8", "replace")))

    assert "s3cret-word" not in shown


# --- only the fields of the allow-list -------------------------------------------------------------

FIELDS = FieldAllowlist(
    frozenset(
        {
            ("state",),
            ("error", "text"),
            ("cards", ANY),
            ("facts", "name"),
            ("facts", Match("name", "tel"), "value"),
        }
    )
)


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ("", ""),
        ({"state": "on", "owner": "Анна"}, {"state": "on", "owner": MASK}),
        ({"error": {"text": "позже", "user": "Анна"}}, {"error": {"text": "позже", "user": MASK}}),
        ({"error": {"text": {"deep": "Анна"}}}, {"error": {"text": {"deep": MASK}}}),
        # Lists add nothing to a path.
        ([{"state": ["on", "off"]}], [{"state": ["on", "off"]}]),
        # Empty values, yes and no tell nothing of anybody.
        ({"a": None, "b": "", "c": True, "d": []}, {"a": None, "b": "", "c": True, "d": []}),
        ({"a": 5, "b": 19800101}, {"a": MASK, "b": MASK}),
        # Text that is JSON itself is read on inside; broken JSON is not.
        ({"error": '{"text": "x", "who": "А."}'}, {"error": f'{{"text": "x", "who": "{MASK}"}}'}),
        ({"state": "{торн"}, {"state": MASK}),
        # An object whose names are cards' numbers.
        ({"cards": {"79161234567": "on"}}, {"cards": {"…4567": "on"}}),
        # The value of a pair is known by what the pair is called.
        (
            {"facts": [{"name": "TEL", "value": "7"}, {"name": "fio", "value": "Анна"}]},
            {"facts": [{"name": "TEL", "value": "7"}, {"name": "fio", "value": MASK}]},
        ),
        ([0] * 52, [MASK] * 50 + ["… ещё 2"]),
        # Secrets and people have no place of their own: nothing but the list is looked at.
        (
            {"access_token": "abc", "passport": {"series": "4510"}, "Фамилия": "Иванова"},
            {"access_token": MASK, "passport": {"series": MASK}, "Фамилия": MASK},
        ),
    ],
)
def test_only_values_at_allowed_fields_are_kept(body, kept):
    text = kept_body(body, FIELDS)

    assert (json.loads(text) if text else text) == kept


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (
            "<html><title>Анна</title>Иванова Анна, 79990000001</html>",
            f"{MASK} не JSON, знаков: 57, текст «{MASK}, …0001»",
        ),
        ("\ufeff[1, true]", f'["{MASK}", true]'),
        ("[" * 100_000, f"{MASK} не JSON, знаков: 100000"),
        ('{"accountName": "Иванов', f"{MASK} не JSON, знаков: 23"),
        ("Иванов", f"{MASK} не JSON, знаков: 6"),
        ("access_token=abc&state=on", f"{MASK} не JSON, знаков: 25"),
        ("s3cret-word".encode("utf-16-le"), f"{MASK} не JSON, знаков: 11"),
    ],
)  # fmt: skip
def test_answer_of_another_kind_is_kept_by_its_length_and_a_page_masked(body, kept):
    assert kept_body(body, FIELDS, ("s3cret-word",)) == kept


XML = FieldAllowlist(frozenset({("a", ANY, "state")}), xml=True)


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (
            '<n:a xmlns:n="urn:x"><n:b kind="Анна"><n:state>on &amp; off</n:state></n:b></n:a>',
            f'<a><b kind="{MASK}"><state>on &amp; off</state></b></a>',
        ),
        ("<a><b><who>Анна</who></b></a>", f"<a><b><who>{MASK}</who></b></a>"),
        (f"<a>{'<b/>' * 52}</a>", f"<a>{'<b></b>' * 50}… ещё 2</a>"),
        ("<html>Иванов И. И.</html>", f"{MASK} не XML, знаков: 25, текст «{MASK}»"),
        ("<a><Иванов", f"{MASK} не XML, знаков: 10"),
        ("<!DOCTYPE html><title>Иванов</title>", f"{MASK} не XML, знаков: 36"),
        # A declaration may hold entities.
        ('<!DOCTYPE a [<!ENTITY e "Иванов">]><a>&e;</a>', f"{MASK} не XML, знаков: 45"),
    ],
)
def test_xml_is_kept_by_its_elements(body, kept):
    assert kept_body(body, XML) == kept


def test_answer_is_read_by_its_declared_charset():
    raw = "<a><b><state>отключён</state></b></a>".encode("cp1251")

    kept = kept_body(raw, XML, content_type="text/xml; charset=windows-1251")

    assert kept == "<a><b><state>отключён</state></b></a>"


# --- what is masked in whatever stays ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("79161234567", "…4567"),
        ("+7 (916) 123-45-67 занят", "+…4567 занят"),
        ("8-916-123-45-67", "…4567"),
        ("номер 7.916.123.45.67 занят", "номер …4567 занят"),
        ("916.123.45.67, (495) - 123 - 45 - 67", "…4567, (…4567"),
        ("7\u202f916\u2009123\u201145\u201367", "…4567"),
        ("iccid 89701010000000000015", "iccid …0015"),
        # Days, instants, ids of requests and machines are nobody's numbers.
        ("22.11.2026 12:00:00", "22.11.2026 12:00:00"),
        ("2026-11-22T09:00:00.123456789+03:00", "2026-11-22T09:00:00.123456789+03:00"),
        ("https://192.168.100.200:8443/", "https://192.168.100.200:8443/"),
        (f"{UUID} at 2026-11-22 09:00:00", f"{UUID} at 2026-11-22 09:00:00"),
        ("error 30001, line 123456789", "error 30001, line 123456789"),
        ("write to anna.k@example.ru today", f"write to {MASK} today"),
        ("bad token eyJhbGciOi.eyJzdWIi.x-_1", f"bad token {MASK}"),
        ("Абонент Иванов Иван Иванович не найден", f"{MASK} не найден"),
        ("отказ: Иванова А. И. не прошла", f"отказ: {MASK} не прошла"),
        ("Петрова-Водкина Анна: отказ", f"{MASK}: отказ"),
        ("Превышен лимит запросов", "Превышен лимит запросов"),
        ("Добровольная блокировка. Нет подписки", "Добровольная блокировка. Нет подписки"),
        ("503 Service Temporarily Unavailable", "503 Service Temporarily Unavailable"),
        ("SIMSTATUS_INVALID_TRANSITION", "SIMSTATUS_INVALID_TRANSITION"),
    ],
)  # fmt: skip
def test_numbers_addresses_and_full_names_are_masked(text, kept):
    assert redacted(text) == kept


@on_a_busy_machine
@given(text=st.text(max_size=200))
def test_any_text_is_redacted_once_for_all(text):
    assert redacted(redacted(text)) == redacted(text)


# --- a secret never appears ----------------------------------------------------------------------------

secret_texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=6).filter(
    lambda text: len(text.strip()) >= 6
)
ascii_secrets = st.text(st.sampled_from("abcdefghijXYZ0123456789-_.~+/="), min_size=6, max_size=40)
around = st.text(max_size=30)
SHAPES = {
    "json": lambda secret: json.dumps({"note": secret, "list": [secret]}, ensure_ascii=False),
    "json escaped": lambda secret: json.dumps({"note": secret}),
    "json in json": lambda secret: json.dumps(json.dumps({"note": secret})),
    "json key": lambda secret: json.dumps({secret: 1}),
    "broken json": lambda secret: json.dumps({"note": secret, "more": 1})[:-3],
    "form": lambda secret: urlencode({"note": secret, "other": "x"}),
    "url": lambda secret: (
        f"see https://api.example/{quote(secret, safe='')}?a={quote_plus(secret)}"
    ),
    "xml": lambda secret: f"<a><note>{html.escape(secret)}</note></a>",
    "plain": lambda secret: secret,
    "basic": lambda secret: f"got {base64.b64encode(f'user:{secret}'.encode()).decode()} here",
    "basic, ours second": lambda secret: json.dumps(
        {"note": base64.b64encode(f"{secret}:word".encode()).decode()}
    ),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@on_a_busy_machine
@given(secret=st.one_of(secret_texts, ascii_secrets), before=around, after=around)
def test_secret_never_appears_in_an_answer(shape, secret, before, after):
    written = shape(secret)
    texts = [
        kept_body(body, allowed, (secret,))
        for body in (written, f"{before} {written} {after}", json.dumps({"note": written}))
        for allowed in (READ, FieldAllowlist(READ.fields, xml=True))
    ]

    kept = "\n".join(texts)

    assert secret not in kept
    assert base64.b64encode(secret.encode()).decode()[:-4] not in kept or len(secret) < 12
    assert quote(secret, safe="") not in kept


@on_a_busy_machine
@given(
    secret=st.one_of(secret_texts, ascii_secrets),
    name=st.sampled_from(["X-Api", "Cookie", "Accept", "Location"]),
)
def test_secret_never_appears_in_a_request(secret, name):
    redactor = Redactor([secret])
    url = f"https://api.example/{quote(secret, safe='')}?{urlencode({'a': secret})}"

    kept = redactor.request(
        "POST",
        url,
        headers={name: secret, "Authorization": f"Bearer {secret}"},
        auth=("user", secret),
        json={"note": [secret, {secret: f"a {secret} b"}]},
    )
    form = redactor.request("POST", "https://api.example/", data={"note": secret})
    soap = redactor.request("POST", "https://api.example/", data=html.escape(secret).encode())

    assert [text for text in (kept, form, soap) if secret in text] == []


@on_a_busy_machine
@given(st.lists(st.one_of(secret_texts, ascii_secrets), min_size=2, max_size=4))
def test_none_of_several_secrets_appears(several):
    body = {"list": several, "note": "".join(several)}

    kept = kept_body(body, READ, tuple(several))

    assert [secret for secret in several if secret in kept] == []


@pytest.mark.parametrize("size", [KEPT_BYTES, 4 * KEPT_BYTES, 16 * KEPT_BYTES])
def test_cut_leaves_no_half_of_a_secret(size):
    secret = "s3cret-" + "0a" * 40
    for shift in range(0, 120, 7):
        long_value = {"note": f"{'x' * (size - shift)} {secret} {'y' * 100_000}"}
        many_values = {"list": ["x" * shift, *[secret] * (size // 80)]}

        kept = [kept_body(body, READ, (secret,)) for body in (long_value, many_values)]

        assert [text for text in kept if secret[:12] in text] == []


def test_secret_that_masking_itself_puts_together_is_masked_again():
    kept = [
        kept_body({"note": "axyzxyzbc"}, READ, ("xyzxyz", f"a{MASK}bc")),
        kept_body({"note": "79161234567 ok"}, READ, ("…4567 ok",)),
    ]

    assert kept == [f'{{"note": "{MASK}"}}', f'{{"note": "{MASK}"}}']


@pytest.mark.parametrize(
    ("secrets", "kept"),
    [
        (["00\n\n[]"], f"HTTP 2{MASK}"),
        # Who chooses keys like these gets an empty log rather than a leak.
        (["00\n\n[]", f"2{MASK}", f"TP {MASK}", f"HT{MASK}"], MASK),
    ],
)
def test_secret_that_the_parts_make_together_is_masked(secrets, kept):
    assert Redactor(secrets).reply(Reply(200, {}, b"[]")) == kept


def test_short_values_are_no_secrets():
    assert kept_body({"note": "1"}, READ, ("1", "", "  ", "a")) == '{"note": "1"}'


def test_control_letters_hide_no_secret():
    assert kept_body(b"s3c\x00ret-w\x08ord", READ, ("s3cret-word",)).endswith(f"«{MASK}»")


def test_secrets_are_not_shown_by_the_redactor_itself():
    assert "s3cret" not in repr(Redactor(["s3cret-word"]))


@pytest.mark.parametrize(
    "token",
    ["t0ken-value", json.dumps({"first": "first-one", "second": "t0ken-value"})],
    ids=["one", "packed"],
)
def test_access_token_is_secret_once_stored_or_read(token):
    redactor, store = Redactor(), MemoryTokens()
    reader, fetch = Redactor(), Mock(side_effect=[Token(token, 120)])

    for one in (redactor, reader):
        AccountTokens(store, "key", one).current(fetch)

    kept = [one.request("GET", "https://a.example/?v=t0ken-value") for one in (redactor, reader)]
    assert kept == [f"GET https://a.example/?v={MASK}"] * 2


# --- requests and headers ------------------------------------------------------------------------------


def test_request_is_laid_out_for_people():
    kept = Redactor(["consumer-key"]).request(
        "POST",
        "https://consumer-key:x@api.example:8443/b2b/89701010000000000015?msisdn=79161234567",
        headers={"Accept": "application/json", "Authorization": "Bearer abc", "X-Own": "1"},
        auth=("us", "word"),
        json={"state": "inactive", "date": "2026-11-22T09:00:00Z"},
    )

    assert kept == (
        "POST https://api.example:8443/b2b/…0015?msisdn=…4567\n"
        f"Accept: application/json\nAuthorization: {MASK}\nX-Own: {MASK}\nAuthorization: {MASK}\n\n"
        '{"state": "inactive", "date": "2026-11-22T09:00:00Z"}'
    )


def test_form_is_laid_out_decoded():
    kept = Redactor().request(
        "POST", "https://a.example/", data={"msisdn": "+79161234567", "a": "b"}
    )

    assert kept == "POST https://a.example/\n\nmsisdn=+…4567&a=b"


def test_body_and_query_of_a_login_are_not_kept():
    kept = Redactor().request(
        "POST",
        "https://api.example/token?pin=1",
        auth=("us", "word"),
        data={"grant_type": "client_credentials", "password": "abc"},
        is_login=True,
    )

    assert kept == (
        f"POST https://api.example/token?pin={MASK}\nAuthorization: {MASK}\n\n{LOGIN_BODY}"
    )


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ({"n": 10**5000}, MASK),
        ({"when": object()}, f'{{"when": "{MASK}"}}'),
    ],
    ids=["number", "object"],
)
def test_body_that_is_no_json_is_hidden(body, kept):
    text = Redactor().request("POST", "https://a.example/", json=body)

    assert text == f"POST https://a.example/\n\n{kept}"


def test_body_that_is_too_deep_is_hidden():
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]

    assert Redactor().request("POST", "https://a.example/", json=deep).endswith(f"\n\n{MASK}")


def test_only_harmless_headers_keep_their_values():
    headers = {"Retry-After": "5", "Location": "/r/89701010000000000015", "Set-Cookie": "a=b"}

    kept = Redactor().reply(Reply(202, headers, b""))

    assert kept == f"HTTP 202\nRetry-After: 5\nLocation: /r/…0015\nSet-Cookie: {MASK}"


def test_long_answer_is_cut_with_a_mark():
    kept = kept_body({"note": "да " * 5000}, READ)

    assert kept.startswith('{"note": "да да ')
    assert kept.endswith(CUT)
    assert KEPT_BYTES - 100 < len(kept.encode()) <= KEPT_BYTES


@on_a_busy_machine
@given(
    st.binary(max_size=3000),
    st.sampled_from(["", "text/xml; charset=rot13", "a; charset=utf-16", "x; charset=cp1251"]),
    st.booleans(),
)
def test_any_bytes_are_kept_as_text_the_database_takes(raw, content_type, xml):
    allowed = FieldAllowlist(READ.fields, xml=xml)

    kept = Redactor(["secret-word"], allowed).reply(Reply(200, {"Content-Type": content_type}, raw))

    assert "\x00" not in kept
    assert len(kept.encode()) <= KEPT_BYTES


@pytest.mark.parametrize(
    "raw",
    [b"[" * 200_000, b'{"a":' * 100_000, b"<" * 10**6, b"<a " * 10**5, b"<a>" * 10**5, b"%" * 10**6,
     b"1" * 10**6, b'"\\ud800"', b'{"n": 1e999999, "i": ' + b"9" * 5000 + b"}",
     "\ufeff{}".encode("utf-16"), b'{"note": "' + b"1" * 900_000 + b'"}',
     b'{"note": "' + b"a@" * 400_000 + b'"}', b'{"note": "' + b"%41" * 300_000 + b'"}'],
    ids=["lists", "objects", "angles", "tags", "elements", "percents", "digits", "half a letter",
         "numbers", "utf-16", "long number", "long address", "long percents"],
)  # fmt: skip
@pytest.mark.parametrize("xml", [False, True], ids=["json", "xml"])
def test_monstrous_bodies_are_kept_short(raw, xml):
    allowed = FieldAllowlist(READ.fields, xml=xml)

    kept = Redactor(["secret-word"], allowed).reply(Reply(200, {}, raw))

    assert kept.startswith("HTTP 200")
    assert len(kept.encode()) <= KEPT_BYTES


# --- the table of each operator ------------------------------------------------------------------------

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


def test_every_adapter_in_code_has_a_table():
    without = [
        code
        for code in django_settings.OPERATORS
        if allowlist_of(code, registry.adapter_class(code), None) is NOTHING
    ]

    assert [registry.is_declarative(code) for code in without] == [True]
    assert allowlist_of("somebody", object, None) is NOTHING


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
            {"errorCode": "2005", "errorMessage": "••• не найден"},
        ),
        (
            "mts",
            {"fault": {"code": "1010", "message": "Нет подписки", "description": "ещё не куплена"}},
            {"fault": {"code": "1010", "message": "Нет подписки", "description": "ещё не куплена"}},
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
            {"errorCode": "20000001", "errorMessage": "Resource not found"},
            {"errorCode": "20000001", "errorMessage": "Resource not found"},
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
                    "body": '{"code": "heldByOperator", "reason": "долг •••", "who": "•••"}',
                },
            },
        ),
    ],
)
def test_kept_answer_has_only_the_fields_read(code, answer, left):
    if isinstance(answer, dict):
        answer, left = {**answer, **PERSON}, {**left, **HIDDEN}

    kept = kept_body(answer, allowlist_of(code, registry.adapter_class(code), None))

    assert json.loads(kept) == left


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
                "<errorDescription>номер &lt;7.916.123.45.67&gt; не найден</errorDescription>"
                "</UssWsApiException></detail></S:Fault>"
            ),
            (
                "<Fault><faultcode>S:Server</faultcode><faultstring>CTN_NOT_FOUND</faultstring>"
                "<detail><UssWsApiException><errorCode>20005</errorCode>"
                "<errorDescription>номер &lt;…4567&gt; не найден</errorDescription>"
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
                "<requestStatus>REJECTED</requestStatus><requestComments>отказ, •••</requestComments>"
                "</requests></requestList></getRequestListResponse>"
            ),
        ),
    ],
)
def test_soap_of_beeline_is_kept_by_its_elements(said, left):
    allowed = allowlist_of("beeline", registry.adapter_class("beeline"), None)

    kept = kept_body(SOAP.format(said), allowed)

    assert kept == f"<Envelope><Body>{left}</Body></Envelope>"


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ("EJB Exception", "••• не JSON, знаков: 13, текст «EJB Exception»"),
        ("Иванов " * 50, "••• не JSON, знаков: 349"),
        ('{"accountName": "Иванов', "••• не JSON, знаков: 23"),
    ],
)
def test_short_plain_text_is_kept_where_the_adapter_reads_it(answer, left):
    assert kept_body(answer, allowlist_of("mts", registry.adapter_class("mts"), None)) == left


@pytest.mark.parametrize(
    ("code", "credentials", "shown"),
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
def test_sandbox_answer_keeps_only_fields_the_adapter_reads(tmp_path, code, credentials, shown):
    noted: list[HttpExchange] = []
    with running(code, credentials, tmp_path / "sandbox.json") as bench:
        bench.put(state="held", reason="debt")
        operator = make_operator(
            account="test-log",
            adapter=code,
            base_url=f"{bench.url}/operators/{code}",
            credentials=credentials,
            exchanges=noted,
        )
        operator.read_state(sim=SIM)

    body = noted[-1].reply.partition("\n\n")[2]
    assert [text for text in shown if text not in body] == []
    everything = "".join(f"{one.request}{one.reply}" for one in noted)
    assert [secret for secret in credentials.values() if secret in everything] == []


# --- operators by description --------------------------------------------------------------------------

SWITCH = {"method": "POST", "path": "/sims/{iccid}/on", "answer": {"request_id": "body.id"}}
PROFILE = {
    "title": "Проба",
    "calls": {
        "activate": SWITCH,
        "deactivate": SWITCH,
        "read": {
            "path": "/sims/{iccid}",
            "answer": {
                "rows": "body.data.sims",
                "iccid": "row.iccid",
                "state": "row.status.name",
            },
        },
        "check": {"path": "/r/{request_id}", "answer": {"result": "body.result"}},
    },
    "states": {"words": {"on": "active", "off": "inactive"}},
    "results": {"words": {"ok": "done"}},
    "errors": {"code": "body.error.code", "text": "body.error.text"},
}


def exchanges_of(tmp_path, handler: Handler, line: str, ask, **account) -> list[HttpExchange]:
    """What the log gets of one question to a tiny server."""
    noted: list[HttpExchange] = []
    with serving_handlers(tmp_path, {line: handler}) as (url, _):
        operator = make_operator(
            account="test-log",
            adapter="declared",
            base_url=url,
            exchanges=noted,
            **{"credentials": {}, "profile": PROFILE} | account,
        )
        ask(operator)
    return noted


def test_described_operator_s_answer_is_kept_by_its_description(tmp_path):
    row = {"iccid": SIM.iccid, "status": {"name": "on", "by": "Анна"}, "abonent": "Иванова"}

    [exchange] = exchanges_of(
        tmp_path,
        replies({"data": {"sims": [row]}, "person": PERSON}),
        f"GET /sims/{SIM.iccid}",
        lambda operator: operator.read_state(sim=SIM),
    )

    kept = {
        "iccid": f"…{SIM.iccid[-4:]}",
        "status": {"name": "on", "by": MASK},
        "abonent": MASK,
    }
    assert json.loads(exchange.reply.partition("\n\n")[2]) == {
        "data": {"sims": [kept]},
        "person": HIDDEN,
    }


def test_declarative_refusal_keeps_its_code_and_text(tmp_path):
    answer = {"error": {"code": "BUSY", "text": "позже", "user": "Анна"}, "trace": "9f"}

    [exchange] = exchanges_of(
        tmp_path,
        replies(answer, 429),
        f"POST /sims/{SIM.iccid}/on",
        lambda operator: submit(operator, Action.ACTIVATE),
    )

    assert json.loads(exchange.reply.partition("\n\n")[2]) == {
        "error": {"code": "BUSY", "text": "позже", "user": MASK},
        "trace": MASK,
    }


def test_login_is_kept_with_its_status_only(tmp_path):
    login = {
        "kind": "oauth2_client_credentials",
        "path": "/login",
        "client_auth": "body",
        "body": "json",
    }
    keys = {"client_id": "anna", "client_secret": "s3cret"}

    [exchange] = exchanges_of(
        tmp_path,
        replies({"access_token": "t", "expires_in": 60}),
        "POST /login",
        lambda operator: operator.ping(),
        profile=PROFILE | {"login": login},
        credentials=keys,
    )

    assert exchange.reply == "HTTP 200\n\nОтвет входа не сохраняется."
    assert exchange.request.endswith(f"\n\n{LOGIN_BODY}")
