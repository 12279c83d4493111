"""Payloads of the market: what is read, what is borne, what is refused."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriptions.evotor.schemas import (
    Activated,
    AddonsUpdated,
    Charge,
    Created,
    Device,
    InstallationEvent,
    Renewed,
    SchemaError,
    Store,
    Terminated,
    TerminationRequested,
    TermsChanged,
    Unknown,
    UserCreate,
    UserToken,
    UserVerify,
    parse_devices,
    parse_installation_event,
    parse_stores,
    parse_subscription_event,
    parse_user_create,
    parse_user_token,
    parse_user_verify,
    payload_of,
    read_json,
)

DATA = Path(__file__).parent / "data"
USER = "01-000000000000001"
PRODUCT = "5f0c2a7e-3d1b-4c8e-9a64-1b7d2f8c9e10"
SUBSCRIPTION = "a99fbf70-6307-4acc-b61c-741ee9eef6c0"
AT = datetime(2017, 4, 20, 18, 26, 37, 753000, tzinfo=UTC)
NEXT = datetime(2017, 4, 23, 0, 48, 38, tzinfo=UTC)
PARSERS = (
    parse_subscription_event,
    parse_installation_event,
    parse_user_create,
    parse_user_verify,
    parse_user_token,
    parse_devices,
    parse_stores,
)


def sample(name, folder="webhooks"):
    return read_json((DATA / "samples" / folder / f"{name}.json").read_bytes())


def read(payload) -> Any:
    """The event as its own variant, which the parser's type does not tell."""
    return parse_subscription_event(payload)


def common(number) -> dict[str, Any]:
    return {
        "subscription_id": SUBSCRIPTION,
        "product_id": PRODUCT,
        "user_id": USER,
        "at": AT,
        "number": number,
    }


class SchemaRefusal(NamedTuple):
    code: int
    reason: str
    subject: str
    value: Any


def refusal(parse, payload):
    with pytest.raises(SchemaError) as caught:
        parse(payload)
    error = caught.value
    return SchemaRefusal(error.code, error.reason, error.subject, error.value)


CHARGE = Charge(241_667, "RUB")
EVENTS = {
    "subscription_created": Created(**common(1), plan_id="example", trial_days=14, devices=35),
    "addons_updated": AddonsUpdated(**common(2), addons=(("addon-1", 2),)),
    "subscription_activated": Activated(**common(4), next_billing_at=NEXT, charged=CHARGE),
    "subscription_renewed": Renewed(**common(5), next_billing_at=NEXT, charged=CHARGE),
    "subscription_terms_changed_full": TermsChanged(
        **common(6), plan_id="example", devices=36, next_billing_at=NEXT, charged=CHARGE
    ),
    "subscription_terms_changed_devices_only": TermsChanged(**common(7), devices=34),
    "subscription_termination_requested": TerminationRequested(**common(8)),
    "subscription_terminated": Terminated(**common(9)),
}


@pytest.mark.parametrize(("name", "expected"), EVENTS.items())
def test_subscription_samples_are_read(name, expected):
    assert parse_subscription_event(sample(name)) == expected


@pytest.mark.parametrize("event", EVENTS.values())
def test_events_read_the_same_from_their_stored_payload(event):
    stored = json.loads(json.dumps(payload_of(event)))

    assert parse_subscription_event(stored) == event


