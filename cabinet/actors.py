"""Who acts: passed as `by` to every write, and kept with every change."""

from dataclasses import dataclass

from cabinet.states import ActorKind, Role


@dataclass(frozen=True)
class Actor:
    """A person, a member of staff, the market, an operator, or the service itself.

    `name` is what the merchant reads; staff appear as «сотрудник сервиса», the journal keeps who it was.
    """

    kind: ActorKind
    name: str
    user_id: int | None = None
    role: Role | None = None


SYSTEM = Actor(ActorKind.SYSTEM, "сервис")
MARKET = Actor(ActorKind.MARKET, "Эвотор")


def operator(title: str) -> Actor:
    """The operator's own word about a card."""
    return Actor(ActorKind.OPERATOR, title)
