"""The second factor: codes of an app by the real time, recovery codes, limits, who may take it away."""

import re
from base64 import b32decode
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError
from django.http import HttpResponse
from django.test import Client
from django_otp.oath import TOTP

from cabinet import clock
from cabinet.accounts.services import second_factor
from cabinet.actors import SYSTEM
from cabinet.errors import Refused
from cabinet.models import AuditEvent, SecondFactor, User
from cabinet.tests.people import AT, make_member, make_staff, make_user, signed_in

pytestmark = pytest.mark.django_db


def shown(secret: str, steps: int = 0) -> str:
    """What an app with this key shows, so many steps of 30 seconds from now."""
    return f"{TOTP(b32decode(secret), drift=steps).token():06d}"


def code_of(user: User, steps: int = 0) -> str:
    """What the app of this person shows."""
    return shown(SecondFactor.objects.get(user=user).secret, steps)


def set_up(user: User) -> list[str]:
    """An app is confirmed by the code of the step before this; gives the recovery codes."""
    secret = second_factor.new_secret()
    return second_factor.set_up(user=user, secret=secret, code=shown(secret, -1), by=SYSTEM, at=AT)


def test_an_app_counts_after_its_first_code():
    user = make_user()
    before = second_factor.is_set_up(user), second_factor.check(user=user, code="000000", at=AT)

    codes = set_up(user)

    assert before == (False, False)
    assert second_factor.is_set_up(user) is True
    assert len(set(codes)) == second_factor.RECOVERY_CODES
    assert AuditEvent.objects.filter(action="second_factor.set_up").count() == 1


def test_an_app_is_not_set_up_by_a_wrong_code():
    user = make_user()
    secret = second_factor.new_secret()
    wrong = f"{(int(shown(secret)) + 1) % 10**6:06d}"

    with pytest.raises(second_factor.WrongCode):
        second_factor.set_up(user=user, secret=secret, code=wrong, by=SYSTEM, at=AT)

    assert second_factor.is_set_up(user) is False


def test_a_second_app_does_not_replace_the_first():
    user = make_user()
    set_up(user)
    first = SecondFactor.objects.get(user=user).secret

    with pytest.raises(Refused, match=r"^Код из приложения уже включён\.$"):
        set_up(user)

    assert SecondFactor.objects.get(user=user).secret == first


def test_a_code_is_accepted_once():
    user = make_user()
    set_up(user)
    code = code_of(user)

    results = [second_factor.check(user=user, code=code, at=AT) for _ in range(2)]

    assert results == [True, False]


@pytest.mark.parametrize(("steps", "accepted"), [(-3, False), (0, True), (1, True), (3, False)])
def test_codes_of_neighbouring_steps_are_accepted(steps, accepted):
    user = make_user()
    set_up(user)

    assert second_factor.check(user=user, code=code_of(user, steps), at=AT) is accepted


def test_codes_go_by_the_real_time(settings, tmp_path):
    settings.SANDBOX, settings.CLOCK_FILE = True, tmp_path / "clock"
    user = make_user()
    set_up(user)
    clock.set_offset(365 * 86400)

    assert second_factor.check(user=user, code=code_of(user), at=clock.now()) is True


@pytest.mark.parametrize("typed", ["{}", " {} ", "{} "])
def test_recovery_codes_are_accepted_once_each(typed):
    user = make_user()
    first, second, *_rest = set_up(user)

    results = [
        second_factor.check(user=user, code=typed.format(code.upper()), at=AT)
        for code in (first, first, second)
    ]

    assert results == [True, False, True]
    assert len(SecondFactor.objects.get(user=user).recovery) == second_factor.RECOVERY_CODES - 2


def test_recovery_code_of_another_person_is_worth_nothing():
    user, other = make_user(), make_user()
    set_up(user)
    code, *_rest = set_up(other)

    assert second_factor.check(user=user, code=code, at=AT) is False


def test_after_five_wrong_codes_only_a_recovery_code_is_accepted():
    user = make_user()
    recovery, *_rest = set_up(user)
    for _ in range(second_factor.WRONG_CODES + 1):
        second_factor.check(user=user, code="no such", at=AT)

    results = {
        "right code": second_factor.check(user=user, code=code_of(user), at=AT),
        "recovery code": second_factor.check(user=user, code=recovery, at=AT),
        "right code after it": second_factor.check(user=user, code=code_of(user), at=AT),
    }

    assert results == {"right code": False, "recovery code": True, "right code after it": True}
    assert AuditEvent.objects.filter(action="second_factor.wrong").count() == 7


def test_wrong_codes_are_forgotten_after_a_quarter_of_an_hour():
    user = make_user()
    set_up(user)
    for _ in range(second_factor.WRONG_CODES):
        second_factor.check(user=user, code="no such", at=AT)

    later = AT + second_factor.WRONG_FOR + timedelta(seconds=1)
    assert second_factor.check(user=user, code=code_of(user), at=later) is True


