"""Which messages a member of a company gets."""

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from cabinet import audit
from cabinet.actors import Actor
from cabinet.enums import MessageChannel, MessageEvent, Role
from cabinet.messaging.event_rules import EVENT_RULES
from cabinet.models import Member, MessagePreference


@transaction.atomic
def choose(
    *,
    member: Member,
    wanted: Collection[tuple[MessageEvent, MessageChannel]],
    by: Actor,
    at: datetime,
) -> None:
    """From now on the member gets these and no others, of those that the role may get and that may be chosen."""
    member = Member.objects.select_for_update().get(pk=member.pk)
    for event, rule in EVENT_RULES.items():
        if rule.optional and Role(member.role) in rule.roles:
            for channel in MessageChannel:
                _store(member, event, channel, wanted=(event, channel) in wanted)
    text = f"{member.shown_name}: выбрано, какие сообщения присылать"
    audit.record(member, "messages.chosen", text, by=by, at=at)


@transaction.atomic
def unsubscribe(*, member: Member, event: MessageEvent, by: Actor, at: datetime) -> None:
    """No e-mails about this event any more."""
    member = Member.objects.select_for_update().get(pk=member.pk)
    _store(member, event, MessageChannel.EMAIL, wanted=False)
    text = f"{member.shown_name}: больше не присылать писем «{event.label}»"
    audit.record(member, "messages.chosen", text, by=by, at=at)


def _store(member: Member, event: MessageEvent, channel: MessageChannel, *, wanted: bool) -> None:
    MessagePreference.objects.update_or_create(
        member=member, event=event, channel=channel, defaults={"wanted": wanted}
    )
