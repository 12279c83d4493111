"""Described operators connected as staff would, and a merchant's card switched on there.

The description is saved through the admin's page, its requests are looked at, «Проверить связь» is pressed,
and a merchant presses «Активировать».
"""

import json
from collections.abc import Callable, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.test import Client

from cabinet.sandbox.http import Request, Response, Wire, json_response
from cabinet.tests.people import make_staff
from operators import connections
from operators.limits import quota
from operators.models import Exchange, OperatorAccount
from operators.tests import public_vendors, vendors
from operators.tests.declarative_server import Handler, serving_handlers
from operators.tests.sandbox_operator import own_clock
from operators.tests.test_admin import LIST, errors, page_of
from operators.tests.test_admin_profile import ADD, UNTYPED, shown
from operators.tests.vendors import SECRET, Vendor
from smartcards import services as cards
from smartcards.dispatch import outbox, worker
from smartcards.models import SmartCard
from smartcards.states import CommandState, OperatorState
from smartcards.tests.cards import (
    OWNER,
    cover,
    make_card,
    make_live_subscription,
    make_merchant,
)
from smartcards.tests.dispatch_setup import MovedClock

__all__ = ["own_clock"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_clock")]


@pytest.fixture
def boss() -> Client:
    client = Client()
    client.force_login(make_staff("boss", name="Зоя Старшая"))
    return client


def connected(boss: Client, profile: Mapping[str, Any], keys: Mapping[str, str]) -> OperatorAccount:
    """A contract saved through the admin: first the description, then its keys."""
    quota.client(settings.REDIS_URL).flushdb()
    new = {**UNTYPED, "code": "stranger", "base_url": "https://api.stranger.example"}
    answer = boss.post(ADD, {**new, "profile": json.dumps(profile)})
    assert answer.status_code == 302, errors(answer)
    account = OperatorAccount.objects.get()
    typed = {f"credential_{name}": value for name, value in keys.items()}
    answer = boss.post(page_of(account), shown(account, boss) | typed)
    assert answer.status_code == 302, errors(answer)
    return OperatorAccount.objects.get()


def card_of(account: OperatorAccount, vendor: Vendor) -> dict[str, str]:
    """A merchant's card at this operator; the keys that name it."""
    card = make_card(make_merchant(), account=account, confirmed=OperatorState.INACTIVE)
    vendor.iccid = card.iccid
    return {"probe": card.iccid}


def switched_on(account: OperatorAccount) -> tuple[SmartCard, list[str]]:
    """The card after «Активировать», and the states that the command went through."""
    clock, card = MovedClock(), SmartCard.objects.select_related("merchant").get()
    assert card.merchant is not None
    cover(card, make_live_subscription(card.merchant, cards=1, at=clock()), since=clock())
    command = cards.request_activation(card=card, by=OWNER, at=clock())
    assert command is not None
    for _ in range(6):
        worker.drain_account(account_id=account.pk, clock=clock)
        clock.pass_(seconds=12)
        outbox.release_stuck(at=clock())
    card.refresh_from_db()
    return card, list(command.steps.order_by("pk").values_list("state", flat=True))


SYNCHRONOUS = [CommandState.QUEUED, CommandState.SENDING, CommandState.DONE]
POLLED = [*SYNCHRONOUS[:2], CommandState.ACCEPTED, CommandState.DONE]
VENDORS = [
    (vendors.Nce, vendors.NCE, vendors.CLIENT, SYNCHRONOUS),
    (vendors.Telnyx, vendors.TELNYX, vendors.TOKEN, POLLED),
    (vendors.Partner, vendors.TMF640, vendors.CLIENT, POLLED),
    (vendors.Ladoga, vendors.LADOGA, vendors.LADOGA_KEYS, SYNCHRONOUS),
    (vendors.Dvina, vendors.DVINA, vendors.DVINA_KEYS, SYNCHRONOUS),
    (vendors.Pechora, vendors.PECHORA, vendors.PECHORA_KEYS, SYNCHRONOUS),
    (vendors.Neva, vendors.NEVA, vendors.NEVA_KEYS, POLLED),
    (vendors.Onega, vendors.ONEGA, vendors.ONEGA_KEYS, POLLED),
    (public_vendors.SuperSim, public_vendors.SUPER_SIM, public_vendors.SUPER_SIM_KEYS, POLLED),
    (public_vendors.Emnify, public_vendors.EMNIFY, public_vendors.EMNIFY_KEYS, SYNCHRONOUS),
]


@pytest.mark.parametrize(
    ("make", "profile", "keys", "steps"), VENDORS, ids=[one[0].__name__ for one in VENDORS]
)
def test_merchants_card_is_switched_on(
    boss: Client,
    tmp_path: Path,
    make: Callable[[], Vendor],
    profile: Mapping[str, Any],
    keys: Mapping[str, str],
    steps: list[str],
) -> None:
    vendor = make()
    card_key = "89701990000000000017"
    account = connected(boss, profile, {**keys, **({"probe": card_key} if "probe" in keys else {})})
    card_of(account, vendor)

    preview = boss.get(f"{LIST}{account.pk}/dry-run/")
    with serving_handlers(tmp_path, vendor.handlers()) as (url, _):
        at_address(account, vendor, url)
        link = connections.ping(account)
        card, states = switched_on(account)

    assert {one.title: one.problem for one in preview.context["previews"]} == {
        "Включение": "",
        "Отключение": "",
        "Вопросы": "",
    }
    assert SECRET not in preview.content.decode()
    assert link.works is True
    assert link.sentence == "Оператор отвечает, ключи приняты."
    assert states == steps
    assert card.confirmed == OperatorState.ACTIVE
    assert vendor.done == ["on"]
    assert [text for text in journal() if has_secret(text)] == []


def at_address(account: OperatorAccount, vendor: Vendor, url: str) -> None:
    vendor.url = url
    keys = dict(account.credentials)
    if "probe" in keys:
        keys["probe"] = vendor.iccid
    stored = OperatorAccount.objects.get(pk=account.pk)
    stored.base_url, stored.credentials = url, keys
    stored.per_second = stored.per_minute = None
    stored.save()
    account.refresh_from_db()


def journal() -> list[str]:
    """What «Обмены с операторами» keeps."""
    return [f"{one.url}\n{one.request}\n{one.reply}" for one in Exchange.objects.all()]


def has_secret(text: str) -> bool:
    secrets = (
        SECRET,
        quote(SECRET),
        "Тайное",
        "Иванова",
        "Анна",
        "nce-token",
        "tmf-token",
        "emnify.jwt",
    )
    return any(one in text for one in secrets)


# --- every failure on the way ------------------------------------------------------------------------------


def replaced(vendor: Vendor, call: str, handler: Handler) -> dict[str, Handler]:
    found = vendor.handlers()
    key = next(one for one in found if one.startswith(call))
    return found | {key: handler}


def works_and_says(vendor: Vendor, answer: Response) -> Handler:
    def handler(_request: Request) -> Response:
        vendor.switch(True)
        return answer

    return handler


CUT = Response(wire=Wire.CUT)
HTML = Response("<html>Шлюз</html>".encode(), content_type="text/html")
UNKNOWN_OUTCOMES = {
    "the wire is cut": CUT,
    "half of an answer": Response(b'{"iccid": 1}', wire=Wire.HALF),
    "500": json_response({"error_code": "1", "message": "Boom"}, 500),
    "503": Response(status=503, headers={"Retry-After": "1"}),
    "302 to a login page": Response(status=302, headers={"Location": "https://login.example.com/"}),
}
UNPROVEN = {
    "an empty 200": Response(status=200),
    "204": Response(status=204),
    "a page of a gateway": HTML,
    "another card": json_response({"iccid": "8970199000000000999", "status": "Enabled"}),
    "the old state": json_response({"status": "Disabled"}),
    "an unknown word": json_response({"status": "Odd"}),
    "a list": json_response([]),
}
SWITCHES = [
    (vendors.Nce, vendors.NCE, vendors.CLIENT, "PUT /v2/sims"),
    (vendors.Telnyx, vendors.TELNYX, vendors.TOKEN, "POST /sim_cards"),
    (vendors.Partner, vendors.TMF640, vendors.CLIENT, "PATCH /service"),
]


def in_turn(cases: Mapping[str, Response]) -> list[Any]:
    """Each case with one of the vendors, so that every vendor has some."""
    pairs = zip(cases.items(), cycle(SWITCHES), strict=False)
    return [pytest.param(*call, answer, id=name) for (name, answer), call in pairs]


@pytest.mark.parametrize(("make", "profile", "keys", "call", "answer"), in_turn(UNKNOWN_OUTCOMES))
@pytest.mark.parametrize("works", [True, False], ids=["done", "not done"])
def test_unknown_outcome_is_read_before_anything_is_sent_again(
    boss: Client,
    tmp_path: Path,
    make: Callable[[], Vendor],
    profile: Mapping[str, Any],
    keys: Mapping[str, str],
    call: str,
    answer: Response,
    works: bool,
) -> None:
    account, vendor = connected(boss, profile, keys), make()
    card_of(account, vendor)
    handler = works_and_says(vendor, answer) if works else lambda _request: answer

    with serving_handlers(tmp_path, replaced(vendor, call, handler)) as (url, part):
        at_address(account, vendor, url)
        OperatorAccount.objects.update(quiet_seconds=1)
        card, states = switched_on(account)

    sent = [one for one in part.requests if one.method != "GET" and "token" not in one.path]
    assert CommandState.CHECKING in states
    assert len(sent) == 1
    assert vendor.done == (["on"] if works else [])
    assert card.confirmed == (OperatorState.ACTIVE if works else OperatorState.INACTIVE)
    assert (states[-1] == CommandState.DONE) is works


@pytest.mark.parametrize(("make", "profile", "keys", "call", "answer"), in_turn(UNPROVEN))
@pytest.mark.parametrize("works", [True, False], ids=["done", "not done"])
def test_unproven_answer_succeeds_only_if_reading_confirms_it(
    boss: Client,
    tmp_path: Path,
    make: Callable[[], Vendor],
    profile: Mapping[str, Any],
    keys: Mapping[str, str],
    call: str,
    answer: Response,
    works: bool,
) -> None:
    account, vendor = connected(boss, profile, keys), make()
    card_of(account, vendor)
    handler = works_and_says(vendor, answer) if works else lambda _request: answer

    with serving_handlers(tmp_path, replaced(vendor, call, handler)) as (url, part):
        at_address(account, vendor, url)
        card, states = switched_on(account)

    sent = [one for one in part.requests if one.method != "GET" and "token" not in one.path]
    assert len(sent) == 1
    if works:
        assert states == SYNCHRONOUS
        assert card.confirmed == OperatorState.ACTIVE
    else:
        assert states[-1] == CommandState.ACCEPTED
        assert card.confirmed == OperatorState.INACTIVE


REFUSALS = [
    (vendors.Nce, vendors.NCE, vendors.CLIENT, "PUT /v2/sims", json_response({"error_code": "1201"}, 404)),
    (vendors.Nce, vendors.NCE, vendors.CLIENT, "PUT /v2/sims", json_response({"message": "expired"}, 422)),
    (vendors.Telnyx, vendors.TELNYX, vendors.TOKEN, "POST /sim_cards",
     json_response({"errors": [{"code": "10015", "detail": "no plan"}]}, 422)),
    (vendors.Partner, vendors.TMF640, vendors.CLIENT, "PATCH /service",
     json_response({"code": "heldByOperator", "reason": "долг"}, 409)),
    (vendors.Onega, vendors.ONEGA, vendors.ONEGA_KEYS, "PUT /v1/esim",
     json_response({"errors": [{"code": 17, "detail": "no such card"}]}, 400)),
    (vendors.Ladoga, vendors.LADOGA, vendors.LADOGA_KEYS, "POST /api/cards",
     json_response({"errors": [{"code": 1044, "message": "Иванова должна"}]}, 200)),
]  # fmt: skip


@pytest.mark.parametrize(("make", "profile", "keys", "call", "answer"), REFUSALS)
def test_refusal_fails_the_command_and_switches_nothing(
    boss: Client,
    tmp_path: Path,
    make: Callable[[], Vendor],
    profile: Mapping[str, Any],
    keys: Mapping[str, str],
    call: str,
    answer: Response,
) -> None:
    account, vendor = connected(boss, profile, keys), make()
    card_of(account, vendor)

    with serving_handlers(tmp_path, replaced(vendor, call, lambda _request: answer)) as (url, part):
        at_address(account, vendor, url)
        _, states = switched_on(account)

    assert states == [*SYNCHRONOUS[:2], CommandState.FAILED]
    assert vendor.done == []
    assert (
        len([one for one in part.requests if one.method != "GET" and "token" not in one.path]) == 1
    )


@pytest.mark.parametrize(
    ("make", "profile", "call", "keys", "answer", "state"),
    [
        (vendors.Telnyx, vendors.TELNYX, "GET /sim_card_actions", vendors.TOKEN,
         json_response({"data": {"id": "act-1", "status": {"value": "failed", "reason": "No plan"}}}), "failed"),
        (vendors.Telnyx, vendors.TELNYX, "GET /sim_card_actions", vendors.TOKEN,
         json_response({"data": {"id": "act-1", "status": {"value": "completed", "reason": ""}}}), "accepted"),
        (vendors.Telnyx, vendors.TELNYX, "GET /sim_card_actions", vendors.TOKEN,
         json_response({"data": {"id": "act-2", "status": {"value": "completed"}}}), "accepted"),
        (vendors.Partner, vendors.TMF640, "GET /monitor", vendors.CLIENT,
         json_response({"id": "44555", "state": "InError",
                        "response": {"statusCode": "409", "body": '{"code": "heldByOperator"}'}}), "failed"),
        (vendors.Partner, vendors.TMF640, "GET /monitor", vendors.CLIENT,
         json_response({"code": "404", "reason": "no such monitor"}, 404), "checking"),
    ],
    ids=["failed", "done is not believed", "another request", "held", "lost"],
)  # fmt: skip
def test_end_of_an_accepted_request(
    boss: Client,
    tmp_path: Path,
    make: Callable[[], Vendor],
    profile: Mapping[str, Any],
    call: str,
    keys: Mapping[str, str],
    answer: Response,
    state: str,
) -> None:
    account, vendor = connected(boss, profile, keys), make()
    card_of(account, vendor)

    with serving_handlers(tmp_path, replaced(vendor, call, lambda _request: answer)) as (url, _):
        at_address(account, vendor, url)
        card, states = switched_on(account)

    assert (state in states) is True
    assert (states[-1] == CommandState.DONE) is False
    assert vendor.done == []
    assert card.confirmed != OperatorState.ACTIVE


@pytest.mark.parametrize(
    ("make", "profile", "keys", "call"), SWITCHES, ids=["1nce", "telnyx", "tmf"]
)
def test_wrong_keys_leave_the_command_queued(
    boss: Client,
    tmp_path: Path,
    make: Callable[[], Vendor],
    profile: Mapping[str, Any],
    keys: Mapping[str, str],
    call: str,
) -> None:
    wrong = {name: "wrong-one" if value == SECRET else value for name, value in keys.items()}
    account, vendor = connected(boss, profile, wrong), make()
    card_of(account, vendor)

    with serving_handlers(tmp_path, vendor.handlers()) as (url, part):
        at_address(account, vendor, url)
        link = connections.ping(account)
        _, states = switched_on(account)

    assert link.works is False
    assert states[-1] == CommandState.QUEUED
    assert vendor.done == []
    assert not [one for one in part.requests if f"{one.method} {one.path}".startswith(call)]


@pytest.mark.parametrize("status", [200, 201, 202])
def test_pending_word_or_202_is_asked_about_by_reading(
    boss: Client, tmp_path: Path, status: int
) -> None:
    account, vendor = connected(boss, vendors.NEVA, vendors.NEVA_KEYS), vendors.Neva()
    card_of(account, vendor)
    vendor.status, vendor.reads_until_done = status, 3

    with serving_handlers(tmp_path, vendor.handlers()) as (url, _):
        at_address(account, vendor, url)
        card, states = switched_on(account)

    assert states == POLLED
    assert card.confirmed == OperatorState.ACTIVE
    assert vendor.done == ["on"]
