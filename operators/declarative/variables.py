"""The variables of templates, `{iccid}`, by call; and their values."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from operators.declarative.schema import Description
from operators.ports import Sim

CARD = frozenset({"iccid", "iccid_bare", "msisdn"})
TIMES = frozenset({"now", "now_unix"})
# Of each call, by its field in `calls`; the account's fields that are no secrets always beside them, and what
# `find` takes wherever a card is named.
VARIABLES: Mapping[str, frozenset[str]] = {
    "activate": CARD | TIMES | {"key"},
    "deactivate": CARD | TIMES | {"key"},
    "find": CARD | TIMES,
    "check": CARD | TIMES | {"request_id"},
    "read": CARD | TIMES,
    "list_changes": TIMES | {"since", "since_unix", "cursor"},
    "ping": TIMES,
}
ALL_VARIABLES = frozenset[str]().union(*VARIABLES.values())


def card_values(sim: Sim) -> dict[str, str]:
    """`iccid_bare` is the ICCID without its check digit, `msisdn` has digits only."""
    return {
        "iccid": sim.iccid,
        "iccid_bare": sim.iccid[:-1],
        "msisdn": re.sub("[^0-9]", "", sim.msisdn),
    }


def account_values(description: Description, credentials: Mapping[str, str]) -> dict[str, str]:
    """The account's fields that are no secrets."""
    return {
        field.name: credentials.get(field.name, "")
        for field in description.fields
        if not field.secret
    }


def time_values(name: str, moment: datetime) -> dict[str, str | int]:
    """A moment under a name: ISO 8601 in UTC with Z and whole seconds, and with `_unix` in seconds."""
    return {
        name: f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        f"{name}_unix": int(moment.timestamp()),
    }
