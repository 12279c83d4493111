"""The sandbox market: its hooks, its money, its days, its cloud, its pages."""

import http.client
import json
import re
from collections import defaultdict
from contextlib import closing
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode, urlsplit

import pytest
from django.conf import settings as django_settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cabinet import clock
from cabinet.demo import MERCHANTS
from cabinet.sandbox.server import serving
from subscriptions.demo import seed
from subscriptions.evotor import demo as product_demo
from subscriptions.evotor.fold import fold
from subscriptions.evotor.models import Account as ProductAccount
from subscriptions.evotor.models import Delivery
from subscriptions.evotor.sandbox.accounts import (
    PLANS,
    Billing,
    NotPossible,
    PricedPlan,
    change_kopecks,
)
from subscriptions.evotor.sandbox.actions import ActionRequest, Addon
from subscriptions.evotor.sandbox.demo import demo_accounts
from subscriptions.evotor.sandbox.hooks import Answer, post, user_create
from subscriptions.evotor.sandbox.market import Market
from subscriptions.evotor.sandbox.routes import MarketPart
from subscriptions.evotor.schemas import (
    INSTALLED,
    UNINSTALLED,
    parse_installation_event,
    parse_subscription_event,
    parse_user_create,
    parse_user_token,
)
from subscriptions.rules import MarketStatus as Status

USER = "01-000000000000777"
PRODUCT = "5f0c2a7e-3d1b-4c8e-9a64-1b7d2f8c9e10"
NOW = datetime(2026, 3, 31, 9, tzinfo=UTC)
DAY = timedelta(days=1)
HOOKS = {
    "/api/v1/user/create": parse_user_create,
    "/api/v1/user/token": parse_user_token,
    "/api/v1/subscription/event": parse_subscription_event,
    "/api/v2/installation/event": parse_installation_event,
}


class Product:
    """The product's side of the hooks: it reads each by the real schema and keeps what it answered."""

    def __init__(self):
        self.got = []
        self.down = False

    def post(self, message):
        if self.down:
            return Answer()
        parsed = HOOKS[message.path](dict(message.body))
        self.got.append(parsed)
        body = {"userId": message.user_id, "token": f"token-of-{message.user_id}"}
        return Answer(200, body if message.path == "/api/v1/user/create" else {})

    def states(self):
        """Each market subscription as the product folds it, in the order of their beginning."""
        events_of = defaultdict(list)
        for event in self.got:
            if hasattr(event, "number"):
                events_of[event.subscription_id].append(event)
        return [fold(events, addon_id="smartcard") for events in events_of.values()]

    @property
    def state(self):
        return self.states()[-1]

    def names(self):
        return [type(event).__name__ for event in self.got]

    def installations(self):
        return [event.type for event in self.got if hasattr(event, "installed")]


@pytest.fixture
def product():
    return Product()


@pytest.fixture
def market(product):
    return Market(post=product.post)


def act(market, action, at=NOW, **order):
    return market.act(action, USER, PRODUCT, ActionRequest(at, **order), at)


def test_install_sends_the_documented_hooks_in_order(market, product):
    act(market, "install", plan_id="kassovye-3m", devices=2, addons=[Addon("smartcard", 3)])

    state = product.state
    assert product.names() == [
        "UserCreate",
        "Created",
        "AddonsUpdated",
        "Activated",
        "InstallationEvent",
        "UserToken",
    ]
    assert [event.number for event in product.got[1:4]] == [1, 2, 3]
    assert state.status == Status.ACTIVATED
    assert state.paid_until == datetime(2026, 6, 30, 9, tzinfo=UTC)
    assert state.terms.cards == 5
    assert state.last_charged_kopecks == 5 * 810_00
    assert market.account(USER).token == f"token-of-{USER}"


def test_install_on_trial_takes_no_money(market, product):
    act(market, "install", trial_days=14)

    assert product.names() == ["UserCreate", "Created", "InstallationEvent", "UserToken"]
    assert product.state.trial_until == NOW + 14 * DAY
    assert product.state.paid_until is None


