"""Where a card at its operator differs from what we keep: kinds, counts, rows. Reads only.

«Off though paid» and «on though unpaid» mend themselves (`reconcile`, behind the brake); they stand
here for as long as they last. The others wait for a person, and so does a card in stock that is on:
nobody pays for it. Of a card in stock nothing else is a difference: it is nobody's yet.
"""

from collections.abc import Sequence
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

from operators.models import OperatorAccount
from operators.services import SECRETS
from smartcards import queries
from smartcards.models import Command, Coverage, SmartCard
from smartcards.states import OPEN_COMMANDS, Confirmed

# An IMEI is told with its check digit, without it, or with the version of the software behind it.
_IMEI_DIGITS = 14
_SECRETS = tuple(f"account__{name}" for name in (*SECRETS, "ca_bundle"))
_FOREIGN_REASONS = ("debt", "fraud", "stolen", "operator", "law", "limit", "imei")


class Drift(TextChoices):
    """How a card differs."""

    PAID_BUT_OFF = "paid_off", "оплачена, но отключена"
    ON_BUT_UNPAID = "unpaid_on", "включена, но не оплачена"
    ON_THOUGH_WISHED_OFF = "unwished_on", "включена, хотя её просили отключить"
    HELD = "held", "удержана оператором"
    LOST = "lost", "оператор её не знает"
    OTHER_NUMBER = "number", "у оператора другой номер"
    OTHER_DEVICE = "imei", "стоит в другом терминале (IMEI)"
    RETIRED = "retired", "списана у оператора"


# A promise of the service mends these without a person.
HEALED_BY_ITSELF = frozenset({Drift.PAID_BUT_OFF, Drift.ON_BUT_UNPAID, Drift.ON_THOUGH_WISHED_OFF})


@dataclass(frozen=True)
class Found:
    """One difference of one card. `since` is UTC: its beginning, or the reading that showed it."""

    kind: Drift
    since: datetime | None


@dataclass(frozen=True)
class Counted:
    """How many cards of an account differ in each way, in the order of `Drift`."""

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
    kind: Drift | None = None,
    account_id: int | None = None,
    start: int = 0,
    size: int = 100,
) -> list[SmartCard]:
    """A stretch of the staff's list, for `found`; of one kind the longest lasting come first.

    Two steps: which cards, then everything about these few.
    """
    chosen = Q(pk__in=[])
    for one in tuple(Drift) if kind is None else (kind,):
        chosen |= _CONDITIONS[one]
    cards = _told(at).filter(chosen)
    if account_id is not None:
        cards = cards.filter(account_id=account_id)
    if kind is not None:
        name = _since_name(kind)
        cards = cards.alias(**{name: _time(_times()[kind])})
        cards = cards.order_by(F(name).asc(nulls_first=True), "pk")
    else:
        cards = cards.order_by("pk")
    return _whole(list(cards.values_list("pk", flat=True)[start : start + size]), at)


def _whole(ids: Sequence[int], at: datetime) -> list[SmartCard]:
    marks = {f"is_{kind.value}": _mark(_CONDITIONS[kind]) for kind in Drift}
    since = {_since_name(kind): _time(expression) for kind, expression in _times().items()}
    rows = _told(at).filter(pk__in=ids).annotate(**marks, **since)
    rows = rows.select_related("merchant", "account", "terminal").defer(*_SECRETS)
    by_id = {row.pk: row for row in rows}
    return [by_id[pk] for pk in ids if pk in by_id]


def found(card: SmartCard) -> list[Found]:
    """The differences of a card that came through `page_of`."""
    return [
        Found(kind, getattr(card, _since_name(kind)))
        for kind in Drift
        if getattr(card, f"is_{kind.value}")
    ]


def counts(at: datetime) -> list[Counted]:
    """One line for each account that has something, by title; one pass over the cards."""
    numbers = {f"n_{kind.value}": Count("pk", filter=_CONDITIONS[kind]) for kind in Drift}
    rows = _told(at).order_by().values_list("account_id").annotate(**numbers)
    titles = dict(OperatorAccount.objects.values_list("pk", "title"))
    lines = [Counted(pk, titles[pk], tuple(counted)) for pk, *counted in rows if any(counted)]
    return sorted(lines, key=lambda line: (line.title, line.account_id))


