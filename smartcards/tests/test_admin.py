"""Staff's pages about cards, commands and the brake, through the pages."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.test import Client

from cabinet import clock
from cabinet.models import AuditEvent
from cabinet.services.groups import ensure_groups
from cabinet.states import ActorKind, Role
from cabinet.tests.people import make_staff
from operators.ports import BlockReason, ErrorClass, IdentityState
from smartcards import brake, health, queries, services
from smartcards.admin.words import block_word, error_word, identity_word
from smartcards.models import Brake, Command, SmartCard
from smartcards.rules import CardRefused
from smartcards.states import CommandKind, CommandState, Confirmed, Origin
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


def said(answer) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def listed(answer) -> list[str]:
    return [card.iccid for card in answer.context["cl"].result_list]


def entry(action: str) -> dict[str, object]:
    """The newest line of the journal about that action."""
    row = AuditEvent.objects.filter(action=action).order_by("-pk")[0]
    return {
        "text": row.text,
        "reason": row.reason,
        "actor": (row.actor_kind, row.actor_name),
        "at": row.at.replace(microsecond=0),
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


def test_nothing_of_a_card_can_be_edited_added_or_deleted_by_hand(boss):
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


def test_search_of_a_whole_iccid_finds_that_card_and_not_its_neighbours(boss):
    merchant = make_merchant()
    make_card(merchant, iccid="89701010000000012345")
    make_card(merchant, iccid="89701010000000012346")

    answer = boss.get(CARDS, {"q": "89701010000000012346"})

    assert listed(answer) == ["89701010000000012346"]


def test_list_filters_by_operator_state_and_place(boss):
    mts, other = make_account("mts"), make_account("other", title="Партнёр", adapter="tmf640")
    merchant = make_merchant()
    stock = make_card(account=mts)
    works = make_card(merchant, account=mts, confirmed=Confirmed.ACTIVE)
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


def test_list_asks_the_database_as_often_for_many_cards_as_for_few(
    boss, django_assert_max_num_queries
):
    merchant = make_merchant()
    subscription = make_live_subscription(merchant, cards=30)
    for _ in range(30):
        cover(make_card(merchant), subscription)

    with django_assert_max_num_queries(20):
        answer = boss.get(CARDS)

    assert len(listed(answer)) == 30


def test_page_of_a_card_shows_state_commands_and_only_possible_decisions(boss):
    card = paid_card(confirmed=Confirmed.ACTIVE, wished_on=True)
    make_command(card, state=CommandState.DONE, reason="по просьбе")

    answer = boss.get(f"{CARDS}{card.pk}/change/")

    page = text(answer)
    assert [title for _, title in answer.context["decisions"]] == [
        "Деактивировать…",
        "Потеряна, украдена или сломана…",
        "Записать номер…",
    ]
    assert "Работает" in page
    assert "по просьбе" in page


# --- deciding about cards ----------------------------------------------------------------------


def test_staff_activate_a_card_with_a_reason(boss):
    card = paid_card()

    page = boss.get(f"{CARDS}{card.pk}/activate/")
    answer = boss.post(f"{CARDS}{card.pk}/activate/", {"reason": "просьба"}, follow=True)

    command = Command.objects.get()
    card.refresh_from_db()
    assert "Клиент увидит её на странице смарт-карты." in text(page)
    assert said(answer) == ["Команда принята."]
    assert answer.redirect_chain == [(f"{CARDS}{card.pk}/change/", 302)]
    assert (command.kind, command.state, command.reason, command.asked_by) == (
        "activate",
        "queued",
        "просьба",
        "Зоя Старшая",
    )
    assert (card.wished_on, card.wished_by_kind) == (True, ActorKind.STAFF)
    assert entry("activation_requested") == {
        "text": "Запрошено включение",
        "reason": "просьба",
        "actor": ("staff", "Зоя Старшая"),
        "at": NOW,
    }


def test_staff_deactivate_only_with_a_reason(boss):
    card = paid_card(confirmed=Confirmed.ACTIVE, wished_on=True)

    without = boss.post(f"{CARDS}{card.pk}/deactivate/", {"reason": "  "})
    nothing_yet = Command.objects.count()
    boss.post(f"{CARDS}{card.pk}/deactivate/", {"reason": "украдена, заявление клиента"})

    command = Command.objects.get()
    assert without.context["form"].errors == {"reason": ["Укажите причину."]}
    assert nothing_yet == 0
    assert (command.kind, command.reason) == ("deactivate", "украдена, заявление клиента")


def test_impossible_decision_says_why_and_does_nothing(boss):
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
    card = paid_card(confirmed=Confirmed.UNKNOWN)

    answer = boss.post(f"{CARDS}{card.pk}/check/", follow=True)

    assert said(answer) == ["Спросим оператора, ответ появится здесь."]
    assert entry("asked_again")["actor"] == ("staff", "Зоя Старшая")


def test_decisions_answer_404_for_a_missing_row_and_405_for_other_methods(boss):
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
    card = paid_card(confirmed=Confirmed.UNKNOWN, wished_on=True)
    command = make_command(card, state=CommandState.NEEDS_STAFF)

    answer = boss.post(
        f"{COMMANDS}{command.pk}/outcome/",
        {"outcome": outcome, "reason": "видно в кабинете оператора"},
        follow=True,
    )

    command.refresh_from_db()
    card.refresh_from_db()
    assert said(answer) == ["Исход записан."]
    assert (command.state, command.reason) == (state, "видно в кабинете оператора")
    assert card.confirmed == confirmed
    assert entry("settled_by_staff")["actor"] == ("staff", "Зоя Старшая")


def test_outcome_needs_both_answers(boss):
    command = make_command(paid_card(), state=CommandState.NEEDS_STAFF)

    answer = boss.post(f"{COMMANDS}{command.pk}/outcome/", {})

    assert answer.context["form"].errors == {
        "outcome": ["Отметьте, что произошло."],
        "reason": ["Укажите причину."],
    }
    command.refresh_from_db()
    assert command.state == CommandState.NEEDS_STAFF


def test_outcome_of_a_command_that_waits_for_nobody_is_refused(boss):
    command = make_command(paid_card(), state=CommandState.ACCEPTED)

    page = boss.get(f"{COMMANDS}{command.pk}/outcome/")
    boss.post(f"{COMMANDS}{command.pk}/outcome/", {"outcome": "done", "reason": "да"})

    command.refresh_from_db()
    assert page.context["refusal"] == "Эта команда не ждёт решения сотрудника."
    assert command.state == CommandState.ACCEPTED


def test_staff_cancel_a_queued_command_and_no_other(boss):
    queued = make_command(paid_card(wished_on=True), state=CommandState.QUEUED)
    accepted = make_command(paid_card(wished_on=True), state=CommandState.ACCEPTED)

    answers = [boss.post(f"{COMMANDS}{row.pk}/cancel/", follow=True) for row in (queued, accepted)]

    assert said(answers[0]) == ["Команда отменена, оператору ничего не отправлено."]
    assert answers[1].context["refusal"] == (
        "Отменить можно только команду, которая ждёт в очереди."
    )
    assert list(Command.objects.order_by("pk").values_list("state", flat=True)) == [
        "cancelled",
        "accepted",
    ]


def test_cancel_of_a_finished_command_leaves_the_next_one_alone(boss):
    card = paid_card(wished_on=True)
    old = make_command(card, state=CommandState.FAILED)
    make_command(card, state=CommandState.QUEUED)

    boss.post(f"{COMMANDS}{old.pk}/cancel/")

    assert list(Command.objects.order_by("pk").values_list("state", flat=True)) == [
        "failed",
        "queued",
    ]


def test_page_of_a_command_shows_its_steps_and_offers_what_is_possible(boss):
    command = make_command(paid_card(), state=CommandState.NEEDS_STAFF)

    answer = boss.get(f"{COMMANDS}{command.pk}/change/")

    [steps] = answer.context["inline_admin_formsets"]
    assert [step.original.state for step in steps] == [
        "queued",
        "sending",
        "checking",
        "needs_staff",
    ]
    assert [title for _, title in answer.context["decisions"]] == ["Записать исход…"]


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

    assert (answer.status_code, answer["Location"]) == (302, f"{BRAKE}change/")
    assert boss.get("/admin/smartcards/brake/2/change/").status_code == 404


def test_tap_is_closed_and_opened_with_a_reason(boss):
    without = boss.post(f"{BRAKE}close-tap/", {"reason": ""})
    closed = boss.post(f"{BRAKE}close-tap/", {"reason": "сбой у Эвотор"}, follow=True)
    state = queries.brake_now()
    opened = boss.post(f"{BRAKE}open-tap/", {"reason": "починили"}, follow=True)

    assert "Укажите причину." in text(without)
    assert said(closed) == ["Стоп-кран закрыт: автоматических отключений не будет."]
    assert (state.tap_closed_by, state.tap_reason) == ("Зоя Старшая", "сбой у Эвотор")
    assert [lever.name for lever, _ in closed.context["levers"]] == ["open-tap"]
    assert closed.context["stopped"]
    assert said(opened) == ["Стоп-кран открыт."]
    assert not opened.context["stopped"]
    assert [
        (row.text, row.reason, row.actor_name)
        for row in AuditEvent.objects.filter(target="brake").order_by("pk")
    ] == [
        ("Закрыт стоп-кран", "сбой у Эвотор", "Зоя Старшая"),
        ("Открыт стоп-кран", "починили", "Зоя Старшая"),
    ]


def test_engaged_brake_is_shown_with_its_reason_and_released(boss):
    brake.engage(brake.lock_brake(), because="МТС: слишком много", at=NOW)

    shown = boss.get(f"{BRAKE}change/")
    released = boss.post(f"{BRAKE}release/", {"reason": "так и должно быть"}, follow=True)

    assert "сработал 22 ноября 2026 г." in text(shown)
    assert "МТС: слишком много" in text(shown)
    assert [lever.name for lever, _ in shown.context["levers"]] == ["release", "close-tap"]
    assert said(released) == ["Тормоз отпущен, счёт за час начат заново."]
    assert queries.brake_now().engaged_at is None


def test_lever_that_was_pulled_in_the_meantime_changes_nothing(boss):
    brake.close_tap(reason="первый", by=STAFF, at=NOW)

    answer = boss.post(f"{BRAKE}close-tap/", {"reason": "второй"}, follow=True)

    assert said(answer) == ["Положение уже изменилось: посмотрите на страницу ещё раз."]
    assert queries.brake_now().tap_reason == "первый"


def test_who_may_only_look_pulls_no_lever():
    ensure_groups()
    user = make_staff("looker", is_superuser=False)
    support = Group.objects.get(name="Поддержка")
    user.user_permissions.add(support.permissions.get(codename="view_brake"))
    client = Client()
    client.force_login(user)

    page = client.get(f"{BRAKE}change/")
    answer = client.post(f"{BRAKE}close-tap/", {"reason": "да"})

    assert (page.status_code, page.context["levers"]) == (200, [])
    assert answer.status_code == 403
    assert not Brake.objects.filter(tap_closed_at__isnull=False).exists()


def test_report_lists_what_would_go_off_and_come_on_and_sends_nothing(boss):
    unpaid = make_card(make_merchant("ООО «Осень»"), confirmed=Confirmed.ACTIVE, wished_on=True)
    asleep = paid_card(confirmed=Confirmed.INACTIVE, wished_on=True)
    paid_card(confirmed=Confirmed.ACTIVE, wished_on=True)
    call_command("after_restore", verbosity=0)

    answer = boss.get(f"{BRAKE}change/")

    off, on = answer.context["differences"]
    assert [(row.card.iccid, row.why) for row in off.first] == [
        (unpaid.iccid, "не выбрана для оплаты")
    ]
    assert [(row.card.iccid, row.why) for row in on.first] == [
        (asleep.iccid, "оплата есть, смарт-карта должна работать")
    ]
    assert (off.total, off.more, on.total) == (1, 0, 1)
    assert "действует режим «только отчёт»" in text(answer)
    assert Command.objects.count() == 0


def test_counts_of_the_page_are_those_by_which_the_brake_decides(boss):
    account = make_account("mts", brake_cards=3)
    for _ in range(2):
        _switched_off(account)
    long_ago = NOW - timedelta(hours=2)
    _switched_off(account, created_at=long_ago, sent_at=long_ago)
    _switched_off(account, origin=Origin.PERSON)
    _switched_off(account, state=CommandState.CANCELLED)

    [two] = boss.get(f"{BRAKE}change/").context["counts"]
    let_through = brake.lets_through(brake.lock_brake(), account, NOW)
    _switched_off(account)
    [three] = boss.get(f"{BRAKE}change/").context["counts"]
    then = brake.lets_through(brake.lock_brake(), account, NOW)

    assert (two.account, two.switched_off, two.limit, two.reached) == ("МТС", 2, 3, False)
    assert (three.switched_off, three.reached) == (3, True)
    assert (let_through, then) == (True, False)


def _switched_off(account, **fields):
    values = {
        "kind": CommandKind.DEACTIVATE,
        "origin": Origin.RECONCILE,
        "state": CommandState.DONE,
        "at": NOW,
    }
    card = make_card(make_merchant(), account=account, confirmed=Confirmed.INACTIVE)
    return make_command(card, **{**values, **fields})


# --- after a restore, and health ---------------------------------------------------------------


def test_after_restore_sets_report_only_and_says_what_to_do(capsys):
    call_command("after_restore")

    state = queries.brake_now()
    assert state.report_only_at is not None
    assert state.report_only_at.replace(microsecond=0) == NOW
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "Режим «только отчёт» включён: сами собой команды операторам не отправляются."
    )
    assert "/admin/smartcards/brake/1/change/" in "\n".join(lines)


def test_health_tells_of_a_command_that_waits_while_nothing_leaves():
    account = make_account("mts")
    make_command(make_card(make_merchant(), account=account), due_at=NOW - timedelta(minutes=11))

    assert health.check() == {"outbox:mts": "A command waits since 2026-11-22T08:49:00Z."}


def test_health_is_content_with_a_short_wait_a_moving_queue_and_a_disabled_account():
    make_command(
        make_card(make_merchant(), account=make_account("a")), due_at=NOW - timedelta(minutes=9)
    )
    moving = make_account("b", last_call_at=clock.real_now())
    make_command(make_card(make_merchant(), account=moving), due_at=NOW - timedelta(hours=1))
    disabled = make_account("c", enabled=False)
    make_command(make_card(make_merchant(), account=disabled), due_at=NOW - timedelta(hours=1))

    assert health.check() == {}


def test_staff_without_a_reason_cannot_switch_a_card_off_by_the_service_either():
    card = paid_card(confirmed=Confirmed.ACTIVE, wished_on=True)

    with pytest.raises(CardRefused, match="Укажите причину отключения"):
        services.request_deactivation(card=card, by=STAFF, at=NOW)

    assert Command.objects.count() == 0


# --- words -------------------------------------------------------------------------------------


def test_what_went_wrong_with_a_command_is_told_and_found_in_words(boss):
    refused = make_command(paid_card(), state=CommandState.FAILED, error="forbidden", code="E17")
    make_command(paid_card(), state=CommandState.DONE)

    everything, narrowed = boss.get(COMMANDS), boss.get(f"{COMMANDS}?error=forbidden")
    page = text(boss.get(f"{COMMANDS}{refused.pk}/change/"))

    assert "не разрешено договором</td>" in text(everything)
    assert [row.pk for row in narrowed.context["cl"].result_list] == [refused.pk]
    assert '<div class="readonly">не разрешено договором</div>' in page
    assert "forbidden" not in page


@pytest.mark.parametrize(
    ("wished_on", "said"), [(True, "включить"), (False, "отключить"), (None, "ещё ничего")]
)
def test_last_decision_about_a_card_is_told_in_words(boss, wished_on, said):
    card = paid_card(wished_on=wished_on, identity="waiting")

    page = text(boss.get(f"{CARDS}{card.pk}/change/"))

    assert f'<div class="readonly">{said}</div>' in page
    assert '<div class="readonly">ждёт подтверждения</div>' in page


def test_every_word_of_an_operators_answer_has_a_russian_one():
    told = [block_word(word) for word in BlockReason] + [error_word(word) for word in ErrorClass]
    told += [identity_word(word) for word in IdentityState]

    assert [word for word in told if re.search("[a-z]", word)] == []
    assert (block_word(""), error_word("odd"), identity_word("")) == ("", "odd", "")


def test_rows_below_a_card_are_a_plain_table(boss):
    card = paid_card()
    command = make_command(card, state=CommandState.DONE)

    full = text(boss.get(f"{CARDS}{card.pk}/change/"))
    empty = text(boss.get(f"{CARDS}{make_card(make_merchant()).pk}/change/"))

    assert f'<a href="{COMMANDS}{command.pk}/change/">Открыть</a>' in full
    assert "Пусто." not in full
    assert empty.count("Пусто.") == 2
