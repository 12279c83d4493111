"""What staff see and do: the admin of the shared base."""

import re
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client

from cabinet import demo
from cabinet.accounts.queries import merchants_found
from cabinet.accounts.receivers import migrated
from cabinet.accounts.services.legal_documents import publish_document
from cabinet.accounts.services.staff_groups import GROUPS, ensure_groups
from cabinet.accounts.services.staff_sign_in import SIGN_IN_TRIED
from cabinet.actors import SYSTEM
from cabinet.admin.merchant_panels import Panel
from cabinet.enums import DocumentKind, Role
from cabinet.messaging import alerts
from cabinet.models import (
    Alert,
    AuditEvent,
    Consent,
    LegalDocument,
    LoginCode,
    Member,
    Merchant,
    Shop,
    Terminal,
    User,
)
from cabinet.tests.people import (
    AT,
    make_document,
    make_member,
    make_merchant,
    make_staff,
    make_user,
)
from operators.models import OperatorAccount
from smartcards.models import SmartCard
from smartcards.orders.models import Order
from smartcards.orders.tests.orders import store_order

pytestmark = pytest.mark.django_db

PASSWORD = "long-enough-words"


@pytest.fixture
def staff(client):
    """A superuser, signed in."""
    user = make_staff(password=PASSWORD)
    client.force_login(user)
    return user


def make_card(merchant: Merchant, iccid: str, msisdn: str = "") -> SmartCard:
    account, _ = OperatorAccount.objects.get_or_create(
        code="demo",
        defaults={"title": "Демо", "adapter": "mts", "base_url": "https://operator.example"},
    )
    return SmartCard.objects.create(
        iccid=iccid, msisdn=msisdn, account=account, merchant=merchant, imported_at=AT, handed_at=AT
    )


def make_order(merchant: Merchant, **fields) -> Order:
    make_card(merchant, "8970100000000000001")
    account = OperatorAccount.objects.get(code="demo")
    return store_order(merchant, account=account, created_at=AT, **fields)


# Signing in


def try_in(client: Client, password: str, username: str = "zoya", address: str = "203.0.113.7"):
    return client.post(
        "/admin/login/?next=/admin/",
        {"username": username, "password": password},
        REMOTE_ADDR=address,
    )


def test_staff_sign_in_by_password(client):
    user = make_staff(password=PASSWORD)

    answer = try_in(client, PASSWORD)

    assert answer["Location"] == "/admin/"
    assert AuditEvent.objects.filter(action="staff.signed_in", actor_id=user.pk).count() == 1


def test_sixth_try_is_refused_even_with_the_right_password(client):
    make_staff(password=PASSWORD)
    for _ in range(5):
        try_in(client, "wrong")

    answer = try_in(client, PASSWORD)
    elsewhere = try_in(Client(), PASSWORD, address="203.0.113.8")

    assert "Слишком много попыток входа. Подождите 15 минут." in answer.content.decode()
    assert "_auth_user_id" not in client.session
    assert elsewhere.status_code == 302


def test_tries_are_forgotten_after_a_quarter_of_an_hour(client):
    make_staff(password=PASSWORD)
    for _ in range(5):
        try_in(client, "wrong")
    for event in AuditEvent.objects.filter(action=SIGN_IN_TRIED):
        event.at -= timedelta(minutes=15, seconds=1)
        event.save()

    assert try_in(client, PASSWORD).status_code == 302


def test_one_address_cannot_try_many_names(client):
    make_staff(password=PASSWORD)
    for number in range(20):
        try_in(client, "wrong", username=f"name{number}")

    answer = try_in(client, PASSWORD)

    assert "Слишком много попыток входа" in answer.content.decode()


def test_guessing_from_many_addresses_does_not_lock_out_the_owner(client):
    make_staff(password=PASSWORD)
    for number in range(55):
        try_in(client, "wrong", address=f"198.51.100.{number // 5}")

    answer = try_in(client, PASSWORD)

    assert answer.headers["Location"] == "/admin/"
    assert [(row.seen_times, "«zoya»" in row.text) for row in Alert.objects.all()] == [(7, True)]


def test_guessing_of_a_name_that_nobody_has_alerts_nobody(client):
    for number in range(50):
        try_in(client, "wrong", username="secret-typed-here", address=f"198.51.100.{number // 5}")

    assert Alert.objects.count() == 0


