"""A browser as the journey sees it: by Playwright, and an old engine that it does not know."""

import base64
import json
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import requests
from playwright.sync_api import BrowserType, Error, sync_playwright

from bench.timing import until
from cabinet.launcher.ports import free_port

WIDTH, HEIGHT = 480, 800  # the small terminal's screen
SECONDS = 15.0
# Containers give no user namespaces; only this machine is visited.
_CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_PAGE_SCRIPT = Path(__file__).with_name("page.js").read_text(encoding="utf-8")


class Stuck(Exception):
    """The journey cannot go on in this browser; says where."""


class Browser(Protocol):
    """What a person does with a browser. Every method raises Stuck."""

    scripts: bool
    # Thrown by scripts, not loaded, wider than the screen.
    complaints: list[str]

    def open(self, url: str) -> None: ...
    def press(self, text: str) -> None: ...
    def fill(self, label: str, value: str) -> None: ...
    def see(self, text: str, *, seconds: float = SECONDS) -> None: ...
    def shot(self, path: Path) -> None: ...
    def close(self) -> None: ...


class PlaywrightBrowser:
    """Today's engines, pressed and typed into as by a person."""

    def __init__(self, engine: str, program: str | None = None, *, scripts: bool = True) -> None:
        """`engine`: chromium, firefox or webkit; without a `program` Playwright's own build. Raises Stuck."""
        self.complaints, self.scripts = list[str](), scripts
        self._playwright = sync_playwright().start()
        kind: BrowserType = getattr(self._playwright, engine)
        flags = _CHROMIUM_FLAGS if engine == "chromium" else []
        try:
            self._browser = kind.launch(executable_path=program, args=flags)
        except Error as error:
            self._playwright.stop()
            raise Stuck(error.message) from error
        size: Any = {"width": WIDTH, "height": HEIGHT}
        self._page = self._browser.new_page(viewport=size, java_script_enabled=scripts)
        self._page.set_default_timeout(SECONDS * 1000)
        self._page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self._page.on("requestfailed", self._failed)

    def _failed(self, request: Any) -> None:
        # Given up by the page itself, as when it is left while something still loads.
        if "ABORTED" not in str(request.failure):
            self.complaints.append(f"failed: {request.url} {request.failure}")

    def open(self, url: str) -> None:
        self._do(lambda: self._page.goto(url), url)

    def press(self, text: str) -> None:
        links, buttons = (self._page.get_by_role(kind, name=text) for kind in ("link", "button"))
        self._do(links.or_(buttons).filter(has_text=text).first.click, text)

    def fill(self, label: str, value: str) -> None:
        def fill() -> None:
            field = self._page.get_by_label(label).first
            if field.evaluate("one => one.tagName") == "SELECT":
                field.select_option(label=value)
            else:
                field.fill(value)

        self._do(fill, label)

    def see(self, text: str, *, seconds: float = SECONDS) -> None:
        found = self._page.get_by_text(text).filter(visible=True).first
        self._do(lambda: found.wait_for(timeout=seconds * 1000), text)

    def shot(self, path: Path) -> None:
        self._do(lambda: self._page.screenshot(path=path.with_suffix(".png"), full_page=True), "")
        if (over := self._page.evaluate(_OVERFLOW)) > 0:
            self.complaints.append(f"{path.stem}: {over} px wider than the screen")

    def close(self) -> None:
        self._browser.close()
        self._playwright.stop()

    def _do(self, action: Any, what: str) -> None:
        try:
            action()
        except Error as error:
            raise Stuck(f"«{what}»: {' '.join(error.message.split())[:500]}") from error


class Phantom:
    """PhantomJS, WebKit of 2014, by the WebDriver of its time; what a person does is done by page.js."""

    def __init__(self, program: str, folder: Path) -> None:
        self.complaints, self.scripts = list[str](), True
        port = free_port()
        environment = {**os.environ, "HOME": str(folder), "OPENSSL_CONF": "/dev/null"}
        environment.pop("QT_QPA_PLATFORM", None)  # PhantomJS's Qt knows other names
        self._process = subprocess.Popen(
            [program, f"--webdriver={port}", f"--local-storage-path={folder}"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._url = f"http://127.0.0.1:{port}"
        until(self._is_ready, "PhantomJS did not start", seconds=60)
        asked = {"desiredCapabilities": {"browserName": "phantomjs"}}
        found = requests.post(f"{self._url}/session", json=asked, timeout=SECONDS).json()
        self._url += f"/session/{found['sessionId']}"
        self._send("window/current/size", width=WIDTH, height=HEIGHT)

    def _is_ready(self) -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{self._url}/status", timeout=SECONDS).ok
        return False

    def open(self, url: str) -> None:
        self._send("url", url=url)

    def press(self, text: str) -> None:
        self._patiently("press", text)
        time.sleep(0.5)

    def fill(self, label: str, value: str) -> None:
        self._patiently("fill", label, value)

    def see(self, text: str, *, seconds: float = SECONDS) -> None:
        self._patiently("see", text, seconds=seconds)

    def shot(self, path: Path) -> None:
        path.with_suffix(".png").write_bytes(base64.b64decode(self._send("screenshot", "GET")))
        if (over := self._evaluate(_OVERFLOW)) > 0:
            self.complaints.append(f"{path.stem}: {over} px wider than the screen")

    def close(self) -> None:
        for entry in self._send("log", type="browser"):
            if entry["level"] not in ("INFO", "DEBUG"):
                self.complaints.append(entry["message"][:300])
        self._process.kill()
        self._process.wait(timeout=10)

    def _patiently(self, name: str, *arguments: str, seconds: float = SECONDS) -> None:
        """A function of page.js, which gives "" or its trouble, until it is done."""
        given = ", ".join(json.dumps(one) for one in arguments)
        script = f"(function () {{ {_PAGE_SCRIPT}\nreturn bench.{name}({given}); }}())"
        ends_at = time.monotonic() + seconds
        while trouble := self._evaluate(script):
            if time.monotonic() > ends_at:
                raise Stuck(trouble)
            time.sleep(0.2)

    def _evaluate(self, expression: str) -> Any:
        # Not «execute», which the page's content security policy forbids.
        script = f"return this.evaluate(function () {{ return {expression}; }})"
        return self._send("phantom/execute", script=script, args=[])

    def _send(self, command: str, method: str = "POST", /, **body: Any) -> Any:
        """A command of WebDriver. Raises Stuck where it is refused or not answered in time."""
        try:
            answer = requests.request(method, f"{self._url}/{command}", json=body, timeout=SECONDS)
            found = answer.json()
        except requests.RequestException as error:
            raise Stuck(f"{command}: {error}") from error
        if found["status"]:
            raise Stuck(f"{command}: {found['value']}"[:500])
        return found["value"]
