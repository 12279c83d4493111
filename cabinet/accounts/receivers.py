"""Signal receivers."""

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import post_migrate
from django.dispatch import receiver

from cabinet import clock
from cabinet.accounts.services import sessions
from cabinet.accounts.services.staff_groups import ensure_groups
from cabinet.models import User


@receiver(post_migrate, dispatch_uid="cabinet.ensure_groups")
def migrated(*, sender: AppConfig, **_kwargs: Any) -> None:
    """Create the groups of staff after `migrate`.

    Once, for the app «auth»: the permissions of our apps exist before its turn.
    """
    if sender.label == "auth":
        ensure_groups()


@receiver(user_logged_in, dispatch_uid="cabinet.begin_session")
def signed_in(*, request: Any, user: User, **_kwargs: Any) -> None:
    """Every session of a person is in their list, however they signed in."""
    agent = request.headers.get("User-Agent", "")
    sessions.begin(session=request.session, user=user, user_agent=agent, at=clock.real_now())
