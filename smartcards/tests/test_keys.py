"""Why a command waits, in the words of each trouble; and what waited for our keys leaves at once."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client

from cabinet.enums import Role
from cabinet.models import Alert
from cabinet.tests.people import make_staff
from operators.classification import POLICIES
from operators.connections import CallOutcome, ping
from operators.ports import Accepted, ErrorClass, OurCode, Rejected, Unknown
from operators.services import note_new_keys
from smartcards import queries, texts
from smartcards.dispatch import outcomes
from smartcards.models import Command
from smartcards.monitoring import dashboard
from smartcards.monitoring.operator_health import Severity
from smartcards.presentation.card import card_page
from smartcards.presentation.progress import Step
from smartcards.states import CommandState
from smartcards.tests.cards import (
    NOW,
    STAFF,
    clock_at,
    make_account,
    make_card,
    make_command,
    make_merchant,
)
from smartcards.tests.dispatch_setup import CREDENTIALS, Stand, standing

pytestmark = pytest.mark.django_db

KEYS_REFUSED = "Оператор не принял наши ключи, мы уже разбираемся"


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[Stand]:
    with standing("tmf640", tmp_path) as stand:
        yield stand


@pytest.fixture
def mts(tmp_path: Path) -> Iterator[Stand]:
    with standing("mts", tmp_path) as stand:
        yield stand


def answered(result, **fields) -> Command:
    """A command that has just got this answer."""
    card = make_card(make_merchant(), desired_on=True)
    command = make_command(card, state=CommandState.SENDING, attempts=1, **fields)
    outcomes.apply_submit(command, CallOutcome(result), at=NOW + timedelta(seconds=2))
    command.refresh_from_db()
    return command


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "step"),
    [
        ("auth", "403", KEYS_REFUSED),
        ("rate_limited", "429", "Оператор попросил подождать, повторим сами"),
        ("rate_limited", OurCode.QUOTA, ""),
        ("transient", "500", "У оператора временный сбой, повторим сами"),
        ("transient", "lease", "Отправить оператору не успели, повторим сами"),
        ("transient", OurCode.TOKENS_AWAY, "Отправить оператору не успели, повторим сами"),
        ("maintenance", "503", "У оператора идут технические работы, повторим сами"),
        (
            "conflict_pending",
            "409",
            "У оператора выполняется другой запрос по этой смарт-карте, повторим сами",
        ),
    ],
)
def test_each_error_that_requeues_has_its_own_text(error, code, step):
    command = answered(Rejected(ErrorClass(error), code, "…"))

    last = command.steps.order_by("pk").last()
    assert command.state == "queued"
    assert last.state == "queued"
    assert last.text == step


@pytest.mark.parametrize(
    ("error", "code", "hint"),
    [
        ("auth", "401", "оператор не принял наши ключи, мы уже разбираемся"),
        ("transient", "500", "у оператора временный сбой, повторим сами не раньше 12:05"),
        ("rate_limited", "429", "оператор попросил подождать, повторим сами не раньше 12:05"),
        ("rate_limited", OurCode.QUOTA, "ждёт своей очереди"),
        ("", "", "по правилам оператора не раньше 12:05"),
    ],
)
def test_merchant_reads_cause_and_that_nothing_was_sent(error, code, hint):
    card = make_card(make_merchant(), desired_on=True)
    make_command(card, due_at=NOW + timedelta(minutes=5), error=error, code=code)
    card = queries.cards_of(card.merchant).get()

    page = card_page(card=card, merchant=card.merchant, role=Role.OWNER, at=NOW)

    assert page.progress is not None
    assert page.progress.steps[1:] == (
        Step("Отправка оператору", "current", hint),
        Step("Подтверждено", "waiting"),
    )


def test_wait_texts_cover_every_error_that_requeues():
    assert sorted(texts.WAITS) == sorted(
        {str(error) for error, policy in POLICIES.items() if policy.resend} | {"configuration"}
    )


def test_failed_login_is_an_error_and_no_wait(mts):
    card = mts.card()
    mts.bench.fault("auth", "http_500", times=5)
    command = mts.activate(card)

    mts.work()

    step = command.steps.order_by("-pk").first()
    assert step.state == "queued"
    assert step.text == "У оператора временный сбой, повторим сами"


# --- what is over is not shown --------------------------------------------------------------------


@pytest.mark.parametrize("result", [Accepted("7"), Unknown("обрыв")], ids=["accepted", "unknown"])
def test_answer_that_came_at_last_wipes_the_old_refusal_out(result):
    command = answered(result, error="auth", code="403")

    assert command.error == ""
    assert command.code != "403"


def test_page_of_an_accepted_command_advises_nothing(settings, tmp_path):
    clock_at(settings, tmp_path)
    boss = Client()
    boss.force_login(make_staff("boss"))
    card = make_card(make_merchant())
    # As an earlier version of the service left it.
    command = make_command(card, state=CommandState.ACCEPTED, error="auth", code="403")

    page = boss.get(f"/admin/smartcards/command/{command.pk}/change/").content.decode()

    assert "Проверьте ключи" not in page
    assert "не пустили" not in page


# --- the keys are put right -----------------------------------------------------------------------


def waiting(account, **fields) -> Command:
    card = make_card(make_merchant(), account=account)
    return make_command(card, due_at=NOW + timedelta(minutes=5), **fields)


def test_new_keys_make_only_waiting_commands_due():
    account, other = make_account(), make_account("other", title="Другой")
    rows = [
        waiting(account, error="auth", code="401"),
        waiting(account, error="configuration"),
        waiting(account, error="rate_limited", code="429"),
        waiting(account),
        waiting(other, error="auth"),
    ]
    Alert.objects.create(
        key=f"operator:account:{account.pk}:auth", text="ключи не приняты", raised_at=NOW
    )

    note_new_keys(account_id=account.pk, by=STAFF, at=NOW)

    due = [Command.objects.get(pk=row.pk).due_at - NOW for row in rows]
    now, later = timedelta(0), timedelta(minutes=5)
    assert due == [now, now, later, later, later]
    assert Alert.objects.get().closed_at == NOW


def test_repaired_keys_let_the_command_out_at_once(partner):
    card = partner.card()
    partner.account.credentials = {"token": "wrong"}
    partner.account.save()
    command = partner.activate(card)
    partner.work()
    command.refresh_from_db()
    waited = command.state

    partner.account.credentials = CREDENTIALS["tmf640"]
    partner.account.save()
    link = ping(partner.account)
    partner.work()

    command.refresh_from_db()
    assert waited == CommandState.QUEUED
    assert link.works is True
    assert command.state == CommandState.DONE
    assert command.error == ""
    assert command.code == ""
    assert partner.effects(card) == ["activate"]
    assert list(Alert.objects.filter(closed_at=None)) == []


def test_bad_ping_lets_nothing_out(partner):
    row = waiting(partner.account, error="auth")
    partner.account.credentials = {"token": "wrong"}
    partner.account.save()

    assert not ping(partner.account).works

    assert Command.objects.get().due_at == row.due_at


# --- the staff's dashboard ----------------------------------------------------------------------------


def test_refused_keys_are_a_problem_at_once(settings, tmp_path):
    clock_at(settings, tmp_path)
    account = make_account()
    waiting(account, error="auth", code="403", at=NOW)

    (row,) = dashboard.operator_statuses(NOW)

    assert row.severity == Severity.PROBLEM
    assert row.sentence == (
        "МТС: не принимает наши ключи, проверьте их в договоре, "
        "в очереди 1\u00a0команда, ждёт меньше минуты."
    )
    assert row.outbox.queued == 1
    assert row.outbox.keyless == 1
    assert len(row.outbox.waiting) == 1


def test_queue_is_one_row_whatever_earlier_attempts_gave(settings, tmp_path):
    clock_at(settings, tmp_path)
    account = make_account()
    waiting(account, error="auth", at=NOW - timedelta(minutes=1))
    waiting(account, at=NOW)

    (row,) = dashboard.operator_statuses(NOW)

    assert [(one.number, one.oldest) for one in row.outbox.waiting] == [
        (2, NOW - timedelta(minutes=1))
    ]


@pytest.mark.parametrize("state", [CommandState.ACCEPTED, CommandState.CHECKING])
def test_command_that_the_operator_has_taken_says_nothing_of_keys(settings, tmp_path, state):
    clock_at(settings, tmp_path)
    make_command(make_card(make_merchant()), state=state, error="auth", at=NOW)

    (row,) = dashboard.operator_statuses(NOW)

    assert row.outbox.keyless == 0
