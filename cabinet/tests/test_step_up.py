"""A session that the market opened: a code before what could take the company away."""

import logging
import re
from base64 import b32decode
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django_otp.oath import TOTP

from cabinet import clock
from cabinet.accounts import confirmation
from cabinet.accounts.access import actor_for
from cabinet.accounts.services import login_codes, people, second_factor, step_up, team
from cabinet.actors import Actor
from cabinet.enums import ActorKind, DocumentKind, MessageEvent, Role
from cabinet.errors import Refused
from cabinet.models import AuditEvent, LoginCode, Member, Message, StepUpPass, User, UserSession
from cabinet.tests.people import (
    AT,
    make_document,
    make_member,
    make_merchant,
    make_staff,
    make_user,
    signed_in,
)
from smartcards.models import Command
from smartcards.rules import FEW_CARDS
from smartcards.states import OperatorState
from smartcards.tests.cards import clock_at, cover, make_card, make_live_subscription

pytestmark = pytest.mark.django_db

NEW = {"name": "Пётр", "phone": "8 912 000-00-05", "role": "owner"}
SUPPORT = Actor(ActorKind.STAFF, "Поддержка")


@pytest.fixture
def owner() -> Member:
    return make_member(Role.OWNER, user=make_user("79120000001"))


@pytest.fixture
def entered(client: Client, owner: Member, caplog: pytest.LogCaptureFixture) -> Client:
    """A browser of the owner, opened by the market; the log shows what is sent."""
    caplog.set_level(logging.INFO, logger="cabinet.messaging.notifications")
    return enter(client, owner)


def enter(client: Client, member: Member) -> Client:
    signed_in(client, member)
    session = client.session
    session[confirmation.ENTERED_KEY] = member.merchant_id
    session.save()
    return client


def text_of(answer: Any) -> str:
    return unescape(answer.content.decode()).replace("\u00a0", " ")


def sent_code(caplog: pytest.LogCaptureFixture) -> str:
    return str(re.findall(r"79120000001: ([0-9]{6}) — код подтверждения", caplog.text)[-1])


def typed(answer: Any) -> dict[str, str]:
    """The hidden fields of the page that asks for the code."""
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', text_of(answer)))


def asked(answer: Any) -> bool:
    return answer.status_code == 403 and "Подтвердите, что это вы" in text_of(answer)


def test_new_owner_needs_code_and_the_typed_form_goes_on(entered, owner, caplog):
    page = entered.post("/team/", NEW)
    before = Member.objects.count()

    answer = entered.post("/team/", typed(page) | {"step_up_code": sent_code(caplog)})

    assert asked(page)
    assert "+7 912 000-00-01" in text_of(page)
    assert typed(page).items() >= NEW.items()
    assert before == 1
    assert answer["Location"] == "/team/"
    assert Member.objects.get(user__phone="79120000005").role == Role.OWNER
    assert list(AuditEvent.objects.order_by("pk").values_list("action", "merchant_id")) == [
        ("code.accepted", None),
        ("step_up.confirmed", owner.merchant_id),
        ("member.added", owner.merchant_id),
    ]


def people_and_roles() -> list[Any]:
    roles, people = Member.objects.order_by("pk"), User.objects.order_by("pk")
    return [list(roles.values()), list(people.values())]


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/team/", NEW | {"role": "cashier"}),
        ("/team/{colleague}/", {"do": "role", "role": "owner"}),
        ("/team/{colleague}/", {"do": "remove"}),
        ("/profile/", {"do": "save", "name": "", "email": "thief@example.com"}),
        ("/profile/", {"do": "end_sessions"}),
    ],
    ids=["add", "role", "remove", "e-mail", "sessions"],
)
def test_action_needs_a_code(entered, owner, path, form):
    colleague = make_member(Role.MANAGER, owner.merchant)
    before = people_and_roles()

    answer = entered.post(path.format(colleague=colleague.pk), form)

    assert asked(answer)
    assert people_and_roles() == before


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/company/", {"name": "Новое имя", "timezone": "Europe/Moscow"}),
        ("/profile/", {"do": "save", "name": "Анна", "email": ""}),
    ],
)
def test_work_of_the_day_needs_no_code(entered, path, form):
    answer = entered.post(path, form)

    assert answer["Location"] == path
    assert LoginCode.objects.count() == 0


