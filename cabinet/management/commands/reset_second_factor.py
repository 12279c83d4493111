"""Takes the second factor away from somebody who has lost the phone and the recovery codes."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cabinet import clock
from cabinet.accounts.services import second_factor
from cabinet.actors import SYSTEM
from cabinet.errors import Refused
from cabinet.models import User


class Command(BaseCommand):
    help = (
        "Removes the second factor of a person and ends their sessions; both are recorded. "
        "Members of staff set up a new one when they sign in next."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "username", help="name for signing in; of a merchant's person the phone"
        )
        parser.add_argument("--reason", required=True, help="who asked, and how it was checked")

    def handle(self, *_args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError("Нет человека с таким именем для входа.")
        try:
            second_factor.reset(user=user, reason=options["reason"], by=SYSTEM, at=clock.now())
        except Refused as refusal:
            raise CommandError(refusal.sentence) from refusal
        self.stdout.write("Второй фактор сброшен, сеансы завершены.")