@pytest.mark.parametrize("name", EVENTS)
def test_events_stored_as_plain_json_read_the_same(name):
    stored = json.loads((DATA / "samples/webhooks" / f"{name}.json").read_text())

    assert parse_subscription_event(stored) == EVENTS[name]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "application_installed",
            InstallationEvent(
                id=SUBSCRIPTION,
                at=datetime(2017, 8, 31, 8, 37, 25, 290000, tzinfo=UTC),
                version="2",
                type="ApplicationInstalled",
                product_id=PRODUCT,
                user_id=USER,
            ),
        ),
        (
            "application_installed_string_timestamp",
            InstallationEvent(
                id="0f1b6c38-2a63-4f0c-8d02-6b7b4e0a9f11",
                at=datetime(2017, 8, 31, 8, 37, 25, 290000, tzinfo=UTC),
                version="2",
                type="ApplicationInstalled",
                product_id=PRODUCT,
                user_id=USER,
            ),
        ),
        (
            "application_uninstalled",
            InstallationEvent(
                id="2c7f1a90-54a8-4a4e-9be1-7b8f20c6d312",
                at=datetime(2017, 9, 1, 8, 35, 45, 290000, tzinfo=UTC),
                version="2",
                type="ApplicationUninstalled",
                product_id=PRODUCT,
                user_id=USER,
            ),
        ),
    ],
)
def test_installation_samples_are_read(name, expected):
    assert parse_installation_event(sample(name)) == expected


@pytest.mark.parametrize(
    ("parse", "name", "expected"),
    [
        (
            parse_user_create,
            "user_create",
            UserCreate(user_id=USER, custom=(("customField", "+79990000000"),)),
        ),
        (parse_user_create, "user_create_with_legacy_key", UserCreate(user_id=USER)),
        (
            parse_user_token,
            "user_token",
            UserToken(user_id=USER, token="f46b89a5-8e80-4591-b0aa-94551790444b"),
        ),
        (
            parse_user_token,
            "user_token_legacy_key",
            UserToken(user_id=USER, token="f46b89a5-8e80-4591-b0aa-94551790444b"),
        ),
        (
            parse_user_verify,
            "user_verify",
            UserVerify(user_id=USER),
        ),
    ],
)
def test_user_samples_are_read(parse, name, expected):
    assert parse(sample(name)) == expected


def test_custom_fields_keep_scalars_as_text():
    payload = {
        "userId": USER,
        "б": "Да",
        "a": 5,
        "c": True,
        "d": Decimal("1.5"),
        "e": None,
        "f": ["x"],
        "g": {"x": 1},
    }

    assert parse_user_create(payload).custom == (
        ("a", "5"),
        ("c", "true"),
        ("d", "1.5"),
        ("б", "Да"),
    )


def test_secrets_are_not_shown():
    token = parse_user_token({"userId": USER, "token": "s3cret-token"})
    login = parse_user_verify({"userId": USER, "password": "s3cret-word", "code": "s3cret-code"})

    assert login == UserVerify(user_id=USER)
    assert ("s3cret" in repr(token)) is False
    for parse, payload in (
        (parse_user_token, {"userId": USER, "token": "s3cret token"}),
        (parse_user_create, {"userId": USER, "code": "s3cret\x00"}),
    ):
        code, reason, _, value = refusal(parse, payload)
        assert code == 2003
        assert reason == "incorrect"
        assert value is None


DEVICE_ID = "20170222-d58c-40e0-8051-b53adff38860"
STORE_ID = "20170228-f4f1-401b-80fa-9ecca8451ffb"


def test_terminals_are_read_in_both_versions():
    plain = Device(id=DEVICE_ID, name="Моя касса №3", store_id=STORE_ID)
    full = replace(plain, serial_number="00307401000000", model="7_3")
    second = Device(
        id="20180311-0a1b-4c2d-80e3-f4a5b6c7d8e9",
        name="Моя касса №4",
        store_id=STORE_ID,
    )

    assert parse_devices(sample("inventories_devices_v1")) == [plain]
    assert parse_devices(sample("inventories_devices_v2")) == [full]
    assert parse_devices(sample("devices", "cloud-v2")) == [
        replace(full, imei="123456789012345"),
        second,
    ]


def test_shops_are_read_in_both_versions():
    store = Store(id=STORE_ID, name="Мой магазин", address="Россия, Москва, Старопанский переулок")

    assert parse_stores(sample("inventories_stores_v1")) == [store]
    assert parse_stores(sample("stores", "cloud-v2")) == [store]


