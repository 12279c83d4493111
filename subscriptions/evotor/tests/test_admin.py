"""Staff's pages about the market: nothing secret is shown, decisions go through the services."""

import json

import pytest
from django.urls import reverse

from cabinet.models import AuditEvent, User
from subscriptions.evotor.admin import _EVENTS, event_title, masked
from subscriptions.evotor.models import Account, Delivery, GapDecision, SubscriptionEvent
from subscriptions.evotor.schemas import EVENT_TYPES, INSTALLED, UNINSTALLED, UserToken
from subscriptions.evotor.services import keep_cloud_token
from subscriptions.evotor.tests import market

pytestmark = pytest.mark.django_db
PAGES = ("account", "delivery", "subscriptionevent", "installationevent", "gapdecision")


@pytest.fixture
def staff(client):
    user = User.objects.create_superuser("olga", "long password 12", name="Ольга")
    client.force_login(user)
    return client


@pytest.fixture
def token(client):
    market.make_module()
    token = market.register(client)
    keep_cloud_token(request=UserToken(user_id=market.USER, token="cloud-secret"), at=market.NOW)
    market.deliver(market.created(), market.terminated(3, market.FIRST_END))
    market.deliver(market.moved("ApplicationInstalled", market.BOUGHT, 1))
    return token


@pytest.mark.parametrize("page", PAGES)
def test_list_opens_and_cannot_be_added_to(staff, token, page):
    listed = staff.get(reverse(f"admin:evotor_{page}_changelist"))
    adding = staff.get(reverse(f"admin:evotor_{page}_add"))

    assert listed.status_code == 200
    assert adding.status_code == 403


def test_account_shows_no_token(staff, token):
    account = Account.objects.get()

    page = staff.get(reverse("admin:evotor_account_change", args=[account.pk]))

    html = page.content.decode()
    assert page.status_code == 200
    assert market.USER in html
    for secret in (token, "cloud-secret", account.token_fingerprint):
        assert secret not in html


def test_delivery_shows_its_body_with_secrets_covered(staff, token):
    row = Delivery.objects.first()
    row.body = json.dumps({"type": "X", "token": "t0ken", "rows": [{"phone": "+7999"}]})
    row.save()

    html = staff.get(reverse("admin:evotor_delivery_change", args=[row.pk])).content.decode()

    assert "•••" in html
    assert "t0ken" not in html
    assert "+7999" not in html


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("нет", "(не JSON)"),
        ("[" * 5000, "(не JSON)"),
        ('{"password": "p", "type": 1}', '{\n  "password": "•••",\n  "type": 1\n}'),
    ],
)
def test_body_is_laid_out_and_masked(body, shown):
    assert masked(body) == shown


def test_replay_from_the_list(staff, token):
    rows = list(Delivery.objects.values_list("pk", flat=True))

    staff.post(
        reverse("admin:evotor_delivery_changelist"),
        {"action": "replay", "_selected_action": rows, "confirmed": "1"},
    )

    assert set(Delivery.objects.values_list("state", flat=True)) == {"new"}
    assert AuditEvent.objects.filter(action="replayed", actor_name="Ольга").count() == 3


def test_gap_is_accepted_with_a_reason_only(staff, token):
    address = reverse("admin:evotor_subscriptionevent_changelist")
    data = {
        "action": "accept_gap",
        "_selected_action": list(SubscriptionEvent.objects.values_list("pk", flat=True)),
        "confirmed": "1",
    }

    refused = staff.post(address, data, follow=True)
    before = GapDecision.objects.count()
    staff.post(address, data | {"reason": "Эвотор подтвердил"})

    assert refused.context["form"].errors == {"reason": ["Укажите причину."]}
    assert before == 0
    assert GapDecision.objects.get().reason == "Эвотор подтвердил"
    assert market.subscription().terminated_at == market.FIRST_END


def test_staff_without_the_right_have_no_actions(client, token):
    user = User.objects.create_user("petr", "long password 12", is_staff=True)
    client.force_login(user)

    page = client.get(reverse("admin:evotor_delivery_changelist"))

    assert page.status_code == 403


def test_every_event_of_the_market_has_russian_words():
    assert set(EVENT_TYPES) | {INSTALLED, UNINSTALLED} == set(_EVENTS)
    assert [event_title(name) for name in ("SubscriptionRenewed", "user/create", "")] == [
        "подписка продлена",
        "user/create",
        "—",
    ]
