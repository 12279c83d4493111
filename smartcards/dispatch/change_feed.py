"""Operators that tell which cards have changed: their list is read instead of every card.

Page by page, in the quota's background share. Every page is written down before the next one is asked for,
and the account remembers the moment only after the last one: whatever breaks in between, the same
pages are read again, which changes nothing. A list is a hint and no proof (it grows while it is
read), so each card is read by itself as well (`polling.stale_cards`).
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.core.cache import cache
from django.db import transaction
from redis.exceptions import RedisError

from operators import registry
from operators.connections import OperatorSession
from operators.limits import breaker, quota
from operators.limits.quota import QuotaGate, Urgency
from operators.models import OperatorAccount
from operators.ports import Changes, Reading, Unavailable
from operators.services import record_exchanges
from smartcards import queries
from smartcards.dispatch import state_sync
from smartcards.models import SmartCard
from smartcards.services import lock_card

logger = logging.getLogger(__name__)

# The operator's clock and ours may stand apart, and what changed just now may not be listed yet.
OVERLAP = timedelta(minutes=5)
# How far back the very first list goes: older changes are found by reading the cards themselves.
FIRST_LIST = timedelta(days=7)
# Control Center refuses to look back over a year, and nobody needs it.
LONGEST_PAST = timedelta(days=360)
# How often a list is asked for.
EVERY = timedelta(minutes=5)
# A position in a long list is worth keeping for as long; without it the list is begun again.
_CURSOR_SECONDS = 1800
# A turn farther away than this is worth giving the worker back for; seconds, as the nap.
_LONGEST_WAIT = 10.0
_NAP = 0.1


@dataclass(frozen=True)
class FeedCursor:
    """How far a list has been read: which one, since when it is being read, the next page."""

    since: datetime
    begun_at: datetime
    cursor: str = ""


@dataclass(frozen=True)
class RecordedPage:
    """What became of a page: how many readings of our cards were recorded, how many cards wait for a
    reading of their own, and how many are not ours.
    """

    recorded: int = 0
    deferred: int = 0
    unknown: int = 0


def read_changes(
    session: OperatorSession,
    clock: Callable[[], datetime],
    *,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Read the list to its end, or until `stop()`: asked before each page. Calls the operator.

    Returns how many readings of our cards were written down. The caller holds the account's lock: only
    one reads a list at a time. Without a turn in the quota, with the breaker open or without an answer
    it stops: the next call goes on from there.
    """
    account = session.account
    if not registry.capabilities(account.adapter, account.profile).list_changes:
        return 0
    if account.changes_since is not None and account.changes_since + EVERY > clock():
        return 0
    recorded = 0
    cursor: FeedCursor | None = _cursor_of(account, clock())
    while cursor is not None and _wait_for_turn(account, stop):
        asked_at = clock()
        page = _read_page(session, cursor, clock)
        if page is None:
            break
        recorded += record(account, page, asked_at=asked_at).recorded
        cursor = _next_cursor(account, cursor, page)
    return recorded


def _wait_for_turn(account: OperatorAccount, stop: Callable[[], bool]) -> bool:
    """Wait for a turn in the quota's background share; between two looks `stop` sends what is due."""
    try:
        while not stop() and account.broken_since is None:
            wait = quota.seconds_to_wait(account, Urgency.BACKGROUND)
            if wait <= 0 or wait > _LONGEST_WAIT:
                return wait <= 0
            time.sleep(min(wait, _NAP))
    except quota.QuotaAway:
        logger.warning("The quota of %s cannot be read, its list is not asked for", account.code)
    return False


def _cursor_of(account: OperatorAccount, at: datetime) -> FeedCursor:
    """Where the last reader stopped, in the same list; else its beginning."""
    since = max(account.changes_since or at - FIRST_LIST, at - LONGEST_PAST) - OVERLAP
    kept = _kept(account)
    if isinstance(kept, FeedCursor) and (account.changes_since is None or kept.since == since):
        return kept
    return FeedCursor(since=since, begun_at=at)


def _next_cursor(account: OperatorAccount, cursor: FeedCursor, page: Changes) -> FeedCursor | None:
    """The next page, or None: then the account remembers when this list was begun."""
    if page.next_cursor is not None:
        following = FeedCursor(cursor.since, cursor.begun_at, page.next_cursor)
        _keep(account, following)
        return following
    OperatorAccount.objects.filter(pk=account.pk).update(changes_since=cursor.begun_at)
    account.changes_since = cursor.begun_at
    _keep(account, None)
    return None


def _kept(account: OperatorAccount) -> object:
    try:
        return cache.get(_key(account))
    except RedisError:
        return None


def _keep(account: OperatorAccount, cursor: FeedCursor | None) -> None:
    try:
        cache.set(_key(account), cursor, timeout=_CURSOR_SECONDS)
    except RedisError as error:
        logger.warning("The position in the list of %s: %s", account.code, type(error).__name__)


def _key(account: OperatorAccount) -> str:
    return f"smartcards:change_feed:{account.pk}"


def _read_page(
    session: OperatorSession, cursor: FeedCursor, clock: Callable[[], datetime]
) -> Changes | None:
    """One page, with no transaction open; None where there was no turn or no answer."""
    account = session.account
    quota.note_call(account)
    outcome = session.call(
        lambda operator: operator.list_changes(since=cursor.since, cursor=cursor.cursor),
        admit=QuotaGate(account, Urgency.BACKGROUND),
    )
    record_exchanges(account, outcome.exchanges)
    breaker.record_result(account, outcome.classification.health, at=clock())
    quota.apply_backoff(account, outcome.classification)
    if isinstance(outcome.result, Unavailable):
        logger.warning("The list of changes of %s: %s", account.code, outcome.result)
        return None
    return outcome.result


def record(account: OperatorAccount, page: Changes, *, asked_at: datetime) -> RecordedPage:
    """Write a page down, each card in its own transaction: one bad row never holds the others.

    A card with a command on its way, or about which something newer is known, is put off: it is read by
    itself as soon as it may be.
    """
    cards = _our_cards(account, page)
    recorded = deferred = 0
    for iccid, reading in page.items:
        card = cards.get(iccid)
        if card is None:
            continue
        try:
            if _record_card(card, reading, asked_at):
                recorded += 1
            else:
                deferred += 1
        except Exception:
            logger.exception("Could not record a change of card %s", card.pk)
    unknown = sum(iccid not in cards for iccid, _ in page.items)
    if unknown:
        logger.info("%s lists %s cards that are not ours", account.code, unknown)
    return RecordedPage(recorded, deferred, unknown)


def _our_cards(account: OperatorAccount, page: Changes) -> dict[str, SmartCard]:
    """The cards by the list's own spelling of their numbers."""
    named = [iccid for iccid, _ in page.items]
    return queries.cards_by_iccid(account.pk, named)


@transaction.atomic
def _record_card(seen: SmartCard, reading: Reading, asked_at: datetime) -> bool:
    card = lock_card(seen)
    if state_sync.is_outdated(card, asked_at=asked_at):
        SmartCard.objects.filter(pk=card.pk).update(read_due_at=None)
        return False
    # A list may tell less than a reading: number and IMEI stay as read, and so does the time of that.
    read_at, read_due_at = card.read_at, card.read_due_at
    full = replace(
        reading, msisdn=reading.msisdn or card.seen_msisdn, imei=reading.imei or card.seen_imei
    )
    state_sync.record_reading(card, full, at=asked_at)
    if not (reading.msisdn or reading.imei):
        card.read_at, card.read_due_at = read_at, read_due_at
        card.save(update_fields=["read_at", "read_due_at"])
    return True
