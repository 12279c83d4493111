"""Any order of arrival, any repeats: the same rows. Taking waits for gaps, giving does not."""

from datetime import timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cabinet.actors import Actor
from cabinet.enums import ActorKind
from cabinet.errors import Refused
from cabinet.models import Alert, AuditEvent
from subscriptions.evotor import inbox, tasks
from subscriptions.evotor.models import GapDecision
from subscriptions.evotor.schemas import UserCreate
from subscriptions.evotor.services import accept_gap, register
from subscriptions.evotor.tests import market
from subscriptions.models import Installation
from subscriptions.queries import live_subscriptions
from subscriptions.services import alert_silent, give_days, stop_by_staff
from subscriptions.tests.conftest import merchants_to_reconcile

pytestmark = pytest.mark.django_db

STAFF = Actor(ActorKind.STAFF, "Ольга Поддержкина", 7)
END = market.SECOND_END + market.days(5)
LIFE = (
    market.created(1, trialPeriodDuration="P14DT"),
    market.event(2, "AddonsUpdated", market.BOUGHT, addons=[{"id": "smartcard", "quantity": 2}]),
    market.activated(3, market.BOUGHT + market.days(14)),
    market.event(
        4,
        "SubscriptionTermsChanged",
        market.BOUGHT + market.days(20),
        deviceNumber=4,
        chargedSum={"amount": 232.26, "currency": "RUB"},
    ),
    market.event(5, "SubscriptionTerminationRequested", market.BOUGHT + market.days(25)),
    market.renewed(6, market.FIRST_END),
    market.event(7, "SubscriptionTermsChanged", market.FIRST_END + market.days(1), deviceNumber=1),
    market.terminated(8, END),
    market.moved("ApplicationInstalled", market.BOUGHT, 1),
    market.moved("ApplicationUninstalled", END, 2),
)


@pytest.fixture
def known():
    market.make_module()
    return register(request=UserCreate(user_id=market.USER), at=market.NOW).merchant


def rows():
    installs = Installation.objects.values_list("installed_at", "removed_at")
    return market.kept(market.subscription()) | {"installed": list(installs)}


@given(st.permutations(LIFE), st.lists(st.sampled_from(LIFE), max_size=4))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_order_and_any_repeats_end_in_the_same_rows(known, order, repeats):
    with transaction.atomic():
        market.deliver(*LIFE)
        expected = rows()
        transaction.set_rollback(True)

    with transaction.atomic():
        market.deliver(*order, *repeats)
        found = rows()
        transaction.set_rollback(True)

    assert found == expected


def test_life_leaves_these_periods(known):
    market.deliver(*LIFE)

    row = market.subscription()
    trial_end, grown = market.BOUGHT + market.days(14), market.BOUGHT + market.days(20)
    assert [period[:1] + period[2:] for period in market.kept(row)["periods"]] == [
        ("trial", 4, market.BOUGHT, trial_end, None),
        ("paid", 4, trial_end, grown, 60_000),
        ("paid", 6, grown, market.FIRST_END, 23_226),
        ("paid", 6, market.FIRST_END, market.SECOND_END, 60_000),
    ]
    assert row.paid_cards == 3
    assert row.anchor_day == 15
    assert row.entitled_until == END


def test_fall_of_the_number_waits_for_the_next_billing_date(known):
    market.deliver(*LIFE[:7])

    def paid(at):
        return list(
            live_subscriptions(at).filter(merchant=known).values_list("cards_now", flat=True)
        )

    assert paid(market.SECOND_END - timedelta(seconds=1)) == [6]
    assert paid(market.SECOND_END) == [3]


def test_termination_behind_a_gap_cuts_nobody_until_the_gap_closes(known):
    market.deliver(market.created(), market.activated(), market.terminated(4, END))
    waiting = market.subscription()

    market.deliver(market.renewed(3))

    assert waiting.entitled_until is None
    assert waiting.terminated_at is None
    assert market.subscription().entitled_until == END


def test_payment_behind_a_gap_counts_at_once(known):
    market.deliver(market.renewed(7))

    assert market.subscription().paid_until == market.SECOND_END
    assert live_subscriptions(market.FIRST_END).filter(merchant=known).exists()


def test_termination_never_cuts_before_the_paid_end(known):
    market.deliver(market.created(), market.activated(), market.terminated(3, market.NOW))

    assert market.subscription().entitled_until == market.FIRST_END


