"""`docs/reference/` names what the code has: environment variables, addresses, calls of the sandbox."""

import ast
import configparser
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.module_loading import import_string
from werkzeug.routing import Rule

ROOT = Path(settings.BASE_DIR)
# Functions of `cabinet.env` and of the launcher that read a variable by its name.
_READERS = {"env_choices", "env_str", "env_bool", "env_int", "env_list", "env_networks", "secret"}
_VARIABLE = re.compile("[A-Z][A-Z0-9_]+")
_ADDRESS = re.compile("/.*")
_CALL = re.compile("(GET|POST|PUT|PATCH|DELETE) /.*")


def documented(page: str, form: re.Pattern[str]) -> set[str]:
    """What stands in backticks in the first column of the tables of a page and has this form."""
    text = (ROOT / "docs" / "reference" / page).read_text(encoding="utf-8")
    cells = (line.split("|")[1] for line in text.splitlines() if line.startswith("|"))
    return {
        name for cell in cells for name in re.findall("`([^`]+)`", cell) if form.fullmatch(name)
    }


def normal(path: str) -> str:
    """A route of Django, of Werkzeug, or a pattern, without names and types of its variables."""
    path = path.replace("^(?:api/v[0-9]+/)?", "")
    path = re.sub(r"\(\?P<\w+>(?:[^()\\]|\\.)*\)|<[^>]*>|\.\*", "<>", path)
    path = path.replace("^", "").removesuffix("$").removesuffix("/?").rstrip("/")
    return path.replace("//", "/")


# --- environment ----------------------------------------------------------------------------------


def variables() -> set[str]:
    files = [ROOT / "cabinet" / "settings.py", *(ROOT / "cabinet" / "launcher").glob("*.py")]
    return {name for file in files for name in _read_in(ast.parse(file.read_text("utf-8")))}


def _read_in(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func)
            if called.split(".")[-1] in _READERS or called.endswith("environ.get"):
                yield str(node.args[0].value)


def test_environment_page_names_every_variable_that_is_read():
    assert documented("environment.md", _VARIABLE) == variables()


# --- addresses ------------------------------------------------------------------------------------


def routes(resolver: URLResolver, before: str = "/") -> Iterator[str]:
    """Every route below, the admin's aside."""
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLPattern):
            yield normal(before + str(pattern.pattern))
        elif pattern.app_name != "admin":
            yield from routes(pattern, before + str(pattern.pattern))


def test_addresses_page_names_every_route():
    named = {normal(path) for path in documented("addresses.md", _ADDRESS)}

    assert sorted(named) == sorted(set(routes(get_resolver())))


# --- sandbox --------------------------------------------------------------------------------------


def calls(rules: Iterable[Rule]) -> set[str]:
    """«GET /state/<>» for each rule and method."""
    return {
        f"{method} {normal(rule.rule)}"
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def test_sandbox_page_names_every_call_besides_the_operators_own():
    parts = [import_string(path)() for path in settings.SANDBOX_PARTS]
    rules = [rule for part in parts for rule in part.routes()]
    named = {
        f"{method} {normal(path)}"
        for method, _, path in (one.partition(" ") for one in documented("sandbox.md", _CALL))
    }

    own = {call for call in calls(rules) if " /operators/" not in call}
    assert sorted(named - {"GET "}) == sorted(own)


# --- layers ---------------------------------------------------------------------------------------


def layers_of(app: str) -> list[set[str]]:
    """The layers of `.importlinter`, from the top."""
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter", encoding="utf-8")
    rows = contracts[f"importlinter:contract:{app}"]["layers"].split("\n")
    return [set(re.findall(r"\w+", row)) for row in rows if row]


def described_layers(app: str) -> list[set[str]]:
    """The row of the app in CONTRIBUTING's table of apps, from the top."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| `{app}` \| (.*) \|$", text, re.MULTILINE)
    return [set(re.findall(r"`(\w+)`", step)) for step in row.split("→")]


@pytest.mark.parametrize("app", ["cabinet", "operators", "smartcards", "subscriptions"])
def test_contributing_lists_the_layers_in_the_order_of_importlinter(app):
    depth = {name: number for number, row in enumerate(layers_of(app)) for name in row}
    described = described_layers(app)

    assert set().union(*described) <= depth.keys()
    upper = [max(depth[name] for name in step) for step in described[:-1]]
    lower = [min(depth[name] for name in step) for step in described[1:]]
    out_of_order = [
        (described[number], described[number + 1])
        for number, (above, below) in enumerate(zip(upper, lower, strict=True))
        if above >= below
    ]
    assert out_of_order == []


def test_map_in_readme_names_every_package():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"^ *(\w+)/ ", text.split("## Map")[1], re.MULTILINE))
    packages = {
        file.parent.name
        for app in ("cabinet", "operators", "smartcards", "subscriptions")
        for file in (ROOT / app).glob("*/__init__.py")
    }

    assert packages - drawn - _EVERYWHERE == set()


# Folders with the name of a layer, and those that Django and pytest look for.
_EVERYWHERE = {"admin", "forms", "management", "migrations", "templatetags", "tests", "views"}


# --- security -------------------------------------------------------------------------------------

_TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")


def test_security_page_names_tests_that_exist():
    page = (ROOT / "docs" / "reference" / "security.md").read_text(encoding="utf-8")
    named = _TEST.findall(page)

    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / file).is_file() or f"def {test}(" not in (ROOT / file).read_text("utf-8")
    ]

    assert len(named) > 40
    assert missing == []
