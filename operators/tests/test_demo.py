"""Contracts of the demo: one with each played operator, and their keys are let in."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.checks import run_checks
from stdnum import luhn

from cabinet.models import AuditEvent
from operators import registry
from operators.checks import adapters
from operators.connections import connect, ping
from operators.demo import contracts
from operators.demo import sims as demo_sims
from operators.limits import quota
from operators.models import OperatorAccount
from operators.ports import Sim, SimState
from operators.sandbox.event_sender import CALLBACK_SECRET
from operators.sandbox.routes import OPERATORS, make_demo
from operators.tests.sandbox_operator import serving_part

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
TITLES = {
    "mts": "МТС",
    "beeline": "Билайн",
    "tmf640": "Партнёр-Телеком",
    "control_center": "Билайн M2M",
}


def test_each_played_operator_has_a_contract():
    lines = contracts.seed(AT)

    accounts = OperatorAccount.objects.all()
    assert lines == []
    assert {account.code: account.title for account in accounts} == TITLES
    assert set(TITLES) == {played.code for played in OPERATORS}
    assert {account.code: account.callback_secret for account in accounts} == {
        "mts": "",
        "beeline": "",
        "tmf640": CALLBACK_SECRET,
        "control_center": "",
    }
    assert sorted(AuditEvent.objects.values_list("text", flat=True)) == sorted(
        f"Добавлен договор с оператором «{title}»" for title in TITLES.values()
    )


def test_second_run_changes_nothing():
    contracts.seed(AT)
    OperatorAccount.objects.filter(code="mts").update(title="Наш МТС")
    before = list(OperatorAccount.objects.order_by("pk").values())

    contracts.seed(AT)

    assert list(OperatorAccount.objects.order_by("pk").values()) == before
    assert AuditEvent.objects.count() == len(TITLES)


@pytest.mark.parametrize("code", TITLES)
def test_demo_credentials_are_accepted_and_demo_cards_known(code, tmp_path: Path, settings):
    quota.client(django_settings.REDIS_URL).flushdb()
    with serving_part(make_demo(), tmp_path / "sandbox.json") as url:
        settings.SANDBOX_URL = url
        contracts.seed(AT)
        account = OperatorAccount.objects.get(code=code)
        card = next(sim for sim in demo_sims.STOCK if sim.code == code)

        link = ping(account)
        reading = connect(account).operator.read_state(sim=Sim(card.iccid, card.msisdn))

    assert link.works is True
    assert link.was_asked is True
    # Билайн shows a card that was never handed out as one that is blocked.
    assert reading.state is (SimState.INACTIVE if code == "beeline" else SimState.NEW)


def test_demo_cards_are_unique_with_valid_check_digits():
    sims = demo_sims.demo_sims()

    assert len(sims) == len(demo_sims.HANDED) + len(TITLES) * demo_sims.STOCK_SIZE
    assert len({sim.iccid for sim in sims}) == len({sim.msisdn for sim in sims}) == len(sims)
    assert [sim.iccid for sim in sims if not luhn.is_valid(sim.iccid)] == []


def test_adapters_of_the_settings_are_checked(settings):
    fine = [error for error in run_checks() if error.id == "operators.E001"]
    settings.OPERATORS = {**settings.OPERATORS, "telegraph": "operators.telegraph.Telegraph"}

    (error,) = adapters()

    assert fine == []
    assert error.id == "operators.E001"
    assert error.msg == f"Operator adapter 'telegraph': {registry.problem('telegraph')}"
