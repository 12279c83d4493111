"""What others ask: live subscriptions, ends, what the pages show."""

from dataclasses import dataclass, replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from cabinet.models import Merchant
from subscriptions import queries
from subscriptions.models import Installation, MarketRequest, Module, Period, Subscription, Tariff
from subscriptions.pricing import EstimateRow
from subscriptions.rules import SwitchTerms
from subscriptions.states import SubscriptionState
from subscriptions.tests.conftest import START

DAY = timedelta(days=1)
END = START + 28 * DAY
pytestmark = pytest.mark.django_db


@pytest.fixture
def stranger(db):
    return Merchant.objects.create(evotor_user_id="01-000000000000778", created_at=START)


def period(row, since, till, cards, **fields):
    return Period.objects.create(
        subscription=row, kind="paid", cards=cards, starts_at=since, ends_at=till, **fields
    )


def test_live_are_those_entitled_now_the_oldest_first(make, merchant, stranger):
    open_end = make(1, entitled_from=START, paid_cards=2, created_at=START + DAY)
    ahead = make(2, entitled_from=START, entitled_until=END, paid_cards=3)
    make(3, entitled_from=START, entitled_until=START + DAY)
    make(4, entitled_from=END)
    make(5)
    make(6, entitled_from=START, merchant=stranger)

    found = queries.live_subscriptions(START + DAY).filter(merchant=merchant)

    paid = {row: row.cards_now for row in found.order_by("created_at")}
    assert list(paid.items()) == [(ahead, 3), (open_end, 2)]


CONTRACT = SwitchTerms(1_500, 700, 30, 14)


@dataclass(frozen=True)
class Told:
    """The four switch terms of a tariff; None where it has none."""

    activation_fee_kopecks: int | None = None
    deactivation_fee_kopecks: int | None = None
    min_active_days: int | None = None
    min_inactive_days: int | None = None


@pytest.mark.parametrize(
    ("tariff", "expected"),
    [
        (None, CONTRACT),
        (Told(), CONTRACT),
        (Told(0, 0, 0, 0), SwitchTerms(0, 0, 0, 0)),
        (Told(9_900, 100, 90, 1), SwitchTerms(9_900, 100, 90, 1)),
        (Told(deactivation_fee_kopecks=100), SwitchTerms(1_500, 100, 30, 14)),
        (Told(min_inactive_days=0), SwitchTerms(1_500, 700, 30, 0)),
    ],
)
def test_word_of_the_tariff_stands_before_that_of_the_contract(tariff, expected):
    paid_by = SimpleNamespace(tariff=tariff, periods=Period.objects.none()) if tariff else None

    found = queries.switch_terms(subscription=paid_by, contract=CONTRACT, at=START)

    assert found == expected


def test_switch_terms_are_those_of_the_running_period(
    make, module, tariff, django_assert_num_queries
):
    tariff.activation_fee_kopecks = 0
    tariff.save()
    dearer = Tariff.objects.create(
        module=module,
        plan_id="3m",
        title="Квартал",
        months=3,
        price_kopecks=1,
        min_inactive_days=60,
    )
    row = make(entitled_from=START)
    period(row, START, START + DAY, 1, tariff=dearer)
    period(row, START + DAY, START + 2 * DAY, 1)
    rows = Subscription.objects.select_related("tariff").prefetch_related("periods__tariff")
    ready = rows.get()

    with django_assert_num_queries(0):
        found = [
            queries.switch_terms(subscription=ready, contract=CONTRACT, at=START + days * DAY)
            for days in (0, 1, 2)
        ]
        uncovered = queries.switch_terms(subscription=None, contract=CONTRACT, at=START)

    assert found == [SwitchTerms(1_500, 700, 30, 60), CONTRACT, SwitchTerms(0, 700, 30, 14)]
    assert uncovered == CONTRACT


def test_paid_cards_are_those_of_the_running_period(make, merchant):
    row = make(entitled_from=START, paid_cards=1)
    period(row, START, START + DAY, 3)
    period(row, START + DAY, END, 5)

    def paid(at):
        return queries.live_subscriptions(at).get(merchant=merchant).cards_now

    assert [paid(START), paid(START + DAY), paid(END)] == [3, 5, 1]


def test_ends_are_found_once_each(make):
    ended = make(1, entitled_from=START, entitled_until=END)
    fallen = make(2, entitled_from=START)
    period(fallen, START, END, 3)
    make(3, entitled_from=START, entitled_until=END + DAY)

    def found(since, at):
        return queries.ending_before(since=since, at=at)

    assert found(END - DAY, END) == [ended.pk, fallen.pk]
    assert found(END, END + timedelta(hours=1)) == []
    assert found(START, END - timedelta(seconds=1)) == []


def test_silent_are_subscriptions_eight_days_past_their_end(make):
    paid = make(1, entitled_from=START, paid_until=END, trial_until=START)
    tried = make(2, entitled_from=START, trial_until=END)
    make(3, entitled_from=START, paid_until=END, entitled_until=END)
    make(5, paid_until=END)
    make(6, entitled_from=START, paid_until=END + DAY)

    assert queries.silent_subscriptions(at=END + 8 * DAY) == []
    found = queries.silent_subscriptions(at=END + 8 * DAY + timedelta(seconds=1))
    assert found == [paid, tried]


