"""Staff's pages about modules, tariffs and subscriptions."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from cabinet.models import AuditEvent, User
from cabinet.wording import money
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


def act(client, action, row, **data):
    return client.post(
        LIST,
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
        ({"days": "7"}, "number-1: Укажите причину: её увидит клиент."),
        ({"reason": "сбой"}, "number-1: Подарить можно от 1 до 366 дней."),
        ({"days": "много", "reason": "сбой"}, "Дней: Введите целое число."),
        ({"days": "0", "reason": "сбой"}, "Дней: Убедитесь, что это значение больше либо равно 1."),
    ],
)
def test_days_are_refused_in_words(staff, make, data, sentence):
    page = act(staff, "give_days", make(entitled_from=START, entitled_until=END), **data)

    assert Gift.objects.count() == 0
    assert [str(one).removeprefix("Кассовые сервисы ") for one in page.context["messages"]] == [
        sentence
    ]


def typed(page):
    """What stands in the action bar, and which rows are ticked."""
    bar = page.context["action_form"]
    boxes = re.findall('<input[^>]*class="action-select"[^>]*>', page.content.decode())
    ticked = [int(re.search(r'value="(\d+)"', box)[1]) for box in boxes if " checked" in box]
    return {name: bar[name].value() for name in ("action", "days", "reason")}, ticked


NOTHING = {"action": None, "days": None, "reason": None}


@pytest.mark.parametrize(
    "data",
    [
        {"days": "7", "reason": " "},
        {"days": "много", "reason": "сбой"},
        {"days": "", "reason": "сбой"},
    ],
)
def test_what_was_typed_is_there_after_a_refusal_and_once(staff, make, data):
    row, _other = make(entitled_from=START, entitled_until=END), make(2)

    refused = act(staff, "give_days", row, **data)
    later = staff.get(LIST)

    assert typed(refused) == ({"action": "give_days"} | data, [row.pk])
    assert typed(later) == (NOTHING, [])


def test_only_refused_rows_are_chosen_again(staff, make):
    silent = make(entitled_from=START, paid_until=END)
    ended = make(2, entitled_from=START, entitled_until=END)
    data = {"action": "stop", "_selected_action": [silent.pk, ended.pk], "reason": "молчание"}

    page = staff.post(LIST, data, follow=True)

    assert typed(page) == ({"action": "stop", "days": "", "reason": "молчание"}, [ended.pk])
    assert StaffStop.objects.get().subscription_id == silent.pk


def test_what_was_typed_without_choosing_rows_is_there(staff, make):
    make(entitled_from=START, entitled_until=END)
    data = {"action": "give_days", "index": "0", "days": "7", "reason": "сбой"}

    page = staff.post(LIST, data, follow=True)

    assert typed(page) == ({"action": "give_days", "days": "7", "reason": "сбой"}, [])


def test_what_was_typed_stays_on_its_own_list(staff, make):
    row = make(entitled_from=START, entitled_until=END)
    staff.post(LIST, {"action": "give_days", "_selected_action": [row.pk], "days": "7"})

    other = staff.get(reverse("admin:evotor_subscriptionevent_changelist"))

    assert typed(other) == (NOTHING, [])
    assert typed(staff.get(LIST))[1] == [row.pk]


def test_nothing_is_typed_again_after_a_success(staff, make):
    row = make(entitled_from=START, entitled_until=END)

    assert typed(act(staff, "give_days", row, days="7", reason="сбой")) == (NOTHING, [])


@pytest.mark.parametrize("sent", ["abc", "", "-1", "²", "9" * 30])
def test_what_is_no_row_closes_no_list(staff, make, sent):
    row = make(entitled_from=START, entitled_until=END)
    data = {"action": "give_days", "_selected_action": [sent, row.pk], "days": "0"}

    pages = [staff.post(LIST, data, follow=True), staff.get(LIST)]

    assert [page.status_code for page in pages] == [200, 200]
    assert [typed(page)[1] for page in pages] == [[row.pk], []]


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


SWITCHING = {
    "activation_fee_kopecks": 1_500,
    "deactivation_fee_kopecks": 0,
    "min_active_days": 30,
    "min_inactive_days": None,
}


def test_switch_terms_of_a_tariff_are_typed_until_somebody_takes_it(staff, make, tariff):
    given = {name: "" if value is None else value for name, value in SWITCHING.items()}
    staff.post(change(tariff), tariff_form(tariff, **given))
    unused = Tariff.objects.values(*SWITCHING).get()

    make()
    page = staff.get(change(tariff)).content.decode()
    staff.post(change(tariff), tariff_form(tariff, **given | {"min_active_days": 1}))

    assert (unused, Tariff.objects.values(*SWITCHING).get()) == (SWITCHING, SWITCHING)
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
