"""Demo data of the operators: two contracts with the played ones."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from cabinet import audit
from cabinet.actors import SYSTEM
from operators.demo_sims import MTS, PARTNER
from operators.models import OperatorAccount


@dataclass(frozen=True)
class DemoContract:
    """One contract: its keys are the known words of the sandbox."""

    code: str
    title: str
    credentials: dict[str, str]
    per_second: int
    per_minute: int | None


CONTRACTS = (
    DemoContract(MTS, "МТС", {"key": "demo-key", "secret": "demo-secret"}, 3, 60),
    DemoContract(PARTNER, "Партнёр-Телеком", {"token": "demo-partner-token"}, 10, None),
)

# The played operators answer within seconds, so a person who tries the product need not wait.
_QUICK: dict[str, Any] = {
    "concurrency": 3,
    "timeout_seconds": 10,
    "lease_seconds": 30,
    "quiet_seconds": 5,
    "deadline_seconds": 300,
    "poll_plan": [1, 1, 2, 3, 5, 10, 30, 60],
    "usual_seconds": 10,
    "worst_seconds": 300,
}


def seed(at: datetime) -> list[str]:
    """The two contracts, where they are missing; running it again changes nothing."""
    for contract in CONTRACTS:
        _ensure(contract, at)
    return []


def _ensure(contract: DemoContract, at: datetime) -> None:
    account, made = OperatorAccount.objects.get_or_create(
        code=contract.code,
        defaults={
            "title": contract.title,
            "adapter": contract.code,
            "base_url": f"{settings.SANDBOX_URL}/operators/{contract.code}",
            "credentials": contract.credentials,
            "per_second": contract.per_second,
            "per_minute": contract.per_minute,
            **_QUICK,
        },
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
