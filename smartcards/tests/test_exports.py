"""Files that merchants download: the list, histories, the accountant's month."""

import io
import logging
import re
from datetime import UTC, date, datetime, timedelta
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import pytest
from django.test import Client

from cabinet.audit import record
from cabinet.enums import MessageChannel, MessageEvent, Role
from cabinet.formatting.table_files import read_table
from cabinet.models import Message, MessagePreference, Notice, User
from cabinet.tests.people import signed_in
from smartcards.exports import card_rows, month_notice, monthly_report
from smartcards.exports.monthly_report import FREE, GONE, months_with_payments
from smartcards.models import SmartCard
from smartcards.states import CommandState, OperatorState
from smartcards.tests.cards import (
    NOW,
    OWNER,
    clock_at,
    cover,
    make_account,
    make_card,
    make_command,
    make_live_subscription,
    make_member,
    make_merchant,
    make_terminal,
)
from subscriptions.models import Charge
from subscriptions.states import ChargeKind

pytestmark = pytest.mark.django_db

MOSCOW = ZoneInfo("Europe/Moscow")
LIST_HEADING = (
    *("Магазин", "Касса", "Подпись", "ICCID", "Номер", "Оператор", "Состояние", "Оплата"),
    "Оплачена до (МСК)",
)
MONTH_HEADING = ("Магазин", "Касса", "Подпись", "ICCID", "Номер", "Оператор", "Дней", "Сумма, ₽")


@pytest.fixture
def merchant():
    return make_merchant()


@pytest.fixture
def owner(client, merchant, settings, tmp_path):
    clock_at(settings, tmp_path)
    return signed_in(client, make_member(merchant))


def rows_of(answer) -> list[tuple[str, ...]]:
    rows = read_table(io.BytesIO(answer.getvalue()))
    answer.close()
    return rows


# --- the list -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_list_is_downloaded_as_it_is_shown(owner, merchant, kind):
    subscription = make_live_subscription(merchant)
    works = make_card(
        merchant,
        confirmed=OperatorState.ACTIVE,
        desired_on=True,
        label="=Зал",
        terminal=make_terminal(merchant),
    )
    cover(works, subscription)
    spare = make_card(merchant)
    make_card(make_merchant("ООО «Чужая»"))

    answer = owner.get(f"/cards/file/{kind}/")

    assert rows_of(answer) == [
        LIST_HEADING,
        (
            *("Магазин на Ленина", "Касса 1", "=Зал", works.iccid, works.msisdn, "МТС"),
            *("Работает", "Оплачена", "22.12.2026 12:00"),
        ),
        (
            *("", "", "", spare.iccid, spare.msisdn, "МТС", "Новая", "Не выбрана для оплаты"),
            *([""] if kind == "csv" else []),
        ),
    ]


def test_list_is_downloaded_with_its_filter(owner, merchant):
    on = {"confirmed": OperatorState.ACTIVE, "desired_on": True}
    make_card(merchant, label="Зал", **on)
    make_card(merchant, label="Зал")
    make_card(merchant, label="Склад", **on)

    rows = rows_of(owner.get("/cards/file/csv/", {"q": "зал", "state": "works", "page": "9"}))

    assert [row[2] for row in rows] == ["Подпись", "Зал"]


def test_downloaded_file_is_named_in_russian_with_its_day(owner, merchant):
    card = make_card(merchant, iccid="89701010000000000062")
    addresses = ["/cards/file/csv/", "/cards/history/csv/", f"/cards/{card.pk}/history/csv/"]

    names = [owner.get(address).headers["Content-Disposition"] for address in addresses]

    assert [unquote(name) for name in names] == [
        "attachment; filename*=utf-8''Смарт-карты 22.11.2026.csv",
        "attachment; filename*=utf-8''История смарт-карт 22.11.2026.csv",
        "attachment; filename*=utf-8''История смарт-карты 0062 22.11.2026.csv",
    ]


def test_unknown_kind_of_file_is_not_found(owner):
    assert owner.get("/cards/file/pdf/").status_code == 404


def test_list_is_read_in_parts_with_few_queries(merchant, django_assert_num_queries):
    terminal = make_terminal(merchant)
    for _ in range(450):
        make_card(merchant, terminal=terminal)

    # One for the cards, and two for each two hundred of them.
    with django_assert_num_queries(7):
        rows = list(
            card_rows.list_rows(SmartCard.objects.of(merchant).order_by("pk"), zone=MOSCOW, at=NOW)
        )

    assert len(rows) == 451


