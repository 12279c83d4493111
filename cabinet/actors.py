"""Who acts: passed as `by` to every write, and stored with every audit event."""

from dataclasses import dataclass

from cabinet.enums import ActorKind, Role


@dataclass(frozen=True)
class Actor:
    """A person, a member of staff, the market, an operator, or the service itself.

    `name` is stored in the audit log; merchants see staff as «сотрудник сервиса».
    """

    kind: ActorKind
    name: str
    user_id: int | None = None
    role: Role | None = None


SYSTEM = Actor(ActorKind.SYSTEM, "сервис")
MARKET = Actor(ActorKind.MARKET, "Эвотор")