def test_renewal_after_the_end_brings_the_cards_back(known):
    market.deliver(market.created(), market.activated(), market.terminated(3, market.FIRST_END))
    back = market.FIRST_END + market.days(3)

    market.deliver(market.renewed(4, back))

    row = market.subscription()
    assert row.terminated_at is None
    assert row.entitled_until is None
    assert live_subscriptions(back).filter(merchant=known).exists()


def test_gap_alerts_staff_after_fifteen_minutes_and_closes_itself(known):
    market.deliver(market.created(), market.terminated(3, market.NOW), at=market.NOW)
    later = market.NOW + timedelta(minutes=16)

    tasks.alert_gaps(at=market.NOW + timedelta(minutes=14))
    early = Alert.objects.count()
    tasks.alert_gaps(at=later)

    alert = Alert.objects.get()
    assert early == 0
    assert alert.merchant_id == known.pk
    assert alert.closed_at is None
    assert alert.text.startswith(
        f"Эвотор не прислал событие № 2 подписки {market.SUBSCRIPTION}: отключения"
    )
    market.deliver(market.activated(2), at=later)
    alert.refresh_from_db()
    assert alert.closed_at == later


def test_staff_may_do_without_what_is_missing(known):
    market.deliver(market.created(), market.terminated(3, END))
    row = market.subscription()

    accept_gap(subscription=row, reason="Эвотор подтвердил по телефону", by=STAFF, at=market.NOW)

    row.refresh_from_db()
    assert row.terminated_at == END
    decision = GapDecision.objects.get()
    assert decision.up_to_number == 3
    assert decision.decided_by == STAFF.name
    event = AuditEvent.objects.get(action="gap_accepted")
    assert event.text == "События Эвотор до № 3 применены без пропущенного № 2."
    assert event.reason == "Эвотор подтвердил по телефону"


def test_decision_about_one_gap_is_none_about_the_next(known):
    market.deliver(market.created(), market.activated(3))
    accept_gap(subscription=market.subscription(), reason="да", by=STAFF, at=market.NOW)

    market.deliver(market.terminated(5, END))

    assert market.subscription().terminated_at is None


@pytest.mark.parametrize(("reason", "sentence"), [(" ", "причину"), ("да", "нет")])
def test_gap_is_not_accepted_without_reason_or_gap(known, reason, sentence):
    market.deliver(market.created(), market.activated())

    with pytest.raises(Refused, match=sentence):
        accept_gap(subscription=market.subscription(), reason=reason, by=STAFF, at=market.NOW)


def test_gift_outlives_a_refold(known):
    market.deliver(market.created(), market.activated(), market.terminated(3, market.NOW))
    gift = give_days(
        subscription=market.subscription(), days=10, reason="сбой", by=STAFF, at=market.NOW
    )

    market.deliver(market.event(4, "AddonsUpdated", market.NOW, addons=[]))

    assert market.subscription().entitled_until == gift.ends_at


def test_cards_are_compared_once_for_each_change(known):
    market.deliver(market.created(), at=market.NOW)
    market.deliver(market.activated(), at=market.FIRST_END)
    market.deliver(market.event(3, "SubscriptionTerminationRequested", market.NOW), at=END)
    inbox.replay(delivery_id=market.subscription_delivery(), by=STAFF, at=market.NOW)
    market.work()

    assert merchants_to_reconcile() == [known.pk]


def test_word_of_the_market_closes_the_alert_about_its_silence(known):
    market.deliver(market.created(), market.activated())
    late = market.FIRST_END + market.days(9)
    alert_silent(at=late)

    market.deliver(market.terminated(3, late), at=late)

    assert [alert.closed_at for alert in Alert.objects.all()] == [late]


def test_late_payment_outweighs_the_stop_of_staff(known):
    market.deliver(market.created(), market.activated())
    late = market.FIRST_END + market.days(9)
    stop_by_staff(subscription=market.subscription(), reason="молчание", by=STAFF, at=late)

    market.deliver(market.event(3, "AddonsUpdated", late, addons=[]), at=late)
    stopped = market.subscription().entitled_until
    market.deliver(market.renewed(4, late), at=late)

    assert stopped == late
    assert market.subscription().entitled_until is None
