"""Actions of staff on many rows: the filter is posted, a worker carries them out, the page shows how far it is."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse

from cabinet import admin_site, clock
from cabinet.accounts.tasks import sweep
from cabinet.admin import confirm_action, mass_actions
from cabinet.models import StaffAction, StaffActionRow, User
from cabinet.tests.people import make_staff
from subscriptions.models import Gift, Subscription
from subscriptions.tests.conftest import START

pytestmark = pytest.mark.django_db
LIST = "/admin/subscriptions/subscription/"
ACTIONS = "/admin/cabinet/staffaction/"
END = START + timedelta(days=28)


@pytest.fixture(autouse=True)
def _few_at_once(monkeypatch):
    monkeypatch.setattr(confirm_action, "AT_ONCE", 2)


@pytest.fixture
def staff(client):
    client.force_login(make_staff("olga", name="Ольга"))
    return client


@pytest.fixture
def three(make):
    return [make(number, entitled_from=START, entitled_until=END) for number in (1, 2, 3)]


def confirm(client, rows, query="", **typed):
    """Both pages of «Подарить дни» for all rows that the filter shows; the second answer."""
    chosen = {"action": "give_days", "_selected_action": [rows[0].pk], "select_across": "1"}
    asked = client.post(f"{LIST}{query}", chosen)
    key = asked.context["form_key"]
    typed = {"days": "7", "reason": "сбой"} | typed
    return client.post(f"{LIST}{query}", chosen | {"confirmed": "1", "form_key": key} | typed)


def page_of(action: StaffAction) -> str:
    return f"{ACTIONS}{action.pk}/change/"


def text(answer) -> str:
    return str(answer.content.decode().replace("\u00a0", " "))


def counts(action: StaffAction) -> dict[str, int]:
    action.refresh_from_db()
    return {"total": action.total, "done": action.done, "refused": action.refused}


def test_many_rows_are_asked_about_by_their_number(staff, three):
    page = staff.post(
        LIST, {"action": "give_days", "_selected_action": [three[0].pk], "select_across": "1"}
    )

    shown = text(page)
    assert "Выбраны все найденные: 3." in shown
    assert 'value="Подарить дни: 3"' in shown
    assert len(re.findall('name="_selected_action"', shown)) == 1


def test_many_rows_are_carried_out_by_a_worker(staff, three):
    answer = confirm(staff, three)
    action = StaffAction.objects.get()
    before = Gift.objects.count()
    waiting = text(staff.get(page_of(action)))
    left = mass_actions.work(pk=action.pk)
    finished = text(staff.get(page_of(action)))

    assert answer.headers["Location"] == page_of(action)
    assert (before, left) == (0, False)
    assert counts(action) == {"total": 3, "done": 3, "refused": 0}
    gifts = Gift.objects.order_by("subscription_id")
    assert list(gifts.values_list("subscription_id", "days", "reason", "given_by")) == [
        (row.pk, 7, "сбой", "Ольга") for row in three
    ]
    assert "Выполняется: 0 из 3" in waiting
    assert "Закончено" in finished


def test_work_that_runs_again_does_no_row_twice(staff, three):
    confirm(staff, three)
    action = StaffAction.objects.get()

    for _ in range(3):
        mass_actions.work(pk=action.pk)

    assert Gift.objects.count() == 3
    assert counts(action) == {"total": 3, "done": 3, "refused": 0}


def test_form_sent_again_begins_no_second_action(staff, three):
    chosen = {"action": "give_days", "_selected_action": [three[0].pk], "select_across": "1"}
    key = staff.post(LIST, chosen).context["form_key"]
    form = chosen | {"confirmed": "1", "form_key": key, "days": "7", "reason": "сбой"}

    answers = [staff.post(LIST, form) for _ in range(2)]

    assert {answer.headers["Location"] for answer in answers} == {
        page_of(StaffAction.objects.get())
    }
    assert StaffActionRow.objects.count() == 3


def test_only_rows_of_the_filter_are_taken(staff, three, make, merchant):
    others = [make(number, entitled_from=START, external_id=f"other-{number}") for number in (4, 5)]

    confirm(staff, three, query="?q=number-")

    taken = StaffActionRow.objects.order_by("row_pk").values_list("row_pk", flat=True)
    assert list(taken) == [row.pk for row in three]
    assert others[0].pk not in taken


def test_refused_row_is_shown_with_its_reason(staff, three):
    confirm(staff, three)
    action = StaffAction.objects.get()
    StaffActionRow.objects.filter(row_pk=three[2].pk).update(row_pk=999_999)

    mass_actions.work(pk=action.pk)

    assert counts(action) == {"total": 3, "done": 2, "refused": 1}
    assert list(action.rows.filter(state="refused").values("row_pk", "sentence")) == [
        {"row_pk": 999_999, "sentence": "Этой записи уже нет."}
    ]
    assert "Этой записи уже нет." in text(staff.get(page_of(action)))


def test_row_that_fails_does_not_hold_up_the_others(staff, three):
    Subscription.objects.filter(pk=three[0].pk).update(
        entitled_until=datetime(9999, 12, 30, tzinfo=UTC)
    )
    confirm(staff, three)
    action = StaffAction.objects.get()

    mass_actions.work(pk=action.pk)

    assert counts(action) == {"total": 3, "done": 2, "refused": 1}
    assert Gift.objects.count() == 2


def test_right_that_is_lost_meanwhile_refuses_every_row(three, client):
    colleague = make_staff("petr", is_superuser=False)
    rights = Permission.objects.filter(codename__in=["view_subscription", "add_gift"])
    colleague.user_permissions.set(rights)
    client.force_login(colleague)
    confirm(client, three)
    action = StaffAction.objects.get()
    colleague.user_permissions.clear()

    mass_actions.work(pk=action.pk)

    assert counts(action) == {"total": 3, "done": 0, "refused": 3}
    assert Gift.objects.count() == 0


def test_form_with_mistakes_is_asked_again(staff, three):
    page = confirm(staff, three, reason="")

    assert page.context["form"].errors == {"reason": ["Укажите причину: её увидит клиент."]}
    assert page.context["number"] == 3
    assert StaffAction.objects.count() == 0


def test_more_rows_than_form_fields_are_begun_in_few_queries(
    staff, make, django_assert_max_num_queries
):
    first = make(entitled_from=START, entitled_until=END)
    Subscription.objects.bulk_create(
        Subscription(
            merchant_id=first.merchant_id,
            module_id=first.module_id,
            tariff_id=first.tariff_id,
            external_id=f"many-{number}",
            created_at=START,
        )
        for number in range(1500)
    )

    with django_assert_max_num_queries(40):
        answer = confirm(staff, [first])

    assert answer.headers["Location"] == page_of(StaffAction.objects.get())
    assert counts(StaffAction.objects.get()) == {"total": 1501, "done": 0, "refused": 0}


def test_page_opens_for_its_author_and_who_sees_all(staff, three):
    confirm(staff, three)
    action = StaffAction.objects.get()
    author, colleague = (
        make_staff("author", is_superuser=False),
        make_staff("x", is_superuser=False),
    )
    StaffAction.objects.update(user=author)

    answers = {}
    for user in (author, colleague, User.objects.get(username="olga")):
        client = Client()
        client.force_login(user)
        answers[user.username] = [
            client.get(page_of(action)).status_code,
            client.get(f"{ACTIONS}{action.pk}/progress/").status_code,
            client.get(ACTIONS).status_code,
        ]

    assert answers == {
        "author": [200, 200, 403],
        "x": [404, 404, 403],
        "olga": [200, 200, 200],
    }


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_do_each_row_once(staff, three):
    confirm(staff, three)
    action = StaffAction.objects.get()

    def run(_: int) -> None:
        mass_actions.work(pk=action.pk)
        connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, range(2)))
    mass_actions.work(pk=action.pk)

    assert Gift.objects.count() == 3
    assert counts(action) == {"total": 3, "done": 3, "refused": 0}
    assert action.finished_at is not None


def stored(**fields) -> StaffAction:
    given = {"model": "subscriptions.Subscription", "action": "give_days", "title": "Дни"}
    return StaffAction.objects.create(key=uuid4(), created_at=clock.now(), **(given | fields))


def test_finished_actions_are_forgotten_after_a_month():
    stored(finished_at=clock.now() - timedelta(days=31))
    kept = stored(finished_at=clock.now() - timedelta(days=29))

    sweep()

    assert list(StaffAction.objects.all()) == [kept]


def test_database_refuses_a_row_that_is_taken_twice():
    action = stored()
    StaffActionRow.objects.create(action=action, row_pk=1, state="waiting")

    with pytest.raises(IntegrityError, match="staff_action_row_once"), transaction.atomic():
        StaffActionRow.objects.create(action=action, row_pk=1, state="waiting")

    assert StaffActionRow.objects.count() == 1


def test_database_refuses_an_unknown_state_of_a_row():
    action = stored()

    with pytest.raises(IntegrityError, match="staff_action_row_state_known"), transaction.atomic():
        StaffActionRow.objects.create(action=action, row_pk=1, state="x")

    assert StaffActionRow.objects.count() == 0


def test_database_refuses_more_outcomes_than_rows():
    with pytest.raises(IntegrityError, match="staff_action_counts_add_up"), transaction.atomic():
        stored(total=1, done=1, refused=1)

    assert StaffAction.objects.count() == 0


def test_more_rows_than_a_page_carries_are_not_deleted(staff, monkeypatch):
    monkeypatch.setattr(admin_site, "MOST_DELETED", 2)
    groups = [Group.objects.create(name=f"Смена {number}") for number in range(3)]
    form = {"action": "delete_selected", "_selected_action": [groups[0].pk], "select_across": "1"}

    answer = staff.post(reverse("admin:auth_group_changelist"), form, follow=True)

    number = Group.objects.count()
    assert [str(message) for message in answer.context["messages"]] == [
        f"Найдено: {number}. За один раз удаляется не больше 2: сузьте список."
    ]
    assert number >= 3