def test_audit_log_of_sign_in_has_no_name_or_password(client):
    try_in(client, "my-password", username="my-secret-in-the-wrong-field")

    row = str(AuditEvent.objects.filter(action=SIGN_IN_TRIED).values().get())

    assert "203.0.113.7" in row
    assert "my-password" not in row
    assert "my-secret" not in row


def test_admin_refuses_frames(client):
    answer = client.get("/admin/login/")

    assert answer["X-Frame-Options"] == "DENY"


# Merchants


@pytest.mark.parametrize(
    "text",
    [
        "ромаш", "РОМАШКА", "8 912 000-00-07", "79120000007", "7712345671", "1207712345675",
        "01-000000000000777", "89701011234567890", "8970 1011 2345 6789 019", "8 (912) 000-00-08", "+79120000009",
    ],
)  # fmt: skip
def test_merchant_is_found_by_anything(text):
    merchant = make_merchant(
        "ООО «Ромашка»", inn="7712345671", ogrn="1207712345675", phone="79120000007",
        evotor_user_id="01-000000000000777",
    )  # fmt: skip
    make_member(Role.CASHIER, merchant, make_user("79120000008"))
    make_card(merchant, "8970101123456789019", "79120000009")
    make_card(make_merchant("Чужая", inn="7712345672"), "8970101999999999999", "79129999999")

    assert list(merchants_found(text)) == [merchant]


def test_search_of_the_list_uses_it(client, staff):
    merchant = make_merchant("ООО «Ромашка»")
    make_card(merchant, "8970101123456789019")
    make_card(make_merchant("Чужая"), "8970101999999999999")

    answer = client.get("/admin/cabinet/merchant/", {"q": "8970101123456789019"})

    assert list(answer.context["cl"].queryset) == [merchant]


def panel_of_tests(merchant: Merchant, at) -> Panel:
    """A panel of another app."""
    return Panel("Проверочная часть", ["Что"], [["просто"], [("ссылка", "/admin/")]])


def test_merchant_page_shows_one_merchant_only(client, staff, settings):
    settings.MERCHANT_PANELS = ["cabinet.tests.test_admin_people.panel_of_tests"]
    member = make_member(
        merchant=make_merchant("ООО «Ромашка»"), user=make_user(name="Анна Соколова")
    )
    elsewhere = make_member(
        merchant=make_merchant("ООО «Чужая»"), user=make_user(name="Чужой Человек")
    )
    for row in (member, elsewhere):
        shop = Shop.objects.create(
            merchant=row.merchant,
            evotor_id=f"s{row.pk}",
            name=f"Магазин {row.user.name}",
            seen_at=AT,
        )
        Terminal.objects.create(
            merchant=row.merchant, shop=shop, evotor_id=f"t{row.pk}", name="Касса", seen_at=AT
        )

    answer = client.get(f"/admin/cabinet/merchant/{member.merchant_id}/whole/")

    page = answer.content.decode()
    titles = [panel.title for panel in answer.context["panels"]]
    assert titles == ["Сотрудники", "Проверочная часть", "Магазины и кассы", "Журнал"]
    assert '<a href="/admin/">ссылка</a>' in page
    assert "Магазин Анна Соколова" in page
    assert "Чужой Человек" not in page


def test_whole_page_wants_the_right_to_see_merchants(client):
    merchant = make_merchant()
    user = make_staff(is_superuser=False)
    client.force_login(user)

    refused = client.get(f"/admin/cabinet/merchant/{merchant.pk}/whole/")
    user.user_permissions.add(Permission.objects.get(codename="view_merchant"))
    shown = client.get(f"/admin/cabinet/merchant/{merchant.pk}/whole/")

    assert refused.status_code == 403
    assert shown.status_code == 200


def test_whole_page_of_nobody_is_404(client, staff):
    assert client.get("/admin/cabinet/merchant/999999/whole/").status_code == 404


def test_change_by_staff_is_in_the_journal(client, staff):
    member = make_member()
    url = f"/admin/cabinet/merchant/{member.merchant_id}/change/"
    cashier = make_user()

    answer = client.post(
        url,
        {
            "name": "Новое название", "inn": "", "kpp": "", "ogrn": "", "address": "", "phone": "",
            "email": "", "timezone": "Europe/Moscow",
            "members-TOTAL_FORMS": "2", "members-INITIAL_FORMS": "1",
            "members-0-id": member.pk, "members-0-merchant": member.merchant_id,
            "members-0-user": member.user_id, "members-0-role": "owner",
            "members-1-merchant": member.merchant_id, "members-1-user": cashier.pk,
            "members-1-role": "cashier",
        },
    )  # fmt: skip

    assert answer.status_code == 302
    assert Member.objects.get(user=cashier).role == Role.CASHIER
    assert set(AuditEvent.objects.values_list("action", "merchant_id", "actor_id")) == {
        ("merchant.changed", member.merchant_id, staff.pk),
        ("member.changed", member.merchant_id, staff.pk),
    }


