"""A browser, the running product, and what a failed journey reports of both."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, expect, sync_playwright

from cabinet.tests.journeys.running_product import PATIENCE, RunningProduct, running_product

CHROMIUMS = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome")
# Containers give no user namespaces; the journeys visit this machine only.
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
Visit = Callable[..., BrowserContext]

expect.set_options(timeout=PATIENCE * 1000)


def chromium() -> str:
    """The path of a Chromium; without one the journeys are skipped, or fail with REQUIRE_BROWSER=1."""
    found = next((path for name in CHROMIUMS if (path := shutil.which(name))), "")
    if found:
        return found
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail("REQUIRE_BROWSER=1, and there is no Chromium on this machine.")
    pytest.skip("There is no Chromium on this machine.")


@pytest.fixture(scope="module")
def playing() -> Iterator[Playwright]:
    """Only while a module of journeys runs: its event loop would forbid the database to other tests."""
    chromium()
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playing: Playwright) -> Iterator[Browser]:
    with playing.chromium.launch(executable_path=chromium(), args=FLAGS) as launched:
        yield launched


@pytest.fixture(scope="module")
def product(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProduct]:
    # After the browser: without one nothing has to be started.
    with running_product(tmp_path_factory.mktemp("product")) as running:
        yield running


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """What the browser complains of: refused by the policy, not found, thrown by a script. At the end: nothing."""
    complaints: list[str] = []
    yield complaints
    assert complaints == []


@pytest.fixture
def visit(browser: Browser, complaints: list[str], request: Any) -> Iterator[Visit]:
    """`visit(scripts=True, width=1280)`: a fresh browser profile that listens for complaints."""
    opened: list[BrowserContext] = []

    def open_profile(
        *, scripts: bool = True, width: int = 1280, height: int = 800
    ) -> BrowserContext:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            java_script_enabled=scripts,
            locale="ru-RU",
            timezone_id="Europe/Moscow",
        )
        opened.append(listening(context, complaints))
        return context

    request.node.profiles = opened
    yield open_profile
    for context in opened:
        context.close()


def listening(context: BrowserContext, complaints: list[str]) -> BrowserContext:
    """The same context; errors of its pages are written down."""
    context.set_default_timeout(PATIENCE * 1000)
    context.on("console", lambda shown: _note(shown, complaints))
    context.on("weberror", lambda thrown: complaints.append(str(thrown.error)))
    return context


def _note(shown: Any, complaints: list[str]) -> None:
    where = shown.location.get("url", "")
    # Pages without an icon of their own (the admin's, the sandbox's): the browser asks for one by itself.
    if shown.type in {"error", "warning"} and not where.endswith("/favicon.ico"):
        complaints.append(f"{where}: {shown.text}")


def pytest_exception_interact(node: Any, report: Any) -> None:
    """A failed journey shows where each page stood, and the last words of the processes."""
    for context in getattr(node, "profiles", []):
        for page in context.pages:
            report.sections.append((f"page {page.url}", _text_of(page)))
    running = getattr(node, "funcargs", {}).get("product")
    if running is not None:
        report.sections.append(("processes", running.last_words()))


def _text_of(page: Any) -> str:
    try:
        return str(page.inner_text("body", timeout=2000))
    except Exception as error:  # noqa: BLE001 a page that is gone must not hide the failure itself
        return f"({type(error).__name__})"
