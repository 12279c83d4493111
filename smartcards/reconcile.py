"""Compare what should be with what is, and queue what is missing. Twice is once."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import DatabaseError, transaction

from cabinet import alerts
from cabinet.actors import SYSTEM
from cabinet.models import Merchant
from cabinet.wake import wake
from smartcards import brake, commands, coverage, queries, rules
from smartcards.models import Brake, SmartCard
from smartcards.phrases import WHY_OFF
from smartcards.rules import CardFacts
from smartcards.services import lock_card
from smartcards.states import CommandKind, Origin, WhyOff

logger = logging.getLogger(__name__)

# How far back the quick sweep looks for ended subscriptions; the full one looks at everything.
JUST_ENDED = timedelta(minutes=10)
# So many failures in a row are a matter for staff, though we go on trying.
STUBBORN = 4


def reconcile_merchant(*, merchant_id: int, at: datetime) -> int:
    """Settle the coverage and queue the commands that the merchant's cards lack. Returns how many.

    Runs after every change of entitlement and on a timer; does nothing where all is as it should be.
    One bad card never stops the others: each is its own transaction.
    """
    merchant = Merchant.objects.filter(pk=merchant_id).first()
    if merchant is None:
        return 0
    with transaction.atomic():
        Merchant.objects.select_for_update(no_key=True).get(pk=merchant_id)
        coverage.settle_coverage(merchant=merchant, at=at)
    queued = 0
    for card in queries.cards_of(merchant):
        if rules.next_command(queries.facts_of(card, at)) is not None:
            queued += _reconcile_card_safely(card, at)
    if queued:
        accounts = queries.accounts_with_work(at).filter(cards__merchant=merchant).distinct()
        for account_id in accounts.values_list("pk", flat=True):
            wake("smartcards.dispatch", account_id=account_id)
    return queued


def _reconcile_card_safely(card: SmartCard, at: datetime) -> bool:
    try:
        return _reconcile_card(card, at)
    except Exception:
        # A poisoned card steps aside; the queue of the others goes on.
        logger.exception("Could not reconcile card %s", card.pk)
        alerts.raise_alert(
            key=f"reconcile:{card.pk}",
            text=f"Сверка смарт-карты {card} не удалась, нужна помощь разработчика.",
            at=at,
            merchant_id=card.merchant_id,
            link=f"/admin/smartcards/smartcard/{card.pk}/change/",
        )
        return False


@transaction.atomic
def _reconcile_card(seen: SmartCard, at: datetime) -> bool:
    card = lock_card(seen)
    facts = queries.facts_now(card, at)
    kind = rules.next_command(facts)
    if kind is None or not _may_repeat(card, kind, at):
        return False
    state = queries.brake_now() if kind == CommandKind.ACTIVATE else brake.lock_brake()
    if not _brake_lets(state, card, facts, kind, at):
        return False
    commands.create(
        card=card,
        kind=kind,
        origin=_origin(facts),
        by=SYSTEM,
        at=at,
        reason=_reason(facts, kind),
        ring=False,
    )
    return True


def _brake_lets(
    state: Brake, card: SmartCard, facts: CardFacts, kind: CommandKind, at: datetime
) -> bool:
    """In report-only mode nothing goes by itself; otherwise only automatic switch-offs are braked."""
    if state.report_only_at is not None:
        return False
    if kind == CommandKind.ACTIVATE or facts.wished_on is False:
        return True
    return brake.lets_through(state, card.account, at)


def _origin(facts: CardFacts) -> Origin:
    """A switch-off that a person has wished stays that person's, however late it is sent."""
    return Origin.PERSON if facts.wished_on is False else Origin.RECONCILE


def _reason(facts: CardFacts, kind: CommandKind) -> str:
    if kind == CommandKind.ACTIVATE:
        return "оплата есть, смарт-карта должна работать"
    return WHY_OFF[WhyOff.UNPAID] if facts.wished_on else ""


def _may_repeat(card: SmartCard, kind: CommandKind, at: datetime) -> bool:
    failed = queries.failures_in_a_row(card, kind)
    if not failed or failed[0].finished_at is None:
        return True
    may = rules.may_repeat(
        error=failed[0].error, failures=len(failed), failed_at=failed[0].finished_at, at=at
    )
    if len(failed) >= STUBBORN:
        alerts.raise_alert(
            key=f"stuck:{card.pk}",
            text=f"{card.account}: смарт-карта {card} не переключается, попыток: {len(failed)}.",
            at=at,
            merchant_id=card.merchant_id,
            link=f"/admin/smartcards/smartcard/{card.pk}/change/",
        )
    return may


def reconcile_just_ended(*, at: datetime) -> int:
    """Merchants whose paid time has just run out: the switch-off is due at that instant."""
    ended = queries.merchants_just_ended(at, within=JUST_ENDED)
    return _each(queries.merchants_out_of_step(at, among=ended), at) if ended else 0


def reconcile_all(*, at: datetime) -> int:
    """Everybody with a card out of step: a lost wake-up costs a minute, not a till."""
    return _each(queries.merchants_out_of_step(at), at)


def _each(merchant_ids: Iterable[int], at: datetime) -> int:
    """One merchant after the other; a row that is locked for long never stops those behind it."""
    queued = 0
    brake.watch_restore(at=at)
    for pk in sorted(merchant_ids):
        try:
            queued += reconcile_merchant(merchant_id=pk, at=at)
        except DatabaseError:
            logger.exception("Could not reconcile merchant %s, the next sweep tries again", pk)
    return queued


def tell_late(*, at: datetime) -> int:
    """Staff are told of every command that took longer than the operator's worst time. Returns how many."""
    late = queries.late_commands(at)
    for command in late:
        alerts.raise_alert(
            key=f"late:{command.pk}",
            text=f"{command.account}: команда «{command}» идёт дольше обещанного.",
            at=at,
            merchant_id=command.card.merchant_id,
            link=f"/admin/smartcards/command/{command.pk}/change/",
        )
    return len(late)