def test_session_by_phone_without_an_app_is_not_asked(client, owner):
    signed_in(client, owner)

    answer = client.post("/team/", NEW)

    assert answer["Location"] == "/team/"


def confirm(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    page = client.post("/profile/", {"do": "save", "name": "", "email": "a@example.com"})
    client.post("/profile/", typed(page) | {"step_up_code": sent_code(caplog)})


@pytest.mark.parametrize(
    ("after", "again"),
    [(timedelta(hours=11, minutes=59), False), (timedelta(hours=12, minutes=1), True)],
)
def test_code_holds_twelve_hours(entered, caplog, settings, tmp_path, after, again):
    clock_at(settings, tmp_path, AT)
    confirm(entered, caplog)
    clock_at(settings, tmp_path, AT + after)

    answer = entered.post("/team/", NEW)

    assert asked(answer) is again


def test_code_of_one_session_confirms_no_other(entered, owner, caplog):
    confirm(entered, caplog)

    answer = enter(Client(), owner).post("/team/", NEW)

    assert asked(answer)


def test_code_of_another_session_is_refused(entered, owner, caplog):
    other = enter(Client(), owner)
    entered.post("/team/", NEW)

    answer = other.post("/team/", NEW | {"step_up_code": sent_code(caplog)})

    assert asked(answer)
    assert Member.objects.count() == 1


def test_wrong_code_changes_nothing_and_keeps_the_form(entered, caplog):
    page = entered.post("/team/", NEW)
    wrong = f"{(int(sent_code(caplog)) + 1) % 1_000_000:06d}"

    answer = entered.post("/team/", typed(page) | {"step_up_code": wrong})

    assert asked(answer)
    assert "Код не подошёл. Осталось 4 попытки." in text_of(answer)
    assert typed(answer).items() >= NEW.items()
    assert "step_up_code" not in typed(answer)
    assert Member.objects.count() == 1


def test_five_wrong_codes_end_the_code(entered, caplog):
    page = entered.post("/team/", NEW)
    right = sent_code(caplog)
    wrong = f"{(int(right) + 1) % 1_000_000:06d}"
    for _ in range(login_codes.MAX_TRIES):
        entered.post("/team/", typed(page) | {"step_up_code": wrong})

    answer = entered.post("/team/", typed(page) | {"step_up_code": right})

    assert asked(answer)
    assert "Запросите новый" in text_of(answer)
    assert Member.objects.count() == 1


@pytest.mark.parametrize("code", ["", " ", "\x00", "٣٣٣٣٣٣", "1" * 500, "123456"])
def test_odd_codes_are_refused(entered, code):
    answer = entered.post("/team/", NEW | {"step_up_code": code})

    assert asked(answer)
    assert Member.objects.count() == 1


def test_asking_twice_sends_one_code(entered):
    for _ in range(3):
        entered.post("/team/", NEW)

    assert LoginCode.objects.count() == 1


def test_new_code_is_sent_when_asked_for_within_the_limits(entered):
    page = entered.post("/team/", NEW)

    answer = entered.post("/team/", typed(page) | {"step_up_again": "1"})

    assert asked(answer)
    assert "Код уже отправлен" in text_of(answer)
    assert typed(answer).items() >= NEW.items()


def test_person_without_a_phone_is_sent_to_support(client, owner):
    User.objects.filter(pk=owner.user_id).update(phone=None)
    enter(client, owner)

    answer = client.post("/team/", NEW)

    assert "Позвоните в поддержку" in text_of(answer)


def test_first_entry_needs_no_second_code(client, caplog, settings, tmp_path):
    clock_at(settings, tmp_path, AT)
    caplog.set_level(logging.INFO, logger="cabinet.messaging.notifications")
    make_document(DocumentKind.OFFER)
    make_document(DocumentKind.CONSENT)
    merchant = make_merchant()
    session = client.session
    session["entry_merchant_id"] = merchant.pk
    session.save()
    person = {"phone": "79120000001", "email": "a@example.com", "name": "Анна"}
    client.post("/welcome/", person | {"offer": "on", "consent": "on"})
    code = re.findall(r"79120000001: ([0-9]{6}) ", caplog.text)[-1]
    client.post("/welcome/code/", {"code": code})

    soon = client.post("/team/", NEW)
    clock_at(settings, tmp_path, AT + timedelta(hours=12, minutes=1))
    later = client.post("/team/", NEW | {"phone": "79120000006"})

    assert soon["Location"] == "/team/"
    assert asked(later)


# --- mass switch-off ------------------------------------------------------------------------------


@pytest.fixture
def cards(owner: Member) -> list[Any]:
    subscription = make_live_subscription(owner.merchant, cards=10)
    made = [
        make_card(owner.merchant, confirmed=OperatorState.ACTIVE, desired_on=True)
        for _ in range(FEW_CARDS + 2)
    ]
    for card in made:
        cover(card, subscription)
    return made


@pytest.fixture
def now(settings: Any, tmp_path: Any) -> None:
    clock_at(settings, tmp_path)


@pytest.mark.usefixtures("now")
def test_single_switch_offs_of_an_hour_count_together(entered, cards):
    answers = [entered.post(f"/cards/{card.pk}/deactivate/") for card in cards]

    assert [asked(answer) for answer in answers] == [False] * FEW_CARDS + [True] * 2
    assert Command.objects.count() == FEW_CARDS


@pytest.mark.usefixtures("now")
def test_code_lets_the_switch_off_go_on(entered, cards, caplog):
    for card in cards[:-1]:
        page = entered.post(f"/cards/{card.pk}/deactivate/")

    answer = entered.post(
        f"/cards/{cards[FEW_CARDS].pk}/deactivate/",
        typed(page) | {"step_up_code": sent_code(caplog)},
    )
    last = entered.post(f"/cards/{cards[-1].pk}/deactivate/")

    assert answer["Location"] == f"/cards/{cards[FEW_CARDS].pk}/"
    assert last["Location"] == f"/cards/{cards[-1].pk}/"
    assert Command.objects.count() == FEW_CARDS + 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("now")
def test_switch_offs_at_once_do_not_pass_the_limit(entered, cards):
    def switch_off(card: Any) -> bool:
        client = Client()
        client.cookies = entered.cookies.copy()
        try:
            return asked(client.post(f"/cards/{card.pk}/deactivate/"))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        refused = list(pool.map(switch_off, cards))

    assert sorted(refused) == [False] * FEW_CARDS + [True] * 2
    assert Command.objects.count() == FEW_CARDS


@pytest.mark.usefixtures("now")
def test_choice_that_switches_off_many_needs_a_code(entered, cards, caplog):
    shown = {"shown": ",".join(str(card.pk) for card in cards)}

    page = entered.post("/cards/choose/", typed(entered.post("/cards/choose/", shown)))
    before = Command.objects.count()
    answer = entered.post("/cards/choose/", typed(page) | {"step_up_code": sent_code(caplog)})

    assert asked(page)
    assert before == 0
    assert answer["Location"] == "/"
    assert Command.objects.count() == len(cards)


@pytest.mark.usefixtures("now")
def test_choice_after_single_switch_offs_counts_them(entered, cards):
    for card in cards[:4]:
        entered.post(f"/cards/{card.pk}/deactivate/")
    leaving = ",".join(str(card.pk) for card in cards[4:6])

    answer = entered.post(
        "/cards/choose/", typed(entered.post("/cards/choose/", {"shown": leaving}))
    )

    assert asked(answer)
    assert Command.objects.count() == 4


@pytest.mark.usefixtures("now")
def test_lost_cards_count_as_switch_offs(entered, cards):
    form = {"because": "lost", "confirmed": "1"}

    answers = [entered.post(f"/cards/{card.pk}/withdraw/", form) for card in cards]

    assert [asked(answer) for answer in answers] == [False] * FEW_CARDS + [True] * 2


@pytest.mark.usefixtures("now")
def test_switch_offs_of_a_session_by_phone_are_not_limited(client, owner, cards):
    signed_in(client, owner)

    answers = [client.post(f"/cards/{card.pk}/deactivate/") for card in cards]

    assert [answer.status_code for answer in answers] == [302] * len(cards)
    assert Command.objects.count() == len(cards)


# --- the code of an app ---------------------------------------------------------------------------


def test_person_with_an_app_gives_its_code_without_sms(entered, owner):
    secret = second_factor.new_secret()
    first = totp(secret)
    recovery = second_factor.set_up(
        user=owner.user, secret=secret, code=first, by=actor_for(owner), at=clock.now()
    )

    page = entered.post("/team/", NEW)
    again = entered.post("/team/", typed(page) | {"step_up_again": "1"})
    wrong = entered.post("/team/", typed(page) | {"step_up_code": first})
    answer = entered.post("/team/", typed(page) | {"step_up_code": recovery[0]})

    assert "Код из приложения" in text_of(page)
    assert [asked(page), asked(again), asked(wrong)] == [True] * 3
    assert LoginCode.objects.count() == 0
    assert answer["Location"] == "/team/"


def totp(secret: str) -> str:
    return f"{TOTP(b32decode(secret)).token():06d}"


@pytest.fixture
def recovery(owner: Member) -> list[str]:
    """The recovery codes of the owner, who has set an app up."""
    secret = second_factor.new_secret()
    return second_factor.set_up(
        user=owner.user, secret=secret, code=totp(secret), by=actor_for(owner), at=clock.now()
    )


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/team/", NEW),
        ("/profile/", {"do": "save", "name": "", "email": "thief@example.com"}),
        ("/profile/", {"do": "end_sessions"}),
    ],
    ids=["add", "e-mail", "sessions"],
)
def test_session_by_phone_of_a_person_with_an_app_is_asked(client, owner, recovery, path, form):
    signed_in(client, owner)

    page = client.post(path, form)
    answer = client.post(path, typed(page) | {"step_up_code": recovery[0]})

    assert asked(page)
    assert "Вы вошли из кабинета Эвотор" not in text_of(page)
    assert LoginCode.objects.count() == 0
    assert answer.status_code == 302