def test_empty_lists_are_lists():
    assert [parse_devices([]), parse_stores({"items": []})] == [[], []]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({}, (2002, "missing", "items", None)),
        ("x", (2003, "incorrect", "", "x")),
        ({"items": {}}, (2003, "incorrect", "items", "object")),
    ],
)
def test_broken_lists_are_refused(payload, expected):
    assert refusal(parse_devices, payload) == expected


def test_odd_description_of_a_terminal_counts_as_not_sent():
    payload = [{"uuid": "A", "name": 5, "imei": "1\x00", "storeUuid": [], "timezoneOffset": 10**9}]

    assert parse_devices(payload) == [Device(id="a")]


@pytest.mark.parametrize("row", [5, {"name": "Касса"}, {"uuid": ""}, {"uuid": "b" * 65}])
def test_odd_row_of_a_list_is_left_out(row):
    dropped: list[str] = []

    devices = parse_devices([{"uuid": "a"}, row], dropped)

    assert devices == [Device(id="a")]
    assert dropped == ["строка списка"]


def test_odd_fields_of_a_list_are_named():
    dropped: list[str] = []

    parse_devices([{"uuid": "a", "name": "К" * 600, "imei": 5, "storeUuid": []}], dropped)

    assert dropped == ["storeUuid", "imei"]


REQUIRED = {
    "subscription_created": {"trialPeriodDuration"},
    "addons_updated": {"addons"},
    "subscription_activated": {"nextBillingDate"},
    "subscription_renewed": {"nextBillingDate"},
    "subscription_terms_changed_full": set(),
    "subscription_termination_requested": set(),
    "subscription_terminated": set(),
}
COMMON = {"subscriptionId", "productId", "userId", "timestamp", "sequenceNumber"}


@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for name in REQUIRED for key in sorted(REQUIRED[name] | COMMON)]
)
def test_each_required_key_is_missed(name, key):
    payload = sample(name)
    del payload[key]

    assert refusal(parse_subscription_event, payload) == SchemaRefusal(
        code=2002, reason="missing", subject=key, value=None
    )


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("subscription_created", "deviceNumber"),
        ("subscription_activated", "chargedSum"),
        ("subscription_renewed", "chargedSum"),
        ("subscription_terms_changed_full", "planId"),
        ("subscription_terms_changed_full", "deviceNumber"),
        ("subscription_terms_changed_full", "nextBillingDate"),
        ("subscription_terms_changed_full", "chargedSum"),
    ],
)
def test_optional_keys_may_be_absent_or_null(name, key):
    payload = sample(name)
    null = parse_subscription_event({**payload, key: None})
    del payload[key]

    assert parse_subscription_event(payload) == null != EVENTS[name]


@pytest.mark.parametrize(
    ("key", "subject"),
    [
        ("id", "id"),
        ("timestamp", "timestamp"),
        ("data", "data.productId"),
    ],
)
def test_each_required_key_of_an_installation_is_missed(key, subject):
    payload = sample("application_installed")
    del payload[key]

    assert refusal(parse_installation_event, payload) == SchemaRefusal(
        code=2002, reason="missing", subject=subject, value=None
    )