@pytest.mark.parametrize("code", ["", "12345", "١٢٣٤٥٦", "1234567", "abcdef", "-12345", "\x00"])
def test_odd_codes_are_wrong_codes(code):
    user = make_user()
    set_up(user)

    assert second_factor.check(user=user, code=code, at=AT) is False


def test_new_recovery_codes_replace_the_former():
    user = make_user()
    former, *_rest = set_up(user)

    new, *_rest = second_factor.renew_recovery_codes(
        user=user, code=code_of(user), by=SYSTEM, at=AT
    )

    assert second_factor.check(user=user, code=former, at=AT) is False
    assert second_factor.check(user=user, code=new, at=AT) is True


def test_the_factor_is_switched_off_by_its_code_only():
    user = make_user()
    set_up(user)
    with pytest.raises(second_factor.WrongCode):
        second_factor.switch_off(user=user, code="no such", by=SYSTEM, at=AT)
    counted = SecondFactor.objects.get(user=user).wrong_codes

    second_factor.switch_off(user=user, code=code_of(user), by=SYSTEM, at=AT)

    assert counted == 1
    assert second_factor.is_set_up(user) is False


def test_staff_do_not_switch_off_what_is_required(settings):
    settings.SANDBOX = False
    staff = make_staff()
    set_up(staff)

    with pytest.raises(Refused):
        second_factor.switch_off(user=staff, code=code_of(staff), by=SYSTEM, at=AT)

    assert second_factor.is_set_up(staff) is True


@pytest.mark.parametrize(
    ("sandbox", "staff", "required"),
    [(False, True, True), (False, False, False), (True, True, False), (True, False, False)],
)
def test_it_is_required_of_staff_outside_the_sandbox(sandbox, staff, required, settings):
    settings.SANDBOX = sandbox

    assert second_factor.is_required(make_user(is_staff=staff)) is required


def test_secret_and_recovery_codes_are_not_readable_in_the_database():
    user = make_user()
    codes = set_up(user)
    stored = SecondFactor.objects.filter(user=user)

    (row,) = stored.extra(select={"kept": "secret"}).values("kept", "recovery")

    assert row["kept"] != stored.get().secret
    assert not set(codes) & set(row["recovery"])


def test_database_counts_five_wrong_codes_at_most():
    user = make_user()
    set_up(user)

    with pytest.raises(IntegrityError, match="second_factor_five_wrong_codes"):
        SecondFactor.objects.filter(user=user).update(wrong_codes=6)


def test_address_for_the_app_names_service_and_person():
    user = make_user(phone="79120000001")

    assert second_factor.app_address(user=user, secret="JBSWY3DPEHPK3PXP") == (
        "otpauth://totp/%D0%9A%D0%B0%D1%81%D1%81%D0%BE%D0%B2%D1%8B%D0%B5%20"
        "%D1%81%D0%B5%D1%80%D0%B2%D0%B8%D1%81%D1%8B%3A79120000001"
        "?secret=JBSWY3DPEHPK3PXP"
        "&issuer=%D0%9A%D0%B0%D1%81%D1%81%D0%BE%D0%B2%D1%8B%D0%B5%20"
        "%D1%81%D0%B5%D1%80%D0%B2%D0%B8%D1%81%D1%8B"
    )


def test_command_resets_the_factor_and_records_why(client):
    staff = make_staff()
    set_up(staff)
    client.force_login(staff)
    out = StringIO()

    call_command(
        "reset_second_factor", "zoya", reason="Утерян телефон, личность сверена", stdout=out
    )

    event = AuditEvent.objects.get(action="second_factor.reset")
    assert second_factor.is_set_up(staff) is False
    assert (event.target_id, event.reason) == (staff.pk, "Утерян телефон, личность сверена")
    assert client.get("/admin/").status_code == 302


@pytest.mark.parametrize("name", ["zoya", "nobody"])
def test_command_says_where_there_is_nothing_to_reset(name):
    make_staff()

    with pytest.raises(CommandError):
        call_command("reset_second_factor", name, reason="Проверка")


# --- staff sign in --------------------------------------------------------------------------------

PASSWORD = "long-enough-words"


def secret_on(page: HttpResponse) -> str:
    """The key that the page shows for the app."""
    return str(re.findall(r'<span class="code">([A-Z2-7]{32})</span>', _text(page))[0])


def by_password(client: Client, wanted: str = "/admin/") -> Any:
    return client.post(
        f"/admin/login/?next={wanted}", {"username": "zoya", "password": PASSWORD}, follow=True
    )


def test_staff_are_asked_for_the_code_after_the_password(client):
    staff = make_staff(password=PASSWORD)
    set_up(staff)
    asked = by_password(client, "/admin/cabinet/alert/")

    refused = client.post(asked.request["PATH_INFO"], {"code": "no such"})
    still_out = client.get("/admin/cabinet/alert/").status_code
    answer = client.post(_full_path(asked), {"code": code_of(staff)})

    assert asked.request["PATH_INFO"] == "/login/second-factor/"
    assert "Код не подошёл." in refused.content.decode()
    assert still_out == 302
    assert answer.headers["Location"] == "/admin/cabinet/alert/"
    assert client.get("/admin/cabinet/alert/").status_code == 200


