"""The way in inside the frame of the market's cabinet, where cookies are kept and where they are not."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path

import pytest
import requests
from playwright.sync_api import BrowserContext, FrameLocator, Page, Playwright, expect

from cabinet.tests.journeys.conftest import FLAGS, Visit, chromium, listening
from cabinet.tests.journeys.running_product import RunningProduct

pytestmark = pytest.mark.journey

DEMO_USER_ID = "01-000000000000101"
BLOCK = 2  # Chromium's word in its preferences
ADD_FRAME = """address => {
    const frame = document.createElement('iframe');
    frame.width = 1000;
    frame.height = 700;
    frame.src = address;
    document.body.prepend(frame);
}"""


def entry(product: RunningProduct) -> str:
    """The address that the market's cabinet opens in its frame, for the first demo merchant."""
    page = requests.get(f"{product.sandbox}/market/user/{DEMO_USER_ID}", timeout=30)
    found = re.search(r'<iframe src="([^"]+)"', page.text)
    assert found is not None
    return unescape(found.group(1))


def foreign_site(product: RunningProduct, context: BrowserContext) -> Page:
    """A page of the market on another site (127.0.0.1 is foreign to localhost) with our pages in its frame."""
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{product.sandbox_port}/")
    page.evaluate(ADD_FRAME, entry(product))
    return page


def frame_of(page: Page) -> FrameLocator:
    return page.frame_locator("iframe")


def session_cookie(context: BrowserContext) -> dict[str, object]:
    (found,) = [cookie for cookie in context.cookies() if cookie["name"] == "cabinet_session"]
    return dict(found)


def test_a_foreign_frame_keeps_its_own_partitioned_session(product: RunningProduct, visit: Visit):
    context = visit()

    inside = frame_of(foreign_site(product, context))
    expect(inside.get_by_role("heading", level=1)).to_be_visible()
    inside.get_by_role("link", name="Профиль").click()
    inside.get_by_label("Имя").fill("Анна Соколова")
    inside.get_by_role("button", name="Сохранить").click()

    expect(inside.get_by_text("Профиль сохранён.")).to_be_visible()
    cookie = session_cookie(context)
    assert cookie["sameSite"] == "None"
    assert cookie["secure"] is True
    assert cookie["httpOnly"] is True
    assert str(cookie["partitionKey"]).startswith("http://127.0.0.1")


@contextmanager
def without_cookies_in_frames(
    playing: Playwright, product: RunningProduct, folder: Path, complaints: list[str]
) -> Iterator[BrowserContext]:
    """A profile whose settings refuse our cookies inside the market's pages, partitioned ones too."""
    pair = f"http://localhost:{product.port},http://127.0.0.1:{product.sandbox_port}"
    rules = {"cookies": {pair: {"setting": BLOCK}}}
    wanted = {"profile": {"cookie_controls_mode": 1, "content_settings": {"exceptions": rules}}}
    (folder / "Default").mkdir()
    (folder / "Default" / "Preferences").write_text(json.dumps(wanted), encoding="utf-8")
    context = playing.chromium.launch_persistent_context(
        folder, executable_path=chromium(), args=FLAGS, locale="ru-RU"
    )
    try:
        yield listening(context, complaints)
    finally:
        context.close()


def test_without_cookies_the_cabinet_opens_in_a_new_window(
    product: RunningProduct, playing: Playwright, tmp_path: Path, complaints: list[str]
):
    with without_cookies_in_frames(playing, product, tmp_path, complaints) as context:
        page = foreign_site(product, context)
        inside = frame_of(page)

        with page.expect_popup() as opened:
            inside.get_by_role("link", name="Открыть в новом окне").click()

        window = opened.value
        window.get_by_role("button", name="Войти").click()
        expect(window).to_have_url(f"{product.web}/")
        expect(window.get_by_role("link", name="Профиль")).to_be_visible()
        cookie = session_cookie(context)
        assert cookie["sameSite"] == "Lax"
        assert cookie.get("partitionKey") is None
