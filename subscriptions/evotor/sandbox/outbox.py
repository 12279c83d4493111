"""Hooks on their way to the product: each is repeated by itself until 200, for three days."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from subscriptions.evotor.sandbox.messages import USER_CREATE, Message
from subscriptions.evotor.sandbox.wire import Answer

# The market repeats about once a minute; a person at the sandbox does not wait that long.
PAUSE = 2.0
GIVES_UP = timedelta(days=3)

Post = Callable[[Message], Answer]


NO_ANSWER = Answer()


@dataclass
class Parcel:
    """A hook and how its delivery goes. `queued_at` is the shifted time, `next_try` a monotonic one."""

    message: Message
    queued_at: datetime
    answer: Answer = NO_ANSWER
    attempts: int = 0
    next_try: float = 0.0
    busy: bool = False

    def shown(self) -> dict[str, Any]:
        """For the answer to a script."""
        return {
            "hook": self.message.path,
            "body": dict(self.message.body),
            "status": self.answer.status,
            "answer": self.answer.body,
        }


class Outbox:
    """What is not delivered yet. Other hooks of a merchant wait until user/create was answered."""

    def __init__(self, post: Post, delivered: Callable[[Message, Answer], None]) -> None:
        """`delivered` is called, outside every lock, for each hook that got its 200."""
        self._post = post
        self._delivered = delivered
        self._lock = threading.Lock()
        self._waiting: list[Parcel] = []

    def send(self, messages: Iterable[Message], at: datetime) -> list[Parcel]:
        """Try each once, in order; those without a 200 are repeated in the background."""
        parcels = [Parcel(message, at, busy=True) for message in messages]
        with self._lock:
            self._waiting += parcels
        for parcel in parcels:
            self._try(parcel)
        return parcels

    def repeat(self, now: datetime) -> None:
        """Send again what is due, and forget what is older than three days."""
        with self._lock:
            self._waiting = [one for one in self._waiting if one.busy or _hopeful(one, now)]
            due = [
                one for one in self._waiting if not one.busy and one.next_try <= time.monotonic()
            ]
            for parcel in due:
                parcel.busy = True
        for parcel in due:
            self._try(parcel)

    def waiting(self, user_id: str | None = None) -> list[Parcel]:
        """What is not delivered yet, the oldest first; of one merchant, or of all."""
        with self._lock:
            return [one for one in self._waiting if user_id in (None, one.message.user_id)]

    def _try(self, parcel: Parcel) -> None:
        if not self._blocked(parcel):
            parcel.answer = self._post(parcel.message)
            parcel.attempts += 1
        if parcel.answer.good:
            self._delivered(parcel.message, parcel.answer)
        with self._lock:
            parcel.busy, parcel.next_try = False, time.monotonic() + PAUSE
            if parcel.answer.good:
                self._waiting.remove(parcel)

    def _blocked(self, parcel: Parcel) -> bool:
        if parcel.message.path == USER_CREATE:
            return False
        with self._lock:
            return any(
                one.message.path == USER_CREATE and one.message.user_id == parcel.message.user_id
                for one in self._waiting
            )

    def dump(self) -> list[dict[str, Any]]:
        """JSON-able; answers are forgotten."""
        return [
            {
                "user_id": one.message.user_id,
                "path": one.message.path,
                "body": dict(one.message.body),
                "queued_at": one.queued_at.isoformat(),
            }
            for one in self.waiting()
        ]

    def load(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Takes back what `dump` gave."""
        parcels = [
            Parcel(
                Message(row["user_id"], row["path"], row["body"]),
                datetime.fromisoformat(row["queued_at"]),
            )
            for row in rows
        ]
        with self._lock:
            self._waiting = parcels


def _hopeful(parcel: Parcel, now: datetime) -> bool:
    return now - parcel.queued_at <= GIVES_UP
