"""Operators that tell which cards have changed: their list is read instead of every card.

Page by page, in the quota's spare part. Every page is written down before the next one is asked for,
and the account remembers the moment only after the last one: whatever breaks in between, the same
pages are read again, which changes nothing. A list is a hint and no proof (it grows while it is
read), so each card is read by itself as well (`questions.stale_cards`).
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.core.cache import cache
from django.db import transaction
from redis.exceptions import RedisError

from operators import breaker, quota, registry
from operators.http import Exchange
from operators.models import OperatorAccount
from operators.ports import OUR_QUOTA, Changes, Operator, Reading, Unavailable
from operators.quota import Urgency
from operators.services import connect, note_exchanges
from smartcards import readings
from smartcards.models import Command, SmartCard
from smartcards.services import lock_card
from smartcards.states import OPEN_COMMANDS

logger = logging.getLogger(__name__)

# The operator's clock and ours may stand apart, and what changed just now may not be listed yet.
OVERLAP = timedelta(minutes=5)
# How far back the very first list goes: older changes are found by reading the cards themselves.
FIRST_LIST = timedelta(days=7)
# How often a list is asked for.
EVERY = timedelta(minutes=5)
# A place in a long list is worth keeping for as long; without it the list is begun again.
_PLACE_SECONDS = 1800
# A turn farther away than this is worth giving the worker back for; seconds, as the nap.
_LONGEST_WAIT = 10.0
_NAP = 0.1


@dataclass(frozen=True)
class Place:
    """How far a list has been read: which one, since when it is being read, the next page."""

    since: datetime
    begun_at: datetime
    cursor: str = ""


@dataclass(frozen=True)
class Noted:
    """What became of a page: readings of our cards, put off to a reading of their own, cards of others."""

    noted: int = 0
    put_off: int = 0
    unknown: int = 0


def has_list(account: OperatorAccount) -> bool:
    """Whether the account's operator tells of changes. Raises what `registry.capabilities` raises."""
    return registry.capabilities(account.adapter, account.profile).list_changes


def is_due(account: OperatorAccount, at: datetime) -> bool:
    """Time to ask for the list again, or to go on with one."""
    since = account.changes_since
    return since is None or since + EVERY <= at


def read_changes(
    account: OperatorAccount,
    clock: Callable[[], datetime],
    *,
    enough: Callable[[], bool] = lambda: False,
) -> int:
    """Read the list to its end, or until `enough()`: asked before each page. Calls the operator.

    Returns how many readings of our cards were written down. The caller holds the account's line: only
    one reads a list at a time. Without a turn in the quota, with the breaker open or without an answer
    it stops: the next call goes on from there.
    """
    if not has_list(account) or not is_due(account, clock()):
        return 0
    noted = 0
    place: Place | None = _place_of(account, clock())
    while place is not None and _turn_comes(account, enough):
        asked_at = clock()
        page = _ask(account, place, clock)
        if page is None:
            break
        noted += record(account, page, asked_at=asked_at).noted
        place = _go_on(account, place, page)
    return noted


def _turn_comes(account: OperatorAccount, enough: Callable[[], bool]) -> bool:
    """Wait for a turn in the quota's spare part; in between others look up for clicks."""
    try:
        while not enough() and not breaker.is_open(account):
            wait = quota.seconds_to_wait(account, Urgency.SPARE)
            if wait <= 0 or wait > _LONGEST_WAIT:
                return wait <= 0
            time.sleep(min(wait, _NAP))
    except quota.QuotaAway:
        logger.warning("The quota of %s cannot be read, its list is not asked for", account.code)
    return False


def _place_of(account: OperatorAccount, at: datetime) -> Place:
    """Where the last reader stopped, in the same list; else its beginning."""
    since = (account.changes_since or at - FIRST_LIST) - OVERLAP
    kept = _kept(account)
    if isinstance(kept, Place) and (account.changes_since is None or kept.since == since):
        return kept
    return Place(since=since, begun_at=at)