@pytest.mark.parametrize("key", ["productId", "userId"])
def test_each_required_key_of_the_installed_application_is_missed(key):
    payload = sample("application_installed")
    del payload["data"][key]

    assert refusal(parse_installation_event, payload) == SchemaRefusal(
        code=2002, reason="missing", subject=f"data.{key}", value=None
    )


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("subscription_created", {"type": "subscriptionCreated"}),
        ("subscription_created", {"type": "SUBSCRIPTIONCREATED"}),
        ("addons_updated", {"type": "addonsUpdated"}),
        ("subscription_created", {"novelty": {"deep": [1]}, "period": 3}),
        ("subscription_created", {"subscriptionId": SUBSCRIPTION.upper()}),
        ("subscription_created", {"productId": PRODUCT.upper()}),
        ("subscription_created", {"trialPeriodDuration": "P14D"}),
        ("subscription_created", {"deviceNumber": Decimal("35.0")}),
        ("subscription_created", {"timestamp": "2017-04-20T18:26:37.753Z"}),
        ("subscription_created", {"timestamp": "2017-04-20T21:26:37.753+0300"}),
        ("subscription_created", {"timestamp": "2017-04-20T21:26:37.753+03:00"}),
        ("subscription_created", {"timestamp": 1492712797753}),
        ("subscription_created", {"timestamp": "1492712797753"}),
        ("subscription_created", {"userUuid": "anything"}),
        (
            "subscription_activated",
            {"chargedSum": {"amount": Decimal("2416.670"), "currency": "RUB", "more": 1}},
        ),
        ("subscription_activated", {"chargedSum": {"amount": 2416.67, "currency": "RUB"}}),
    ],
)
def test_harmless_variations_change_nothing(name, changes):
    assert parse_subscription_event({**sample(name), **changes}) == EVENTS[name]


def test_the_old_name_of_the_user_is_read():
    payload = sample("subscription_terminated")
    payload["userUuid"] = payload.pop("userId")

    assert parse_subscription_event(payload) == EVENTS["subscription_terminated"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [("P14DT", 14), ("P07DT", 7), ("P0DT", 0), ("P0D", 0), ("P365D", 365)],
)
def test_trial_days_are_read(written, expected):
    payload = {**sample("subscription_created"), "trialPeriodDuration": written}

    assert read(payload).trial_days == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2025-03-01T10:00:00+0000", datetime(2025, 3, 1, 10, tzinfo=UTC)),
        ("2025-03-01T10:00:00Z", datetime(2025, 3, 1, 10, tzinfo=UTC)),
        ("2025-03-01T00:30:00.5+0300", datetime(2025, 2, 28, 21, 30, 0, 500000, tzinfo=UTC)),
        (
            "2025-03-01T10:00:00.123456789Z",
            datetime(2025, 3, 1, 10, 0, 0, 123456, tzinfo=UTC),
        ),
    ],
)
def test_instants_are_read(written, expected):
    payload = {**sample("subscription_renewed"), "nextBillingDate": written}

    assert read(payload).next_billing_at == expected


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (300, 30_000),
        (0, 0),
        (Decimal("164.52"), 16_452),
        (Decimal("2416.67"), 241_667),
        (Decimal("0.1"), 10),
        (1.1, 110),
        (Decimal("1E+3"), 100_000),
    ],
)
def test_amounts_become_exact_kopecks(amount, expected):
    payload = {
        **sample("subscription_renewed"),
        "chargedSum": {"amount": amount, "currency": "RUB"},
    }

    assert read(payload).charged == Charge(expected, "RUB")


@given(st.integers(0, 10**11))
def test_any_sum_survives_the_way_through_json(kopecks):
    body = (
        b'{"userId":"%s","productId":"%s","subscriptionId":"%s","sequenceNumber":2,'
        b'"type":"SubscriptionRenewed","timestamp":"2025-01-01T00:00:00Z",'
        b'"nextBillingDate":"2025-02-01T00:00:00Z",'
        b'"chargedSum":{"amount":%d.%02d,"currency":"RUB"}}'
    ) % (USER.encode(), PRODUCT.encode(), SUBSCRIPTION.encode(), *divmod(kopecks, 100))

    assert read(read_json(body)).charged == Charge(kopecks, "RUB")


def test_options_named_twice_add_up():
    rows = [{"id": "b", "quantity": 1}, {"id": "a", "quantity": 2}, {"id": "b", "quantity": 3}]

    parsed = read({**sample("addons_updated"), "addons": rows})

    assert parsed.addons == (("a", 2), ("b", 4))


