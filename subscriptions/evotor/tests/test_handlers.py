"""What each delivery does: samples, scenarios, what is unknown, what contradicts."""

import json
from importlib import import_module

import pytest
from django.apps import apps

from cabinet.actors import Actor
from cabinet.enums import ActorKind
from cabinet.models import Alert, AuditEvent, Shop, Terminal
from subscriptions.evotor import inbox
from subscriptions.evotor.models import Delivery, Hook, InstallationEvent, SubscriptionEvent
from subscriptions.evotor.schemas import UserCreate
from subscriptions.evotor.services import register
from subscriptions.evotor.tests import market
from subscriptions.models import Installation, MarketRequest, Module, Subscription
from subscriptions.rules import is_entitled, state_of
from subscriptions.services import note_market_request
from subscriptions.states import SubscriptionState

pytestmark = pytest.mark.django_db

OWNER = Actor(ActorKind.PERSON, "Анна", 1)
SCENARIOS = json.loads((market.DATA / "scenarios" / "lifecycle.json").read_text("utf-8"))
METHODS = {"inventories": "PUT"}


@pytest.fixture
def known():
    market.make_module()
    return register(request=UserCreate(user_id=market.USER), at=market.NOW).merchant


# Samples and scenarios over HTTP

SAMPLES = sorted(path.stem for path in (market.DATA / "samples" / "webhooks").glob("*.json"))


def hook_of(name):
    if name.startswith("user_"):
        return "user/" + name.split("_")[1]
    if name.startswith("inventories_"):
        return "inventories/" + name.split("_")[1]
    return "installation/event" if name.startswith("application_") else "subscription/event"


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "observed_headers"])
def test_sample_is_answered_200_and_fully_processed(client, known, name):
    hook = hook_of(name)
    payload = market.sample(name)

    answer = market.send(
        client,
        hook,
        payload,
        method=METHODS.get(hook.split("/")[0], "POST"),
        headers=market.bearer() | {"X-Evotor-User-Id": market.USER},
    )
    market.work()

    assert answer.status_code == 200
    # The samples' plan is not ours; all the rest of them is.
    unknown_plan = isinstance(payload, dict) and payload.get("planId") == "example"
    expected = ("parked", "Неизвестный тариф: example") if unknown_plan else ("done", "")
    assert market.deliveries() == ([] if hook.startswith("user/") else [expected])


EXPECTED = {"CREATED": "not paid", "ACTIVATED": "paid", "TERMINATED": "terminated"}


def standing(external_id):
    row = market.subscription(external_id)
    if row.terminated_at:
        return "terminated"
    return "paid" if row.paid_until else "not paid"


@pytest.mark.parametrize(
    "scenario", SCENARIOS["scenarios"], ids=[one["id"] for one in SCENARIOS["scenarios"]]
)
def test_each_step_ends_in_the_state_of_the_market_diagram(client, known, scenario):
    for step in scenario["steps"]:
        answer = market.send(client, step["hook"], step["body"])
        market.work()

        assert answer.status_code == 200
        if step["expect_state"]:
            found = standing(step["body"]["subscriptionId"])
            assert found == EXPECTED[step["expect_state"]]


def test_scenario_of_an_unpaid_trial_leaves_these_rows(known):
    steps = next(one["steps"] for one in SCENARIOS["scenarios"] if one["id"] == "trial_not_paid")

    market.deliver(*[step["body"] for step in steps if "event" in step["hook"]])

    row = market.subscription()
    trial_end = market.BOUGHT + market.days(14)
    ended = market.BOUGHT + market.days(19)
    assert market.kept(row) == {
        "plan_id": "kassovye-1m",
        "tariff_id": row.module.tariffs.get(plan_id="kassovye-1m").pk,
        "paid_cards": 1,
        "anchor_day": None,
        "created_at": market.BOUGHT,
        "trial_until": trial_end,
        "paid_until": None,
        "stop_requested_at": None,
        "terminated_at": ended,
        "entitled_from": market.BOUGHT,
        "entitled_until": ended,
        "charged_kopecks": None,
        "last_event_at": ended,
        "periods": [("trial", row.tariff_id, 1, market.BOUGHT, trial_end, None)],
        "charges": [],
    }
    assert Installation.objects.get().removed_at == ended


# Unknown things are kept


