"""The sign-in form of staff: tries are counted before the password is looked at."""

from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError

from cabinet import clock
from cabinet.access import visitor_address
from cabinet.models import User
from cabinet.services import staff


class StaffSignInForm(AdminAuthenticationForm):
    """Name and password; after too many tries a sentence, whatever the password."""

    def clean(self) -> dict[str, Any]:
        attempt = staff.Try(
            username=self.cleaned_data.get("username", ""),
            address=(visitor_address(self.request) if self.request else None) or "",
        )
        try:
            staff.count_try(attempt=attempt, at=clock.now())
        except staff.TooManyTries as refusal:
            raise ValidationError(refusal.sentence, code="too_many") from refusal
        return super().clean()

    def confirm_login_allowed(self, user: User) -> None:
        super().confirm_login_allowed(user)
        staff.note_sign_in(user=user, at=clock.now())
