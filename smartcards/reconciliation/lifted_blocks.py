"""«Оператор снял блокировку»: staff record it for an operator whose readings do not show it.

Such a card would not come back by a reading, so the state named by the operator is stored.
"""

from datetime import datetime

from django.db import transaction

from cabinet import audit
from cabinet.actors import Actor
from cabinet.messaging import alerts
from cabinet.tasks.task_queue import enqueue_on_commit
from operators.models import OperatorAccount
from operators.ports import ErrorClass
from smartcards import commands, queries, rules, services
from smartcards.models import Command, SmartCard
from smartcards.reconciliation import paid_slots
from smartcards.rules import CardFacts, CardRefused
from smartcards.states import OPEN_COMMANDS, CommandKind, OperatorState, Origin, StateSource


def check_can_release(facts: CardFacts, account: OperatorAccount) -> None:
    """Raises CardRefused: nothing is blocked, its readings show it, or a command is open."""
    if facts.confirmed == OperatorState.RETIRED or rules.foreign_block(facts) is None:
        raise CardRefused("Блокировки оператора на этой смарт-карте нет.")
    if queries.tells_state(account):
        raise CardRefused(
            "Этот оператор сам сообщает состояние смарт-карт: нажмите «Проверить у оператора»."
        )
    if facts.open_command is not None:
        raise CardRefused(
            "Команда по этой смарт-карте ещё не закончена. Дождитесь ответа оператора."
        )


@transaction.atomic
def release(
    *, card: SmartCard, working: bool, reason: str, by: Actor, at: datetime
) -> Command | None:
    """Write down that the operator has lifted its block: the card works now, or is merely off.

    Returns the «on» that was queued, None where none is wanted: it is not desired on, nobody pays,
    or it works already. One that works and should not is left to reconcile and its brake. The desired state of
    the merchant stays. Raises CardRefused without a reason, and as `check_can_release`. Order of
    effects: locks, audit, state, alert closed, command with its first step, after commit the wake-ups.
    """
    if not reason.strip():
        raise CardRefused("Укажите, откуда это известно: клиент увидит эти слова.")
    card = _locked(card)
    check_can_release(queries.facts_now(card, at), card.account)
    before = {"before": card.confirmed, "block_reason": card.block_reason}
    text = "Оператор снял блокировку"
    audit.record(card, "block_lifted", text, by=by, at=at, reason=reason.strip(), details=before)
    state = OperatorState.ACTIVE if working else OperatorState.INACTIVE
    commands.confirm(card, state, source=StateSource.STAFF, at=at, by=by)
    alerts.close_alert(key=f"operator:card:{card.pk}:{ErrorClass.HELD_BY_OPERATOR}", by=by, at=at)
    enqueue_on_commit("smartcards.reconcile_merchant", merchant_id=card.merchant_id)
    return _switch_on(card, by=by, at=at)


def _locked(card: SmartCard) -> SmartCard:
    if card.merchant is None:
        raise CardRefused("Смарт-карта на складе: её ещё никому не передали.")
    paid_slots.lock_slots(card.merchant)
    locked = services.lock_card(card)
    # Whoever holds the command writes the card too: let that end first.
    list(Command.objects.select_for_update().filter(card=card, state__in=OPEN_COMMANDS))
    return locked


def _switch_on(card: SmartCard, *, by: Actor, at: datetime) -> Command | None:
    """What reconcile would do, at once, and in the name of the member of staff."""
    if rules.next_command(queries.facts_now(card, at)) != CommandKind.ACTIVATE:
        return None
    return commands.create(
        card=card,
        kind=CommandKind.ACTIVATE,
        origin=Origin.PERSON,
        by=by,
        at=at,
        reason="оператор снял блокировку",
    )
