"""F8: the disk is full. Commands stand on a small disk of their own, which is filled to the last byte."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from django.db import connections

from bench.faults import scenario
from bench.harness import Harness
from bench.people import ACCEPTED_BEFORE, Person, is_refusal, was_accepted
from bench.timing import until
from smartcards.models import SmartCard

_PAGES = ("/", "/subscription/", "/orders/", "/documents/")
_DISK = 16 * 1024 * 1024  # bytes
# So many clicks at the most find room in the table's last page.
_CLICKS = 40


@scenario("F8", "the disk of the commands is full, clicks and reading meanwhile")
def disk_full(harness: Harness) -> str:
    """Reads serve, writes refuse with a sentence, nothing is half done; with room again all goes on."""
    owner = harness.owner(_CLICKS + 5)
    cards = harness.cards(owner, _CLICKS)
    with _full_disk(harness) as played:
        taken, refused = _click_until_ten_are_refused(owner, cards)
        for path in _PAGES:
            status = owner.get(path).status_code
            assert status == 200, f"{path} answered {status}"
        decided = SmartCard.objects.filter(pk__in=[card.pk for card in refused], desired_on=True)
        half_done = harness.commands(refused).count(), decided.count(), sum(harness.calls(refused))
        assert half_done == (0, 0, 0), f"commands, decisions, requests: {half_done}"
    connections.close_all()
    again = partial(owner.activate, refused[0])
    ready = until(lambda: was_accepted(again(), ACCEPTED_BEFORE), "no click was taken", seconds=30)
    for card in refused[1:]:
        owner.activate(card)
    harness.finish(taken + refused, "activate", seconds=90)
    return (
        f"{played}: {len(refused)} clicks refused with 503 and a sentence, {len(_PAGES)} pages read;"
        f" {len(taken)} clicks found room; {ready:.1f} s after room all by itself"
    )


def _click_until_ten_are_refused(
    owner: Person, cards: Sequence[SmartCard]
) -> tuple[list[SmartCard], list[SmartCard]]:
    """Those that were taken, and those that were not."""
    taken, refused = list[SmartCard](), list[SmartCard]()
    for card in cards:
        answer = owner.activate(card)
        if was_accepted(answer):
            taken.append(card)
            continue
        assert is_refusal(answer), f"a click was answered {answer.status_code}"
        refused.append(card)
        if len(refused) == 10:
            return taken, refused
    raise AssertionError(f"{len(taken)} clicks, {len(refused)} met the full disk")


@contextmanager
def _full_disk(harness: Harness) -> Iterator[str]:
    """No room as long as the block; says what was played."""
    with tempfile.TemporaryDirectory(prefix="kassa-disk-", dir="/tmp") as folder:
        if not _runs("mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", folder):
            # Where no disk can be mounted: the server's own refusal.
            with harness.servers.refusing_writes("BEFORE INSERT OR UPDATE", "true", "53100"):
                yield "INJECTED (no right to mount), SQLSTATE 53100"
            return
        try:
            with _commands_on(harness, Path(folder)), _filled(Path(folder) / "ballast"):
                yield "a disk filled to the last byte"
        finally:
            _runs("umount", "--lazy", folder)


def _runs(*command: str) -> bool:
    with suppress(FileNotFoundError):
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    return False


@contextmanager
def _commands_on(harness: Harness, disk: Path) -> Iterator[None]:
    """The table of commands stands on this disk."""
    tables, account = disk / "tables", harness.processes.specs["postgres"].account
    tables.mkdir(mode=0o700)
    if account is not None:  # PostgreSQL has an account of its own where we are root
        disk.chmod(0o755)
        os.chown(tables, account.uid, account.gid)
    execute, move = harness.servers.execute, "ALTER TABLE smartcards_command SET TABLESPACE"
    execute(f"CREATE TABLESPACE small LOCATION '{tables}'", f"{move} small")
    try:
        yield
    finally:
        execute(f"{move} pg_default", "CHECKPOINT", "DROP TABLESPACE small")


@contextmanager
def _filled(ballast: Path) -> Iterator[None]:
    with ballast.open("wb", buffering=0) as file:
        for size in (1024 * 1024, 4096):
            with suppress(OSError):
                while True:
                    file.write(b"0" * size)
    try:
        yield
    finally:
        ballast.unlink()
