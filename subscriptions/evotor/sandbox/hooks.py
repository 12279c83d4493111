"""The bodies of the documented hooks."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from django.conf import settings

from cabinet.sandbox import outgoing

USER_CREATE = "/api/v1/user/create"
USER_TOKEN = "/api/v1/user/token"  # noqa: S105 an address
SUBSCRIPTION = "/api/v1/subscription/event"
INSTALLATION = "/api/v2/installation/event"


@dataclass(frozen=True)
class Hook:
    """One hook to be sent to the product; all of these are POSTs."""

    user_id: str
    path: str
    body: Mapping[str, Any]


def user_create(user_id: str) -> Hook:
    """The merchant registers with the product, which answers with its token."""
    return Hook(user_id, USER_CREATE, {"userId": user_id})


def user_token(user_id: str, token: str) -> Hook:
    """The key for the product's calls to the cloud."""
    return Hook(user_id, USER_TOKEN, {"userId": user_id, "token": token})


def installation(user_id: str, product_id: str, kind: str, at: datetime) -> Hook:
    """ApplicationInstalled or ApplicationUninstalled."""
    body = {
        "id": str(uuid4()),
        "timestamp": int(at.timestamp() * 1000),
        "version": 2,
        "type": kind,
        "data": {"productId": product_id, "userId": user_id},
    }
    return Hook(user_id, INSTALLATION, body)


def roubles(kopecks: int) -> dict[str, Any]:
    """`chargedSum`: a number with at most two decimals."""
    whole, rest = divmod(kopecks, 100)
    return {"amount": whole if not rest else kopecks / 100, "currency": "RUB"}


def stamp(at: datetime) -> str:
    """An instant the way the market writes it: `2017-04-20T18:26:37.753+0000`."""
    utc = at.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03}+0000"


TIMEOUT = 10.0  # seconds, like the market (documentation-api, 2017)
# The market repeats about once a minute; a person at the sandbox does not wait that long.
PAUSE = 2.0
GIVES_UP = timedelta(days=3)


@dataclass(frozen=True)
class Answer:
    """The product's answer; without a status nothing came back."""

    status: int | None = None
    body: Any = None

    @property
    def good(self) -> bool:
        """Only 200 means delivered."""
        return self.status == 200


Post = Callable[[Hook], Answer]


def post(hook: Hook) -> Answer:
    """Sends one hook to settings.PUBLIC_URL; an empty answer where nothing came back."""
    token = {"Authorization": f"Bearer {settings.EVOTOR_APP_TOKENS[0]}"}
    content = {"Content-Type": "application/json;charset=UTF-8"}
    reply = outgoing.post(
        settings.PUBLIC_URL + hook.path,
        json.dumps(hook.body).encode(),
        token | content,
        seconds=TIMEOUT,
    )
    if reply is None:
        return Answer()
    try:
        return Answer(reply.status_code, reply.json())
    except ValueError:
        return Answer(reply.status_code, reply.content.decode("utf-8", "replace")[:500])


@dataclass
class Delivery:
    """A hook and how its delivery goes. `queued_at` is the shifted time, `next_try` a monotonic one."""

    hook: Hook
    queued_at: datetime
    answer: Answer = Answer()
    next_try: float = 0.0
    busy: bool = False

    def as_json(self) -> dict[str, Any]:
        """For the answer to a script."""
        return {
            "hook": self.hook.path,
            "body": dict(self.hook.body),
            "status": self.answer.status,
            "answer": self.answer.body,
        }


class Outbox:
    """What is not delivered yet. Other hooks of a merchant wait until user/create was answered."""

    def __init__(self, post: Post, delivered: Callable[[Hook, Answer], None]) -> None:
        """`delivered` is called, outside every lock, for each hook that got its 200."""
        self._post = post
        self._delivered = delivered
        self._lock = threading.Lock()
        self._waiting: list[Delivery] = []

    def send(self, hooks: Iterable[Hook], at: datetime) -> list[Delivery]:
        """Try each once, in order; those without a 200 are repeated in the background."""
        deliveries = [Delivery(hook, at, busy=True) for hook in hooks]
        with self._lock:
            self._waiting += deliveries
        for delivery in deliveries:
            self._try(delivery)
        return deliveries

    def repeat(self, now: datetime) -> None:
        """Send again what is due, and forget what is older than three days."""
        with self._lock:
            self._waiting = [
                one for one in self._waiting if one.busy or now - one.queued_at <= GIVES_UP
            ]
            due = [
                one for one in self._waiting if not one.busy and one.next_try <= time.monotonic()
            ]
            for delivery in due:
                delivery.busy = True
        for delivery in due:
            self._try(delivery)

    def waiting(self, user_id: str | None = None) -> list[Delivery]:
        """What is not delivered yet, the oldest first; of one merchant, or of all."""
        with self._lock:
            return [one for one in self._waiting if user_id in (None, one.hook.user_id)]

    def _try(self, delivery: Delivery) -> None:
        if not self._must_wait(delivery.hook):
            delivery.answer = self._post(delivery.hook)
        if delivery.answer.good:
            self._delivered(delivery.hook, delivery.answer)
        with self._lock:
            delivery.busy, delivery.next_try = False, time.monotonic() + PAUSE
            if delivery.answer.good:
                self._waiting.remove(delivery)

    def _must_wait(self, hook: Hook) -> bool:
        if hook.path == USER_CREATE:
            return False
        return any(one.hook.path == USER_CREATE for one in self.waiting(hook.user_id))

    def dump(self) -> Any:
        """JSON-able; answers are forgotten."""
        return [
            {**asdict(one.hook), "queued_at": one.queued_at.isoformat()} for one in self.waiting()
        ]

    def load(self, data: Any) -> None:
        """Takes back what `dump` gave."""
        with self._lock:
            self._waiting = [
                Delivery(
                    Hook(row["user_id"], row["path"], row["body"]),
                    datetime.fromisoformat(row["queued_at"]),
                )
                for row in data
            ]
