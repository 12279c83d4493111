"""Headings, counts and rights of the admin fit every model, whatever its gender and number."""

import pytest
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from cabinet.admin_site import RussianModelAdmin, permission_label, with_russian_texts
from cabinet.models import AuditEvent, Merchant, Shop, Terminal
from cabinet.tests.people import AT, make_merchant, make_staff

pytestmark = pytest.mark.django_db

TERMINALS = "/admin/cabinet/terminal/"


@pytest.fixture
def boss() -> Client:
    client = Client()
    client.force_login(make_staff())
    return client


def text(answer):
    return answer.content.decode().replace("\u00a0", " ")


def make_terminals(number: int) -> list[Terminal]:
    merchant = make_merchant()
    shop = Shop.objects.create(merchant=merchant, name="Магазин", evotor_id="s", seen_at=AT)
    return [
        Terminal.objects.create(
            merchant=merchant, shop=shop, name=f"Касса {one}", evotor_id=f"t{one}", seen_at=AT
        )
        for one in range(number)
    ]


def test_list_title_is_plural_name_of_model(boss):
    lists = {
        model: boss.get(
            reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        )
        for model in admin.site._registry
        if model._meta.model_name != "brake"
    }

    headings = {
        model._meta.label: str(answer.context["title"])
        for model, answer in lists.items()
        if model._meta.label != "cabinet.Heartbeat"
    }
    assert len(lists) > 20
    assert {answer.status_code for answer in lists.values()} == {200}
    assert headings == {
        model._meta.label: model._meta.verbose_name_plural[0].upper()
        + model._meta.verbose_name_plural[1:]
        for model in lists
        if model._meta.label != "cabinet.Heartbeat"
    }


def test_counts_have_no_case_to_bend(boss):
    make_terminals(5)

    page = text(boss.get(TERMINALS))
    found = text(boss.get(f"{TERMINALS}?q=Касса 3"))

    assert "Найдено: 5\n" in page
    assert "5 касс" not in page
    assert "Найдено: 1 (" in found
    assert "всего: 5" in found


def test_selection_counter_is_russian(boss):
    Group.objects.create(name="Ночная смена")

    page = text(boss.get("/admin/auth/group/"))

    number = Group.objects.count()
    assert f"Выбрано 0 из {number}</span>" in page
    assert ">Удалить отмеченное</option>" in page


def test_pages_of_one_row_are_headed_by_the_models_name(boss):
    merchant = make_merchant("ООО «Ёлка»")

    changed = boss.get(f"/admin/cabinet/merchant/{merchant.pk}/change/")
    added = boss.get("/admin/cabinet/merchant/add/")
    seen = boss.get(f"{TERMINALS}{make_terminals(1)[0].pk}/change/")

    assert [
        (answer.context["title"], answer.context["subtitle"]) for answer in (changed, added, seen)
    ] == [("Клиент", "ООО «Ёлка»"), ("Клиент: новая запись", None), ("Касса", "Касса 0")]
    assert "Добавить клиент" not in text(added)


def test_link_that_adds_names_no_model(boss):
    page = text(boss.get("/admin/cabinet/merchant/"))

    assert 'class="addlink">Добавить</a>' in page


def test_titles_of_an_admin_class_take_precedence():
    class Own(ModelAdmin):
        def changelist_view(self, request, extra_context=None):
            return super().changelist_view(request, {"title": "Своё"} | (extra_context or {}))

    mixed = with_russian_texts(Own)

    assert list(mixed.__mro__[:4]) == [mixed, Own, RussianModelAdmin, ModelAdmin]
    assert with_russian_texts(mixed) is mixed
    assert with_russian_texts(None) is with_russian_texts(ModelAdmin) is RussianModelAdmin


def test_permissions_are_russian_in_group_and_person_forms(boss):
    group = Group.objects.create(name="Ночная смена")
    person = make_staff("night", is_superuser=False)

    pages = [
        text(boss.get(f"/admin/auth/group/{group.pk}/change/")),
        text(boss.get(f"/admin/cabinet/user/{person.pk}/change/")),
    ]

    for page in pages:
        assert "Смарт-карты | Может изменять: команды операторам" in page
        assert "Can change" not in page
        assert "Can add" not in page


def test_rights_of_a_colleague_are_read_in_russian():
    colleague = make_staff("night", is_superuser=False)
    right = Permission.objects.get(codename="view_merchant")
    colleague.user_permissions.add(right, Permission.objects.get(codename="view_user"))
    client = Client()
    client.force_login(colleague)

    page = text(client.get(f"/admin/cabinet/user/{colleague.pk}/change/"))

    assert "Клиенты и люди | Может смотреть: клиенты" in page
    assert "Can view" not in page


def test_right_of_a_model_that_is_gone_keeps_its_name():
    right = Permission.objects.select_related("content_type").get(codename="view_merchant")
    right.content_type.model = "gone"
    other = Permission(
        codename="launch_rocket", name="Can launch", content_type=_content_type_of(Merchant)
    )

    assert [permission_label(one) for one in (right, other)] == [
        "Can view клиент",
        "Can launch",
    ]


def _content_type_of(model):
    return Permission.objects.get(codename=f"view_{model._meta.model_name}").content_type


def test_audit_log_names_changed_fields_by_form_labels(boss):
    merchant = make_merchant("ООО «Ёлка»")
    page = boss.get(f"/admin/cabinet/merchant/{merchant.pk}/change/")
    form = page.context["adminform"].form
    data = {
        name: form.get_initial_for_field(field, name) or "" for name, field in form.fields.items()
    }

    answer = boss.post(
        f"/admin/cabinet/merchant/{merchant.pk}/change/",
        data
        | {
            "name": "ООО «Сосна»",
            "address": "Москва",
            "members-TOTAL_FORMS": "0",
            "members-INITIAL_FORMS": "0",
        },
        follow=True,
    )

    assert [row.text for row in AuditEvent.objects.filter(action="merchant.changed")] == [
        "Изменено: Название, Адрес"
    ]
    assert messages_of(answer) == ["Сохранено: ООО «Сосна»."]


def messages_of(answer) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


@pytest.mark.parametrize(
    ("button", "sentence"),
    [({}, "Добавлено: Ночная смена."), ({"_continue": "1"}, None)],
)
def test_message_about_a_new_row_fits_any_gender(boss, button, sentence):
    answer = boss.post("/admin/auth/group/add/", {"name": "Ночная смена"} | button, follow=True)

    ended_at = answer.redirect_chain[-1][0]
    assert Group.objects.filter(name="Ночная смена").count() == 1
    assert (messages_of(answer) == [sentence]) == (ended_at == "/admin/auth/group/")
    assert ended_at.endswith("/change/") == bool(button)
