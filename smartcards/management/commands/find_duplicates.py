"""Looks for cards that are stored twice."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from smartcards.reconciliation import duplicates


class Command(BaseCommand):
    help = "Lists cards stored in two spellings and numbers on two cards; fails if there are any."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Prints ICCIDs and no telephone numbers. Raises CommandError (exit code 1) where there are any."""
        twice, shared = duplicates.spelled_twice(), duplicates.shared_numbers()
        for bare, whole in twice:
            self.stdout.write(f"Одна смарт-карта записана дважды: {bare} и {whole}.")
        for one in shared:
            cards = ", ".join(one.iccids)
            self.stdout.write(f"Один номер у нескольких смарт-карт, {one.account}: {cards}.")
        if twice or shared:
            raise CommandError(f"Повторов: {len(twice) + len(shared)}.")
        self.stdout.write("Повторов нет.")
