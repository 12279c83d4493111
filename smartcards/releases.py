"""«Оператор снял блокировку»: staff were told so by an operator that does not tell it dependably itself.

Such a card need not come back by a reading, so what staff heard is written down as its state.
"""

from datetime import datetime

from django.db import transaction

from cabinet import alerts, audit
from cabinet.actors import Actor
from cabinet.wake import wake
from operators.models import OperatorAccount
from operators.ports import ErrorClass
from smartcards import commands, coverage, queries, rules, services
from smartcards.models import Command, SmartCard
from smartcards.rules import CardFacts, CardRefused
from smartcards.states import OPEN_COMMANDS, CommandKind, Confirmed, Origin, Told


def check_can_release(facts: CardFacts, account: OperatorAccount) -> None:
    """Raises CardRefused: nothing is blocked, the operator tells it itself, or a command is open."""
    if facts.confirmed == Confirmed.RETIRED or rules.foreign_block(facts) is None:
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

    Returns the «on» that was queued, None where none is wanted: nobody wishes the card on, nobody pays,
    or it works already. One that works and should not is left to reconcile and its brake. The wish of
    the merchant stays. Raises CardRefused without a reason, and as `check_can_release`. Order of
    effects: locks, audit, state, alert closed, command with its first step, after commit the wake-ups.
    """
    if not reason.strip():
        raise CardRefused("Укажите, откуда это известно: клиент увидит эти слова.")
    card = _locked(card)
    check_can_release(queries.facts_now(card, at), card.account)
    _note(card, reason=reason.strip(), by=by, at=at)
    state = Confirmed.ACTIVE if working else Confirmed.INACTIVE
    commands.confirm(card, state, told=Told.STAFF, at=at, by=by)
    alerts.close_alert(key=f"operator:card:{card.pk}:{ErrorClass.HELD_BY_OPERATOR}", by=by, at=at)
    wake("smartcards.reconcile_merchant", merchant_id=card.merchant_id)
    return _switch_on(card, by=by, at=at)


def _locked(card: SmartCard) -> SmartCard:
    if card.merchant is None:
        raise CardRefused("Смарт-карта на складе: её ещё никому не передали.")
    coverage.lock_places(card.merchant)
    locked = services.lock_card(card)
    # Whoever holds the command writes the card too: let that end first.
    list(Command.objects.select_for_update().filter(card=card, state__in=OPEN_COMMANDS))
    return locked


def _switch_on(card: SmartCard, *, by: Actor, at: datetime) -> Command | None:
    """What reconcile would do, at once, and in the name of whoever was told."""
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


def _note(card: SmartCard, *, reason: str, by: Actor, at: datetime) -> None:
    audit.record(
        target=card,
        action="block_lifted",
        text="Оператор снял блокировку",
        reason=reason,
        by=by,
        at=at,
        merchant_id=card.merchant_id,
        details={"before": card.confirmed, "block_reason": card.block_reason},
    )