@pytest.mark.parametrize(
    "row",
    [
        {"quantity": 1},
        {"id": "a"},
        {"id": "a", "quantity": True},
        {"id": "a", "quantity": -1},
        "a",
    ],
)
def test_odd_options_are_left_out(row):
    dropped: list[str] = []
    rows = [{"id": "b", "quantity": 1}, row]

    event = parse_subscription_event({**sample("addons_updated"), "addons": rows}, dropped)

    assert event == replace(EVENTS["addons_updated"], addons=(("b", 1),), partial=True)
    assert dropped == ["addons"]
    assert parse_subscription_event(payload_of(event)) == event


HUGE = 10**5000


def name_of(value):
    """pytest names cases after their values, but an int of 5000 digits refuses to be a text."""
    return "huge" if isinstance(value, int) and abs(value) > 10**50 else None


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("subscriptionId", "not-a-uuid", "not-a-uuid"),
        ("subscriptionId", f"{SUBSCRIPTION}\n", f"{SUBSCRIPTION}\n"),
        ("subscriptionId", None, "null"),
        ("productId", 7, "7"),
        ("userId", "01-00000000000000١", "01-00000000000000١"),
        ("userId", ["01"], "array"),
        ("sequenceNumber", 0, "0"),
        ("sequenceNumber", True, "true"),
        ("sequenceNumber", "4", "4"),
        ("sequenceNumber", Decimal("1.5"), "1.5"),
        ("sequenceNumber", HUGE, "number"),
        ("sequenceNumber", -HUGE, "number"),
        ("sequenceNumber", Decimal("1E+999999"), "1E+999999"),
        ("sequenceNumber", Decimal("1E-999999"), "1E-999999"),
        ("sequenceNumber", float("nan"), "nan"),
        ("sequenceNumber", float("inf"), "inf"),
        ("sequenceNumber", Decimal("NaN"), "NaN"),
        ("sequenceNumber", Decimal("sNaN"), "sNaN"),
        ("timestamp", "yesterday", "yesterday"),
        ("timestamp", "2025-03-01T10:00:00", "2025-03-01T10:00:00"),
        ("timestamp", "2025-13-01T10:00:00Z", "2025-13-01T10:00:00Z"),
        ("timestamp", "2025-02-30T10:00:00Z", "2025-02-30T10:00:00Z"),
        ("timestamp", "2025-03-01T25:00:00Z", "2025-03-01T25:00:00Z"),
        ("timestamp", "2025-03-01T10:00:00+9999", "2025-03-01T10:00:00+9999"),
        ("timestamp", "9999-12-31T23:59:59-2359", "9999-12-31T23:59:59-2359"),
        ("timestamp", "0001-01-01T00:00:00+2359", "0001-01-01T00:00:00+2359"),
        ("timestamp", "2500-01-01T00:00:00Z", "2500-01-01T00:00:00Z"),
        ("timestamp", "99999999999999", "99999999999999"),
        ("timestamp", 1492712797, "1492712797"),
        ("timestamp", HUGE, "number"),
        ("timestamp", True, "true"),
        ("timestamp", {}, "object"),
        ("trialPeriodDuration", "P1M", "P1M"),
        ("trialPeriodDuration", "P-1DT", "P-1DT"),
        ("trialPeriodDuration", "P999999DT", "P999999DT"),
        ("trialPeriodDuration", "P99999999999DT", "P99999999999DT"),
        ("trialPeriodDuration", "P١DT", "P١DT"),
        ("trialPeriodDuration", 14, "14"),
        ("deviceNumber", -1, "-1"),
        ("deviceNumber", False, "false"),
        ("deviceNumber", 100_001, "100001"),
        ("deviceNumber", "2", "2"),
    ],
    ids=name_of,
)
def test_unusable_values_are_refused_and_shown(key, value, shown):
    payload = {**sample("subscription_created"), key: value}

    assert refusal(parse_subscription_event, payload) == SchemaRefusal(
        code=2003, reason="incorrect", subject=key, value=shown
    )


