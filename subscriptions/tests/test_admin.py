"""Staff's pages about modules, tariffs and subscriptions."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.urls import reverse

from cabinet.formatting.ru_format import money
from cabinet.models import AuditEvent, User
from subscriptions.models import Gift, Module, StaffStop, Tariff
from subscriptions.tests.conftest import START

END = START + timedelta(days=28)
pytestmark = pytest.mark.django_db
LIST = "/admin/subscriptions/subscription/"
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


def act(client, action, *rows, **data):
    """The form of the page that confirms an action of the list, sent."""
    chosen = {"action": action, "_selected_action": [row.pk for row in rows], "confirmed": "1"}
    return client.post(LIST, chosen | data, follow=True)


@pytest.mark.parametrize("page", PAGES)
def test_lists_open(staff, make, page):
    make(entitled_from=START)

    assert staff.get(reverse(f"admin:subscriptions_{page}_changelist")).status_code == 200


def test_subscription_page_is_read_only(staff, make):
    row = make(entitled_from=START)

    page = staff.get(change(row))
    posted = staff.post(change(row), {"paid_cards": 99})

    row.refresh_from_db()
    assert page.status_code == 200
    assert posted.status_code == 403
    assert row.paid_cards == 1


def test_days_are_given_with_a_reason(staff, make):
    row = make(entitled_from=START, entitled_until=END)

    act(staff, "give_days", row, days="7", reason="сбой")

    gift = Gift.objects.get()
    assert gift.days == 7
    assert gift.reason == "сбой"
    assert gift.given_by == "Ольга"


def test_list_asks_before_it_gives_days(staff, make):
    row = make(entitled_from=START, entitled_until=END)

    page = staff.post(LIST, {"action": "give_days", "_selected_action": [row.pk]})

    assert page.template_name == "admin/confirm_action.html"
    assert list(page.context["rows"]) == [row]
    assert page.context["form"].errors == {}
    assert Gift.objects.count() == 0


def test_days_are_given_from_the_page_of_a_subscription(staff, make):
    row = make(entitled_from=START, entitled_until=END)
    address = reverse("admin:subscriptions_subscription_give_days", args=[row.pk])

    links = staff.get(change(row)).context["confirm_links"]
    answer = staff.post(address, {"days": "7", "reason": "сбой"})

    assert (address, "Подарить дни…") in links
    assert answer.headers["Location"] == change(row)
    assert Gift.objects.get().days == 7


def test_form_sent_again_gives_no_more_days(staff, make):
    row = make(entitled_from=START, entitled_until=END)
    address = reverse("admin:subscriptions_subscription_give_days", args=[row.pk])
    form = {"form_key": staff.get(address).context["form_key"], "days": "5", "reason": "сбой"}

    answers = [staff.post(address, form) for _ in range(3)]
    asked_anew = staff.get(address).context["form_key"]
    staff.post(address, form | {"form_key": asked_anew})

    assert [answer.headers["Location"] for answer in answers] == [change(row)] * 3
    assert [gift.days for gift in Gift.objects.all()] == [5, 5]


def test_refused_form_may_be_sent_again(staff, make):
    row = make(entitled_from=START, entitled_until=END)
    address = reverse("admin:subscriptions_subscription_give_days", args=[row.pk])
    key = staff.get(address).context["form_key"]

    refused = staff.post(address, {"form_key": key, "days": "5", "reason": ""})
    staff.post(address, {"form_key": key, "days": "5", "reason": "сбой"})

    assert refused.context["form_key"] == key
    assert Gift.objects.get().days == 5


@pytest.mark.django_db(transaction=True)
def test_form_sent_thrice_at_once_gives_days_once(staff, make):
    row = make(entitled_from=START, entitled_until=END)
    address = reverse("admin:subscriptions_subscription_give_days", args=[row.pk])
    form = {"form_key": staff.get(address).context["form_key"], "days": "5", "reason": "сбой"}

    def send(_: int) -> int:
        client = Client()
        client.cookies = staff.cookies
        status = client.post(address, form).status_code
        connection.close()
        return status

    with ThreadPoolExecutor(3) as threads:
        statuses = list(threads.map(send, range(3)))

    assert statuses == [302] * 3
    assert [gift.days for gift in Gift.objects.all()] == [5]


@pytest.mark.parametrize(
    ("data", "errors"),
    [
        ({"days": "7"}, {"reason": ["Укажите причину: её увидит клиент."]}),
        ({"days": "7", "reason": " "}, {"reason": ["Укажите причину: её увидит клиент."]}),
        ({"reason": "сбой"}, {"days": ["Обязательное поле."]}),
        ({"days": "много", "reason": "сбой"}, {"days": ["Введите целое число."]}),
        (
            {"days": "0", "reason": "сбой"},
            {"days": ["Убедитесь, что это значение больше либо равно 1."]},
        ),
    ],
)
def test_refused_days_are_asked_again_as_typed(staff, make, data, errors):
    row = make(entitled_from=START, entitled_until=END)

    page = act(staff, "give_days", row, **data)

    form = page.context["form"]
    assert form.errors == errors
    assert {name: form[name].value() for name in data} == data
    assert list(page.context["rows"]) == [row]
    assert Gift.objects.count() == 0


def test_only_refused_rows_are_asked_again(staff, make):
    silent = make(entitled_from=START, paid_until=END)
    ended = make(2, entitled_from=START, entitled_until=END)

    page = act(staff, "stop", silent, ended, reason="молчание")

    assert list(page.context["rows"]) == [ended]
    assert page.context["form"]["reason"].value() == "молчание"
    assert StaffStop.objects.get().subscription_id == silent.pk


def test_all_found_rows_are_found_again_on_confirmation(staff, make):
    rows = [make(number, entitled_from=START, entitled_until=END) for number in (1, 2)]
    chosen = {"action": "give_days", "_selected_action": [rows[0].pk], "select_across": "1"}

    asked = staff.post(LIST, chosen)
    staff.post(LIST, chosen | {"confirmed": "1", "days": "7", "reason": "сбой"})

    assert asked.context["number"] == 2
    assert asked.context["all_found"] is True
    assert Gift.objects.count() == 2


def test_subscription_is_stopped_with_a_reason(staff, make):
    row = make(entitled_from=START, paid_until=END)

    act(staff, "stop", row, reason="молчание")

    assert StaffStop.objects.get().reason == "молчание"


def test_supporter_may_give_days_but_not_stop(supporter, make):
    row = make(entitled_from=START, paid_until=END)

    act(supporter, "give_days", row, days="1", reason="сбой")
    act(supporter, "stop", row, reason="молчание")

    assert Gift.objects.count() == 1
    assert StaffStop.objects.count() == 0


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
    assert saved.app_tokens == "t0p-secret"
    assert saved.basic_auth == "u:pass0rd"
    for secret in ("t0p-secret", "pass0rd"):
        assert secret not in html + listed
    event = AuditEvent.objects.get(action="edited")
    assert event.text == "Модуль «Кассовые сервисы» изменён. Секреты маркета заменены."


@pytest.mark.parametrize(
    ("own", "basic", "given", "given_basic", "shown"),
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
    staff, module, settings, own, basic, given, given_basic, shown
):
    settings.EVOTOR_APP_TOKENS, settings.EVOTOR_BASIC = given, given_basic
    Module.objects.filter(pk=module.pk).update(app_tokens=own, basic_auth=basic)

    page = staff.get(change(module)).content.decode()

    assert f'<div class="readonly">{shown}</div>' in page


def test_saving_a_module_without_new_secrets_keeps_the_old(staff, module):
    module.app_tokens = "kept"
    module.save()

    staff.post(change(module), module_form(module, title="Новое имя"))

    saved = Module.objects.get()
    assert saved.title == "Новое имя"
    assert saved.app_tokens == "kept"


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

    assert unused == 40_000
    assert tariff.price_kopecks == 40_000
    assert tariff.archived_at is not None
    assert deleting.status_code == 403


SWITCHING = {
    "activation_fee_kopecks": 1_500,
    "deactivation_fee_kopecks": 0,
    "min_active_days": 30,
    "min_inactive_days": None,
}


def test_switch_terms_of_a_tariff_are_editable_until_used(staff, make, tariff):
    given = {name: "" if value is None else value for name, value in SWITCHING.items()}
    staff.post(change(tariff), tariff_form(tariff, **given))
    unused = Tariff.objects.values(*SWITCHING).get()

    make()
    page = staff.get(change(tariff)).content.decode()
    staff.post(change(tariff), tariff_form(tariff, **given | {"min_active_days": 1}))

    assert unused == SWITCHING
    assert Tariff.objects.values(*SWITCHING).get() == SWITCHING
    assert "Условия переключения" in page
    assert 'name="min_active_days"' not in page


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        (
            "activation_fee_kopecks",
            1_000_001,
            "Плата за переключение не\u00a0больше 1\u00a0000\u00a0000\u00a0коп.",
        ),
        ("min_inactive_days", 367, "Наименьший срок не\u00a0больше 366\u00a0дней."),
    ],
)
def test_switch_terms_beyond_reason_are_refused_in_words(staff, tariff, field, value, sentence):
    page = staff.post(change(tariff), tariff_form(tariff, **{field: value})).content.decode()

    assert sentence in page


def test_sums_are_shown_in_roubles(staff, make):
    row = make(entitled_from=START, charged_kopecks=405_050)
    tariff = row.tariff

    page = staff.get(change(row)).content.decode()
    listed = staff.get(reverse("admin:subscriptions_tariff_changelist")).content.decode()

    assert f'<div class="readonly">{money(405_050)}</div>' in page
    assert money(tariff.price_kopecks) in listed
    assert "405050" not in page
