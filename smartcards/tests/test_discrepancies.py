"""Differences between us and the operators: each kind comes and goes, and staff can act on it."""

from datetime import timedelta
from typing import NamedTuple

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from cabinet.accounts.services.staff_groups import ensure_groups
from cabinet.models import AuditEvent
from cabinet.tests.people import make_staff
from smartcards.models import Command, SmartCard
from smartcards.reconciliation import discrepancies, discrepancy_actions
from smartcards.reconciliation.discrepancies import Discrepancy, DiscrepancyKind
from smartcards.rules import CardRefused
from smartcards.states import CommandKind, CommandState, OperatorState, Origin
from smartcards.tests.cards import (
    NOW,
    STAFF,
    clock_at,
    cover,
    make_account,
    make_card,
    make_command,
    make_live_subscription,
    make_member,
    make_merchant,
    make_terminal,
)

pytestmark = pytest.mark.django_db

PAGE = "/admin/smartcards/drift/"
EARLIER = NOW - timedelta(hours=5)
IMEI, OTHER_IMEI = "356938035643809", "490154203237518"


@pytest.fixture
def merchant():
    return make_merchant()


def listed() -> dict[int, list[Discrepancy]]:
    return {card.pk: discrepancies.found(card) for card in discrepancies.page_of(NOW)}


def paid(merchant, **fields) -> SmartCard:
    card = make_card(merchant, **fields)
    cover(card, make_live_subscription(merchant), since=NOW - timedelta(hours=20))
    return card


def change(card: SmartCard, **fields) -> None:
    SmartCard.objects.filter(pk=card.pk).update(**fields)


# --- each kind comes and goes ------------------------------------------------------------------


def test_card_that_is_as_it_should_be_is_not_listed(merchant):
    paid(merchant, confirmed=OperatorState.ACTIVE, desired_on=True)
    paid(merchant, confirmed=OperatorState.INACTIVE, desired_on=False)
    make_card(merchant)
    make_card(None, confirmed=OperatorState.INACTIVE)
    make_card(None, confirmed=OperatorState.HELD)
    make_card(None, lost_to_operator_at=NOW, seen_msisdn="79990001122")

    assert listed() == {}
    assert discrepancies.counts(NOW) == []


def test_paid_card_that_is_off_stands_there_until_it_works(merchant):
    card = paid(
        merchant,
        confirmed=OperatorState.INACTIVE,
        desired_on=True,
        desired_at=NOW - timedelta(days=2),
        off_since=EARLIER,
    )

    off = listed()
    make_command(card)
    under_way = listed()
    Command.objects.all().delete()
    change(card, confirmed=OperatorState.ACTIVE)

    assert off == {card.pk: [Discrepancy(DiscrepancyKind.PAID_BUT_OFF, EARLIER)]}
    assert under_way == {}
    assert listed() == {}


def test_new_card_differs_since_its_payment_or_decision(merchant):
    card = paid(merchant, desired_on=True, desired_at=NOW - timedelta(days=2))

    assert listed() == {
        card.pk: [Discrepancy(DiscrepancyKind.PAID_BUT_OFF, NOW - timedelta(hours=20))]
    }


def test_working_unpaid_card_differs_since_the_paid_end(merchant):
    card = make_card(merchant, confirmed=OperatorState.ACTIVE, desired_on=True)
    ended = make_live_subscription(merchant, entitled_until=EARLIER)
    cover(card, ended, since=NOW - timedelta(days=1))

    on = listed()
    ended.entitled_until = NOW + timedelta(days=1)
    ended.save()

    assert on == {card.pk: [Discrepancy(DiscrepancyKind.ON_BUT_UNPAID, EARLIER)]}
    assert listed() == {}


def test_undecided_unpaid_card_differs_since_its_last_coverage(merchant):
    card = make_card(merchant, confirmed=OperatorState.ACTIVE)
    never = make_card(merchant, confirmed=OperatorState.ACTIVE)
    subscription = make_live_subscription(merchant)
    cover(card, subscription, since=NOW - timedelta(days=1), till=EARLIER)

    assert listed() == {
        card.pk: [Discrepancy(DiscrepancyKind.ON_BUT_UNPAID, EARLIER)],
        never.pk: [Discrepancy(DiscrepancyKind.ON_BUT_UNPAID, never.handed_at)],
    }


