"""«Сегодня»: what waits for staff, each kind with its number, the age of its oldest row and its list."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from cabinet.accounts.services.staff_groups import ensure_groups
from cabinet.messaging import alerts
from cabinet.models import Merchant
from cabinet.tests.people import make_staff
from operators.models import Callback, OperatorAccount
from smartcards.models import CommandStep
from smartcards.orders.tests.orders import packed, place, stocked
from smartcards.states import CommandState
from smartcards.tests.cards import (
    NOW,
    clock_at,
    make_account,
    make_card,
    make_command,
    make_merchant,
)
from subscriptions.evotor.models import Delivery

pytestmark = pytest.mark.django_db

FIRST_PAGE = "/admin/"
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _clock(settings, tmp_path):
    clock_at(settings, tmp_path)


@pytest.fixture
def boss() -> Client:
    client = Client()
    client.force_login(make_staff("boss"))
    return client


def of_group(name: str) -> Client:
    ensure_groups()
    user = make_staff(f"staff-{name}", is_superuser=False)
    user.groups.add(Group.objects.get(name=name))
    client = Client()
    client.force_login(user)
    return client


def lines(client: Client) -> dict[str, tuple[int, str, bool]]:
    """Number, age of the oldest row and whether that is late, by the title."""
    return {
        line.waiting.title: (line.waiting.number, line.age.replace("\u00a0", " "), line.late)
        for line in client.get(FIRST_PAGE).context["today"]
    }


def details(client: Client, title: str) -> str:
    found = next(
        line.waiting.details.replace("\u00a0", " ")
        for line in client.get(FIRST_PAGE).context["today"]
        if line.waiting.title == title
    )
    return str(found)


def park(received_at) -> None:
    Delivery.objects.create(
        hook="x", body_hash=str(received_at), received_at=received_at, state="parked"
    )


NOTHING = (0, "", False)


def test_first_page_without_work_shows_zeros(boss):
    assert lines(boss) == {
        "Заказы: собрать": NOTHING,
        "Заказы: отправить": NOTHING,
        "Команды: записать исход": NOTHING,
        "Дела для сотрудников": NOTHING,
        "Операторы: сбои и задержки": NOTHING,
        "Отложенные события Эвотор": NOTHING,
        "Отложенные события операторов": NOTHING,
    }


def test_first_page_counts_what_waits_and_since_when(boss):
    merchant = make_merchant()
    place(merchant)
    stocked(3)
    packed(merchant)
    for hours in (30, 2):
        command = make_command(make_card(merchant), state=CommandState.NEEDS_STAFF)
        CommandStep.objects.create(
            command=command, state=CommandState.NEEDS_STAFF, at=NOW - hours * HOUR
        )
    for hours in (1, 3):
        park(NOW - hours * HOUR)
    Callback.objects.create(
        account=make_account("other"),
        event_id="1",
        occurred_at=NOW,
        received_at=NOW - HOUR,
        payload={},
        state="parked",
    )

    found = lines(boss)

    assert found["Команды: записать исход"] == (2, "1 день 6 часов", True)
    assert found["Отложенные события Эвотор"] == (2, "3 часа", False)
    assert found["Отложенные события операторов"] == (1, "1 час", False)
    assert (found["Заказы: собрать"][0], found["Заказы: отправить"][0]) == (1, 1)


def test_every_line_leads_to_a_list_of_its_rows(boss):
    place(make_merchant())
    make_command(make_card(), state=CommandState.NEEDS_STAFF)
    alerts.raise_alert(key="stuck", text="Карта не отвечает", at=NOW)
    park(NOW)

    addresses = {
        line.waiting.title: line.waiting.url for line in boss.get(FIRST_PAGE).context["today"]
    }
    listed = {
        title: boss.get(url).context["cl"].result_count
        for title, url in addresses.items()
        if title != "Операторы: сбои и задержки"
    }

    assert listed == {
        "Заказы: собрать": 1,
        "Заказы: отправить": 0,
        "Команды: записать исход": 1,
        "Дела для сотрудников": 1,
        "Отложенные события Эвотор": 1,
        "Отложенные события операторов": 0,
    }
    assert addresses["Операторы: сбои и задержки"] == "/admin/smartcards/board/"


def test_alerts_are_counted_by_age_without_those_put_off(boss):
    merchant = make_merchant()
    for key, age in (("a", 0), ("b", 5), ("c", 30), ("d", 50)):
        alerts.raise_alert(key=key, text="Дело", at=NOW - age * HOUR)
    alerts.raise_alert(key="later", text="Подождёт", at=NOW, merchant_id=merchant.pk, can_wait=True)
    Merchant.objects.filter(pk=merchant.pk).update(silent_from=NOW, silent_until=NOW + HOUR)

    assert lines(boss)["Дела для сотрудников"] == (4, "2 дня 2 часа", True)
    assert details(boss, "Дела для сотрудников") == "за последний час — 1, за сутки — 1, раньше — 2"


def test_deliveries_that_were_given_up_get_a_line(boss):
    Delivery.objects.create(hook="x", body_hash="1", received_at=NOW - HOUR, state="failed")
    Delivery.objects.create(
        hook="x", body_hash="2", received_at=NOW - HOUR, state="failed", next_try_at=NOW
    )

    line = next(
        one for one in boss.get(FIRST_PAGE).context["today"] if "ошибкой" in one.waiting.title
    )

    assert (line.waiting.number, line.age) == (1, "1\u00a0час")
    assert boss.get(line.waiting.url).context["cl"].result_count == 1


def test_operator_in_trouble_is_named_since_when(boss):
    make_account()
    OperatorAccount.objects.update(broken_since=NOW - 2 * HOUR, probe_at=NOW)

    assert lines(boss)["Операторы: сбои и задержки"] == (1, "2 часа", False)
    assert details(boss, "Операторы: сбои и задержки").startswith(
        OperatorAccount.objects.get().title
    )


ORDERS = ["Заказы: собрать", "Заказы: отправить"]


@pytest.mark.parametrize(
    ("group", "seen"),
    [
        (
            "Поддержка",
            [
                *ORDERS,
                "Команды: записать исход",
                "Дела для сотрудников",
                "Операторы: сбои и задержки",
                "Отложенные события Эвотор",
                "Отложенные события операторов",
            ],
        ),
        ("Склад", ORDERS),
        ("Финансы", ["Отложенные события Эвотор"]),
    ],
)
def test_each_group_sees_its_own_lines_and_links(group, seen):
    client = of_group(group)

    page = client.get(FIRST_PAGE)

    assert [line.waiting.title for line in page.context["today"]] == seen
    assert ("/admin/cabinet/user/" in page.content.decode()) is (group == "Поддержка")
    assert ("/admin/smartcards/drift/" in page.content.decode()) is True


def test_first_page_of_staff_without_rights_is_empty():
    client = Client()
    client.force_login(make_staff("new", is_superuser=False))

    page = client.get(FIRST_PAGE)

    assert (page.context["today"], page.context["app_list"]) == ([], [])
    assert "пока нет прав" in page.content.decode()


def test_first_page_asks_a_fixed_number_of_queries(boss, django_assert_num_queries):
    place(make_merchant())
    for _ in range(3):
        make_command(make_card(), state=CommandState.NEEDS_STAFF)
        alerts.raise_alert(key=str(_), text="Дело", at=NOW)
    boss.get(FIRST_PAGE)

    with django_assert_num_queries(20):
        boss.get(FIRST_PAGE)