@pytest.mark.parametrize(
    "amount",
    [
        -1,
        True,
        "300",
        HUGE,
        float("nan"),
        float("-inf"),
        Decimal("Infinity"),
        Decimal("0.001"),
        Decimal("1.00000000000000000000000000000000000000001"),
        Decimal("1E-999999"),
        Decimal("1E+999999"),
        10**9 + 1,
    ],
    ids=name_of,
)
def test_unusable_amounts_are_left_out(amount):
    sum_ = {"amount": amount, "currency": "RUB"}

    assert read_without(chargedSum=sum_) == WITHOUT_CHARGE


@pytest.mark.parametrize(
    "charged",
    [
        300,
        {"currency": "RUB"},
        {"amount": 1},
        {"amount": 1, "currency": "р."},
        {"amount": 1, "currency": "rub"},
        {"amount": 1, "currency": 643},
    ],
)
def test_odd_charges_are_left_out(charged):
    assert read_without(chargedSum=charged) == WITHOUT_CHARGE


@pytest.mark.parametrize("plan_id", ["", 12, "a\x00b", "a\ud800b", "x" * 101])
def test_odd_plan_is_left_out(plan_id):
    dropped: list[str] = []

    event = parse_subscription_event({**sample("subscription_created"), "planId": plan_id}, dropped)

    assert event == replace(EVENTS["subscription_created"], plan_id=None)
    assert dropped == ["planId"]


def read_without(**changes):
    """The event of the first payment, and what was left out of it."""
    dropped: list[str] = []
    event = parse_subscription_event({**sample("subscription_activated"), **changes}, dropped)
    return event, dropped


UNCHARGED = sample("subscription_activated") | {"chargedSum": None}
WITHOUT_CHARGE = (parse_subscription_event(UNCHARGED), ["chargedSum"])


@pytest.mark.parametrize("kind", [None, 5, "", "Bad\x00", []])
def test_unreadable_type_keeps_what_can_be_read(kind):
    payload = {**sample("subscription_terminated"), "type": kind}

    event = parse_subscription_event(payload)

    assert event == Unknown(**common(9))
    assert parse_subscription_event(payload_of(event)) == event


def test_an_unknown_type_keeps_what_can_be_read():
    payload = {**sample("subscription_terminated"), "type": "SubscriptionPaused"}

    assert parse_subscription_event(payload) == Unknown(type="SubscriptionPaused", **common(9))


def test_an_unknown_type_with_broken_fields_is_still_unknown():
    payload = {"type": "X" * 500, "sequenceNumber": "many", "timestamp": HUGE, "userId": None}

    assert parse_subscription_event(payload) == Unknown(type="X" * 60)


def test_an_unknown_installation_type_keeps_what_can_be_read():
    payload = {**sample("application_installed"), "type": "ApplicationUpdated"}
    at = datetime(2017, 8, 31, 8, 37, 25, 290000, tzinfo=UTC)

    assert parse_installation_event(payload) == Unknown(
        type="ApplicationUpdated", product_id=PRODUCT, user_id=USER, at=at
    )
    assert parse_installation_event({**payload, "data": 5}) == Unknown(
        type="ApplicationUpdated", at=at
    )


@pytest.mark.parametrize("version", [True, "", -1, []])
def test_odd_version_is_left_out(version):
    payload = {**sample("application_installed"), "version": version}
    dropped: list[str] = []

    event = parse_installation_event(payload, dropped)

    assert event == replace(parse_installation_event(sample("application_installed")), version=None)
    assert dropped == ["version"]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({}, (2002, "missing", "userId", None)),
        ({"userId": "1"}, (2003, "incorrect", "userId", "1")),
        ({"userId": USER, "a\x00": "b"}, (2003, "incorrect", "a?", None)),
        (
            {"userId": USER} | {f"f{index:03}": "x" for index in range(101)},
            (2003, "unexpected", "f100", None),
        ),
    ],
)
def test_broken_registrations_are_refused(payload, expected):
    assert refusal(parse_user_create, payload) == expected