def test_sign_in_by_phone_does_not_ask_for_the_app(client, owner, recovery, caplog):
    caplog.set_level(logging.INFO, logger="cabinet.messaging.notifications")
    client.post("/login/", {"phone": owner.user.phone})
    code = re.findall(r"79120000001: ([0-9]{6}) — код входа", caplog.text)[-1]

    client.post("/login/code/", {"code": code})

    assert client.get("/company/").status_code == 200
    assert asked(client.post("/team/", NEW))


def test_app_of_a_colleague_asks_nobody_else(client, owner, recovery):
    colleague = make_member(Role.OWNER, owner.merchant)
    stranger = make_member(Role.OWNER)

    answers = [signed_in(Client(), one).post("/team/", NEW) for one in (colleague, stranger)]

    assert [answer["Location"] for answer in answers] == ["/team/"] * 2


def test_setting_an_app_up_confirms_the_session(client, owner):
    signed_in(client, owner)
    page = client.get("/profile/second-factor/")
    secret = re.findall(r'<span class="code">([A-Z2-7]{32})</span>', text_of(page))[0]
    client.post("/profile/second-factor/", {"do": "set_up", "code": totp(secret)})

    answer = client.post("/team/", NEW)

    assert answer["Location"] == "/team/"


def test_own_app_is_not_set_up_without_a_code(entered, owner, caplog):
    page = entered.get("/profile/second-factor/")
    confirm(entered, caplog)

    assert asked(page)
    assert entered.get("/profile/second-factor/").status_code == 200