# --- histories ------------------------------------------------------------------------------------


def test_history_of_a_card_is_whole(owner, merchant):
    card = make_card(merchant, label="Зал")
    record(card, "label_changed", "Изменена подпись: Зал", by=OWNER, at=NOW - timedelta(hours=1))
    make_command(card, state=CommandState.DONE)

    rows = rows_of(owner.get(f"/cards/{card.pk}/history/csv/"))

    place = ("", "", "Зал", card.iccid)
    assert rows == [
        (
            "Магазин",
            "Касса",
            "Подпись",
            "ICCID",
            "Когда (МСК)",
            "Что произошло",
            "Пояснение",
            "Кто",
        ),
        (*place, "22.11.2026 12:00", "Включение: подтверждено оператором", "", ""),
        (*place, "22.11.2026 12:00", "Включение: оператор принял запрос", "", ""),
        (*place, "22.11.2026 12:00", "Включение: отправляется оператору", "", ""),
        (
            *place,
            "22.11.2026 12:00",
            "Включение: принято, ждёт отправки оператору",
            "",
            "Анна Владимировна",
        ),
        (*place, "22.11.2026 11:00", "Изменена подпись: Зал", "", "Анна Владимировна"),
    ]


def test_history_of_a_shop_has_only_its_cards(owner, merchant):
    terminals = [make_terminal(merchant, shop=shop) for shop in ("На Ленина", "На Мира")]
    for terminal in terminals:
        make_command(make_card(merchant, terminal=terminal))

    rows = rows_of(owner.get("/cards/history/csv/", {"q": "Ленина"}))

    assert {row[0] for row in rows[1:]} == {"На Ленина"}


def test_history_knows_nothing_of_the_time_with_another_merchant(owner, merchant):
    card = make_card(merchant)
    before = NOW - timedelta(days=40)
    make_command(card, at=before, state=CommandState.CANCELLED)
    stranger = make_merchant("ООО «Чужая»")
    card.merchant = stranger
    record(card, "label_changed", "Изменена подпись: чужая", by=OWNER, at=before)

    assert len(rows_of(owner.get(f"/cards/{card.pk}/history/csv/"))) == 1


def test_history_of_another_merchants_card_is_not_found(owner):
    card = make_card(make_merchant("ООО «Чужая»"))

    assert owner.get(f"/cards/{card.pk}/history/csv/").status_code == 404


# --- the accountant's month -----------------------------------------------------------------------

STARTS = datetime(2026, 10, 31, 21, tzinfo=UTC)  # 1 November in Moscow
ENDS = datetime(2026, 11, 30, 21, tzinfo=UTC)
NOVEMBER, DECEMBER = date(2026, 11, 1), datetime(2026, 12, 5, tzinfo=UTC)


def paid_november(merchant, *, cards=3, kopecks=90_000):
    subscription = make_live_subscription(merchant, cards=cards, at=STARTS + timedelta(days=1))
    Charge.objects.create(
        subscription=subscription,
        number=1,
        kind=ChargeKind.PAYMENT,
        charged_at=STARTS,
        kopecks=kopecks,
        tariff=subscription.tariff,
        cards=cards,
        cards_before=0,
        period_starts_at=STARTS,
        starts_at=STARTS,
        ends_at=ENDS,
    )
    return subscription


def month_rows(merchant, at=DECEMBER):
    report = monthly_report.monthly_report(merchant, NOVEMBER, at)
    return [tuple(row) for row in monthly_report.report_rows(report)]


def test_month_is_told_by_shops_and_cards(merchant):
    subscription = paid_november(merchant)
    second, first = (
        make_card(merchant, terminal=make_terminal(merchant, name=name), label="Зал")
        for name in ("Касса 2", "Касса 1")
    )
    spare = make_card(merchant, account=make_account("beeline", title="Билайн", adapter="beeline"))
    cover(first, subscription, since=STARTS)
    cover(second, subscription, since=STARTS, till=STARTS + timedelta(days=10, hours=5))
    cover(spare, subscription, since=STARTS + timedelta(days=20))

    shop = "Магазин на Ленина"
    assert [tuple(map(str, row)) for row in month_rows(merchant)] == [
        MONTH_HEADING,
        (shop, "Касса 1", "Зал", first.iccid, first.msisdn, "МТС", "30", "300.00"),
        (shop, "Касса 2", "Зал", second.iccid, second.msisdn, "МТС", "10", "100.00"),
        (f"Итого: {shop}", *["None"] * 6, "400.00"),
        ("Без кассы", "", "", spare.iccid, spare.msisdn, "Билайн", "10", "100.00"),
        ("Итого: Без кассы", *["None"] * 6, "100.00"),
        (FREE, *["None"] * 6, "400.00"),
        ("Всего", *["None"] * 6, "900.00"),
    ]


