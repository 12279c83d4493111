"""People learn by message that their order is on its way and has come."""

import pytest

from cabinet.models import Message
from smartcards.orders.tests.orders import delivered
from smartcards.tests.cards import make_member, make_merchant

pytestmark = pytest.mark.django_db


def test_sent_and_delivered_order_is_told_to_the_company(settings):
    settings.PUBLIC_URL = "https://kassy.example"
    merchant = make_merchant("ООО «Ромашка»")
    member = make_member(merchant)
    member.user.email = member.user.confirmed_email = "anna@example.com"
    member.user.save(update_fields=["email", "confirmed_email"])

    order = delivered(merchant, quantity=2)

    rows = Message.objects.order_by("pk")
    assert [(row.channel, row.to, row.text.replace("\xa0", " ")) for row in rows] == [
        (
            "email",
            "anna@example.com",
            (
                f"ООО «Ромашка». Заказ № {order.pk} отправлен, трек-номер {order.track_number}. "
                f"https://kassy.example/orders/{order.pk}/"
            ),
        ),
        (
            "email",
            "anna@example.com",
            (
                f"ООО «Ромашка». Заказ № {order.pk} доставлен: 2 смарт-карты уже в вашем списке. "
                "https://kassy.example/"
            ),
        ),
    ]
