"""The way in inside the frame of the market's cabinet, with and without a browser that keeps cookies there."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import BrowserContext, FrameLocator, Page, Playwright, expect

from cabinet.demo import OWNER_PHONE
from cabinet.tests.journeys.conftest import FLAGS, Visit, chromium, listening
from cabinet.tests.journeys.house import House, eventually

pytestmark = pytest.mark.journey

OWNER_USER_ID = "01-000000000000101"
BLOCK = 2  # Chromium's word in its preferences


def entry(house: House) -> str:
    """The address that the market's cabinet opens in its frame, for the demo merchant."""

    def door() -> str:
        sent = house.ask("POST", "/market/change_terms", {"userId": OWNER_USER_ID, "deviceNumber": 5})
        return str(sent)

    return door()