def test_end_of_the_trial_is_paid(market, product):
    act(market, "install", trial_days=14)

    market.advance(NOW + 15 * DAY)

    assert product.state.periods[-1].starts_at == NOW + 14 * DAY
    assert product.state.paid_until == datetime(2026, 5, 14, 9, tzinfo=UTC)


def test_months_that_pass_at_once_are_billed_one_by_one(market, product):
    act(market, "install", plan_id="kassovye-1m")

    market.advance(NOW + 100 * DAY)

    ends = [period.ends_at.date().isoformat() for period in product.state.periods]
    assert ends == ["2026-04-30", "2026-05-31", "2026-06-30", "2026-07-31"]
    assert product.names().count("Renewed") == 3
    assert [event.at for event in product.got if type(event).__name__ == "Renewed"] == [
        period.starts_at for period in product.state.periods[1:]
    ]


def test_without_money_the_market_tries_for_five_days_and_removes(market, product):
    act(market, "install", plan_id="kassovye-1m")
    market.set_billing(USER, Billing.REFUSES)
    due = product.state.paid_until

    market.advance(due + 5 * DAY - timedelta(seconds=1))
    before = product.state.status
    market.advance(due + 5 * DAY)

    assert before == Status.ACTIVATED
    assert product.state.status == Status.TERMINATED
    assert product.state.entitled_until == due + 5 * DAY
    assert product.installations() == [INSTALLED, UNINSTALLED]


def test_late_payment_counts_from_the_due_day(market, product):
    act(market, "install", plan_id="kassovye-1m")
    market.set_billing(USER, Billing.REFUSES)
    due = product.state.paid_until
    market.advance(due + 2 * DAY)

    market.set_billing(USER, Billing.PAYS)
    market.advance(due + 4 * DAY)

    assert product.got[-1].at == due + 3 * DAY
    assert product.state.periods[-1].starts_at == due
    assert product.state.paid_until.date().isoformat() == "2026-05-31"


def test_stopped_subscription_ends_with_what_is_paid(market, product):
    act(market, "install", plan_id="kassovye-1m")
    act(market, "request_termination", at=NOW + DAY)
    paid_until = product.state.paid_until

    market.advance(paid_until + 3 * DAY)

    assert product.names()[-3:] == ["TerminationRequested", "Terminated", "InstallationEvent"]
    assert product.state.entitled_until == paid_until


def test_removal_and_return_in_the_paid_time_are_free(market, product):
    act(market, "install", plan_id="kassovye-1m", devices=2)
    paid_until = product.state.paid_until
    act(market, "uninstall", at=NOW + DAY)
    asked = product.state.stop_requested_at

    act(market, "install", at=NOW + 2 * DAY, plan_id="kassovye-3m", devices=2)

    assert asked == NOW + DAY
    assert product.names()[6:] == [
        "InstallationEvent",
        "UserCreate",
        "Renewed",
        "TermsChanged",
        "InstallationEvent",
        "UserToken",
    ]
    assert product.installations() == [INSTALLED, UNINSTALLED, INSTALLED]
    assert product.state.stop_requested_at is None
    assert product.state.paid_until == paid_until
    assert product.state.last_charged_kopecks == 600_00


def test_after_the_end_a_purchase_is_another_subscription(market, product):
    act(market, "install")
    act(market, "terminate", at=NOW + 40 * DAY)

    act(market, "install", at=NOW + 50 * DAY)

    first, second = product.states()
    assert first.status == Status.TERMINATED
    assert second.status == Status.ACTIVATED
    assert second.paid_until == datetime(2026, 6, 20, 9, tzinfo=UTC)


def test_early_renewal_adds_a_whole_period(market, product):
    act(market, "install", plan_id="kassovye-1m")

    act(market, "renew", at=NOW + 5 * DAY)

    assert product.state.paid_until == datetime(2026, 5, 31, 9, tzinfo=UTC)


def test_ended_subscription_revives_from_the_payment(market, product):
    act(market, "install", plan_id="kassovye-1m")
    market.set_billing(USER, Billing.BY_HAND)
    act(market, "terminate", at=NOW + 31 * DAY)

    act(market, "renew", at=NOW + 40 * DAY)

    assert product.state.status is Status.ACTIVATED
    assert product.state.periods[-1].starts_at == NOW + 40 * DAY
    assert product.installations() == [INSTALLED, UNINSTALLED, INSTALLED]