def test_session_gets_a_new_key_by_the_code(client):
    staff = make_staff(password=PASSWORD)
    recovery, *_rest = set_up(staff)
    by_password(client)
    before = client.session.session_key

    client.post("/login/second-factor/", {"code": recovery})

    assert client.session.session_key != before
    assert client.get("/admin/").status_code == 200


def test_without_the_sandbox_staff_must_set_an_app_up_first(client, settings):
    settings.SANDBOX = False
    make_staff(password=PASSWORD)

    page = by_password(client)
    before = client.get("/admin/").status_code
    code = shown(secret_on(page))
    answer = client.post("/profile/second-factor/", {"do": "set_up", "code": code})

    assert page.request["PATH_INFO"] == "/profile/second-factor/"
    assert before == 302
    assert len(set(re.findall(r'<li class="code">([a-z2-7-]{19})</li>', _text(answer)))) == 10
    assert client.get("/admin/").status_code == 200


def test_in_the_sandbox_staff_may_do_without(client):
    make_staff(password=PASSWORD)

    assert by_password(client).request["PATH_INFO"] == "/admin/"


def test_sms_code_does_not_replace_the_second_factor_of_staff(client, settings):
    settings.SANDBOX = False
    client.force_login(make_staff(phone="79120000001"))

    assert client.get("/admin/", follow=True).request["PATH_INFO"] == "/profile/second-factor/"


def test_somebody_who_becomes_staff_signs_in_anew(client):
    user = make_user()
    client.force_login(user)
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)

    assert client.get("/admin/").status_code == 302


# --- the person's own page ------------------------------------------------------------------------


def test_owner_sets_an_app_up_by_qr_code_or_key(client):
    member = make_member()
    signed_in(client, member)

    page = client.get("/profile/second-factor/")
    code = shown(secret_on(page))
    answer = client.post("/profile/second-factor/", {"do": "set_up", "code": code})

    assert SecondFactor.objects.get(user=member.user).secret == secret_on(page)
    assert 'src="data:image/png;base64,' in _text(page)
    assert "Сохраните эти коды" in _text(answer)
    assert "Код из приложения включён" in _text(client.get("/profile/second-factor/"))


def test_wrong_first_code_sets_nothing_up(client):
    member = make_member()
    signed_in(client, member)
    secret = secret_on(client.get("/profile/second-factor/"))

    answer = client.post("/profile/second-factor/", {"do": "set_up", "code": "no such"})

    assert "Код не подошёл. Проверьте время на телефоне" in _text(answer)
    assert "запасной код" not in _text(answer)
    assert secret_on(answer) == secret
    assert second_factor.is_set_up(member.user) is False


def test_owner_gets_new_recovery_codes_and_switches_off(client):
    member = make_member()
    recovery, *_rest = set_up(member.user)
    signed_in(client, member)

    new = client.post("/profile/second-factor/", {"do": "new_codes", "code": recovery})
    (code, *_rest) = re.findall(r'<li class="code">([a-z2-7-]{19})</li>', _text(new))
    answer = client.post("/profile/second-factor/", {"do": "switch_off", "code": code}, follow=True)

    assert "Код из приложения больше не спрашиваем." in _text(answer)
    assert second_factor.is_set_up(member.user) is False


def test_unknown_button_changes_nothing(client):
    member = make_member()
    recovery, *_rest = set_up(member.user)
    signed_in(client, member)

    answer = client.post("/profile/second-factor/", {"do": "other", "code": recovery})

    assert answer.status_code == 302
    assert second_factor.check(user=member.user, code=recovery, at=AT) is True


@pytest.mark.parametrize("has_app", [False, True])
def test_owner_is_not_asked_for_the_factor_of_staff(client, has_app):
    member = make_member()
    if has_app:
        set_up(member.user)
    signed_in(client, member)

    assert client.get("/login/second-factor/").headers["Location"] == "/profile/"


@pytest.mark.parametrize(
    "wanted", ["//evil.example/", "https://evil.example/", "nowhere", "profile", "admin:index"]
)
def test_the_code_leads_to_our_own_pages_only(wanted, client):
    staff = make_staff(password=PASSWORD)
    recovery, *_rest = set_up(staff)
    by_password(client)

    answer = client.post(f"/login/second-factor/?next={wanted}", {"code": recovery})

    assert answer.headers["Location"] == "/admin/"


def _text(answer: HttpResponse) -> str:
    return answer.content.decode()


def _full_path(answer: Any) -> str:
    return f"{answer.request['PATH_INFO']}?{answer.request['QUERY_STRING']}"
