"""Demo data of the operators: a contract with each of the played ones."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from cabinet import audit
from cabinet.actors import SYSTEM
from operators.demo_sims import BEELINE, CONTROL_CENTER, MTS, PARTNER
from operators.models import OperatorAccount


@dataclass(frozen=True)
class DemoContract:
    """One contract: its keys are the known words of the sandbox, its quota is one that the player lets in."""

    code: str
    title: str
    credentials: dict[str, str]
    per_second: int
    per_minute: int | None = None
    concurrency: int = 3
    signs_with: str = ""


CONTRACTS = (
    DemoContract(MTS, "МТС", {"key": "demo-key", "secret": "demo-secret"}, 3, 60),
    DemoContract(
        BEELINE,
        "Билайн",
        {"login": "demo-login", "password": "demo-password", "ban": "100000001"},
        per_second=2,
        concurrency=2,
    ),
    DemoContract(
        PARTNER,
        "Партнёр-Телеком",
        {"token": "demo-partner-token"},
        per_second=10,
        signs_with="demo-callback-secret",
    ),
    DemoContract(
        CONTROL_CENTER,
        "Control Center",
        {"username": "demo-user", "api_key": "demo-api-key"},
        per_second=5,
        concurrency=1,
    ),
)

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
            "concurrency": contract.concurrency,
            "callback_secret": contract.signs_with,
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