def test_more_cards_cost_the_difference_for_the_days_left(market, product):
    act(market, "install", at=datetime(2026, 4, 1, 9, tzinfo=UTC), plan_id="kassovye-1m")

    act(market, "change_terms", at=datetime(2026, 4, 15, 9, tzinfo=UTC), devices=3)

    changed = product.got[-1]
    assert changed.plan_id is None
    assert changed.devices == 3
    assert changed.next_billing_at is None
    assert changed.charged.kopecks == 2 * 300_00 * 16 // 30


def test_fewer_cards_return_nothing(market, product):
    act(market, "install", devices=5)

    act(market, "change_terms", at=NOW + DAY, devices=1)

    assert product.got[-1].charged is None
    assert [period.terms.devices for period in product.state.periods] == [5]


def test_documented_example_of_a_dearer_plan_costs_48_roubles():
    cheap, dear = (
        PLANS[0].__class__(name, name, 1, kop) for name, kop in (("a", 9000), ("b", 18000))
    )
    month = {"since": datetime(2026, 4, 1, tzinfo=UTC), "until": datetime(2026, 5, 1, tzinfo=UTC)}

    charged = change_kopecks(
        old=PricedPlan(cheap, 1),
        new=PricedPlan(dear, 1),
        at=datetime(2026, 4, 15, tzinfo=UTC),
        **month,
    )

    assert charged == 48_00


@pytest.mark.parametrize(
    ("before", "action"),
    [
        ([], "renew"),
        ([], "terminate"),
        ([], "uninstall"),
        (["install"], "activate"),
        (["install"], "change_terms"),
        (["install"], "resume"),
        (["install", "request_termination"], "request_termination"),
        (["install", "uninstall"], "uninstall"),
        (["install", "terminate"], "change_terms"),
    ],
)
def test_impossible_action_is_refused_and_changes_nothing(market, product, before, action):
    for step in before:
        act(market, step)
    sent, kept = product.names(), market.dump()["accounts"][0:1]

    with pytest.raises(NotPossible):
        act(market, action, at=NOW + timedelta(hours=1))

    assert product.names() == sent
    assert market.dump()["accounts"][0 : len(kept)] == kept


def test_hooks_wait_for_registration_and_keep_their_order(market, product):
    product.down = True
    deliveries = act(market, "install")
    unsent = [delivery.answer for delivery in deliveries]
    product.down = False

    for delivery in market.outbox.waiting():
        delivery.next_try = 0.0
    market.advance(NOW + timedelta(seconds=3))

    assert unsent == [Answer()] * 5
    assert product.names() == [
        "UserCreate",
        "Created",
        "Activated",
        "InstallationEvent",
        "UserToken",
    ]
    assert market.outbox.waiting() == []


def test_repeats_end_after_three_days(market, product):
    product.down = True
    act(market, "install")

    market.outbox.repeat(NOW + 3 * DAY)
    still = len(market.outbox.waiting(USER))
    market.outbox.repeat(NOW + 3 * DAY + timedelta(seconds=1))

    assert still == 5
    assert market.outbox.waiting(USER) == []


def test_unknown_merchant_is_registered_before_anything_else(market, product):
    with pytest.raises(NotPossible):
        act(market, "renew")

    act(market, "install")

    assert product.names()[0] == "UserCreate"


def test_state_survives_a_restart(market, product):
    product.down = True
    act(market, "install", trial_days=14, addons=[Addon("smartcard", 1)])
    kept = json.loads(json.dumps(market.dump()))

    other = Market(post=product.post)
    other.load(kept)

    assert other.dump() == market.dump()
    assert other.accounts() == market.accounts()


