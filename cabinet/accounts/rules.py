"""Which role has which right: one table. No Django, no database."""

from cabinet.enums import Right, Role
from cabinet.errors import NotAllowed

_ALL = frozenset(Role)
_LEAD = frozenset({Role.OWNER, Role.MANAGER})
_MONEY = frozenset({Role.OWNER, Role.MANAGER, Role.ACCOUNTANT})

MAY: dict[Right, frozenset[Role]] = {
    Right.SEE_CARDS: _ALL,
    Right.ACTIVATE: frozenset({Role.OWNER, Role.MANAGER, Role.CASHIER}),
    Right.DEACTIVATE: _LEAD,
    Right.CHOOSE_CARDS: _LEAD,
    Right.SEE_SUBSCRIPTION: _MONEY,
    Right.PAY: _MONEY,
    Right.STOP: frozenset({Role.OWNER}),
    Right.MANAGE_MODULES: frozenset({Role.OWNER}),
    Right.SEE_ORDERS: _MONEY,
    Right.ORDER: _LEAD,
    Right.SEE_COMPANY: _MONEY,
    Right.EDIT_COMPANY: _LEAD,
    Right.MANAGE_TEAM: frozenset({Role.OWNER}),
}

_GENITIVE = {
    Role.OWNER: "владельцу",
    Role.MANAGER: "администратору",
    Role.ACCOUNTANT: "бухгалтеру",
    Role.CASHIER: "кассиру",
}


def may(role: Role, right: Right) -> bool:
    """Whether the role has the right."""
    return role in MAY[right]


def check_may(role: Role | None, right: Right) -> None:
    """Raise NotAllowed, whose sentence names the roles that have the right, unless `role` has it.

    `role` is None for staff and for the service itself: no table limits them.
    """
    if role is not None and role not in MAY[right]:
        raise NotAllowed(f"Это действие доступно {_who(MAY[right])}.")


def _who(roles: frozenset[Role]) -> str:
    named = [_GENITIVE[role] for role in Role if role in roles]
    return named[0] if len(named) == 1 else ", ".join(named[:-1]) + " или " + named[-1]
