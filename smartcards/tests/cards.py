"""Makes what tests of cards need: an operator's account, merchants with people, cards, paid places.

Every function writes rows directly, so that a test may begin in any state; numbers never repeat
within a run. Times default to `NOW`; `clock_at` lets the pages believe that it is that time.
"""

from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from cabinet import clock
from cabinet.actors import Actor
from cabinet.enums import ActorKind, Role
from cabinet.models import Member, Merchant, Shop, Terminal, User
from operators.models import OperatorAccount
from smartcards.models import Command, CommandStep, Coverage, SmartCard
from smartcards.states import CommandKind, CommandState, OperatorState, Origin, StateSource
from subscriptions.models import Module, Period, Subscription, Tariff
from subscriptions.states import PeriodKind

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
OWNER = Actor(ActorKind.PERSON, "Анна Владимировна", role=Role.OWNER)
STAFF = Actor(ActorKind.STAFF, "Сергей Поддержкин")

_numbers = count(1)


def clock_at(settings: Any, folder: Path, at: datetime = NOW) -> None:
    """From now on the pages of this test take it for that time; `settings` is pytest-django's."""
    settings.SANDBOX = True
    settings.CLOCK_FILE = folder / "clock"
    clock.set_offset((at - clock.real_now()).total_seconds())


def make_account(code: str = "mts", **fields: Any) -> OperatorAccount:
    """The account of that code; made if there is none, changed to the given fields if there is."""
    defaults = {
        "title": "МТС",
        "adapter": "mts",
        "base_url": "http://127.0.0.1:9/operators/mts",
        "credentials": {"key": "demo-key", "secret": "demo-secret"},
        "usual_seconds": 120,
        "worst_seconds": 86400,
    }
    account, _ = OperatorAccount.objects.update_or_create(
        code=code, defaults=fields, create_defaults={**defaults, **fields}
    )
    return account


def make_merchant(name: str = "ООО «Ромашка»", **fields: Any) -> Merchant:
    """A company with an Evotor number of its own."""
    defaults = {"evotor_user_id": f"01-{next(_numbers):015}", "created_at": NOW}
    return Merchant.objects.create(name=name, **{**defaults, **fields})


def make_member(
    merchant: Merchant, role: Role = Role.OWNER, name: str = "Анна Владимировна"
) -> Member:
    """A person with a telephone who may sign in (`client.force_login(member.user)`)."""
    user = User.objects.for_phone(f"7912{next(_numbers):07}")
    user.name = name
    user.save(update_fields=["name"])
    return Member.objects.create(merchant=merchant, user=user, role=role, created_at=NOW)


def make_terminal(
    merchant: Merchant, shop: str = "Магазин на Ленина", name: str = "Касса 1", **fields: Any
) -> Terminal:
    """A terminal in the shop of that name; the shop is made if there is none."""
    place, _ = Shop.objects.get_or_create(
        merchant=merchant, name=shop, defaults={"evotor_id": str(uuid4()), "seen_at": NOW}
    )
    return Terminal.objects.create(
        merchant=merchant, shop=place, name=name, evotor_id=str(uuid4()), seen_at=NOW, **fields
    )


def make_card(merchant: Merchant | None = None, **fields: Any) -> SmartCard:
    """A new card; without a merchant it lies in stock.

    `desired_on` alone brings the owner as its author and `NOW` as its time; a `confirmed` state other
    than «new» was reported by the operator at `NOW`; `block_reason` of a card that is off is our own.
    """
    number = next(_numbers)
    values: dict[str, Any] = {
        "iccid": f"8970101{number:012}",
        "msisdn": f"7910{number:07}",
        "imported_at": NOW - timedelta(days=30),
        "merchant": merchant,
        "handed_at": NOW - timedelta(days=20) if merchant else None,
        **fields,
    }
    if values.get("desired_on") is not None:
        author = {"desired_at": NOW, "desired_by": OWNER.name, "desired_by_kind": ActorKind.PERSON}
        values = {**author, **values}
    if values.get("confirmed", OperatorState.NEW) != OperatorState.NEW:
        values = {"confirmed_at": NOW, "confirmed_from": StateSource.REQUEST, **values}
    if values.get("confirmed") == OperatorState.INACTIVE:
        values = {"block_reason": "voluntary", **values}
    account = values.pop("account", None) or make_account()
    return SmartCard.objects.create(account=account, **values)


