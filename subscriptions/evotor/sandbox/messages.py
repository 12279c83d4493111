"""The bodies of the documented hooks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

USER_CREATE = "/api/v1/user/create"
USER_TOKEN = "/api/v1/user/token"  # noqa: S105 an address
SUBSCRIPTION = "/api/v1/subscription/event"
INSTALLATION = "/api/v2/installation/event"


@dataclass(frozen=True)
class Message:
    """One hook to be sent to the product; all of these are POSTs."""

    user_id: str
    path: str
    body: Mapping[str, Any]


def user_create(user_id: str) -> Message:
    """The merchant registers with the product, which answers with its token."""
    return Message(user_id, USER_CREATE, {"userId": user_id})


def user_token(user_id: str, token: str) -> Message:
    """The key for the product's calls to the cloud."""
    return Message(user_id, USER_TOKEN, {"userId": user_id, "token": token})


def installation(user_id: str, product_id: str, kind: str, at: datetime) -> Message:
    """ApplicationInstalled or ApplicationUninstalled."""
    body = {
        "id": str(uuid4()),
        "timestamp": int(at.timestamp() * 1000),
        "version": 2,
        "type": kind,
        "data": {"productId": product_id, "userId": user_id},
    }
    return Message(user_id, INSTALLATION, body)


def roubles(kopecks: int) -> dict[str, Any]:
    """`chargedSum`: a number with at most two decimals."""
    whole, rest = divmod(kopecks, 100)
    return {"amount": whole if not rest else kopecks / 100, "currency": "RUB"}


def stamp(at: datetime) -> str:
    """An instant the way the market writes it: `2017-04-20T18:26:37.753+0000`."""
    utc = at.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03}+0000"