def _go_on(account: OperatorAccount, place: Place, page: Changes) -> Place | None:
    """The next page, or None: then the account remembers when this list was begun."""
    if page.next_cursor is not None:
        following = Place(place.since, place.begun_at, page.next_cursor)
        _keep(account, following)
        return following
    OperatorAccount.objects.filter(pk=account.pk).update(changes_since=place.begun_at)
    account.changes_since = place.begun_at
    _keep(account, None)
    return None


def _kept(account: OperatorAccount) -> object:
    try:
        return cache.get(_key(account))
    except RedisError:
        return None


def _keep(account: OperatorAccount, place: Place | None) -> None:
    try:
        cache.set(_key(account), place, timeout=_PLACE_SECONDS)
    except RedisError as error:
        logger.warning("The place in the list of %s: %s", account.code, type(error).__name__)


def _key(account: OperatorAccount) -> str:
    return f"smartcards:changes:{account.pk}"


def _ask(account: OperatorAccount, place: Place, clock: Callable[[], datetime]) -> Changes | None:
    """One page, with no transaction open; None where there was no turn or no answer."""
    heard: list[Exchange] = []
    operator = connect(account, heard=heard.append, urgency=Urgency.SPARE)
    quota.note_call(account)
    answer = _answer(operator, place)
    note_exchanges(account, heard)
    _note_health(account, answer, clock())
    return None if isinstance(answer, Unavailable) else answer


def _answer(operator: Operator, place: Place) -> Changes | Unavailable:
    try:
        return operator.list_changes(since=place.since, cursor=place.cursor)
    except Unavailable as trouble:
        return trouble


def _note_health(account: OperatorAccount, answer: Changes | Unavailable, at: datetime) -> None:
    if not isinstance(answer, Unavailable):
        breaker.note(account, good=1, bad=0, at=at)
        return
    if answer.code == OUR_QUOTA:
        return
    logger.warning("The list of changes of %s: %s", account.code, answer)
    breaker.note(account, good=0, bad=int(breaker.is_trouble(answer.error)), at=at)
    quota.obey(account, [answer])


def record(account: OperatorAccount, page: Changes, *, asked_at: datetime) -> Noted:
    """Write a page down, each card in its own transaction: one bad row never holds the others.

    A card with a command on its way, or about which something newer is known, is put off: it is read by
    itself as soon as it may be.
    """
    cards = _our_cards(account, page)
    noted = put_off = 0
    for iccid, reading in page.items:
        card = cards.get(iccid)
        if card is None:
            continue
        try:
            if _record_card(card, reading, asked_at):
                noted += 1
            else:
                put_off += 1
        except Exception:
            logger.exception("Could not record a change of card %s", card.pk)
    unknown = sum(iccid not in cards for iccid, _ in page.items)
    if unknown:
        logger.info("%s lists %s cards that are not ours", account.code, unknown)
    return Noted(noted, put_off, unknown)


def _our_cards(account: OperatorAccount, page: Changes) -> dict[str, SmartCard]:
    named = [iccid for iccid, _ in page.items]
    cards = SmartCard.objects.filter(account=account, iccid__in=named)
    return {card.iccid: card for card in cards.only("iccid")}


@transaction.atomic
def _record_card(seen: SmartCard, reading: Reading, asked_at: datetime) -> bool:
    card = lock_card(seen)
    busy = Command.objects.filter(card=card, state__in=OPEN_COMMANDS).exists()
    if busy or (card.confirmed_at is not None and card.confirmed_at > asked_at):
        SmartCard.objects.filter(pk=card.pk).update(read_at=None)
        return False
    _note(card, reading, asked_at)
    return True


def _note(card: SmartCard, reading: Reading, asked_at: datetime) -> None:
    """A list may tell less than a reading: number and IMEI stay as read, and so does the time of that."""
    read_at = card.read_at
    told = replace(
        reading,
        msisdn=reading.msisdn or card.seen_msisdn,
        imei=reading.imei or card.seen_imei,
    )
    readings.note_reading(card, told, at=asked_at)
    if not (reading.msisdn or reading.imei):
        card.read_at = read_at
        card.save(update_fields=["read_at"])