# People


@pytest.fixture
def support(client):
    """Somebody of the support group, signed in."""
    ensure_groups()
    user = make_staff("support", is_superuser=False)
    user.groups.add(Group.objects.get(name="Поддержка"))
    client.force_login(user)
    return user


def test_support_cannot_give_itself_rights(client, support):
    boss = make_staff("boss")
    person = make_user()
    data = {"username": person.username, "phone": person.phone, "is_active": "on", "is_staff": "on",
            "is_superuser": "on", "name": "Имя", "email": ""}  # fmt: skip

    answers = [
        client.post(f"/admin/cabinet/user/{user.pk}/change/", data).status_code
        for user in (person, boss, support)
    ]

    person.refresh_from_db()
    assert answers == [302, 403, 403]
    assert person.name == "Имя"
    assert person.is_staff is False
    assert person.is_superuser is False


def test_support_cannot_set_the_password_of_a_colleague(client, support):
    boss = make_staff("boss", password=PASSWORD)

    answer = client.post(
        f"/admin/cabinet/user/{boss.pk}/password/",
        {"password1": "quite-another-one", "password2": "quite-another-one"},
    )

    boss.refresh_from_db()
    assert answer.status_code == 403
    assert boss.check_password(PASSWORD) is True


def test_changed_phone_ends_the_sessions_of_the_old_one(client, staff):
    member = make_member()
    theirs = Client()
    theirs.force_login(member.user)

    client.post(
        f"/admin/cabinet/user/{member.user_id}/change/",
        {"username": member.user.username, "phone": "8 912 000-00-55", "is_active": "on", "name": "",
         "email": ""},
    )  # fmt: skip

    member.user.refresh_from_db()
    assert member.user.phone == "79120000055"
    assert theirs.get("/profile/").status_code == 302


# Journal, alerts, documents


def test_number_of_somebody_else_is_free_after_a_change(client, staff):
    owner = make_member()
    before, after = str(owner.user.phone), "79120000077"

    client.post(
        f"/admin/cabinet/user/{owner.user_id}/change/",
        {"username": before, "phone": after, "is_active": "on"},
    )
    newcomer = User.objects.for_phone(before)

    assert User.objects.get(pk=owner.user_id).username == after
    assert (newcomer.phone, newcomer.username) == (before, before)


def test_number_that_is_still_the_name_of_another_gets_a_person():
    make_user("79120000001")
    User.objects.filter(phone="79120000001").update(phone="79120000002")

    person = User.objects.for_phone("79120000001")

    assert re.fullmatch("79120000001-[0-9a-f]{8}", person.username)
    assert User.objects.for_phone("79120000001") == person


def test_alert_is_closed_by_the_action(client, staff):
    alerts.raise_alert(key="stuck", text="Карта не отвечает", at=AT)
    alert = Alert.objects.get()

    client.post(
        "/admin/cabinet/alert/", {"action": "close_selected", "_selected_action": [alert.pk]}
    )

    alert.refresh_from_db()
    assert alert.closed_by == "zoya"
    assert (alert.closed_at is not None) is True


@pytest.mark.parametrize(
    "model", ["alert", "auditevent", "consent", "heartbeat", "shop", "terminal"]
)
def test_what_is_only_read_has_no_way_to_write(client, staff, model):
    listed = client.get(f"/admin/cabinet/{model}/")
    added = client.get(f"/admin/cabinet/{model}/add/")

    assert listed.status_code == 200
    assert added.status_code == 403


def test_login_codes_are_not_in_the_admin(client, staff):
    assert LoginCode.objects.count() == 0
    assert client.get("/admin/cabinet/logincode/").status_code == 404


