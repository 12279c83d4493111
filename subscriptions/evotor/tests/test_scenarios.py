"""The documented sequences and samples: they fit the schemas, are read, and end as they should."""

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from subscriptions.evotor.fold import fold
from subscriptions.evotor.schemas import (
    Unknown,
    parse_devices,
    parse_installation_event,
    parse_stores,
    parse_subscription_event,
    parse_user_create,
    parse_user_token,
    parse_user_verify,
    read_json,
)
from subscriptions.rules import MarketStatus

DATA = Path(__file__).parent / "data"
SCENARIOS = json.loads((DATA / "scenarios/lifecycle.json").read_text())["scenarios"]
HOOKS: dict[str, tuple[Callable[[object], Any], str]] = {
    "user/create": (parse_user_create, "user-create.request"),
    "user/verify": (parse_user_verify, "user-verify.request"),
    "user/token": (parse_user_token, "user-token.request"),
    "subscription/event": (parse_subscription_event, "subscription-event"),
    "installation/event": (parse_installation_event, "installation-event"),
}


def hook_of(name):
    """Which hook a sample's file is named after."""
    if name.startswith("application_"):
        return "installation/event"
    if name.startswith("user_"):
        return "/".join(name.split("_")[:2])
    return "subscription/event"


HOOK_SAMPLES = sorted(
    path.stem
    for path in (DATA / "samples/webhooks").glob("*.json")
    if not path.stem.startswith(("inventories_", "observed_"))
)


def validate(body, schema):
    jsonschema.validate(body, json.loads((DATA / "schemas" / f"{schema}.schema.json").read_text()))


def load(folder, name):
    return (DATA / "samples" / folder / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", HOOK_SAMPLES)
def test_every_sample_of_a_hook_is_read(name):
    parse, schema = HOOKS[hook_of(name)]
    raw = load("webhooks", name)

    validate(json.loads(raw), schema)
    parsed = parse(read_json(raw))

    assert not isinstance(parsed, Unknown)
    assert parsed.user_id == "01-000000000000001"


@pytest.mark.parametrize(
    ("folder", "name", "parse", "rows"),
    [
        ("webhooks", "inventories_devices_v1", parse_devices, 1),
        ("webhooks", "inventories_devices_v2", parse_devices, 1),
        ("webhooks", "inventories_stores_v1", parse_stores, 1),
        ("cloud-v2", "devices", parse_devices, 2),
        ("cloud-v2", "stores", parse_stores, 1),
    ],
)
def test_every_sample_of_a_list_is_read(folder, name, parse, rows):
    assert len(parse(read_json(load(folder, name)))) == rows


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("user_create_200", "user-create.response"),
        ("user_verify_200", "user-verify.response"),
    ],
)
def test_samples_of_answers_fit_their_schemas(name, schema):
    validate(json.loads(load("responses", name)), schema)


def test_samples_of_errors_fit_their_schema():
    for answer in json.loads(load("responses", "errors")):
        if answer["body"]:
            validate(answer["body"], "errors")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[entry["id"] for entry in SCENARIOS])
def test_every_step_of_a_scenario_fits_its_schema(scenario):
    for step in scenario["steps"]:
        parse, schema = HOOKS[step["hook"]]
        validate(step["body"], schema)
        assert not isinstance(parse(step["body"]), Unknown)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[entry["id"] for entry in SCENARIOS])
def test_a_scenario_reaches_the_expected_state_at_every_step(scenario):
    stored = defaultdict(list)
    for step in scenario["steps"]:
        if step["hook"] != "subscription/event":
            continue
        event = parse_subscription_event(step["body"])
        stored[event.subscription_id].append(event)

        state = fold(stored[event.subscription_id])

        assert state.status is MarketStatus(step["expect_state"].lower())
        assert state.missing == ()
        assert state.held == ()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[entry["id"] for entry in SCENARIOS])
def test_a_scenario_delivered_backwards_reaches_the_same_end(scenario):
    stored = defaultdict(list)
    for step in scenario["steps"]:
        if step["hook"] == "subscription/event":
            event = parse_subscription_event(step["body"])
            stored[event.subscription_id].append(event)

    for events in stored.values():
        assert fold(reversed(events)) == fold(events)
