"""The table of the contract's cases at the end of a run."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from operators.tests.contract_table import Contract

ROOT = Path(__file__).resolve().parents[2]
SUITE = """
    import pytest
    from operators.tests.contract_table import Contract

    class Suite(Contract):
        @pytest.mark.parametrize("number", [1, 2])
        def test_card_s_switch_is_made(self, number):
            assert number != self.bad

        def test_login_is_renewed(self):
            pass

        @pytest.fixture
        def broken(self):
            raise ValueError

        def test_state_is_read(self, broken):
            pass

    class TestGood(Suite):
        column, bad = "good", 0

        @pytest.fixture
        def broken(self):
            pass

        def test_of_its_own(self):
            pass

    class TestBad(Suite):
        column, bad = "bad one", 2
        does_not_apply = {"test_login_is_renewed": "there is no login"}
    """


def run(folder: Path, suite: str, *options: str) -> str:
    """What a run of its own prints."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_suite.py").write_text(dedent(suite))
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "operators.tests.contract_table", "-p", "no:randomly",
         "-p", "no:django", "-p", "no:cacheprovider", "--no-cov", "-q", *options, "."],
        cwd=folder, env=plain | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.stdout


# Two columns of words, the failed one of two runs, a case that does not apply, one that never began.
TABLE = """
                       bad     good
                       one
card’s switch is made  FAILED  ok
login is renewed       –       ok
state is read          FAILED  ok
– bad one: there is no login (cases: 1)
"""


@pytest.mark.parametrize("options", [(), ("-n", "2")])
def test_table_is_the_same_in_one_process_and_in_several(tmp_path, options):
    assert TABLE in run(tmp_path, SUITE, *options)


def test_case_that_was_not_run_is_an_empty_cell(tmp_path):
    shown = run(tmp_path, SUITE, "-k", "TestGood and login or TestBad and switch")

    assert "\ncard’s switch is made  FAILED\nlogin is renewed       –       ok\n" in shown


def test_skipped_case_differs_from_inapplicable_case(tmp_path):
    skipping = SUITE.replace("assert number != self.bad", "pytest.skip('later')")

    assert "\ncard’s switch is made  skipped  skipped\n" in run(tmp_path, skipping)


def test_run_without_a_contract_has_no_table(tmp_path):
    shown = run(tmp_path, "def test_it(): pass")

    assert "1 passed" in shown
    assert "contract" not in shown


def test_reason_is_given_only_for_a_case_of_the_contract():
    class Suite(Contract):
        def test_it(self):
            """A case."""

    with pytest.raises(TypeError, match="Keeper: the contract has no case test_other"):
        type("Keeper", (Suite,), {"does_not_apply": {"test_other": "why"}})