def test_unknown_product_is_parked_and_folded_when_the_module_comes(known):
    other = "c0d01x35-5193-4cc2-9bfb-be20e0679498"
    market.deliver(market.created(productId=other))

    assert market.deliveries() == [("parked", f"Неизвестный модуль: {other}")]
    assert Subscription.objects.count() == 0
    assert SubscriptionEvent.objects.count() == 1


def test_unknown_plan_is_parked_but_entitles(known):
    market.deliver(market.created(planId="spring"), market.activated())

    row = market.subscription()
    assert row.tariff is None
    assert row.plan_id == "spring"
    assert row.paid_until == market.FIRST_END
    assert state_of(row, market.NOW) is SubscriptionState.ACTIVE
    assert market.deliveries() == [("parked", "Неизвестный тариф: spring"), ("done", "")]


def test_migration_renames_open_alerts_about_unknown_plans(known):
    market.deliver(market.created(planId="spring"))
    alert = Alert.objects.get()
    Alert.objects.update(key="evotor.Неизвестный тариф: spring")

    import_module("subscriptions.evotor.migrations.0003_plan_alert_keys").rename(apps, None)

    assert alert.key == "evotor.plan.spring"
    assert Alert.objects.get() == alert
    assert Alert.objects.get().key == alert.key


def test_plan_of_another_module_is_unknown(known):
    module = Module.objects.create(
        code="other", title="Другой", market_product_id="00000000-0000-4000-8000-000000000001"
    )
    module.tariffs.create(plan_id="theirs", title="Т", months=1, price_kopecks=1)

    market.deliver(market.created(planId="theirs"))

    assert market.subscription().tariff is None


def test_event_of_unknown_type_is_parked_and_closes_its_gap(known):
    end = market.FIRST_END + market.days(5)

    market.deliver(
        market.created(),
        market.activated(),
        market.event(3, "SubscriptionPaused", market.BOUGHT),
        market.terminated(4, end),
    )

    assert market.deliveries()[2] == market.Processed(
        state="parked", note="Неизвестный тип события: SubscriptionPaused"
    )
    assert market.subscription().entitled_until == end


def test_event_without_a_required_field_is_parked_with_its_name(known):
    payload = market.activated(1)
    del payload["nextBillingDate"]

    market.deliver(payload)

    assert market.deliveries() == [
        ("parked", "Непонятное содержание: 2002 missing nextBillingDate")
    ]
    assert [alert.link for alert in Alert.objects.all()] == [
        f"/admin/evotor/delivery/{Delivery.objects.get().pk}/change/"
    ]


# Numbers


def test_same_number_with_equal_content_is_a_repeat(known):
    market.deliver(market.created())
    before = market.kept(market.subscription())

    market.deliver(
        market.created(newField=1, timestamp="2025-03-01T13:00:00.000+0300"),
    )

    assert market.deliveries() == [("done", ""), ("done", "Повтор уже полученного события.")]
    assert market.kept(market.subscription()) == before


def test_same_number_with_other_content_is_a_conflict(known):
    market.deliver(market.created())
    before = market.kept(market.subscription())

    market.deliver(market.created(deviceNumber=50))

    assert market.kept(market.subscription()) == before
    note = f"Спорит с уже полученным событием: подписка {market.SUBSCRIPTION}, № 1"
    assert market.deliveries()[1] == market.Processed(state="parked", note=note)
    first, second = SubscriptionEvent.objects.order_by("pk")
    assert not first.conflict
    assert second.conflict
    assert [alert.text for alert in Alert.objects.all()] == [f"Эвотор, subscription/event: {note}"]


def test_event_on_the_subscription_of_another_user_changes_nothing(known):
    market.deliver(market.created(), market.activated())
    before = market.kept(market.subscription())
    register(request=UserCreate(user_id=market.STRANGER), at=market.NOW)

    market.deliver(
        market.terminated(3, market.BOUGHT, userId=market.STRANGER),
        market.created(1, userId=market.STRANGER),
    )

    assert market.kept(market.subscription()) == before
    note = f"Чужая подписка: {market.SUBSCRIPTION} принадлежит другому клиенту или модулю"
    assert market.deliveries()[2:] == [("parked", note)] * 2
    market.deliver(market.renewed())
    assert market.subscription().paid_until == market.SECOND_END


