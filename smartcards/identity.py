"""Госуслуги before a card is switched on: only the operator's word about the confirmation is taken.

Companies must confirm each number there (533-ФЗ, ПП № 844), and an operator does not serve one that is
not. Where it tells so, the card is not sent to be refused: the merchant reads what to do. What cannot
be read never stops a switch. `is_due` and `note` are for the database's side; `read` and `refusal_of`
run in the thread that calls the operator.
"""

from datetime import datetime, timedelta

from operators import registry
from operators.ports import (
    ErrorClass,
    Identity,
    IdentityState,
    Operator,
    Rejected,
    Sim,
    Unavailable,
)
from smartcards.models import SmartCard
from smartcards.phrases import IDENTITY_CODE
from smartcards.states import CommandKind

FRESH_FOR = timedelta(hours=24)
# With these the operator switches the card on, as far as is known.
_PASSING = frozenset({IdentityState.CONFIRMED, IdentityState.NOT_REQUIRED, IdentityState.UNKNOWN})


def is_due(card: SmartCard, kind: CommandKind, *, at: datetime) -> bool:
    """Whether the operator is to be asked before this switch.

    A good word holds for a day; a bad one is asked about again each time: the person may have acted.
    """
    if (
        kind != CommandKind.ACTIVATE
        or not registry.capabilities(card.account.adapter, card.account.profile).identity
    ):
        return False
    good = card.identity in _PASSING and card.identity_at is not None
    return not good or card.identity_at is None or card.identity_at <= at - FRESH_FOR


def read(operator: Operator, sim: Sim) -> Identity | None:
    """What the operator says, with no transaction open. None: it was not our turn, ask another time.

    Whatever else goes wrong is `UNKNOWN`, so that an operator who refuses this question is not asked
    before every switch.
    """
    try:
        return operator.read_identity(sim=sim)
    except Unavailable as trouble:
        if trouble.error == ErrorClass.RATE_LIMITED:
            return None
        return Identity(IdentityState.UNKNOWN)


def refusal_of(identity: Identity | None) -> Rejected | None:
    """The refusal that the operator would give, surely nothing done; None where it would give none."""
    if identity is None or identity.state in _PASSING:
        return None
    code = f"{IDENTITY_CODE}{identity.state}"
    return Rejected(ErrorClass.FORBIDDEN, code, "номер не подтверждён на Госуслугах")


def note(card: SmartCard, identity: Identity, *, at: datetime) -> None:
    """Keep the state and when it was read, nothing else. Expects the caller's lock on the card."""
    card.identity = identity.state
    card.identity_at = at
    card.save(update_fields=["identity", "identity_at"])
