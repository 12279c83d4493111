"""Operators nobody has named, connected as staff would and taken by the line to a card that works.

The description is saved through the admin's page, its requests are looked at, «Проверить связь» is pressed,
and a merchant switches a card on.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.test import Client

from cabinet.sandbox.http import Request, Response, Wire
from cabinet.tests.people import make_staff
from operators import quota, services
from operators.models import Exchange, OperatorAccount
from operators.tests import awkward
from operators.tests.awkward import SECRET, Azimut, Dvina, Operator
from operators.tests.described import standing
from operators.tests.test_admin import LIST, errors, page_of
from operators.tests.test_admin_profile import ADD, UNTYPED, shown
from smartcards import dispatch, line
from smartcards import services as cards
from smartcards.models import SmartCard
from smartcards.states import CommandState, Confirmed
from smartcards.tests.cards import OWNER, cover, make_card, make_live_subscription, make_merchant
from smartcards.tests.stand import MovedClock

pytestmark = pytest.mark.django_db

# --- as staff do it, and then a merchant ---------------------------------------------------------------------


@pytest.fixture
def boss() -> Client:
    client = Client()
    client.force_login(make_staff("boss", name="Зоя Старшая"))
    return client


def connected(boss: Client, profile: Mapping[str, Any], keys: Mapping[str, str]) -> OperatorAccount:
    """A contract saved through the admin: first the description, then its keys."""
    quota.client(settings.REDIS_URL).flushdb()
    new = {**UNTYPED, "code": "stranger", "base_url": "https://api.stranger.example"}
    answer = boss.post(ADD, {**new, "profile": json.dumps(profile)})
    assert answer.status_code == 302, errors(answer)
    account = OperatorAccount.objects.get()
    typed = {f"credential_{name}": value for name, value in keys.items()}
    answer = boss.post(page_of(account), shown(account, boss) | typed)
    assert answer.status_code == 302, errors(answer)
    return OperatorAccount.objects.get()


def switched_on(account: OperatorAccount) -> tuple[SmartCard, list[str]]:
    """A merchant's card after «Активировать», and the states that the command went through."""
    clock, card = MovedClock(), SmartCard.objects.select_related("merchant").get()
    assert card.merchant is not None
    cover(card, make_live_subscription(card.merchant, cards=1, at=clock()), since=clock())
    command = cards.request_activation(card=card, by=OWNER, at=clock())
    assert command is not None
    for _ in range(4):
        line.work(account_id=account.pk, clock=clock)
        clock.pass_(seconds=6)
        dispatch.release_stuck(at=clock())
    card.refresh_from_db()
    return card, list(command.steps.order_by("pk").values_list("state", flat=True))


SYNCHRONOUS = [CommandState.QUEUED, CommandState.SENDING, CommandState.DONE]
POLLED = [*SYNCHRONOUS[:2], CommandState.ACCEPTED, CommandState.DONE]


@pytest.mark.parametrize(
    ("make", "profile", "keys", "steps"),
    [
        (awkward.Sosna, awkward.SOSNA, awkward.SOSNA_KEYS, SYNCHRONOUS),
        (awkward.Ladoga, awkward.LADOGA, awkward.LADOGA_KEYS, SYNCHRONOUS),
        (awkward.Azimut, awkward.AZIMUT, awkward.AZIMUT_KEYS, POLLED),
        (awkward.Dvina, awkward.DVINA, awkward.DVINA_KEYS, SYNCHRONOUS),
        (awkward.Pechora, awkward.PECHORA, awkward.PECHORA_KEYS, SYNCHRONOUS),
    ],
)
def test_merchants_card_is_switched_on_at_an_operator_nobody_named(
    boss: Client,
    tmp_path: Path,
    make: Callable[[], Operator],
    profile: Mapping[str, Any],
    keys: Mapping[str, str],
    steps: list[str],
) -> None:
    account, operator = connected(boss, profile, keys), make()
    card = make_card(make_merchant(), account=account, confirmed=Confirmed.INACTIVE)
    operator.iccid = card.iccid

    draft = boss.get(f"{LIST}{account.pk}/dry-run/")
    with standing(tmp_path, operator.handlers()) as (url, part):
        at_address(account, operator, url)
        link = services.ping(account)
        card, told = switched_on(account)

    assert [one.problem for one in draft.context["drafts"]] == ["", "", ""]
    assert SECRET not in draft.content.decode()
    assert (link.works, link.sentence) == (True, "Оператор отвечает, ключи приняты.")
    assert (told, card.confirmed, operator.done) == (steps, Confirmed.ACTIVE, ["on"])
    assert [text for text in journal() if is_told(text)] == []
    assert part.asked


def at_address(account: OperatorAccount, operator: Operator, url: str) -> None:
    if isinstance(operator, Azimut):
        operator.url = url
    OperatorAccount.objects.update(base_url=url, per_second=None, per_minute=None)
    account.refresh_from_db()


def journal() -> list[str]:
    """What «Обмены с операторами» keeps."""
    return [f"{one.url}\n{one.request}\n{one.reply}" for one in Exchange.objects.all()]


def is_told(text: str) -> bool:
    secrets = (SECRET, quote(SECRET), "app-sosna-1", "Тайное", "s%2F1", "c-1")
    return any(one in text for one in secrets)


# --- the second of two calls is lost ---------------------------------------------------------------------


@dataclass
class Torn(Dvina):
    """Cuts the wire at the confirmation; `works` says whether the work was done before."""

    works: bool = True

    def commit(self, request: Request) -> Response:
        if self.works:
            super().commit(request)
        return Response(wire=Wire.CUT)


@pytest.mark.parametrize(
    ("works", "ended", "state"),
    [(True, CommandState.DONE, Confirmed.ACTIVE), (False, CommandState.FAILED, Confirmed.INACTIVE)],
)
def test_lost_confirmation_is_read_and_never_ordered_again(
    boss: Client, tmp_path: Path, works: bool, ended: str, state: str
) -> None:
    account, operator = connected(boss, awkward.DVINA, awkward.DVINA_KEYS), Torn(works=works)
    operator.iccid = make_card(make_merchant(), account=account, confirmed=Confirmed.INACTIVE).iccid

    with standing(tmp_path, operator.handlers()) as (url, part):
        at_address(account, operator, url)
        OperatorAccount.objects.update(quiet_seconds=1)
        card, told = switched_on(account)

    asked = [one.path for one in part.asked if one.method == "POST"]
    assert (told[-1], card.confirmed) == (ended, state)
    assert CommandState.CHECKING in told
    assert asked == ["/orders", "/orders/1/commit"]
