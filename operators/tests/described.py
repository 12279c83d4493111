"""What the tests of described operators share: a bench whose adapter works by a profile."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from operators import registry
from operators.ports import Operator
from operators.tests.bench import Bench, MemoryTokens

# The least that a profile can be.
SMALL: dict[str, Any] = {
    "title": "Малый",
    "calls": {
        "activate": {
            "method": "POST",
            "path": "/sims/{iccid}/on",
            "success": {"200": "state"},
            "answer": {"iccid": "iccid", "state": "state"},
        },
        "deactivate": {
            "method": "POST",
            "path": "/sims/{iccid}/off",
            "success": {"200": "state"},
            "answer": {"iccid": "iccid", "state": "state"},
        },
    },
    "states": {"words": {"on": "active", "off": "inactive"}},
}
EXAMPLES = Path(__file__).parents[1] / "declared" / "examples"


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def described(
    profile: Mapping[str, Any],
    base_url: str,
    credentials: Mapping[str, str],
    *,
    account: str = "test-declared",
    timeout: float = 5,
    tokens: Any = None,
) -> Operator:
    return registry.make(
        account=account,
        adapter="declared",
        base_url=base_url,
        credentials=credentials,
        tokens=tokens or MemoryTokens(),
        timeout_seconds=timeout,
        profile=profile,
    )


@dataclass(frozen=True)
class DescribedBench(Bench):
    """The same played operator, spoken to by a profile."""

    profile: Mapping[str, Any] = field(default_factory=dict)

    def operator(self, *, timeout: float = 5, tokens: Any = None, **credentials: str) -> Operator:
        return described(
            self.profile,
            f"{self.url}/operators/{self.code}",
            dict(self.credentials) | credentials,
            account=f"test-{self.code}",
            timeout=timeout,
            tokens=tokens,
        )