def test_card_in_stock_that_works_is_on_though_nobody_pays(merchant):
    card = make_card(
        None, confirmed=OperatorState.ACTIVE, confirmed_at=EARLIER, seen_imei=OTHER_IMEI
    )

    on, counted = listed(), discrepancies.totals(discrepancies.counts(NOW))
    discrepancy_actions.switch_off_in_stock(card=card, reason="на складе", by=STAFF, at=NOW)

    assert on == {card.pk: [Discrepancy(DiscrepancyKind.ON_BUT_UNPAID, EARLIER)]}
    assert counted == [0, 1, 0, 0, 0, 0, 0, 0]
    assert listed() == {}


def test_card_that_works_though_desired_off(merchant):
    card = paid(merchant, confirmed=OperatorState.ACTIVE, desired_on=False, desired_at=EARLIER)

    on = listed()
    change(card, confirmed=OperatorState.INACTIVE, block_reason="voluntary")

    assert on == {card.pk: [Discrepancy(DiscrepancyKind.ON_THOUGH_UNWANTED, EARLIER)]}
    assert listed() == {}


@pytest.mark.parametrize(
    ("confirmed", "reason"),
    [(OperatorState.HELD, ""), (OperatorState.HELD, "fraud"), (OperatorState.INACTIVE, "debt")],
)
def test_card_held_by_the_operator(merchant, confirmed, reason):
    card = paid(
        merchant, confirmed=confirmed, block_reason=reason, desired_on=True, off_since=EARLIER
    )

    held = listed()
    change(card, confirmed=OperatorState.ACTIVE, block_reason="")

    assert held == {card.pk: [Discrepancy(DiscrepancyKind.HELD, EARLIER)]}
    assert listed() == {}


def test_stolen_card_that_is_off_is_as_it_should_be(merchant):
    make_card(
        merchant,
        confirmed=OperatorState.INACTIVE,
        block_reason="stolen",
        desired_on=False,
        withdrawn_at=NOW,
        withdrawn_because="stolen",
    )

    assert listed() == {}


def test_card_unknown_to_the_operator(merchant):
    card = paid(
        merchant, confirmed=OperatorState.ACTIVE, desired_on=True, lost_to_operator_at=EARLIER
    )

    lost = listed()
    change(card, lost_to_operator_at=None)

    assert lost == {card.pk: [Discrepancy(DiscrepancyKind.LOST, EARLIER)]}
    assert listed() == {}


@pytest.mark.parametrize("ours", ["79105550011", ""])
def test_other_number_at_the_operator(merchant, ours):
    card = make_card(merchant, msisdn=ours, seen_msisdn="79105550099", read_at=EARLIER)

    other = listed()
    change(card, msisdn="79105550099")
    same = listed()
    change(card, seen_msisdn="")

    assert other == {card.pk: [Discrepancy(DiscrepancyKind.OTHER_NUMBER, EARLIER)]}
    assert same == {}
    assert listed() == {}


def test_other_terminal_by_its_imei(merchant):
    terminal = make_terminal(merchant, imei=IMEI)
    card = make_card(merchant, terminal=terminal, seen_imei=OTHER_IMEI, read_at=EARLIER)

    other = listed()
    change(card, seen_imei=IMEI)

    assert other == {card.pk: [Discrepancy(DiscrepancyKind.OTHER_DEVICE, EARLIER)]}
    assert listed() == {}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("", OTHER_IMEI), (IMEI, ""), (IMEI, IMEI[:14]), (IMEI, f"{IMEI[:14]}05")],
)
def test_unknown_or_reformatted_imei_is_no_difference(merchant, ours, theirs):
    make_card(merchant, terminal=make_terminal(merchant, imei=ours), seen_imei=theirs)

    assert listed() == {}