def test_view_shows_the_next_charge_and_its_estimate(make, merchant, tariff):
    row = make(entitled_from=START, paid_until=END, paid_cards=3, charged_kopecks=60_000)
    paid = period(row, START, END, 2, tariff=tariff, charged_kopecks=60_000)

    (view,) = queries.subscription_views(merchant, END - 3 * DAY)

    assert view.estimate.rows == (EstimateRow("1\u00a0месяц", 3, 90_000),)
    assert view.estimate.total_kopecks == 90_000
    assert view.next_charge_at == END
    assert view.days_left == 3
    assert view.state == SubscriptionState.ACTIVE
    assert view.paid_cards == 2
    assert view.row == row
    assert view.charge_difference is None
    assert view.periods == (paid,)


@pytest.mark.parametrize(
    "fields",
    [
        {"stop_requested_at": START},
        {"entitled_until": END, "terminated_at": START},
        {"entitled_from": None},
    ],
)
def test_nothing_is_charged_after_a_stop_or_before_a_start(make, merchant, fields):
    make(**({"entitled_from": START, "paid_until": END} | fields))

    (view,) = queries.subscription_views(merchant, START + DAY)

    assert view.next_charge_at is None
    assert view.estimate is None


def test_overdue_charge_is_due_now(make, merchant):
    make(entitled_from=START, paid_until=END)

    (view,) = queries.subscription_views(merchant, END + DAY)

    assert view.state == SubscriptionState.OVERDUE
    assert view.next_charge_at == END + DAY
    assert view.days_left == 0


def test_subscription_on_an_unknown_tariff_has_no_estimate(make, merchant):
    make(entitled_from=START, paid_until=END, tariff=None, plan_id="spring")

    (view,) = queries.subscription_views(merchant, START)

    assert view.row.plan_title == "spring"
    assert view.estimate is None


def test_views_are_the_merchant_own_with_ended_ones_last(make, merchant, stranger):
    make(1, entitled_from=START, entitled_until=START + DAY, created_at=START + DAY)
    make(2, entitled_from=START)
    make(3, merchant=stranger, entitled_from=START)

    found = queries.subscription_views(merchant, END)

    assert [view.state for view in found] == [SubscriptionState.CREATED, SubscriptionState.ENDED]


def test_views_take_the_same_number_of_queries_for_many(make, merchant, django_assert_num_queries):
    for number in range(10):
        period(make(number, entitled_from=START), START, END, 1)

    with django_assert_num_queries(3):
        queries.subscription_views(merchant, START)


def request(merchant, module, **fields):
    facts = {"kind": "renew", "asked_by": "Анна", "asked_at": START}
    return MarketRequest.objects.create(merchant=merchant, module=module, **(facts | fields))


def test_charge_that_differs_from_the_estimate_is_shown(make, merchant, module):
    make(entitled_from=START)
    request(merchant, module, estimate_kopecks=90_000, charged_kopecks=91_500, answered_at=START)
    request(merchant, module, kind="change", estimate_kopecks=5, answered_at=START + DAY)

    (view,) = queries.subscription_views(merchant, START)

    assert view.charge_difference == 1_500


def test_open_requests_are_shown_for_three_days(merchant, module, stranger):
    mine = request(merchant, module)
    request(merchant, module, kind="stop", answered_at=START)
    request(stranger, module)

    assert queries.open_market_requests(merchant, START + 2 * DAY) == [mine]
    assert queries.open_market_requests(merchant, START + 3 * DAY) == []


def test_modules_show_what_is_installed_paid_and_on_offer(make, merchant, module, tariff, settings):
    settings.EVOTOR_MARKET_URL = "https://market.example/apps/"
    Tariff.objects.create(
        module=module,
        plan_id="old",
        title="Старый",
        months=1,
        price_kopecks=1,
        archived_at=START,
    )
    Module.objects.create(
        code="off",
        title="Снят",
        enabled=False,
        market_product_id="00000000-0000-4000-8000-000000000001",
    )
    make(1, entitled_from=START, paid_cards=2)
    make(2, entitled_from=START, paid_cards=3)
    Installation.objects.create(merchant=merchant, module=module, installed_at=START)

    (found,) = queries.modules_view(merchant, START)

    assert found.module == module
    assert found.installed is True
    assert found.installed_at == START
    assert found.paid_cards == 5
    assert (
        queries.market_url(found.module)
        == f"https://market.example/apps/{module.market_product_id}"
    )
    assert found.tariffs == (tariff,)


def test_module_no_longer_offered_is_shown_while_installed(merchant, module):
    module.enabled = False
    module.save()
    installed = Installation.objects.create(merchant=merchant, module=module, installed_at=START)

    (found,) = queries.modules_view(merchant, START)
    installed.removed_at = START
    installed.save()

    assert replace(found, installed_at=None).installed is False
    assert queries.modules_view(merchant, START) == []


def test_tariff_is_used_once_anybody_took_it(make, tariff):
    assert queries.is_used(tariff) is False

    row = make(tariff=None)
    assert queries.is_used(tariff) is False
    period(row, START, END, 1, tariff=tariff)
    assert queries.is_used(tariff) is True