def test_state_of_an_earlier_version_is_read(market):
    subscription = {
        "id": "1",
        "plan_id": "kassovye-1m",
        "devices": 2,
        "addons": {},
        "created_at": "2026-03-31T09:00:00+00:00",
        "paid_until": "2026-04-30T09:00:00+00:00",
    }
    account = {
        "user_id": USER,
        "name": "ИП Примеров",
        "cloud_token": "t",
        "token": "",
        "billing": "pays",
        "holdings": {PRODUCT: {"installed": True, "deal": subscription}},
    }

    market.load({"accounts": [account], "outbox": []})

    module = market.account(USER).module(PRODUCT)
    assert module.installed is True
    assert module.live_subscription.paid_until == datetime(2026, 4, 30, 9, tzinfo=UTC)


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "install",
                    "renew",
                    "resume",
                    "change_terms",
                    "request_termination",
                    "uninstall",
                    "terminate",
                ]
            ),
            st.integers(0, 40),
            st.sampled_from([plan.id for plan in PLANS]),
            st.integers(1, 9),
            st.sampled_from(list(Billing)),
        ),
        max_size=12,
    )
)
def test_market_and_product_agree_whatever_is_done(steps):
    product = Product()
    market = Market(post=product.post)
    at = NOW
    for action, days, plan_id, devices, billing in steps:
        at += days * DAY
        market.set_billing(USER, billing)
        market.advance(at)
        try:
            act(market, action, at=at, plan_id=plan_id, devices=devices)
        except NotPossible:
            continue

    account = market.account(USER)
    subscription = account and account.module(PRODUCT).subscription
    if subscription is None:
        assert product.got == []
        return
    state = product.state
    assert state.missing == state.held == ()
    assert state.paid_until == subscription.paid_until
    assert state.terms.devices == subscription.devices
    assert state.terms.plan_id == subscription.plan_id
    assert (state.status is Status.TERMINATED) == (not subscription.live)
    # The end answers the request to stop; the product keeps the fact, the market has no use for it.
    if subscription.live:
        assert (state.stop_requested_at is not None) == subscription.stop_requested
    assert (product.installations()[-1] == INSTALLED) == account.module(PRODUCT).installed


# The demo merchants


def test_demo_subscription_goes_on_where_the_demo_data_began():
    accounts = demo_accounts(NOW)

    cafe = accounts[0].module(django_settings.EVOTOR_PRODUCT_ID)
    assert [account.user_id for account in accounts] == [one.evotor_user_id for one in MERCHANTS]
    assert cafe.subscription.id == product_demo.SUBSCRIPTION_ID
    assert cafe.installed is True
    assert cafe.subscription.priced_plan.kopecks == product_demo.CHARGED_RUBLES * 100
    assert cafe.subscription.paid_until == datetime(2026, 6, 11, tzinfo=UTC)


def test_demo_merchant_is_registered_once(product):
    market = Market(post=product.post)
    for account in demo_accounts(NOW):
        market.add(account)

    market.register(product_demo.USER_ID, NOW)
    market.register(product_demo.USER_ID, NOW)

    assert product.names() == ["UserCreate", "UserToken"]
    assert market.account(product_demo.USER_ID).token == f"token-of-{product_demo.USER_ID}"


# Over the wire


@pytest.fixture
def sandbox(market, tmp_path):
    with serving([MarketPart(market)], port=0, state=tmp_path / "sandbox.json") as server:
        yield server.server_port


def call(port, method, path, body=None, **headers):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        return reply.status, reply.read().decode(), dict(reply.getheaders())


def present(page, *texts):
    """Those of the texts that stand on the page."""
    return [text for text in texts if text in page]


def call_json(port, path, data):
    status, text, _ = call(port, "POST", path, json.dumps(data))
    return status, json.loads(text)


def submit(port, path, **fields):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return call(port, "POST", path, urlencode(fields), **form)


def test_script_gets_what_was_sent_and_the_answers(sandbox, product):
    status, answer = call_json(
        sandbox,
        "/market/install",
        {
            "userId": USER,
            "planId": "kassovye-1m",
            "deviceNumber": 2,
            "at": "2026-03-31T12:00:00+03:00",
        },
    )

    assert status == 200
    assert answer["waiting"] == 0
    assert [(row["hook"], row["status"]) for row in answer["sent"]] == [
        ("/api/v1/user/create", 200),
        ("/api/v1/subscription/event", 200),
        ("/api/v1/subscription/event", 200),
        ("/api/v2/installation/event", 200),
        ("/api/v1/user/token", 200),
    ]
    assert answer["sent"][2]["body"] | {"subscriptionId": ""} == {
        "subscriptionId": "",
        "productId": django_settings.EVOTOR_PRODUCT_ID,
        "userId": USER,
        "timestamp": "2026-03-31T09:00:00.000+0000",
        "sequenceNumber": 2,
        "type": "SubscriptionActivated",
        "nextBillingDate": "2026-04-30T09:00:00.000+0000",
        "chargedSum": {"amount": 600, "currency": "RUB"},
    }


