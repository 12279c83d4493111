"""Messages to people: stored in the transaction of the change, sent by a worker, each attempt at most once.

A message is claimed before it is sent. Known not to be sent: it is tried again with growing pauses and then
given up. Not known: it stays «неизвестно» and is never repeated. Messages about events wait through the night,
leave at most `MAX_AN_HOUR` to one person and channel, several at once as one, and are dropped when they are late.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Q, QuerySet

from cabinet.enums import MessageChannel, MessageEvent, MessageState
from cabinet.messaging import alerts, links, notifications, texts
from cabinet.messaging.event_rules import morning_after
from cabinet.models import Merchant, Message, Notice, User
from cabinet.tasks import advisory_lock
from cabinet.tasks.task_queue import enqueue_on_commit

MESSAGE_TRANSITIONS: dict[MessageState, frozenset[MessageState]] = {
    MessageState.QUEUED: frozenset(
        {MessageState.SENDING, MessageState.REFUSED, MessageState.DROPPED}
    ),
    MessageState.SENDING: frozenset(
        {MessageState.SENT, MessageState.QUEUED, MessageState.REFUSED, MessageState.UNKNOWN}
    ),
    MessageState.SENT: frozenset(),
    MessageState.REFUSED: frozenset(),
    MessageState.UNKNOWN: frozenset(),
    MessageState.DROPPED: frozenset(),
}

# Pauses after an attempt that is known to have sent nothing; after the last one the message is given up.
RETRY_AFTER = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360))
# A message that is older and names no time of its own says nothing to anybody.
LIFETIME = timedelta(hours=24)
# Events of one time come together within this, and leave as one message where they are more than two.
GATHERED_FOR = timedelta(minutes=1)
MOST_APART = 2
# About events, to one person by one channel.
MAX_AN_HOUR, HOUR = 4, timedelta(hours=1)
# An attempt that takes longer has lost its worker. A try with both timeouts takes less than a minute.
ATTEMPT_LIMIT = timedelta(minutes=5)
KEEP = timedelta(days=90)
# For as long no event makes messages twice, whatever the clocks do.
KEEP_NOTICES = timedelta(days=400)
# Messages on their way at once: a slow gateway occupies no more threads than this.
MAX_AT_ONCE = 2


def queue_message(
    *,
    event: MessageEvent,
    user: User,
    subject: str,
    text: str,
    at: datetime,
    merchant: Merchant | None = None,
    phone: str = "",
    email: str = "",
) -> None:
    """Store an SMS to the person's phone and an e-mail to the address, where there is one; a worker sends them.

    Belongs into the transaction of the change it tells about. `subject` is for the e-mail only. `phone` and
    `email` replace the person's own: what was theirs, and confirmed, before a change.
    """
    recipients = (
        (MessageChannel.SMS, phone or user.phone or "", ""),
        (MessageChannel.EMAIL, email or user.mailbox, subject),
    )
    rows = [
        Message(event=event, channel=channel, user=user, to=to, subject=line, text=text)
        for channel, to, line in recipients
        if to
    ]
    for row in rows:
        row.merchant_id = merchant.pk if merchant else None
    store(rows, at=at)
    enqueue_on_commit("cabinet.send_messages")


def queue_email(*, event: MessageEvent, user: User, subject: str, text: str, at: datetime) -> None:
    """Store an e-mail to the person's address although it is not confirmed yet: to confirm it."""
    row = Message(event=event, channel=MessageChannel.EMAIL, user=user, to=user.email)
    row.subject, row.text = subject, text
    store([row], at=at)
    enqueue_on_commit("cabinet.send_messages")


def store(rows: Sequence[Message], *, at: datetime, is_late: bool = False) -> None:
    """Put new messages into the outbox; late ones only to be seen there."""
    for row in rows:
        row.created_at = row.changed_at = at
        row.state = MessageState.DROPPED if is_late else MessageState.QUEUED
        row.detail = LATE if is_late else ""
        if not is_late:
            row.next_try_at = at + GATHERED_FOR if row.notice_id else at
    Message.objects.bulk_create(rows)


LATE = "опоздало"


