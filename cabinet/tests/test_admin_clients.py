"""Staff see and find clients by name and phone wherever a row keeps only the number of its client."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from cabinet import audit
from cabinet.actors import SYSTEM, Actor
from cabinet.enums import ActorKind, MessageChannel, MessageEvent, MessageState
from cabinet.messaging import alerts
from cabinet.models import Alert, AuditEvent, Message
from cabinet.tests.people import AT, make_member, make_merchant, make_staff, make_user

pytestmark = pytest.mark.django_db

AUDIT_LOG = "/admin/cabinet/auditevent/"
ALERTS = "/admin/cabinet/alert/"


@pytest.fixture
def boss() -> Client:
    client = Client()
    client.force_login(make_staff())
    return client


def text(answer) -> str:
    return str(answer.content.decode().replace("\u00a0", " "))


def found(client: Client, page: str, term: str) -> list[str]:
    answer = client.get(page, {"q": term})
    return sorted(str(row.text) for row in answer.context["cl"].result_list)


@pytest.fixture
def two_clients():
    """«Ёлка» with a phone and a person with another, «Сосна»; an event and an alert of each."""
    fir = make_merchant("ООО «Ёлка»", phone="79120000001", inn="7707083893")
    pine = make_merchant("ООО «Сосна»")
    make_member(merchant=fir, user=make_user("79120000002"))
    for merchant, said in ((fir, "у Ёлки"), (pine, "у Сосны")):
        audit.record(merchant, "company.changed", f"Изменено {said[2:]}", by=SYSTEM, at=AT)
        alerts.raise_alert(key=said, text=f"Дело {said[2:]}", at=AT, merchant_id=merchant.pk)
    return fir, pine


TERMS = ["ёлка»", "79120000001", "+7 (912) 000-00-01", "8 912 000 00 02", "7707083893"]


@pytest.mark.parametrize("term", TERMS)
def test_journal_is_found_by_name_and_phone_of_client(term, boss, two_clients):
    assert found(boss, AUDIT_LOG, term) == ["Изменено Ёлки"]


@pytest.mark.parametrize("term", TERMS)
def test_alerts_are_found_by_name_and_phone_of_client(term, boss, two_clients):
    assert found(boss, ALERTS, term) == ["Дело Ёлки"]


def test_journal_is_found_by_words_and_by_its_author(boss, two_clients):
    author = make_user("79120000009", name="Пётр Ильич")
    by = Actor(ActorKind.PERSON, author.name, author.pk)
    audit.record(two_clients[1], "company.changed", "Новый адрес", by=by, at=AT)

    assert found(boss, AUDIT_LOG, "новый адрес") == ["Новый адрес"]
    assert found(boss, AUDIT_LOG, "ильич") == ["Новый адрес"]
    assert found(boss, AUDIT_LOG, "+7 912 000-00-09") == ["Новый адрес"]


def test_lists_show_name_and_phone_of_client(boss, two_clients):
    fir, _ = two_clients
    shown = (
        f'<a href="/admin/cabinet/merchant/{fir.pk}/whole/">ООО «Ёлка»</a>'
        '<br><span class="nowrap">+7 912 000-00-01</span>'
    )

    assert {page: shown in text(boss.get(page)) for page in (AUDIT_LOG, ALERTS)} == {
        AUDIT_LOG: True,
        ALERTS: True,
    }


def test_phone_of_client_needs_its_right(two_clients):
    colleague = make_staff("finance", is_superuser=False)
    colleague.user_permissions.add(Permission.objects.get(codename="view_auditevent"))
    client = Client()
    client.force_login(colleague)

    page = text(client.get(AUDIT_LOG))

    assert "ООО «Ёлка»" in page
    assert "912 000-00-01" not in page


def test_client_that_is_gone_is_a_dash(boss):
    audit.record(make_user(), "person.changed", "Изменён человек", by=SYSTEM, at=AT)
    AuditEvent.objects.update(merchant_id=999_999)

    row = boss.get(AUDIT_LOG).context["cl"]

    assert [row.model_admin.client(one) for one in row.result_list] == ["—"]


def test_journal_names_what_its_rows_are_about(boss):
    merchant, person = make_merchant("ООО «Ёлка»"), make_user(name="Анна")
    for target, action in ((merchant, "company.changed"), (person, "person.changed")):
        audit.record(target, action, "Изменено", by=SYSTEM, at=AT)
    event = AuditEvent.objects.create(
        at=AT, target="order", target_id=7, action="x", text="Собран", actor_kind=ActorKind.SYSTEM
    )

    shown = boss.get(AUDIT_LOG).context["cl"]
    page = text(boss.get(f"{AUDIT_LOG}{event.pk}/change/"))

    assert {shown.model_admin.about(row) for row in shown.result_list} == {
        f'<a href="/admin/cabinet/merchant/{merchant.pk}/change/">Клиент ООО «Ёлка»</a>',
        f'<a href="/admin/cabinet/user/{person.pk}/change/">Человек Анна</a>',
        '<a href="/admin/orders/order/7/change/">Заказ смарт-карт № 7</a>',
    }
    assert '<a href="/admin/orders/order/7/change/">Заказ смарт-карт № 7</a>' in page


def test_journal_asks_as_many_queries_for_more_rows(boss, django_assert_max_num_queries):
    for number in range(20):
        merchant = make_merchant(f"ООО «{number}»")
        audit.record(merchant, "company.changed", "Изменено", by=SYSTEM, at=AT)

    with django_assert_max_num_queries(11):
        answer = boss.get(AUDIT_LOG)

    assert len(answer.context["cl"].result_list) == 20


def test_messages_are_found_by_phone_and_by_client(boss):
    merchant = make_merchant("ООО «Ёлка»")
    for to, owner in (("79120000001", merchant.pk), ("79120000003", None)):
        Message.objects.create(
            event=MessageEvent.CODE,
            channel=MessageChannel.SMS,
            to=to,
            merchant_id=owner,
            state=MessageState.SENT,
            created_at=AT,
            changed_at=AT,
        )

    def numbers(term: str) -> list[str]:
        page = boss.get("/admin/cabinet/message/", {"q": term})
        return sorted(row.to for row in page.context["cl"].result_list)

    assert numbers("Ёлка") == ["79120000001"]
    assert numbers("+7 912 000-00-03") == ["79120000003"]


@pytest.mark.parametrize("page", ["user", "member", "usersession", "consent"])
def test_people_are_found_by_phone_in_any_spelling(page, boss):
    assert boss.get(f"/admin/cabinet/{page}/", {"q": "+7 (912) 000-00-02"}).status_code == 200


def test_member_is_found_by_phone_in_any_spelling(boss, two_clients):
    rows = boss.get("/admin/cabinet/member/", {"q": "8 (912) 000-00-02"}).context["cl"].result_list

    assert [row.user.phone for row in rows] == ["79120000002"]


def test_all_found_alerts_are_closed_in_one_statement(boss, django_assert_max_num_queries):
    for number in range(300):
        alerts.raise_alert(key=str(number), text="Дело", at=AT)
    first = Alert.objects.order_by("pk")[0].pk
    form = {"action": "close_selected", "_selected_action": [first], "select_across": "1"}

    with django_assert_max_num_queries(12):
        boss.post(ALERTS, form)

    assert Alert.objects.filter(closed_at=None).count() == 0
