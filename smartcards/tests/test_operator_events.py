"""What an operator's event means: for commands on their way, for cards, in any order, any number of times."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from cabinet.inbox import processing
from cabinet.models import Alert, AuditEvent
from operators.events import inbox
from operators.models import Callback, OperatorAccount
from operators.tests.signing import monitor_event, service_event
from smartcards.dispatch import operator_events, outbox
from smartcards.models import Command, SmartCard
from smartcards.states import CommandKind, CommandState, OperatorState
from smartcards.tests.cards import NOW, make_account, make_card, make_command, make_merchant
from smartcards.tests.dispatch_setup import standing, step_states
from smartcards.tests.locks import held_elsewhere

pytestmark = pytest.mark.django_db

State = CommandState
ON, OFF = CommandKind.ACTIVATE, CommandKind.DEACTIVATE


def minute(number: float) -> datetime:
    return NOW + timedelta(minutes=number)


THEN = minute(3)  # what events tell of
LATER = minute(4)  # when they are processed


@pytest.fixture
def account() -> OperatorAccount:
    return make_account("partner", title="Партнёр", adapter="tmf640", callback_secret="s")


def card_of(
    account: OperatorAccount, confirmed: OperatorState = OperatorState.INACTIVE
) -> SmartCard:
    return make_card(make_merchant(), account=account, confirmed=confirmed, desired_on=True)


def sent(card: SmartCard, state: State = State.ACCEPTED, kind: Any = ON, **fields: Any) -> Command:
    """A command that left a minute after `NOW`."""
    values = {"request_id": "mon-1", "check_at": minute(2), "sent_at": minute(1), **fields}
    return make_command(card, kind=kind, state=state, at=NOW, **values)


def keep(account: OperatorAccount, event: dict[str, Any], at: datetime | None = None) -> Callback:
    """The event as the inbox keeps it, received when it happened unless `at` is given."""
    body = json.dumps(event).encode()
    at = at or datetime.fromisoformat(event["eventTime"])
    inbox.store(account=account, event_id=event["eventId"], body=body, at=at)
    return Callback.objects.get(account=account, event_id=event["eventId"])


def about_card(card: SmartCard, state: str, at: datetime = THEN, **facts: Any) -> Callback:
    name = facts.pop("name", None) or uuid4().hex
    event = service_event(name, iccid=card.iccid, state=state, at=at.isoformat(), **facts)
    return keep(card.account, event)


def about_request(
    account: OperatorAccount, state: str = "Completed", at: datetime = THEN, **facts: Any
) -> Callback:
    return keep(account, monitor_event(uuid4().hex, state=state, at=at.isoformat(), **facts))


class Processed(NamedTuple):
    """State and note of an event."""

    state: str
    note: str


class KnownState(NamedTuple):
    confirmed: str
    block_reason: str
    confirmed_at: datetime | None
    confirmed_from: str


def process(row: Callback, at: datetime = LATER) -> Processed:
    operator_events.INBOX.process(row.pk, at=at)
    row.refresh_from_db()
    return Processed(row.state, row.note)


def known(card: SmartCard) -> KnownState:
    card = SmartCard.objects.get(pk=card.pk)
    return KnownState(card.confirmed, card.block_reason, card.confirmed_at, card.confirmed_from)


def state_of(command: Command) -> str:
    return Command.objects.get(pk=command.pk).state


BEFORE = KnownState("inactive", "voluntary", NOW, "request")
SWITCHED_ON = KnownState("active", "", minute(3), "callback")


# --- requests -----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.ACCEPTED, State.CHECKING])
def test_completed_request_ends_its_command(account, state):
    card = card_of(account)
    command = sent(card, state)

    ended = process(about_request(account))

    assert ended == Processed(state="done", note="Команда выполнена.")
    assert state_of(command) == State.DONE
    assert known(card) == SWITCHED_ON
    assert step_states(command)[-1] == State.DONE


def test_completed_switch_off_is_our_own_block(account):
    card = card_of(account, OperatorState.ACTIVE)
    command = sent(card, kind=OFF)

    process(about_request(account))

    assert state_of(command) == State.DONE
    assert known(card) == KnownState(
        confirmed="inactive",
        block_reason="voluntary",
        confirmed_at=minute(3),
        confirmed_from="callback",
    )


@pytest.mark.parametrize("state", [State.ACCEPTED, State.CHECKING])
def test_failed_request_fails_its_command(account, state):
    card = card_of(account)
    command = sent(card, state)

    ended = process(about_request(account, "InError", error=(422, "x-17")))

    command.refresh_from_db()
    assert ended == Processed(state="done", note="Команда не выполнена.")
    assert command.state == State.FAILED
    assert command.error == "invalid"
    assert command.code == "x-17"
    assert known(card) == BEFORE


def test_request_refused_for_a_block_shows_the_block(account):
    card = card_of(account)
    command = sent(card)

    process(about_request(account, "InError", error=(409, "heldByOperator")))

    assert state_of(command) == State.FAILED
    assert known(card)[0] == OperatorState.HELD


def test_request_refused_because_it_is_so_already_is_done(account):
    card = card_of(account)
    command = sent(card)

    process(about_request(account, "InError", error=(409, "alreadyInState")))

    assert state_of(command) == State.DONE
    assert known(card) == SWITCHED_ON


def test_request_under_way_changes_nothing(account):
    card = card_of(account)
    command = sent(card)

    ended = process(about_request(account, "InProgress"))

    assert ended == Processed(state="done", note="Запрос ещё выполняется.")
    assert state_of(command) == State.ACCEPTED
    assert known(card) == BEFORE


def test_same_event_again_changes_nothing(account):
    card = card_of(account)
    command = sent(card)
    row = about_request(account)
    process(row)
    steps, journal = step_states(command), AuditEvent.objects.count()

    again = operator_events.INBOX.process(row.pk, at=minute(9))
    another = process(about_request(account, "InError", at=minute(5), error=(500, "?")), minute(9))

    assert again is False
    assert another == Processed(state="done", note="Команда уже закончена.")
    assert step_states(command) == steps
    assert AuditEvent.objects.count() == journal
    assert known(card) == SWITCHED_ON


def test_request_of_another_account_is_not_ours(account):
    other = make_account("other", adapter="tmf640", callback_secret="s")
    card = card_of(account)
    command = sent(card)

    ended = process(about_request(other, correlationId=str(command.key)))

    assert ended == Processed(state="done", note="Команды с таким номером у этого договора нет.")
    assert state_of(command) == State.ACCEPTED
    assert known(card) == BEFORE


def test_lost_answer_is_found_by_our_key(account):
    card = card_of(account)
    command = sent(card, State.CHECKING, request_id="")
    stranger = sent(card_of(account), State.CHECKING, request_id="")

    ended = process(about_request(account, number="mon-9", correlationId=str(command.key)))

    assert ended == Processed(state="done", note="Команда выполнена.")
    assert state_of(command) == State.DONE
    assert state_of(stranger) == State.CHECKING


def test_our_key_with_the_number_of_another_request_ends_nothing(account):
    command = sent(card_of(account))

    ended = process(
        about_request(
            account, "InError", number="mon-9", correlationId=str(command.key), error=(400, "?")
        )
    )

    assert ended == Processed(state="done", note="Команды с таким номером у этого договора нет.")
    assert state_of(command) == State.ACCEPTED


def test_outcome_of_a_command_for_staff_is_parked(account):
    card = card_of(account)
    command = sent(card, State.NEEDS_STAFF, check_at=None)

    ended = process(about_request(account))

    assert ended == Processed(state="parked", note="Команда «решает сотрудник», исход пришёл.")
    assert state_of(command) == State.NEEDS_STAFF
    assert Alert.objects.count() == 1


def test_late_request_outcome_does_not_hide_later_block(account):
    card = card_of(account)
    command = sent(card)
    end = about_request(account, at=minute(3))
    process(about_card(card, "inactive", minute(3.5), reason="debt"))

    process(end)

    assert state_of(command) == State.DONE
    assert known(card) == KnownState(
        confirmed="held", block_reason="debt", confirmed_at=minute(3.5), confirmed_from="callback"
    )


# --- events that outrun us ----------------------------------------------------------------------


def test_event_that_outruns_our_record_waits_for_it(account):
    card = card_of(account)
    command = sent(
        card,
        State.SENDING,
        request_id="",
        check_at=None,
        lease_until=minute(5),
        lease_token=uuid4(),
    )
    rows = [about_request(account), about_card(card, "active")]

    early = operator_events.INBOX.process_waiting(at=minute(4))
    waiting = list(Callback.objects.values_list("state", flat=True))
    Command.objects.filter(pk=command.pk).update(
        state=State.ACCEPTED, request_id="mon-1", lease_until=None, lease_token=None
    )
    late = operator_events.INBOX.process_waiting(at=minute(4.5))

    assert early == 0
    assert waiting == ["new", "new"]
    assert late == 2
    assert {process(row)[0] for row in rows} == {"done"}
    assert state_of(command) == State.DONE
    assert known(card) == SWITCHED_ON


def test_event_for_a_dead_worker_applies_after_lease(account):
    card = card_of(account)
    command = sent(
        card,
        State.SENDING,
        request_id="",
        check_at=None,
        lease_until=minute(5),
        lease_token=uuid4(),
    )
    row = about_request(account, number="mon-9", correlationId=str(command.key))

    before = process(row, minute(4))
    outbox.release_stuck(at=minute(6))
    after = process(row, minute(6))

    assert before[0] == "new"
    assert after[0] == "done"
    assert state_of(command) == State.DONE


def test_event_of_a_stranger_waits_for_nobody_who_left_later(account):
    sent(
        card_of(account),
        State.SENDING,
        request_id="",
        sent_at=minute(8),
        lease_until=minute(9),
        lease_token=uuid4(),
    )

    ended = process(about_request(account, number="mon-404"))

    assert ended == Processed(state="done", note="Команды с таким номером у этого договора нет.")


# --- cards --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "facts", "expected"),
    [
        ("active", {}, ("active", "")),
        ("inactive", {}, ("inactive", "voluntary")),
        ("inactive", {"reason": "law"}, ("held", "law")),
        ("inactive", {"reason": "weather"}, ("held", "unknown")),
        ("terminated", {}, ("retired", "")),
        ("reserved", {}, ("new", "")),
    ],
)
def test_state_of_a_card_is_noted(account, state, facts, expected):
    card = card_of(account)

    ended = process(about_card(card, state, **facts))

    assert ended == Processed(state="done", note="Состояние записано.")
    assert known(card) == KnownState(*expected, minute(3), "callback")


def test_event_is_no_reading(account):
    card = card_of(account)
    SmartCard.objects.filter(pk=card.pk).update(read_at=NOW, seen_imei="356938035643809")

    process(about_card(card, "active", imei="000000000000000"))

    card.refresh_from_db()
    assert card.read_at == NOW
    assert card.seen_imei == "356938035643809"


def test_change_of_a_card_wakes_the_comparison(account, django_capture_on_commit_callbacks):
    card = card_of(account, OperatorState.ACTIVE)
    row = about_card(card, "inactive", reason="debt")

    with django_capture_on_commit_callbacks() as woken:
        process(row)

    assert [(wake.args, wake.keywords) for wake in woken] == [
        (("smartcards.reconcile_merchant",), {"merchant_id": card.merchant_id})
    ]


def test_older_event_changes_nothing(account):
    card = card_of(account)
    journal = AuditEvent.objects.count()

    ended = process(about_card(card, "active", minute(-1)))

    assert ended == Processed(state="done", note="О смарт-карте уже известно более позднее.")
    assert known(card) == BEFORE
    assert AuditEvent.objects.count() == journal


def test_event_of_a_clock_that_runs_ahead_counts_from_now(account):
    card = card_of(account)

    process(about_card(card, "active", minute(600)), minute(4))

    assert known(card) == KnownState(
        confirmed="active", block_reason="", confirmed_at=minute(4), confirmed_from="callback"
    )


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_events_in_any_order_end_in_the_same_state(account, order):
    card = card_of(account)
    rows = [
        about_card(card, "active", minute(1)),
        about_card(card, "inactive", minute(2), reason="debt"),
        about_card(card, "inactive", minute(3)),
    ]

    for number in order:
        process(rows[number], minute(9))

    assert known(card) == KnownState(
        confirmed="inactive",
        block_reason="voluntary",
        confirmed_at=minute(3),
        confirmed_from="callback",
    )


def test_sweep_takes_waiting_events_by_their_own_times(account):
    card = card_of(account)
    later = about_card(card, "active", minute(3))
    earlier = about_card(card, "inactive", minute(2), reason="debt")

    ended = operator_events.INBOX.process_waiting(at=minute(4))

    notes = [Callback.objects.get(pk=row.pk).note for row in (earlier, later)]
    assert ended == 2
    assert notes == ["Состояние записано."] * 2
    assert known(card) == SWITCHED_ON


def test_card_of_another_account_is_untouched(account):
    other = make_account("other", adapter="tmf640", callback_secret="s")
    card = card_of(account)
    row = keep(other, service_event(iccid=card.iccid, state="active", at=minute(3).isoformat()))

    ended = process(row)

    assert ended == Processed(state="done", note="У этого договора нет такой смарт-карты.")
    assert known(card) == BEFORE


def test_card_in_stock_is_noted_too(account):
    card = make_card(account=account)

    process(about_card(card, "active"))

    assert known(card) == SWITCHED_ON


# --- cards with a command on its way ------------------------------------------------------------


@pytest.mark.parametrize("state", [State.ACCEPTED, State.CHECKING])
def test_wanted_state_ends_the_command(account, state):
    card = card_of(account)
    command = sent(card, state)

    ended = process(about_card(card, "active"))

    assert ended == Processed(state="done", note="Состояние записано, команда выполнена.")
    assert state_of(command) == State.DONE
    assert known(card) == SWITCHED_ON


@pytest.mark.parametrize("state", [State.QUEUED, State.ACCEPTED, State.CHECKING, State.NEEDS_STAFF])
def test_other_state_is_only_noted(account, state):
    card = card_of(account)
    command = sent(card, state, lease_until=None)

    ended = process(about_card(card, "inactive", reason="debt"))

    assert ended == Processed(state="done", note="Состояние записано.")
    assert state_of(command) == state
    assert known(card) == KnownState(
        confirmed="held", block_reason="debt", confirmed_at=minute(3), confirmed_from="callback"
    )


@pytest.mark.parametrize("state", [State.QUEUED, State.NEEDS_STAFF])
def test_desired_state_does_not_end_queued_or_staff_command(account, state):
    card = card_of(account)
    command = sent(card, state)

    process(about_card(card, "active"))

    assert state_of(command) == state
    assert known(card) == SWITCHED_ON


def test_state_of_before_the_command_left_does_not_end_it(account):
    card = card_of(account)
    command = sent(card, sent_at=minute(5))

    process(about_card(card, "active", minute(3)), minute(6))

    assert state_of(command) == State.ACCEPTED
    assert known(card) == SWITCHED_ON


def test_our_block_does_not_hide_operators_block(account):
    card = card_of(account, OperatorState.ACTIVE)
    command = sent(card, kind=OFF)

    process(about_card(card, "inactive", reason="debt"))

    assert state_of(command) == State.ACCEPTED
    assert known(card).confirmed == "held"
    assert known(card).block_reason == "debt"


# --- failures -----------------------------------------------------------------------------------


def test_failing_event_is_rolled_back_retried_and_parked(account):
    card, other = card_of(account), card_of(account)
    broken = about_card(card, "active")
    # The inbox keeps objects only: what reads the payload is not ready for a list.
    Callback.objects.filter(pk=broken.pk).update(payload=[1])
    good = about_card(other, "active")

    ended = operator_events.INBOX.process_waiting(at=minute(4))
    early_alerts = Alert.objects.count()
    for _ in range(processing.MOST_ATTEMPTS - 1):
        broken.refresh_from_db()
        operator_events.INBOX.process_waiting(at=broken.next_try_at)

    broken.refresh_from_db()
    good.refresh_from_db()
    assert ended == 1
    assert early_alerts == 0
    assert broken.state == "failed"
    assert broken.attempts == processing.MOST_ATTEMPTS
    assert good.state == "done"
    assert "AttributeError" in broken.error
    assert known(card) == BEFORE
    assert list(Alert.objects.values_list("text", flat=True)) == [
        "Партнёр: уведомление «serviceStateChangeEvent» отложено. Не удалось обработать за 8 попыток."
    ]


def test_unknown_callback_is_nobodys():
    assert operator_events.INBOX.process(404, at=NOW) is False


def test_played_partner_ends_our_command_without_a_question(tmp_path):
    with standing("tmf640", tmp_path, callback_secret="s", poll_plan=[600]) as stand:
        stand.bench.limits(delay_seconds=0.2)
        card = stand.card(desired_on=None)
        command = stand.activate(card)
        stand.work()
        command.refresh_from_db()
        stand.clock.pass_(seconds=5)
        at = stand.clock()

        process(about_request(stand.account, number=command.request_id, at=at), at)

        assert state_of(command) == State.DONE
        assert known(card)[0] == OperatorState.ACTIVE
        assert stand.calls(card)["check"] == 0


def test_unreadable_stored_event_is_parked(account):
    card = card_of(account)
    row = about_card(card, "active")
    Callback.objects.filter(pk=row.pk).update(event_type="ServiceTeleportedEvent")

    ended = process(row)

    assert ended == Processed(state="parked", note="Незнакомый тип события.")
    assert known(card) == BEFORE
    assert Alert.objects.count() == 1


class Meanwhile(logging.Handler):
    """What others do at the moment at which our code logs this message."""

    def __init__(self, message: str, action: Callable[[], object]) -> None:
        super().__init__()
        self._message, self._action = message, action

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == self._message:
            self._action()


@contextmanager
def meanwhile(message: str, action: Callable[[], object]) -> Iterator[None]:
    handler = Meanwhile(message, action)
    processing.logger.addHandler(handler)
    try:
        yield
    finally:
        processing.logger.removeHandler(handler)


def test_broken_event_that_another_worker_has_ended_meanwhile_stays_ended(account):
    row = about_card(card_of(account), "active")
    Callback.objects.filter(pk=row.pk).update(payload=[1])
    others = Callback.objects.filter(pk=row.pk)

    with meanwhile(
        f"Message {row.pk} of OperatorEvents could not be processed",
        lambda: others.update(state="done", note="Другой процесс."),
    ):
        ended = process(row)

    assert ended == Processed(state="done", note="Другой процесс.")
    assert Alert.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_event_of_a_locked_card_waits_and_costs_no_try():
    account = make_account("partner", title="Партнёр", adapter="tmf640", callback_secret="s")
    card = card_of(account)
    row = about_card(card, "active")

    with held_elsewhere(SmartCard.objects.filter(pk=card.pk)):
        while_held = process(row)
    row.refresh_from_db()
    afterwards = operator_events.INBOX.process_waiting(at=LATER + processing.BUSY_DELAY)

    assert while_held == Processed(state="new", note="")
    assert (row.attempts, row.next_try_at) == (0, LATER + processing.BUSY_DELAY)
    assert afterwards == 1
    assert known(card) == SWITCHED_ON


# --- an operator whose clock is behind ours -------------------------------------------------------


NOT_LATER = ("done", "О смарт-карте уже известно более позднее.")
TO_BE_READ = ("done", "Часы оператора могут отставать: смарт-карта будет прочитана.")


def behind(account: OperatorAccount, **facts: Any) -> tuple[SmartCard, Callback]:
    """A card switched on at `NOW`, and a block reported a minute later by a clock 90 seconds behind."""
    card = card_of(account, OperatorState.ACTIVE)
    SmartCard.objects.filter(pk=card.pk).update(read_due_at=NOW)
    row = about_card(card, facts.pop("state", "inactive"), minute(-0.5), **facts)
    Callback.objects.filter(pk=row.pk).update(received_at=minute(1))
    return card, row


def test_block_from_a_slow_clock_is_read_at_once(account, django_capture_on_commit_callbacks):
    card, row = behind(account, reason="debt")

    with django_capture_on_commit_callbacks() as woken:
        ended = process(row)

    card.refresh_from_db()
    assert ended == TO_BE_READ
    assert card.confirmed == OperatorState.ACTIVE
    assert card.read_due_at is None
    assert [(wake.args, wake.keywords) for wake in woken] == [
        (("smartcards.read",), {"account_id": account.pk})
    ]


def test_word_that_is_known_already_needs_no_reading(account):
    card, row = behind(account, state="active")

    assert process(row) == NOT_LATER
    card.refresh_from_db()
    assert card.read_due_at == NOW


@pytest.mark.parametrize(
    ("received", "occurred", "skew", "confirmed_from", "expected"),
    [
        (-0.4, -0.5, None, "request", NOT_LATER),  # it came before what we know
        (1, -0.5, None, "callback", NOT_LATER),  # both by the operator's own clock
        (1, -6, None, "request", NOT_LATER),  # farther behind than any clock
        (1, -6, -120, "request", NOT_LATER),
        (1, -6, -400, "request", TO_BE_READ),  # but this one is measured
        (1, -6, 400, "request", NOT_LATER),  # and this one is ahead
        (1, -5, None, "poll", TO_BE_READ),
    ],
)
def test_event_time_is_doubted_within_clock_tolerance_only(
    account, received, occurred, skew, confirmed_from, expected
):
    account.clock_skew_seconds = skew
    account.save()
    card, row = behind(account, reason="debt")
    SmartCard.objects.filter(pk=card.pk).update(confirmed_from=confirmed_from)
    Callback.objects.filter(pk=row.pk).update(
        received_at=minute(received), occurred_at=minute(occurred)
    )

    assert process(row) == expected


def test_request_end_is_not_before_its_sending(account):
    card = card_of(account)
    SmartCard.objects.filter(pk=card.pk).update(confirmed_at=minute(0.9))
    command = sent(card)

    ended = process(about_request(account, at=minute(0.5)))

    assert ended == Processed(state="done", note="Команда выполнена.")
    assert state_of(command) == State.DONE
    assert known(card) == KnownState(
        confirmed="active", block_reason="", confirmed_at=minute(1), confirmed_from="callback"
    )


@pytest.mark.parametrize(
    ("confirmed", "read_due_at"), [(OperatorState.INACTIVE, None), (OperatorState.ACTIVE, NOW)]
)
def test_request_ended_before_known_state_needs_a_reading(account, confirmed, read_due_at):
    card = card_of(account, confirmed)
    SmartCard.objects.filter(pk=card.pk).update(confirmed_at=minute(3.5), read_due_at=NOW)
    command = sent(card)
    row = about_request(account, at=minute(3))
    Callback.objects.filter(pk=row.pk).update(received_at=minute(3.8))

    process(row)

    card.refresh_from_db()
    assert state_of(command) == State.DONE
    assert card.confirmed == confirmed
    assert card.read_due_at == read_due_at
