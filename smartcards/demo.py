"""Demo data of the cards: a stock for each operator, and six cards of the first demo merchant.

The merchant's cards go the usual way, through the services and the table of transitions, so that
their pages have a history to show. One transaction: no worker sees a command before it is over.
"""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from django.db import transaction

from cabinet.accounts import queries as people
from cabinet.actors import SYSTEM, Actor
from cabinet.enums import ActorKind, Role
from cabinet.models import Merchant, Terminal
from operators.demo import sims as demo_sims
from operators.demo.sims import DemoSim
from operators.models import OperatorAccount
from smartcards import commands, queries, services
from smartcards.models import Command, SmartCard
from smartcards.reconciliation import paid_slots
from smartcards.states import CommandState, StateSource

USER_ID = "01-000000000000101"
PAID_CARDS = 5
# The subscription of the demo was bought twenty days ago.
_IMPORTED, _HANDED, _SWITCHED_ON, _SWITCHED_OFF = (
    timedelta(days=25),
    timedelta(days=19),
    timedelta(days=18),
    timedelta(days=3),
)
_LABELS = {
    demo_sims.WORKS_AT_THE_DOOR: "У входа",
    demo_sims.WORKS_IN_THE_HALL: "Зал",
    demo_sims.WORKS_AT_THE_METRO: "У метро",
    demo_sims.SWITCHED_OFF: "Выездная торговля",
    demo_sims.NEW_AND_PAID: "Запасная",
    demo_sims.NEW_AND_UNPAID: "На лето",
}


@transaction.atomic
def seed(at: datetime) -> list[str]:
    """The stock and the merchant's cards, where they are missing; running it again changes nothing.

    Without the demo's operators nothing is made; without its merchant or the live subscription the
    merchant gets no cards yet.
    """
    accounts = {account.code: account for account in OperatorAccount.objects.all()}
    _stock(demo_sims.STOCK, accounts, at)
    merchant = Merchant.objects.filter(evotor_user_id=USER_ID).first()
    if merchant is not None and _paid_all_along(merchant, at):
        fresh = _stock(demo_sims.HANDED, accounts, at)
        if len(fresh) == len(demo_sims.HANDED):
            _hand_over(merchant, at)
    return []


def _paid_all_along(merchant: Merchant, at: datetime) -> bool:
    moments = (at - _HANDED, at - _SWITCHED_ON, at - _SWITCHED_OFF, at)
    return all(queries.paid_slots(merchant, moment).total >= PAID_CARDS for moment in moments)


def _stock(
    sims: Collection[DemoSim], accounts: dict[str, OperatorAccount], at: datetime
) -> list[SmartCard]:
    known = set(
        SmartCard.objects.filter(iccid__in=[sim.iccid for sim in sims]).values_list(
            "iccid", flat=True
        )
    )
    return SmartCard.objects.bulk_create(
        SmartCard(
            iccid=sim.iccid,
            msisdn=sim.msisdn,
            account=accounts[sim.code],
            imported_at=at - _IMPORTED,
        )
        for sim in sims
        if sim.iccid not in known and sim.code in accounts
    )


def _hand_over(merchant: Merchant, at: datetime) -> None:
    cards = {sim: SmartCard.objects.get(iccid=sim.iccid) for sim in demo_sims.HANDED}
    owner = _owner(merchant)
    handed_at = at - _HANDED
    services.assign_to_merchant(cards=cards.values(), merchant=merchant, by=SYSTEM, at=handed_at)
    for sim, card in cards.items():
        terminal = Terminal.objects.of(merchant).filter(imei=sim.imei).first() if sim.imei else None
        services.update_label_and_terminal(
            card=card, label=_LABELS[sim], terminal=terminal, by=owner, at=handed_at
        )
    paid = [card.pk for sim, card in cards.items() if sim is not demo_sims.NEW_AND_UNPAID]
    paid_slots.choose_cards(merchant=merchant, card_ids=paid, by=owner, at=handed_at)
    for sim, card in cards.items():
        if sim.state != "new":
            _play(services.request_activation, card, owner, at - _SWITCHED_ON)
    _play(services.request_deactivation, cards[demo_sims.SWITCHED_OFF], owner, at - _SWITCHED_OFF)


def _owner(merchant: Merchant) -> Actor:
    user = people.owner_of(merchant)
    if user is None:
        return SYSTEM
    return Actor(ActorKind.PERSON, user.shown_name, user.pk, Role.OWNER)


def _play(
    request: Callable[..., Command | None], card: SmartCard, by: Actor, asked_at: datetime
) -> None:
    """A command of the past: asked, sent, accepted, done, within a few seconds."""
    command = request(card=card, by=by, at=asked_at)
    if command is None:
        return
    sent_at = asked_at + timedelta(seconds=1)
    commands.move(command, CommandState.SENDING, at=sent_at, sent_at=sent_at, attempts=1)
    commands.move(command, CommandState.ACCEPTED, at=sent_at, request_id=f"demo-{command.pk}")
    commands.finish_done(command, source=StateSource.POLL, at=sent_at + timedelta(seconds=4))
