"""Two companies with everything a company can have, so that tests of the whole site have what to look at."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.test import Client

from cabinet.enums import DocumentKind, Role
from cabinet.models import Consent, LegalDocument, Member, Merchant, Terminal
from cabinet.tests.people import make_document, signed_in
from smartcards.models import SmartCard
from smartcards.orders.models import Order, OrderPaper
from smartcards.orders.tests.orders import store_order, store_paper
from smartcards.states import OperatorState
from smartcards.tests.cards import (
    NOW,
    cover,
    make_card,
    make_command,
    make_live_subscription,
    make_member,
    make_merchant,
    make_module,
    make_terminal,
)
from subscriptions.models import Installation, MarketRequest, Subscription


@dataclass(frozen=True)
class Company:
    """A merchant with a person of each role, and one of everything else."""

    merchant: Merchant
    people: dict[Role, Member]
    terminal: Terminal
    working: SmartCard
    waiting: SmartCard
    new: SmartCard
    order: Order
    paper: OrderPaper
    subscription: Subscription
    asked: MarketRequest
    consent: Consent

    def client(self, role: Role = Role.OWNER) -> Client:
        """A browser in which that person is signed in."""
        return signed_in(Client(), self.people[role])


def make_company(name: str, *, pk: int | None = None) -> Company:
    """The company; with `pk` every row that a form could name bears this one number."""
    same: dict[str, Any] = {} if pk is None else {"pk": pk}
    merchant = make_merchant(name, inn="7707083893", **same)
    terminal = make_terminal(merchant, shop=f"Магазин «{name}»", name=f"Касса «{name}»", **same)
    subscription = make_live_subscription(merchant, cards=3, **same)
    working = make_card(
        merchant,
        confirmed=OperatorState.ACTIVE,
        desired_on=True,
        label=f"Зал «{name}»",
        terminal=terminal,
        **same,
    )
    waiting, new = make_card(merchant, desired_on=True), make_card(merchant)
    for card in (working, waiting, new):
        cover(card, subscription)
    make_command(waiting)
    order = store_order(merchant, **same)
    return Company(
        merchant=merchant,
        people=_people(merchant, name, pk),
        terminal=terminal,
        working=working,
        waiting=waiting,
        new=new,
        order=order,
        paper=store_paper(order, number=order.pk, **same),
        subscription=subscription,
        asked=_asked(subscription, **same),
        consent=_consent(merchant, **same),
    )


def _people(merchant: Merchant, name: str, pk: int | None) -> dict[Role, Member]:
    people = {role: make_member(merchant, role, f"{role.label} «{name}»") for role in Role}
    if pk is not None:
        cashier = people[Role.CASHIER]
        Member.objects.filter(pk=cashier.pk).update(id=pk)
        people[Role.CASHIER] = Member.objects.get(pk=pk)
    return people


def _asked(subscription: Subscription, **same: int) -> MarketRequest:
    Installation.objects.create(
        merchant=subscription.merchant, module=subscription.module, installed_at=NOW
    )
    return MarketRequest.objects.create(
        merchant=subscription.merchant,
        module=subscription.module,
        kind=MarketRequest.Kind.RENEW,
        asked_at=NOW,
        asked_by="Владелец",
        **same,
    )


def _consent(merchant: Merchant, **same: int) -> Consent:
    document = LegalDocument.objects.filter(kind=DocumentKind.CONSENT).first()
    owner = merchant.members.get(role=Role.OWNER).user
    return Consent.objects.create(
        user=owner,
        document=document or make_document(DocumentKind.CONSENT),
        given_at=NOW,
        **same,
    )


def make_companies() -> tuple[Company, Company]:
    """Ours and another company; a second module is there to be installed."""
    make_document(DocumentKind.OFFER)
    make_document(DocumentKind.PRIVACY)
    make_module("other", title="Другой модуль")
    return make_company("Наша"), make_company("Чужая", pk=FOREIGN)


# The number of everything that belongs to the other company and that a form might name.
FOREIGN = 900_000_001

Rows = dict[tuple[str, Any], dict[str, Any]]


def all_rows(*, without: Collection[str]) -> Rows:
    """Every row of every table, the journal included; `without` names models, «sessions.Session»."""
    return {
        (model._meta.label, values["pk"]): values
        for model in apps.get_models()
        if model._meta.label not in without
        for values in model._default_manager.values(
            "pk", *(field.attname for field in model._meta.concrete_fields)
        )
    }
