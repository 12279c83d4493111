"""Where an installed package with binaries is."""

from importlib.util import find_spec
from pathlib import Path

from cabinet.launcher.errors import LauncherError


def package_folder(name: str) -> Path:
    """The folder of the package, found without importing it: its own Python code is not wanted
    here.
    """
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise LauncherError(
            f"Пакет {name} не установлен: выполните «pip install -r requirements-dev.txt» "
            "или укажите DATABASE_URL и REDIS_URL."
        )
    return Path(next(iter(spec.submodule_search_locations)))