def test_card_without_a_terminal_has_no_device_to_differ_from(merchant):
    make_card(merchant, seen_imei=OTHER_IMEI)

    assert listed() == {}


def test_retired_card_stands_there_until_it_is_written_off(merchant):
    card = paid(merchant, confirmed=OperatorState.RETIRED, desired_on=True, off_since=EARLIER)

    retired = listed()
    discrepancy_actions.write_off(card=card, reason="по договору", by=STAFF, at=NOW)

    assert retired == {card.pk: [Discrepancy(DiscrepancyKind.RETIRED, EARLIER)]}
    assert listed() == {}


def test_card_is_counted_in_each_of_its_differences(merchant):
    other = make_account("other", title="Партнёр", adapter="tmf640")
    card = paid(
        merchant,
        confirmed=OperatorState.ACTIVE,
        desired_on=False,
        desired_at=EARLIER,
        lost_to_operator_at=NOW,
    )
    make_card(merchant, account=other, lost_to_operator_at=NOW)

    lines = discrepancies.counts(NOW)

    assert listed()[card.pk] == [
        Discrepancy(DiscrepancyKind.ON_THOUGH_UNWANTED, EARLIER),
        Discrepancy(DiscrepancyKind.LOST, NOW),
    ]
    assert [(line.title, line.numbers, line.total) for line in lines] == [
        ("МТС", (0, 0, 1, 0, 1, 0, 0, 0), 2),
        ("Партнёр", (0, 0, 0, 0, 1, 0, 0, 0), 1),
    ]
    assert discrepancies.totals(lines) == [0, 0, 1, 0, 2, 0, 0, 0]
    assert discrepancies.totals([]) == [0] * 8


def test_list_of_one_kind_begins_with_the_longest_lasting(merchant):
    other = make_account("other", title="Партнёр", adapter="tmf640")
    late = make_card(merchant, lost_to_operator_at=NOW)
    early = make_card(merchant, lost_to_operator_at=EARLIER)
    far = make_card(merchant, account=other, lost_to_operator_at=EARLIER)
    make_card(merchant, confirmed=OperatorState.HELD)

    lost = discrepancies.page_of(NOW, kind=DiscrepancyKind.LOST, account_id=late.account_id)

    assert [card.pk for card in lost] == [early.pk, late.pk]
    assert [card.pk for card in discrepancies.page_of(NOW, account_id=other.pk)] == [far.pk]


# --- what staff do about it --------------------------------------------------------------------


class AuditRow(NamedTuple):
    text: str
    reason: str
    details: dict[str, str]


def journal(action: str) -> AuditRow:
    row = AuditEvent.objects.get(action=action)
    return AuditRow(row.text, row.reason, row.details)


def test_number_of_the_operator_is_taken_over(merchant):
    card = make_card(merchant, msisdn="79105550011", seen_msisdn="79105550099")

    discrepancy_actions.accept_number(card=card, reason="звонил оператор", by=STAFF, at=NOW)

    card.refresh_from_db()
    assert card.msisdn == "79105550099"
    assert journal("number_accepted") == AuditRow(
        text="Принят номер, который сообщил оператор",
        reason="звонил оператор",
        details={"before": "79105550011", "after": "79105550099"},
    )


@pytest.mark.parametrize("seen", ["", "79105550011", "номер"])
def test_number_that_cannot_be_taken_over_is_refused(merchant, seen):
    card = make_card(merchant, msisdn="79105550011", seen_msisdn=seen)

    with pytest.raises(CardRefused):
        discrepancy_actions.accept_number(card=card, reason="", by=STAFF, at=NOW)

    card.refresh_from_db()
    assert card.msisdn == "79105550011"
    assert AuditEvent.objects.count() == 0


def test_number_is_not_accepted_during_a_command(merchant):
    card = make_card(merchant, msisdn="79105550011", seen_msisdn="79105550099")
    make_command(card, state=CommandState.ACCEPTED)

    with pytest.raises(CardRefused) as refusal:
        discrepancy_actions.accept_number(card=card, reason="", by=STAFF, at=NOW)

    assert refusal.value.sentence == (
        "Команда по этой смарт-карте ещё не закончена. Дождитесь ответа оператора."
    )


