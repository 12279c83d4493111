"""Doors for signals of the floor."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.dispatch import receiver

from cabinet.services.groups import ensure_groups


@receiver(post_migrate, dispatch_uid="cabinet.ensure_groups")
def migrated(*, sender: AppConfig, **_kwargs: Any) -> None:
    """After every migration. One call is enough: our own permissions are all made before this app's turn."""
    if sender.label == "auth":
        ensure_groups()
