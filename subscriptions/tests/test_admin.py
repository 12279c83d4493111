"""Staff's pages about modules, tariffs and subscriptions."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from cabinet.models import AuditEvent, User
from cabinet.wording import money
from subscriptions.models import Gift, Module, StaffStop
from subscriptions.tests.conftest import START

END = START + timedelta(days=28)
pytestmark = pytest.mark.django_db
PAGES = ("module", "tariff", "subscription", "installation", "marketrequest")


@pytest.fixture
def staff(client):
    user = User.objects.create_superuser("olga", "long password 12", name="Ольга")
    client.force_login(user)
    return client


@pytest.fixture
def supporter(client):
    """May look and give days, nothing else."""
    user = User.objects.create_user("petr", "long password 12", is_staff=True, name="Пётр")
    wanted = ["view_subscription", "add_gift"]
    user.user_permissions.add(*Permission.objects.filter(codename__in=wanted))
    client.force_login(user)
    return client


def change(row):
    return reverse(f"admin:subscriptions_{row._meta.model_name}_change", args=[row.pk])


def act(client, action, row, **data):
    return client.post(
        reverse("admin:subscriptions_subscription_changelist"),
        {"action": action, "_selected_action": [row.pk], **data},
        follow=True,
    )


@pytest.mark.parametrize("page", PAGES)
def test_lists_open(staff, make, page):
    make(entitled_from=START)

    assert staff.get(reverse(f"admin:subscriptions_{page}_changelist")).status_code == 200


def test_subscription_page_is_read_only(staff, make):
    row = make(entitled_from=START)

    page = staff.get(change(row))
    posted = staff.post(change(row), {"paid_cards": 99})

    row.refresh_from_db()
    assert (page.status_code, posted.status_code, row.paid_cards) == (200, 403, 1)


def test_days_are_given_with_a_reason(staff, make):
    row = make(entitled_from=START, entitled_until=END)

    act(staff, "give_days", row, days="7", reason="сбой")

    gift = Gift.objects.get()
    assert (gift.days, gift.reason, gift.given_by) == (7, "сбой", "Ольга")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"days": "7"}, "Укажите причину"),
        ({"reason": "сбой"}, "от 1 до 366"),
        ({"days": "много", "reason": "сбой"}, "Действие не выбрано"),
    ],
)
def test_days_are_refused_in_words(staff, make, data, sentence):
    page = act(staff, "give_days", make(entitled_from=START, entitled_until=END), **data)

    assert Gift.objects.count() == 0
    assert sentence in page.content.decode()


def test_subscription_is_stopped_with_a_reason(staff, make):
    row = make(entitled_from=START, paid_until=END)

    act(staff, "stop", row, reason="молчание")

    assert StaffStop.objects.get().reason == "молчание"


def test_supporter_may_give_days_but_not_stop(supporter, make):
    row = make(entitled_from=START, paid_until=END)

    act(supporter, "give_days", row, days="1", reason="сбой")
    act(supporter, "stop", row, reason="молчание")

    assert (Gift.objects.count(), StaffStop.objects.count()) == (1, 0)


def module_form(module, **fields):
    return {
        "code": module.code,
        "title": module.title,
        "description": "",
        "market_product_id": str(module.market_product_id),
        "addon_id": "",
        "enabled": "on",
        "new_tokens": "",
        "new_basic": "",
    } | fields


def test_secrets_of_a_module_are_written_and_never_shown(staff, module):
    staff.post(change(module), module_form(module, new_tokens="t0p-secret", new_basic="u:pass0rd"))

    html = staff.get(change(module)).content.decode()
    listed = staff.get(reverse("admin:subscriptions_module_changelist")).content.decode()
    saved = Module.objects.get()
    assert (saved.app_tokens, saved.basic_auth) == ("t0p-secret", "u:pass0rd")
    for secret in ("t0p-secret", "pass0rd"):
        assert secret not in html + listed
    line = AuditEvent.objects.get(action="edited")
    assert line.text == "Модуль «Кассовые сервисы» изменён. Секреты маркета заменены."


@pytest.mark.parametrize(
    ("own", "basic", "given", "given_basic", "said"),
    [
        (
            "",
            "",
            ["seed"],
            "",
            "токены: из переменной окружения EVOTOR_APP_TOKEN: 1; логин и пароль: нет",
        ),
        ("", "", [], "", "токены: нет; логин и пароль: нет"),
        (
            "new\nold",
            "u:p",
            ["seed", "next"],
            "v:q",
            (
                "токены: введено здесь: 2, из переменной окружения EVOTOR_APP_TOKEN: 2; "
                "логин и пароль: введено здесь: 1, из переменной окружения EVOTOR_BASIC: 1"
            ),
        ),
    ],
)
def test_page_of_a_module_says_where_its_secrets_come_from(
    staff, module, settings, own, basic, given, given_basic, said
):
    settings.EVOTOR_APP_TOKENS, settings.EVOTOR_BASIC = given, given_basic
    Module.objects.filter(pk=module.pk).update(app_tokens=own, basic_auth=basic)

    page = staff.get(change(module)).content.decode()

    assert f'<div class="readonly">{said}</div>' in page


def test_saving_a_module_without_new_secrets_keeps_the_old(staff, module):
    module.app_tokens = "kept"
    module.save()

    staff.post(change(module), module_form(module, title="Новое имя"))

    saved = Module.objects.get()
    assert (saved.title, saved.app_tokens) == ("Новое имя", "kept")


def tariff_form(tariff, **fields):
    return {
        "module": tariff.module_id,
        "plan_id": tariff.plan_id,
        "title": tariff.title,
        "months": tariff.months,
        "price_kopecks": tariff.price_kopecks,
        "trial_days": 0,
        "archived_at_0": "",
        "archived_at_1": "",
    } | fields


def test_tariff_can_be_edited_until_somebody_takes_it(staff, make, tariff):
    staff.post(change(tariff), tariff_form(tariff, price_kopecks=40_000))
    tariff.refresh_from_db()
    unused = tariff.price_kopecks

    make()
    staff.post(
        change(tariff),
        tariff_form(tariff, price_kopecks=1, archived_at_0="01.02.2026", archived_at_1="00:00:00"),
    )
    tariff.refresh_from_db()
    deleting = staff.post(
        reverse("admin:subscriptions_tariff_delete", args=[tariff.pk]), {"post": "yes"}
    )

    assert (unused, tariff.price_kopecks) == (40_000, 40_000)
    assert tariff.archived_at is not None
    assert deleting.status_code == 403


def test_sums_are_shown_in_roubles(staff, make):
    row = make(entitled_from=START, charged_kopecks=405_050)
    tariff = row.tariff

    page = staff.get(change(row)).content.decode()
    listed = staff.get(reverse("admin:subscriptions_tariff_changelist")).content.decode()

    assert f'<div class="readonly">{money(405_050)}</div>' in page
    assert money(tariff.price_kopecks) in listed
    assert "405050" not in page
