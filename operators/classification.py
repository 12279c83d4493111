"""What one answer of an operator means: for the command, the breaker, the account's pauses and staff.

The only place that decides it. Adapters say an `ErrorClass`; what follows from each stands in one table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from operators.backoff import FIRST_PAUSE, LONGEST_PAUSE, MAINTENANCE_PAUSE
from operators.ports import (
    Accepted,
    Already,
    Applied,
    Check,
    CheckState,
    ErrorClass,
    OurCode,
    Rejected,
    Unavailable,
    Unknown,
)

# Codes of results for which the operator was not asked.
NOT_ASKED = frozenset(
    {
        OurCode.QUOTA,
        OurCode.TOKENS_AWAY,
        OurCode.LEASE_EXPIRED,
        OurCode.NO_NUMBER,
        OurCode.SHARED_NUMBER,
    }
)


@dataclass(frozen=True)
class ErrorPolicy:
    """What follows from an error class.

    `resend`: of a switch that surely was not made: the same command goes again by itself.
    `alert`: only staff can mend it. `whole_account`: it is about the contract and not about one card.
    `breaker`: it speaks of the operator's health. `one_card`: a `retry_after` delays this card only.
    `pause`: seconds that the account rests where the operator named no length.
    """

    resend: bool = False
    alert: bool = False
    whole_account: bool = False
    breaker: bool = False
    one_card: bool = False
    pause: float = 0.0


POLICIES: Mapping[ErrorClass, ErrorPolicy] = {
    ErrorClass.AUTH: ErrorPolicy(resend=True, alert=True, whole_account=True),
    ErrorClass.FORBIDDEN: ErrorPolicy(alert=True),
    ErrorClass.NOT_FOUND: ErrorPolicy(alert=True, one_card=True),
    ErrorClass.INVALID: ErrorPolicy(alert=True, one_card=True),
    ErrorClass.ALREADY: ErrorPolicy(one_card=True),
    ErrorClass.CONFLICT_PENDING: ErrorPolicy(resend=True, one_card=True),
    ErrorClass.HELD_BY_OPERATOR: ErrorPolicy(alert=True, one_card=True),
    ErrorClass.RATE_LIMITED: ErrorPolicy(resend=True, pause=FIRST_PAUSE),
    ErrorClass.MAINTENANCE: ErrorPolicy(resend=True, breaker=True, pause=MAINTENANCE_PAUSE),
    ErrorClass.TRANSIENT: ErrorPolicy(resend=True, breaker=True),
    ErrorClass.UNKNOWN_OUTCOME: ErrorPolicy(breaker=True),
    ErrorClass.CONFIGURATION: ErrorPolicy(alert=True, whole_account=True),
    ErrorClass.UNSUPPORTED: ErrorPolicy(alert=True, whole_account=True),
}


class Outcome(StrEnum):
    """What a result means for the command it is about.

    Of a switch: DONE, ACCEPTED, ALREADY, RESEND (surely not made), FAILED or UNKNOWN. Of a question
    about a request: DONE, FAILED, PENDING or LOST (the operator knows no such request). ANSWERED: any
    other question was answered. UNANSWERED: nothing is known that was not known before.
    """

    DONE = "done"
    ACCEPTED = "accepted"
    ALREADY = "already"
    RESEND = "resend"
    FAILED = "failed"
    UNKNOWN = "unknown"
    PENDING = "pending"
    LOST = "lost"
    ANSWERED = "answered"
    UNANSWERED = "unanswered"


class Health(StrEnum):
    """What a result says of the operator's health; NONE where the operator was not asked."""

    GOOD = "good"
    BAD = "bad"
    NONE = "none"


@dataclass(frozen=True)
class Classification:
    """See the module. `pause` is in seconds, 0 for none; `pause_grows`: too many calls, and no length
    was named, so pauses that follow one another grow. `error` is None where nothing was refused.
    """

    outcome: Outcome
    health: Health = Health.GOOD
    error: ErrorClass | None = None
    pause: float = 0.0
    pause_grows: bool = False

    @property
    def alert(self) -> bool:
        """Whether staff have to act."""
        return self.error is not None and POLICIES[self.error].alert


_CHECKS = {
    CheckState.COMPLETED: Outcome.DONE,
    CheckState.PENDING: Outcome.PENDING,
    CheckState.LOST: Outcome.LOST,
}


def classify(result: object) -> Classification:
    """The meaning of whatever an adapter's method returned, or of the `Unavailable` it raised."""
    match result:
        case Applied():
            return Classification(Outcome.DONE)
        case Accepted(pause=pause):
            return Classification(Outcome.ACCEPTED, pause=min(pause or 0.0, LONGEST_PAUSE))
        case Already():
            return Classification(Outcome.ALREADY)
        case Check(state=CheckState.FAILED):
            return _of_failed_check(result)
        case Check():
            return Classification(_CHECKS[result.state])
        case Rejected() | Unknown() | Unavailable():
            return _of_trouble(result)
        case _:
            return Classification(Outcome.ANSWERED)


def _of_failed_check(check: Check) -> Classification:
    error = check.error or ErrorClass.INVALID
    if error is ErrorClass.ALREADY:
        return Classification(Outcome.DONE, error=error)
    return Classification(Outcome.FAILED, error=error)


def _of_trouble(result: Rejected | Unknown | Unavailable) -> Classification:
    error = ErrorClass(result.error)
    policy, outcome = POLICIES[error], _outcome_of(result, error)
    if result.code in NOT_ASKED:
        return Classification(outcome, Health.NONE, error)
    health = Health.BAD if policy.breaker else Health.GOOD
    if policy.one_card:
        return Classification(outcome, health, error)
    if result.retry_after is not None:
        return Classification(outcome, health, error, min(result.retry_after, LONGEST_PAUSE))
    grows = error is ErrorClass.RATE_LIMITED
    return Classification(outcome, health, error, policy.pause, pause_grows=grows)


def _outcome_of(result: Rejected | Unknown | Unavailable, error: ErrorClass) -> Outcome:
    if isinstance(result, Unavailable):
        return Outcome.UNANSWERED
    if isinstance(result, Unknown) or error is ErrorClass.UNKNOWN_OUTCOME:
        return Outcome.UNKNOWN
    if error is ErrorClass.ALREADY:
        return Outcome.ALREADY
    return Outcome.RESEND if POLICIES[error].resend else Outcome.FAILED
