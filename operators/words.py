"""The words of the port: what may be asked, and what may come of it. Import them from `operators.ports`."""

from enum import StrEnum


class Action(StrEnum):
    """What is asked of the operator. «Deactivate» is a voluntary block, never a termination."""

    ACTIVATE = "activate"
    DEACTIVATE = "deactivate"


class ErrorClass(StrEnum):
    """What went wrong, in words that say what may be done next."""

    AUTH = "auth"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    INVALID = "invalid"
    ALREADY = "already"
    CONFLICT_PENDING = "conflict_pending"
    HELD_BY_OPERATOR = "held_by_operator"
    RATE_LIMITED = "rate_limited"
    TRANSIENT = "transient"
    MAINTENANCE = "maintenance"
    UNKNOWN_OUTCOME = "unknown_outcome"
    CONFIGURATION = "configuration"
    UNSUPPORTED = "unsupported"


class SimState(StrEnum):
    """The canonical state of a SIM at its operator."""

    NEW = "new"
    ACTIVE = "active"
    INACTIVE = "inactive"
    HELD = "held"
    RETIRED = "retired"
    UNKNOWN = "unknown"


class BlockReason(StrEnum):
    """Why a SIM does not work. Only `VOLUNTARY` is ours to lift."""

    VOLUNTARY = "voluntary"
    DEBT = "debt"
    FRAUD = "fraud"
    STOLEN = "stolen"
    LAW = "law"
    LIMIT = "limit"
    IMEI = "imei"
    OPERATOR = "operator"
    UNKNOWN = "unknown"

    @classmethod
    def told(cls, given: object) -> "BlockReason":
        """What an operator of the partner's contract gives as the reason of an inactive service.

        Without one a block is ours: the contract asks for a reason only where it is not. What we
        cannot read is not ours to lift.
        """
        if not given:
            return cls.VOLUNTARY
        return cls(given) if isinstance(given, str) and given in set(cls) else cls.UNKNOWN


class IdentityState(StrEnum):
    """How the owner of a number stands on Госуслуги, in the operator's view.

    `WAITING`: the company has to accept the number there, or the operator is looking at it.
    `NOT_FOUND`: Госуслуги know no such person, company or request. `UNKNOWN` says nothing either way.
    """

    CONFIRMED = "confirmed"
    NOT_REQUIRED = "not_required"
    WAITING = "waiting"
    REFUSED = "refused"
    MISMATCH = "mismatch"
    NOT_FOUND = "not_found"
    UNKNOWN = "unknown"


class CheckState(StrEnum):
    """How an accepted request is doing."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"
    LOST = "lost"


class StateQuality(StrEnum):
    """How far `read_state` may be believed.

    `EXACT`: any answer settles an unknown outcome. `WEAK`: an answer other than `SimState.UNKNOWN`
    is a hint. `NONE`: the operator has no such call.
    """

    EXACT = "exact"
    WEAK = "weak"
    NONE = "none"


class CallKind(StrEnum):
    """What one HTTP exchange was for; quotas, logs and the sandbox count by it."""

    AUTH = "auth"
    SUBMIT = "submit"
    CHECK = "check"
    READ = "read"
    HUB = "hub"
