"""What is kept of a call: no secret and no person, in whichever shape, and never a crash."""

import base64
import html
import json
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.masking import CUT, KEPT_BYTES, MASK, Masker, hides, masker
from operators.ports import Reply

on_a_busy_machine = settings(deadline=None)
NOBODY = Masker()
UUID = "550e8400-e29b-41d4-a716-446655440000"


def body_of(text: str | bytes, *, by: Masker = NOBODY, content_type: str = "") -> str:
    """The body of a reply as it is kept."""
    raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
    kept = by.reply(Reply(200, {"Content-Type": content_type} if content_type else {}, raw))
    return kept.partition("\n\n")[2]


# --- a secret never appears ----------------------------------------------------------------------

secrets = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=6).filter(
    lambda text: len(text.strip()) >= 6
)
ascii_words = st.text(st.sampled_from("abcdefghijXYZ0123456789-_.~+/="), min_size=6, max_size=40)
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
    "xml attribute": lambda secret: f'<a note="{html.escape(secret)}"/>',
    "xml in xml": lambda secret: f"<a>{html.escape(f'<note>{html.escape(secret)}</note>')}</a>",
    "numbers of letters": lambda secret: f"<a>{''.join(f'&#{ord(c)};' for c in secret)}</a>",
    "plain": lambda secret: secret,
    "basic": lambda secret: f"got {base64.b64encode(f'user:{secret}'.encode()).decode()} here",
    "basic, ours second": lambda secret: json.dumps(
        {"note": base64.b64encode(f"{secret}:word".encode()).decode()}
    ),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@on_a_busy_machine
@given(secret=st.one_of(secrets, ascii_words), before=around, after=around)
def test_secret_never_appears_in_a_body(shape, secret, before, after):
    written = shape(secret)

    kept = body_of(written, by=masker([secret]))
    embedded = body_of(f"{before} {written} {after}", by=masker([secret]))

    assert secret not in kept
    assert secret not in embedded
    assert base64.b64encode(secret.encode()).decode()[:-4] not in kept or len(secret) < 12
    assert quote(secret, safe="") not in kept


@on_a_busy_machine
@given(
    secret=st.one_of(secrets, ascii_words),
    name=st.sampled_from(["X-Api", "Cookie", "Accept", "Location"]),
)
def test_secret_never_appears_in_a_request(secret, name):
    kept = masker([secret]).request(
        "POST",
        f"https://api.example/{quote(secret, safe='')}?{urlencode({'a': secret})}",
        headers={name: secret, "Authorization": f"Bearer {secret}"},
        auth=("user", secret),
        body={"note": [secret, {secret: f"a {secret} b"}]},
    )
    form = masker([secret]).request("POST", "https://api.example/", form={"note": secret})

    assert secret not in kept
    assert secret not in form


@on_a_busy_machine
@given(st.lists(st.one_of(secrets, ascii_words), min_size=2, max_size=4))
def test_none_of_several_secrets_appears(several):
    kept = body_of(json.dumps({"a": several, "b": "".join(several)}), by=masker(several))

    assert [secret for secret in several if secret in kept] == []


def test_secret_at_the_place_of_a_cut_leaves_no_half():
    secret = "s3cret-" + "0a" * 40
    for length in range(KEPT_BYTES - 120, KEPT_BYTES + 20, 7):
        kept = body_of(f"{'x' * length} {secret} {'y' * 100_000}", by=masker([secret]))

        assert secret[:12] not in kept