def test_draft_is_written_published_and_closed(client, staff):
    client.post("/admin/cabinet/legaldocument/add/", {"kind": "offer", "text": "Первая"})
    draft = LegalDocument.objects.get()
    edited = client.post(
        f"/admin/cabinet/legaldocument/{draft.pk}/change/", {"text": "Первая, верная"}
    )

    client.post(
        "/admin/cabinet/legaldocument/", {"action": "publish", "_selected_action": [draft.pk]}
    )
    late = client.post(f"/admin/cabinet/legaldocument/{draft.pk}/change/", {"text": "Подмена"})

    draft.refresh_from_db()
    assert edited.status_code == 302
    assert late.status_code == 403
    assert draft.version == 1
    assert draft.text == "Первая, верная"
    assert (draft.published_at is not None) is True


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("page", ["change", "delete"])
def test_draft_that_is_published_meanwhile_stays_published(page):
    client, draft = Client(), make_document(DocumentKind.OFFER, published_at=None)
    client.force_login(make_staff())
    form = {"text": "Подмена", "post": "yes"}

    with ThreadPoolExecutor(1) as other, transaction.atomic():
        publish_document(document=draft, by=SYSTEM, at=AT)
        sent = other.submit(
            _posted, client, f"/admin/cabinet/legaldocument/{draft.pk}/{page}/", form
        )
        wait_for_a_lock()

    assert sent.result() == 403
    assert list(LegalDocument.objects.values_list("text", "published_at")) == [(draft.text, AT)]


def _posted(client: Client, address: str, form: dict[str, str]) -> int:
    try:
        return client.post(address, form).status_code
    finally:
        connection.close()


def wait_for_a_lock() -> None:
    """Until another session waits for a row of this one."""
    deadline = time.monotonic() + 20
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
            time.sleep(0.05)
    pytest.fail("nobody waits")


def test_published_document_is_not_deleted(client, staff):
    document = make_document(DocumentKind.OFFER)

    answer = client.post(f"/admin/cabinet/legaldocument/{document.pk}/delete/", {"post": "yes"})

    assert answer.status_code == 403
    assert LegalDocument.objects.filter(pk=document.pk).exists()


# Groups and demo data


def test_groups_carry_the_rights_that_exist_and_twice_is_once():
    ensure_groups()
    ensure_groups()

    known = {
        f"{app}.{codename}"
        for app, codename in Permission.objects.values_list("content_type__app_label", "codename")
    }
    for name, wanted in GROUPS.items():
        held = {
            f"{app}.{codename}"
            for app, codename in Group.objects.get(name=name).permissions.values_list(
                "content_type__app_label", "codename"
            )
        }
        assert held == set(wanted) & known


COMPANY_PHONE, COMPANY_EMAIL = "79120000011", "romashka@example.com"
PERSON_PHONE, PERSON_EMAIL, RECIPIENT_PHONE = "79120000012", "anna@example.com", "79120000013"


@pytest.mark.parametrize(
    ("group", "seen"),
    [
        (
            "Поддержка",
            {COMPANY_PHONE, COMPANY_EMAIL, PERSON_PHONE, PERSON_EMAIL, RECIPIENT_PHONE},
        ),
        ("Склад", {RECIPIENT_PHONE}),
        ("Финансы", set()),
    ],
)
def test_groups_see_contacts_where_their_work_needs_them(group, seen, client):
    ensure_groups()
    merchant = make_merchant(phone=COMPANY_PHONE, email=COMPANY_EMAIL)
    make_member(merchant=merchant, user=make_user(PERSON_PHONE, email=PERSON_EMAIL))
    order = make_order(merchant, phone=RECIPIENT_PHONE)
    staff = make_staff(is_superuser=False)
    staff.groups.add(Group.objects.get(name=group))
    client.force_login(staff)

    pages = {
        path: client.get(path)
        for path in (
            "/admin/cabinet/merchant/",
            f"/admin/cabinet/merchant/{merchant.pk}/change/",
            f"/admin/cabinet/merchant/{merchant.pk}/whole/",
            "/admin/orders/order/",
            f"/admin/orders/order/{order.pk}/change/",
        )
    }

    text = "".join(re.sub(r"[^\w@.]", "", page.content.decode()) for page in pages.values())
    contacts = {COMPANY_PHONE, COMPANY_EMAIL, PERSON_PHONE, PERSON_EMAIL, RECIPIENT_PHONE}
    assert {page.status_code for page in pages.values()} == {200}
    assert {contact for contact in contacts if contact in text} == seen


@pytest.mark.parametrize(
    ("group", "shown"), [("Поддержка", True), ("Склад", False), ("Финансы", True)]
)
def test_groups_see_the_audit_log_of_a_merchant_by_right(group, shown, client):
    ensure_groups()
    merchant = make_merchant()
    staff = make_staff(is_superuser=False)
    staff.groups.add(Group.objects.get(name=group))
    client.force_login(staff)

    page = client.get(f"/admin/cabinet/merchant/{merchant.pk}/whole/").content.decode()

    assert ("<h2>Журнал</h2>" in page) is shown