def totals(lines: Sequence[Counted]) -> list[int]:
    """How many differences of each kind there are in all accounts together."""
    return [sum(line.numbers[place] for line in lines) for place in range(len(Drift))]


def _told(at: datetime) -> QuerySet[SmartCard]:
    """Cards in somebody's hands, and those in stock that work, with the facts of the conditions."""
    coverages = Coverage.objects.filter(card=OuterRef("pk"), till=None)
    under_way = Command.objects.filter(card=OuterRef("pk"), state__in=OPEN_COMMANDS)
    told = Q(merchant__isnull=False) | Q(confirmed=Confirmed.ACTIVE)
    return SmartCard.objects.filter(told).alias(
        paid=Exists(queries.live_coverage(at).filter(card=OuterRef("pk"))),
        covered=Exists(coverages),
        under_way=Exists(under_way),
        seen_device=Left("seen_imei", _IMEI_DIGITS),
        own_device=Left("terminal__imei", _IMEI_DIGITS),
    )


_ON = Q(confirmed=Confirmed.ACTIVE, under_way=False)
_IN_USE = Q(withdrawn_at=None, merchant__isnull=False)
_CONDITIONS: dict[Drift, Q] = {
    Drift.PAID_BUT_OFF: Q(
        Q(confirmed__in=[Confirmed.NEW, Confirmed.INACTIVE]),
        ~Q(block_reason__in=_FOREIGN_REASONS),
        wished_on=True,
        paid=True,
        under_way=False,
    ),
    # Without a wish it is nobody's: reconcile leaves it alone, and it costs all the same.
    Drift.ON_BUT_UNPAID: _ON
    & (Q(wished_on=True) | Q(wished_on=None) | Q(merchant=None))
    & Q(paid=False),
    Drift.ON_THOUGH_WISHED_OFF: _ON & Q(wished_on=False, merchant__isnull=False),
    Drift.HELD: _IN_USE
    & (
        Q(confirmed=Confirmed.HELD)
        | Q(confirmed=Confirmed.INACTIVE, block_reason__in=_FOREIGN_REASONS)
    ),
    Drift.LOST: _IN_USE & Q(lost_to_operator_at__isnull=False),
    Drift.OTHER_NUMBER: _IN_USE & ~Q(seen_msisdn="") & ~Q(seen_msisdn=F("msisdn")),
    Drift.OTHER_DEVICE: _IN_USE
    & ~Q(seen_imei="")
    & Q(terminal__imei__gt="")
    & ~Q(seen_device=F("own_device")),
    Drift.RETIRED: Q(confirmed=Confirmed.RETIRED) & (Q(covered=True) | Q(wished_on=True)),
}


def _since_name(kind: Drift) -> str:
    return f"since_{kind.value}"


def _times() -> dict[Drift, Combinable]:
    """Since when each kind lasts; PostgreSQL's GREATEST passes over what is unknown."""
    open_rows = Coverage.objects.filter(card=OuterRef("pk"), till=None)
    covered_since = Subquery(
        open_rows.values(since_both=Greatest("since", "subscription__entitled_from"))[:1]
    )
    ended_at = Subquery(open_rows.values("subscription__entitled_until")[:1])
    past_rows = Coverage.objects.filter(card=OuterRef("pk"), till__isnull=False)
    last_till = Subquery(past_rows.order_by("-till").values("till")[:1])
    return {
        Drift.PAID_BUT_OFF: Greatest("wished_at", "off_since", covered_since),
        Drift.ON_BUT_UNPAID: Coalesce(ended_at, last_till, "handed_at", "confirmed_at"),
        Drift.ON_THOUGH_WISHED_OFF: F("wished_at"),
        Drift.HELD: Coalesce("off_since", "confirmed_at"),
        Drift.LOST: F("lost_to_operator_at"),
        Drift.OTHER_NUMBER: F("read_at"),
        Drift.OTHER_DEVICE: F("read_at"),
        Drift.RETIRED: Coalesce("off_since", "confirmed_at"),
    }


def _mark(condition: Q) -> Case:
    return Case(When(condition, then=Value(True)), default=False, output_field=BooleanField())


def _time(expression: Combinable) -> Coalesce:
    return Coalesce(expression, None, output_field=DateTimeField())
