"""What the pages say of cards: every state, every reason, numbers over all cards, the timeline."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cabinet import audit
from cabinet.actors import SYSTEM, Actor
from cabinet.enums import ActorKind, Role
from cabinet.formatting.ru_format import NBSP
from operators.limits.maintenance import MOSCOW
from smartcards import queries, rules, services, texts
from smartcards.listing import card_groups, card_pages
from smartcards.listing.card_filter import CardFilter, StateFilter
from smartcards.listing.card_pages import PageQuery
from smartcards.models import SmartCard
from smartcards.presentation.actions import ActionButton, CardAction, HelpLink, action_buttons
from smartcards.presentation.card import Failure, Why, card_page
from smartcards.presentation.card_list import card_list_page
from smartcards.presentation.display_format import name_of
from smartcards.presentation.list_options import ListQuery
from smartcards.presentation.notices import Notice, PayButton
from smartcards.presentation.payment import Payment, paid_slots, payment_of
from smartcards.presentation.progress import Step, progress_of
from smartcards.presentation.timeline import LONG, Event, timeline_of
from smartcards.states import CommandKind, CommandState, OffReason, OperatorState
from smartcards.tests.cards import (
    NOW,
    OWNER,
    STAFF,
    cover,
    make_account,
    make_card,
    make_command,
    make_live_subscription,
    make_merchant,
    make_terminal,
)
from subscriptions.models import Subscription

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def merchant():
    return make_merchant()


@dataclass(frozen=True)
class Case:
    """A card in a state, and what the pages must say of it."""

    name: str
    pill: str
    works: str
    why: str
    actions: list[CardAction]
    filters: set[StateFilter]
    paid: str = "Оплачена до"
    reason: str = ""
    card: dict[str, Any] = field(default_factory=dict)
    coverage: str = "live"
    command: tuple[CommandKind, CommandState] | None = None


ON, OFF = CommandKind.ACTIVATE, CommandKind.DEACTIVATE
WAS_ON = {"confirmed": OperatorState.ACTIVE, "desired_on": True}
BLOCKED = {"confirmed": OperatorState.INACTIVE, "desired_on": True}
NEEDS_A_HAND = {StateFilter.ATTENTION, StateFilter.OFF}
CASES = [
    Case(
        "new, paid",
        "Новая",
        "Нет",
        "Смарт-карта ещё не включалась. Вставьте её в кассу и нажмите «Активировать».",
        [CardAction.ACTIVATE],
        {StateFilter.NEW},
    ),
    Case(
        "new, not chosen",
        "Новая",
        "Нет",
        "Смарт-карта ещё не включалась.",
        [CardAction.ACTIVATE],
        {StateFilter.NEW},
        paid="Не выбрана для оплаты",
        reason="Смарт-карта не выбрана для оплаты. Сначала отметьте её в разделе «Выбрать карты».",
        coverage="",
    ),
    Case(
        "activating, queued",
        "Включается…",
        "Пока нет, включаем",
        "Запрос на включение выполняется.",
        [CardAction.CANCEL],
        {StateFilter.SWITCHING},
        card={"desired_on": True},
        command=(ON, CommandState.QUEUED),
    ),
    Case(
        "activating, accepted",
        "Включается…",
        "Пока нет, включаем",
        "Запрос на включение выполняется.",
        [],
        {StateFilter.SWITCHING},
        card={"desired_on": True},
        command=(ON, CommandState.ACCEPTED),
    ),
    Case(
        "active",
        "Работает",
        "Да, работает",
        "Подтвердил оператор",
        [CardAction.DEACTIVATE],
        {StateFilter.WORKS},
        card=WAS_ON,
    ),
    Case(
        "active, nobody has asked",
        "Работает",
        "Да, работает",
        "Включена у оператора, решения об этом в сервисе не было.",
        [CardAction.DEACTIVATE, CardAction.ACTIVATE],
        {StateFilter.WORKS},
        card={"confirmed": OperatorState.ACTIVE},
    ),
    Case(
        "active, not paid any more",
        "Работает",
        "Да, работает",
        "Работает, но больше не оплачена и скоро отключится.",
        [CardAction.DEACTIVATE],
        {StateFilter.ATTENTION, StateFilter.WORKS, StateFilter.UNPAID},
        paid="Не оплачена, подписка закончилась",
        card=WAS_ON,
        coverage="ended",
    ),
    Case(
        "deactivating",
        "Отключается…",
        "Отключаем",
        "Запрос на отключение выполняется.",
        [],
        {StateFilter.SWITCHING},
        card={"confirmed": OperatorState.ACTIVE, "desired_on": False},
        command=(OFF, CommandState.SENDING),
    ),
    Case(
        "off by a person",
        "Отключена: вами",
        "Нет",
        "Решение об отключении",
        [CardAction.ACTIVATE],
        {StateFilter.OFF},
        card={"confirmed": OperatorState.INACTIVE, "desired_on": False},
    ),
    Case(
        "off by staff",
        "Отключена: сотрудником сервиса",
        "Нет",
        "Решение об отключении",
        [CardAction.ACTIVATE],
        {StateFilter.OFF},
        card={
            "confirmed": OperatorState.INACTIVE,
            "desired_on": False,
            "desired_by": STAFF.name,
            "desired_by_kind": ActorKind.STAFF,
        },
    ),
    Case(
        "off, unpaid",
        "Отключена: не оплачена",
        "Нет",
        "Подписка закончилась. После оплаты смарт-карта включится сама.",
        [CardAction.ACTIVATE, CardAction.STAY_OFF],
        {*NEEDS_A_HAND, StateFilter.UNPAID},
        paid="Не оплачена, подписка закончилась",
        reason="Подписка не оплачена. Продлите её, и смарт-карту можно будет включить.",
        card=BLOCKED,
        coverage="ended",
    ),
    Case(
        "off by a person, not paid any more",
        "Отключена: вами",
        "Нет",
        "Решение об отключении",
        [CardAction.ACTIVATE],
        {*NEEDS_A_HAND, StateFilter.UNPAID},
        paid="Не оплачена, подписка закончилась",
        reason="Подписка не оплачена. Продлите её, и смарт-карту можно будет включить.",
        card={"confirmed": OperatorState.INACTIVE, "desired_on": False},
        coverage="ended",
    ),
    Case(
        "new, not paid any more",
        "Новая",
        "Нет",
        "Смарт-карта ещё не включалась.",
        [CardAction.ACTIVATE],
        {StateFilter.ATTENTION, StateFilter.NEW, StateFilter.UNPAID},
        paid="Не оплачена, подписка закончилась",
        reason="Подписка не оплачена. Продлите её, и смарт-карту можно будет включить.",
        coverage="ended",
    ),
    Case(
        "off, not chosen",
        "Отключена: не оплачена",
        "Нет",
        "Смарт-карта не выбрана для оплаты. Выберите её, и она включится сама.",
        [CardAction.ACTIVATE, CardAction.STAY_OFF],
        {*NEEDS_A_HAND, StateFilter.UNPAID},
        paid="Не выбрана для оплаты",
        reason="Смарт-карта не выбрана для оплаты. Сначала отметьте её в разделе «Выбрать карты».",
        card=BLOCKED,
        coverage="",
    ),
    *(
        Case(
            f"off by the operator: {reason}",
            f"Отключена: {label}",
            "Нет",
            rules.BLOCK_ADVICE[why],
            [CardAction.ACTIVATE, CardAction.STAY_OFF],
            NEEDS_A_HAND,
            reason=rules.BLOCK_ADVICE[why],
            card={**BLOCKED, "block_reason": reason},
        )
        for reason, why, label in [
            ("debt", OffReason.OPERATOR, "оператором"),
            ("limit", OffReason.LIMIT, "лимит"),
            ("imei", OffReason.IMEI, "другой терминал (IMEI)"),
            ("law", OffReason.LAW, "по закону"),
        ]
    ),
    Case(
        "held",
        "Отключена: оператором",
        "Нет",
        rules.BLOCK_ADVICE[OffReason.OPERATOR],
        [CardAction.ACTIVATE, CardAction.STAY_OFF],
        NEEDS_A_HAND,
        reason=rules.BLOCK_ADVICE[OffReason.OPERATOR],
        card={"confirmed": OperatorState.HELD, "desired_on": True},
    ),
    Case(
        "off, reason not known",
        "Отключена: причина неизвестна",
        "Нет",
        "Отключена у оператора. Мы включим её сами, или нажмите «Активировать».",
        [CardAction.ACTIVATE, CardAction.STAY_OFF],
        NEEDS_A_HAND,
        card={**BLOCKED, "block_reason": "unknown"},
    ),
    Case(
        "off, nobody has asked",
        "Отключена: причина неизвестна",
        "Нет",
        "Причина неизвестна: включать смарт-карту никто не просил.",
        [CardAction.ACTIVATE],
        NEEDS_A_HAND,
        card={"confirmed": OperatorState.INACTIVE},
    ),
    *(
        Case(
            f"unclear: {state}",
            "Уточняем у оператора",
            "Уточняем у оператора",
            "Оператор не дал понятного ответа. Мы спросим его ещё раз и ничего не сделаем вслепую.",
            [CardAction.CHECK],
            {StateFilter.ATTENTION, StateFilter.UNCLEAR},
            card={"desired_on": True},
            command=(ON, state),
        )
        for state in [CommandState.CHECKING, CommandState.NEEDS_STAFF]
    ),
    Case(
        "unclear without a command",
        "Уточняем у оператора",
        "Уточняем у оператора",
        "Оператор не дал понятного ответа. Мы спросим его ещё раз и ничего не сделаем вслепую.",
        [CardAction.CHECK, CardAction.ACTIVATE, CardAction.DEACTIVATE],
        {StateFilter.ATTENTION, StateFilter.UNCLEAR},
        card={"confirmed": OperatorState.UNKNOWN, "desired_on": True},
    ),
    Case(
        "retired",
        "Списана",
        "Нет",
        "Оператор списал смарт-карту навсегда. Вместо неё можно заказать новую.",
        [CardAction.ACTIVATE],
        {StateFilter.RETIRED},
        paid="Платить не нужно",
        reason="Смарт-карта списана, включить её нельзя. Закажите новую.",
        card={"confirmed": OperatorState.RETIRED},
        coverage="",
    ),
]


def arrange(merchant, case):
    card = make_card(merchant, **case.card)
    if case.coverage:
        ended = {"entitled_until": NOW - MINUTE} if case.coverage == "ended" else {}
        cover(card, make_live_subscription(merchant, **ended))
    if case.command:
        make_command(card, kind=case.command[0], state=case.command[1])
    return queries.with_facts(SmartCard.objects.filter(pk=card.pk)).get()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_card_page_shows_state_payment_and_reason(merchant, case):
    card = arrange(merchant, case)

    page = card_page(card=card, merchant=merchant, role=Role.OWNER, at=NOW)

    assert page.pill.text == case.pill
    assert page.works == case.works
    assert page.payment.text == case.paid
    assert page.why.text == case.why
    assert [button.action for button in page.buttons] == case.actions
    assert (page.buttons[0].reason if page.buttons else "") == case.reason


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_overview_puts_a_card_of_each_state_on_its_shelves(merchant, case):
    arrange(merchant, case)

    found = {
        state
        for state in StateFilter
        if card_list_page(
            merchant=merchant, role=Role.OWNER, query=ListQuery(CardFilter(state=state)), at=NOW
        ).shops
    }

    assert found == {StateFilter.ALL} | case.filters


def test_the_grouped_facts_are_the_facts_of_each_card(merchant):
    for case in CASES:
        arrange(merchant, case)

    grouped = {}
    for group in card_groups.groups(SmartCard.objects.of(merchant), NOW):
        key = (texts.pill(group.facts), group.facts.covered, group.facts.entitled)
        grouped[key] = grouped.get(key, 0) + group.count

    single = {}
    for card in queries.cards_of(merchant):
        facts = queries.facts_of(card, NOW)
        key = (texts.pill(facts), facts.covered, facts.entitled)
        single[key] = single.get(key, 0) + 1
    assert grouped == single


@given(
    confirmed=st.sampled_from(OperatorState),
    desired_on=st.sampled_from([None, True, False]),
    block_reason=st.sampled_from(["", "voluntary", "law", "debt"]),
    starts=st.integers(-2, 2),
    ends=st.one_of(st.none(), st.integers(-1, 2)),
    covered=st.sampled_from(["", "open", "closed"]),
    command=st.sampled_from([None, *CommandState]),
)
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_grouping_agrees_with_the_facts_whatever_the_rows(
    confirmed, desired_on, block_reason, starts, ends, covered, command
):
    merchant = make_merchant()
    card = make_card(
        merchant, confirmed=confirmed, desired_on=desired_on, block_reason=block_reason
    )
    since = NOW + starts * MINUTE
    until = None if ends is None else since + max(ends, 0) * MINUTE
    subscription = make_live_subscription(merchant, entitled_from=since, entitled_until=until)
    if covered:
        cover(card, subscription, since=NOW - MINUTE, till=NOW if covered == "closed" else None)
    if command is not None:
        make_command(card, state=command)

    [group] = card_groups.groups(SmartCard.objects.of(merchant), NOW)

    facts = queries.facts_of(queries.cards_of(merchant).get(), NOW)
    assert rules.card_state(group.facts) == rules.card_state(facts)
    assert group.facts.paid == facts.paid
    assert group.facts.covered == facts.covered
    assert group.facts.entitled == facts.entitled
    assert rules.needs_merchant(group.facts) == rules.needs_merchant(facts)
    assert (
        action_buttons(group.facts, Role.OWNER)[0].action
        == action_buttons(facts, Role.OWNER)[0].action
    )


def test_card_list_is_grouped_by_shop_in_russian_order(merchant):
    yet = make_card(merchant, terminal=make_terminal(merchant, "Ясень", "Касса"))
    fir = make_card(merchant, terminal=make_terminal(merchant, "Ёлка", "Касса б"))
    first = make_card(merchant, terminal=make_terminal(merchant, "ёлка", "Касса А"))
    spruce = make_card(merchant, terminal=make_terminal(merchant, "Ель", "Касса"))
    loose, labelled = make_card(merchant), make_card(merchant, label="запасная")
    homeless = make_terminal(merchant, "Убрать", "Касса на складе")
    homeless.shop.delete()
    stray = make_card(merchant, terminal_id=homeless.pk)

    view = card_list_page(merchant=merchant, role=Role.OWNER, query=ListQuery(), at=NOW)

    assert [(shop.title, [row.name.pk for row in shop.rows]) for shop in view.shops] == [
        ("Ёлка", [fir.pk]),
        ("ёлка", [first.pk]),
        ("Ель", [spruce.pk]),
        ("Ясень", [yet.pk]),
        ("Без магазина", [stray.pk]),
        ("Без кассы", [loose.pk, labelled.pk]),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0701", True),
        ("8970 1019 9912", True),
        ("…0701", True),
        ("8 (916) 555-44-33", True),
        ("+7 916 555 44 33", True),
        ("916555", True),
        ("ЕЛОЧ", True),
        ("ёлоч", True),
        ("касса  у", True),
        ("веранда", True),
        ("%", False),
        ("_", False),
        ("0702", False),
        ("'; DROP TABLE", False),
    ],
)
def test_card_list_finds_by_number_label_shop_or_terminal(merchant, text, found):
    till = make_terminal(merchant, "Ёлочный базар", "Касса у входа")
    make_card(
        merchant,
        iccid="8970101999123450701",
        msisdn="79165554433",
        label="летняя Веранда",
        terminal=till,
    )

    view = card_list_page(
        merchant=merchant, role=Role.OWNER, query=ListQuery(CardFilter(text=text)), at=NOW
    )

    assert bool(view.shops) is found


def test_card_list_counts_found_cards_of_chosen_filter(merchant):
    till = make_terminal(merchant, "Ёлка", "Касса")
    make_card(merchant, terminal=till, **WAS_ON)
    make_card(merchant, terminal=till)
    make_card(merchant)

    view = card_list_page(
        merchant=merchant,
        role=Role.OWNER,
        query=ListQuery(CardFilter(text="елка", state=StateFilter.NEW)),
        at=NOW,
    )

    assert view.found == 1
    assert view.query.narrowed is True
    assert [(chip.title, chip.count, chip.current) for chip in view.filters] == [
        ("Все", 3, False),
        ("Требуют внимания", 1, False),
        ("Работают", 1, False),
        ("Новые", 2, True),
        ("Не оплачены", 1, False),
    ]


def test_list_reads_the_same_facts_as_the_page_of_a_card(merchant):
    live = make_live_subscription(merchant, cards=9)
    ended = make_live_subscription(merchant, cards=9, entitled_until=NOW)
    terminal = make_terminal(merchant)
    works = make_card(merchant, terminal=terminal, **WAS_ON)
    cover(works, live)
    switching = make_card(merchant, label="Запасная", desired_on=True)
    cover(switching, live)
    make_command(switching, state=CommandState.ACCEPTED, by=STAFF)
    lapsed = make_card(merchant, may_hold_until=NOW + MINUTE, **WAS_ON)
    cover(lapsed, ended)
    lost = {"desired_on": False, "withdrawn_at": NOW, "withdrawn_because": "lost"}
    replaced = make_card(merchant, replaced_by=works, **lost)

    cards = SmartCard.objects.of(merchant)
    shown = card_pages.card_page(cards, merchant=merchant, wanted=PageQuery(), at=NOW)

    single = queries.with_facts(SmartCard.objects.of(merchant), terms=True)
    by_pk = {card.pk: card for card in single}
    assert [card.pk for card in shown.cards] == [
        works.pk,
        lapsed.pk,
        replaced.pk,
        switching.pk,
    ]
    assert [row.pk for row in sorted(shown.subscriptions, key=lambda row: row.pk)] == [
        live.pk,
        ended.pk,
    ]
    for card in shown.cards:
        one = by_pk[card.pk]
        assert queries.facts_of(card, NOW) == queries.facts_of(one, NOW)
        assert queries.switch_terms_of(card, NOW) == queries.switch_terms_of(one, NOW)
        assert payment_of(card, NOW) == payment_of(one, NOW)
        assert name_of(card) == name_of(one)


def test_overview_knows_no_cards_of_others(merchant):
    make_card(make_merchant(), **WAS_ON)
    make_card()

    view = card_list_page(merchant=merchant, role=Role.OWNER, query=ListQuery(), at=NOW)

    assert view.counts.everything == 0
    assert view.shops == ()
    assert view.notices == ()


@pytest.mark.parametrize(
    ("works", "off", "headline"),
    [
        (1, 0, "Смарт-карта работает"),
        (0, 1, "Смарт-карта не работает"),
        (2, 0, "Обе смарт-карты работают"),
        (0, 2, f"Не работает ни одна из 2{NBSP}смарт-карт"),
        (1, 2, f"Работает 1 из 3{NBSP}смарт-карт"),
        (2, 1, f"Работают 2 из 3{NBSP}смарт-карт"),
    ],
)
def test_headline_answers_whether_everything_works(merchant, works, off, headline):
    for _ in range(works):
        make_card(merchant, **WAS_ON)
    for _ in range(off):
        make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=False)
    make_card(merchant, confirmed=OperatorState.RETIRED)

    view = card_list_page(merchant=merchant, role=Role.OWNER, query=ListQuery(), at=NOW)

    assert view.counts.headline == headline


def test_headline_without_a_card_in_use(merchant):
    make_card(merchant, confirmed=OperatorState.RETIRED)

    view = card_list_page(merchant=merchant, role=Role.OWNER, query=ListQuery(), at=NOW)

    assert view.counts.headline == "Смарт-карт в работе нет"


def test_notices_for_free_slots_unpaid_unclear_and_idle_cards(merchant):
    subscription = make_live_subscription(merchant, cards=4)
    cover(make_card(merchant), subscription)
    cover(make_card(merchant, **BLOCKED, block_reason="law"), subscription)
    unclear = make_card(merchant, desired_on=True)
    cover(unclear, subscription)
    make_command(unclear, state=CommandState.CHECKING)
    make_card(merchant, **BLOCKED)

    view = card_list_page(merchant=merchant, role=Role.OWNER, query=ListQuery(), at=NOW)

    card = f"1{NBSP}смарт-карта"
    assert view.notices == (
        Notice(f"{card} не оплачена.", "Показать", "cards", "state=unpaid"),
        Notice(f"{card} отключена не вами.", "Показать", "cards", "state=attention"),
        Notice(f"Уточняем у оператора состояние: {card}.", "Показать", "cards", "state=unclear"),
        Notice(f"{card} оплачена, но не включена.", "Показать", "cards", "state=new"),
        Notice(f"Оплачены 4{NBSP}карты, выбрано 3. Отметьте ещё.", "Выбрать карты", "choose_cards"),
    )
    assert view.counts.needs == 3


def test_notices_lead_nobody_where_they_may_not_go(merchant):
    make_live_subscription(
        merchant, cards=1, stop_requested_at=NOW - MINUTE, entitled_until=NOW + timedelta(days=9)
    )
    make_card(merchant)

    view = card_list_page(merchant=merchant, role=Role.CASHIER, query=ListQuery(), at=NOW)

    assert view.notices == (
        Notice(
            f"Через 9{NBSP}дней, 1{NBSP}декабря, в{NBSP}12:00{NBSP}по{NBSP}Москве смарт-карты отключатся: "
            "подписка заканчивается."
        ),
        Notice(f"Оплачена 1{NBSP}карта, отметьте какие."),
    )


def test_notices_name_a_missing_subscription_or_an_overdue_payment(merchant):
    make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=False)
    before = card_list_page(merchant=merchant, role=Role.OWNER, query=ListQuery(), at=NOW)
    make_live_subscription(merchant, until=NOW - MINUTE)
    after = card_list_page(merchant=merchant, role=Role.OWNER, query=ListQuery(), at=NOW)

    assert [notice.text for notice in before.notices] == [
        "Подписки пока нет. Оплатите её, и смарт-карты можно будет включить."
    ]
    assert after.notices[0] == Notice(
        "Очередная оплата подписки пока не прошла. "
        "Смарт-карты работают, но оплату лучше проверить сегодня.",
        "Проверить оплату",
        "subscription",
    )


@pytest.mark.parametrize(
    ("days", "begins", "tone"),
    [
        (15, None, ""),
        (14, "Через 14 дней, 6 декабря, в 12:00 по Москве смарт-карты отключатся", ""),
        (7, "Через 7 дней, 29 ноября, в 12:00 по Москве смарт-карты отключатся", "info"),
        (3, "Через 3 дня, 25 ноября, в 12:00 по Москве смарт-карты отключатся", "warning"),
        (1, "Завтра в 12:00 по Москве смарт-карты отключатся", "error"),
    ],
)
def test_known_end_is_said_louder_as_it_comes_nearer(merchant, days, begins, tone):
    end = NOW + timedelta(days=days)
    subscription = make_live_subscription(
        merchant, stop_requested_at=NOW - MINUTE, paid_until=end, trial_until=None
    )
    cover(make_card(merchant, **WAS_ON), subscription)

    view = card_list_page(merchant=merchant, role=Role.OWNER, query=ListQuery(), at=NOW)

    ending = f"{begins}: подписка заканчивается."
    expected = [] if begins is None else [(ending, "Открыть подписку", tone)]
    found = [(one.text.replace(NBSP, " "), one.link, one.tone) for one in view.notices]
    assert found == expected


def test_stopped_subscription_behind_its_paid_end_waits_for_no_payment(merchant):
    subscription = make_live_subscription(
        merchant, until=NOW - MINUTE, stop_requested_at=NOW - 9 * MINUTE
    )
    cover(make_card(merchant, **WAS_ON), subscription)

    view = card_list_page(merchant=merchant, role=Role.OWNER, query=ListQuery(), at=NOW)

    assert view.notices == (
        Notice(
            "Подписка остановлена, и оплаченное время закончилось: смарт-карты отключатся, "
            "когда Эвотор это подтвердит.",
            "Открыть подписку",
            "subscription",
            tone="error",
        ),
    )
    assert view.shops[0].rows[0].payment == Payment(
        paid=True,
        text="Оплаченное время закончилось",
        hint="Подписка остановлена: смарт-карта отключится, когда Эвотор это подтвердит",
    )


@pytest.mark.parametrize(
    ("days", "texts_shown"),
    [
        (4, []),
        (
            3,
            [
                (
                    "Через 3 дня, 25 ноября, Эвотор спишет оплату подписки. "
                    "Проверьте, что в Эвотор хватает денег."
                )
            ],
        ),
    ],
)
def test_renewal_is_said_three_days_before(merchant, days, texts_shown):
    subscription = make_live_subscription(merchant, paid_until=NOW + timedelta(days=days))
    cover(make_card(merchant, **WAS_ON), subscription)

    view = card_list_page(merchant=merchant, role=Role.OWNER, query=ListQuery(), at=NOW)

    assert [one.text.replace(NBSP, " ") for one in view.notices] == texts_shown
    assert {one.tone for one in view.notices} <= {""}


@pytest.mark.parametrize(
    ("role", "route"),
    [
        (Role.OWNER, "subscription_renew"),
        (Role.ACCOUNTANT, "subscription_renew"),
        (Role.CASHIER, None),
    ],
)
def test_first_button_pays_where_everything_is_over(merchant, role, route):
    ended = make_live_subscription(merchant, entitled_until=NOW - MINUTE)
    cover(make_card(merchant, **BLOCKED), ended)

    view = card_list_page(merchant=merchant, role=role, query=ListQuery(), at=NOW)

    assert view.pay == (PayButton("Продлить", route, ended.pk) if route else None)
    assert view.notices[0].text == "Подписка закончилась. Продлите её, и карты включатся сами."
    assert view.notices[0].tone == "error"


def test_new_cards_beyond_the_paid_ones_carry_their_price(merchant):
    subscription = make_live_subscription(merchant, cards=2)
    for _ in range(2):
        cover(make_card(merchant, **WAS_ON), subscription)
    for _ in range(3):
        make_card(merchant)

    view = card_list_page(merchant=merchant, role=Role.OWNER, query=ListQuery(), at=NOW)

    assert view.notices == (
        Notice(
            f"Не оплачено: 3{NBSP}новые смарт-карты.",
            f"Оплатить ещё 3: 725,81{NBSP}₽",
            "subscription_change",
            f"tariff={subscription.tariff_id}&cards=5",
            subscription.pk,
        ),
    )
    assert view.counts.needs == 0
    assert view.counts.headline == f"2{NBSP}смарт-карты работают, 3{NBSP}новые ждут включения"


@pytest.mark.parametrize(
    ("cards", "headline"),
    [
        (1, "Новая смарт-карта ждёт включения"),
        (2, f"2{NBSP}новые смарт-карты ждут включения"),
    ],
)
def test_delivered_cards_are_no_alarm(merchant, cards, headline):
    for _ in range(cards):
        make_card(merchant)

    view = card_list_page(merchant=merchant, role=Role.OWNER, query=ListQuery(), at=NOW)

    assert view.counts.headline == headline
    assert view.counts.needs == 0


def test_paid_slots_of_several_subscriptions_add_up(merchant):
    make_live_subscription(merchant, cards=2)
    make_live_subscription(merchant, cards=3, stop_requested_at=NOW, entitled_until=NOW + MINUTE)
    make_live_subscription(merchant, cards=5, entitled_until=NOW)
    make_live_subscription(make_merchant(), cards=7)

    found = paid_slots(Subscription.objects.of(merchant), MOSCOW, NOW)

    assert (found.slots, found.live, found.overdue) == (5, True, False)


@pytest.mark.parametrize(
    ("places", "role", "title", "begins"),
    [
        (0, Role.OWNER, "Смарт-карт пока нет", "Закажите смарт-карты: они придут готовыми"),
        (3, Role.OWNER, "Оплачено 3 места, а смарт-карт пока нет", "Закажите смарт-карты. Когда"),
        (1, Role.MANAGER, "Оплачено 1 место, а смарт-карт пока нет", "Закажите смарт-карты. Когда"),
        (
            1,
            Role.CASHIER,
            "Оплачено 1 место, а смарт-карт пока нет",
            "Смарт-карты заказывает владе",
        ),
    ],
)
def test_card_list_without_cards_shows_what_to_do_next(merchant, places, role, title, begins):
    if places:
        make_live_subscription(merchant, cards=places)

    view = card_list_page(merchant=merchant, role=role, query=ListQuery(), at=NOW)

    assert view.no_cards.title.replace(NBSP, " ") == title
    assert view.no_cards.text.startswith(begins)


def test_an_ended_subscription_is_counted_as_the_list_shows_it(merchant):
    ended = make_live_subscription(merchant, cards=2, entitled_until=NOW - MINUTE)
    cover(make_card(merchant), ended)
    cover(make_card(merchant, **BLOCKED), ended)
    make_card(merchant)

    view = card_list_page(merchant=merchant, role=Role.OWNER, query=ListQuery(), at=NOW)

    rows = [row.payment.text for shop in view.shops for row in shop.rows]
    assert rows.count("Не оплачена, подписка закончилась") == 2
    [unpaid] = [chip for chip in view.filters if chip.title == "Не оплачены"]
    assert unpaid.count == 2
    assert Notice(f"2{NBSP}смарт-карты не оплачены.", "Показать", "cards", "state=unpaid") in (
        view.notices
    )


@pytest.mark.parametrize(
    ("coverage", "role", "help_link"),
    [
        ("", Role.OWNER, HelpLink("Открыть раздел", "choose_cards")),
        ("", Role.CASHIER, None),
        ("ended", Role.OWNER, HelpLink("Открыть подписку", "subscription")),
        ("ended", Role.CASHIER, None),
        ("live", Role.OWNER, None),
    ],
)
def test_unpaid_card_links_to_payment_for_permitted_roles(merchant, coverage, role, help_link):
    case = replace(CASES[0], card=BLOCKED, coverage=coverage)

    facts = queries.facts_of(arrange(merchant, case), NOW)

    assert action_buttons(facts, role)[0].help_link == help_link


@pytest.mark.parametrize(
    ("subscription", "shown"),
    [
        ({}, (True, "Оплачена до", NOW + timedelta(days=30), "")),
        (
            {"stop_requested_at": NOW, "entitled_until": NOW + timedelta(days=30)},
            (True, "Оплачена до", NOW + timedelta(days=30), "Подписка остановлена", True),
        ),
        (
            {"trial_until": NOW + timedelta(days=3), "paid_until": None},
            (True, "Пробный период до", NOW + timedelta(days=3), ""),
        ),
        (
            {"paid_until": NOW - MINUTE},
            (True, "Ждём оплату", None, "Пока смарт-карта остаётся включённой"),
        ),
        (
            {"entitled_until": NOW},
            (False, "Не оплачена, подписка закончилась", NOW, "", True),
        ),
    ],
)
def test_payment_shows_its_end_and_its_source(merchant, subscription, shown):
    card = make_card(merchant)
    cover(card, make_live_subscription(merchant, **subscription))

    payment = payment_of(queries.cards_of(merchant).get(), NOW)

    assert payment == Payment(*shown)


@pytest.mark.parametrize(
    ("role", "activate", "deactivate"),
    [
        (Role.OWNER, "", ""),
        (Role.MANAGER, "", ""),
        (Role.CASHIER, "", "Это действие доступно владельцу или администратору."),
    ],
)
def test_offers_carry_the_reason_of_the_role(merchant, role, activate, deactivate):
    subscription = make_live_subscription(merchant, cards=2)
    new, works = make_card(merchant), make_card(merchant, **WAS_ON)
    cover(new, subscription)
    cover(works, subscription)

    found = [action_buttons(queries.facts_now(card, NOW), role)[0] for card in (new, works)]

    assert found == [
        ActionButton(CardAction.ACTIVATE, activate),
        ActionButton(CardAction.DEACTIVATE, deactivate),
    ]


def test_accountant_is_shown_no_switches(merchant):
    subscription = make_live_subscription(merchant, cards=3)
    cards = [make_card(merchant), make_card(merchant, **WAS_ON), make_card(merchant)]
    for card in cards:
        cover(card, subscription)
    make_command(cards[2])

    found = [action_buttons(queries.facts_now(card, NOW), Role.ACCOUNTANT) for card in cards]

    assert found == [(), (), ()]


def test_author_of_switch_off_is_shown_without_staff_names(merchant):
    mine = make_card(merchant, confirmed=OperatorState.INACTIVE, desired_on=False)
    theirs = make_card(
        merchant,
        confirmed=OperatorState.INACTIVE,
        desired_on=False,
        desired_by=STAFF.name,
        desired_by_kind=ActorKind.STAFF,
    )

    reasons = [
        card_page(card=card, merchant=merchant, role=Role.OWNER, at=NOW).why
        for card in queries.with_facts(
            SmartCard.objects.filter(pk__in=[mine.pk, theirs.pk])
        ).order_by("pk")
    ]

    assert reasons == [
        Why("Решение об отключении", "Анна Владимировна", NOW),
        Why("Решение об отключении", "сотрудник сервиса", NOW),
    ]


@pytest.mark.parametrize(
    ("state", "status", "waits_for"),
    [
        (CommandState.QUEUED, ["done", "current", "waiting"], "ждёт своей очереди"),
        (CommandState.SENDING, ["done", "current", "waiting"], "отправляем"),
        (CommandState.ACCEPTED, ["done", "done", "current"], "ждём ответ оператора"),
        (CommandState.CHECKING, ["done", "done", "current"], "уточняем у оператора"),
        (CommandState.NEEDS_STAFF, ["done", "done", "current"], "выясняет сотрудник сервиса"),
    ],
)
def test_progress_has_three_steps_and_shows_what_is_awaited(merchant, state, status, waits_for):
    card = make_card(merchant, desired_on=True)
    make_command(card, state=state)

    progress = progress_of(card=card, merchant=merchant, at=NOW)

    assert [step.state for step in progress.steps] == status
    assert next(step.hint for step in progress.steps if step.state == "current") == waits_for
    assert progress.announcement == f"Включаем смарт-карту: {waits_for}"


def test_progress_shows_times_in_the_merchants_zone_and_who_asked():
    merchant = make_merchant(timezone="Asia/Vladivostok")
    card = make_card(merchant, account=make_account(usual_seconds=120, worst_seconds=3600))
    make_command(card, kind=OFF, state=CommandState.ACCEPTED, by=STAFF)

    progress = progress_of(card=card, merchant=merchant, at=NOW + MINUTE)

    assert progress.title == "Отключаем смарт-карту"
    assert progress.steps == (
        Step("Принято", "done", f"сегодня в{NBSP}19:00"),
        Step("Отправлено оператору", "done", f"сегодня в{NBSP}19:00"),
        Step("Подтверждено", "current", "ждём ответ оператора"),
    )
    assert progress.asked_by == "сотрудник сервиса"
    assert progress.promise == f"Обычно до{NBSP}2{NBSP}минут, в редких случаях до{NBSP}часа."


@pytest.mark.parametrize(
    ("waited", "promise"),
    [
        (timedelta(minutes=3), "Дольше обычного. "),
        (timedelta(hours=25), "Очень долго. Мы уже знаем об этом и разбираемся с оператором."),
    ],
)
def test_progress_is_honest_when_it_takes_long(merchant, waited, promise):
    card = make_card(merchant)
    make_command(card, state=CommandState.ACCEPTED)

    assert progress_of(card=card, merchant=merchant, at=NOW + waited).promise.startswith(promise)


def test_progress_is_none_once_the_command_is_over(merchant):
    card = make_card(merchant)
    make_command(card, state=CommandState.DONE)

    assert progress_of(card=card, merchant=merchant, at=NOW) is None


@pytest.mark.parametrize(
    ("error", "at", "failure"),
    [
        (
            "transient",
            NOW + timedelta(seconds=10),
            Failure(
                "Включить не удалось",
                "У оператора временный сбой.",
                "Мы повторим сами. Ждать не обязательно: кнопку можно нажать и сейчас.",
                NOW + timedelta(seconds=62),
            ),
        ),
        (
            "transient",
            NOW + 2 * MINUTE,
            Failure(
                "Включить не удалось",
                "У оператора временный сбой.",
                "Мы вот-вот повторим сами.",
                None,
            ),
        ),
        (
            "not_found",
            NOW + MINUTE,
            Failure(
                "Включить не удалось",
                "Оператор не знает такую смарт-карту. Сверьте номер на пластике и напишите нам.",
                "Повтор не поможет, напишите нам.",
                None,
            ),
        ),
    ],
)
def test_failure_of_the_last_command_shows_what_comes_next(merchant, error, at, failure):
    card = make_card(merchant, desired_on=True)
    cover(card, make_live_subscription(merchant))
    make_command(card, state=CommandState.FAILED, error=error)

    page = card_page(
        card=queries.cards_of(merchant).get(), merchant=merchant, role=Role.OWNER, at=at
    )

    assert page.failure == failure
    assert page.why == Why("Последний запрос оператор не выполнил.")


@pytest.mark.parametrize(
    ("card", "later"),
    [(WAS_ON, None), ({"desired_on": True}, CommandState.QUEUED), ({}, CommandState.CANCELLED)],
)
def test_failure_is_hidden_once_state_is_reached_or_superseded(merchant, card, later):
    row = make_card(merchant, **card)
    make_command(row, state=CommandState.FAILED, error="transient")
    if later:
        make_command(row, state=later, at=NOW + MINUTE)

    page = card_page(
        card=queries.cards_of(merchant).get(), merchant=merchant, role=Role.OWNER, at=NOW + MINUTE
    )

    assert page.failure is None


def test_timeline_merges_audit_log_and_steps_without_repeats(merchant):
    card = make_card(merchant)
    cover(card, make_live_subscription(merchant))
    command = services.request_activation(card=card, by=OWNER, at=NOW)
    services.cancel_command(card=card, by=OWNER, at=NOW + MINUTE)

    timeline = timeline_of(card=card, merchant=merchant)

    assert command is not None
    assert timeline.more is False
    assert timeline.events == (
        Event(
            NOW + MINUTE, "Отменено: включение", OWNER.name, "Отменил(а) Анна Владимировна", "off"
        ),
        Event(NOW, "Запрошено включение", OWNER.name, "", "progress"),
    )


def test_timeline_shows_the_assignment_to_the_merchant(merchant):
    card = make_card()
    services.assign_to_merchant(cards=[card], merchant=merchant, by=STAFF, at=NOW)

    [event] = timeline_of(card=SmartCard.objects.get(), merchant=merchant).events

    assert event.title == "Смарт-карта передана вам"
    assert event.who == "сотрудник сервиса"


def test_timeline_shows_last_attempt_and_all_in_whole_history(merchant):
    card = make_card(merchant)
    command = make_command(card)
    for minute in (1, 2, 3):
        tried = NOW + minute * MINUTE
        command.steps.create(state=CommandState.SENDING, at=tried)
        command.steps.create(
            state=CommandState.QUEUED, at=tried + timedelta(seconds=5), text="оператор занят"
        )

    short = timeline_of(card=card, merchant=merchant)
    whole = timeline_of(card=card, merchant=merchant, limit=LONG)

    assert [(event.title, event.text) for event in short.events] == [
        ("Включение: ждёт повторной отправки", "Оператор занят"),
        ("Включение: отправляется оператору", ""),
        ("Включение: принято, ждёт отправки оператору", ""),
    ]
    assert short.more is True
    assert len(whole.events) == 7
    assert whole.more is False


def test_timeline_names_the_service_and_the_operator_but_no_staff(merchant):
    card = make_card(merchant)
    make_command(card, by=SYSTEM, reason="оплата есть")
    audit.record(
        target=card,
        action="confirmed",
        text="Смарт-карта отключена",
        by=Actor(ActorKind.OPERATOR, "МТС"),
        at=NOW + MINUTE,
        merchant_id=merchant.pk,
        details={"after": "inactive"},
    )
    audit.record(
        target=card,
        action="deactivation_requested",
        text="Запрошено отключение",
        reason="по звонку владельца",
        by=STAFF,
        at=NOW + 2 * MINUTE,
        merchant_id=merchant.pk,
    )

    assert timeline_of(card=card, merchant=merchant).events == (
        Event(
            NOW + 2 * MINUTE,
            "Запрошено отключение",
            "сотрудник сервиса",
            "По звонку владельца",
            "progress",
        ),
        Event(NOW + MINUTE, "Смарт-карта отключена", "МТС", "", "off"),
        Event(NOW, "Включение: принято, ждёт отправки оператору", "сервис", "", "progress"),
    )


def test_timeline_knows_nothing_of_the_time_with_another_merchant(merchant):
    card = make_card(merchant)
    make_command(card, state=CommandState.DONE, at=NOW - timedelta(days=21))
    audit.record(
        target=card,
        action="described",
        text="Изменены подпись и место",
        by=OWNER,
        at=NOW - timedelta(days=21),
        merchant_id=make_merchant().pk,
    )

    assert timeline_of(card=card, merchant=merchant).events == ()


def test_timeline_is_cut_and_marked_as_cut(merchant):
    card = make_card(merchant)
    for minute in range(4):
        make_command(card, state=CommandState.CANCELLED, at=NOW + minute * MINUTE)

    timeline = timeline_of(card=card, merchant=merchant, limit=5)

    assert len(timeline.events) == 5
    assert timeline.more is True