@pytest.mark.parametrize("size", [16 * 1024, 64 * 1024])
def test_what_a_long_body_tears_apart_leaves_no_half(size):
    secret, mail = "s3cret-" + "0a" * 40, f"{'very-long-name' * 4}@example.ru"
    for shift in range(0, 100, 9):
        filled = "x" * shift + f" {secret}" * (size // 88 + 10)
        people = "x" * shift + f" {mail}" * (size // 68 + 10)

        kept = [body_of(body, by=masker([secret])) for body in (filled, people)]

        assert [word for word in ("s3cret", "very") if word in "".join(kept)] == []


def test_secret_that_masking_itself_puts_together_is_masked_again():
    kept = [
        body_of("axyzxyzbc", by=masker(["xyzxyz", f"a{MASK}bc"])),
        body_of("79161234567 ok", by=masker(["…4567 ok"])),
    ]

    assert kept == [MASK, MASK]


@pytest.mark.parametrize(
    ("secrets", "kept"),
    [
        (["00\n\nx"], "HTTP 2•••abcdef"),
        (["00\n\nx", "2•••ab"], "HTTP •••cdef"),
        (["00\n\nx", "2•••ab", "P •••cd"], "HTT•••ef"),
        # Who chooses keys like these gets an empty log rather than a leak.
        (["00\n\nx", "2•••ab", "P •••cd", "HTT•••ef"], MASK),
    ],
)
def test_secret_that_the_parts_make_together_is_masked_until_none_is_left(secrets, kept):
    assert masker(secrets).reply(Reply(200, {}, b"xabcdef")) == kept


def test_what_is_too_deep_or_too_long_to_be_written_is_hidden_whole():
    deep: list = []
    for _ in range(2000):
        deep = [deep]

    kept = [
        NOBODY.request("POST", "https://a.example/", body=body)
        for body in (deep, {"n": 10**5000}, {"when": object()})
    ]

    assert kept == [
        f"POST https://a.example/\n\n{MASK}",
        f"POST https://a.example/\n\n{MASK}",
        f'POST https://a.example/\n\n{{"when": "{MASK}"}}',
    ]


@on_a_busy_machine
@given(
    st.binary(max_size=3000),
    st.sampled_from(["", "text/xml; charset=rot13", "a; charset=utf-16", "x; charset=cp1251"]),
)
def test_any_bytes_are_kept_as_text_the_database_takes(raw, content_type):
    kept = masker(["secret-word"]).reply(Reply(200, {"Content-Type": content_type}, raw))

    assert "\x00" not in kept
    assert len(kept.encode()) <= KEPT_BYTES


@pytest.mark.parametrize(
    "raw",
    [b"[" * 200_000, b'{"a":' * 100_000, b"<" * 10**6, b"<a " * 10**5, b"%" * 10**6, b"1" * 10**6,
     b'"\\ud800"', b'{"n": 1e999999, "i": ' + b"9" * 5000 + b"}", "\ufeff{}".encode("utf-16")],
    ids=["lists", "objects", "angles", "tags", "percents", "digits", "half a letter", "numbers", "utf-16"],
)  # fmt: skip
def test_monstrous_bodies_are_kept_short(raw):
    kept = masker(["secret-word"]).reply(Reply(200, {}, raw))

    assert kept.startswith("HTTP 200")
    assert len(kept.encode()) <= KEPT_BYTES


def test_short_values_wipe_out_nothing():
    assert body_of('{"state": "1"}', by=masker(["1", "", "  ", "a"])) == '{"state": "1"}'


def test_secret_of_utf_16_and_with_control_letters_is_found():
    by = masker(["s3cret-word"])

    kept = [
        body_of(raw, by=by) for raw in ("s3cret-word".encode("utf-16-le"), b"s3c\x00ret-w\x08ord")
    ]

    assert kept == [MASK, MASK]


# --- keys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    ["access_token", "refreshToken", "X-API-Key", "Password", "ns2:login", "client_secret", "sessionId",
     "firstName", "last_name", "passportNumber", "birthDate", "address", "Фамилия", "ФИО", "inn",
     "abonent", "klient", "client_name", "vladelec", "owner", "familiya", "imya", "adres", "adr", "dr",
     "dogovor", "Абонент", "nomer_dogovora", "holder", "abonentFio", "Владелец", "subscriberName",
     "otchestvo", "pasport", "data_rozhdeniya"],
)  # fmt: skip
def test_keys_of_secrets_and_people_hide(key):
    assert hides(key)