def test_groups_name_only_rights_that_some_model_has():
    known = {
        f"{model._meta.app_label}.{action}_{model._meta.model_name}"
        for model in apps.get_models()
        for action in ("view", "add", "change", "delete")
    }

    assert set().union(*GROUPS.values()) - known == set()


def test_missing_permission_is_skipped_until_next_migration():
    Permission.objects.filter(codename="view_order").delete()
    Group.objects.all().delete()

    migrated(sender=apps.get_app_config("auth"))

    stock = set(Group.objects.get(name="Склад").permissions.values_list("codename", flat=True))
    assert {"view_order", "view_smartcard"} & stock == {"view_smartcard"}


def test_demo_twice_is_once():
    first = demo.seed(AT)
    counts = [
        model.objects.count()
        for model in (Merchant, Member, User, Shop, Terminal, LegalDocument, Consent)
    ]

    second = demo.seed(AT + timedelta(days=1))

    again = [
        model.objects.count()
        for model in (Merchant, Member, User, Shop, Terminal, LegalDocument, Consent)
    ]
    assert counts == [2, 3, 2, 3, 5, 3, 2]
    assert again == counts
    assert first == second


def test_demo_companies_pass_their_own_form(client):
    demo.seed(AT)
    client.force_login(User.objects.get(phone=demo.OWNER_PHONE))

    for merchant in Merchant.objects.all():
        client.post("/merchants/", {"merchant": merchant.pk})
        shown = client.get("/company/").context["form"].initial
        answer = client.post("/company/", shown)
        assert answer.status_code == 302
        assert merchant.name == merchant.name


def test_seed_demo_says_how_to_sign_in(settings, tmp_path):
    settings.DEMO_PARTS, settings.LOCAL_DIR = ["cabinet.demo.seed"], tmp_path
    printed = StringIO()

    call_command("seed_demo", stdout=printed)

    password = (tmp_path / "admin-password").read_text()
    output = printed.getvalue()
    expected = (demo.OWNER_PHONE, demo.MANAGER_PHONE, "/login/", password)
    assert [text for text in expected if text not in output] == []
    assert User.objects.get(username="admin").check_password(password)


def test_seed_demo_is_for_the_sandbox_only(settings):
    settings.SANDBOX = False

    with pytest.raises(CommandError):
        call_command("seed_demo")

    assert Merchant.objects.count() == 0


def test_create_admin_hides_password_from_others_and_is_idempotent(settings, tmp_path):
    settings.LOCAL_DIR = tmp_path
    printed = [StringIO(), StringIO()]

    for out in printed:
        call_command("create_admin", stdout=out)

    file = tmp_path / "admin-password"
    assert printed[0].getvalue() == printed[1].getvalue()
    assert file.read_text() in printed[1].getvalue()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert User.objects.filter(is_superuser=True).count() == 1


def test_create_admin_never_changes_an_unknown_password(settings, tmp_path):
    settings.LOCAL_DIR = tmp_path
    make_staff("admin", PASSWORD)
    printed = StringIO()

    call_command("create_admin", stdout=printed)

    assert User.objects.get(username="admin").check_password(PASSWORD)
    assert "changepassword" in printed.getvalue()
    assert not (tmp_path / "admin-password").exists()


def test_open_matters_stand_before_closed_ones_and_are_called_so(client, staff):
    for key, hours in (("old", 2), ("done", 1), ("new", 0)):
        alerts.raise_alert(key=key, text=f"Дело {key}", at=AT - timedelta(hours=hours))
    alerts.close_alert(key="done", by=SYSTEM, at=AT)

    everything = client.get("/admin/cabinet/alert/")
    closed = client.get("/admin/cabinet/alert/?closed_at__isempty=0")

    assert [row.key for row in everything.context["cl"].result_list] == ["new", "old", "done"]
    assert [row.key for row in closed.context["cl"].result_list] == ["done"]
    page = everything.content.decode()
    assert ">открытые</a>" in page
    assert ">закрытые</a>" in page
    assert ">Пусто</a>" not in page


def test_counts_beside_a_filter_are_kept(client, staff):
    alerts.raise_alert(key="new", text="Дело", at=AT)

    page = client.get("/admin/cabinet/alert/?_facets=True").content.decode()

    assert ">открытые (1)</a>" in page
    assert ">закрытые (0)</a>" in page
