"""The generated page of states: drawn whole, and found stale when a table changes."""

import pytest
from django.core.management import CommandError, call_command
from django.db.models import TextChoices

from cabinet.management.commands import draw_states
from cabinet.management.commands.draw_states import Chart


class Lamp(TextChoices):
    OFF = "off", "погашена"
    ON = "on", "горит"
    BROKEN = "broken", "разбита"


LAMP = Chart(
    "A lamp",
    {
        Lamp.OFF: frozenset({Lamp.ON}),
        Lamp.ON: frozenset({Lamp.BROKEN, Lamp.OFF}),
        Lamp.BROKEN: frozenset(),
    },
)


@pytest.fixture
def page(tmp_path, settings):
    """The page, in a folder of the test."""
    settings.BASE_DIR = tmp_path
    return tmp_path / "docs" / "reference" / "states.md"


def test_chart_has_every_arrow_and_a_row_for_each_state():
    drawn = LAMP.drawn()

    assert drawn == (
        "## A lamp\n\n"
        "```mermaid\nstateDiagram-v2\n"
        "    [*] --> off\n"
        "    off --> on\n"
        "    on --> off\n"
        "    on --> broken\n"
        "    broken --> [*]\n"
        "```\n\n"
        "| state | on screen | may become |\n"
        "| --- | --- | --- |\n"
        "| `off` | погашена | `on` |\n"
        "| `on` | горит | `off`, `broken` |\n"
        "| `broken` | разбита | — |\n"
    )


def test_page_has_the_tables_and_the_rights():
    drawn = draw_states.page()

    titles = [line for line in drawn.splitlines() if line.startswith("#")]
    assert titles == [
        "# States and rights",
        "## A command to an operator",
        "## A file of smart cards for the stock",
        "## Work on many smart cards",
        "## A subscription",
        "## An order of smart cards",
        "## A message to a person",
        "## Who may do what within a merchant",
    ]
    assert "    queued --> sending\n" in drawn
    assert "| `stop` | yes | — | — | — |\n" in drawn


def test_check_refuses_missing_or_stale_page_without_writing(page):
    with pytest.raises(CommandError, match=r"is stale\. Run: python manage\.py draw_states"):
        call_command("draw_states", "--check")
    assert not page.exists()
    page.parent.mkdir(parents=True)
    page.write_text("# Old", encoding="utf-8")

    with pytest.raises(CommandError, match="is stale"):
        call_command("draw_states", "--check")

    assert page.read_text(encoding="utf-8") == "# Old"


def test_check_is_content_after_drawing(page, capsys):
    call_command("draw_states")

    call_command("draw_states", "--check")

    assert page.read_text(encoding="utf-8") == draw_states.page()
    assert capsys.readouterr().out == "docs/reference/states.md is written anew.\n"


def test_kept_page_is_up_to_date():
    call_command("draw_states", "--check")