@pytest.mark.parametrize(
    "key",
    [
        "eventID",
        "state",
        "status",
        "code",
        "productName",
        "msisdn",
        "iccid",
        "value",
        "abonent_status",
        "subscriberState",
        "status_dogovora",
        "clientType",
        "ownerId",
        "drift",
    ],
)
def test_keys_of_the_protocol_do_not(key):
    assert not hides(key)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ('{"access_token": "abc", "expires_in": 300}', '{"access_token": "•••", "expires_in": 300}'),
        ('{"passport": {"series": "4510"}, "email": ""}', '{"passport": "•••", "email": ""}'),
        ('{"name": "Иванов Иван", "state": "active"}', '{"name": "•••", "state": "active"}'),
        (
            '[{"name": "serviceState", "value": "on"}, {"name": "password", "value": "x"}]',
            '[{"name": "serviceState", "value": "on"}, {"name": "password", "value": "•••"}]',
        ),
        ('"{\\"token\\": \\"abc\\"}"', '"{\\"token\\": \\"•••\\"}"'),
        ('{"text": "bad token=abc, state=1"}', '{"text": "bad token=•••, state=1"}'),
        ('{"access_token": "abc", "half', '{"access_token": •••, "half'),
        ('{"passport": {"series": "45', '{"passport": •••'),
        (
            'sent {\\"token\\": \\"abc\\", \\"state\\": \\"on\\"}',
            'sent {\\"token\\": •••\\", \\"state\\": \\"on\\"}',
        ),
        ('sent {\\"token\\": \\"abc', 'sent {\\"token\\": •••'),
        ('{"client": {"state": "on", "imya": "Анна"}}', '{"client": {"state": "on", "imya": "•••"}}'),
        ('{"owner": [{"id": 5, "fio": "Анна"}]}', '{"owner": [{"id": 5, "fio": "•••"}]}'),
        ('{"owner": ["Анна"], "abonent": "Анна"}', '{"owner": "•••", "abonent": "•••"}'),
        ('{"client": {"state": "on", "half', '{"client": {"state": "on", "half'),
        ("<client>Анна</client><st>1</st>", "<client>•••</client><st>1</st>"),
        ("<client><st>1</st><imya>Анна</imya></client>", "<client><st>1</st><imya>•••</imya></client>"),
        ("access_token=abc&state=on", "access_token=•••&state=on"),
        ("<a><ns:token>abc</ns:token><b>1</b></a>", "<a><ns:token>•••</ns:token><b>1</b></a>"),
        ("<a><address><city>Псков</city></address></a>", "<a><address>•••</address></a>"),
        ('<p name="password" value="x"/><p name="a">1</p>', '<p name="password" value="•••"/><p name="•••">1</p>'),
        ("<p><name>token</name><value>abc</value></p>", "<p><name>•••</name><value>•••</value></p>"),
        ("<a>&lt;token&gt;abc&lt;/token&gt;</a>", "<a><token>•••</token></a>"),
        ("Authorization: Digest a=b\nState: on", "Authorization: •••\nState: on"),
        ("Bearer abcdef is wrong", "Bearer ••• is wrong"),
        ("write to anna.k@example.ru today", "write to ••• today"),
    ],
)  # fmt: skip
def test_values_under_such_keys_are_masked(said, kept):
    assert body_of(said) == kept


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("79161234567", "…4567"),
        ('{"accountName": "Иванов", "msisdn": 1}', '{"accountName": "•••", "msisdn": 1}'),
        ("+7 (916) 123-45-67 занят", "+…4567 занят"),
        ("8-916-123-45-67", "…4567"),
        ('{"msisdn": "7.916.123.45.67"}', '{"msisdn": "…4567"}'),
        ("номер 7.916.123.45.67 занят", "номер …4567 занят"),
        ("916.123.45.67, (495) - 123 - 45 - 67", "…4567, (…4567"),
        ("7\u202f916\u2009123\u201145\u201367", "…4567"),
        # Days, instants and machines are nobody's numbers.
        ("22.11.2026 12:00:00", "22.11.2026 12:00:00"),
        ("2026-11-22T09:00:00.123456789+03:00", "2026-11-22T09:00:00.123456789+03:00"),
        ("https://192.168.100.200:8443/", "https://192.168.100.200:8443/"),
        ('{"msisdn": 79161234567, "n": 42}', '{"msisdn": "…4567", "n": 42}'),
        ('{"79161234567": {"iccid": "89701010000000000015"}}', '{"…4567": {"iccid": "…0015"}}'),
        ("msisdn=%2B79161234567", "msisdn=+…4567"),
        (f"{UUID} at 2026-11-22 09:00:00", f"{UUID} at 2026-11-22 09:00:00"),
        ("error 30001, line 123456789", "error 30001, line 123456789"),
    ],
)
def test_long_numbers_keep_their_last_four(said, kept):
    assert body_of(said) == kept


# --- the whole of it ---------------------------------------------------------------------------------


def test_request_is_laid_out_for_people():
    kept = masker(["consumer-key"]).request(
        "POST",
        "https://consumer-key:x@api.example:8443/b2b/89701010000000000015?msisdn=79161234567&authToken=abc",
        headers={"Accept": "application/json", "Authorization": "Bearer abc", "X-Own": "1"},
        body={"state": "inactive", "date": "2026-11-22T09:00:00Z"},
    )

    assert kept == (
        "POST https://api.example:8443/b2b/…0015?msisdn=…4567&authToken=•••\n"
        "Accept: application/json\nAuthorization: •••\nX-Own: •••\n\n"
        '{"state": "inactive", "date": "2026-11-22T09:00:00Z"}'
    )


def test_login_with_a_form_is_laid_out_for_people():
    kept = masker([]).request(
        "POST",
        "https://api.example/token",
        auth=("us", "word"),
        form={"grant_type": "client_credentials", "password": "abc"},
    )

    assert kept == (
        "POST https://api.example/token\nAuthorization: •••\n\n"
        "grant_type=client_credentials&password=•••"
    )


def test_reply_of_cp1251_is_read():
    raw = "<fault>Абонент заблокирован</fault>".encode("cp1251")

    assert body_of(raw, content_type="text/xml; charset=windows-1251") == (
        "<fault>Абонент заблокирован</fault>"
    )


def test_long_body_is_cut_with_a_mark():
    kept = body_of("да " * 5000)

    assert kept.startswith("да да ")
    assert kept.endswith(CUT)
    assert KEPT_BYTES - 100 < len(kept.encode()) <= KEPT_BYTES


def test_secrets_are_not_shown_by_the_masker_itself():
    assert "s3cret" not in repr(masker(["s3cret-word"]))