def test_ending_one_other_session_needs_a_code(entered, owner):
    signed_in(Client(), owner)
    other = UserSession.objects.exclude(session_id=entered.session.session_key).get()

    answer = entered.post("/profile/", {"do": "end_session", "session": other.pk})

    assert asked(answer)
    assert UserSession.objects.filter(pk=other.pk).exists()


# --- help of staff --------------------------------------------------------------------------------


def give_code(owner: Member, code: str = "12345678", at: Any = None) -> None:
    step_up.allow_once(
        user=owner.user, code=code, reason="Назвал ИНН", by=SUPPORT, at=at or clock.now()
    )


def test_code_of_staff_confirms_once(entered, owner):
    give_code(owner)

    first = entered.post("/team/", NEW | {"step_up_code": "1234 5678"})
    second = enter(Client(), owner).post("/team/", NEW | {"step_up_code": "12345678"})

    assert first["Location"] == "/team/"
    assert asked(second)
    assert list(AuditEvent.objects.order_by("pk").values_list("action", "reason"))[:2] == [
        ("step_up.allowed", "Назвал ИНН"),
        ("step_up.confirmed", ""),
    ]


def test_code_of_staff_is_of_one_person(owner):
    other = make_member(Role.OWNER, owner.merchant)
    give_code(owner)

    answer = enter(Client(), other).post("/team/", NEW | {"step_up_code": "12345678"})

    assert asked(answer)


