"""Whether an operator accepts our keys: known from every call, whoever it was for.

A command that was refused waits in the queue and speaks for itself. Where nothing is to be switched, it
is readings and polls that meet the refusal first.
"""

from collections.abc import Iterable
from datetime import datetime

from operators.heard import Exchange
from operators.models import OperatorAccount
from operators.ports import CallKind, ErrorClass


def note(account: OperatorAccount, heard: Iterable[Exchange], *, at: datetime) -> None:
    """Remember since when the keys are refused, or that they are accepted again; the last word counts.

    A write only where it changes. `account` is brought up to date.
    """
    words = [word for exchange in heard if (word := _accepted(exchange)) is not None]
    if not words or words[-1] == (account.keys_refused_since is None):
        return
    account.keys_refused_since = None if words[-1] else at
    OperatorAccount.objects.filter(pk=account.pk).update(
        keys_refused_since=account.keys_refused_since
    )


def _accepted(exchange: Exchange) -> bool | None:
    """Whether this call shows the keys accepted or refused; None where it tells nothing of them."""
    if exchange.told is ErrorClass.AUTH:
        return False
    was_let_in = exchange.result == "ok" and exchange.kind is not CallKind.AUTH
    return True if was_let_in and exchange.told is None else None
