"""Rows of contracts and exchanges for tests, and what a contract keeps of its last calls."""

from datetime import timedelta
from typing import NamedTuple

from cabinet.clock import real_now
from operators.client.http import HttpExchange
from operators.models import OperatorAccount
from operators.ports import CallKind

KEYS = {"key": "demo-key", "secret": "demo-secret"}


def make(**fields) -> OperatorAccount:
    given = {
        "code": "mts",
        "title": "МТС",
        "adapter": "mts",
        "base_url": "https://api.example.com",
        "credentials": KEYS,
        "timeout_seconds": 5,
        "lease_seconds": 10,
        **fields,
    }
    return OperatorAccount.objects.create(**given)


def exchange(**fields) -> HttpExchange:
    given = {
        "account": "mts",
        "kind": CallKind.READ,
        "method": "GET",
        "url": "https://api.example.com/state",
        "status": 200,
        "seconds": 0.1,
        **fields,
    }
    return HttpExchange(**given)


class AccountNotes(NamedTuple):
    """What the account keeps of its last calls; «lately» is within a minute."""

    answered_lately: bool
    error: str
    failed_lately: bool
    clock_skew: float | None


def noted(account: OperatorAccount) -> AccountNotes:
    row = OperatorAccount.objects.get(pk=account.pk)
    return AccountNotes(
        row.last_answer_at is not None and real_now() - row.last_answer_at < timedelta(minutes=1),
        row.last_error,
        row.last_error_at is not None and real_now() - row.last_error_at < timedelta(minutes=1),
        row.clock_skew_seconds,
    )