@pytest.mark.parametrize("adapter", ["tmf640", "mts"])
def test_card_is_read_again_where_the_operator_can_be_read(merchant, adapter):
    card = make_card(merchant, account=make_account("partner", adapter=adapter), read_due_at=NOW)

    discrepancy_actions.read_again(card=card, reason="странное", by=STAFF, at=NOW)

    card.refresh_from_db()
    assert card.read_due_at is None
    assert journal("asked_again") == AuditRow(
        text="Попросили уточнить состояние у оператора", reason="странное", details={}
    )


def test_card_is_not_read_where_the_operator_cannot_be_asked(merchant):
    card = make_card(merchant, account=make_account(adapter="telegraph"), read_due_at=NOW)

    with pytest.raises(CardRefused):
        discrepancy_actions.read_again(card=card, reason="", by=STAFF, at=NOW)

    card.refresh_from_db()
    assert card.read_due_at == NOW


def test_written_off_card_frees_its_slot(merchant):
    card = paid(merchant, confirmed=OperatorState.RETIRED, desired_on=True)

    discrepancy_actions.write_off(card=card, reason="заменили", by=STAFF, at=NOW)

    card.refresh_from_db()
    assert card.desired_on is False
    assert card.desired_by == STAFF.name
    assert card.desired_at == NOW
    assert list(card.coverages.values_list("till", flat=True)) == [NOW]
    assert journal("written_off") == AuditRow(
        text="Смарт-карта списана: место в подписке свободно", reason="заменили", details={}
    )


@pytest.mark.parametrize(
    ("confirmed", "reason", "sentence"),
    [
        (OperatorState.RETIRED, " ", "Укажите причину: клиент увидит её на странице смарт-карты."),
        (OperatorState.INACTIVE, "заменили", "Оператор эту смарт-карту не списывал."),
    ],
)
def test_write_off_is_refused(merchant, confirmed, reason, sentence):
    card = paid(merchant, confirmed=confirmed, desired_on=True)

    with pytest.raises(CardRefused) as refusal:
        discrepancy_actions.write_off(card=card, reason=reason, by=STAFF, at=NOW)

    assert refusal.value.sentence == sentence
    assert card.coverages.filter(till=None).count() == 1


# --- the page ----------------------------------------------------------------------------------


@pytest.fixture
def boss(settings, tmp_path) -> Client:
    clock_at(settings, tmp_path)
    client = Client()
    client.force_login(make_staff("boss", name="Зоя Старшая"))
    return client


def of_group(name: str) -> Client:
    ensure_groups()
    user = make_staff(f"staff-{name}", is_superuser=False)
    user.groups.add(Group.objects.get(name=name))
    client = Client()
    client.force_login(user)
    return client


def text(answer):
    return answer.content.decode().replace("\u00a0", " ").replace("&nbsp;", " ")


def messages_of(answer) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def shown(answer) -> list[int]:
    return [row.card.pk for row in answer.context["rows"]]


def buttons(answer) -> list[list[str]]:
    return [[fix.name for fix in row.fixes] for row in answer.context["rows"]]


def test_page_shows_the_difference_its_start_and_its_actions(boss):
    merchant = make_merchant("ООО «Ёлка»", email="buh@yolka.example")
    make_card(
        merchant, iccid="8" * 19, msisdn="79105550011", seen_msisdn="79105550099", read_at=EARLIER
    )
    make_card(merchant, lost_to_operator_at=EARLIER)

    answer = boss.get(PAGE)

    page = text(answer)
    assert buttons(answer) == [["number", "read"], ["read"]]
    assert (
        "У оператора другой номер: у нас 79105550011, у оператора 79105550099,"
        " прочитано 22 ноября 2026 г., 07:00" in page
    )
    assert "Оператор её не знает, с 22 ноября 2026 г., 07:00" in page
    assert "mailto:buh@yolka.example?subject=" in page


