"""«Подписаться»: what is asked at the operator's `/hub`, what is kept of it, what staff are told."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings as django_settings
from django.db import IntegrityError, connection
from django.test import Client

from cabinet.actors import SYSTEM
from cabinet.models import Alert, AuditEvent
from cabinet.sandbox.http import Request, Response, Route, Wire, json_response
from cabinet.sandbox.server import serving
from operators import quota, services, tasks
from operators.hub import HubRefused
from operators.lanes import hold_lane
from operators.models import Callback, Exchange, HubSubscription, OperatorAccount
from operators.services import note_new_keys
from operators.subscribing import HubView, hub_views, subscribe, unsubscribe
from operators.tests.bench import Bench, own_clock, running
from operators.tests.signing import SECRET
from operators.tests.test_exchanges import of_group
from operators.tests.test_partner_api import PATH, TOKEN, Sink

__all__ = ["own_clock"]

pytestmark = pytest.mark.django_db(transaction=True)

AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
LATER = AT + timedelta(days=1)
PAGE = "/admin/operators/callback/hubs/"
OURS = "https://cabinet.example.ru"
ADDRESS = f"{OURS}/operators/partner/callback"


@dataclass
class Partner:
    """A partner that answers at `/hub` as it is told, and keeps what it was asked.

    `answers` are given first, one a call.
    """

    made: Response = field(default_factory=lambda: json_response({"id": "sub-1"}, 201))
    gone: Response = field(default_factory=lambda: Response(status=204))
    let_in: Response = field(default_factory=lambda: json_response({"access_token": "new"}))
    asked: list[tuple[str, str, Any, str]] = field(default_factory=list)
    answers: list[Response] = field(default_factory=list)
    hold: threading.Event | None = None
    name: str = "partner"

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/api/hub", lambda request: self._answer(request, self.made)),
            Route("DELETE", "/api/hub/.+", lambda request: self._answer(request, self.gone)),
            Route("POST", "/api/token", lambda _request: self.let_in),
        ]

    def _answer(self, request: Request, answer: Response) -> Response:
        body = request.json() if request.body else None
        self.asked.append(
            (request.method, request.path, body, request.headers.get("authorization", ""))
        )
        if self.hold is not None:
            self.hold.wait(5)
        return self.answers.pop(0) if self.answers else answer

    def panel(self) -> str:
        return ""

    def dump(self) -> Any:
        return None

    def load(self, data: Any) -> None:
        pass


@pytest.fixture(autouse=True)
def _world(settings: Any) -> None:
    settings.PUBLIC_URL = OURS
    quota.client(django_settings.REDIS_URL).flushdb()


@pytest.fixture
def partner() -> Partner:
    return Partner()


@pytest.fixture
def account(partner: Partner, tmp_path: Path) -> Iterator[OperatorAccount]:
    with serving([partner], port=0, state=tmp_path / "partner.json") as server:
        yield contract(base_url=f"http://127.0.0.1:{server.server_port}/api")


def contract(**fields: Any) -> OperatorAccount:
    given = {
        "code": "partner",
        "title": "Партнёр",
        "adapter": "tmf640",
        "credentials": TOKEN,
        "callback_secret": SECRET,
        "timeout_seconds": 3,
        "lease_seconds": 10,
        **fields,
    }
    return OperatorAccount.objects.create(**given)


def kept() -> list[tuple[str, str, datetime]]:
    return list(HubSubscription.objects.values_list("number", "callback", "since"))


def journal() -> list[tuple[str, str]]:
    return list(AuditEvent.objects.order_by("pk").values_list("action", "text"))


def refused(deed: Any, account: OperatorAccount) -> str:
    with pytest.raises(HubRefused) as refusal:
        deed(account=account, by=SYSTEM, at=AT)
    return refusal.value.sentence.replace("\u00a0", " ")


AGAIN = "Нажмите ещё раз: лишняя подписка не помешает, одно событие мы принимаем один раз."
SUBSCRIBED = (
    "account.subscribed",
    "Оформлена подписка на уведомления оператора по договору «Партнёр»",
)
UNSUBSCRIBED = (
    "account.unsubscribed",
    "Снята подписка на уведомления оператора по договору «Партнёр»",
)


# --- subscribing --------------------------------------------------------------------------------


def test_subscription_is_asked_for_and_kept(partner, account):
    left = subscribe(account=account, by=SYSTEM, at=AT)

    bearer = "Bearer demo-partner-token"
    assert partner.asked == [("POST", "/api/hub", {"callback": ADDRESS}, bearer)]
    assert (left, kept(), journal()) == ("", [("sub-1", ADDRESS, AT)], [SUBSCRIBED])
    assert SECRET not in str(HubSubscription.objects.values().get())
    row = Exchange.objects.get()
    assert (row.method, row.status, row.url.endswith("/api/hub")) == ("POST", 201, True)


def test_new_subscription_takes_the_place_of_the_former(partner, account):
    subscribe(account=account, by=SYSTEM, at=AT)
    partner.made = json_response({"id": "a/b"}, 201)

    left = subscribe(account=account, by=SYSTEM, at=LATER)

    asked = [(method, path) for method, path, _, _ in partner.asked]
    assert asked == [("POST", "/api/hub"), ("POST", "/api/hub"), ("DELETE", "/api/hub/sub-1")]
    assert (left, kept()) == ("", [("a/b", ADDRESS, LATER)])


def test_operator_that_gives_the_same_number_again_keeps_it(partner, account):
    subscribe(account=account, by=SYSTEM, at=AT)

    left = subscribe(account=account, by=SYSTEM, at=LATER)

    assert [method for method, *_ in partner.asked] == ["POST", "POST"]
    assert (left, kept()) == ("", [("sub-1", ADDRESS, LATER)])


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        (Response(status=405), ""),
        (
            json_response({"code": "500", "reason": "no"}, 500),
            f" У оператора сбой (ответ 500). Что он сделал, неизвестно. {AGAIN}",
        ),
    ],
)
def test_former_that_stays_at_the_operator_is_told(partner, account, gone, told):
    subscribe(account=account, by=SYSTEM, at=AT)
    partner.made, partner.gone = json_response({"id": 2}, 201), gone

    left = subscribe(account=account, by=SYSTEM, at=LATER)

    said = "Прежняя подписка № sub-1 у оператора осталась: попросите её снять."
    assert (left, kept()) == (f"{said}{told}", [("2", ADDRESS, LATER)])


def test_former_at_another_address_of_the_operator_is_not_touched(partner, account):
    subscribe(account=account, by=SYSTEM, at=AT)
    HubSubscription.objects.update(base_url="https://stand.example.com", number="other")

    left = subscribe(account=account, by=SYSTEM, at=LATER)

    assert [method for method, *_ in partner.asked] == ["POST", "POST"]
    assert left == "Прежняя подписка № other у оператора осталась: попросите её снять."


def error(status: int, **body: Any) -> Response:
    return json_response(body, status)


NO_HUB = f"Попросите его вписать наш адрес у себя: {ADDRESS}"
NO_TURN = "Сейчас вызовы не уходят: квота занята или оператор попросил подождать. Повторите через "
REDIS_AWAY = "Не отвечает Redis, а без счётчика вызовов ничего не отправляется. Повторите позже."
TAKEN = "Подпиской уже занят другой сотрудник. Повторите через минуту."
KEYS_REFUSED = "Оператор не принял ключ договора. Исправьте ключ и нажмите «Проверить связь»."
NAMELESS = (
    "Оператор подписал нас, но не назвал номера подписки (id), и снять её отсюда будет нельзя."
    " Покажите это оператору: ответ лежит в журнале обмена."
)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (error(404), f"У оператора нет вызова /hub (ответ 404). {NO_HUB}"),
        (error(501), f"У оператора нет вызова /hub (ответ 501). {NO_HUB}"),
        (error(401), KEYS_REFUSED),
        (error(403), "Ключ договора не даёт права на подписку: попросите оператора его дать."),
        (
            error(400, code="badAddress", reason="Only https here"),
            "Оператор отказал (ответ 400): Only https here",
        ),
        (error(409), "Оператор отказал (ответ 409): без объяснения"),
        (error(429), "Оператор просит подождать. Потом нажмите ещё раз."),
        (
            Response(status=503, headers={"Retry-After": "90"}),
            "Оператор просит подождать 90 с. Потом нажмите ещё раз.",
        ),
        (error(500), f"У оператора сбой (ответ 500). Что он сделал, неизвестно. {AGAIN}"),
        (Response(status=302), f"У оператора сбой (ответ 302). Что он сделал, неизвестно. {AGAIN}"),
        (
            Response(wire=Wire.CUT),
            f"Ответ оператора не получен целиком. Что он сделал, неизвестно. {AGAIN}",
        ),
        (json_response({}, 201), NAMELESS),
        (json_response([{"id": "1"}], 201), NAMELESS),
        (json_response({"id": "x" * 201}, 201), NAMELESS),
        (Response(status=201, body=b"<html>", content_type="text/html"), NAMELESS),
    ],
)
def test_operator_that_does_not_subscribe_is_understood(partner, account, answer, sentence):
    partner.made = answer

    assert refused(subscribe, account) == sentence
    assert (kept(), journal()) == ([], [])
    assert Exchange.objects.count() == 1


def test_operator_that_is_not_there_is_told(account):
    account.base_url = "http://127.0.0.1:1"

    assert refused(subscribe, account) == (
        "Связи нет: оператор не принимает соединение not_sent_refused"
    )


def test_our_own_quota_is_told(partner, account):
    account.per_minute = 1
    account.save()
    subscribe(account=account, by=SYSTEM, at=AT)

    said = refused(subscribe, account)

    assert said.startswith(NO_TURN)
    assert len(partner.asked) == 1


def test_pause_that_the_operator_asks_for_is_obeyed(partner, account):
    partner.made = Response(status=429, headers={"Retry-After": "40"})
    refused(subscribe, account)

    assert 30 < quota.pause_left(account) <= 40
    assert refused(subscribe, account).startswith(NO_TURN)
    assert len(partner.asked) == 1


def test_line_that_may_only_call_alone_is_waited_for(partner, account):
    account.concurrency = 1
    account.save()
    with lane_taken(account):
        said = refused(subscribe, account)
    subscribe(account=account, by=SYSTEM, at=AT)

    assert said == (
        "Этот оператор принимает только один вызов за раз, и сейчас ему уходят команды."
        " Повторите через минуту."
    )
    assert len(partner.asked) == 1


@contextmanager
def lane_taken(account: OperatorAccount) -> Iterator[None]:
    """A line of another process: it has a session of its own."""
    begun, over = threading.Event(), threading.Event()

    def line() -> None:
        with hold_lane(account.pk):
            begun.set()
            over.wait(10)
        connection.close()

    thread = threading.Thread(target=line)
    thread.start()
    begun.wait(10)
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def test_redis_that_is_away_is_told(partner, account, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    assert refused(subscribe, account) == REDIS_AWAY
    assert partner.asked == []


OAUTH = {"client_id": "id", "client_secret": "secret"}


def test_login_of_the_workers_is_not_waited_for(partner, account):
    account.credentials = OAUTH | {"token_url": f"{account.base_url}/token"}
    account.save()
    others = services.workers_tokens(account)

    with others.lock("token:partner"):
        subscribe(account=account, by=SYSTEM, at=AT)

    assert [bearer for *_, bearer in partner.asked] == ["Bearer new"]
    assert others.get("token:partner") is None


def since_refused(account: OperatorAccount) -> bool:
    return OperatorAccount.objects.get(pk=account.pk).keys_refused_since is not None


def test_refused_key_is_known_till_it_is_accepted(partner, account):
    partner.answers = [error(401)]

    said = refused(subscribe, account)
    after_refusal = since_refused(account)
    subscribe(account=account, by=SYSTEM, at=LATER)

    assert (said, after_refusal, since_refused(account)) == (KEYS_REFUSED, True, False)


def test_refused_login_is_known_too(partner, account):
    account.credentials = OAUTH | {"token_url": f"{account.base_url}/token"}
    account.save()
    partner.let_in = error(401)

    assert (refused(subscribe, account), since_refused(account)) == (KEYS_REFUSED, True)
    assert partner.asked == []


def test_without_a_secret_nothing_is_asked(partner, account):
    account.callback_secret = " \n"

    assert refused(subscribe, account) == (
        "Впишите в договоре «Ключ подписи уведомлений»: без него события не принимаются."
    )
    assert partner.asked == []


def test_unreadable_keys_are_told(partner, account, settings):
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]

    said = "Ключи договора не читаются: ключ шифрования сменился. Введите их заново."
    unread = OperatorAccount.objects.get()
    assert refused(subscribe, unread) == said
    assert refused(unsubscribe, unread) == said
    assert partner.asked == []


def test_of_two_people_at_once_the_second_is_told_and_waits_for_nothing(partner, account):
    partner.hold = threading.Event()

    def click() -> None:
        subscribe(account=account, by=SYSTEM, at=AT)
        connection.close()

    first = threading.Thread(target=click)
    first.start()
    while not partner.asked:
        time.sleep(0.02)
    began = time.monotonic()
    told = [refused(subscribe, account), refused(unsubscribe, account)]
    took = time.monotonic() - began
    partner.hold.set()
    first.join(20)

    assert (told, took < 1) == ([TAKEN, TAKEN], True)
    assert ([method for method, *_ in partner.asked], len(kept())) == (["POST"], 1)


def test_row_without_a_number_is_refused(account):
    with pytest.raises(IntegrityError, match="hub_subscription_has_number"):
        HubSubscription.objects.create(account=account, number="", since=AT)


def test_subscription_is_called_by_its_contract_and_number():
    row = HubSubscription(account=OperatorAccount(title="Партнёр"), number="77")

    assert str(row) == "Партнёр: 77"


# --- unsubscribing ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 202, 204, 404, 410])
def test_subscription_is_let_go(partner, account, status):
    subscribe(account=account, by=SYSTEM, at=AT)
    partner.gone = Response(status=status)

    left = unsubscribe(account=account, by=SYSTEM, at=LATER)

    assert [(method, path) for method, path, *_ in partner.asked[1:]] == [
        ("DELETE", "/api/hub/sub-1")
    ]
    assert (left, kept(), journal()) == ("", [], [SUBSCRIBED, UNSUBSCRIBED])


def test_subscription_that_cannot_be_let_go_from_here_is_told(partner, account):
    subscribe(account=account, by=SYSTEM, at=AT)
    partner.gone = Response(status=405)

    left = unsubscribe(account=account, by=SYSTEM, at=LATER)

    said = "Отсюда её снять нельзя: попросите оператора снять подписку № sub-1."
    assert (left, kept()) == (said, [])


def test_subscription_at_another_address_is_only_forgotten(partner, account):
    subscribe(account=account, by=SYSTEM, at=AT)
    HubSubscription.objects.update(base_url="https://stand.example.com")

    left = unsubscribe(account=account, by=SYSTEM, at=LATER)

    said = "Отсюда её снять нельзя: попросите оператора снять подписку № sub-1."
    assert (left, kept(), len(partner.asked)) == (said, [], 1)


def test_subscription_stays_while_the_operator_refuses(partner, account):
    subscribe(account=account, by=SYSTEM, at=AT)
    partner.gone = error(403)

    assert refused(unsubscribe, account) == (
        "Ключ договора не даёт права на подписку: попросите оператора его дать."
    )
    assert (kept(), journal()) == ([("sub-1", ADDRESS, AT)], [SUBSCRIBED])


def test_what_is_not_there_is_not_let_go(partner, account):
    assert refused(unsubscribe, account) == "Подписки уже нет."
    assert partner.asked == []


# --- what has changed since ---------------------------------------------------------------------


def outdated() -> tuple[str, ...]:
    (view,) = hub_views()
    return view.outdated


MOVED = "Адрес кабинета изменился, а события идут на прежний."
OTHER_SECRET = "Ключ подписи с тех пор менялся."
OTHER_BASE = "Адрес API оператора изменился, а подписка осталась на прежнем."


def test_view_says_what_is_and_since_when(account):
    before = hub_views()
    subscribe(account=account, by=SYSTEM, at=AT)
    for number, at in (("e-1", AT), ("e-2", LATER)):
        Callback.objects.create(
            account=account,
            event_id=number,
            event_type="x",
            occurred_at=at,
            received_at=at,
            payload={},
        )
    contract(code="mts", title="МТС", adapter="mts")

    assert before == [HubView(account, ADDRESS, None, None, (), "")]
    hub = HubSubscription.objects.get()
    assert hub_views() == [HubView(account, ADDRESS, hub, LATER, (), "")]


def test_what_has_changed_since_is_seen(account, settings):
    subscribe(account=account, by=SYSTEM, at=AT)
    rows = OperatorAccount.objects.filter(pk=account.pk)
    seen = [outdated()]
    account.callback_secret = f"another\n{SECRET}"
    account.save()
    seen.append(outdated())
    rows.update(base_url="https://new.example.com")
    settings.PUBLIC_URL = "https://new.example.ru"
    seen.append(outdated())
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]
    seen.append(outdated())

    everything = (MOVED, OTHER_BASE, OTHER_SECRET)
    assert seen == [(), (OTHER_SECRET,), everything, everything]


def test_order_of_two_secrets_does_not_matter(account):
    account.callback_secret = "one\ntwo"
    account.save()
    subscribe(account=account, by=SYSTEM, at=AT)
    account.callback_secret = "two\none\n"
    account.save()

    assert outdated() == ()


def alerts() -> list[tuple[str, str, bool]]:
    rows = Alert.objects.order_by("pk")
    return [(row.text, row.link, row.closed_at is not None) for row in rows]


def test_staff_are_told_of_a_changed_secret_until_we_subscribe_anew(account):
    subscribe(account=account, by=SYSTEM, at=AT)
    note_new_keys(account_id=account.pk, by=SYSTEM, at=AT)
    before = alerts()
    account.callback_secret = "another"
    account.save()

    note_new_keys(account_id=account.pk, by=SYSTEM, at=AT)
    told = alerts()
    subscribe(account=account, by=SYSTEM, at=LATER)

    text = f"Партнёр: подписка на уведомления устарела. {OTHER_SECRET} Подпишитесь заново."
    assert (before, told, alerts()) == ([], [(text, PAGE, False)], [(text, PAGE, True)])


def test_matter_is_closed_where_the_old_secret_is_back(account):
    subscribe(account=account, by=SYSTEM, at=AT)
    for secret in ("another", SECRET):
        account.callback_secret = secret
        account.save()
        note_new_keys(account_id=account.pk, by=SYSTEM, at=AT)

    assert [closed for *_, closed in alerts()] == [True]


def test_staff_are_told_of_our_own_changed_address_within_an_hour(account, settings):
    subscribe(account=account, by=SYSTEM, at=AT)
    seen = []
    for address in (OURS, "https://new.example.ru", OURS):
        settings.PUBLIC_URL = address
        tasks.purge()
        seen.append(alerts())

    text = f"Партнёр: подписка на уведомления устарела. {MOVED} Подпишитесь заново."
    assert seen == [[], [(text, PAGE, False)], [(text, PAGE, True)]]


def test_contract_without_a_subscription_is_no_matter(account):
    note_new_keys(account_id=account.pk, by=SYSTEM, at=AT)

    assert alerts() == []


# --- staff's page -------------------------------------------------------------------------------


@pytest.fixture
def boss(admin_client: Client) -> Client:
    return admin_client


BUTTONS = ("Подписаться", "Подписаться заново", "Отписаться")


def said(client: Client, deed: str, account: OperatorAccount) -> list[str]:
    page = client.post(f"{PAGE}{account.pk}/", {deed: "1"}, follow=True)
    return [f"{one.level_tag}: {one.message}" for one in page.context["messages"]]


def test_staff_subscribe_and_unsubscribe_by_a_button(boss, partner, account):
    partner.gone = Response(status=405)
    shown = [boss.get(PAGE).content.decode()]

    told = [said(boss, "subscribe", account)]
    shown.append(boss.get(PAGE).content.decode())
    told.append(said(boss, "unsubscribe", account))
    told.append(said(boss, "unsubscribe", account))

    assert told == [
        ["success: «Партнёр»: подписка оформлена, события пойдут сами."],
        [
            "success: «Партнёр»: подписка снята.",
            "warning: Отсюда её снять нельзя: попросите оператора снять подписку № sub-1.",
        ],
        ["error: «Партнёр»: Подписки уже нет."],
    ]
    words = ("Подписки нет.", "Подписаны с", *map('value="{}"'.format, BUTTONS))
    assert [[word in page for word in words] for page in shown] == [
        [True, False, True, False, False],
        [False, True, False, True, True],
    ]
    actors = AuditEvent.objects.filter(action__startswith="account.").values_list("actor_kind")
    assert set(actors) == {("staff",)}


def test_page_says_what_is_missing_and_what_is_out_of_date(boss, account, settings):
    subscribe(account=account, by=SYSTEM, at=AT)
    account.callback_secret = ""
    account.save()

    page = boss.get(PAGE).content.decode()

    assert f'<p class="errornote">{OTHER_SECRET}</p>' in page
    assert "Впишите в договоре «Ключ подписи уведомлений»" in page
    assert [f'value="{button}"' in page for button in BUTTONS] == [False, False, True]


def test_page_without_partners_says_so(boss):
    assert "Договоров с партнёрами по TMF640 нет." in boss.get(PAGE).content.decode()


def test_list_of_events_leads_to_the_page(boss):
    link = f'<a href="{PAGE}">Подписки у операторов</a>'

    assert link in boss.get("/admin/operators/callback/").content.decode()


def test_support_looks_and_only_who_keeps_contracts_presses(partner, account):
    support, stock = of_group("Поддержка"), of_group("Склад")

    answers = [
        (client.get(PAGE).status_code, client.post(f"{PAGE}{account.pk}/").status_code)
        for client in (support, stock)
    ]

    assert answers == [(200, 403), (403, 403)]
    assert 'type="submit" class="default"' not in support.get(PAGE).content.decode()
    assert partner.asked == []


def test_only_known_deeds_and_contracts_with_a_hub_are_taken(boss, partner, account):
    mts = contract(code="mts", title="МТС", adapter="mts")

    answers = [
        boss.post(f"{PAGE}{account.pk}/", {"else": "1"}).status_code,
        boss.post(f"{PAGE}{mts.pk}/", {"subscribe": "1"}).status_code,
        boss.get(f"{PAGE}{account.pk}/").status_code,
        boss.post(PAGE).status_code,
    ]

    assert (answers, partner.asked) == ([403, 404, 405, 405], [])


# --- with the played partner --------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path: Path, own_clock: None) -> Iterator[Bench]:
    with running("tmf640", TOKEN, tmp_path / "sandbox.json") as bench:
        yield bench


def test_played_partner_sends_events_to_whom_has_pressed_the_button(bench, settings, tmp_path):
    sink = Sink()
    with serving([sink], port=0, state=tmp_path / "sink.json") as server:
        settings.PUBLIC_URL = f"http://127.0.0.1:{server.server_port}"
        ours = contract(base_url=f"{bench.url}{PATH}", callback_secret="demo-callback-secret")
        subscribe(account=ours, by=SYSTEM, at=AT)
        bench.put(state="held", reason="debt")
        (delivery,) = sink.wait_for(1)
        left = unsubscribe(account=ours, by=SYSTEM, at=LATER)

    answer = Client().post(
        delivery.path,
        delivery.body,
        content_type="application/json",
        headers={"X-Signature": delivery.headers["x-signature"]},
    )
    assert (answer.status_code, left, json.loads(delivery.body)["eventType"]) == (
        200,
        "",
        "serviceStateChangeEvent",
    )