@pytest.mark.parametrize("token", ["", "with space", "line\r\nbreak", "ключ", "x" * 1001, 5, None])
def test_tokens_unfit_for_a_header_are_refused(token):
    payload = {"userId": USER, "token": token}

    assert refusal(parse_user_token, payload) == SchemaRefusal(
        code=2003, reason="incorrect", subject="token", value=None
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe{}",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b"[" * 200_000,
        b"1" * 5_000,
        b"1e99999999999999999999",
    ],
)
def test_what_is_not_json_is_refused(body):
    assert refusal(read_json, body) == SchemaRefusal(code=2001, reason="", subject="", value=None)


def test_json_is_read_with_exact_numbers():
    assert read_json(b'\xef\xbb\xbf{"a": 2416.67, "b": 2}') == {"a": Decimal("2416.67"), "b": 2}


def test_error_bodies_are_the_documented_ones():
    missing = SchemaError(code=2002, reason="missing", subject="userId")
    wrong = SchemaError(code=2003, reason="incorrect", subject="deviceUuid", value="null")

    bodies = [error.body() for error in (SchemaError(code=2001), missing, wrong)]

    assert bodies == [
        {"errors": [{"code": 2001}]},
        {"errors": [{"code": 2002, "reason": "missing", "subject": "userId"}]},
        {
            "errors": [
                {
                    "code": 2003,
                    "reason": "incorrect",
                    "subject": "deviceUuid",
                    "value": "null",
                }
            ]
        },
    ]
    assert str(wrong) == "2003 incorrect deviceUuid"


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text(max_size=20)
    | st.sampled_from(["SubscriptionCreated", "ApplicationInstalled", "\x00", "\ud800", 10**4000]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=5)
            | st.sampled_from([*sorted(COMMON), "data", "items", "addons", "chargedSum", "token"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=15,
)
SAMPLES = [sample(path.stem) for path in sorted((DATA / "samples/webhooks").glob("*.json"))]
ERROR_SCHEMA = json.loads((DATA / "schemas/errors.schema.json").read_text())


def check_never_crashes(payload):
    for parse in PARSERS:
        try:
            parse(payload)
        except SchemaError as error:
            body = error.body()
            jsonschema.validate(json.loads(json.dumps(body)), ERROR_SCHEMA)
            json.dumps(body, ensure_ascii=False).encode()


@given(anything)
def test_no_payload_crashes_a_parser(payload):
    check_never_crashes(payload)


@given(st.sampled_from(SAMPLES), st.data(), anything)
def test_no_damaged_sample_crashes_a_parser(payload, data, damage):
    if isinstance(payload, dict):
        payload = {**payload, data.draw(st.sampled_from(sorted(payload))): damage}

    check_never_crashes(payload)


@given(st.datetimes(datetime(2001, 1, 1), datetime(2198, 1, 1)), st.integers(-1080, 1080))  # noqa: DTZ001 zone is added below
def test_an_instant_reads_the_same_in_every_spelling(naive, minutes):
    at = naive.replace(microsecond=naive.microsecond // 1000 * 1000, tzinfo=UTC)
    local = at.astimezone(timezone(timedelta(minutes=minutes)))
    since = round((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))
    spellings = [
        f"{local:%Y-%m-%dT%H:%M:%S}.{local.microsecond // 1000:03}{local:%z}",
        local.isoformat(timespec="milliseconds"),
        since,
        str(since),
        Decimal(since),
    ]

    instants = [
        read({**sample("subscription_terminated"), "timestamp": spelling}).at
        for spelling in spellings
    ]

    assert instants == [at] * 5
    assert {value.tzinfo for value in instants} == {UTC}
