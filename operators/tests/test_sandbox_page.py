"""The operators on the sandbox's first page: what a person sees there and may do."""

import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from operators.sandbox.faults import FaultKind
from operators.tests.sandbox_operator import SIM, STRANGER, RunningOperator, running

KEYS = {"key": "demo-key", "secret": "demo-secret"}
PARTNER = {"token": "demo-partner-token"}


@pytest.fixture
def mts(tmp_path: Path) -> Iterator[RunningOperator]:
    with running("mts", KEYS, tmp_path / "sandbox.json") as bench:
        yield bench


@pytest.fixture
def partner(mts: RunningOperator) -> RunningOperator:
    """The second operator of the same sandbox, without a quota."""
    bench = RunningOperator("tmf640", mts.url, PARTNER)
    bench.limits(per_second=None, delay_seconds=None)
    bench.put(state="active")
    return bench


def _page(bench: RunningOperator) -> str:
    with urllib.request.urlopen(f"{bench.url}/", timeout=5) as answer:  # noqa: S310
        return str(answer.read().decode())


def _send(bench: RunningOperator, path: str, **form: str) -> str:
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

    assert mts.state()["state"] == "inactive"
    assert mts.state()["msisdn"] == SIM.msisdn


def test_card_is_added_from_the_page(mts):
    new = {"iccid": STRANGER.iccid, "msisdn": STRANGER.msisdn, "state": "new"}

    page = _send(mts, "/panel/state", operator="mts", **new)

    assert STRANGER.iccid in page
    assert mts.state(STRANGER)["state"] == "new"


def test_fault_is_switched_on_and_off_from_the_page(mts):
    fault = {"operator": "mts", "call": "submit", "kind": "http_500", "times": "", "seconds": ""}

    broken = _send(mts, "/panel/faults", **fault)
    mended = _send(mts, "/panel/faults/clear")

    assert "mts, переключение: ошибка 500 (пока не починят)" in broken
    assert "Всё исправно." in mended


def test_every_fault_can_be_chosen_and_is_named(mts):
    for kind in FaultKind:
        mts.fault("submit", kind)

    page = _page(mts)

    assert [kind for kind in FaultKind if f'<option value="{kind}">' not in page] == []
    assert page.count("<li>mts, переключение: ") == len(FaultKind)


def test_fault_of_one_card_names_it(mts):
    page = _send(mts, "/panel/faults", operator="mts", kind="no_service", iccid=SIM.iccid)

    text = f"mts, любое обращение о смарт-карте {SIM.iccid}: номер не обслуживается"
    assert f"<li>{text} (пока не починят)</li>" in page


def test_page_escapes_values(mts):
    mts.put(msisdn="<script>")

    page = _page(mts)

    assert "&lt;script&gt;" in page
    assert "<script>" not in page
