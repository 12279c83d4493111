"""Where a card at its operator differs from what we keep: kinds, counts, rows. Reads only.

«Off though paid» and «on though unpaid» mend themselves (`reconcile`, behind the brake); they stand
here for as long as they last. The others wait for a person, and so does a card in stock that is on:
nobody pays for it. Of a card in stock nothing else is a difference: it is nobody's yet.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import (
    BooleanField,
    Case,
    Count,
    DateTimeField,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextChoices,
    Value,
    When,
)
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Greatest, Left

from operators.models import SECRETS, OperatorAccount
from smartcards import queries
from smartcards.models import Command, Coverage, SmartCard
from smartcards.rules import FOREIGN_BLOCKS
from smartcards.states import OPEN_COMMANDS, OperatorState

# An IMEI is reported with its check digit, without it, or with the version of the software behind it.
_IMEI_DIGITS = 14
_SECRETS = tuple(f"account__{name}" for name in (*SECRETS, "ca_bundle"))


class DiscrepancyKind(TextChoices):
    """How a card differs."""

    PAID_BUT_OFF = "paid_off", "оплачена, но отключена"
    ON_BUT_UNPAID = "unpaid_on", "включена, но не оплачена"
    ON_THOUGH_UNWANTED = "unwished_on", "включена, хотя её просили отключить"
    HELD = "held", "удержана оператором"
    LOST = "lost", "оператор её не знает"
    OTHER_NUMBER = "number", "у оператора другой номер"
    OTHER_DEVICE = "imei", "стоит в другом терминале (IMEI)"
    RETIRED = "retired", "списана у оператора"


# A promise of the service mends these without a person.
FIXED_BY_ITSELF = frozenset(
    {
        DiscrepancyKind.PAID_BUT_OFF,
        DiscrepancyKind.ON_BUT_UNPAID,
        DiscrepancyKind.ON_THOUGH_UNWANTED,
    }
)


@dataclass(frozen=True)
class Discrepancy:
    """One difference of one card. `since` is UTC: its beginning, or the reading that showed it."""

    kind: DiscrepancyKind
    since: datetime | None


@dataclass(frozen=True)
class Counted:
    """How many cards of an account differ in each way, in the order of `DiscrepancyKind`."""

    account_id: int
    title: str
    numbers: tuple[int, ...]

    @property
    def total(self) -> int:
        """Differences, not cards: one card may differ in several ways."""
        return sum(self.numbers)


def page_of(
    at: datetime,
    *,
    kind: DiscrepancyKind | None = None,
    among: Collection[DiscrepancyKind] = tuple(DiscrepancyKind),
    account_id: int | None = None,
    start: int = 0,
    size: int = 100,
) -> list[SmartCard]:
    """A stretch of the staff's list, for `found`; of one kind the longest lasting come first.

    Without `kind` it holds cards of the kinds `among`: name those only that `counts` has found, the others
    cost as much time where there is nothing.

    Two steps: which cards, then everything about these few.
    """
    if kind is not None:
        name = _since_name(kind)
        cards = _differing(kind, at, account_id).alias(**{name: _time(_times()[kind])})
        numbers = cards.order_by(F(name).asc(nulls_first=True), "pk").values_list("pk", flat=True)
    else:
        every = [
            _differing(one, at, account_id).order_by().values_list("pk", flat=True) for one in among
        ]
        if not every:
            return []
        numbers = every[0].union(*every[1:]).order_by("pk")
    return _whole(list(numbers[start : start + size]), at)


def _differing(
    kind: DiscrepancyKind, at: datetime, account_id: int | None = None
) -> QuerySet[SmartCard]:
    """The cards that differ in this way. Each way is asked for by itself: so the database joins what pays
    for cards and what is under way as sets, and does not look it up for every card there is.
    """
    cards = _candidates(at).filter(_CONDITIONS[kind])
    return cards if account_id is None else cards.filter(account_id=account_id)


def _whole(ids: Sequence[int], at: datetime) -> list[SmartCard]:
    marks = {f"is_{kind.value}": _mark(_CONDITIONS[kind]) for kind in DiscrepancyKind}
    since = {_since_name(kind): _time(expression) for kind, expression in _times().items()}
    rows = _candidates(at).filter(pk__in=ids).annotate(**marks, **since)
    rows = rows.select_related("merchant", "account", "terminal").defer(*_SECRETS)
    by_id = {row.pk: row for row in rows}
    return [by_id[pk] for pk in ids if pk in by_id]


def found(card: SmartCard) -> list[Discrepancy]:
    """The differences of a card that came through `page_of`."""
    return [
        Discrepancy(kind, getattr(card, _since_name(kind)))
        for kind in DiscrepancyKind
        if getattr(card, f"is_{kind.value}")
    ]


def counts(at: datetime) -> list[Counted]:
    """One entry for each account that has any, by title: two queries."""
    by_kind = [
        _differing(kind, at)
        .order_by()
        .values("account_id")
        .annotate(kind=Value(kind.value), number=Count("pk"))
        .values_list("account_id", "kind", "number")
        for kind in DiscrepancyKind
    ]
    numbers: dict[int, dict[str, int]] = {}
    for account_id, kind, number in by_kind[0].union(*by_kind[1:], all=True):
        numbers.setdefault(account_id, {})[kind] = number
    titles = dict(OperatorAccount.objects.values_list("pk", "title"))
    lines = [
        Counted(pk, titles[pk], tuple(found.get(kind.value, 0) for kind in DiscrepancyKind))
        for pk, found in numbers.items()
    ]
    return sorted(lines, key=lambda line: (line.title, line.account_id))


def totals(lines: Sequence[Counted]) -> list[int]:
    """How many differences of each kind there are in all accounts together."""
    return [sum(line.numbers[place] for line in lines) for place in range(len(DiscrepancyKind))]


def _candidates(at: datetime) -> QuerySet[SmartCard]:
    """Cards in somebody's hands, and those in stock that work, with the facts of the conditions."""
    coverages = Coverage.objects.filter(card=OuterRef("pk"), till=None)
    under_way = Command.objects.filter(card=OuterRef("pk"), state__in=OPEN_COMMANDS)
    relevant = Q(merchant__isnull=False) | Q(confirmed=OperatorState.ACTIVE)
    return SmartCard.objects.filter(relevant).alias(
        paid=Exists(queries.live_coverage(at).filter(card=OuterRef("pk"))),
        not_over=Exists(queries.coverage_not_over(at).filter(card=OuterRef("pk"))),
        covered=Exists(coverages),
        under_way=Exists(under_way),
        seen_device=Left("seen_imei", _IMEI_DIGITS),
        own_device=Left("terminal__imei", _IMEI_DIGITS),
    )


