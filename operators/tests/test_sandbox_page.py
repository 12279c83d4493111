"""The operators on the sandbox's first page: what a person sees there and may do."""

import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from operators.tests.bench import SIM, STRANGER, Bench, running

KEYS = {"key": "demo-key", "secret": "demo-secret"}
PARTNER = {"token": "demo-partner-token"}


@pytest.fixture
def mts(tmp_path: Path) -> Iterator[Bench]:
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        yield bench


@pytest.fixture
def partner(mts: Bench) -> Bench:
    """The second operator of the same sandbox, without a quota."""
    bench = Bench("tmf640", mts.url, PARTNER)
    bench.limits(per_second=None, delay_seconds=None)
    bench.put(state="active")
    return bench


def _page(bench: Bench) -> str:
    with urllib.request.urlopen(f"{bench.url}/", timeout=5) as answer:  # noqa: S310
        return str(answer.read().decode())


def _send(bench: Bench, path: str, **form: str) -> str:
    """Sends a form as a browser would, and gives the page it ends at."""
    data = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(f"{bench.url}{path}", data=data, timeout=5) as answer:  # noqa: S310
        return str(answer.read().decode())


def test_page_shows_every_card_as_it_truly_is(mts, partner):
    mts.put(state="held", reason="debt")

    page = _page(mts)

    assert page.count(f"<td>{SIM.iccid}</td>") == 2
    assert '<span class="state state-held">задержана оператором</span><br>задолженность' in page
    assert '<span class="state state-active">работает</span>' in page
    assert "Всё исправно." in page


def test_state_is_set_from_the_page(mts):
    _send(
        mts, "/panel/state", operator="mts", iccid=SIM.iccid, state="inactive", reason="voluntary"
    )

    assert (mts.state()["state"], mts.state()["msisdn"]) == ("inactive", SIM.msisdn)


def test_card_is_added_from_the_page(mts):
    new = {"iccid": STRANGER.iccid, "msisdn": STRANGER.msisdn, "state": "new"}

    page = _send(mts, "/panel/state", operator="mts", **new)

    assert STRANGER.iccid in page
    assert mts.state(STRANGER)["state"] == "new"


def test_trouble_is_switched_on_and_off_from_the_page(mts):
    fault = {"operator": "mts", "call": "submit", "kind": "http_500", "times": "", "seconds": ""}

    broken = _send(mts, "/panel/faults", **fault)
    mended = _send(mts, "/panel/faults/clear")

    assert "mts, переключение: ошибка 500 (пока не починят)" in broken
    assert "Всё исправно." in mended


def test_page_shows_names_without_letting_them_be_markup(mts):
    mts.put(msisdn="<script>")

    page = _page(mts)

    assert "&lt;script&gt;" in page
    assert "<script>" not in page
