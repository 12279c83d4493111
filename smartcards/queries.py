"""Reads: what is true of cards now."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from django.db.models import (
    CharField,
    Count,
    DateTimeField,
    Exists,
    ExpressionWrapper,
    F,
    Max,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.functions import Cast, Coalesce, Concat

from cabinet.models import Alert, Merchant
from cabinet.states import ActorKind
from operators import registry
from operators.models import OperatorAccount
from operators.ports import Capabilities, ErrorClass, StateQuality
from smartcards.models import Brake, Command, Coverage, SmartCard
from smartcards.phrases import lacks_number
from smartcards.rules import CardFacts, OpenCommand, is_blocked
from smartcards.states import OPEN_COMMANDS, CommandKind, CommandState, Confirmed
from subscriptions.models import Period, Subscription
from subscriptions.queries import (
    LiveSubscription,
    ending_before,
    live_subscriptions,
    switch_terms,
)
from subscriptions.rules import CLOCKS_APART, SwitchTerms, is_entitled

Commands = QuerySet[Command, Command]
_OPEN = [state.value for state in OPEN_COMMANDS]


def with_facts(cards: QuerySet[SmartCard], *, terms: bool = False) -> QuerySet[SmartCard]:
    """Cards with what `facts_of` reads: two more queries, however many cards.

    With `terms` also what `switch_terms_of` reads, by a third.
    """
    covered = Coverage.objects.filter(till=None).select_related("subscription__tariff")
    if terms:
        periods = Period.objects.select_related("tariff")
        covered = covered.prefetch_related(Prefetch("subscription__periods", periods))
    return cards.select_related("account", "terminal__shop").prefetch_related(
        Prefetch("coverages", covered, to_attr="open_coverages"),
        Prefetch("commands", Command.objects.filter(state__in=_OPEN), to_attr="open_commands"),
    )


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
        confirmed=Confirmed(card.confirmed),
        block_reason=card.block_reason,
        wished_on=card.wished_on,
        wished_by_kind=card.wished_by_kind,
        covered=bool(coverages),
        entitled=any(is_live(row.subscription, at) for row in coverages),
        open_command=_open_command(commands[0]) if commands else None,
        withdrawn=card.withdrawn_because,
        replaced=card.replaced_by_id is not None,
        held_back=card.may_hold_until is not None and card.may_hold_until > at,
    )


def _open_command(command: Command) -> OpenCommand:
    return OpenCommand(
        kind=CommandKind(command.kind),
        state=CommandState(command.state),
        asked_by=shown_name(command.asked_by_kind, command.asked_by),
        created_at=command.created_at,
    )


def shown_name(kind: str, name: str) -> str:
    """What a merchant reads of an actor: members of staff stay nameless."""
    return str(ActorKind.STAFF.label) if kind == ActorKind.STAFF else name


def is_live(subscription: Subscription, at: datetime) -> bool:
    """The subscription pays for cards at that instant."""
    return is_entitled(
        entitled_from=subscription.entitled_from, entitled_until=subscription.entitled_until, at=at
    )


def live_coverage(at: datetime) -> QuerySet[Coverage]:
    """Open coverages whose subscription pays now."""
    return Coverage.objects.filter(
        Q(subscription__entitled_until=None) | Q(subscription__entitled_until__gt=at),
        till=None,
        subscription__entitled_from__lte=at + CLOCKS_APART,
    )


def facts_now(card: SmartCard, at: datetime) -> CardFacts:
    """The facts of one card, read afresh (inside the caller's lock)."""
    return facts_of(with_facts(SmartCard.objects.filter(pk=card.pk)).get(), at)


@dataclass(frozen=True)
class Places:
    """How many cards are paid, and how many of these places are taken."""

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


def switched_on_at(card: SmartCard) -> datetime | None:
    """When the card was last switched on by us; None where that is not known."""
    done = Command.objects.filter(card=card, kind=CommandKind.ACTIVATE, state=CommandState.DONE)
    switched: datetime | None = done.aggregate(at=Max("finished_at"))["at"]
    return switched


def stand_ins(merchant: Merchant) -> QuerySet[SmartCard]:
    """Cards that may take the place of another: new ones in use that replace none yet, oldest first."""
    busy = Exists(Command.objects.filter(card=OuterRef("pk"), state__in=_OPEN))
    rows = SmartCard.objects.of(merchant).filter(
        ~busy, confirmed=Confirmed.NEW, withdrawn_at=None, replaces=None
    )
    return rows.select_related("account", "terminal__shop").order_by("handed_at", "pk")


def priced_stand_ins(
    merchant: Merchant, *, instead_of: SmartCard, at: datetime
) -> list[tuple[SmartCard, SwitchTerms]]:
    """The same, each with the terms of its switches once it has the place of the other card."""
    places = Coverage.objects.filter(card=instead_of).select_related("subscription__tariff")
    last = (
        places.prefetch_related("subscription__periods__tariff").order_by("-since", "-pk").first()
    )
    paid_by = last.subscription if last else None
    return [
        (card, switch_terms(subscription=paid_by, contract=card.account, at=at))
        for card in stand_ins(merchant)
    ]


def places(merchant: Merchant, at: datetime) -> Places:
    """Paid cards of the merchant over all live subscriptions, and the open coverages."""
    total = sum(live.paid_cards for live in live_subscriptions(merchant=merchant, at=at))
    taken = Coverage.objects.filter(card__merchant=merchant, till=None).count()
    return Places(total=total, taken=taken)


def live_of(merchant: Merchant, at: datetime) -> Sequence[LiveSubscription]:
    """Live subscriptions, the longest first: coverage goes to what lasts."""
    far = datetime.max.replace(tzinfo=at.tzinfo)
    return sorted(
        live_subscriptions(merchant=merchant, at=at),
        key=lambda live: (live.entitled_until or far, live.id),
        reverse=True,
    )


def merchants_out_of_step(at: datetime, *, among: Collection[int] | None = None) -> set[int]:
    """Merchants with a card whose confirmed state is not its target and that nothing is moving, and
    those whose coverage has to be settled. `among` asks about these merchants only.
    """
    paid = Exists(live_coverage(at).filter(card=OuterRef("pk")))
    busy = Exists(Command.objects.filter(card=OuterRef("pk"), state__in=_OPEN))
    cards = SmartCard.objects.filter(~busy, merchant__isnull=False, wished_on__isnull=False)
    if among is not None:
        cards = cards.filter(merchant__in=among)
    may_be_on = [Confirmed.ACTIVE, Confirmed.UNKNOWN]
    may_be_off = [Confirmed.NEW, Confirmed.INACTIVE, Confirmed.UNKNOWN]
    should_go_off = Q(confirmed__in=may_be_on) & (Q(wished_on=False) | ~paid)
    should_come_on = Q(confirmed__in=may_be_off, wished_on=True) & paid
    found = cards.filter(should_go_off | should_come_on).values_list("merchant_id", flat=True)
    return {pk for pk in found.distinct() if pk is not None} | _misplaced(at, among)


def _misplaced(at: datetime, among: Collection[int] | None) -> set[int]:
    """Merchants whose open coverage stands on what pays no more while another subscription has room,
    or goes beyond what their subscription pays for.
    """
    live = Subscription.objects.filter(
        Q(entitled_until=None) | Q(entitled_until__gt=at), entitled_from__lte=at + CLOCKS_APART
    )
    if among is not None:
        live = live.filter(merchant__in=among)
    running = Period.objects.filter(subscription=OuterRef("pk"), starts_at__lte=at, ends_at__gt=at)
    rooms = live.annotate(
        taken=Count("coverages", filter=Q(coverages__till=None)),
        paid=Coalesce(Subquery(running.values("cards")[:1]), F("paid_cards")),
    )
    over = set(rooms.filter(taken__gt=F("paid")).values_list("merchant_id", flat=True))
    stranded = Coverage.objects.filter(till=None, subscription__entitled_until__lte=at)
    with_room = rooms.filter(
        taken__lt=F("paid"), merchant__in=stranded.values("subscription__merchant")
    )
    return over | set(with_room.values_list("merchant_id", flat=True))


def merchants_just_ended(at: datetime, *, within: timedelta) -> set[int]:
    """Merchants who have paid for less since lately: the sweep looks at them first."""
    ended = ending_before(since=at - within, at=at)
    return set(Subscription.objects.filter(pk__in=ended).values_list("merchant_id", flat=True))


def accounts_with_work(at: datetime) -> QuerySet[OperatorAccount]:
    """Accounts whose outbox has something to send or to ask."""
    work = Command.objects.filter(account=OuterRef("pk")).filter(
        Q(state=CommandState.QUEUED, due_at__lte=at)
        | Q(state__in=[CommandState.ACCEPTED, CommandState.CHECKING], check_at__lte=at)
    )
    return OperatorAccount.objects.filter(Exists(work), enabled=True).order_by("pk")


def late_commands(at: datetime) -> list[Command]:
    """Open commands that took longer than the operator's worst time, the oldest first.

    Without those that staff have an open matter about: however many these are, none waits behind them.
    """
    worst = ExpressionWrapper(
        F("created_at") + F("account__worst_seconds") * timedelta(seconds=1),
        output_field=DateTimeField(),
    )
    key = Concat(Value("late:"), Cast(OuterRef("pk"), CharField()))
    told = Exists(Alert.objects.filter(key=key, closed_at=None))
    late = Command.objects.filter(~told, state__in=_OPEN).annotate(promised_at=worst)
    rows = late.filter(promised_at__lte=at).select_related("card__account", "account")
    return list(rows.order_by("created_at", "pk")[:200])


def brake_now() -> Brake:
    """The one brake row; made where it is not there yet."""
    brake, _ = Brake.objects.get_or_create(pk=1)
    return brake


def is_braked(brake: Brake) -> bool:
    """Whether automatic switch-offs are stopped, for whichever reason."""
    return any((brake.engaged_at, brake.tap_closed_at, brake.report_only_at))


def cards_of(merchant: Merchant) -> QuerySet[SmartCard]:
    """The merchant's cards with their facts, oldest first."""
    return with_facts(SmartCard.objects.of(merchant)).order_by("handed_at", "pk")


def failures_in_a_row(card: SmartCard, kind: CommandKind) -> list[Command]:
    """The newest failed commands of this kind since the last one that was not a failure."""
    recent: Iterable[Command] = Command.objects.filter(card=card).order_by("-created_at", "-pk")[
        :10
    ]
    failed: list[Command] = []
    for command in recent:
        if command.state != CommandState.FAILED or command.kind != kind:
            break
        failed.append(command)
    return failed


def failures_that_count(card: SmartCard, kind: CommandKind, at: datetime) -> list[Command]:
    """Of `failures_in_a_row` those that stand against another try.

    What failed before the card's present wish, place or payment says nothing of these. Nor does what
    failed before the operator's block was lifted, or before the card got the number it lacked.
    """
    failed = failures_in_a_row(card, kind)
    began = _began_anew(card, at) if failed else at
    recent = takewhile(lambda command: not is_overcome(command, card), failed)
    return [command for command in recent if command.created_at >= began]


def is_overcome(failed: Command, card: SmartCard) -> bool:
    """Whether what refused it is gone: the operator's block, or the lack of a number."""
    if failed.error == ErrorClass.HELD_BY_OPERATOR:
        return not is_blocked(Confirmed(card.confirmed), card.block_reason)
    return lacks_number(failed.error, failed.code) and bool(card.msisdn)


def _began_anew(card: SmartCard, at: datetime) -> datetime:
    """The last wish, place or payment; one stamped ahead of our clock has not begun yet."""
    place = Coverage.objects.filter(card=card).order_by("-since", "-pk").first()
    begins = [card.wished_at]
    if place is not None:
        paid = Period.objects.filter(subscription=place.subscription_id, starts_at__lte=at)
        starts = paid.aggregate(at=Max("starts_at"))["at"]
        begins += [place.since, place.subscription.entitled_from, starts]
    known = [moment for moment in begins if moment is not None and moment <= at]
    return max(known, default=datetime.min.replace(tzinfo=at.tzinfo))


def readable_accounts() -> list[OperatorAccount]:
    """Accounts whose operator tells anything of a card: all but those without such a call."""
    accounts = OperatorAccount.objects.filter(enabled=True).order_by("pk")
    return [account for account in accounts if can_be_read(account)]


def can_be_read(account: OperatorAccount) -> bool:
    """Whether this operator's cards can be read at all; False for a protocol we lack."""
    found = _capabilities(account)
    return found is not None and found.state_quality is not StateQuality.NONE


def reads_weakly(account: OperatorAccount) -> bool:
    """Whether a reading is only a hint."""
    found = _capabilities(account)
    return found is not None and found.state_quality is StateQuality.WEAK


def tells_state(account: OperatorAccount) -> bool:
    """Whether a reading settles how this operator's cards stand, its own blocks included.

    Where it does not, what staff heard of a block's end is written down. False for a protocol we lack.
    """
    found = _capabilities(account)
    return found is not None and found.state_quality is StateQuality.EXACT and found.shows_holds


def _capabilities(account: OperatorAccount) -> Capabilities | None:
    if account.adapter not in registry.codes():
        return None
    return registry.capabilities(account.adapter, account.profile)


def needs_number(account: OperatorAccount) -> bool:
    """Whether this operator's cards cannot be switched without a telephone number.

    It knows them by it, or the description puts it into a call. False for a protocol we lack.
    """
    if account.adapter not in registry.codes():
        return False
    return is_known_by_number(account) or _puts_number(account)


def is_known_by_number(account: OperatorAccount) -> bool:
    """Whether the operator knows its cards by nothing else; False for a protocol we lack."""
    found = _capabilities(account)
    return found is not None and found.key == "msisdn"


def _puts_number(account: OperatorAccount) -> bool:
    return _PUTS_NUMBER in json.dumps((account.profile or {}).get("calls", {}))


_PUTS_NUMBER = "{msisdn"