@pytest.mark.parametrize(
    ("after", "good"),
    [(timedelta(minutes=59, seconds=59), True), (timedelta(hours=1), False)],
)
def test_code_of_staff_lives_an_hour(owner, after, good):
    give_code(owner, at=AT)

    outcome = _outcome(owner, "12345678", AT + after)

    assert outcome is good


def _outcome(member: Member, code: str, at: Any) -> bool:
    try:
        step_up.check_code(
            user=member.user, code=code, sent=None, merchant=None, by=actor_for(member), at=at
        )
    except login_codes.CodeRefused:
        return False
    return True


def test_code_of_staff_ends_after_five_tries(owner):
    give_code(owner, at=AT)

    outcomes = [_outcome(owner, code, AT) for code in ("00000000",) * 5 + ("12345678",)]

    assert outcomes == [False] * 6


def test_new_code_of_staff_ends_the_earlier_one(owner):
    give_code(owner, "12345678", AT)
    give_code(owner, "87654321", AT)

    assert [_outcome(owner, code, AT) for code in ("12345678", "87654321")] == [False, True]
    assert StepUpPass.objects.count() == 1
    assert "87654321" not in StepUpPass.objects.get().code_hash


@pytest.mark.parametrize("code", ["", "1234567", "123456789", "1234567x", "١٢٣٤٥٦٧٨"])
def test_code_of_staff_has_eight_digits(owner, code):
    with pytest.raises(Refused, match=r"^В коде 8 цифр\.$"):
        give_code(owner, code)


def test_database_keeps_one_open_code_of_staff(owner):
    fields = {"user": owner.user, "code_hash": "x", "issued_at": AT, "expires_at": AT}
    StepUpPass.objects.create(**fields)

    with pytest.raises(IntegrityError, match="step_up_pass_open_once"), transaction.atomic():
        StepUpPass.objects.create(**fields)
    with pytest.raises(IntegrityError, match="step_up_pass_five_tries"), transaction.atomic():
        StepUpPass.objects.create(**fields, tries=6, used_at=AT)


