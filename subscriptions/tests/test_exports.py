"""The history of payments to download."""

import io
from datetime import UTC, datetime
from urllib.parse import unquote

import pytest

from cabinet.enums import Role
from cabinet.formatting.table_files import read_table
from cabinet.tests.people import make_member, make_merchant, signed_in
from smartcards.tests.cards import clock_at, make_live_subscription
from subscriptions.models import Charge, Gift
from subscriptions.states import ChargeKind

pytestmark = pytest.mark.django_db

STARTS = datetime(2026, 11, 1, 12, 56, tzinfo=UTC)
ENDS = datetime(2026, 12, 1, 12, 56, tzinfo=UTC)
HEADING = (
    *("Когда (МСК)", "За что", "Смарт-карт", "С (МСК)", "До (МСК)", "Сумма, ₽", "Расчёт"),
    *("Примечание", "Кто", "Модуль"),
)


def charge(subscription, number, kopecks):
    return Charge.objects.create(
        subscription=subscription,
        number=number,
        kind=ChargeKind.PAYMENT,
        charged_at=STARTS,
        kopecks=kopecks,
        tariff=subscription.tariff,
        cards=2,
        cards_before=0,
        period_starts_at=STARTS,
        starts_at=STARTS,
        ends_at=ENDS,
    )


@pytest.fixture
def merchant(settings, tmp_path, db):
    clock_at(settings, tmp_path, ENDS)
    return make_merchant()


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_payments_are_downloaded_as_the_page_tells_them(client, merchant, kind):
    subscription = make_live_subscription(merchant, cards=2)
    charge(subscription, 1, 50_150)
    charge(make_live_subscription(merchant), 1, None)
    Gift.objects.create(
        subscription=subscription,
        starts_at=ENDS,
        ends_at=datetime(2026, 12, 3, 12, 56, tzinfo=UTC),
        days=2,
        reason="за ожидание",
        given_by="Зоя",
        given_at=ENDS,
    )
    charge(make_live_subscription(make_merchant("ООО «Чужая»")), 1, 99_900)
    signed_in(client, make_member(Role.ACCOUNTANT, merchant))

    answer = client.get(f"/subscription/payments/{kind}/")
    rows = read_table(io.BytesIO(answer.getvalue()))
    answer.close()

    times, sums = ("01.11.2026 15:56", "01.12.2026 15:56"), ("501,5", "501,50")[kind == "csv"]
    calculation = "2\u00a0смарт-карты × 250\u00a0₽"
    more = "Эвотор списал на 1,50\u00a0₽ больше, чем по тарифу"
    gift = ("бесплатно", "Служба поддержки", "Кассовые сервисы")
    unknown = "Эвотор не назвал сумму"
    assert [rows[0], rows[1], sorted(rows[2:])] == [
        HEADING,
        (
            *("01.12.2026 15:56", "Подарено 2\u00a0дня: за ожидание", "2", "01.12.2026 15:56"),
            *("03.12.2026 15:56", ("0", "0,00")[kind == "csv"], "", *gift),
        ),
        [
            (
                *(times[0], "Оплата за 1\u00a0месяц", "2", *times, "", calculation, unknown),
                *("Эвотор", "Кассовые сервисы"),
            ),
            (
                *(times[0], "Оплата за 1\u00a0месяц", "2", *times, sums, calculation, more),
                *("Эвотор", "Кассовые сервисы"),
            ),
        ],
    ]
    name = f"attachment; filename*=utf-8''История оплаты 01.12.2026.{kind}"
    assert unquote(answer.headers["Content-Disposition"]) == name


@pytest.mark.parametrize(("role", "status"), [(Role.ACCOUNTANT, 200), (Role.CASHIER, 403)])
def test_payments_are_for_those_who_see_the_subscription(client, merchant, role, status):
    signed_in(client, make_member(role, merchant))

    assert client.get("/subscription/payments/csv/").status_code == status
