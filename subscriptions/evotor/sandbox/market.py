"""The market as a whole: its accounts under one lock, its outbox, the passing of time."""

import threading
from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime
from typing import Any
from uuid import uuid4

from pydantic import TypeAdapter

from subscriptions.evotor.sandbox import hooks
from subscriptions.evotor.sandbox.accounts import Account, Billing, NotPossible, number_of
from subscriptions.evotor.sandbox.actions import ACTIONS, AccountModule, ActionRequest, bill_until
from subscriptions.evotor.sandbox.hooks import Answer, Delivery, Hook, Outbox, Post, post

FIRST_NEW = 201
_ACCOUNTS = TypeAdapter(list[Account])


class Market:
    """Thread-safe. Nothing is sent while the lock is held."""

    def __init__(self, *, post: Post = post) -> None:
        self._lock = threading.RLock()
        self._accounts: dict[str, Account] = {}
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

    # --- what people and scripts do ---------------------------------------------------------------

    def new_account(self, name: str) -> Account:
        """A merchant who has nothing of ours yet."""
        with self._lock:
            number = FIRST_NEW
            while _user_id(number) in self._accounts:
                number += 1
            return deepcopy(self._get_or_add(_user_id(number), name))

    def add(self, account: Account) -> None:
        """A merchant as given, instead of one with the same user id."""
        with self._lock:
            self._accounts[account.user_id] = account

    def act(
        self, action: str, user_id: str, product_id: str, wanted: ActionRequest, now: datetime
    ) -> list[Delivery]:
        """Do it and send its hooks. A merchant that is not known yet is added.

        What fell due before happens first. Raises NotPossible where the market would refuse.
        """
        with self._lock:
            known = user_id in self._accounts
            target = AccountModule(self._get_or_add(user_id, ""), product_id)
            sent = bill_until(target, wanted.at)
            sent += self._done(action, target, wanted)
            if not known and action != "install":
                sent.insert(0, hooks.user_create(user_id))
        return self.outbox.send(sent, now)

    def _done(self, action: str, target: AccountModule, wanted: ActionRequest) -> list[Hook]:
        before = deepcopy(target.account)
        try:
            return ACTIONS[action](target, wanted)
        except NotPossible:
            self._accounts[before.user_id] = before
            raise

    def set_billing(self, user_id: str, billing: Billing) -> None:
        """What happens when the next payment is due."""
        with self._lock:
            if user_id in self._accounts:
                self._accounts[user_id].billing = billing

    # --- time -------------------------------------------------------------------------------------

    def advance(self, now: datetime) -> None:
        """Whatever fell due, and the repeats of what was not answered."""
        with self._lock:
            sent = [
                hook
                for account in self._accounts.values()
                for product_id in list(account.modules)
                for hook in bill_until(AccountModule(account, product_id), now)
            ]
        self.outbox.send(sent, now)
        self.outbox.repeat(now)

    def register(self, user_id: str, now: datetime) -> None:
        """Get the product's token of a merchant from the demo data, and give it the cloud's key."""
        account = self.account(user_id)
        if account is None or account.token or not account.modules:
            return
        if self.outbox.waiting(user_id):
            return
        key = hooks.user_token(user_id, account.cloud_token)
        self.outbox.send([hooks.user_create(user_id), key], now)

    # --- state ------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """JSON-able."""
        with self._lock:
            accounts = _ACCOUNTS.dump_python(list(self._accounts.values()), mode="json")
            return {"accounts": accounts, "outbox": self.outbox.dump()}

    def load(self, data: Mapping[str, Any]) -> None:
        """Takes back what `dump` gave."""
        accounts = _ACCOUNTS.validate_python(data["accounts"])
        with self._lock:
            self._accounts = {one.user_id: one for one in accounts}
        self.outbox.load(data["outbox"])

    # --- inside -----------------------------------------------------------------------------------

    def _get_or_add(self, user_id: str, name: str) -> Account:
        shown = name or f"Предприниматель {number_of(user_id)}"
        return self._accounts.setdefault(
            user_id, Account(user_id=user_id, name=shown, cloud_token=str(uuid4()))
        )

    def _delivered(self, hook: Hook, answer: Answer) -> None:
        if hook.path != hooks.USER_CREATE or not isinstance(answer.body, dict):
            return
        with self._lock:
            account = self._accounts.get(hook.user_id)
            if account is not None:
                account.token = str(answer.body.get("token", ""))


def _user_id(number: int) -> str:
    return f"01-{number:015}"