def test_staff_give_the_code_with_a_reason(client, owner):
    client.force_login(make_staff())
    address = f"/admin/cabinet/member/{owner.pk}/code/"
    page = client.get(address)
    code = re.findall(r'name="code" value="([0-9]{8})"', page.content.decode())[0]

    refused = client.post(address, {"code": code, "reason": ""})
    given = client.post(address, {"code": code, "reason": "Узнали по ИНН"})

    assert refused.status_code == 200
    assert given.status_code == 302
    assert StepUpPass.objects.count() == 1
    assert AuditEvent.objects.get(action="step_up.allowed").reason == "Узнали по ИНН"


@pytest.mark.parametrize("code", ["1234567", "1234567x", "١٢٣٤٥٦٧٨"])
def test_page_of_staff_takes_eight_digits_only(client, owner, code):
    client.force_login(make_staff())

    answer = client.post(
        f"/admin/cabinet/member/{owner.pk}/code/", {"code": code, "reason": "Узнали по ИНН"}
    )

    assert "В\u00a0коде 8\u00a0цифр." in answer.content.decode()
    assert StepUpPass.objects.count() == 0


def test_staff_without_the_right_give_no_code(client, owner):
    client.force_login(make_staff("finance", is_superuser=False))

    answer = client.post(
        f"/admin/cabinet/member/{owner.pk}/code/", {"code": "12345678", "reason": "x"}
    )

    assert answer.status_code == 403
    assert StepUpPass.objects.count() == 0


# --- what owners are told -------------------------------------------------------------------------


def told() -> list[tuple[str, str, str]]:
    return sorted(Message.objects.values_list("event", "channel", "to"))


def test_owners_are_told_of_a_new_owner(owner):
    User.objects.filter(pk=owner.user_id).update(
        email="anna@example.com", confirmed_email="anna@example.com"
    )
    second = make_member(Role.OWNER, owner.merchant)
    make_member(Role.MANAGER, owner.merchant)
    make_member(Role.OWNER)

    team.add_member(
        merchant=owner.merchant,
        phone="79120000005",
        name="Пётр",
        role=Role.OWNER,
        by=actor_for(owner),
        at=AT,
    )

    assert told() == sorted(
        [
            (MessageEvent.NEW_OWNER, "sms", "79120000001"),
            (MessageEvent.NEW_OWNER, "email", "anna@example.com"),
            (MessageEvent.NEW_OWNER, "sms", str(second.user.phone)),
        ]
    )
    assert Message.objects.first().text == (
        "В «ООО «Ромашка»» новый владелец: Пётр. Кабинет «Кассовые сервисы». "
        "Если это не вы, сразу позвоните в поддержку."
    )


def test_owners_are_told_when_a_colleague_becomes_owner(owner):
    colleague = make_member(Role.MANAGER, owner.merchant)

    team.change_role(member=colleague, role=Role.OWNER, by=actor_for(owner), at=AT)

    assert told() == [(MessageEvent.NEW_OWNER, "sms", "79120000001")]


@pytest.mark.parametrize("role", [Role.MANAGER, Role.CASHIER])
def test_other_roles_are_no_news(owner, role):
    team.add_member(
        merchant=owner.merchant, phone="79120000005", name="", role=role, by=actor_for(owner), at=AT
    )

    assert told() == []


def test_new_email_is_told_to_the_old_one(owner):
    User.objects.filter(pk=owner.user_id).update(
        email="old@example.com", confirmed_email="old@example.com"
    )
    owner.user.refresh_from_db()

    people.update_profile(
        user=owner.user, name="Анна", email="new@example.com", by=actor_for(owner), at=AT
    )
    people.update_profile(
        user=owner.user, name="Анна С.", email="new@example.com", by=actor_for(owner), at=AT
    )

    assert told() == [
        (MessageEvent.EMAIL_CHANGED, "email", "old@example.com"),
        (MessageEvent.EMAIL_CHANGED, "sms", "79120000001"),
        (MessageEvent.EMAIL_CONFIRM, "email", "new@example.com"),
    ]