def drop(messages: QuerySet[Message], *, detail: str, at: datetime) -> int:
    """Never send those of these that still wait; gives how many. `detail` says why, for people."""
    return messages.filter(state=MessageState.QUEUED).update(
        state=MessageState.DROPPED, next_try_at=None, changed_at=at, detail=detail
    )


def send_next(*, at: datetime) -> bool:
    """Send the message that is due longest; whether there was one that could be taken now."""
    message = _claim(at)
    if message is None:
        return False
    text = links.text_to_send(message)
    state, detail = _attempt(message.channel, message.to, message.subject, text)
    _record(message, state, detail, at)
    return True


def send_code(*, phone: str, text: str, at: datetime) -> None:
    """Send an SMS with a code at once, in this process; the outbox keeps the outcome and never the text.

    Not inside a transaction: the row is stored before the gateway is asked. Raises notifications.NotSent
    where the gateway surely took nothing; an unknown outcome is no error, for the SMS may well arrive.
    """
    message = Message.objects.create(
        event=MessageEvent.CODE,
        channel=MessageChannel.SMS,
        to=phone,
        state=MessageState.SENDING,
        tries=1,
        created_at=at,
        changed_at=at,
    )
    try:
        notifications.send_sms(to=phone, text=text)
    except notifications.NotSent as refusal:
        _finish(message, MessageState.REFUSED, refusal.detail, at)
        raise
    except notifications.OutcomeUnknown as unknown:
        _finish(message, MessageState.UNKNOWN, unknown.detail, at)
        return
    _finish(message, MessageState.SENT, "", at)


@transaction.atomic
def _claim(at: datetime) -> Message | None:
    advisory_lock.acquire("messages:claim")
    on_their_way = Message.objects.filter(state=MessageState.SENDING)
    if on_their_way.exclude(event=MessageEvent.CODE).count() >= MAX_AT_ONCE:
        return None
    _hold_till_morning(at)
    message = _next_due(at)
    if message is None:
        return None
    _take_others_along(message, at)
    message.state, message.changed_at, message.next_try_at = MessageState.SENDING, at, None
    message.tries += 1
    message.save(update_fields=_CLAIMED_FIELDS)
    return message


_CLAIMED_FIELDS = [
    *("state", "changed_at", "next_try_at", "tries"),
    *("subject", "text", "event", "expires_at"),
]


def _due(at: datetime) -> QuerySet[Message]:
    # A clock that stepped back must not hold what was queued before the step.
    in_time = Q(next_try_at__lte=at) | Q(changed_at__gt=at + ATTEMPT_LIMIT)
    rows = Message.objects.filter(in_time, state=MessageState.QUEUED)
    return rows.exclude(expires_at__lte=at).select_related("user")


def _hold_till_morning(at: datetime) -> None:
    """What is due by night waits there, whenever it was to leave: also what was tried in vain by day."""
    zones = _due(at).exclude(quiet_zone="").order_by().values_list("quiet_zone", flat=True)
    for zone in zones.distinct():
        morning = morning_after(at, ZoneInfo(zone))
        if morning is not None:
            _due(at).filter(quiet_zone=zone).update(next_try_at=morning, changed_at=at)


def _next_due(at: datetime) -> Message | None:
    """The message that is due longest to somebody who has not had too many in the last hour."""
    while (message := _due(at).order_by("next_try_at", "pk").first()) is not None:
        free_at = _free_at(message, at)
        if free_at is None:
            return message
        _same_recipient(message, at).update(next_try_at=free_at, changed_at=at)
    return None


def _same_recipient(message: Message, at: datetime) -> QuerySet[Message]:
    return _due(at).filter(to=message.to, channel=message.channel, notice__isnull=False)


def _free_at(message: Message, at: datetime) -> datetime | None:
    """When the next message about an event may leave for this recipient; None: now."""
    if message.notice_id is None:
        return None
    lately = Message.objects.filter(
        to=message.to,
        channel=message.channel,
        notice__isnull=False,
        state__in=[MessageState.SENDING, MessageState.SENT, MessageState.UNKNOWN],
        changed_at__gt=at - HOUR,
        changed_at__lte=at,
    )
    moments = list(lately.order_by("-changed_at").values_list("changed_at", flat=True))
    return moments[MAX_AN_HOUR - 1] + HOUR if len(moments) >= MAX_AN_HOUR else None


