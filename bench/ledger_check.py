"""The comparison at the end: what was desired, what we know, and what the operator's own record shows.

The operator's record has more than effects: a card that is on already can be switched on ten times
without an effect. So every request that came in is compared with the attempts in our own tables, and
with the questions between two attempts.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cabinet import clock
from operators.sandbox.state import ClientSaw, ReceivedCall
from smartcards import queries, rules
from smartcards.models import Command, SmartCard
from smartcards.states import OPEN_COMMANDS, CommandState, OperatorState

# A call of the sandbox: method and path, gives its JSON.
Ask = Callable[[str, str], Any]


@dataclass(frozen=True)
class Ledger:
    """What an examination at the end counted."""

    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    details: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Nothing lost, nothing doubled, nothing wrong."""
        return not (self.lost or self.doubled or self.wrong)


def truth(ask: Ask, card: SmartCard) -> dict[str, Any]:
    """The operator's own record of a card, see `GET /state/<code>/<iccid>` of the sandbox."""
    shown: dict[str, Any] = ask("GET", f"/state/{card.account.adapter}/{card.iccid}")
    return shown


def received(ask: Ask, card: SmartCard) -> list[ReceivedCall]:
    """Every request about a card that the operator received, in their order."""
    shown = ask("GET", f"/received/{card.account.adapter}/{card.iccid}")
    return [ReceivedCall(**one) for one in shown["received"]]


def doubles(
    *,
    came: Sequence[ReceivedCall],
    effects: Sequence[str],
    sent: Sequence[Command],
    asked: int | None = None,
) -> list[str]:
    """What was done or asked for twice, as sentences.

    `sent`: the commands of the card that left, in their order; waiting for our own quota is no attempt.
    `asked`: how often people and payments wanted a switch.
    """
    attempts: Counter[str] = Counter()
    for row in sent:
        attempts[row.kind] += row.attempts
    requests = Counter(one.action for one in came if _may_have_been_done(one))
    found = [
        f"{number} {what} {kind}, {attempts[kind]} attempts in our record"
        for what, counted in (("requests to", requests), ("effects of", Counter(effects)))
        for kind, number in counted.items()
        if number > attempts[kind]
    ]
    found += _without_a_question(came)
    done = [row.kind for row in sent if row.state == CommandState.DONE]
    in_a_row = (kind for kind, again in pairwise(done) if kind == again)
    found += [f"two commands to {kind} done in a row" for kind in in_a_row]
    if asked is not None and len(effects) > asked:
        found.append(f"{len(effects)} effects, asked for {asked} times")
    return found


def _may_have_been_done(one: ReceivedCall) -> bool:
    """Whether it can have changed the card."""
    return one.call == "submit" and one.client_saw != ClientSaw.REFUSED


def _without_a_question(came: Sequence[ReceivedCall]) -> list[str]:
    """The same request again although the first may have been done, and nobody asked what became of it."""
    found, last = [], ""
    for one in came:
        if one.call != "submit":
            last = ""
            continue
        if one.action and one.action == last:
            found.append(f"{one.action} again without a question in between")
        if _may_have_been_done(one):
            last = one.action
    return found


def examine(ask: Ask, cards: Sequence[SmartCard], asked: Mapping[int, int] | None = None) -> Ledger:
    """Compare desired states, our knowledge, our attempts and the operator's record."""
    ours = SmartCard.objects.filter(pk__in=[one.pk for one in cards]).select_related("account")
    each = [_examined(ask, card, asked) for card in ours]
    return Ledger(
        lost=sum(one.lost for one in each),
        doubled=sum(one.doubled for one in each),
        wrong=sum(one.wrong for one in each),
        details=tuple(text for one in each for text in one.details),
    )


def _examined(ask: Ask, card: SmartCard, asked: Mapping[int, int] | None) -> Ledger:
    shown = truth(ask, card)
    works, effects = shown["state"] == "active", [one["action"] for one in shown["effects"]]
    target = rules.target_on(queries.facts_now(card, clock.now()))
    lost = card.desired_on is not None and works != target
    wanted = None if asked is None else asked.get(card.pk, 0)
    commands = list(Command.objects.filter(card=card).order_by("pk"))
    sent = [one for one in commands if one.sent_at is not None]
    twice = doubles(came=received(ask, card), effects=effects, sent=sent, asked=wanted)
    known = {OperatorState.ACTIVE} if works else {OperatorState.INACTIVE}
    if not works and not effects:  # to us it is new, whatever the operator calls a delivered card
        known.add(OperatorState.NEW)
    wrong = card.confirmed not in known or any(one.state in OPEN_COMMANDS for one in commands)
    if not (lost or twice or wrong):
        return Ledger()
    record = [f"{one.kind} {one.state} {one.error} {one.attempts}x" for one in commands]
    text = (
        f"{card.account.adapter}: wanted {card.desired_on}, we say {card.confirmed}, operator"
        f" {shown['state']}, effects {effects}, calls {shown['calls']}; {twice}; {record}"
    )
    return Ledger(int(lost), int(bool(twice)), int(wrong), (text,))
