"""The log of exchanges: what a call leaves behind, for how long, and who may look at it."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from cabinet import clock
from cabinet.accounts.services.staff_groups import ensure_groups
from cabinet.tests.people import make_staff
from operators import purge, tasks
from operators.client import exchange_log
from operators.client.http import CallContext, HttpExchange
from operators.connections import connect
from operators.events import inbox
from operators.limits.quota import QuotaGate
from operators.models import Callback, Exchange, OperatorAccount
from operators.ports import Action, CallKind
from operators.services import record_exchanges
from operators.tests.sandbox_operator import SIM, running, submit

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
LIST = "/admin/operators/exchange/"
TOKEN = "demo-partner-token"


@pytest.fixture
def account() -> OperatorAccount:
    return OperatorAccount.objects.create(
        code="partner",
        title="Партнёр",
        adapter="tmf640",
        base_url="https://api.example.com",
        credentials={"token": TOKEN},
    )


def http_exchange(**fields) -> HttpExchange:
    given = {
        "account": "partner",
        "kind": CallKind.READ,
        "method": "GET",
        "url": "https://api.example.com/state",
        "status": 200,
        "seconds": 0.25,
        "at": AT,
        "request": "GET /state",
        "reply": "HTTP 200",
        **fields,
    }
    return HttpExchange(**given)


def row(account: OperatorAccount, **fields) -> Exchange:
    given = {"kind": "read", "method": "GET", "url": "https://a", "seconds": 1, "at": AT, **fields}
    return Exchange.objects.create(account=account, **given)


def of_group(name: str) -> Client:
    ensure_groups()
    user = make_staff(f"staff-{name}", is_superuser=False)
    user.groups.add(Group.objects.get(name=name))
    client = Client()
    client.force_login(user)
    return client


def listed(answer) -> list[int]:
    return [exchange.pk for exchange in answer.context["cl"].result_list]


# --- what is kept ------------------------------------------------------------------------------------


def test_batch_is_kept_with_one_insert(account, django_assert_num_queries):
    context = CallContext("89701010000000000015", 7)

    with django_assert_num_queries(1):
        exchange_log.keep(
            account, [http_exchange(context=context), http_exchange(), http_exchange()], at=AT
        )

    assert Exchange.objects.count() == 3


def test_row_says_everything(account):
    exchange_log.keep(
        account, [http_exchange(context=CallContext("89701010000000000015", 7))], at=AT
    )

    kept = Exchange.objects.values().get()

    assert kept == {
        "id": kept["id"],
        "account_id": account.pk,
        "iccid": "89701010000000000015",
        "command_id": 7,
        "at": AT,
        "kind": "read",
        "method": "GET",
        "url": "https://api.example.com/state",
        "status": 200,
        "seconds": 0.25,
        "result": "ok",
        "request": "GET /state",
        "reply": "HTTP 200",
    }


def test_exchange_without_time_and_card_gets_those_of_the_batch(account):
    later = AT + timedelta(minutes=1)

    exchange_log.keep(
        account,
        [http_exchange(at=None), http_exchange(context=CallContext("8970101", None))],
        iccid="89701010000000000015",
        command_id=7,
        at=later,
    )

    kept = list(Exchange.objects.order_by("pk").values_list("at", "iccid", "command_id"))
    assert kept == [(later, "89701010000000000015", 7), (AT, "8970101", None)]


@pytest.mark.parametrize(
    ("fields", "result"),
    [
        ({"status": 202}, "ok"),
        ({"status": 302}, "http_3xx"),
        ({"status": 429}, "http_4xx"),
        ({"status": 503}, "http_5xx"),
        ({"status": None, "error": "нет ответа"}, "lost_reply"),
        ({"status": None, "code": "dns", "error": "нет имени"}, "not_sent_dns"),
    ],
)
def test_result_is_a_word_of_the_transport(account, fields, result):
    exchange_log.keep(account, [http_exchange(**{"reply": "", **fields})], at=AT)

    kept = Exchange.objects.get()

    assert kept.result == result
    assert kept.reply == fields.get("error", "")


def test_call_to_an_operator_is_kept_whole_and_masked(account, tmp_path):
    with running("tmf640", {"token": TOKEN}, tmp_path / "sandbox.json") as bench:
        bench.put(SIM, state="inactive")
        account.base_url = f"{bench.url}/operators/tmf640"
        call = connect(account).call(
            lambda operator: submit(operator, Action.ACTIVATE),
            admit=QuotaGate(account),
            context=CallContext(SIM.iccid, 7),
        )
    record_exchanges(account, call.exchanges)

    kept = list(Exchange.objects.order_by("pk"))
    assert [(one.kind, one.method, one.iccid, one.command_id, one.result) for one in kept] == [
        ("read", "GET", SIM.iccid, 7, "ok"),
        ("submit", "PATCH", SIM.iccid, 7, "ok"),
    ]
    assert f"{account.base_url}/service?supportingResource.iccid=…0015" in kept[0].request
    assert "Idempotency-Key: k-1" in kept[1].request
    assert json.loads(kept[1].request.partition("\n\n")[2]) == {"state": "active"}
    assert kept[0].reply.startswith("HTTP 200\n")
    assert '"iccid": "…0015"' in kept[0].reply
    whole = "".join(one.request + one.reply + one.url for one in kept)
    assert [word for word in (TOKEN, SIM.iccid, SIM.msisdn) if word in whole] == []
    assert abs(kept[0].at - clock.now()) < timedelta(minutes=1)


def test_call_that_did_not_leave_is_kept_with_its_reason(account):
    account.base_url = "http://127.0.0.1:1/partner"

    call = connect(account).call(
        lambda operator: submit(operator, Action.ACTIVATE), admit=QuotaGate(account)
    )
    record_exchanges(account, call.exchanges)

    kept = Exchange.objects.get()
    assert kept.status is None
    assert kept.result == "not_sent_refused"
    assert kept.iccid == ""
    assert kept.command_id is None
    assert kept.reply == "оператор не принимает соединение"


# --- a call that nobody has seen the end of ------------------------------------------------------------

CARD = "89701010000000000015"


def without_exchange(account: OperatorAccount) -> bool:
    """The seventh command was taken to be sent, and a minute later nothing is known of it."""
    return exchange_log.note_missing(
        account=account, iccid=CARD, command_id=7, began_at=AT, at=AT + timedelta(minutes=1)
    )


def test_switch_whose_answer_nobody_recorded_has_a_row(account):
    noted = without_exchange(account)

    kept = Exchange.objects.values().get()
    assert noted
    assert kept == {
        "id": kept["id"],
        "account_id": account.pk,
        "iccid": CARD,
        "command_id": 7,
        "at": AT,
        "kind": "submit",
        "method": "",
        "url": "",
        "status": None,
        "seconds": None,
        "result": "unheard",
        "request": "",
        "reply": (
            "Команду взяли отправить, но записи о вызове нет и ответа на него тоже. Замечено в 12:01 (МСК)."
            " Так бывает, если процесс остановился на полпути: запрос мог уйти, а мог и не уйти."
            " Исход команды уточняем у оператора. Если ответ запишут позже, у него будет своя строка."
        ),
    }


@pytest.mark.parametrize(
    ("known", "noted"),
    [
        ({"kind": "submit", "command_id": 7, "at": AT + timedelta(seconds=1)}, False),
        ({"kind": "submit", "command_id": 7, "at": AT - timedelta(minutes=5)}, True),
        ({"kind": "read", "command_id": 7, "at": AT + timedelta(seconds=1)}, True),
        ({"kind": "submit", "command_id": 8, "at": AT + timedelta(seconds=1)}, True),
    ],
    ids=["this attempt", "an earlier attempt", "a reading before it", "another command"],
)
def test_call_that_is_in_the_log_is_not_unheard(account, known, noted):
    row(account, **known)

    assert without_exchange(account) is noted
    assert Exchange.objects.count() == 1 + noted


# --- thirty days -------------------------------------------------------------------------------------


def test_rows_older_than_thirty_days_go(account):
    row(account, at=AT - timedelta(days=30, seconds=1))
    young = row(account, at=AT - timedelta(days=30))

    gone = exchange_log.purge(at=AT)

    assert gone == 1
    assert list(Exchange.objects.values_list("pk", flat=True)) == [young.pk]


def test_purge_goes_batch_by_batch_the_oldest_first(account, monkeypatch):
    monkeypatch.setattr(purge, "PURGE_BATCH", 2)
    for days in (40, 50, 60, 70, 80, 90):
        row(account, at=AT - timedelta(days=days))

    stopped = exchange_log.purge(at=AT, seconds=0)
    left = [(AT - at).days for at in Exchange.objects.order_by("at").values_list("at", flat=True)]
    rest = exchange_log.purge(at=AT)

    assert stopped == 2
    assert left == [70, 60, 50, 40]
    assert rest == 4


def event(account: OperatorAccount, state: str, **age: float) -> str:
    """An operator's event of that age; gives its number."""
    name = f"{state}-{len(Callback.objects.all())}"
    at = clock.now() - timedelta(**age)
    Callback.objects.create(
        account=account,
        event_id=name,
        event_type="serviceStateChangeEvent",
        occurred_at=at,
        received_at=at,
        payload={},
        state=state,
    )
    return name