def test_page_is_narrowed_and_paged(boss, merchant, monkeypatch):
    monkeypatch.setattr("smartcards.admin.discrepancies.PAGE_SIZE", 2)
    other = make_account("other", title="Партнёр", adapter="tmf640")
    lost = [make_card(merchant, lost_to_operator_at=NOW).pk for _ in range(3)]
    held = make_card(merchant, account=other, confirmed=OperatorState.HELD).pk

    pages = {
        query: shown(boss.get(f"{PAGE}?{query}"))
        for query in (
            "",
            "page=2",
            "kind=held",
            f"account={other.pk}",
            "kind=lost&page=2",
            "kind=nonsense&account=x&page=-5",
            "page=99",
        )
    }

    assert pages == {
        "": lost[:2],
        "page=2": [lost[2], held],
        "kind=held": [held],
        f"account={other.pk}": [held],
        "kind=lost&page=2": [lost[2]],
        "kind=nonsense&account=x&page=-5": lost[:2],
        "page=99": [],
    }


def test_button_calls_the_service_and_returns_to_the_same_page(boss, merchant):
    card = make_card(merchant, msisdn="79105550011", seen_msisdn="79105550099")

    answer = boss.post(
        f"{PAGE}{card.pk}/", {"act": "number", "reason": "", "kind": "number", "page": "2"}
    )

    card.refresh_from_db()
    assert answer.status_code == 302
    assert answer["Location"] == f"{PAGE}?kind=number&page=2"
    assert card.msisdn == "79105550099"
    assert journal("number_accepted")[1] == "расхождение с оператором"


def test_switching_off_wants_a_reason_of_its_own(boss, merchant):
    card = make_card(merchant, confirmed=OperatorState.ACTIVE, desired_on=True)

    silent = boss.post(f"{PAGE}{card.pk}/", {"act": "off", "reason": " "}, follow=True)
    none_yet = Command.objects.count()
    boss.post(f"{PAGE}{card.pk}/", {"act": "off", "reason": "не платит с мая"}, follow=True)

    assert messages_of(silent) == [
        f"{card.iccid}: Укажите причину отключения: клиент увидит её на странице смарт-карты."
    ]
    assert none_yet == 0
    assert list(Command.objects.values_list("kind", "origin", "reason", "asked_by")) == [
        (CommandKind.DEACTIVATE, Origin.PERSON, "не платит с мая", "Зоя Старшая")
    ]


def test_switching_on_and_writing_off_from_the_list(boss, merchant):
    off = paid(merchant, confirmed=OperatorState.INACTIVE, desired_on=True)
    gone = paid(merchant, confirmed=OperatorState.RETIRED, desired_on=True)

    offered = buttons(boss.get(PAGE))
    boss.post(f"{PAGE}{off.pk}/", {"act": "on"})
    boss.post(f"{PAGE}{gone.pk}/", {"act": "write-off", "reason": "заменили"})

    assert offered == [["on", "read"], ["write-off", "read"]]
    assert list(Command.objects.values_list("card", "kind")) == [(off.pk, CommandKind.ACTIVATE)]
    assert shown(boss.get(PAGE)) == []


def test_working_card_of_the_stock_is_listed_and_switched_off(boss):
    card = make_card(None, confirmed=OperatorState.ACTIVE)

    page = boss.get(PAGE)
    silent = boss.post(f"{PAGE}{card.pk}/", {"act": "off"}, follow=True)
    done = boss.post(f"{PAGE}{card.pk}/", {"act": "off", "reason": "на складе"}, follow=True)

    assert shown(page) == [card.pk]
    assert buttons(page) == [["off", "read"]]
    assert "<td>на складе</td>" in text(page)
    assert [messages_of(silent), messages_of(done)] == [
        [f"{card.iccid}: Укажите причину отключения."],
        [f"{card.iccid}: Команда принята."],
    ]
    assert list(Command.objects.values_list("kind", "origin", "reason", "asked_by")) == [
        (CommandKind.DEACTIVATE, Origin.PERSON, "на складе", "Зоя Старшая")
    ]


