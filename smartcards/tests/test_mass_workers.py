"""A mass operation in a real worker process that is killed half-way."""

import threading
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.db.models import Count

from cabinet import clock
from cabinet.accounts.access import actor_for
from smartcards.mass_operations import services
from smartcards.mass_operations.processing import BATCH
from smartcards.models import Command, MassOperation, SmartCard
from smartcards.states import CommandState, MassAction
from smartcards.tests import processes
from smartcards.tests.mass_operations import add_many, make_chain

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.workers]

CARDS = 2 * BATCH + 10


def state_of(operation):
    return MassOperation.objects.get(pk=operation.pk).state


def done_of(operation):
    return MassOperation.objects.get(pk=operation.pk).done


def wake(operation):
    processes.enqueue("smartcards.mass_operation", operation_id=operation.pk)


def reaches(operation, state):
    return processes.eventually(lambda: state_of(operation) == state)


def test_worker_killed_half_way_leaves_one_command_a_card(tmp_path):
    chain = make_chain(paid=CARDS)
    add_many(chain, CARDS)
    by = actor_for(chain.owner)
    operation = services.begin(
        merchant=chain.merchant,
        action=MassAction.DEACTIVATE,
        selection=services.selection_of(ids=SmartCard.objects.values_list("pk", flat=True)),
        form_key=uuid4(),
        by=by,
        at=clock.now(),
    )
    with processes.worker(tmp_path) as doomed:
        wake(operation)
        assert reaches(operation, "prepared")
        in_second_batch = operation.cards.get(position=BATCH + 5).card_id
        with transaction.atomic():
            # The worker waits for this card in its second batch, where it is killed.
            SmartCard.objects.select_for_update().get(pk=in_second_batch)
            confirm_elsewhere(operation, by)
            wake(operation)
            assert processes.eventually(lambda: done_of(operation) == BATCH)
            processes.kill(doomed)
    state_left_behind, commands_left_behind = state_of(operation), Command.objects.count()

    with processes.worker(tmp_path):
        wake(operation)
        assert reaches(operation, "running")

    assert (state_left_behind, commands_left_behind) == ("confirmed", BATCH)
    doubled = Command.objects.values("card").annotate(number=Count("pk")).filter(number__gt=1)
    assert list(doubled) == []
    assert Command.objects.filter(state=CommandState.QUEUED).count() == CARDS
    assert operation.cards.filter(outcome="accepted", command__isnull=False).count() == CARDS


def confirm_elsewhere(operation, by):
    """In another connection: this one holds its card until the end of the transaction."""
    failure = []

    def run():
        try:
            services.confirm(operation=operation, number=CARDS, by=by, at=clock.now())
        except Exception as error:  # noqa: BLE001 - shown by the test
            failure.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert failure == []