def test_hourly_task_purges_by_the_product_s_clock(account):
    row(account, at=clock.now() - timedelta(days=31))
    young = row(account, at=clock.now() - timedelta(days=29))
    for state in ("done", "parked"):
        event(account, state, days=31)
    stay = {
        event(account, "done", days=29),
        event(account, "parked", days=29),
        # Whatever still waits will be processed first.
        event(account, "new", days=31),
    }

    tasks.purge()

    assert list(Exchange.objects.values_list("pk", flat=True)) == [young.pk]
    assert set(Callback.objects.values_list("event_id", flat=True)) == stay


def test_events_are_purged_batch_by_batch_the_oldest_first(account, monkeypatch):
    monkeypatch.setattr(purge, "PURGE_BATCH", 2)
    names = [event(account, "done", days=days) for days in (50, 40, 60)]

    gone = [inbox.purge(at=clock.now(), seconds=0)]
    left = list(Callback.objects.values_list("event_id", flat=True))
    gone += [inbox.purge(at=clock.now()), inbox.purge(at=clock.now())]

    assert gone == [2, 1, 0]
    assert left == [names[1]]


# --- staff look at it ----------------------------------------------------------------------------------


def test_log_is_for_support_only_and_nobody_writes_in_it(account):
    one = row(account)
    pages = (LIST, f"{LIST}{one.pk}/change/", f"{LIST}add/", f"{LIST}{one.pk}/delete/")

    clients = {name: of_group(name) for name in ("Поддержка", "Склад", "Финансы")}

    answers = {
        name: [client.get(page).status_code for page in pages] for name, client in clients.items()
    }

    assert answers == {
        "Поддержка": [200, 200, 403, 403],
        "Склад": [403, 403, 403, 403],
        "Финансы": [403, 403, 403, 403],
    }