def make_module(code: str = "services", **fields: Any) -> Module:
    """The module of that code; made if there is none."""
    defaults = {"title": "Кассовые сервисы", "market_product_id": uuid4(), **fields}
    module, _ = Module.objects.get_or_create(code=code, defaults=defaults)
    return module


def make_live_subscription(
    merchant: Merchant,
    *,
    cards: int = 1,
    at: datetime = NOW,
    until: datetime | None = None,
    **fields: Any,
) -> Subscription:
    """A market subscription that pays for so many cards from yesterday, for a month from `at`.

    `until` ends the paid stretch earlier or later; the market's subscription stays entitled past it
    unless `entitled_until` is given.
    """
    module = fields.pop("module", None) or make_module()
    tariff, _ = Tariff.objects.get_or_create(
        plan_id=f"{module.code}-1",
        defaults={"module": module, "title": "Месяц", "months": 1, "price_kopecks": 25000},
    )
    starts, ends = at - timedelta(days=1), until or at + timedelta(days=30)
    values = {
        "external_id": str(uuid4()),
        "tariff": tariff,
        "plan_id": tariff.plan_id,
        "paid_cards": cards,
        "created_at": starts,
        "entitled_from": starts,
        "paid_until": ends,
        **fields,
    }
    subscription = Subscription.objects.create(merchant=merchant, module=module, **values)
    Period.objects.create(
        subscription=subscription,
        kind=PeriodKind.PAID,
        tariff=tariff,
        cards=cards,
        starts_at=starts,
        ends_at=ends,
    )
    return subscription


def cover(
    card: SmartCard,
    subscription: Subscription,
    *,
    since: datetime = NOW,
    till: datetime | None = None,
) -> Coverage:
    """This card is paid by that subscription."""
    return Coverage.objects.create(card=card, subscription=subscription, since=since, till=till)


def make_command(
    card: SmartCard,
    *,
    kind: CommandKind = CommandKind.ACTIVATE,
    state: CommandState = CommandState.QUEUED,
    at: datetime = NOW,
    by: Actor = OWNER,
    **fields: Any,
) -> Command:
    """A command in that state with the steps of the usual way there, a second apart."""
    steps = _WAY_TO[state]
    over = state in {CommandState.DONE, CommandState.FAILED, CommandState.CANCELLED}
    values: dict[str, Any] = {
        "origin": Origin.PERSON,
        "asked_by": by.name,
        "asked_by_kind": by.kind,
        "created_at": at,
        "due_at": at,
        "sent_at": at if CommandState.SENDING in steps else None,
        "outcome_unknown_at": at if CommandState.CHECKING in steps else None,
        "finished_at": at + timedelta(seconds=len(steps) - 1) if over else None,
        **fields,
    }
    command = Command.objects.create(
        card=card, account=card.account, kind=kind, state=state, **values
    )
    for second, step in enumerate(steps):
        CommandStep.objects.create(command=command, state=step, at=at + timedelta(seconds=second))
    return command


_SENT = (CommandState.QUEUED, CommandState.SENDING)
_WAY_TO: dict[CommandState, tuple[CommandState, ...]] = {
    CommandState.QUEUED: (CommandState.QUEUED,),
    CommandState.SENDING: _SENT,
    CommandState.ACCEPTED: (*_SENT, CommandState.ACCEPTED),
    CommandState.CHECKING: (*_SENT, CommandState.CHECKING),
    CommandState.NEEDS_STAFF: (*_SENT, CommandState.CHECKING, CommandState.NEEDS_STAFF),
    CommandState.DONE: (*_SENT, CommandState.ACCEPTED, CommandState.DONE),
    CommandState.FAILED: (*_SENT, CommandState.FAILED),
    CommandState.CANCELLED: (CommandState.QUEUED, CommandState.CANCELLED),
}