def test_running_month_is_told_up_to_today(merchant):
    cover(make_card(merchant), paid_november(merchant, cards=1, kopecks=30_000), since=STARTS)

    report = monthly_report.monthly_report(merchant, NOVEMBER, NOW)

    assert (report.last, report.is_over, report.kopecks) == (date(2026, 11, 22), False, 22_000)
    assert report.shops[0].lines[0].days == 22


def test_month_shows_nothing_of_a_card_given_to_another_merchant(merchant):
    other = make_merchant("ООО «Чужая»")
    card = make_card(other, terminal=make_terminal(other, shop="Чужой магазин"), label="Чужая")
    cover(card, paid_november(merchant, cards=1), since=STARTS, till=ENDS)

    line = (GONE, "", "", card.iccid, "", "МТС", 30)
    assert [row[:7] for row in month_rows(merchant)[1:2]] == [line]
    assert months_with_payments(other, DECEMBER) == ()


def test_unknown_sum_is_said_and_counts_as_nothing(merchant):
    subscription = paid_november(merchant, cards=1, kopecks=None)
    cover(make_card(merchant), subscription, since=STARTS)

    report = monthly_report.monthly_report(merchant, NOVEMBER, DECEMBER)

    assert (report.lacks_sums, report.kopecks, report.shops[0].lines[0].days) == (True, 0, 30)


def test_months_reach_from_the_first_payment_to_today(merchant):
    paid_november(merchant)

    months = months_with_payments(merchant, datetime(2027, 1, 10, tzinfo=UTC))

    assert months == (date(2027, 1, 1), date(2026, 12, 1), NOVEMBER)


def test_month_takes_few_queries(merchant, django_assert_num_queries):
    subscription = paid_november(merchant)
    for _ in range(3):
        cover(make_card(merchant, terminal=make_terminal(merchant)), subscription, since=STARTS)

    with django_assert_num_queries(3):
        monthly_report.monthly_report(merchant, NOVEMBER, DECEMBER)


def test_month_page_shows_the_last_one_that_is_over(owner, merchant, settings, tmp_path):
    cover(make_card(merchant), paid_november(merchant, cards=1), since=STARTS)
    clock_at(settings, tmp_path, DECEMBER)

    page = owner.get("/subscription/month/").content.decode()
    answer = owner.get("/subscription/month/xlsx/", {"month": "2026-11-01"})

    assert '<option value="2026-11-01" selected>' in page
    assert 'href="/subscription/month/xlsx/?month=2026-11-01"' in page
    assert "Месяц ещё идёт" not in page
    name = "attachment; filename*=utf-8''Отчёт за ноябрь 2026.xlsx"
    assert unquote(answer.headers["Content-Disposition"]) == name
    assert rows_of(answer)[-1] == ("Всего", "", "", "", "", "", "", "900")


@pytest.mark.parametrize("month", ["", "2026-09-01", "2026-13-01", "ноябрь"])
def test_file_of_a_month_without_payments_is_not_found(owner, merchant, month):
    paid_november(merchant)

    assert owner.get("/subscription/month/csv/", {"month": month}).status_code == 404


# --- the accountant -------------------------------------------------------------------------------


def test_invited_accountant_signs_in_by_sms_and_sees_money(owner, merchant, caplog):
    cover(make_card(merchant), make_live_subscription(merchant), since=STARTS)
    invited = {"name": "Ольга Счётова", "phone": "8 912 000-00-05", "role": Role.ACCOUNTANT}
    owner.post("/team/", invited)
    browser = Client()

    caplog.set_level(logging.INFO, logger="cabinet.messaging.notifications")
    browser.post("/login/", {"phone": "8 912 000-00-05"})
    code = re.findall(r": ([0-9]{6}) ", caplog.text)[-1]
    entered = browser.post("/login/code/", {"code": code}, follow=True)

    assert entered.status_code == 200
    pages = ["/", "/subscription/", "/subscription/month/", "/orders/", "/company/"]
    files = ["/cards/file/csv/", "/subscription/payments/csv/"]
    assert [browser.get(address).status_code for address in [*pages, *files]] == [200] * 7


