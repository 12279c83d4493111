"""The sign-in form of staff: tries are counted before the password is looked at."""

from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError

from cabinet import clock
from cabinet.accounts.services import staff_sign_in
from cabinet.accounts.visitor import visitor_address
from cabinet.models import User


class StaffSignInForm(AdminAuthenticationForm):
    """Name and password; after too many tries a sentence, whatever the password."""

    def clean(self) -> dict[str, Any]:
        """Count the attempt first. Raises ValidationError over the limit."""
        username = self.cleaned_data.get("username", "")
        address = (visitor_address(self.request) if self.request else None) or ""
        try:
            staff_sign_in.count_attempt(username=username, address=address, at=clock.now())
        except staff_sign_in.TooManyAttempts as refusal:
            raise ValidationError(refusal.sentence, code="too_many") from refusal
        return super().clean()

    def confirm_login_allowed(self, user: User) -> None:
        """Django calls it when the password was right: note the sign-in."""
        super().confirm_login_allowed(user)
        staff_sign_in.record_sign_in(user=user, at=clock.now())