def test_two_subscriptions_of_one_user_stand_side_by_side(known):
    other = "b1d7c0de-8f2e-4a4e-9b3c-2f6d5a1e7c90"

    market.deliver(
        market.created(), market.activated(), market.created(subscriptionId=other, deviceNumber=3)
    )

    rows = Subscription.objects.order_by("external_id").values_list("external_id", "paid_cards")
    assert list(rows) == [(market.SUBSCRIPTION, 2), (other, 3)]


# Installs


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
def test_installs_are_folded_by_the_market_time(known, order):
    first, gone, again = (market.BOUGHT + market.days(day) for day in (0, 3, 5))
    events = [
        market.moved("ApplicationInstalled", first, 1),
        market.moved("ApplicationUninstalled", gone, 2),
        market.moved("ApplicationInstalled", again, 3),
    ]

    market.deliver(*[events[place] for place in order])

    rows = Installation.objects.order_by("installed_at")
    assert list(rows.values_list("installed_at", "removed_at")) == [(first, gone), (again, None)]


def test_removal_of_the_module_never_touches_entitlement(known):
    market.deliver(market.created(), market.activated())
    market.deliver(market.moved("ApplicationInstalled", market.BOUGHT, 1))
    before = market.kept(market.subscription())

    market.deliver(market.moved("ApplicationUninstalled", market.NOW, 2))

    assert market.kept(market.subscription()) == before
    assert is_entitled(
        entitled_from=before["entitled_from"],
        entitled_until=before["entitled_until"],
        at=market.NOW + market.days(300),
    )


def test_install_with_the_same_id_counts_once(known):
    first = market.moved("ApplicationInstalled", market.BOUGHT, 1)

    market.deliver(first, first | {"timestamp": str(first["timestamp"])})

    assert market.deliveries() == [("done", ""), ("done", "Повтор уже полученного события.")]
    assert InstallationEvent.objects.count() == 1


def test_install_before_its_user_is_taken_over_when_replayed():
    market.make_module()
    market.deliver(market.moved("ApplicationInstalled", market.BOUGHT, 1))
    register(request=UserCreate(user_id=market.USER), at=market.NOW)

    Delivery.objects.update(state=Delivery.State.NEW)
    market.work()

    assert Installation.objects.get().installed_at == market.BOUGHT


# Shops and terminals


def test_pushed_shops_and_terminals_are_kept(client, known):
    token = market.register(client)

    for name in ("stores_v1", "devices_v1", "devices_v2"):
        market.send(
            client,
            hook_of(f"inventories_{name}"),
            market.sample(f"inventories_{name}"),
            method="PUT",
            headers=market.bearer(token),
        )
    market.work()

    shop, terminal = Shop.objects.get(), Terminal.objects.get()
    assert shop.evotor_id == "20170228-f4f1-401b-80fa-9ecca8451ffb"
    assert shop.name == "Мой магазин"
    assert terminal.shop == shop
    assert terminal.name == "Моя касса №3"
    assert terminal.serial_number == "00307401000000"
    assert terminal.model == "7_3"


def test_push_that_says_less_erases_nothing(client, known):
    token = market.register(client)
    for name in ("stores_v1", "devices_v2", "devices_v1"):
        market.send(
            client,
            hook_of(f"inventories_{name}"),
            market.sample(f"inventories_{name}"),
            method="PUT",
            headers=market.bearer(token),
        )
        market.work()

    assert Terminal.objects.get().serial_number == "00307401000000"


# What the merchant asked for in the market


def ask(merchant, kind, at=market.NOW, estimate=60_000):
    return note_market_request(
        merchant=merchant,
        module=Module.objects.get(),
        kind=kind,
        estimate_kopecks=estimate,
        by=OWNER,
        at=at,
    )


def test_renewal_answers_the_click_and_keeps_what_was_charged(known):
    market.deliver(market.created(), market.activated())
    request = ask(known, MarketRequest.Kind.RENEW, market.FIRST_END)
    paid = {"amount": 612.5, "currency": "RUB"}

    market.deliver(market.renewed(chargedSum=paid), at=market.FIRST_END + market.days(1))

    request.refresh_from_db()
    assert request.answered_at == market.FIRST_END + market.days(1)
    assert request.charged_kopecks == 61_250
    assert request.estimate_kopecks == 60_000


