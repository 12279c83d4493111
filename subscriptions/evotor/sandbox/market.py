"""The played market as a whole: its book under one lock, its outbox, the passing of time."""

import re
import threading
from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime
from typing import Any
from uuid import uuid4

from subscriptions.evotor.sandbox import messages
from subscriptions.evotor.sandbox.actions import ACTIONS, Order, Seat
from subscriptions.evotor.sandbox.billing import live_through
from subscriptions.evotor.sandbox.book import (
    Account,
    Billing,
    NotPossible,
    account_dump,
    account_load,
)
from subscriptions.evotor.sandbox.messages import Message
from subscriptions.evotor.sandbox.outbox import Outbox, Parcel, Post
from subscriptions.evotor.sandbox.wire import Answer, post

USER_ID = re.compile(r"[0-9]{2}-[0-9]{15}")
FIRST_NEW = 201
EVENTS_KEPT = 1000


class Market:
    """Thread-safe. Nothing is sent while the lock is held."""

    def __init__(self, *, post: Post = post) -> None:
        self._lock = threading.RLock()
        self._accounts: dict[str, Account] = {}
        self._events: list[dict[str, Any]] = []
        self.outbox = Outbox(post, self._delivered)

    # --- reading ----------------------------------------------------------------------------------

    def accounts(self) -> list[Account]:
        """Copies of all merchants, by user id."""
        with self._lock:
            return deepcopy(sorted(self._accounts.values(), key=lambda one: one.user_id))

    def account(self, user_id: str) -> Account | None:
        """A copy of one merchant."""
        with self._lock:
            return deepcopy(self._accounts.get(user_id))

    def by_cloud_token(self, token: str) -> Account | None:
        """Whose key to the cloud it is."""
        return next((one for one in self.accounts() if one.cloud_token == token), None)

    def events(self) -> list[dict[str, Any]]:
        """Billing events that happened, the oldest first; at most the last thousand."""
        with self._lock:
            return list(self._events)

    # --- what people and scripts do ---------------------------------------------------------------

    def new_account(self, name: str) -> Account:
        """A merchant who has nothing of ours yet."""
        with self._lock:
            number = FIRST_NEW
            while _user_id(number) in self._accounts:
                number += 1
            return deepcopy(self._open(_user_id(number), name))

    def take(self, account: Account) -> None:
        """Put a merchant into the book as given."""
        with self._lock:
            self._accounts[account.user_id] = account

    def act(
        self, action: str, *, user_id: str, product_id: str, order: Order, now: datetime
    ) -> list[Parcel]:
        """Do it and send its hooks. A merchant that is not in the book yet is taken into it.

        What fell due before happens first. Raises NotPossible where the market would refuse.
        """
        with self._lock:
            known = user_id in self._accounts
            account = self._open(user_id, "")
            seat = Seat(account, product_id)
            told = self._told(live_through(seat, order.at))
            told += self._done(action, seat, order)
            if not known and action != "install":
                told.insert(0, messages.user_create(user_id))
        return self.outbox.send(told, now)

    def _done(self, action: str, seat: Seat, order: Order) -> list[Message]:
        before = deepcopy(seat.account)
        try:
            return self._told(ACTIONS[action](seat, order))
        except NotPossible:
            self._accounts[before.user_id] = before
            raise

    def set_billing(self, user_id: str, billing: Billing) -> None:
        """What happens when the next payment is due."""
        with self._lock:
            if user_id in self._accounts:
                self._accounts[user_id].billing = billing

    # --- time -------------------------------------------------------------------------------------

    def live_through(self, now: datetime) -> None:
        """Whatever fell due, and the repeats of what was not answered."""
        with self._lock:
            told = [
                message
                for account in self._accounts.values()
                for product_id in list(account.holdings)
                for message in live_through(Seat(account, product_id), now)
            ]
            self._told(told)
        self.outbox.send(told, now)
        self.outbox.repeat(now)

    def introduce(self, user_id: str, now: datetime) -> None:
        """Learn the product's token of a merchant that began elsewhere, and give it the cloud's key."""
        account = self.account(user_id)
        if account is None or account.token or not account.holdings:
            return
        if self.outbox.waiting(user_id):
            return
        key = messages.user_token(user_id, account.cloud_token)
        self.outbox.send([messages.user_create(user_id), key], now)

    # --- state ------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """JSON-able."""
        with self._lock:
            accounts = [account_dump(one) for one in self._accounts.values()]
            return {"accounts": accounts, "events": self._events, "outbox": self.outbox.dump()}

    def load(self, data: Mapping[str, Any]) -> None:
        """Takes back what `dump` gave."""
        accounts = [account_load(row) for row in data["accounts"]]
        with self._lock:
            self._accounts = {one.user_id: one for one in accounts}
            self._events = list(data["events"])
        self.outbox.load(data["outbox"])

    # --- inside -----------------------------------------------------------------------------------

    def _open(self, user_id: str, name: str) -> Account:
        shown = name or f"Предприниматель {int(user_id[3:])}"
        return self._accounts.setdefault(
            user_id, Account(user_id=user_id, name=shown, cloud_token=str(uuid4()))
        )

    def _told(self, told: list[Message]) -> list[Message]:
        happened = [dict(one.body) for one in told if one.path == messages.SUBSCRIPTION]
        self._events = [*self._events, *happened][-EVENTS_KEPT:]
        return told

    def _delivered(self, message: Message, answer: Answer) -> None:
        if message.path != messages.USER_CREATE or not isinstance(answer.body, dict):
            return
        with self._lock:
            account = self._accounts.get(message.user_id)
            if account is not None:
                account.token = str(answer.body.get("token", ""))


def _user_id(number: int) -> str:
    return f"01-{number:015}"
