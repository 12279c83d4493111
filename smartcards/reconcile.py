"""Compare what should be with what is, and queue what is missing. Twice is once."""

import logging
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from celery.exceptions import SoftTimeLimitExceeded
from django.db import DatabaseError, transaction

from cabinet import alerts
from cabinet.actors import SYSTEM
from cabinet.models import Alert, Merchant
from cabinet.wake import wake
from operators.http import Exchange
from operators.services import connect, working_account
from smartcards import brake, commands, coverage, queries, rules
from smartcards.models import Brake, Command, SmartCard
from smartcards.phrases import WHY_OFF
from smartcards.rules import CardFacts
from smartcards.services import lock_card
from smartcards.states import CommandKind, CommandState, Origin, WhyOff

logger = logging.getLogger(__name__)

# How far back the quick sweep looks for ended subscriptions; the full one looks at everything.
JUST_ENDED = timedelta(minutes=10)
# So many failures in a row are a matter for staff, though we go on trying.
STUBBORN = 4
# So many cards of one merchant are looked at in one transaction.
TOGETHER = 200

_PAID_FOR = "оплата есть, смарт-карта должна работать"

_ABOUT_CARD = re.compile(r"(?P<what>stuck|reconcile):(?P<pk>\d+)")
_ABOUT_ACCOUNT = re.compile(r"operator:account:(?P<pk>\d+):(?P<what>unusable)")


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
    waiting = [
        card
        for card in queries.cards_of(merchant)
        if rules.next_command(queries.facts_of(card, at)) is not None
    ]
    queued = 0
    for begin in range(0, len(waiting), TOGETHER):
        group = waiting[begin : begin + TOGETHER]
        made = _come_on_together(group, at)
        rest = [card for card in group if card.pk not in made]
        queued += len(made) + sum(_reconcile_card_safely(card, at) for card in rest)
        if queued:
            _ring(group, at)
    return queued


def _ring(cards: Sequence[SmartCard], at: datetime) -> None:
    found = queries.accounts_with_work(at).filter(pk__in={card.account_id for card in cards})
    for account_id in found.values_list("pk", flat=True):
        wake("smartcards.dispatch", account_id=account_id)


def _come_on_together(cards: Sequence[SmartCard], at: datetime) -> set[int]:
    """Which of many cards got their «on» together: those that were never refused it, and nobody holds.

    The others, and what the database refuses, go one by one.
    """
    if len(cards) == 1:
        return set()
    try:
        return _queue_plain(cards, at)
    except DatabaseError:
        logger.exception("Could not queue %s cards together, now one by one", len(cards))
        return set()


@transaction.atomic
def _queue_plain(seen: Sequence[SmartCard], at: datetime) -> set[int]:
    locked = SmartCard.objects.select_for_update(of=("self",), skip_locked=True).order_by("pk")
    held = list(locked.filter(pk__in=[card.pk for card in seen]).values_list("pk", flat=True))
    if queries.brake_now().report_only_at is not None:
        return set()
    refused = Command.objects.filter(card__in=held, state=CommandState.FAILED)
    plain = SmartCard.objects.filter(pk__in=held).exclude(pk__in=refused.values("card"))
    wanted: dict[int, list[SmartCard]] = {}
    for card in queries.with_facts(plain).order_by("pk"):
        if rules.next_command(queries.facts_of(card, at)) == CommandKind.ACTIVATE:
            wanted.setdefault(card.account_id, []).append(card)
    for _, cards in sorted(wanted.items()):
        commands.create_many(
            cards=cards,
            kind=CommandKind.ACTIVATE,
            origin=Origin.PAID,
            by=SYSTEM,
            at=at,
            reason=_PAID_FOR,
        )
    return {card.pk for cards in wanted.values() for card in cards}


def _reconcile_card_safely(card: SmartCard, at: datetime) -> bool:
    try:
        return _reconcile_card(card, at)
    except SoftTimeLimitExceeded:
        # It is the task's time that is over, and no fault of the card: the next sweep goes on.
        raise
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
        origin=_origin(facts, kind),
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


def _origin(facts: CardFacts, kind: CommandKind) -> Origin:
    """A switch-off that a person has wished stays that person's, however late it is sent."""
    if kind == CommandKind.ACTIVATE:
        return Origin.PAID
    return Origin.PERSON if facts.wished_on is False else Origin.RECONCILE


def _reason(facts: CardFacts, kind: CommandKind) -> str:
    if kind == CommandKind.ACTIVATE:
        return _PAID_FOR
    return WHY_OFF[WhyOff.UNPAID] if facts.wished_on else ""


def _may_repeat(card: SmartCard, kind: CommandKind, at: datetime) -> bool:
    failed = queries.failures_that_count(card, kind, at)
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
    """Everybody with a card out of step: a lost wake-up costs a minute, not a till.

    Then the matters for staff that are well again are closed.
    """
    queued = _each(queries.merchants_out_of_step(at), at)
    _close_about_cards(at)
    _close_about_accounts(at)
    return queued


def _close_about_cards(at: datetime) -> None:
    """«It does not switch» ends when the card is as it should be, «its reconcile broke» when it is past."""
    about = _open_matters(_ABOUT_CARD)
    rows = queries.with_facts(SmartCard.objects.filter(pk__in={pk for _, pk in about.values()}))
    facts = {row.pk: queries.facts_of(row, at) for row in rows}
    well = [key for key, (what, pk) in about.items() if _is_well(what, facts.get(pk))]
    alerts.close_alerts(keys=well, by=SYSTEM, at=at)


def _is_well(what: str, facts: CardFacts | None) -> bool:
    if facts is None:  # the card is there no more
        return True
    return rules.is_in_step(facts) if what == "stuck" else rules.next_command(facts) is None


def _close_about_accounts(at: datetime) -> None:
    """«The contract cannot be used» ends when its adapter can be made."""
    about = _open_matters(_ABOUT_ACCOUNT)
    well = [key for key, (_, pk) in about.items() if _can_be_made(pk, at)]
    alerts.close_alerts(keys=well, by=SYSTEM, at=at)


def _can_be_made(account_id: int, at: datetime) -> bool:
    unheard: list[Exchange] = []
    try:
        account = working_account(account_id, at=at)
        if account is not None:
            connect(account, heard=unheard.append)
    except Exception:
        # Whatever an adapter raises while it is made.
        logger.exception("The contract %s still cannot be used", account_id)
        return False
    return account is not None


def _open_matters(pattern: re.Pattern[str]) -> dict[str, tuple[str, int]]:
    """Open matters of a kind: their keys, what they are about and of whom."""
    keys = Alert.objects.filter(closed_at=None).values_list("key", flat=True)
    found = (pattern.fullmatch(key) for key in keys)
    return {match[0]: (match["what"], int(match["pk"])) for match in found if match}


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