def test_merchant_moved_by_a_script_is_not_billed_automatically(sandbox, market, product):
    call_json(sandbox, "/market/install", {"userId": USER, "at": "2026-03-31T12:00:00+03:00"})

    market.advance(NOW + 400 * DAY)

    assert product.names()[-1] == "UserToken"
    assert market.account(USER).billing is Billing.BY_HAND


def test_impossible_action_of_a_script_is_a_conflict(sandbox):
    status, answer = call_json(sandbox, "/market/terminate", {"userId": USER})

    assert status == 409
    assert answer == {"error": "Действующей подписки нет: модуль нужно установить."}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "userId"),
        ({"userId": "01-1"}, "userId"),
        ({"userId": USER, "at": "завтра"}, "at"),
        ({"userId": USER, "deviceNumber": -1}, "deviceNumber"),
        ({"userId": USER, "deviceNumber": 1.5}, "deviceNumber"),
        ({"userId": USER, "planId": 7}, "planId"),
        ({"userId": USER, "addons": {"smartcard": 1}}, "addons"),
        ([], "object"),
    ],
)
def test_invalid_body_of_a_script_names_the_field(sandbox, product, body, field):
    status, answer = call_json(sandbox, "/market/install", body)

    assert status == 400
    assert product.got == []
    assert field in answer["error"]


def test_person_buys_changes_stops_and_removes_with_plain_forms(sandbox, product):
    _, _, went = submit(sandbox, "/market/new", name="ИП Примеров <b>")
    user_id = went["Location"].rsplit("/", 1)[1]
    fields = {"userId": user_id, "productId": PRODUCT, "page": "store"}
    store = f"/market/{PRODUCT}?user={user_id}"

    before = call(sandbox, "GET", f"{store}&action=install")[1]
    _, _, bought = submit(
        sandbox, "/market/install", **fields, planId="kassovye-3m", deviceNumber="4", trialDays="0"
    )
    after = call(sandbox, "GET", bought["Location"])[1]
    submit(sandbox, "/market/change_terms", **fields, planId="kassovye-3m", deviceNumber="6")
    submit(sandbox, "/market/request_termination", **fields)
    stopped = call(sandbox, "GET", store)[1]
    submit(sandbox, "/market/resume", **fields)
    submit(sandbox, "/market/uninstall", **fields)

    assert "ИП Примеров &lt;b&gt;" in before
    assert ">Установить</button>" in before
    assert bought["Location"] == f"/market/{PRODUCT}?user={user_id}&done=install"
    texts = [
        "Модуль установлен.",
        ">Вернуться в Кассовые сервисы<",
        "Оплатить сейчас",
        "Изменить тариф",
        "Остановить",
        "Удалить",
    ]
    assert present(after, *texts) == texts
    assert ">Возобновить</button>" in stopped
    assert product.state.terms.devices == 6
    assert product.state.stop_requested_at is not None
    assert product.installations() == [INSTALLED, UNINSTALLED]


@pytest.mark.parametrize("action", ["request_termination", "uninstall"])
@pytest.mark.parametrize("page", [f"/market/{PRODUCT}?user={USER}", f"/market/user/{USER}"])
def test_page_of_stopped_subscription_promises_no_more_charges(sandbox, action, page):
    fields = {"userId": USER, "productId": PRODUCT, "page": "user"}
    submit(sandbox, "/market/install", **fields, planId="kassovye-1m", at="2026-03-31T09:00:00Z")
    running = call(sandbox, "GET", page)[1]

    submit(sandbox, f"/market/{action}", **fields, at="2026-04-01T09:00:00Z")
    stopped = call(sandbox, "GET", page)[1]

    charges = (
        "Следующая оплата",
        "К оплате",
        "Оплатить сейчас",
        "маркет спишет оплату сам",
    )
    no_charges = (
        "Маркет больше ничего не спишет: подписка действует до 30\N{NO-BREAK SPACE}апреля 2026"
    )
    assert present(running, *charges, no_charges) == list(charges)
    assert present(stopped, *charges, no_charges) == [no_charges]