def test_accountant_meets_no_switch(client, merchant, settings, tmp_path):
    clock_at(settings, tmp_path)
    subscription = make_live_subscription(merchant, cards=2)
    on, new = (
        make_card(merchant, confirmed=OperatorState.ACTIVE, desired_on=True),
        make_card(merchant),
    )
    for card in (on, new):
        cover(card, subscription)
    signed_in(client, make_member(merchant, Role.ACCOUNTANT))

    pages = [client.get(f"/cards/{card.pk}/") for card in (on, new)] + [client.get("/")]
    switches = [
        client.post(f"/cards/{card.pk}/{switch}/").status_code
        for card in (on, new)
        for switch in ("activate", "deactivate", "check")
    ]

    assert [page for page in pages if "activate/" in page.content.decode()] == []
    assert switches == [403] * 6


# --- the news that a month is ready ---------------------------------------------------------------

FIRST_OF_DECEMBER = datetime(2026, 12, 1, 7, tzinfo=UTC)


def accountant_of(merchant):
    member = make_member(merchant, Role.ACCOUNTANT)
    address = f"books{member.pk}@example.ru"
    User.objects.filter(pk=member.user_id).update(email=address, confirmed_email=address)
    return address


def messages_about_months():
    rows = Message.objects.filter(event=MessageEvent.MONTH_READY).order_by("pk")
    return list(rows.values_list("to", "subject", "text"))


def test_accountant_learns_once_that_the_month_is_ready(merchant, settings):
    address, cashier = accountant_of(merchant), make_member(merchant, Role.CASHIER)
    User.objects.filter(pk=cashier.user_id).update(confirmed_email="till@example.ru")
    cover(make_card(merchant), paid_november(merchant), since=STARTS)
    make_merchant("ООО «Без оплат»")

    more = [
        month_notice.tell_of_reports(at=FIRST_OF_DECEMBER + timedelta(hours=hours))
        for hours in (0, 1, 30)
    ]

    text = (
        "ООО «Ромашка». Смарт-карты за ноябрь 2026\u00a0г.: 900\u00a0₽. Отчёт по магазинам и картам: "
        f"{settings.PUBLIC_URL}/subscription/month/?month=2026-11-01"
    )
    assert more == [False, False, False]
    assert messages_about_months() == [(address, "Отчёт за ноябрь 2026\u00a0г.", text)]


@pytest.mark.parametrize(
    ("zone", "at"),
    [
        ("Europe/Moscow", datetime(2026, 11, 30, 20, 59, tzinfo=UTC)),
        ("Europe/Kaliningrad", datetime(2026, 11, 30, 21, 30, tzinfo=UTC)),
        ("Europe/Moscow", datetime(2026, 12, 4, 9, tzinfo=UTC)),
    ],
    ids=["still November", "still November there", "too late"],
)
def test_month_is_not_ready_before_or_long_after_its_end(zone, at):
    merchant = make_merchant(timezone=zone)
    accountant_of(merchant)
    cover(make_card(merchant), paid_november(merchant), since=STARTS)

    month_notice.tell_of_reports(at=at)

    assert Notice.objects.count() == 0


def test_who_does_not_wish_the_report_gets_no_message(merchant):
    accountant_of(merchant)
    member = merchant.members.get(role=Role.ACCOUNTANT)
    MessagePreference.objects.create(
        member=member, event=MessageEvent.MONTH_READY, channel=MessageChannel.EMAIL, wanted=False
    )
    cover(make_card(merchant), paid_november(merchant), since=STARTS)

    month_notice.tell_of_reports(at=FIRST_OF_DECEMBER)

    assert messages_about_months() == []


def test_many_merchants_are_told_in_several_runs(monkeypatch):
    monkeypatch.setattr(month_notice, "BATCH", 2)
    for number in range(3):
        merchant = make_merchant(f"ООО «{number}»")
        accountant_of(merchant)
        paid_november(merchant)

    assert month_notice.tell_of_reports(at=FIRST_OF_DECEMBER)
    assert len(messages_about_months()) == 2
    assert not month_notice.tell_of_reports(at=FIRST_OF_DECEMBER)
    assert len(messages_about_months()) == 3


def test_link_of_the_message_asks_to_sign_in(client):
    answer = client.get("/subscription/month/?month=2026-11-01")

    assert answer.status_code == 302
    assert answer["Location"] == "/login/?next=/subscription/month/%3Fmonth%3D2026-11-01"
