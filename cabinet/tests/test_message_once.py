"""Nothing is sent twice in any order of events, restarts, answers of the gateway and steps of the clock."""

import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import hypothesis
import pytest
from django.db import transaction
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from cabinet.accounts.access import actor_for
from cabinet.accounts.services import message_choice
from cabinet.enums import MessageChannel, MessageEvent, MessageState, Role
from cabinet.messaging import events, links, outbox
from cabinet.models import Message
from cabinet.tests.gateway import Gateway, serving_gateway
from cabinet.tests.people import make_member, make_merchant, make_user

NOON = datetime(2027, 1, 15, 9, 0, tzinfo=UTC)
EVENTS = (MessageEvent.ORDER_SENT, MessageEvent.CARDS_OFF, MessageEvent.OUTAGE_BEGAN)
NUMBERS = st.integers(1, 5)


class Outbox(RuleBasedStateMachine):
    """Each event carries a mark of its own in its text: the gateway must see no mark twice for one recipient."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        self.gateway, self.at = gateway, NOON
        gateway.received.clear()
        gateway.answers.clear()
        gateway.status, gateway.cuts = 200, False
        self.changes = transaction.atomic()
        self.changes.__enter__()
        merchant = make_merchant()
        self.members = [
            make_member(role, merchant, make_user(f"7912000000{number}", email=f"{role}@e.example"))
            for number, role in enumerate((Role.OWNER, Role.MANAGER))
        ]

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.changes.__exit__(None, None, None)

    @rule(number=NUMBERS, event=st.sampled_from(EVENTS), late=st.integers(0, 30))
    def happen(self, number: int, event: MessageEvent, late: int) -> None:
        mark = f"[{event}-{number}]"
        parts = ("number", "track", "went_off", "why", "operator", "since", "waiting")
        events.notify(
            merchant=self.members[0].merchant,
            event=event,
            context=dict.fromkeys(parts, mark),
            at=self.at,
            key=mark,
            happened_at=self.at - timedelta(hours=late),
        )

    @rule(number=NUMBERS)
    def end(self, number: int) -> None:
        began = f"[{MessageEvent.OUTAGE_BEGAN}-{number}]"
        mark = f"[end-{number}]"
        events.notify(
            merchant=self.members[0].merchant,
            event=MessageEvent.OUTAGE_ENDED,
            context={"operator": mark},
            at=self.at,
            key=mark,
            ends=began,
        )

    @rule(times=st.integers(1, 8))
    def send(self, times: int) -> None:
        for _ in range(times):
            outbox.send_next(at=self.at)

    @rule(sent=st.booleans())
    def die_while_sending(self, sent: bool) -> None:
        message = outbox._claim(self.at)
        if message is not None and sent:
            text = links.text_to_send(message)
            outbox._attempt(message.channel, message.to, message.subject, text)

    @rule(status=st.sampled_from([200, 200, 403, 429, 500]), cuts=st.booleans())
    def change_gateway(self, status: int, cuts: bool) -> None:
        self.gateway.status, self.gateway.cuts = status, cuts

    @rule(minutes=st.sampled_from([1, 2, 10, 61, 600, 1500]))
    def pass_time(self, minutes: int) -> None:
        self.at += timedelta(minutes=minutes)

    @rule(minutes=st.sampled_from([1, 10, 180, 1500]))
    def step_clock_back(self, minutes: int) -> None:
        self.at -= timedelta(minutes=minutes)

    @rule()
    def sweep(self) -> None:
        outbox.settle_overdue(at=self.at)
        outbox.purge_messages(at=self.at)

    @rule(who=st.integers(0, 1), wanted=st.sets(st.sampled_from(EVENTS)))
    def choose(self, who: int, wanted: set[MessageEvent]) -> None:
        member = self.members[who]
        chosen = {(event, channel) for event in wanted for channel in MessageChannel}
        message_choice.choose(member=member, wanted=chosen, by=actor_for(member), at=self.at)

    @invariant()
    def nothing_reaches_anybody_twice(self) -> None:
        # What was refused for sure may come again; everything else may have arrived.
        seen: Counter[tuple[str, str]] = Counter()
        for body, status in zip(self.gateway.received, self.gateway.answers, strict=True):
            if status is None or not 300 <= status < 500:
                row = json.loads(body)
                marks = set(re.findall(r"\[[a-z_]+-\d\]", row["text"] + row.get("subject", "")))
                seen.update((row["to"], mark) for mark in marks)
        assert [key for key, times in seen.items() if times > 1] == []

    @invariant()
    def few_are_on_their_way(self) -> None:
        sending = Message.objects.filter(state=MessageState.SENDING).count()
        assert sending <= outbox.MAX_AT_ONCE


@pytest.mark.django_db
def test_nothing_is_sent_twice(settings):
    effort = hypothesis.settings(max_examples=25, stateful_step_count=30)
    with serving_gateway(settings) as gateway:
        run_state_machine_as_test(lambda: Outbox(gateway), settings=effort)
