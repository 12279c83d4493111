"""Which engines there are, and how each is started."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.browsers.drivers import Browser, Piped
from bench.browsers.text import Text
from bench.browsers.tools import Tools

HERE = Path(__file__).resolve().parent
WIDTH, HEIGHT = 480, 800  # the small terminal's screen
# Containers give no user namespaces; only this machine is visited.
_CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass(frozen=True)
class Engine:
    """One engine. `start` gives a browser with an empty page, or raises NotAvailable or Stuck."""

    code: str
    title: str
    start: Callable[[Tools, Path], Browser]
    scripts: bool = True


def _puppet(
    tools: Tools, module: str, launch: dict[str, object], *, scripts: bool = True
) -> Browser:
    wish = {"scripts": scripts, "width": WIDTH, "height": HEIGHT}
    argv = (tools.node(), str(HERE / "puppet.js"), tools.module(module))
    return Piped((*argv, json.dumps(launch), json.dumps(wish)), tools.environment())


def _chromium(tools: Tools, profile: Path, *, scripts: bool = True) -> Browser:
    launch: dict[str, object] = {
        "executablePath": tools.program("chromium"),
        "headless": True,
        "args": list(_CHROMIUM),
        "userDataDir": str(profile),
    }
    return _puppet(tools, "puppeteer-core", launch, scripts=scripts)


def _chromium_without_scripts(tools: Tools, profile: Path) -> Browser:
    return _chromium(tools, profile, scripts=False)


def _firefox(tools: Tools, profile: Path) -> Browser:
    launch: dict[str, object] = {
        "browser": "firefox",
        "executablePath": tools.program("firefox-esr"),
        "headless": True,
        "userDataDir": str(profile),
    }
    return _puppet(tools, "puppeteer-core", launch)


def _chromium_64(tools: Tools, profile: Path) -> Browser:
    launch: dict[str, object] = {
        "executablePath": tools.chromium_64(),
        "args": [*_CHROMIUM, "--single-process", "--no-zygote", f"--user-data-dir={profile}"],
    }
    return _puppet(tools, "puppeteer", launch)


def _phantom(tools: Tools, profile: Path) -> Browser:
    argv = (tools.phantom(), str(HERE / "phantom.js"), str(WIDTH), str(HEIGHT))
    environment = tools.environment() | {"OPENSSL_CONF": "/dev/null", "HOME": str(profile)}
    # The names of its platforms mean nothing to a Qt of its own age.
    environment.pop("QT_QPA_PLATFORM", None)
    return Piped(argv, environment)


def _lynx(tools: Tools, profile: Path) -> Browser:
    return Text(tools.program("tmux"), tools.program("lynx"), profile)


ENGINES = (
    Engine("chromium", "Chromium, today's", _chromium),
    Engine(
        "chromium-no-scripts", "Chromium, scripts off", _chromium_without_scripts, scripts=False
    ),
    Engine("firefox", "Firefox ESR", _firefox),
    Engine("chromium-64", "Chromium 64 (2018)", _chromium_64),
    Engine("phantomjs", "PhantomJS (WebKit 538)", _phantom),
    Engine("lynx", "lynx (text, forms)", _lynx, scripts=False),
)
