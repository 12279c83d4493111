"""«Взять паузу» about a merchant: alerts that can wait are put off, at once or for planned works."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils.timezone import localtime

from cabinet import clock
from cabinet.accounts.services.company import SilenceRefused, silence_alerts
from cabinet.accounts.services.staff_groups import ensure_groups
from cabinet.actors import SYSTEM, Actor
from cabinet.enums import ActorKind
from cabinet.messaging import alerts
from cabinet.messaging.alerts import AlertPause
from cabinet.models import Alert, AuditEvent, Merchant
from cabinet.tests.people import make_merchant, make_staff

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
STAFF = Actor(ActorKind.STAFF, "Зоя")
LIST = "/admin/cabinet/alert/"


@pytest.fixture
def merchant() -> Merchant:
    return make_merchant()


def silence(merchant: Merchant, hours: int = 4, at: datetime = NOW, **changes) -> None:
    asked = {"starts_at": None, "reason": "Ремонт в магазине", "by": STAFF} | changes
    silence_alerts(merchant=merchant, hours=hours, at=at, **asked)
    merchant.refresh_from_db()


def raise_for(merchant: Merchant | None, key: str, *, can_wait: bool = True) -> None:
    pk = merchant.pk if merchant else None
    alerts.raise_alert(key=key, text=key, at=NOW, merchant_id=pk, can_wait=can_wait)


def put_off(at: datetime) -> list[str]:
    """The keys of the alerts that wait."""
    found = Alert.objects.filter(alerts.put_off(at)).order_by("key")
    return list(found.values_list("key", flat=True))


# --- the pause ----------------------------------------------------------------------------------


def test_only_alerts_that_can_wait_of_this_merchant_are_put_off(merchant):
    other = make_merchant("ООО «Лютик»")
    raise_for(merchant, "waits")
    raise_for(merchant, "decide now", can_wait=False)
    raise_for(merchant, "closed")
    alerts.close_alert(key="closed", by=SYSTEM, at=NOW)
    raise_for(other, "another's")
    raise_for(None, "nobody's")

    silence(merchant)

    assert put_off(NOW) == ["waits"]


def test_alert_raised_meanwhile_waits_and_comes_when_the_pause_ends(merchant):
    silence(merchant, hours=4)
    raise_for(merchant, "waits")

    assert put_off(NOW + 4 * HOUR - timedelta(seconds=1)) == ["waits"]
    assert put_off(NOW + 4 * HOUR) == []
    assert Alert.objects.filter(closed_at=None).count() == 1


def test_alert_about_a_row_can_wait_too(merchant):
    silence(merchant)

    alerts.raise_about("late", 7, text="", at=NOW, merchant_id=merchant.pk, can_wait=True)

    assert put_off(NOW) == ["late:7"]


def test_planned_works_begin_and_end_by_themselves(merchant):
    raise_for(merchant, "waits")

    silence(merchant, hours=8, starts_at=NOW + 2 * HOUR)

    moments = [NOW, NOW + 2 * HOUR, NOW + 10 * HOUR - timedelta(seconds=1), NOW + 10 * HOUR]
    assert [put_off(at) for at in moments] == [[], ["waits"], ["waits"], []]
    assert [alerts.pause_of(merchant, at) for at in moments] == [
        AlertPause(merchant, NOW + 2 * HOUR, NOW + 10 * HOUR),
        AlertPause(merchant, None, NOW + 10 * HOUR),
        AlertPause(merchant, None, NOW + 10 * HOUR),
        None,
    ]


def test_pause_is_ended_before_its_time(merchant):
    raise_for(merchant, "waits")
    silence(merchant)

    silence(merchant, hours=0, reason="Закончили")

    assert put_off(NOW) == []
    assert alerts.pauses(NOW) == []


def test_newer_pause_takes_the_place_of_the_older(merchant):
    silence(merchant, hours=72)

    silence(merchant, hours=1, at=NOW + HOUR)

    assert (merchant.silent_from, merchant.silent_until) == (NOW + HOUR, NOW + 2 * HOUR)


def test_start_in_the_past_is_now(merchant):
    silence(merchant, hours=1, starts_at=NOW - HOUR)

    assert (merchant.silent_from, merchant.silent_until) == (NOW, NOW + HOUR)


def test_pauses_are_listed_with_what_they_put_off(merchant):
    other = make_merchant("ООО «Лютик»")
    make_merchant("ООО «Вереск»")
    for key in ("one", "two"):
        raise_for(merchant, key)
    silence(merchant, hours=8)
    silence(other, hours=1, starts_at=NOW + HOUR)

    found = alerts.pauses(NOW)

    assert found == [
        AlertPause(other, NOW + HOUR, NOW + 2 * HOUR),
        replace(AlertPause(merchant, None, NOW + 8 * HOUR), put_off=2),
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"reason": "  "}, "Укажите, почему дела не нужны."),
        ({"hours": 73}, "Не больше 72 часов."),
        ({"hours": -1}, "Не больше 72 часов."),
        (
            {"starts_at": NOW + timedelta(days=31)},
            "Начало не позже чем через 30\u00a0дней.",
        ),
        ({"hours": 0}, "Паузы уже нет."),
    ],
)
def test_pause_out_of_bounds_is_refused(merchant, changes, sentence):
    with pytest.raises(SilenceRefused) as refused:
        silence(merchant, **changes)

    assert refused.value.sentence == sentence
    assert AuditEvent.objects.count() == 0


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"hours": 4}, "Дела о клиенте отложены на 4\u00a0часа"),
        (
            {"hours": 1, "starts_at": NOW + HOUR},
            "Дела о клиенте отложены на 1\u00a0час с 22.11.2026 13:00 (МСК)",
        ),
    ],
)
def test_pause_is_in_the_journal_with_its_reason(merchant, fields, text):
    silence(merchant, **fields)

    found = AuditEvent.objects.values("action", "target", "text", "reason", "actor_name", "at")
    assert found.get() == {
        "action": "merchant.alerts_silenced",
        "target": "merchant",
        "text": text,
        "reason": "Ремонт в магазине",
        "actor_name": "Зоя",
        "at": NOW,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"silent_from": NOW},
        {"silent_until": NOW},
        {"silent_from": NOW, "silent_until": NOW},
    ],
)
def test_database_refuses_a_pause_without_two_ends(merchant, fields):
    rows = Merchant.objects.filter(pk=merchant.pk)

    with (
        pytest.raises(IntegrityError, match="merchant_silence_has_two_ends"),
        transaction.atomic(),
    ):
        rows.update(**fields)

    rows.update(silent_from=NOW, silent_until=NOW + HOUR)


# --- pages --------------------------------------------------------------------------------------


def of_group(name: str) -> Client:
    ensure_groups()
    user = make_staff(f"staff-{name}", is_superuser=False)
    user.groups.add(Group.objects.get(name=name))
    client = Client()
    client.force_login(user)
    return client


def page_of(merchant: Merchant, name: str) -> str:
    return reverse(f"admin:cabinet_merchant_{name}", kwargs={"pk": merchant.pk})


def text(answer) -> str:
    return str(answer.content.decode().replace("\u00a0", " ").replace("&nbsp;", " "))


def shown_time(at: datetime) -> str:
    return f"{localtime(at, ZoneInfo('Europe/Moscow')):%H:%M}"


def test_pause_is_taken_and_ended_on_the_merchants_page(merchant):
    client, url = of_group("Поддержка"), page_of(merchant, "silence")

    before = text(client.get(page_of(merchant, "whole")))
    taken = client.post(url, {"reason": "Ремонт", "hours": "4"})
    merchant.refresh_from_db()
    until = merchant.silent_until
    during = text(client.get(page_of(merchant, "whole")))
    client.post(url, {"reason": "Закончили", "hours": "0"})
    after = text(client.get(page_of(merchant, "whole")))

    assert taken.headers["Location"] == page_of(merchant, "whole")
    assert until is not None
    assert timedelta(hours=3.9) < until - clock.now() <= timedelta(hours=4)
    assert "приходят" in before
    assert "взять паузу" in before
    assert "изменить паузу" in during
    assert shown_time(until) in during
    assert "взять паузу" in after


def test_planned_works_are_entered_in_moscow_time(merchant):
    begins = (localtime(clock.now(), ZoneInfo("Europe/Moscow")) + timedelta(days=1)).replace(
        hour=22, minute=0, second=0, microsecond=0
    )
    form = {"reason": "Ремонт", "hours": "8", "starts_at": f"{begins:%d.%m.%Y %H:%M}"}

    of_group("Поддержка").post(page_of(merchant, "silence"), form)

    merchant.refresh_from_db()
    assert (merchant.silent_from, merchant.silent_until) == (begins, begins + 8 * HOUR)


def test_pause_form_sent_twice_is_carried_out_once(merchant):
    client, url = of_group("Поддержка"), page_of(merchant, "silence")
    form = {"form_key": client.get(url).context["form_key"], "reason": "Ремонт", "hours": "4"}

    answers = [client.post(url, form).status_code for _ in range(2)]

    assert answers == [302, 302]
    assert AuditEvent.objects.filter(action="merchant.alerts_silenced").count() == 1


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"reason": "", "hours": "4"}, "Укажите причину."),
        ({"reason": "Ремонт", "hours": "5"}, "Выберите корректный вариант"),
        ({"reason": "Ремонт", "hours": "4", "starts_at": "завтра"}, "Введите правильную дату"),
        ({"reason": "Ремонт", "hours": "0"}, "Паузы уже нет."),
    ],
)
def test_refused_pause_stays_on_the_page_with_what_was_typed(merchant, form, sentence):
    page = of_group("Поддержка").post(page_of(merchant, "silence"), form)

    assert page.status_code == 200
    assert sentence in text(page)
    assert AuditEvent.objects.count() == 0


def test_pause_is_for_those_who_close_alerts(merchant):
    url = page_of(merchant, "silence")
    clients = {name: of_group(name) for name in ("Поддержка", "Склад", "Финансы")}

    seen = {name: client.get(url).status_code for name, client in clients.items()}
    linked = {
        name: url in text(client.get(page_of(merchant, "whole")))
        for name, client in clients.items()
    }

    assert seen == {"Поддержка": 200, "Склад": 403, "Финансы": 403}
    assert linked == {"Поддержка": True, "Склад": False, "Финансы": False}
    assert Client().get(url).status_code == 302
    assert clients["Поддержка"].get("/admin/cabinet/merchant/0/silence/").status_code == 404
    assert clients["Поддержка"].put(url).status_code == 405


def test_list_hides_what_is_put_off_and_shows_it_on_demand(merchant):
    silence(merchant, at=clock.now())
    raise_for(merchant, "Команда идёт долго")
    raise_for(merchant, "Украдена смарт-карта", can_wait=False)
    client = of_group("Поддержка")

    usual, waiting = (client.get(f"{LIST}{query}") for query in ("", "?paused=1"))

    assert [row.text for row in usual.context["cl"].result_list] == ["Украдена смарт-карта"]
    assert [row.text for row in waiting.context["cl"].result_list] == ["Команда идёт долго"]
    assert f'href="?paused=1&amp;merchant_id={merchant.pk}">1</a>' in text(usual)
    assert shown_time(merchant.silent_until) in text(usual)


def test_list_without_pauses_has_no_table_of_them(merchant):
    raise_for(merchant, "Команда идёт долго")

    page = of_group("Поддержка").get(LIST)

    assert "Пауза в делах" not in text(page)
    assert [row.text for row in page.context["cl"].result_list] == ["Команда идёт долго"]