_ON = Q(confirmed=OperatorState.ACTIVE, under_way=False)
_IN_USE = Q(withdrawn_at=None, merchant__isnull=False)
_CONDITIONS: dict[DiscrepancyKind, Q] = {
    DiscrepancyKind.PAID_BUT_OFF: Q(
        Q(confirmed__in=[OperatorState.NEW, OperatorState.INACTIVE]),
        ~Q(block_reason__in=FOREIGN_BLOCKS),
        desired_on=True,
        paid=True,
        under_way=False,
    ),
    # Without a decision reconcile leaves it alone, and it costs money all the same.
    DiscrepancyKind.ON_BUT_UNPAID: _ON
    & (Q(desired_on=True) | Q(desired_on=None) | Q(merchant=None))
    & Q(not_over=False),
    DiscrepancyKind.ON_THOUGH_UNWANTED: _ON & Q(desired_on=False, merchant__isnull=False),
    DiscrepancyKind.HELD: _IN_USE
    & (
        Q(confirmed=OperatorState.HELD)
        | Q(confirmed=OperatorState.INACTIVE, block_reason__in=FOREIGN_BLOCKS)
    ),
    DiscrepancyKind.LOST: _IN_USE & Q(lost_to_operator_at__isnull=False),
    DiscrepancyKind.OTHER_NUMBER: _IN_USE & ~Q(seen_msisdn="") & ~Q(seen_msisdn=F("msisdn")),
    DiscrepancyKind.OTHER_DEVICE: _IN_USE
    & ~Q(seen_imei="")
    & Q(terminal__imei__gt="")
    & ~Q(seen_device=F("own_device")),
    DiscrepancyKind.RETIRED: Q(confirmed=OperatorState.RETIRED)
    & (Q(covered=True) | Q(desired_on=True)),
}


def _since_name(kind: DiscrepancyKind) -> str:
    return f"since_{kind.value}"


def _times() -> dict[DiscrepancyKind, Combinable]:
    """Since when each kind lasts; PostgreSQL's GREATEST passes over what is unknown."""
    open_rows = Coverage.objects.filter(card=OuterRef("pk"), till=None)
    covered_since = Subquery(
        open_rows.values(since_both=Greatest("since", "subscription__entitled_from"))[:1]
    )
    ended_at = Subquery(open_rows.values("subscription__entitled_until")[:1])
    past_rows = Coverage.objects.filter(card=OuterRef("pk"), till__isnull=False)
    last_till = Subquery(past_rows.order_by("-till").values("till")[:1])
    return {
        DiscrepancyKind.PAID_BUT_OFF: Greatest("desired_at", "off_since", covered_since),
        DiscrepancyKind.ON_BUT_UNPAID: Coalesce(ended_at, last_till, "handed_at", "confirmed_at"),
        DiscrepancyKind.ON_THOUGH_UNWANTED: F("desired_at"),
        DiscrepancyKind.HELD: Coalesce("off_since", "confirmed_at"),
        DiscrepancyKind.LOST: F("lost_to_operator_at"),
        DiscrepancyKind.OTHER_NUMBER: F("read_at"),
        DiscrepancyKind.OTHER_DEVICE: F("read_at"),
        DiscrepancyKind.RETIRED: Coalesce("off_since", "confirmed_at"),
    }


def _mark(condition: Q) -> Case:
    return Case(When(condition, then=Value(True)), default=False, output_field=BooleanField())


def _time(expression: Combinable) -> Coalesce:
    return Coalesce(expression, None, output_field=DateTimeField())