def test_merchant_without_a_subscription_has_nothing_to_pay_for(sandbox):
    _, _, went = submit(sandbox, "/market/new", name="ИП Примеров")

    page = call(sandbox, "GET", went["Location"])[1]

    nothing_to_pay = "Платить не за что: действующей подписки нет."
    assert present(page, nothing_to_pay, "маркет спишет оплату сам") == [nothing_to_pay]


@pytest.mark.parametrize("cards", ["0", "", "501", "много", "2.5"])
@pytest.mark.parametrize(
    ("action", "page", "first"),
    [("install", "store", "Купить и установить"), ("change_terms", "user", "Тариф и число карт")],
)
def test_invalid_number_of_cards_is_explained_and_form_keeps_values(
    sandbox, market, product, action, page, first, cards
):
    user_id = market.new_account("ИП Примеров").user_id
    fields = {"userId": user_id, "productId": PRODUCT, "page": page}
    if action == "change_terms":
        submit(sandbox, "/market/install", **fields, planId="kassovye-1m", deviceNumber="2")
    sent = len(product.got)

    status, _, went = submit(
        sandbox,
        f"/market/{action}",
        **fields,
        planId="kassovye-12m",
        deviceNumber=cards,
        trialDays="14",
    )

    shown = call(sandbox, "GET", went["Location"])[1]
    headings = re.findall(r"<h2>(.*?)</h2>", shown)
    assert status == 303
    assert len(product.got) == sent
    assert "Число карт — целое число от 1 до 500." in shown
    assert next(head for head in headings if head != "Настройки модуля") == first
    assert '<option value="kassovye-12m" selected>' in shown
    assert f'value="{cards}" autocomplete="off" required>' in shown
    assert ('<option value="14" selected>' in shown) == (action == "install")


def test_forms_show_the_present_terms(sandbox, market):
    user_id = market.new_account("ИП Примеров").user_id
    fields = {"userId": user_id, "productId": PRODUCT, "page": "store"}
    store = f"/market/{PRODUCT}?user={user_id}"
    terms = ('<option value="kassovye-3m" selected>', 'value="4" autocomplete="off"')

    submit(sandbox, "/market/install", **fields, planId="kassovye-3m", deviceNumber="4")
    running = call(sandbox, "GET", f"{store}&action=change")[1]
    submit(sandbox, "/market/terminate", **fields)
    ended = call(sandbox, "GET", store)[1]
    listed = call(sandbox, "GET", "/")[1]

    assert present(running, *terms) == present(ended, *terms) == list(terms)
    assert (
        'name="planId" value="kassovye-3m"><input type="hidden" name="deviceNumber" value="4">'
        in listed
    )


def test_unlisted_tariff_stays_selected_in_the_form(sandbox):
    call_json(sandbox, "/market/install", {"userId": USER, "planId": "secret-1m"})

    page = call(sandbox, "GET", f"/market/{PRODUCT}?user={USER}&action=change")[1]

    assert re.findall(r'<option value="([^"]+)" selected>', page) == ["secret-1m"]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/market/install", {"userId": "01-1"}),
        ("/market/billing", {"userId": USER, "billing": "maybe"}),
        ("/market/billing", {}),
    ],
)
def test_invalid_form_is_answered_with_a_russian_page(sandbox, product, path, fields):
    status, page, headers = submit(sandbox, path, **fields)

    assert status == 400
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Форма испорчена или устарела, ничего не изменилось." in page
    assert product.got == []


def test_refusal_is_shown_on_the_page_of_the_form(sandbox):
    status, _, went = submit(sandbox, "/market/resume", userId=USER, page="user")

    _, page, _ = call(sandbox, "GET", went["Location"])

    assert status == 303
    assert urlsplit(went["Location"]).path == f"/market/user/{USER}"
    assert "Действующей подписки нет" in page


