"""Staff's pages about cards, commands and the brake, through the pages."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.test import Client

from cabinet import clock
from cabinet.accounts.services.staff_groups import ensure_groups
from cabinet.enums import ActorKind, Role
from cabinet.models import AuditEvent
from cabinet.tests.people import make_staff
from operators.limits import quota
from operators.ports import BlockReason, ErrorClass, IdentityState
from smartcards import queries, safety_brake, services
from smartcards.admin.labels import block_label, error_label, identity_label
from smartcards.models import Brake, Command, SmartCard
from smartcards.monitoring import health_checks
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
)

pytestmark = pytest.mark.django_db

CARDS = "/admin/smartcards/smartcard/"
COMMANDS = "/admin/smartcards/command/"
BRAKE = "/admin/smartcards/brake/1/"
PAGES = (CARDS, COMMANDS, "/admin/smartcards/coverage/", f"{BRAKE}change/")


@pytest.fixture(autouse=True)
def _clock(settings, tmp_path):
    clock_at(settings, tmp_path)


@pytest.fixture
def boss() -> Client:
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


def paid_card(**fields) -> SmartCard:
    merchant = make_merchant()
    card = make_card(merchant, **fields)
    cover(card, make_live_subscription(merchant))
    return card


def text(answer):
    return answer.content.decode().replace("\u00a0", " ").replace("&nbsp;", " ")


def messages_of(answer) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def listed(answer) -> list[str]:
    return [card.iccid for card in answer.context["cl"].result_list]


def entry(action: str) -> dict[str, object]:
    """The newest entry of the audit log about that action."""
    row = AuditEvent.objects.filter(action=action).order_by("-pk")[0]
    return {
        "text": row.text,
        "reason": row.reason,
        "actor": f"{row.actor_kind} {row.actor_name}",
        "at": row.at.replace(second=0, microsecond=0),
    }


# --- who sees what -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "seen"),
    [
        ("Поддержка", [200, 200, 200, 200]),
        ("Склад", [200, 403, 403, 403]),
        ("Финансы", [200, 403, 200, 403]),
    ],
)
def test_each_group_sees_its_pages(group, seen):
    client = of_group(group)

    answers = [client.get(page).status_code for page in PAGES]

    assert answers == seen


def test_people_of_merchants_and_strangers_see_nothing():
    member = make_member(make_merchant(), Role.OWNER)
    person, stranger = Client(), Client()
    person.force_login(member.user)

    answers = [client.get(page) for client in (person, stranger) for page in PAGES]

    assert {answer.status_code for answer in answers} == {302}
    assert {answer["Location"].split("?")[0] for answer in answers} <= {"/admin/login/", "/login/"}


@pytest.mark.parametrize(("group", "may"), [("Поддержка", 200), ("Склад", 403), ("Финансы", 403)])
def test_only_support_may_act_on_cards(group, may):
    card = paid_card()
    client = of_group(group)

    page = client.get(f"{CARDS}{card.pk}/activate/")
    client.post(f"{CARDS}{card.pk}/activate/", {"reason": "просьба по телефону"})

    assert page.status_code == may
    assert Command.objects.count() == (1 if may == 200 else 0)


@pytest.mark.parametrize(("group", "may"), [("Поддержка", 403), ("Склад", 200), ("Финансы", 403)])
def test_only_the_store_may_load_cards(group, may):
    client = of_group(group)

    page = client.get(f"{CARDS}import/")
    cards = text(client.get(CARDS))

    assert page.status_code == may
    assert ("Загрузить на склад" in cards) == (may == 200)


def test_card_cannot_be_edited_added_or_deleted_by_hand(boss):
    card = paid_card(label="Зал")

    answers = [
        boss.post(f"{CARDS}{card.pk}/change/", {"label": "Взлом", "confirmed": "active"}),
        boss.post(f"{CARDS}add/", {"iccid": "89701010000000000015"}),
        boss.post(f"{CARDS}{card.pk}/delete/", {"post": "yes"}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert list(SmartCard.objects.values_list("label", "confirmed")) == [("Зал", "new")]


# --- finding cards -----------------------------------------------------------------------------


def test_card_is_found_by_its_numbers_and_by_its_company(boss):
    merchant = make_merchant(
        "ООО «Ёлка»", inn="7712345671", evotor_user_id="01-000000000000777", phone="74951234567"
    )
    member = make_member(merchant)
    card = make_card(merchant, iccid="89701010000000012345", msisdn="79105550011")
    make_card(iccid="89701010000000099999", msisdn="79105550099")
    questions = [
        "89701010000000012345",
        "8970 1010 0000 0001 2345",
        "12345",
        "+7 910 555-00-11",
        "8 (910) 555-00-11",
        "7712345671",
        "01-000000000000777",
        "ёлка",
        f"+{member.user.phone}",
        "8 495 123-45-67",
    ]

    found = {asked: listed(boss.get(CARDS, {"q": asked})) for asked in questions}

    assert found == {asked: [card.iccid] for asked in questions}


def test_search_of_whole_iccid_finds_only_that_card(boss):
    merchant = make_merchant()
    make_card(merchant, iccid="89701010000000012345")
    make_card(merchant, iccid="89701010000000012346")

    answer = boss.get(CARDS, {"q": "89701010000000012346"})

    assert listed(answer) == ["89701010000000012346"]


def test_list_filters_by_operator_state_and_owner(boss):
    mts, other = make_account("mts"), make_account("other", title="Партнёр", adapter="tmf640")
    merchant = make_merchant()
    stock = make_card(account=mts)
    works = make_card(merchant, account=mts, confirmed=OperatorState.ACTIVE)
    far = make_card(merchant, account=other)

    found = [
        sorted(listed(boss.get(CARDS, asked)))
        for asked in (
            {"account__id__exact": other.pk},
            {"confirmed__exact": "active"},
            {"where": "stock"},
            {"where": "handed"},
        )
    ]

    assert found == [[far.iccid], [works.iccid], [stock.iccid], sorted([works.iccid, far.iccid])]


def test_list_query_count_does_not_grow_with_cards(boss, django_assert_max_num_queries):
    merchant = make_merchant()
    subscription = make_live_subscription(merchant, cards=30)
    for _ in range(30):
        cover(make_card(merchant), subscription)

    with django_assert_max_num_queries(20):
        answer = boss.get(CARDS)

    assert len(listed(answer)) == 30


def test_card_page_shows_state_commands_and_possible_actions(boss):
    card = paid_card(confirmed=OperatorState.ACTIVE, desired_on=True)
    make_command(card, state=CommandState.DONE, reason="по просьбе")

    answer = boss.get(f"{CARDS}{card.pk}/change/")

    page = text(answer)
    assert [title for _, title in answer.context["confirm_links"]] == [
        "Деактивировать…",
        "Потеряна, украдена или сломана…",
        "Записать номер…",
    ]
    assert "Работает" in page
    assert "по просьбе" in page


def shown_to_merchant(answer) -> list[str]:
    form = answer.context["adminform"]
    return [
        field.contents().replace("\u00a0", " ")
        for fieldset in form
        for line in fieldset
        for field in line
        if field.field["name"] in {"paid", "why_so"}
    ]


def test_card_page_says_what_its_merchant_reads(boss):
    merchant = make_merchant()
    account = make_account(title="МТС")
    works = make_card(
        merchant, account=account, confirmed=OperatorState.ACTIVE, desired_on=True, confirmed_at=NOW
    )
    cover(works, make_live_subscription(merchant))
    unpaid = make_card(merchant, account=account, confirmed=OperatorState.INACTIVE, desired_on=True)
    failed = paid_card(confirmed=OperatorState.INACTIVE, desired_on=True)
    make_command(failed, state=CommandState.FAILED, error=ErrorClass.FORBIDDEN)
    stock = make_card()

    pages = [boss.get(f"{CARDS}{card.pk}/change/") for card in (works, unpaid, failed, stock)]

    paid_until = shown_to_merchant(pages[0])[0]
    assert paid_until.startswith("Оплачена до ")
    assert shown_to_merchant(pages[0])[1:] == ["Подтвердил оператор: МТС, 22 ноября 2026 г., 12:00"]
    assert shown_to_merchant(pages[1]) == [
        "Не выбрана для оплаты",
        "Смарт-карта не выбрана для оплаты. Выберите её, и она включится сама.",
    ]
    assert shown_to_merchant(pages[2])[1] == "Последний запрос оператор не выполнил."
    assert shown_to_merchant(pages[3]) == ["—", "—"]
    assert "Оплачена?</label>" in text(pages[0])
    assert "Почему так" in text(pages[0])


# --- deciding about cards ----------------------------------------------------------------------


def test_staff_activate_a_card_with_a_reason(boss):
    card = paid_card()

    page = boss.get(f"{CARDS}{card.pk}/activate/")
    answer = boss.post(f"{CARDS}{card.pk}/activate/", {"reason": "просьба"}, follow=True)

    command = Command.objects.get()
    card.refresh_from_db()
    assert "Клиент увидит её на странице смарт-карты." in text(page)
    assert messages_of(answer) == ["Команда принята."]
    assert answer.redirect_chain == [(f"{CARDS}{card.pk}/change/", 302)]
    assert command.kind == "activate"
    assert command.state == "queued"
    assert command.reason == "просьба"
    assert command.asked_by == "Зоя Старшая"
    assert card.desired_on is True
    assert card.desired_by_kind == ActorKind.STAFF
    assert entry("activation_requested") == {
        "text": "Запрошено включение",
        "reason": "просьба",
        "actor": "staff Зоя Старшая",
        "at": NOW,
    }


def test_staff_deactivate_only_with_a_reason(boss):
    card = paid_card(confirmed=OperatorState.ACTIVE, desired_on=True)

    without = boss.post(f"{CARDS}{card.pk}/deactivate/", {"reason": "  "})
    nothing_yet = Command.objects.count()
    boss.post(f"{CARDS}{card.pk}/deactivate/", {"reason": "украдена, заявление клиента"})

    command = Command.objects.get()
    assert without.context["form"].errors == {"reason": ["Укажите причину."]}
    assert nothing_yet == 0
    assert command.kind == "deactivate"
    assert command.reason == "украдена, заявление клиента"


def test_impossible_decision_shows_why_and_does_nothing(boss):
    unpaid, stocked = make_card(make_merchant()), make_card()

    pages = [boss.get(f"{CARDS}{card.pk}/activate/") for card in (unpaid, stocked)]
    posts = [
        boss.post(f"{CARDS}{card.pk}/activate/", {"reason": "да"}) for card in (unpaid, stocked)
    ]

    assert [page.context["refusal"] for page in pages] == [
        "Смарт-карта не выбрана для оплаты. Сначала отметьте её в разделе «Выбрать карты».",
        "Смарт-карта на складе: её ещё никому не передали.",
    ]
    assert [post.context["form"].non_field_errors() for post in posts] == [
        ["Смарт-карта не выбрана для оплаты. Сначала отметьте её в разделе «Выбрать карты»."],
        ["Смарт-карта на складе: её ещё никому не передали."],
    ]
    assert Command.objects.count() == 0


def test_staff_ask_the_operator_about_an_unclear_card(boss):
    card = paid_card(confirmed=OperatorState.UNKNOWN)

    answer = boss.post(f"{CARDS}{card.pk}/check/", follow=True)

    assert messages_of(answer) == ["Спросим оператора, ответ появится здесь."]
    assert entry("asked_again")["actor"] == "staff Зоя Старшая"


def test_actions_answer_404_for_missing_rows_and_405_otherwise(boss):
    card = paid_card()

    assert boss.get(f"{CARDS}999999/activate/").status_code == 404
    assert boss.put(f"{CARDS}{card.pk}/activate/").status_code == 405


def test_decision_without_the_token_of_the_form_is_refused(boss):
    card = paid_card()
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = boss.cookies

    answer = strict.post(f"{CARDS}{card.pk}/activate/", {"reason": "чужая страница"})

    assert answer.status_code == 403
    assert Command.objects.count() == 0


# --- commands ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "state", "confirmed"),
    [("done", "done", "active"), ("not_done", "failed", "unknown")],
)
def test_staff_write_down_an_outcome_nobody_could_read(boss, outcome, state, confirmed):
    card = paid_card(confirmed=OperatorState.UNKNOWN, desired_on=True)
    command = make_command(card, state=CommandState.NEEDS_STAFF)

    answer = boss.post(
        f"{COMMANDS}{command.pk}/outcome/",
        {"done": outcome, "reason": "видно в кабинете оператора"},
        follow=True,
    )

    command.refresh_from_db()
    card.refresh_from_db()
    assert messages_of(answer) == ["Исход записан."]
    assert command.state == state
    assert command.reason == "видно в кабинете оператора"
    assert card.confirmed == confirmed
    assert entry("settled_by_staff")["actor"] == "staff Зоя Старшая"


def test_outcome_needs_both_answers(boss):
    command = make_command(paid_card(), state=CommandState.NEEDS_STAFF)

    answer = boss.post(f"{COMMANDS}{command.pk}/outcome/", {})

    assert answer.context["form"].errors == {
        "done": ["Отметьте, что произошло."],
        "reason": ["Укажите причину."],
    }
    command.refresh_from_db()
    assert command.state == CommandState.NEEDS_STAFF


def test_outcome_of_a_command_that_waits_for_nobody_is_refused(boss):
    command = make_command(paid_card(), state=CommandState.ACCEPTED)

    page = boss.get(f"{COMMANDS}{command.pk}/outcome/")
    boss.post(f"{COMMANDS}{command.pk}/outcome/", {"done": "done", "reason": "да"})

    command.refresh_from_db()
    assert page.context["refusal"] == "Эта команда не ждёт решения сотрудника."
    assert command.state == CommandState.ACCEPTED


def test_staff_cancel_a_queued_command_and_no_other(boss):
    queued = make_command(paid_card(desired_on=True), state=CommandState.QUEUED)
    accepted = make_command(paid_card(desired_on=True), state=CommandState.ACCEPTED)

    answers = [boss.post(f"{COMMANDS}{row.pk}/cancel/", follow=True) for row in (queued, accepted)]

    assert messages_of(answers[0]) == ["Команда отменена, оператору ничего не отправлено."]
    assert answers[1].context["refusal"] == (
        "Отменить можно только команду, которая ждёт в очереди."
    )
    assert list(Command.objects.order_by("pk").values_list("state", flat=True)) == [
        "cancelled",
        "accepted",
    ]


def test_staff_cancel_the_switch_off_of_a_card_in_stock(boss):
    card = make_card(confirmed=OperatorState.ACTIVE)
    command = make_command(card, kind=CommandKind.DEACTIVATE)

    answer = boss.post(f"{COMMANDS}{command.pk}/cancel/", follow=True)

    card.refresh_from_db()
    command.refresh_from_db()
    assert messages_of(answer) == ["Команда отменена, оператору ничего не отправлено."]
    assert command.state == CommandState.CANCELLED
    assert card.desired_on is None


def test_cancel_of_a_finished_command_leaves_the_next_one_alone(boss):
    card = paid_card(desired_on=True)
    old = make_command(card, state=CommandState.FAILED)
    make_command(card, state=CommandState.QUEUED)

    boss.post(f"{COMMANDS}{old.pk}/cancel/")

    assert list(Command.objects.order_by("pk").values_list("state", flat=True)) == [
        "failed",
        "queued",
    ]


def test_command_page_shows_steps_and_possible_actions(boss):
    command = make_command(paid_card(), state=CommandState.NEEDS_STAFF)

    answer = boss.get(f"{COMMANDS}{command.pk}/change/")

    [steps] = answer.context["inline_admin_formsets"]
    assert [step.original.state for step in steps] == [
        "queued",
        "sending",
        "checking",
        "needs_staff",
    ]
    assert [title for _, title in answer.context["confirm_links"]] == ["Записать исход…"]


def test_commands_are_found_by_card_and_company(boss):
    card = paid_card(iccid="89701010000000012345")
    command = make_command(card)
    make_command(paid_card())

    found = [
        [row.pk for row in boss.get(COMMANDS, {"q": asked}).context["cl"].result_list]
        for asked in ("89701010000000012345", card.merchant.evotor_user_id)
    ]

    assert found == [[command.pk], [command.pk]]


# --- the brake ---------------------------------------------------------------------------------


def test_list_of_brakes_leads_to_the_one_page(boss):
    answer = boss.get("/admin/smartcards/brake/")

    assert answer.status_code == 302
    assert answer["Location"] == f"{BRAKE}change/"
    assert boss.get("/admin/smartcards/brake/2/change/").status_code == 404


def test_tap_is_closed_and_opened_with_a_reason(boss):
    without = boss.post(f"{BRAKE}close-tap/", {"reason": ""})
    closed = boss.post(f"{BRAKE}close-tap/", {"reason": "сбой у Эвотор"}, follow=True)
    state = queries.brake_now()
    opened = boss.post(f"{BRAKE}open-tap/", {"reason": "починили"}, follow=True)

    assert "Укажите причину." in text(without)
    assert messages_of(closed) == ["Стоп-кран закрыт: автоматических отключений не будет."]
    assert state.tap_closed_by == "Зоя Старшая"
    assert state.tap_reason == "сбой у Эвотор"
    assert [title for _, title in closed.context["confirm_links"]] == ["Открыть стоп-кран…"]
    assert closed.context["stopped"]
    assert messages_of(opened) == ["Стоп-кран открыт."]
    assert not opened.context["stopped"]
    assert [
        (row.text, row.reason, row.actor_name)
        for row in AuditEvent.objects.filter(target="brake").order_by("pk")
    ] == [
        ("Закрыт стоп-кран", "сбой у Эвотор", "Зоя Старшая"),
        ("Открыт стоп-кран", "починили", "Зоя Старшая"),
    ]


def test_engaged_brake_is_shown_with_its_reason_and_released(boss):
    safety_brake.engage(safety_brake.lock_brake(), because="МТС: слишком много", at=NOW)

    shown = boss.get(f"{BRAKE}change/")
    released = boss.post(f"{BRAKE}release/", {"reason": "так и должно быть"}, follow=True)

    assert "сработал 22 ноября 2026 г." in text(shown)
    assert "МТС: слишком много" in text(shown)
    assert [title for _, title in shown.context["confirm_links"]] == [
        "Отпустить тормоз…",
        "Закрыть стоп-кран…",
    ]
    assert messages_of(released) == ["Тормоз отпущен, счёт за час начат заново."]
    assert queries.brake_now().engaged_at is None


def test_brake_action_that_is_no_longer_possible_changes_nothing(boss):
    safety_brake.close_tap(reason="первый", by=STAFF, at=NOW)

    answer = boss.post(f"{BRAKE}close-tap/", {"reason": "второй"}, follow=True)

    assert "Положение уже изменилось: посмотрите на страницу ещё раз." in text(answer)
    assert queries.brake_now().tap_reason == "первый"


def test_viewer_cannot_run_brake_actions():
    ensure_groups()
    user = make_staff("looker", is_superuser=False)
    support = Group.objects.get(name="Поддержка")
    user.user_permissions.add(support.permissions.get(codename="view_brake"))
    client = Client()
    client.force_login(user)

    page = client.get(f"{BRAKE}change/")
    answer = client.post(f"{BRAKE}close-tap/", {"reason": "да"})

    assert page.status_code == 200
    assert page.context["confirm_links"] == []
    assert answer.status_code == 403
    assert not Brake.objects.filter(tap_closed_at__isnull=False).exists()


def test_brake_report_lists_pending_switches_and_sends_nothing(boss):
    unpaid = make_card(
        make_merchant("ООО «Осень»"), confirmed=OperatorState.ACTIVE, desired_on=True
    )
    asleep = paid_card(confirmed=OperatorState.INACTIVE, desired_on=True)
    paid_card(confirmed=OperatorState.ACTIVE, desired_on=True)
    call_command("after_restore", verbosity=0)

    answer = boss.get(f"{BRAKE}change/")

    off, on = answer.context["differences"]
    assert [(row.card.iccid, row.why) for row in off.first] == [
        (unpaid.iccid, "не выбрана для оплаты")
    ]
    assert [(row.card.iccid, row.why) for row in on.first] == [
        (asleep.iccid, "оплата есть, смарт-карта должна работать")
    ]
    assert off.total == 1
    assert off.more == 0
    assert on.total == 1
    assert "действует режим «только отчёт»" in text(answer)
    assert Command.objects.count() == 0


def test_brake_page_counts_equal_those_of_the_rule(boss):
    account = make_account("mts", brake_cards=3)
    for _ in range(2):
        _switched_off(account)
    long_ago = NOW - timedelta(hours=2)
    _switched_off(account, created_at=long_ago, sent_at=long_ago)
    _switched_off(account, origin=Origin.PERSON)
    _switched_off(account, state=CommandState.CANCELLED)

    [two] = boss.get(f"{BRAKE}change/").context["counts"]
    one_more = [make_card(account=account)]
    let_through = safety_brake.allowed_switch_offs(safety_brake.lock_brake(), one_more, NOW)
    _switched_off(account)
    [three] = boss.get(f"{BRAKE}change/").context["counts"]
    then = safety_brake.allowed_switch_offs(safety_brake.lock_brake(), one_more, NOW)

    assert two.account == "МТС"
    assert two.switched_off == 2
    assert two.limit == 3
    assert two.reached is False
    assert three.switched_off == 3
    assert three.reached is True
    assert let_through == one_more
    assert then == []


def _switched_off(account, **fields):
    values = {
        "kind": CommandKind.DEACTIVATE,
        "origin": Origin.RECONCILE,
        "state": CommandState.DONE,
        "at": NOW,
    }
    card = make_card(make_merchant(), account=account, confirmed=OperatorState.INACTIVE)
    return make_command(card, **{**values, **fields})


# --- after a restore, and health ---------------------------------------------------------------


def test_after_restore_sets_report_only_and_prints_what_to_do(capsys):
    call_command("after_restore")

    state = queries.brake_now()
    assert state.report_only_at is not None
    assert state.report_only_at.replace(microsecond=0) == NOW
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "Режим «только отчёт» включён: сами собой команды операторам не отправляются."
    )
    assert "/admin/smartcards/brake/1/change/" in "\n".join(lines)


def test_health_reports_a_command_that_waits_while_nothing_leaves():
    account = make_account("mts")
    make_command(make_card(make_merchant(), account=account), due_at=NOW - timedelta(minutes=11))

    assert health_checks.check() == {"outbox:mts": "A command waits since 2026-11-22T08:49:00Z."}


def test_health_accepts_short_waits_moving_queues_and_disabled_accounts():
    make_command(
        make_card(make_merchant(), account=make_account("a")), due_at=NOW - timedelta(minutes=9)
    )
    moving = make_account("b", last_call_at=clock.real_now())
    make_command(make_card(make_merchant(), account=moving), due_at=NOW - timedelta(hours=1))
    disabled = make_account("c", enabled=False)
    make_command(make_card(make_merchant(), account=disabled), due_at=NOW - timedelta(hours=1))

    assert health_checks.check() == {}


@pytest.mark.parametrize("why", ["", "works", "outage", "pause", "brake"])
def test_health_accepts_a_queue_that_has_to_wait(why):
    # NOW is 12:00 in Moscow.
    fields = {
        "works": {"maintenance_windows": [{"from": "11:00", "to": "13:00"}]},
        "outage": {"broken_since": NOW - timedelta(hours=1), "probe_at": NOW},
    }
    account = make_account(f"of-{why}", **fields.get(why, {}))
    if why == "pause":
        quota.pause(account, 3600)
    if why == "brake":
        Brake.objects.create(pk=1, tap_closed_at=NOW, tap_closed_by="Зоя", tap_reason="проверка")
    make_command(
        make_card(make_merchant(), account=account),
        kind=CommandKind.DEACTIVATE,
        origin=Origin.RECONCILE,
        due_at=NOW - timedelta(hours=1),
    )

    found = health_checks.check()

    late = {"outbox:of-": "A command waits since 2026-11-22T08:00:00Z."}
    assert found == ({} if why else late)


def test_service_refuses_staff_switch_off_without_reason():
    card = paid_card(confirmed=OperatorState.ACTIVE, desired_on=True)

    with pytest.raises(CardRefused, match="Укажите причину отключения"):
        services.request_deactivation(card=card, by=STAFF, at=NOW)

    assert Command.objects.count() == 0


# --- words -------------------------------------------------------------------------------------


def test_error_of_a_command_is_shown_and_filtered_in_russian(boss):
    refused = make_command(paid_card(), state=CommandState.FAILED, error="forbidden", code="E17")
    make_command(paid_card(), state=CommandState.DONE)

    everything, narrowed = boss.get(COMMANDS), boss.get(f"{COMMANDS}?error=forbidden")
    page = text(boss.get(f"{COMMANDS}{refused.pk}/change/"))

    assert "не разрешено договором</td>" in text(everything)
    assert [row.pk for row in narrowed.context["cl"].result_list] == [refused.pk]
    assert '<div class="readonly">не разрешено договором</div>' in page
    assert "forbidden" not in page


@pytest.mark.parametrize(
    ("desired_on", "sentence"), [(True, "включить"), (False, "отключить"), (None, "ещё ничего")]
)
def test_last_decision_about_a_card_is_shown_in_russian(boss, desired_on, sentence):
    card = paid_card(desired_on=desired_on, identity="waiting")

    page = text(boss.get(f"{CARDS}{card.pk}/change/"))

    assert f'<div class="readonly">{sentence}</div>' in page
    assert '<div class="readonly">ждёт подтверждения</div>' in page


def test_every_code_of_an_operators_answer_has_a_russian_label():
    labels = [block_label(code) for code in BlockReason] + [
        error_label(code) for code in ErrorClass
    ]
    labels += [identity_label(code) for code in IdentityState]

    assert [code for code in labels if re.search("[a-z]", code)] == []
    assert block_label("") == ""
    assert error_label("odd") == "odd"
    assert identity_label("") == ""


def test_rows_below_a_card_are_a_plain_table(boss):
    card = paid_card()
    command = make_command(card, state=CommandState.DONE)

    full = text(boss.get(f"{CARDS}{card.pk}/change/"))
    empty = text(boss.get(f"{CARDS}{make_card(make_merchant()).pk}/change/"))

    assert f'<a href="{COMMANDS}{command.pk}/change/">Открыть</a>' in full
    assert "Пусто." not in full
    assert empty.count("Пусто.") == 2
