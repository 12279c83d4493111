"""Reads: what is true of cards now."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from django.db.models import (
    DateTimeField,
    Exists,
    ExpressionWrapper,
    F,
    Max,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Sum,
    Window,
)
from django.db.models.functions import RowNumber

from cabinet.enums import ActorKind
from cabinet.models import Alert, Merchant
from operators import registry
from operators.limits import breaker
from operators.models import SECRETS, OperatorAccount
from operators.ports import Capabilities, ErrorClass, OurCode, StateQuality, iccid_spellings
from smartcards.models import Brake, Command, Coverage, MassOperationCard, SmartCard
from smartcards.rules import (
    CardFacts,
    OpenCommand,
    is_blocked,
    number_is_taken,
    shown_name,
)
from smartcards.states import (
    OPEN_COMMANDS,
    AlertKind,
    CardOutcome,
    CommandKind,
    CommandState,
    MassState,
    OperatorState,
    Origin,
)
from smartcards.texts import lacks_number
from subscriptions.evotor import queries as market
from subscriptions.models import Period
from subscriptions.queries import (
    live_subscriptions,
    switch_terms,
)
from subscriptions.rules import CLOCKS_APART, SwitchTerms, is_entitled, is_not_over

Commands = QuerySet[Command, Command]

# Switch-offs that nobody asked for: what the brake counts and holds back.
AUTOMATIC_OFF = Q(kind=CommandKind.DEACTIVATE, origin=Origin.RECONCILE)


def with_facts(cards: QuerySet[SmartCard], *, terms: bool = False) -> QuerySet[SmartCard]:
    """Cards with what `facts_of` reads: two more queries, however many cards.

    With `terms` also what `switch_terms_of` reads, by a third.
    """
    covered = Coverage.objects.filter(till=None).select_related("subscription__tariff")
    if terms:
        periods = Period.objects.select_related("tariff")
        covered = covered.prefetch_related(Prefetch("subscription__periods", periods))
    cards = cards.select_related("account", "terminal__shop").prefetch_related(
        Prefetch("coverages", covered, to_attr="open_coverages"),
        Prefetch(
            "commands", Command.objects.filter(state__in=OPEN_COMMANDS), to_attr="open_commands"
        ),
    )
    return cards.defer(*(f"account__{name}" for name in SECRETS))


def switch_terms_of(card: SmartCard, at: datetime) -> SwitchTerms:
    """What a switch of the card costs and how long it must last, by its tariff or its contract.

    Of a card that came through `with_facts`; no query where it was asked for `terms`.
    """
    coverages: list[Coverage] = getattr(card, "open_coverages")  # noqa: B009 - set by Prefetch
    paid_by = coverages[0].subscription if coverages else None
    return switch_terms(subscription=paid_by, contract=card.account, at=at)


def facts_of(card: SmartCard, at: datetime) -> CardFacts:
    """The facts of a card that came through `with_facts`."""
    coverages: list[Coverage] = getattr(card, "open_coverages")  # noqa: B009 - set by Prefetch
    commands: list[Command] = getattr(card, "open_commands")  # noqa: B009 - set by Prefetch
    return CardFacts(
        confirmed=OperatorState(card.confirmed),
        block_reason=card.block_reason,
        desired_on=card.desired_on,
        desired_by_kind=card.desired_by_kind,
        covered=bool(coverages),
        entitled=any(
            is_entitled(
                entitled_from=row.subscription.entitled_from,
                entitled_until=row.subscription.entitled_until,
                at=at,
            )
            for row in coverages
        ),
        open_command=_open_command(commands[0]) if commands else None,
        withdrawn=card.withdrawn_because,
        replaced=card.replaced_by_id is not None,
        held_back=card.may_hold_until is not None and card.may_hold_until > at,
        not_over=any(
            is_not_over(
                entitled_from=row.subscription.entitled_from,
                entitled_until=row.subscription.entitled_until,
                at=at,
            )
            for row in coverages
        ),
    )


def _open_command(command: Command) -> OpenCommand:
    return OpenCommand(
        kind=CommandKind(command.kind),
        state=CommandState(command.state),
        asked_by=shown_name(command.asked_by_kind, command.asked_by),
        created_at=command.created_at,
    )


def live_coverage(at: datetime) -> QuerySet[Coverage]:
    """Open coverages whose subscription pays now."""
    return Coverage.objects.filter(
        Q(subscription__entitled_until=None) | Q(subscription__entitled_until__gt=at),
        till=None,
        subscription__entitled_from__lte=at + CLOCKS_APART,
    )


def coverage_not_over(at: datetime) -> QuerySet[Coverage]:
    """Open coverages whose subscription has not ended, though perhaps not begun yet by our clock."""
    return Coverage.objects.filter(
        Q(subscription__entitled_until=None) | Q(subscription__entitled_until__gt=at),
        till=None,
        subscription__entitled_from__isnull=False,
    )


def facts_now(card: SmartCard, at: datetime) -> CardFacts:
    """The facts of one card, read afresh (inside the caller's lock)."""
    return facts_of(with_facts(SmartCard.objects.filter(pk=card.pk)).get(), at)


@dataclass(frozen=True)
class PaidSlots:
    """How many cards are paid, and how many of these paid slots are taken."""

    total: int
    taken: int

    @property
    def free(self) -> int:
        return max(0, self.total - self.taken)


def switch_allowed_at(card: SmartCard) -> datetime | None:
    """When the contract's pause since the card's last switch is over; None without such a pause."""
    pause = card.account.cooldown_seconds
    done = Command.objects.filter(card=card, state=CommandState.DONE)
    last = done.aggregate(at=Max("finished_at"))["at"] if pause else None
    return last + timedelta(seconds=pause) if last else None


def switches_allowed_at(cards: Sequence[SmartCard]) -> dict[int, datetime]:
    """`switch_allowed_at` by card, of those that have such a moment: one query at most."""
    pauses = {card.pk: card.account.cooldown_seconds for card in cards}
    paused = [pk for pk, seconds in pauses.items() if seconds]
    if not paused:
        return {}
    done = Command.objects.filter(card__in=paused, state=CommandState.DONE).order_by()
    last = done.values_list("card").annotate(at=Max("finished_at"))
    return {pk: at + timedelta(seconds=pauses[pk]) for pk, at in last if at is not None}


def switched_on_at(card: SmartCard) -> datetime | None:
    """When the card was last switched on by us; None where that is not known."""
    done = Command.objects.filter(card=card, kind=CommandKind.ACTIVATE, state=CommandState.DONE)
    switched: datetime | None = done.aggregate(at=Max("finished_at"))["at"]
    return switched


def replacement_candidates(merchant: Merchant) -> QuerySet[SmartCard]:
    """Cards that may replace another: new ones in use that replace none yet, oldest first."""
    busy = Exists(Command.objects.filter(card=OuterRef("pk"), state__in=OPEN_COMMANDS))
    rows = SmartCard.objects.of(merchant).filter(
        ~busy, confirmed=OperatorState.NEW, withdrawn_at=None, replaces=None
    )
    return rows.select_related("account", "terminal__shop").order_by("handed_at", "pk")


def priced_replacement_candidates(
    merchant: Merchant, *, instead_of: SmartCard, at: datetime
) -> list[tuple[SmartCard, SwitchTerms]]:
    """The same, each with the terms of its switches once it has the slot of the other card."""
    rows = Coverage.objects.filter(card=instead_of).select_related("subscription__tariff")
    last = rows.prefetch_related("subscription__periods__tariff").order_by("-since", "-pk").first()
    paid_by = last.subscription if last else None
    return [
        (card, switch_terms(subscription=paid_by, contract=card.account, at=at))
        for card in replacement_candidates(merchant)
    ]


def unassigned_stock() -> QuerySet[SmartCard]:
    """New cards of all operators that work for us, that nobody has and nobody has packed."""
    # `packed` by the name of the relation: orders are an app above this one.
    return SmartCard.objects.filter(
        account__enabled=True, merchant=None, packed=None, confirmed=OperatorState.NEW
    )


def paid_slots(merchant: Merchant, at: datetime) -> PaidSlots:
    """Paid cards of the merchant over all live subscriptions, and the open coverages."""
    live = live_subscriptions(at).filter(merchant=merchant)
    total = live.aggregate(total=Sum("cards_now"))["total"] or 0
    taken = Coverage.objects.filter(card__merchant=merchant, till=None).count()
    return PaidSlots(total=total, taken=taken)


def merchants_with_unprocessed_payment(at: datetime) -> list[int]:
    """Merchants nothing of whom goes off by itself: an event about their payment is not processed yet."""
    return list(market.merchants_with_unprocessed_payment(at))


def accounts_with_work(at: datetime) -> QuerySet[OperatorAccount]:
    """Accounts whose outbox has something to send or to ask."""
    work = Command.objects.filter(account=OuterRef("pk")).filter(
        Q(state=CommandState.QUEUED, due_at__lte=at)
        | Q(state__in=[CommandState.ACCEPTED, CommandState.CHECKING], check_at__lte=at)
    )
    return OperatorAccount.objects.filter(Exists(work), enabled=True).order_by("pk")


def late_commands(at: datetime) -> list[Command]:
    """Open commands that took longer than the operator's worst time, the oldest first.

    Without those that have an open alert, so that these never fill the limit of 200, and those of operators
    about which staff want no alerts now or that are at their planned works.
    """
    worst = ExpressionWrapper(
        F("created_at") + F("account__worst_seconds") * timedelta(seconds=1),
        output_field=DateTimeField(),
    )
    alerted = Alert.objects.filter(
        kind=AlertKind.COMMAND_LATE, target_id=OuterRef("pk"), closed_at=None
    )
    late = Command.objects.filter(~Exists(alerted), state__in=OPEN_COMMANDS).annotate(
        promised_at=worst
    )
    late = late.exclude(account__in=breaker.silent_accounts(at))
    rows = late.filter(promised_at__lte=at).select_related("card__account", "account")
    return list(rows.order_by("created_at", "pk")[:200])


def brake_now() -> Brake:
    """The one brake row; an unsaved default while none is stored: reading makes no row."""
    return Brake.objects.filter(pk=1).first() or Brake()


def is_braked(brake: Brake) -> bool:
    """Whether automatic switch-offs are stopped, for whichever reason."""
    return any((brake.engaged_at, brake.tap_closed_at, brake.report_only_at))


def stopped_by(brake: Brake) -> Q:
    """Queued commands that the brake keeps in the queue."""
    if brake.report_only_at is not None:
        # What the restored copy still queues may have been sent long ago.
        return Q(created_at__lt=brake.report_only_at) | Q(asked_by_kind=ActorKind.SYSTEM)
    if brake.engaged_at or brake.tap_closed_at:
        return AUTOMATIC_OFF
    return Q(pk__in=[])


def cards_of(merchant: Merchant) -> QuerySet[SmartCard]:
    """The merchant's cards with their facts, oldest first."""
    return with_facts(SmartCard.objects.of(merchant)).order_by("handed_at", "pk")


def failures_that_count(card: SmartCard, kind: CommandKind, at: datetime) -> list[Command]:
    """Failed commands of this kind in a row that stand against another try, the newest first.

    Failures from before the present desired state, slot or payment do not count. Nor do those
    from before the operator's block was lifted, or before the card got the number it lacked.
    """
    return failures_of_many([card], kind, at)[card.pk]


def failures_of_many(
    cards: Sequence[SmartCard], kind: CommandKind, at: datetime
) -> dict[int, list[Command]]:
    """`failures_that_count` of each of these cards by its id: three queries, however many cards."""
    failed = _failures_in_a_row([card.pk for card in cards], kind)
    suspects = [card for card in cards if failed[card.pk]]
    began = _began_anew(suspects, at) if suspects else {}
    return {card.pk: _counting(failed[card.pk], card, began) for card in cards}


def _counting(
    failed: Sequence[Command], card: SmartCard, began: Mapping[int, datetime]
) -> list[Command]:
    recent = takewhile(lambda command: not is_overcome(command, card), failed)
    return [command for command in recent if command.created_at >= began[card.pk]]


def _failures_in_a_row(card_ids: Collection[int], kind: CommandKind) -> dict[int, list[Command]]:
    """The newest failed commands of this kind since the last one that was not a failure, ten at most."""
    newest_first = [F("created_at").desc(), F("pk").desc()]
    place = Window(RowNumber(), partition_by="card_id", order_by=newest_first)
    failing = Command.objects.filter(card__in=card_ids, state=CommandState.FAILED)
    recent = Command.objects.filter(card__in=failing.values("card")).annotate(place=place)
    found: dict[int, list[Command]] = {pk: [] for pk in card_ids}
    over: set[int] = set()
    for command in recent.filter(place__lte=10).order_by("card", "place"):
        if command.state != CommandState.FAILED or command.kind != kind:
            over.add(command.card_id)
        if command.card_id not in over:
            found[command.card_id].append(command)
    return found


def is_overcome(failed: Command, card: SmartCard) -> bool:
    """Whether what refused it is gone: the operator's block, or the lack of a number of its own."""
    if failed.error == ErrorClass.HELD_BY_OPERATOR:
        return not is_blocked(OperatorState(card.confirmed), card.block_reason)
    if failed.code == OurCode.SHARED_NUMBER:
        return not switches_another_card_off(card)
    return lacks_number(failed.error, failed.code) and bool(card.msisdn)


def _began_anew(cards: Sequence[SmartCard], at: datetime) -> dict[int, datetime]:
    """The last change of desired state, slot or payment of each card; one stamped ahead of our clock
    has not begun yet.
    """
    rows = Coverage.objects.filter(card__in=cards).select_related("subscription")
    last = {row.card_id: row for row in rows.order_by("card", "-since", "-pk").distinct("card")}
    paid = Period.objects.filter(
        subscription__in={row.subscription_id for row in last.values()}, starts_at__lte=at
    )
    starts = dict(paid.order_by().values_list("subscription").annotate(at=Max("starts_at")))
    began: dict[int, datetime] = {}
    for card in cards:
        begins = [card.desired_at]
        if card.pk in last:
            place = last[card.pk]
            begins += [place.since, place.subscription.entitled_from]
            begins.append(starts.get(place.subscription_id))
        known = [moment for moment in begins if moment is not None and moment <= at]
        began[card.pk] = max(known, default=datetime.min.replace(tzinfo=at.tzinfo))
    return began


def cards_spelled(cards: QuerySet[SmartCard], named: Collection[str]) -> dict[str, list[SmartCard]]:
    """Those of these cards that each number of `named` may mean: the one of exactly these digits, else all that
    differ by a correct check digit.

    None for a number that nobody bears, two where the digits may mean either. `named` are digits
    (`operators.ports.iccid_of`).
    """
    spelled = {iccid: iccid_spellings(iccid) for iccid in named}
    wanted = {one for spellings in spelled.values() for one in spellings}
    known = {card.iccid: card for card in cards.filter(iccid__in=wanted)}
    found = {iccid: [known[one] for one in by if one in known] for iccid, by in spelled.items()}
    return {
        iccid: [known[iccid]] if iccid in known else candidates
        for iccid, candidates in found.items()
    }


def cards_by_iccid(account_id: int, named: Collection[str]) -> dict[str, SmartCard]:
    """An account's cards by the spellings in which an operator names them, as `cards_spelled`.

    A name that could mean two cards means none.
    """
    meant = cards_spelled(SmartCard.objects.filter(account_id=account_id), named)
    return {iccid: cards[0] for iccid, cards in meant.items() if len(cards) == 1}


def bearers_of(msisdns: Collection[str]) -> QuerySet[SmartCard]:
    """Cards under these telephone numbers; one that its operator has retired bears none any more."""
    return SmartCard.objects.filter(msisdn__in=msisdns).exclude(confirmed=OperatorState.RETIRED)


def switches_another_card_off(card: SmartCard) -> bool:
    """Whether the operator, which finds this card by its number, would switch off another that is to work.

    New ones of the kind are refused; see `reconciliation.duplicates` for how there may be any.
    """
    if not card.msisdn or not needs_number(card.account):
        return False
    others = bearers_of([card.msisdn]).filter(account=card.account_id, desired_on=True)
    return others.exclude(pk=card.pk).exists()


# So many numbers are looked up together.
_NUMBERS_AT_ONCE = 2000


def numbers_taken(account: OperatorAccount, listed: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Why cards of a list may not come to this contract with their telephone numbers: sentences by ICCID.

    `listed` are ICCIDs with numbers; of two rows with one number the later is refused. Empty for an operator
    that needs no number. Whoever writes the cards holds `services.lock_numbers`.
    """
    if not needs_number(account):
        return {}
    known = _bearers_by_number(account, [msisdn for _, msisdn in listed if msisdn])
    taken: dict[str, str] = {}
    for iccid, msisdn in listed:
        bearers = known.setdefault(msisdn, []) if msisdn else []
        others = [one for one in bearers if one not in iccid_spellings(iccid)]
        if others:
            taken[iccid] = number_is_taken(others[0])
        else:
            bearers.append(iccid)
    return taken


def _bearers_by_number(account: OperatorAccount, msisdns: Sequence[str]) -> dict[str, list[str]]:
    """ICCIDs by number."""
    found: dict[str, list[str]] = {}
    for begin in range(0, len(msisdns), _NUMBERS_AT_ONCE):
        cards = bearers_of(msisdns[begin : begin + _NUMBERS_AT_ONCE]).filter(account=account)
        for msisdn, iccid in cards.order_by("pk").values_list("msisdn", "iccid"):
            found.setdefault(msisdn, []).append(iccid)
    return found


def readable_accounts() -> list[OperatorAccount]:
    """Enabled accounts whose operator has a call that reads a card."""
    accounts = OperatorAccount.objects.filter(enabled=True).order_by("pk")
    return [account for account in accounts if can_be_read(account)]


def can_be_read(account: OperatorAccount) -> bool:
    """Whether this operator's cards can be read at all; False for an unknown adapter."""
    found = _capabilities(account)
    return found is not None and found.state_quality is not StateQuality.NONE


def reads_weakly(account: OperatorAccount) -> bool:
    """Whether a reading is only a hint."""
    found = _capabilities(account)
    return found is not None and found.state_quality is StateQuality.WEAK


def tells_state(account: OperatorAccount) -> bool:
    """Whether a reading settles how this operator's cards stand, its own blocks included.

    Where it does not, staff record the end of a block. False for an unknown adapter.
    """
    found = _capabilities(account)
    return found is not None and found.state_quality is StateQuality.EXACT and found.shows_holds


def _capabilities(account: OperatorAccount) -> Capabilities | None:
    if account.adapter not in registry.codes():
        return None
    return registry.capabilities(account.adapter, account.profile)


def needs_number(account: OperatorAccount) -> bool:
    """Whether this operator's cards cannot be switched without a telephone number.

    It knows them by it, or the description puts it into a call. False for an unknown adapter.
    """
    if account.adapter not in registry.codes():
        return False
    calls = json.dumps((account.profile or {}).get("calls", {}))
    return is_known_by_number(account) or "{msisdn" in calls


def is_known_by_number(account: OperatorAccount) -> bool:
    """Whether the operator knows its cards by nothing else; False for an unknown adapter."""
    found = _capabilities(account)
    return found is not None and found.key == "msisdn"


def switched_off_by_people(merchant: Merchant, *, since: datetime) -> int:
    """How many cards the merchant's people have asked to switch off since then, a confirmed mass operation's too."""
    planned = MassOperationCard.objects.filter(
        operation__merchant=merchant,
        operation__confirmed_at__gt=since,
        operation__asked_by_kind=ActorKind.PERSON,
        outcome=CardOutcome.PLANNED,
        goes_dark=True,
    ).exclude(operation__state=MassState.CANCELLING)
    rows = Command.objects.filter(
        card__merchant=merchant,
        kind=CommandKind.DEACTIVATE,
        asked_by_kind=ActorKind.PERSON,
        created_at__gt=since,
    )
    asked = rows.values("card_id").union(planned.values("card_id"))
    return asked.count()