def test_new_phone_is_told_to_the_old_one(client, owner):
    client.force_login(make_staff())
    address = f"/admin/cabinet/user/{owner.user_id}/change/"
    form = {"username": owner.user.username, "phone": "+7 912 000-00-09", "is_active": "on"}

    client.post(address, form)

    assert User.objects.get(pk=owner.user_id).phone == "79120000009"
    assert told() == [(MessageEvent.PHONE_CHANGED, "sms", "79120000001")]


def test_owner_made_by_staff_is_told_to_the_others(client, owner):
    client.force_login(make_staff())
    colleague = make_member(Role.MANAGER, owner.merchant)
    form = {
        "name": "Ромашка",
        "timezone": "Europe/Moscow",
        "members-TOTAL_FORMS": "2",
        "members-INITIAL_FORMS": "2",
        "members-0-id": owner.pk,
        "members-0-merchant": owner.merchant_id,
        "members-0-user": owner.user_id,
        "members-0-role": "owner",
        "members-1-id": colleague.pk,
        "members-1-merchant": owner.merchant_id,
        "members-1-user": colleague.user_id,
        "members-1-role": "owner",
    }

    client.post(f"/admin/cabinet/merchant/{owner.merchant_id}/change/", form)

    assert told() == [(MessageEvent.NEW_OWNER, "sms", "79120000001")]


def team_form(*members: Member, **changed: str) -> dict[str, object]:
    """The form of the company in the admin; `changed` replaces fields, «members-0-role»."""
    form: dict[str, object] = {
        "name": "Ромашка",
        "timezone": "Europe/Moscow",
        "members-TOTAL_FORMS": len(members),
        "members-INITIAL_FORMS": len(members),
    }
    for number, member in enumerate(members):
        fields = {
            "id": member.pk,
            "merchant": member.merchant_id,
            "user": member.user_id,
            "role": member.role,
            "name": member.name,
        }
        form |= {f"members-{number}-{name}": value for name, value in fields.items()}
    return form | changed


def test_renamed_owner_is_no_news(client, owner):
    second = make_member(Role.OWNER, owner.merchant)
    client.force_login(make_staff())

    client.post(
        f"/admin/cabinet/merchant/{owner.merchant_id}/change/",
        team_form(owner, second, **{"members-1-name": "Анна"}),
    )

    assert Member.objects.get(pk=second.pk).name == "Анна"
    assert told() == []


@pytest.mark.parametrize(
    "changed", [{"members-0-role": "cashier"}, {"members-0-DELETE": "on"}], ids=["role", "removed"]
)
def test_staff_do_not_take_the_last_owner_away(client, owner, changed):
    manager = make_member(Role.MANAGER, owner.merchant)
    make_member(Role.OWNER, owner.merchant, make_user(is_active=False))
    client.force_login(make_staff())

    answer = client.post(
        f"/admin/cabinet/merchant/{owner.merchant_id}/change/", team_form(owner, manager, **changed)
    )

    assert "У компании всегда есть владелец" in text_of(answer)
    assert Member.objects.get(pk=owner.pk).role == Role.OWNER


def test_staff_put_another_owner_in_place_of_the_last(client, owner):
    manager = make_member(Role.MANAGER, owner.merchant)
    client.force_login(make_staff())

    client.post(
        f"/admin/cabinet/merchant/{owner.merchant_id}/change/",
        team_form(owner, manager, **{"members-0-DELETE": "on", "members-1-role": "owner"}),
    )

    assert list(Member.objects.order_by("pk").values_list("pk", "role")) == [
        (manager.pk, Role.OWNER.value)
    ]


def test_owner_who_is_staff_is_not_the_one_who_remains(owner):
    make_member(Role.OWNER, owner.merchant, make_user(is_staff=True))

    with pytest.raises(team.TeamRefused):
        team.remove_member(member=owner, by=actor_for(owner), at=AT)
