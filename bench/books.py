"""The comparison at the end: what was wished, what we know, and what the operator's own book shows.

The operator's book says more than its effects: a card that is on already can be switched on ten times
without an effect. So every request that came in is held against the attempts of our own book, and
against the questions between two attempts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench import rows
from cabinet import clock
from smartcards import queries, rules
from smartcards.models import Command, SmartCard
from smartcards.states import OPEN_COMMANDS, CommandState, Confirmed

_OPEN = sorted(OPEN_COMMANDS)


@dataclass(frozen=True)
class Found:
    """What an examination at the end counted."""

    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    details: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Nothing lost, nothing doubled, nothing wrong."""
        return not (self.lost or self.doubled or self.wrong)


@dataclass(frozen=True)
class Attempts:
    """Our own book about one card: how many attempts of each kind, and the kinds in their order."""

    left: Mapping[str, int]
    done: tuple[str, ...]


def truth(sandbox: str, card: SmartCard) -> dict[str, Any]:
    """The operator's own book about a card."""
    shown: dict[str, Any] = rows.call("GET", f"{sandbox}/state/{card.account.adapter}/{card.iccid}")
    return shown


def received(sandbox: str, card: SmartCard) -> list[dict[str, Any]]:
    """Every request about a card that the operator received, in their order."""
    shown = rows.call("GET", f"{sandbox}/received/{card.account.adapter}/{card.iccid}")
    found: list[dict[str, Any]] = shown["received"]
    return found


def attempts_of(card: SmartCard) -> Attempts:
    """What left by our own book. Waiting for our own quota is no attempt there either."""
    sent = Command.objects.filter(card=card).exclude(sent_at=None).order_by("pk")
    left: Counter[str] = Counter()
    for row in sent:
        left[row.kind] += row.attempts
    done = tuple(row.kind for row in sent if row.state == CommandState.DONE)
    return Attempts(left, done)


def doubles(
    *,
    came: Sequence[Mapping[str, Any]],
    effects: Sequence[str],
    book: Attempts,
    asked: int | None = None,
) -> list[str]:
    """What was done or asked for twice, in words; `asked` is how often people and payments wanted a switch."""
    return [
        *_beyond_the_book(came, book),
        *_without_a_question(came),
        *_wanted_twice(book),
        *_effects_beyond(effects, book, asked),
    ]


def _beyond_the_book(came: Sequence[Mapping[str, Any]], book: Attempts) -> list[str]:
    """A request that may have been done, and no attempt of ours to go with it."""
    submits = Counter(one["action"] for one in came if _may_have_been_done(one))
    return [
        f"{number} requests to {kind}, {book.left.get(kind, 0)} attempts in our book"
        for kind, number in submits.items()
        if number > book.left.get(kind, 0)
    ]


def _without_a_question(came: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same request again although the first may have been done, and nobody asked what became of it."""
    found, last = [], ""
    for one in came:
        if one["call"] != "submit":
            last = ""
            continue
        if one["action"] and one["action"] == last:
            found.append(f"{one['action']} again without a question in between")
        if _may_have_been_done(one):
            last = one["action"]
    return found


def _may_have_been_done(one: Mapping[str, Any]) -> bool:
    return (one["call"], one["heard"] == "refused") == ("submit", False)


def _wanted_twice(book: Attempts) -> list[str]:
    """Two commands of one kind done one after the other: the second had nothing to do."""
    pairs = zip(book.done, book.done[1:], strict=False)
    return [f"two commands to {kind} done in a row" for kind, again in pairs if kind == again]


def _effects_beyond(effects: Sequence[str], book: Attempts, asked: int | None) -> list[str]:
    found = [
        f"{number} effects of {kind}, {book.left.get(kind, 0)} attempts"
        for kind, number in Counter(effects).items()
        if number > book.left.get(kind, 0)
    ]
    if asked is not None and len(effects) > asked:
        found.append(f"{len(effects)} effects, asked for {asked} times")
    return found


def examine(
    sandbox: str, cards: Sequence[SmartCard], asked: Mapping[int, int] | None = None
) -> Found:
    """Compare wishes, our knowledge, our book of attempts and the operator's book."""
    ours = SmartCard.objects.filter(pk__in=[one.pk for one in cards]).select_related("account")
    each = [_examined(sandbox, card, asked) for card in ours]
    return Found(
        lost=sum(one.lost for one in each),
        doubled=sum(one.doubled for one in each),
        wrong=sum(one.wrong for one in each),
        details=tuple(text for one in each for text in one.details),
    )


def _examined(sandbox: str, card: SmartCard, asked: Mapping[int, int] | None) -> Found:
    shown = truth(sandbox, card)
    works = shown["state"] == "active"
    target = rules.target_on(queries.facts_now(card, clock.now()))
    lost = card.wished_on is not None and works != target
    twice = doubles(
        came=received(sandbox, card),
        effects=[effect["action"] for effect in shown["effects"]],
        book=attempts_of(card),
        asked=None if asked is None else asked.get(card.pk, 0),
    )
    # One that never worked is «new» to us, whatever the operator calls a delivered card.
    off = {Confirmed.INACTIVE} if shown["effects"] else {Confirmed.INACTIVE, Confirmed.NEW}
    known = card.confirmed in ({Confirmed.ACTIVE} if works else off)
    wrong = not known or Command.objects.filter(card=card, state__in=_OPEN).exists()
    told = (_told(card, shown, twice),) if lost or twice or wrong else ()
    return Found(int(lost), int(bool(twice)), int(wrong), told)


def _told(card: SmartCard, shown: Mapping[str, Any], twice: Sequence[str]) -> str:
    commands = [
        f"{row.kind} {row.state} {row.error} {row.code} {row.attempts}x"
        for row in Command.objects.filter(card=card).order_by("pk")
    ]
    return (
        f"{card.account.adapter}: wished {card.wished_on}, we say {card.confirmed}, operator"
        f" {shown['state']}, {len(shown['effects'])} effects, calls {shown['calls']};"
        f" {'; '.join(twice) or 'nothing twice'}; {commands}"
    )
