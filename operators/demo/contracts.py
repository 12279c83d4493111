"""A contract with each of the simulated operators."""

from datetime import datetime
from typing import Any

from django.conf import settings

from cabinet import audit
from cabinet.actors import SYSTEM
from operators.demo.sims import BEELINE, CONTROL_CENTER, MTS, PARTNER
from operators.models import OperatorAccount

# The contracts: title, keys and quota that each operator of the sandbox accepts.
CONTRACTS: dict[str, dict[str, Any]] = {
    MTS: {
        "title": "МТС",
        "credentials": {"key": "demo-key", "secret": "demo-secret"},
        "per_second": 3,
        "per_minute": 60,
        "concurrency": 3,
    },
    BEELINE: {
        "title": "Билайн",
        "credentials": {"login": "demo-login", "password": "demo-password", "ban": "100000001"},
        "per_second": 2,
        "concurrency": 2,
    },
    PARTNER: {
        "title": "Партнёр-Телеком",
        "credentials": {"token": "demo-partner-token"},
        "per_second": 10,
        "concurrency": 3,
        "callback_secret": "demo-callback-secret",
    },
    CONTROL_CENTER: {
        "title": "Билайн M2M",
        "credentials": {"username": "demo-user", "api_key": "demo-api-key"},
        "per_second": 5,
        "concurrency": 1,
    },
}

# The played operators answer within seconds, so a person who tries the product need not wait.
_QUICK: dict[str, Any] = {
    "timeout_seconds": 10,
    "lease_seconds": 30,
    "quiet_seconds": 5,
    "deadline_seconds": 300,
    "poll_plan": [1, 1, 2, 3, 5, 10, 30, 60],
    "usual_seconds": 10,
    "worst_seconds": 300,
}


def seed(at: datetime) -> list[str]:
    """The contracts, where they are missing; running it again changes nothing."""
    for code, contract in CONTRACTS.items():
        _ensure(code, contract, at)
    return []


def _ensure(code: str, contract: dict[str, Any], at: datetime) -> None:
    address = f"{settings.SANDBOX_URL}/operators/{code}"
    account, made = OperatorAccount.objects.get_or_create(
        code=code, defaults={"adapter": code, "base_url": address, **contract, **_QUICK}
    )
    if made:
        audit.record(
            target=account,
            action="account.added",
            text=f"Добавлен договор с оператором «{account.title}»",
            by=SYSTEM,
            at=at,
            merchant_id=None,
        )
