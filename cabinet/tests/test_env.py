"""A wrong value of the environment stops the start with one clear sentence."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from cabinet.env import env_choices


def test_choices_of_the_environment_are_checked(monkeypatch):
    monkeypatch.setenv("CHOSEN", "user, application")
    chosen = env_choices("CHOSEN", ["application"], ("application", "user"))
    monkeypatch.setenv("CHOSEN", "users")

    assert chosen == ["user", "application"]
    with pytest.raises(ImproperlyConfigured, match="CHOSEN must be of application, user"):
        env_choices("CHOSEN", ["application"], ("application", "user"))