def test_event_from_before_the_click_is_no_answer(known):
    market.deliver(market.created(), market.activated())
    request = ask(known, MarketRequest.Kind.RENEW, market.FIRST_END + market.days(1))

    market.deliver(market.renewed(), at=market.FIRST_END + market.days(2))

    request.refresh_from_db()
    assert request.answered_at is None


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("stop", market.event(3, "SubscriptionTerminationRequested", market.NOW)),
        ("change", market.event(3, "SubscriptionTermsChanged", market.NOW, deviceNumber=3)),
        ("change", market.event(3, "AddonsUpdated", market.NOW, addons=[])),
        ("resume", market.renewed(3, market.NOW)),
        ("install", market.moved("ApplicationInstalled", market.NOW, 1)),
        ("remove", market.moved("ApplicationUninstalled", market.NOW, 1)),
    ],
)
def test_each_click_has_its_answer(known, kind, answer):
    market.deliver(market.created(), market.activated())
    mine, other = ask(known, kind), ask(known, "renew" if kind == "install" else "install")
    if kind == "resume":
        other = ask(known, "change")

    market.deliver(answer)

    mine.refresh_from_db()
    other.refresh_from_db()
    assert mine.answered_at == market.NOW
    assert other.answered_at is None


# What the merchant reads


def test_journal_tells_the_life_of_a_subscription_in_russian(known):
    gone = market.SECOND_END + market.days(5)
    market.deliver(
        market.created(trialPeriodDuration="P14DT"),
        market.activated(at=market.BOUGHT + market.days(14)),
        market.event(3, "SubscriptionTermsChanged", market.NOW, planId="kassovye-3m"),
        market.event(4, "AddonsUpdated", market.NOW, addons=[{"id": "smartcard", "quantity": 1}]),
        market.event(5, "SubscriptionTerminationRequested", market.NOW),
        market.renewed(6, market.FIRST_END),
        market.terminated(7, gone),
        market.moved("ApplicationUninstalled", gone, 1),
    )

    texts = AuditEvent.objects.filter(target="subscription").order_by("pk")
    assert [(row.text.replace("\u00a0", " "), row.actor_name) for row in texts] == [
        (text, "Эвотор")
        for text in (
            "Оформлена подписка: тариф «1 месяц», 2 смарт-карты.",
            "Пробный период до 15 марта 2025 г.",
            "Подписка оплачена до 1 апреля 2025 г.",
            "Тариф изменён: «3 месяца».",
            "Оплачено: 3 смарт-карты (раньше 2).",
            "Запрошена остановка подписки: смарт-карты работают до 1 апреля 2025 г., 13:00 по Москве.",
            "Подписка оплачена до 1 мая 2025 г.",
            "Остановка отменена, подписка продолжается.",
            "Подписка прекращена: смарт-карты работают до 6 мая 2025 г., 13:00 по Москве.",
        )
    ]


# Seldom


def test_unknown_event_without_a_subscription_is_parked(known):
    market.deliver({"type": "MarketClosed", "userId": market.USER})

    assert market.deliveries() == [("parked", "Неизвестный тип события: MarketClosed")]
    assert SubscriptionEvent.objects.count() == 0


def test_installation_of_unknown_type_or_module_is_parked(known):
    other = "c0d01a35-5193-4cc2-9bfb-be20e0679498"

    market.deliver(
        market.moved("ApplicationPainted", market.BOUGHT, 1),
        market.moved("ApplicationInstalled", market.BOUGHT, 2, productId=other),
    )

    assert market.deliveries() == [
        ("parked", "Неизвестный тип события: ApplicationPainted"),
        ("parked", f"Неизвестный модуль: {other}"),
    ]
    assert Installation.objects.count() == 0


@pytest.mark.parametrize(
    ("hook", "name"),
    [(Hook.DEVICES, "inventories_devices_v1"), (Hook.STORES, "inventories_stores_v1")],
)
def test_list_of_an_unknown_user_waits_for_that_user(known, hook, name):
    delivery = inbox.store(
        hook=hook,
        body=json.dumps(market.sample(name)).encode(),
        user_id=market.STRANGER,
        event_type="",
        authorized_as="приложение",
        at=market.NOW,
    )
    inbox.INBOX.process(delivery.pk, at=market.NOW)
    before = market.deliveries()

    register(request=UserCreate(user_id=market.STRANGER), at=market.NOW)
    inbox.requeue_parked(user_id=market.STRANGER)
    market.work()

    assert before == [("parked", f"Неизвестный клиент: {market.STRANGER}")]
    assert market.deliveries() == [("done", "")]
    assert (Terminal.objects.count(), Shop.objects.count()) in {(1, 0), (0, 1)}
