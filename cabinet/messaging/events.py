"""Events that people of a merchant learn of: each makes its messages once, by role and by what they have chosen.

Who gets what is the table in `event_rules`, what is written is in `texts`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import transaction

from cabinet.enums import MessageChannel, MessageEvent, MessageState, Role
from cabinet.messaging import event_rules, outbox, texts
from cabinet.messaging.texts import EventText
from cabinet.models import Member, Merchant, Message, MessagePreference, Notice, User
from cabinet.tasks.task_queue import enqueue_on_commit

# Began and ended: the end goes to whom the beginning has reached.
_LEFT = (MessageState.SENDING, MessageState.SENT, MessageState.UNKNOWN)


@dataclass(frozen=True)
class Recipient:
    """One person by one channel; `to` is a phone or an address."""

    user: User
    channel: MessageChannel
    to: str


def notify(
    *,
    merchant: Merchant,
    event: MessageEvent,
    context: Mapping[str, object],
    at: datetime,
    key: str,
    happened_at: datetime | None = None,
    target_id: int | None = None,
    ends: str = "",
) -> bool:
    """Store messages for those members who get this event; whether this is the first call with `key`.

    At most one message for a person, a channel and a key, however often and by however many processes it is
    called; belongs into the transaction of the change, or into one of its own. What happened longer ago than the
    event's lifetime is stored as not sent. `ends` is the key of a beginning: those of its messages that have not
    left are dropped, and only whom it has reached are told of the end. `context` are the parts of `texts`.
    """
    with transaction.atomic():
        notice, is_first = Notice.objects.get_or_create(
            key=key,
            defaults={
                "event": event,
                "merchant_id": merchant.pk,
                "target_id": target_id,
                "happened_at": happened_at or at,
                "created_at": at,
            },
        )
        if is_first:
            _store(notice, merchant, texts.written(event, merchant.name, context), at, ends)
    return is_first


def _store(notice: Notice, merchant: Merchant, said: EventText, at: datetime, ends: str) -> None:
    event = MessageEvent(notice.event)
    reached = _reached(ends, at) if ends else None
    found = [
        one
        for one in recipients(merchant, event)
        if reached is None or (one.user.pk, one.channel) in reached
    ]
    rule = event_rules.EVENT_RULES[event]
    zone = "" if rule.at_night else merchant.timezone
    morning = event_rules.morning_after(at, ZoneInfo(zone)) if zone else None
    outbox.store(
        [
            Message(
                notice=notice,
                event=event,
                channel=one.channel,
                user=one.user,
                merchant_id=merchant.pk,
                to=one.to,
                subject=said.subject,
                text=said.text,
                quiet_zone=zone,
                expires_at=(morning or at) + rule.lifetime,
            )
            for one in found
        ],
        at=at,
        is_late=notice.happened_at < at - rule.lifetime,
    )
    if found:
        enqueue_on_commit("cabinet.send_messages")


def _reached(key: str, at: datetime) -> set[tuple[int | None, str]]:
    """Whom the beginning has reached, by which channel; what has not left of it is dropped."""
    messages = Message.objects.filter(notice__key=key)
    outbox.drop(messages, detail="уже неактуально", at=at)
    return set(messages.filter(state__in=_LEFT).values_list("user_id", "channel"))


def recipients(merchant: Merchant, event: MessageEvent) -> Iterator[Recipient]:
    """Who gets this event now, by which channels; two queries."""
    rule = event_rules.EVENT_RULES[event]
    members = (
        Member.objects.of(merchant)
        .filter(role__in=rule.roles, user__is_active=True, user__is_staff=False)
        .select_related("user")
        .order_by("pk")
    )
    rows = MessagePreference.objects.filter(member__merchant=merchant, event=event)
    chosen = {(row.member_id, row.channel): row.wanted for row in rows}
    for member in members:
        own = {
            (event, channel): chosen[member.pk, channel]
            for channel in MessageChannel
            if (member.pk, channel) in chosen
        }
        for channel in MessageChannel:
            to = (member.user.phone or "") if channel == MessageChannel.SMS else member.user.mailbox
            if to and event_rules.is_wanted(Role(member.role), event, channel, own):
                yield Recipient(member.user, channel, to)
