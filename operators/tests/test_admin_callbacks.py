"""Events that operators sent us, as staff see them: found, put in words, masked, never written."""

import html
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from operators.events.inbox import store
from operators.models import Callback, OperatorAccount
from operators.tests.signing import ICCID, monitor_event, service_event
from operators.tests.test_exchanges import listed, of_group

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
LIST = "/admin/operators/callback/"


@pytest.fixture
def account() -> OperatorAccount:
    return OperatorAccount.objects.create(
        code="partner", title="Партнёр", adapter="tmf640", base_url="https://api.example.com"
    )


@pytest.fixture
def support() -> Client:
    return of_group("Поддержка")


def row(account: OperatorAccount, event_id: str, **fields: Any) -> Callback:
    given = {
        "event_type": "serviceStateChangeEvent",
        "occurred_at": AT - timedelta(seconds=2),
        "received_at": AT,
        "payload": {},
        **fields,
    }
    return Callback.objects.create(account=account, event_id=event_id, **given)


def cells(client: Client, query: str = "") -> list[list[str]]:
    """The rows of the list as they are shown."""
    changelist = client.get(f"{LIST}{query}").context["cl"]
    shown = changelist.model_admin
    return [
        [
            shown.got(one),
            str(one.account),
            shown.about(one),
            shown.outcome(one),
            shown.card(one),
            one.request_id,
        ]
        for one in changelist.result_list
    ]


def test_list_shows_account_type_time_and_outcome(support, account):
    row(account, "e-1", iccid=ICCID, state="done", note="Состояние записано.")
    row(
        account,
        "e-2",
        event_type="MONITORSTATECHANGEEVENT",
        request_id="mon-7",
        received_at=AT - timedelta(minutes=1),
    )
    row(
        account,
        "e-3",
        event_type="hello",
        state="parked",
        note="Незнакомый тип события.",
        received_at=AT - timedelta(minutes=2),
    )

    card = f'<a href="/admin/smartcards/smartcard/?q={ICCID}">{ICCID}</a>'
    assert cells(support) == [
        [
            *("22.11.2026 12:00:00", "Партнёр", "состояние смарт-карты"),
            *("обработано:<br>Состояние записано.", card, ""),
        ],
        [
            *("22.11.2026 11:59:00", "Партнёр", "исход запроса"),
            *("ждёт обработки", "—", "mon-7"),
        ],
        [
            *("22.11.2026 11:58:00", "Партнёр", "незнакомый тип: hello"),
            *("отложено для сотрудника:<br>Незнакомый тип события.", "—", ""),
        ],
    ]
    assert "<title>Уведомления операторов" in support.get(LIST).content.decode()


def test_list_is_searched_and_filtered(support, account):
    other = OperatorAccount.objects.create(
        code="other", title="Другой", adapter="tmf640", base_url="https://b.example.com"
    )
    first = row(account, "e-1", iccid=ICCID, state="done")
    second = row(account, "e-2", event_type="monitorstatechangeevent", request_id="70123")
    third = row(other, "e-3", event_type="hello", state="parked")
    fourth = row(other, "e-4", event_type="monitorStateChangeEvent", request_id=ICCID)

    found = {
        query: listed(support.get(f"{LIST}?{query}"))
        for query in (
            f"q={ICCID}",
            "q=8970 1010 0000 0000 0015",
            "q=70123",
            "q=7012",
            "q=",
            "about=serviceStateChangeEvent",
            "about=monitorStateChangeEvent",
            "about=other",
            "state__exact=parked",
            f"account__id__exact={account.pk}",
        )
    }

    assert found == {
        f"q={ICCID}": [fourth.pk, first.pk],
        "q=8970 1010 0000 0000 0015": [first.pk],
        "q=70123": [second.pk],
        "q=7012": [],
        "q=": [fourth.pk, third.pk, second.pk, first.pk],
        "about=serviceStateChangeEvent": [first.pk],
        "about=monitorStateChangeEvent": [fourth.pk, second.pk],
        "about=other": [third.pk],
        "state__exact=parked": [third.pk],
        f"account__id__exact={account.pk}": [second.pk, first.pk],
    }


def payload_shown(client: Client, event: Callback) -> str:
    page = client.get(f"{LIST}{event.pk}/change/").content.decode()
    text = page.partition('<pre class="exchange-text">')[2].partition("</pre>")[0]
    return text.replace("&quot;", '"')


def test_event_page_masks_and_escapes_the_body(support, account):
    event = row(
        account,
        "e-1",
        iccid=ICCID,
        payload={
            "event": {
                "service": {"state": "<script>", "supportingResource": [{"iccid": ICCID}]},
                "customer": {"firstName": "Анна"},
            },
        },
    )

    shown = payload_shown(support, event)
    assert json.loads(html.unescape(shown)) == {
        "event": {
            "service": {"state": "<script>", "supportingResource": [{"iccid": "…0015"}]},
            "customer": {"firstName": "•••"},
        }
    }
    assert "&lt;script&gt;" in shown
    page = support.get(f"{LIST}{event.pk}/change/").content.decode()
    assert "<h2>serviceStateChangeEvent e-1</h2>" in page
    assert "22.11.2026 11:59:58" in page


@pytest.mark.parametrize("event", [service_event(), monitor_event(number="89701010000000000077")])
def test_events_that_were_really_sent_are_shown(support, account, event):
    body = json.dumps(event).encode()
    store(account=account, event_id="evt-1", body=body, at=AT)

    shown = payload_shown(support, Callback.objects.get())

    assert '"eventId": "evt-1"' in shown
    assert "8970101" not in shown


def test_events_are_for_support_only_and_nobody_writes_them(account):
    event = row(account, "e-1")
    pages = (LIST, f"{LIST}{event.pk}/change/", f"{LIST}add/", f"{LIST}{event.pk}/delete/")
    clients = {name: of_group(name) for name in ("Поддержка", "Склад", "Финансы")}

    answers = {
        name: [client.get(page).status_code for page in pages] for name, client in clients.items()
    }

    assert answers == {
        "Поддержка": [200, 200, 403, 403],
        "Склад": [403, 403, 403, 403],
        "Финансы": [403, 403, 403, 403],
    }


def test_page_of_the_contract_leads_to_its_events(account):
    page = f"/admin/operators/operatoraccount/{account.pk}/change/"
    link = f'<a href="{LIST}?account__id__exact={account.pk}">Уведомления</a>'

    seen = {
        name: link in of_group(name).get(page).content.decode() for name in ("Поддержка", "Склад")
    }

    assert seen == {"Поддержка": True, "Склад": False}
