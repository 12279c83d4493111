"""F8: the disk is full. The tables stand on a small disk of their own, which is filled to the last byte."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg2
from django.db import connections

from bench import place
from bench.named_house import House, Owner, page_text
from bench.named_trial import Findings, Trial, until
from smartcards.models import Command, SmartCard

FAULTS = ("F8",)
_PAGES = ("/", "/subscription/", "/orders/", "/documents/")
_ROOM = 64  # megabytes beside the tables
# So many clicks at the most find room in the tables' last pages.
_CLICKS = 40
_TAKEN = "Запрос принят: включаем"
# Where no disk can be mounted: the server's own refusal, at every row that would be written.
_REFUSED = """
CREATE FUNCTION bench_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER bench_full BEFORE INSERT OR UPDATE ON smartcards_command
  FOR EACH STATEMENT EXECUTE FUNCTION bench_full();
"""
_ROOM_AGAIN = """
DROP TRIGGER bench_full ON smartcards_command;
DROP FUNCTION bench_full();
"""


def disk_full(house: House) -> Findings:
    """F8: reads serve, writes refuse in words, nothing is half done; with room again all goes on."""
    found, owner = Findings(), house.merchant(_CLICKS + 5)
    cards = owner.cards(_CLICKS)
    before = house.servers.postmaster()
    with _full(house) as played:
        taken, refused = _clicks(found, owner, cards)
        pages = [(path, owner.browser.get(path).status_code) for path in _PAGES]
        found.expect(bool(refused), f"{len(taken)} clicks, none met the full disk")
        wrong = [f"{path} answered {status}" for path, status in pages if status != 200]
        found.wrong += wrong + _half_done(house, refused)
    connections.close_all()
    ready = until(lambda: _takes(owner, refused[0]), seconds=30) if refused else None
    found.expect(ready is not None, "no click was taken within 30 s after there was room")
    for card in refused[1:]:
        owner.activate(card)
    touched = taken + refused
    found.expect(house.settled(touched, seconds=90) is not None, "not settled within 90 s")
    found.wrong += house.books(touched, ["activate"])
    died = house.died()
    found.expect(not died, f"ended by themselves: {', '.join(died)}")
    found.expect(house.servers.postmaster() == before, "PostgreSQL was started anew")
    found.note(
        f"{played}: {len(refused)} clicks refused with 503 and words, {len(_PAGES)} pages read"
    )
    found.note(
        f"{len(taken)} clicks found room in the last pages; {ready or 0:.1f} s after room all by itself"
    )
    return found


def _clicks(
    found: Findings, owner: Owner, cards: Sequence[SmartCard]
) -> tuple[list[SmartCard], list[SmartCard]]:
    """Until ten were refused; those that were taken, and those that were not."""
    taken: list[SmartCard] = []
    refused: list[SmartCard] = []
    for card in cards:
        answer = owner.activate(card)
        words = page_text(answer)
        if answer.status_code == 200 and _TAKEN in words:
            taken.append(card)
            continue
        refused.append(card)
        found.expect(answer.status_code == 503, f"a click was answered {answer.status_code}")
        found.expect("недоступен" in words or "нельзя" in words, "a refusal without words")
        found.expect("Retry-After" in answer.headers, "a refusal without Retry-After")
        if len(refused) == 10:
            break
    return taken, refused


def _half_done(house: House, cards: Sequence[SmartCard]) -> list[str]:
    """A wish, a command or a request of a click that was refused."""
    ids = [card.pk for card in cards]
    wishes = SmartCard.objects.filter(pk__in=ids).exclude(wished_on=None).count()
    commands = Command.objects.filter(card__in=ids).count()
    sent = sum(house.truth(card)["calls"]["submit"] for card in cards)
    found = {"wishes": wishes, "commands": commands, "requests": sent}
    return [f"{number} {what} of refused clicks" for what, number in found.items() if number]


def _takes(owner: Owner, card: SmartCard) -> bool:
    words = page_text(owner.activate(card))
    return _TAKEN in words or "Запрос уже принят" in words or "уже работает" in words


# --- the disk -------------------------------------------------------------------------------------


@contextmanager
def _full(house: House) -> Iterator[str]:
    """No room as long as the block; says what was played."""
    with _small_disk(house) as disk:
        if disk is None:
            house.servers.tell_postgres(_REFUSED, database=place.DATABASE)
            try:
                yield "INJECTED (no right to mount), SQLSTATE 53100"
            finally:
                house.servers.tell_postgres(_ROOM_AGAIN, database=place.DATABASE)
            return
        with _standing_on(house, disk):
            ballast = disk / "ballast"
            _fill(ballast)
            try:
                yield "a disk filled to the last byte"
            finally:
                ballast.unlink()


@contextmanager
def _small_disk(house: House) -> Iterator[Path | None]:
    """A disk in memory a little greater than the tables; None where we may not mount one."""
    folder = Path(tempfile.mkdtemp(prefix="kassa-disk-", dir="/tmp"))
    mounted = _mounted(folder, _tables_megabytes(house) + _ROOM)
    try:
        if mounted:
            _hand_over(house, folder)
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run((shutil.which("umount") or "", "--lazy", str(folder)), check=False)
        folder.rmdir()


def _mounted(folder: Path, megabytes: int) -> bool:
    mount = shutil.which("mount")
    if mount is None or shutil.which("umount") is None:
        return False
    asked = (mount, "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))
    return subprocess.run(asked, check=False, capture_output=True).returncode == 0


def _tables_megabytes(house: House) -> int:
    with house.servers.asking(place.DATABASE) as cursor:
        cursor.execute("SELECT pg_database_size(current_database()) / 1024 / 1024 + 1")
        return int((cursor.fetchone() or (0,))[0])


def _hand_over(house: House, folder: Path) -> None:
    """PostgreSQL has an account of its own where we are root."""
    (folder / "tables").mkdir(mode=0o700)
    account = house.servers.watched.specs["postgres"].account
    if account is not None:
        folder.chmod(0o755)
        os.chown(folder / "tables", account.uid, account.gid)


@contextmanager
def _standing_on(house: House, disk: Path) -> Iterator[None]:
    """All tables and indexes stand on that disk as long as the block."""
    house.servers.tell_postgres(f"CREATE TABLESPACE small LOCATION '{disk / 'tables'}'")
    _move(house, "pg_default", "small")
    try:
        yield
    finally:
        _move(house, "small", "pg_default")
        house.servers.tell_postgres("CHECKPOINT", "DROP TABLESPACE small")


def _move(house: House, old: str, new: str) -> None:
    """The product works meanwhile: where it is in the way it is tried again."""

    def moved() -> bool:
        with suppress(psycopg2.OperationalError):
            house.servers.tell_postgres(
                f"ALTER TABLE ALL IN TABLESPACE {old} SET TABLESPACE {new}",
                f"ALTER INDEX ALL IN TABLESPACE {old} SET TABLESPACE {new}",
                database=place.DATABASE,
            )
            return True
        return False

    if until(moved, seconds=30) is None:
        raise RuntimeError("the tables could not be moved")


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        for piece in (1024 * 1024, 4096):
            with suppress(OSError):
                while True:
                    file.write(b"0" * piece)


def trials(house: House) -> list[Trial]:
    """What is played with the disk."""
    return [
        Trial(
            "F8", "the tables' disk is full, clicks and reading meanwhile", lambda: disk_full(house)
        )
    ]