def _take_others_along(message: Message, at: datetime) -> None:
    """Several due messages to one person about one company, by one channel, become this one."""
    if message.notice_id is None:
        return
    mates = _same_recipient(message, at).filter(merchant_id=message.merchant_id)
    rows = list(mates.order_by("pk"))
    if len(rows) <= MOST_APART:
        return
    joined = texts.together(rows)
    message.subject, message.text = joined.subject, joined.text
    message.event = MessageEvent.SEVERAL
    message.expires_at = max(row.expires_at or at for row in rows)
    drop(mates.exclude(pk=message.pk), detail="вошло в общее сообщение", at=at)


def _attempt(channel: str, to: str, subject: str, text: str) -> tuple[MessageState, str]:
    try:
        if channel == MessageChannel.SMS:
            notifications.send_sms(to=to, text=text)
        else:
            notifications.send_email(to=to, subject=subject, text=text)
    except notifications.NotSent as refusal:
        return MessageState.QUEUED, refusal.detail
    except notifications.OutcomeUnknown as unknown:
        return MessageState.UNKNOWN, unknown.detail
    return MessageState.SENT, ""


def _record(message: Message, state: MessageState, detail: str, at: datetime) -> None:
    if state != MessageState.QUEUED:
        _finish(message, state, detail, at)
    elif message.tries > len(RETRY_AFTER):
        _finish(message, MessageState.REFUSED, detail, at)
    else:
        _own(message).update(
            state=MessageState.QUEUED,
            next_try_at=at + RETRY_AFTER[message.tries - 1],
            changed_at=at,
            detail=detail[:100],
        )


def _finish(message: Message, state: MessageState, detail: str, at: datetime) -> None:
    _own(message).update(state=state, next_try_at=None, changed_at=at, detail=detail[:100])
    if state != MessageState.SENT:
        _alert(state, at)


def _own(message: Message) -> QuerySet[Message]:
    # Of this very attempt: one that took too long has been marked by the sweep meanwhile.
    return Message.objects.filter(pk=message.pk, state=MessageState.SENDING, tries=message.tries)


def _alert(state: MessageState, at: datetime) -> None:
    sentence = {
        MessageState.REFUSED: "Шлюз не принимает сообщения людям",
        MessageState.UNKNOWN: "Неизвестно, дошли ли сообщения до людей",
    }[state]
    alerts.raise_alert(
        key=f"messages:{state}",
        text=sentence,
        at=at,
        link=f"/admin/cabinet/message/?state={state}",
    )


@transaction.atomic
def settle_overdue(*, at: datetime) -> int:
    """Mark attempts of lost workers as unknown and give up what waited too long; gives how many of both.

    An event that is late by now is dropped with a note; of others that nobody got staff are alerted.
    """
    moments = (at - ATTEMPT_LIMIT, at + ATTEMPT_LIMIT)
    lost = Message.objects.filter(state=MessageState.SENDING).exclude(changed_at__range=moments)
    is_stale = Q(expires_at__lte=at) | Q(expires_at=None, created_at__lt=at - LIFETIME)
    stale = Message.objects.filter(is_stale, state=MessageState.QUEUED)
    unknown = lost.update(state=MessageState.UNKNOWN, changed_at=at, detail="отправка прервалась")
    dropped = drop(stale.filter(notice__isnull=False), detail=LATE, at=at)
    refused = stale.update(
        state=MessageState.REFUSED, next_try_at=None, changed_at=at, detail="не отправлено за сутки"
    )
    if unknown:
        _alert(MessageState.UNKNOWN, at)
    if refused:
        _alert(MessageState.REFUSED, at)
    return unknown + dropped + refused


def messages_wait(*, at: datetime) -> bool:
    """Whether a message is due."""
    return _due(at).exists()


def purge_messages(*, at: datetime) -> int:
    """Delete messages older than `KEEP`, and what keeps events from being sent twice much later; how many."""
    deleted, _ = Message.objects.filter(created_at__lt=at - KEEP).delete()
    Notice.objects.filter(created_at__lt=at - KEEP_NOTICES, message=None).delete()
    return deleted
