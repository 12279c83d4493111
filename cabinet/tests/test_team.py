"""Who works in a company."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from cabinet.accounts.access import actor_for
from cabinet.accounts.services import people, team
from cabinet.actors import SYSTEM, Actor
from cabinet.enums import ActorKind, Role
from cabinet.errors import NotAllowed, Refused
from cabinet.models import AuditEvent, Member, User
from cabinet.tests.people import AT, make_member, make_merchant, make_staff, make_user, signed_in

pytestmark = pytest.mark.django_db

NEW = {"name": "Пётр Ёлкин", "phone": "8 912 000-00-05", "role": "cashier"}


def messages_of(response) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def test_owner_adds_a_cashier(client):
    owner = make_member()
    signed_in(client, owner)

    answer = client.post("/team/", NEW, follow=True)

    added = Member.objects.exclude(pk=owner.pk).get()
    assert added.merchant_id == owner.merchant_id
    assert added.user.phone == "79120000005"
    assert added.name == "Пётр Ёлкин"
    assert added.user.name == ""
    assert added.role == Role.CASHIER
    assert messages_of(answer) == ["Пётр Ёлкин теперь может войти по своему номеру телефона."]
    assert list(AuditEvent.objects.values_list("action", "merchant_id", "actor_id")) == [
        ("member.added", owner.merchant_id, owner.user_id)
    ]


@pytest.mark.parametrize("name", ["Петя с рынка", ""])
def test_adding_a_phone_shows_nobodys_name(client, name):
    owner = make_member()
    make_member(user=make_user("79120000005", name="Пётр Петрович", email="petr@example.com"))

    added = team.add_member(
        merchant=owner.merchant,
        phone="79120000005",
        name=name,
        role=Role.CASHIER,
        by=actor_for(owner),
        at=AT,
    )
    signed_in(client, owner)
    pages = [client.get(url).content.decode() for url in ("/team/", f"/team/{added.pk}/")]
    team.change_role(member=added, role=Role.MANAGER, by=actor_for(owner), at=AT)
    team.remove_member(member=added, by=actor_for(owner), at=AT)

    texts = [*pages, *AuditEvent.objects.values_list("text", flat=True)]
    assert [text for text in texts if "Петрович" in text or "petr@" in text] == []
    assert User.objects.get(phone="79120000005").name == "Пётр Петрович"
    assert all(added.shown_name in text for text in texts)


def test_name_that_a_company_gives_is_not_shown_to_another(client):
    first, second = make_member(), make_member()
    for owner, name in ((first, "Петя"), (second, "Пётр")):
        team.add_member(
            merchant=owner.merchant,
            phone="79120000005",
            name=name,
            role=Role.CASHIER,
            by=actor_for(owner),
            at=AT,
        )

    signed_in(client, second)

    page = client.get("/team/").content.decode()
    assert "Пётр" in page
    assert "Петя" not in page


def test_same_person_is_added_once(client):
    owner = make_member()
    make_member(Role.CASHIER, owner.merchant, make_user("79120000005"))
    signed_in(client, owner)

    answer = client.post("/team/", NEW)

    assert answer.context["form"].errors == {"phone": ["Этот человек уже есть среди сотрудников."]}
    assert Member.objects.count() == 2


def test_phone_of_staff_is_refused():
    owner = make_member()
    make_staff(phone="79120000005")

    with pytest.raises(people.SignInRefused):
        team.add_member(
            merchant=owner.merchant,
            phone="79120000005",
            name="",
            role=Role.OWNER,
            by=actor_for(owner),
            at=AT,
        )


def test_owner_changes_a_role(client):
    owner = make_member()
    cashier = make_member(Role.CASHIER, owner.merchant, make_user(name="Пётр"))
    signed_in(client, owner)

    client.post(f"/team/{cashier.pk}/", {"role": "manager", "do": "role"})

    cashier.refresh_from_db()
    event = AuditEvent.objects.get()
    assert cashier.role == Role.MANAGER
    assert event.action == "member.role_changed"
    assert event.text == "Пётр: был кассир, стал администратор"


@pytest.mark.parametrize(
    "data", [{"role": "cashier", "do": "role"}, {"do": "remove"}], ids=["demote", "remove"]
)
def test_last_owner_stays_owner(client, data):
    owner = make_member()
    make_member(Role.MANAGER, owner.merchant)
    make_member(Role.OWNER)
    signed_in(client, owner)

    answer = client.post(f"/team/{owner.pk}/", data, follow=True)

    owner.refresh_from_db()
    assert owner.role == Role.OWNER
    assert len(messages_of(answer)) == 1
    assert "динственн" in messages_of(answer)[0]


def test_deactivated_owner_does_not_count_as_remaining_owner():
    owner = make_member()
    make_member(Role.OWNER, owner.merchant, make_user(is_active=False))

    with pytest.raises(team.TeamRefused):
        team.change_role(member=owner, role=Role.CASHIER, by=actor_for(owner), at=AT)


def test_same_role_again_is_no_change():
    owner = make_member()
    cashier = make_member(Role.CASHIER, owner.merchant)

    team.change_role(member=cashier, role=Role.CASHIER, by=actor_for(owner), at=AT)

    cashier.refresh_from_db()
    assert cashier.role == Role.CASHIER
    assert AuditEvent.objects.count() == 0


def test_staff_change_a_team_without_a_role_in_it():
    owner = make_member()
    cashier = make_member(Role.CASHIER, owner.merchant)
    support = Actor(ActorKind.STAFF, "Поддержка")

    team.remove_member(member=cashier, by=support, at=AT)

    assert list(Member.objects.all()) == [owner]
    assert AuditEvent.objects.get().actor_name == "Поддержка"


def test_who_has_no_role_manages_nobody():
    owner = make_member()
    cashier = make_member(Role.CASHIER, owner.merchant)

    with pytest.raises(NotAllowed, match=r"^Сотрудников меняет владелец компании\.$"):
        team.remove_member(member=cashier, by=SYSTEM, at=AT)

    assert Member.objects.filter(pk=cashier.pk).exists()


def test_change_of_an_already_removed_member_is_refused():
    owner = make_member()
    cashier = make_member(Role.CASHIER, owner.merchant)
    team.remove_member(member=cashier, by=actor_for(owner), at=AT)
    gone = Member(pk=cashier.pk or 0, merchant=owner.merchant, user=cashier.user, role=Role.CASHIER)

    with pytest.raises(team.TeamRefused, match=r"^Этого человека уже нет среди сотрудников\.$"):
        team.remove_member(member=gone, by=actor_for(owner), at=AT)


def test_second_owner_may_step_down(client):
    owner = make_member()
    make_member(Role.OWNER, owner.merchant)
    signed_in(client, owner)

    client.post(f"/team/{owner.pk}/", {"role": "manager", "do": "role"})

    owner.refresh_from_db()
    assert owner.role == Role.MANAGER


def test_removed_member_loses_access_at_once(client):
    owner = make_member()
    cashier = make_member(Role.CASHIER, owner.merchant)
    signed_in(client, cashier)
    seen_before = client.get("/documents/").status_code

    team.remove_member(member=cashier, by=actor_for(owner), at=AT)

    assert seen_before == 200
    assert client.get("/documents/")["Location"] == "/merchants/"


@pytest.mark.parametrize("data", [{}, {"role": "owner", "do": "role"}, {"do": "remove"}])
def test_member_of_another_company_is_404(client, data):
    signed_in(client, make_member())
    elsewhere = make_member(Role.CASHIER)

    answers = [
        client.post(f"/team/{pk}/", data) if data else client.get(f"/team/{pk}/")
        for pk in (elsewhere.pk, 999_999)
    ]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert Member.objects.get(pk=elsewhere.pk).role == Role.CASHIER


@pytest.mark.parametrize("role", [Role.MANAGER, Role.ACCOUNTANT, Role.CASHIER])
def test_only_the_owner_manages_the_team(client, role):
    member = make_member(role)
    signed_in(client, member)

    answers = [client.get("/team/"), client.post("/team/", NEW), client.get(f"/team/{member.pk}/")]

    assert [answer.status_code for answer in answers] == [403] * 3
    assert "Это действие доступно владельцу." in answers[0].content.decode()
    assert Member.objects.count() == 1
    with pytest.raises(NotAllowed):
        team.remove_member(member=member, by=actor_for(member), at=AT)


def test_list_asks_the_database_equally_often_whatever_its_length(
    client, django_assert_num_queries
):
    owner = make_member()
    signed_in(client, owner)
    for _ in range(5):
        make_member(Role.CASHIER, owner.merchant)
    client.get("/team/")  # the first page puts the form's secret into the session

    with django_assert_num_queries(4):  # session, person, companies, team
        client.get("/team/")


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_remove_one_another_leave_one():
    merchant = make_merchant()
    owners = [make_member(Role.OWNER, merchant) for _ in range(2)]
    together = threading.Barrier(2)

    def remove(member: Member, by: Member) -> str:
        try:
            together.wait()
            team.remove_member(member=member, by=actor_for(by), at=AT)
        except Refused as refusal:
            return refusal.sentence
        finally:
            connection.close()
        return ""

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(remove, owners, reversed(owners)))

    refusals = [sentence for sentence in outcomes if sentence]
    assert len(refusals) == 1
    assert Member.objects.filter(merchant=merchant, role=Role.OWNER).count() == 1
