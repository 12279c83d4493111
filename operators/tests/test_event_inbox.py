"""Operators' callbacks: who is accepted, what is kept, and that a repeat is kept once."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from django.db import IntegrityError
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from cabinet.clock import real_now
from cabinet.models import Alert
from operators.events import event_mapping, rejections
from operators.events.inbox import Unsigned, verify
from operators.models import Callback, EventRejection, OperatorAccount, RejectionReason
from operators.tests.signing import (
    ICCID,
    SECRET,
    digest_of,
    monitor_event,
    service_event,
    signature,
)

pytestmark = pytest.mark.django_db

URL = "/operators/partner/callback"


@pytest.fixture
def account() -> OperatorAccount:
    return OperatorAccount.objects.create(
        code="partner",
        title="Партнёр",
        adapter="tmf640",
        base_url="https://api.example.com",
        callback_secret=SECRET,
    )


class Answer(NamedTuple):
    status: int
    body: Any


def post(body: bytes, header: str | None, url: str = URL) -> Answer:
    """Without our cookies and our log-in, as an operator comes."""
    headers = {} if header is None else {"X-Signature": header}
    client = Client(enforce_csrf_checks=True)
    answer = client.post(url, body, content_type="application/json", headers=headers)
    return Answer(answer.status_code, answer.json())


def send(event: dict[str, Any], **signing: Any) -> int:
    body = json.dumps(event).encode()
    return post(body, signature(body, event["eventId"], **signing))[0]


def kept() -> list[tuple[str, str, str, str, str]]:
    names = ("event_id", "event_type", "iccid", "request_id", "state")
    return list(Callback.objects.order_by("pk").values_list(*names))


BAD_SIGNATURE = {
    "code": "badSignature",
    "reason": "X-Signature is missing, wrong, or of another time.",
}


# --- what is kept -------------------------------------------------------------------------------


def test_signed_event_is_kept_and_wakes_its_processing(account, django_capture_on_commit_callbacks):
    before = real_now()

    with django_capture_on_commit_callbacks() as woken:
        status = send(service_event())

    row = Callback.objects.get()
    assert status == 200
    assert kept() == [("evt-1", "serviceStateChangeEvent", ICCID, "", "new")]
    assert row.account_id == account.pk
    assert row.occurred_at == datetime(2026, 11, 22, 9, tzinfo=UTC)
    assert row.payload == service_event()
    assert before <= row.received_at <= real_now()
    (wake,) = woken
    assert wake.args == ("smartcards.callback",)
    assert wake.keywords == {"callback_id": row.pk}


def test_event_about_a_request_names_it(account):
    send(monitor_event(number="mon-7"))

    assert kept() == [("evt-1", "monitorStateChangeEvent", "", "mon-7", "new")]


def test_second_delivery_is_answered_and_does_nothing(account, django_capture_on_commit_callbacks):
    send(service_event())
    Callback.objects.update(state="done")

    with django_capture_on_commit_callbacks() as woken:
        again = dict(reversed(service_event().items()))
        status = send(again)

    assert status == 200
    assert kept() == [("evt-1", "serviceStateChangeEvent", ICCID, "", "done")]
    assert woken == []


def rejected() -> dict[str, int]:
    rows = EventRejection.objects.values_list("reason", "times")
    return dict(rows)


def test_same_number_with_another_content_is_a_conflict(account):
    first = send(service_event())
    again = [send(service_event(state="active")) for _ in range(2)]

    assert (first, again) == (200, [409, 409])
    assert kept() == [("evt-1", "serviceStateChangeEvent", ICCID, "", "new")]
    assert Callback.objects.get().payload == service_event()
    assert rejected() == {"conflict": 2}


def test_repeat_of_an_event_from_before_is_no_conflict(account):
    send(service_event())
    Callback.objects.update(digest="")

    assert send(service_event(state="active")) == 200
    assert rejected() == {}


def test_refused_signatures_are_counted_by_their_reason(account):
    statuses = [
        send(service_event(), late=3600),
        send(service_event(), late=3600),
        send(service_event(), secret="not-the-secret"),
        post(b"{}", None).status,
        post(b"{}", "t=1", url="/operators/nobody/callback").status,
    ]

    assert statuses == [401, 401, 401, 401, 404]
    assert rejected() == {"age": 2, "signature": 2}


def test_counts_of_refused_events_are_forgotten_after_thirty_days(account):
    at = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
    for days in (29, 31):
        for _ in range(2):
            rejections.note(account, RejectionReason.AGE, at=at - timedelta(days=days))

    assert rejections.purge(at=at) == 1
    left = EventRejection.objects.get()
    assert (left.hour, str(left)) == (datetime(2026, 10, 24, 9, tzinfo=UTC), "старое время: 2")


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("event_rejection_once_an_hour", {}),
        ("event_rejection_known", {"reason": "mood"}),
        ("event_rejection_known", {"reason": "age", "times": 0}),
    ],
)
def test_database_refuses_impossible_counts(account, name, fields):
    hour = datetime(2026, 10, 24, 9, tzinfo=UTC)
    row = {"account": account, "hour": hour, "reason": "conflict", "times": 1}
    EventRejection.objects.create(**row)

    with pytest.raises(IntegrityError, match=name):
        EventRejection.objects.create(**{**row, **fields})


def test_same_number_of_another_account_is_another_event(account):
    OperatorAccount.objects.create(
        code="other",
        title="Другой",
        adapter="tmf640",
        base_url="https://b.example.com",
        callback_secret="another",
    )
    body = json.dumps(service_event()).encode()

    statuses = [
        send(service_event()),
        post(body, signature(body, secret="another"), "/operators/other/callback")[0],
    ]

    assert statuses == [200, 200]
    assert Callback.objects.count() == 2


@pytest.mark.parametrize(
    ("event", "note"),
    [
        (service_event() | {"eventType": "weatherChangeEvent"}, "Незнакомый тип события."),
        (service_event(state="asleep"), "Незнакомое состояние услуги."),
        (
            service_event() | {"event": {"service": {"state": "active"}}},
            "В событии не названа одна смарт-карта (supportingResource.iccid).",
        ),
        (
            monitor_event(state="Postponed"),
            "В событии нет номера запроса или его состояние незнакомо.",
        ),
        (service_event() | {"event": "?"}, None),
    ],
    ids=["type", "state", "no-card", "monitor-word", "no-object"],
)
def test_event_that_we_cannot_read_is_parked_for_staff(
    account, event, note, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks() as woken:
        status = send(event)

    row = Callback.objects.get()
    assert status == 200
    assert row.state == "parked"
    assert woken == []
    assert note in (None, row.note)
    assert Alert.objects.get().text == (
        f"Партнёр: уведомление «{event['eventType']}» отложено. {row.note}"
    )


# --- what is masked -----------------------------------------------------------------------------


def test_people_and_secrets_in_an_event_are_never_kept(account):
    resources = [{"iccid": ICCID, "msisdn": "79161234567"}, {"id": "79161234567"}]
    customer = {
        "name": "Иванов Иван",
        "passport": {"series": "4510"},
        "note": "звонить +7 916 123-45-67",
    }

    send(service_event(supportingResource=resources, customer=customer, token="abc"))

    service = {
        "id": "s",
        "state": "inactive",
        "supportingResource": [{"iccid": ICCID, "msisdn": "•••"}, {"id": "…4567"}],
        "customer": {"name": "•••", "passport": {"series": "•••"}, "note": "•••"},
        "token": "•••",
    }
    assert Callback.objects.get().payload == service_event() | {"event": {"service": service}}


def test_event_that_we_cannot_read_is_kept_masked_too(account):
    send(service_event(state="lost", owner={"lastName": "Иванов"}))

    row = Callback.objects.get()
    assert row.state == "parked"
    assert row.iccid == ""
    assert row.payload["event"]["service"] == {
        "id": "s",
        "state": "lost",
        "supportingResource": [{"iccid": "…0015"}],
        "owner": {"lastName": "•••"},
    }


def test_number_of_a_request_and_our_key_stay_readable(account):
    key = "9" * 32
    event = monitor_event(number="8970101000000077", correlationId=key)

    send(event)

    row = Callback.objects.get()
    same_key = "99999999-9999-9999-9999-999999999999"
    assert row.request_id == "8970101000000077"
    assert row.payload == event | {"correlationId": same_key}


jsons = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(["79161234567", ICCID]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
services = st.fixed_dictionaries(
    {
        "state": st.sampled_from(["active", "Inactive", "terminated", "reserved"]),
        "supportingResource": st.lists(
            st.just({"iccid": ICCID}) | st.just({"iccid": int(ICCID), "name": "Анна"}) | jsons,
            max_size=3,
        ),
    },
    optional={
        "reason": st.sampled_from(["voluntary", "debt", "law", "79161234567"]) | jsons,
        "more": jsons,
    },
)
errors = st.fixed_dictionaries(
    {},
    optional={
        "code": st.sampled_from(["heldByOperator", "alreadyInState", "x-1", 17]) | st.none(),
        "reason": st.sampled_from(["Debt", "долг", ""]),
        "message": st.sampled_from(["later", 5]),
        "who": st.just("Анна"),
    },
)
responses = st.fixed_dictionaries(
    {},
    optional={
        "statusCode": st.sampled_from(["409", 404, 503, "", True]),
        "body": errors | errors.map(json.dumps) | st.sampled_from(["<html>", "[1]", "{", ""]),
    },
)
monitors = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["mon-1", "8970101000000077"]) | st.integers(1),
        "state": st.sampled_from(["Completed", "inProgress", "inError"]),
    },
    optional={"response": responses | jsons, "more": jsons},
)
payloads = st.one_of(
    st.tuples(st.just("serviceStateChangeEvent"), services.map(lambda one: {"service": one})),
    st.tuples(st.just("MonitorStateChangeEvent"), monitors.map(lambda one: {"monitor": one})),
)


@settings(deadline=None)
@given(payloads, st.uuids().map(lambda key: key.hex) | jsons, jsons)
def test_kept_event_says_what_the_sent_one_said(given, key, more):
    event_type, about = given
    payload = {"event": about, "correlationId": key, "more": more}
    try:
        sent = event_mapping.read_event(event_type, payload)
    except event_mapping.Unreadable:
        return

    kept = event_mapping.masked(payload, sent)

    assert event_mapping.read_event(event_type, kept) == sent


# --- who may knock ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "v1=00",
        "t=1,t=2,id=evt-1,v1=00",
        "t=soon,id=evt-1,v1=00",
        "t=1782813600,id=evt 1,v1=00",
        "t=1782813600,id=evt-1",
        f"t=1782813600,id=evt-1,{','.join(['v1=00'] * 6)}",
        "t=9" + "9" * 5000 + ",id=evt-1,v1=00",
        "ключ",
    ],
)
def test_missing_or_broken_signature_is_refused(account, header):
    answer = post(
        json.dumps(service_event()).encode(), header and header.encode().decode("latin-1")
    )

    assert answer == Answer(status=401, body=BAD_SIGNATURE)
    assert kept() == []


@pytest.mark.parametrize("late", [301, -301], ids=["old", "early"])
def test_signature_of_another_time_is_refused(account, late):
    status = send(service_event(), late=late)

    assert status == 401
    assert kept() == []


@pytest.mark.parametrize("late", [290, -290], ids=["old", "early"])
def test_clocks_may_stand_a_little_apart(account, late):
    assert send(service_event(), late=late) == 200


def test_shifted_clock_of_the_sandbox_moves_no_window(account, settings, tmp_path):
    settings.SANDBOX, settings.CLOCK_FILE = True, tmp_path / "clock"
    settings.CLOCK_FILE.write_text("31536000.0")

    assert send(service_event()) == 200


def test_signature_with_another_secret_is_refused(account):
    assert send(service_event(), secret="guess") == 401
    assert kept() == []


def test_body_changed_on_its_way_is_refused(account):
    header = signature(json.dumps(service_event(state="inactive")).encode())

    answer = post(json.dumps(service_event(state="active")).encode(), header)

    assert answer == Answer(status=401, body=BAD_SIGNATURE)
    assert kept() == []


def test_number_changed_on_its_way_is_refused(account):
    body = json.dumps(service_event("evt-2")).encode()
    header = signature(body, "evt-1").replace("id=evt-1", "id=evt-2")

    assert post(body, header) == Answer(status=401, body=BAD_SIGNATURE)


def test_both_secrets_count_while_one_is_changed(account):
    OperatorAccount.objects.update(callback_secret="")
    account.callback_secret = " new-secret \n\nold-secret\n"
    account.save()

    statuses = [
        send(service_event(name), secret=secret)
        for name, secret in [("a", "new-secret"), ("b", "old-secret"), ("c", ""), ("d", SECRET)]
    ]

    assert statuses == [200, 200, 401, 401]


def test_operator_may_sign_with_both_secrets(account):
    body = json.dumps(service_event()).encode()
    stamp = int(real_now().timestamp())
    digests = [digest_of(body, stamp, "evt-1", secret) for secret in ("another", SECRET)]
    header = f"t={stamp},id=evt-1,v1={digests[0]},v1={digests[1].upper()}"

    assert post(body, header)[0] == 200


def test_unknown_account_and_account_without_secret_look_alike(account):
    OperatorAccount.objects.create(
        code="silent", title="Тихий", adapter="mts", base_url="https://c.example.com"
    )
    body = json.dumps(service_event()).encode()

    answers = [
        post(body, signature(body, secret=secret), f"/operators/{code}/callback")
        for code, secret in [("nobody", SECRET), ("silent", ""), ("silent", SECRET)]
    ]

    refusal = (404, {"code": "noAccount", "reason": "No callbacks are expected here."})
    assert answers == [refusal] * 3
    assert kept() == []


def test_switched_off_account_is_still_listened_to(account):
    OperatorAccount.objects.update(enabled=False)

    assert send(service_event()) == 200


def test_only_post_is_served(account):
    answer = Client().get(URL)

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"


@given(body=st.binary(max_size=60), header=st.text(max_size=80))
def test_nobody_guesses_a_signature(body, header):
    account = OperatorAccount(code="x", callback_secret=SECRET)

    with pytest.raises(Unsigned):
        verify(account=account, header=header, body=body, at=real_now())


@given(body=st.binary(max_size=200), flipped=st.integers(0, 10_000))
def test_any_changed_byte_breaks_the_signature(body, flipped):
    account = OperatorAccount(code="x", callback_secret=SECRET)
    header = signature(body)
    changed = bytearray(body + b"?")
    changed[flipped % len(changed)] ^= 1

    assert verify(account=account, header=header, body=body, at=real_now()) == "evt-1"
    with pytest.raises(Unsigned):
        verify(account=account, header=header, body=bytes(changed), at=real_now())


# --- what is no event ---------------------------------------------------------------------------


def refusal_of(body: bytes) -> Any:
    return post(body, signature(body))[1].get("reason")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "The body is not JSON in UTF-8."),
        (b"{", "The body is not JSON in UTF-8."),
        (b'{"eventId": NaN}', "The body is not JSON in UTF-8."),
        ('{"eventId": "evt-1"}'.encode("utf-16"), "The body is not JSON in UTF-8."),
        (b"[" * 100_000, "The body is not JSON in UTF-8."),
        (b"[1]", "The body must be a JSON object."),
        (b'{"eventId": "evt-2"}', "eventId must be the id in X-Signature."),
        (b'{"eventId": "evt-1"}', "eventType is required."),
    ],
    ids=["empty", "half", "nan", "utf-16", "deep", "list", "other-id", "no-type"],
)
def test_body_that_is_no_event_is_refused(account, body, reason):
    answer = post(body, signature(body))

    assert answer == Answer(status=400, body={"code": "badEvent", "reason": reason})
    assert kept() == []


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        ("2026-11-22T12:00:00", "eventTime must be a date and time with a zone (RFC 3339)."),
        ("yesterday", "eventTime must be a date and time with a zone (RFC 3339)."),
        (5, "eventTime must be a date and time with a zone (RFC 3339)."),
        ("2026-02-30T12:00:00Z", "eventTime is no moment of the calendar."),
        ("0001-01-01T00:00:00+14:00", "eventTime is no moment of the calendar."),
    ],
)
def test_event_without_a_moment_is_refused(account, moment, reason):
    body = json.dumps(service_event() | {"eventTime": moment}).encode()

    assert refusal_of(body) == reason
    assert kept() == []


@pytest.mark.parametrize(
    "given", ["\x00", "\ud800", 1e400], ids=["nul", "half-a-letter", "endless-number"]
)
def test_event_that_the_database_cannot_hold_is_refused(account, given):
    body = json.dumps(service_event(id=given)).replace("Infinity", "1e400").encode()

    assert refusal_of(body) == "The event cannot be stored: NUL, broken surrogates or depth."
    assert kept() == []


def test_body_over_limit_is_refused_unread(account):
    event = service_event() | {"note": ""}
    room = 256 * 1024 - len(json.dumps(event))

    statuses = [send(event | {"note": "x" * length}) for length in (room + 1, room)]

    assert statuses == [413, 200]
    assert len(kept()) == 1


class Broken(io.RawIOBase):
    """A client that broke off before its body came."""

    def readable(self) -> bool:
        return True

    def readinto(self, _buffer: object) -> int:
        raise ConnectionResetError


def test_body_that_broke_off_is_as_good_as_none(account):
    answer = Client().generic(
        "POST",
        URL,
        headers={"X-Signature": signature(b"")},
        **{"wsgi.input": io.BufferedReader(Broken()), "CONTENT_LENGTH": "10"},
    )

    assert answer.status_code == 400
    assert answer.json() == {"code": "badEvent", "reason": "The body is not JSON in UTF-8."}


def test_parked_event_leads_staff_to_the_list(account):
    send(service_event(state="lost"))

    assert Alert.objects.get().link == (
        f"/admin/operators/callback/?account__id__exact={account.pk}&state__exact=parked"
    )