def test_log_is_filtered_by_card_and_by_command(account):
    client = of_group("Поддержка")
    first = row(account, iccid="89701010000000000015", command_id=7)
    second = row(account, iccid="89701010000000000015", at=AT - timedelta(hours=1))
    third = row(account, iccid="89701010000000000999", command_id=70)

    answers = [
        listed(client.get(f"{LIST}{query}"))
        for query in (
            "?iccid=89701010000000000015",
            "?command_id=7",
            "?q=89701010000000000999",
            "?q=8970 1010 0000 0000 0999",
            "?q=70",
            "?q=nonsense",
            "?iccid=89701010000000000015&command_id=7",
            "",
        )
    ]

    assert answers == [
        [first.pk, second.pk],
        [first.pk],
        [third.pk],
        [third.pk],
        [third.pk],
        [],
        [first.pk],
        [third.pk, first.pk, second.pk],
    ]


def test_exchange_page_shows_both_sides_escaped(account):
    one = row(account, request="GET /state\n\n<b>", reply="HTTP 200\n\n<script>", command_id=7)

    page = of_group("Поддержка").get(f"{LIST}{one.pk}/change/").content.decode()

    assert '<pre class="exchange-text">GET /state\n\n&lt;b&gt;</pre>' in page
    assert '<pre class="exchange-text">HTTP 200\n\n&lt;script&gt;</pre>' in page
    assert '<a href="/admin/smartcards/command/7/change/">№ 7</a>' in page


def test_list_counts_at_most_its_longest_length(account, monkeypatch):
    monkeypatch.setattr("operators.admin.log_admin.CappedPaginator.FARTHEST", 3)
    for _ in range(5):
        row(account)

    answer = of_group("Поддержка").get(LIST)

    assert answer.context["cl"].result_count == 3


def test_call_without_an_end_is_shown_as_one(account):
    client = of_group("Поддержка")
    without_exchange(account)
    row(account)
    one = Exchange.objects.get(result="unheard")

    listing = client.get(f"{LIST}?result__exact=unheard")
    by_card = client.get(f"{LIST}?iccid={CARD}&command_id=7")
    page = client.get(f"{LIST}{one.pk}/change/").content.decode()

    assert listed(listing) == [one.pk]
    assert listed(by_card) == [one.pk]
    assert "ответ не записан вовремя" in listing.content.decode()
    assert "запрос мог уйти, а мог и не уйти" in page
    assert '<pre class="exchange-text">—</pre>' in page


def test_exchanges_are_filtered_by_kind_and_result(account):
    client = of_group("Поддержка")
    refused = row(account, kind="submit", result="http_4xx")
    stayed = row(account, kind="read", result="not_sent_dns", at=AT - timedelta(hours=1))

    found = {
        query: listed(client.get(f"{LIST}?{query}"))
        for query in (
            "kind__exact=submit",
            "result__exact=http_4xx",
            "result__exact=not_sent_dns",
            "",
        )
    }
    page = client.get(LIST).content.decode()

    assert found == {
        "kind__exact=submit": [refused.pk],
        "result__exact=http_4xx": [refused.pk],
        "result__exact=not_sent_dns": [stayed.pk],
        "": [refused.pk, stayed.pk],
    }
    assert "не отправлено: адрес не найден" in page
    assert "22.11.2026 12:00:00" in page