def test_merchant_page_links_the_module_on_its_own_host(sandbox, settings):
    settings.PUBLIC_URL = "http://localhost:8000"
    call_json(sandbox, "/market/install", {"userId": USER})

    _, page, _ = call(sandbox, "GET", f"/market/user/{USER}")

    address = f"http://127.0.0.1:8000/evotor/enter/?uid={USER}&amp;token=token-of-{USER}"
    assert f'<iframe src="{address}" width="100%" height="550"' in page
    assert f'<a href="{address}" target="_blank" rel="noopener">Открыть модуль</a>' in page


def test_switch_decides_whether_the_next_payment_is_made(sandbox, market, product):
    submit(
        sandbox,
        "/market/install",
        userId=USER,
        page="user",
        planId="kassovye-1m",
        at="2026-03-31T09:00:00Z",
    )

    submit(sandbox, "/market/billing", userId=USER, page="user", billing="refuses")
    market.advance(NOW + 36 * DAY)

    assert product.state.status is Status.TERMINATED


def test_first_page_lists_merchants(sandbox):
    call_json(sandbox, "/market/install", {"userId": USER, "deviceNumber": 1})

    page = call(sandbox, "GET", "/")[1]

    texts = ["Маркет Эвотор", USER, "Новый предприниматель"]
    assert present(page, *texts) == texts


# The cloud


def cloud(port, path, token):
    status, text, _ = call(port, "GET", path, Authorization=f"Bearer {token}")
    return status, json.loads(text)


def test_cloud_lists_shops_and_terminals_page_by_page(sandbox, market):
    call_json(sandbox, "/market/install", {"userId": USER})
    token = market.account(USER).cloud_token

    _, shops = cloud(sandbox, "/evotor/stores", token)
    _, first = cloud(sandbox, "/evotor/devices", token)
    _, second = cloud(sandbox, f"/evotor/devices?cursor={first['paging']['next_cursor']}", token)

    devices = first["items"] + second["items"]
    assert len(shops["items"]) == 2
    assert shops["paging"] == {}
    assert len(devices) == 4
    assert second["paging"] == {}
    assert {row["store_id"] for row in devices} == {row["id"] for row in shops["items"]}
    assert len({row["id"] for row in devices}) == 4
    assert {row["user_id"] for row in devices} == {USER}


def test_cloud_of_a_demo_merchant_has_the_demo_shops(sandbox, market):
    cafe = demo_accounts(NOW)[0]
    market.add(cafe)

    _, shops = cloud(sandbox, "/evotor/stores", cafe.cloud_token)

    assert [row["id"] for row in shops["items"]] == [one.evotor_id for one in MERCHANTS[0].shops]


def test_cloud_refuses_strangers_the_removed_and_the_unpaid(sandbox, market):
    call_json(sandbox, "/market/install", {"userId": USER})
    token = market.account(USER).cloud_token
    call_json(sandbox, "/market/uninstall", {"userId": USER})

    removed, _ = cloud(sandbox, "/evotor/stores", token)
    stranger, _ = cloud(sandbox, "/evotor/stores", "nobody")

    assert removed == 403
    assert stranger == 401


# With the real product behind it


@pytest.mark.django_db(transaction=True)
def test_product_accepts_an_install_from_the_market(live_server, settings):
    settings.PUBLIC_URL = live_server.url
    seed(NOW)
    market = Market(post=post)

    deliveries = market.act(
        "install",
        USER,
        django_settings.EVOTOR_PRODUCT_ID,
        ActionRequest(clock.now(), plan_id="kassovye-3m", devices=2),
        clock.now(),
    )

    assert [delivery.answer.status for delivery in deliveries] == [200] * 5
    assert market.account(USER).token == ProductAccount.objects.get().token
    assert Delivery.objects.filter(user_id=USER).count() == 3


def test_unreachable_product_gives_no_answer(settings):
    settings.PUBLIC_URL = "http://127.0.0.1:9"

    assert post(user_create(USER)) == Answer()