@pytest.mark.parametrize(
    ("state", "handed", "busy", "sentence"),
    [
        (OperatorState.INACTIVE, False, False, "Смарт-карта и так отключена."),
        (OperatorState.ACTIVE, True, False, "Смарт-карта уже передана клиенту."),
        (
            OperatorState.ACTIVE,
            False,
            True,
            "Команда по этой смарт-карте ещё не закончена. Дождитесь ответа оператора.",
        ),
    ],
)
def test_card_in_stock_that_is_off_is_not_switched_off(merchant, state, handed, busy, sentence):
    card = make_card(merchant if handed else None, confirmed=state)
    if busy:
        make_command(card)

    with pytest.raises(CardRefused) as refusal:
        discrepancy_actions.switch_off_in_stock(card=card, reason="на складе", by=STAFF, at=NOW)

    assert refusal.value.sentence == sentence


def test_what_does_not_exist_is_not_acted_on(boss, merchant):
    card = make_card(merchant)

    answers = [
        boss.post(f"{PAGE}{card.pk}/", {"act": "terminate"}),
        boss.post(f"{PAGE}999999/", {"act": "read"}),
        boss.get(f"{PAGE}{card.pk}/"),
        boss.post(PAGE),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 405, 405]
    assert AuditEvent.objects.count() == 0


def test_forged_post_is_refused(boss, merchant):
    card = make_card(merchant, read_due_at=NOW)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(make_staff("strict"))

    answer = strict.post(f"{PAGE}{card.pk}/", {"act": "read"})

    card.refresh_from_db()
    assert answer.status_code == 403
    assert card.read_due_at == NOW


@pytest.mark.parametrize(("group", "acts"), [("Поддержка", 302), ("Склад", 403), ("Финансы", 403)])
def test_every_group_looks_and_only_support_acts(group, acts, merchant):
    partner = make_account("partner", adapter="tmf640")
    card = make_card(merchant, account=partner, lost_to_operator_at=NOW, read_due_at=NOW)
    client = of_group(group)

    page = client.get(PAGE)
    answer = client.post(f"{PAGE}{card.pk}/", {"act": "read"})

    card.refresh_from_db()
    assert page.status_code == 200
    assert answer.status_code == acts
    assert buttons(page) == [["read"] if acts == 302 else []]
    assert (card.read_due_at is None) == (acts == 302)


def test_colleague_without_rights_sees_nothing(merchant):
    client = Client()
    client.force_login(make_staff("new", is_superuser=False))

    answers = [client.get(PAGE), client.post(f"{PAGE}{make_card(merchant).pk}/", {"act": "read"})]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert PAGE not in text(client.get("/admin/"))


def test_strangers_and_merchants_are_sent_to_staff_sign_in(merchant):
    card = make_card(merchant, read_due_at=NOW)
    person = Client()
    person.force_login(make_member(merchant).user)

    answers = [
        answer
        for client in (Client(), person)
        for answer in (client.get(PAGE), client.post(f"{PAGE}{card.pk}/", {"act": "read"}))
    ]

    card.refresh_from_db()
    assert [answer["Location"].split("?")[0] for answer in answers] == ["/admin/login/"] * 4
    assert card.read_due_at == NOW


def test_page_is_linked_from_the_index_and_from_the_brake(boss):
    answers = [
        boss.get("/admin/"),
        boss.get("/admin/smartcards/"),
        boss.get("/admin/smartcards/brake/1/change/"),
    ]

    assert all(f'href="{PAGE}"' in text(answer) for answer in answers)


def test_list_costs_a_fixed_number_of_queries(
    boss, merchant, django_assert_num_queries, django_assert_max_num_queries
):
    make_card(merchant, lost_to_operator_at=NOW)
    boss.get(PAGE)
    with django_assert_max_num_queries(12) as one:
        boss.get(PAGE)
    for _ in range(20):
        make_card(make_merchant(), confirmed=OperatorState.HELD)

    with django_assert_num_queries(len(one)):
        answer = boss.get(PAGE)

    assert len(shown(answer)) == 21
