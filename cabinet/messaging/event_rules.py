"""Which event goes to whom: one table of event × channel × role × default, and the quiet hours. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from cabinet.enums import MessageChannel, MessageEvent, Role


@dataclass(frozen=True)
class EventRule:
    """Who may get an event, and who does by each channel without having chosen.

    After `lifetime` a message that has not left says nothing any more. `at_night`: it does not wait for the
    morning. What is not `optional` cannot be switched off.
    """

    roles: frozenset[Role]
    sms: frozenset[Role]
    email: frozenset[Role]
    lifetime: timedelta
    at_night: bool = False
    optional: bool = True

    def by_default(self, role: Role, channel: MessageChannel) -> bool:
        """Whether the role gets it by the channel without having chosen."""
        return role in (self.sms if channel == MessageChannel.SMS else self.email)


_NOBODY: frozenset[Role] = frozenset()
_OWNER = frozenset({Role.OWNER})
_LEAD = frozenset({Role.OWNER, Role.MANAGER})
_MONEY = frozenset({Role.OWNER, Role.MANAGER, Role.ACCOUNTANT})
_BOOKS = frozenset({Role.ACCOUNTANT})
_CARDS = frozenset({Role.OWNER, Role.MANAGER, Role.CASHIER})
_ALL = frozenset(Role)


def _hours(number: int) -> timedelta:
    return timedelta(hours=number)


# fmt: off
EVENT_RULES: dict[MessageEvent, EventRule] = {
    #                                         may get  SMS      e-mail   says nothing after
    MessageEvent.END_NEAR: EventRule(         _MONEY,  _NOBODY, _MONEY,  _hours(24)),
    MessageEvent.END_SOON: EventRule(         _MONEY,  _OWNER,  _MONEY,  _hours(20)),
    MessageEvent.RENEWAL_NEAR: EventRule(     _MONEY,  _NOBODY, _MONEY,  _hours(24)),
    MessageEvent.PAYMENT_AWAITED: EventRule(  _MONEY,  _OWNER,  _MONEY,  _hours(24)),
    MessageEvent.MONTH_READY: EventRule(      _MONEY,  _NOBODY, _BOOKS,  _hours(72)),
    MessageEvent.CARDS_OFF: EventRule(        _ALL,    _OWNER,  _LEAD,   _hours(12), at_night=True),
    MessageEvent.CARDS_BACK: EventRule(       _ALL,    _OWNER,  _LEAD,   _hours(12)),
    MessageEvent.SWITCH_FAILED: EventRule(    _CARDS,  _OWNER,  _LEAD,   _hours(12), at_night=True),
    MessageEvent.SWITCH_DONE: EventRule(      _CARDS,  _NOBODY, _LEAD,   _hours(6)),
    MessageEvent.OUTAGE_BEGAN: EventRule(     _CARDS,  _NOBODY, _LEAD,   _hours(2)),
    MessageEvent.OUTAGE_ENDED: EventRule(     _CARDS,  _NOBODY, _LEAD,   _hours(6)),
    MessageEvent.ORDER_SENT: EventRule(       _MONEY,  _NOBODY, _LEAD,   _hours(72)),
    MessageEvent.ORDER_DELIVERED: EventRule(  _MONEY,  _NOBODY, _LEAD,   _hours(72)),
    # About the person's own entry and rights: whoever has taken them over must not switch these off.
    MessageEvent.NEW_DEVICE: EventRule(       _OWNER,  _OWNER,  _OWNER,  _hours(24), at_night=True, optional=False),
    MessageEvent.NEW_OWNER: EventRule(        _OWNER,  _OWNER,  _OWNER,  _hours(24), at_night=True, optional=False),
    MessageEvent.PHONE_CHANGED: EventRule(    _ALL,    _ALL,    _ALL,    _hours(24), at_night=True, optional=False),
    MessageEvent.EMAIL_CHANGED: EventRule(    _ALL,    _ALL,    _ALL,    _hours(24), at_night=True, optional=False),
}
# fmt: on

# By hours of the merchant's zone: from nine in the evening to nine in the morning.
NIGHT_FROM, NIGHT_TILL = time(21), time(9)


def is_wanted(
    role: Role,
    event: MessageEvent,
    channel: MessageChannel,
    chosen: Mapping[tuple[MessageEvent, MessageChannel], bool],
) -> bool:
    """Whether a member gets messages about this event by this channel; `chosen` is what they have said."""
    rule = EVENT_RULES[event]
    by_default = rule.by_default(role, channel)
    return role in rule.roles and (
        chosen.get((event, channel), by_default) if rule.optional else by_default
    )


def morning_after(at: datetime, zone: ZoneInfo) -> datetime | None:
    """When the night ends that `at` is in, in UTC; None by day."""
    local = at.astimezone(zone)
    if NIGHT_TILL <= local.time() < NIGHT_FROM:
        return None
    day = local.date() + timedelta(days=local.time() >= NIGHT_FROM)
    return datetime.combine(day, NIGHT_TILL, zone).astimezone(UTC)
