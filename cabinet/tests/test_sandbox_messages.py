"""The sandbox's gateways: what the product sends is read there."""

from datetime import datetime

import pytest
import requests

from cabinet.messaging import notifications
from cabinet.sandbox.messages import MessagesPart
from cabinet.sandbox.server import serving


@pytest.fixture
def sandbox(tmp_path, settings):
    with serving([MessagesPart()], port=0, state=tmp_path / "state.json") as server:
        address = f"http://127.0.0.1:{server.server_port}"
        settings.SMS_URL = f"{address}/messages/sms"
        settings.EMAIL_URL = f"{address}/messages/email"
        yield address


def shown(address: str) -> list[dict[str, str]]:
    return list(requests.get(f"{address}/messages", timeout=5).json())


def test_messages_are_shown_newest_first(sandbox):
    notifications.send_sms(to="79120000001", text="Код 123456")
    notifications.send_email(to="anna@example.com", subject="Новый вход", text="Кто-то вошёл.")

    messages = shown(sandbox)

    instants = [datetime.fromisoformat(message.pop("at")) for message in messages]
    assert instants == sorted(instants, reverse=True)
    assert messages == [
        {
            "to": "anna@example.com",
            "channel": "email",
            "subject": "Новый вход",
            "text": "Кто-то вошёл.",
        },
        {"to": "+79120000001", "channel": "sms", "subject": "", "text": "Код 123456"},
    ]


@pytest.mark.parametrize("body", [{}, {"to": "x"}, [], {"to": "x", "text": 1}])
def test_gateway_refuses_what_is_no_message(sandbox, body):
    answer = requests.post(f"{sandbox}/messages/sms", json=body, timeout=5)

    assert answer.status_code == 400
    assert shown(sandbox) == []


def test_messages_survive_a_restart():
    before, after = MessagesPart(), MessagesPart()
    before._store(to="+79120000001", channel="sms", subject="", text="Ёж")

    after.load(before.dump())

    assert after._newest() == before._newest()
    assert [message["text"] for message in after._newest()] == ["Ёж"]


def test_first_page_shows_messages_to_people():
    part = MessagesPart()
    empty = part.panel()
    part._store(to="+79120000001", channel="sms", subject="", text="Ёж & <b>")

    assert "Пока ничего не отправляли." in empty
    assert "Ёж &amp; &lt;b&gt;" in part.panel()
    assert "СМС на +79120000001" in part.panel()


def test_browser_gets_a_page_with_whole_messages_and_links(sandbox):
    text = "Заказ № 5 отправлен.\n\nhttp://localhost:8000/orders/5/ & <b>"
    notifications.send_email(to="anna@example.com", subject="Заказ № 5 отправлен", text=text)

    page = requests.get(f"{sandbox}/messages", headers={"Accept": "text/html,*/*"}, timeout=5)

    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "письмо на anna@example.com" in page.text
    assert "<h2>Заказ № 5 отправлен</h2>" in page.text
    assert 'href="http://localhost:8000/orders/5/"' in page.text
    assert "&amp; &lt;b&gt;" in page.text
