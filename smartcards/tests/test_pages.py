"""What the pages say of cards: every state, every reason, numbers over all cards, the timeline."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cabinet import audit
from cabinet.actors import SYSTEM, operator
from cabinet.states import ActorKind, Role
from cabinet.wording import NBSP
from smartcards import phrases, queries, rules, services
from smartcards.models import SmartCard
from smartcards.pages import estate, notices
from smartcards.pages.card import Failure, Why, card_page
from smartcards.pages.choice import change_of, choice_page
from smartcards.pages.notices import Notice, Paid
from smartcards.pages.offers import Deed, Offer, Way, offers
from smartcards.pages.overview import Shelf, Wish, overview
from smartcards.pages.payment import payment_of
from smartcards.pages.progress import Step, progress_of
from smartcards.pages.timeline import LONG, Event, timeline_of
from smartcards.states import CommandKind, CommandState, Confirmed, WhyOff
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
from subscriptions.states import Source

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
    deeds: list[Deed]
    shelves: set[Shelf]
    paid: str = "Оплачена до"
    reason: str = ""
    card: dict[str, Any] = field(default_factory=dict)
    coverage: str = "live"
    command: tuple[CommandKind, CommandState] | None = None


ON, OFF = CommandKind.ACTIVATE, CommandKind.DEACTIVATE
WAS_ON = {"confirmed": Confirmed.ACTIVE, "wished_on": True}
BLOCKED = {"confirmed": Confirmed.INACTIVE, "wished_on": True}
NEEDS_A_HAND = {Shelf.ATTENTION, Shelf.OFF}
CASES = [
    Case(
        "new, paid",
        "Новая",
        "Нет",
        "Смарт-карта ещё не включалась. Вставьте её в кассу и нажмите «Активировать».",
        [Deed.ACTIVATE],
        {Shelf.ATTENTION, Shelf.NEW},
    ),
    Case(
        "new, not chosen",
        "Новая",
        "Нет",
        "Смарт-карта ещё не включалась.",
        [Deed.ACTIVATE],
        {Shelf.NEW},
        paid="Не выбрана для оплаты",
        reason="Смарт-карта не выбрана для оплаты. Сначала отметьте её в разделе «Выбрать карты».",
        coverage="",
    ),
    Case(
        "activating, queued",
        "Включается…",
        "Пока нет, включаем",
        "Запрос на включение выполняется.",
        [Deed.CANCEL],
        {Shelf.SWITCHING},
        card={"wished_on": True},
        command=(ON, CommandState.QUEUED),
    ),
    Case(
        "activating, accepted",
        "Включается…",
        "Пока нет, включаем",
        "Запрос на включение выполняется.",
        [],
        {Shelf.SWITCHING},
        card={"wished_on": True},
        command=(ON, CommandState.ACCEPTED),
    ),
    Case(
        "active",
        "Работает",
        "Да, работает",
        "Подтвердил оператор",
        [Deed.DEACTIVATE],
        {Shelf.WORKS},
        card=WAS_ON,
    ),
    Case(
        "active, nobody has asked",
        "Работает",
        "Да, работает",
        "Включена у оператора, решения об этом в сервисе не было.",
        [Deed.DEACTIVATE, Deed.ACTIVATE],
        {Shelf.WORKS},
        card={"confirmed": Confirmed.ACTIVE},
    ),
    Case(
        "active, not paid any more",
        "Работает",
        "Да, работает",
        "Работает, но больше не оплачена и скоро отключится.",
        [Deed.DEACTIVATE],
        {Shelf.ATTENTION, Shelf.WORKS, Shelf.UNPAID},
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
        {Shelf.SWITCHING},
        card={"confirmed": Confirmed.ACTIVE, "wished_on": False},
        command=(OFF, CommandState.SENDING),
    ),
    Case(
        "off by a person",
        "Отключена: вами",
        "Нет",
        "Решение об отключении",
        [Deed.ACTIVATE],
        {Shelf.OFF},
        card={"confirmed": Confirmed.INACTIVE, "wished_on": False},
    ),
    Case(
        "off by staff",
        "Отключена: сотрудником сервиса",
        "Нет",
        "Решение об отключении",
        [Deed.ACTIVATE],
        {Shelf.OFF},
        card={
            "confirmed": Confirmed.INACTIVE,
            "wished_on": False,
            "wished_by": STAFF.name,
            "wished_by_kind": ActorKind.STAFF,
        },
    ),
    Case(
        "off, unpaid",
        "Отключена: не оплачена",
        "Нет",
        "Подписка закончилась. После оплаты смарт-карта включится сама.",
        [Deed.ACTIVATE, Deed.STAY_OFF],
        {*NEEDS_A_HAND, Shelf.UNPAID},
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
        [Deed.ACTIVATE],
        {*NEEDS_A_HAND, Shelf.UNPAID},
        paid="Не оплачена, подписка закончилась",
        reason="Подписка не оплачена. Продлите её, и смарт-карту можно будет включить.",
        card={"confirmed": Confirmed.INACTIVE, "wished_on": False},
        coverage="ended",
    ),
    Case(
        "new, not paid any more",
        "Новая",
        "Нет",
        "Смарт-карта ещё не включалась.",
        [Deed.ACTIVATE],
        {Shelf.ATTENTION, Shelf.NEW, Shelf.UNPAID},
        paid="Не оплачена, подписка закончилась",
        reason="Подписка не оплачена. Продлите её, и смарт-карту можно будет включить.",
        coverage="ended",
    ),
    Case(
        "off, not chosen",
        "Отключена: не оплачена",
        "Нет",
        "Смарт-карта не выбрана для оплаты. Выберите её, и она включится сама.",
        [Deed.ACTIVATE, Deed.STAY_OFF],
        {*NEEDS_A_HAND, Shelf.UNPAID},
        paid="Не выбрана для оплаты",
        reason="Смарт-карта не выбрана для оплаты. Сначала отметьте её в разделе «Выбрать карты».",
        card=BLOCKED,
        coverage="",
    ),
    *(
        Case(
            f"off by the operator: {reason}",
            f"Отключена: {word}",
            "Нет",
            rules.BLOCK_ADVICE[why],
            [Deed.ACTIVATE, Deed.STAY_OFF],
            NEEDS_A_HAND,
            reason=rules.BLOCK_ADVICE[why],
            card={**BLOCKED, "block_reason": reason},
        )
        for reason, why, word in [
            ("debt", WhyOff.OPERATOR, "оператором"),
            ("limit", WhyOff.LIMIT, "лимит"),
            ("imei", WhyOff.IMEI, "другой терминал (IMEI)"),
            ("law", WhyOff.LAW, "по закону"),
        ]
    ),
    Case(
        "held",
        "Отключена: оператором",
        "Нет",
        rules.BLOCK_ADVICE[WhyOff.OPERATOR],
        [Deed.ACTIVATE, Deed.STAY_OFF],
        NEEDS_A_HAND,
        reason=rules.BLOCK_ADVICE[WhyOff.OPERATOR],
        card={"confirmed": Confirmed.HELD, "wished_on": True},
    ),
    Case(
        "off, reason not known",
        "Отключена: причина неизвестна",
        "Нет",
        "Отключена у оператора. Мы включим её сами, или нажмите «Активировать».",
        [Deed.ACTIVATE, Deed.STAY_OFF],
        NEEDS_A_HAND,
        card={**BLOCKED, "block_reason": "unknown"},
    ),
    Case(
        "off, nobody has asked",
        "Отключена: причина неизвестна",
        "Нет",
        "Причина неизвестна: включать смарт-карту никто не просил.",
        [Deed.ACTIVATE],
        NEEDS_A_HAND,
        card={"confirmed": Confirmed.INACTIVE},
    ),
    *(
        Case(
            f"unclear: {state}",
            "Уточняем у оператора",
            "Уточняем у оператора",
            "Оператор не дал понятного ответа. Мы спросим его ещё раз и ничего не сделаем вслепую.",
            [Deed.CHECK],
            {Shelf.ATTENTION, Shelf.UNCLEAR},
            card={"wished_on": True},
            command=(ON, state),
        )
        for state in [CommandState.CHECKING, CommandState.NEEDS_STAFF]
    ),
    Case(
        "unclear without a command",
        "Уточняем у оператора",
        "Уточняем у оператора",
        "Оператор не дал понятного ответа. Мы спросим его ещё раз и ничего не сделаем вслепую.",
        [Deed.CHECK, Deed.ACTIVATE, Deed.DEACTIVATE],
        {Shelf.ATTENTION, Shelf.UNCLEAR},
        card={"confirmed": Confirmed.UNKNOWN, "wished_on": True},
    ),
    Case(
        "retired",
        "Списана",
        "Нет",
        "Оператор списал смарт-карту навсегда. Вместо неё можно заказать новую.",
        [Deed.ACTIVATE],
        {Shelf.RETIRED},
        paid="Платить не нужно",
        reason="Смарт-карта списана, включить её нельзя. Закажите новую.",
        card={"confirmed": Confirmed.RETIRED},
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
def test_card_page_answers_does_it_work_is_it_paid_and_why(merchant, case):
    card = arrange(merchant, case)

    page = card_page(card=card, merchant=merchant, role=Role.OWNER, at=NOW)

    assert (page.pill.text, page.works, page.payment.text) == (case.pill, case.works, case.paid)
    assert page.why.text == case.why
    assert [offer.deed for offer in page.offers] == case.deeds
    assert (page.offers[0].reason if page.offers else "") == case.reason


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_overview_puts_a_card_of_each_state_on_its_shelves(merchant, case):
    arrange(merchant, case)

    found = {
        shelf
        for shelf in Shelf
        if overview(merchant=merchant, role=Role.OWNER, wish=Wish(shelf=shelf), at=NOW).places
    }

    assert found == {Shelf.ALL} | case.shelves


def test_the_grouped_facts_are_the_facts_of_each_card(merchant):
    for case in CASES:
        arrange(merchant, case)

    grouped = {}
    for group in estate.groups(estate.estate(merchant), estate.matching(""), NOW):
        key = (phrases.pill(group.facts), group.facts.covered, group.facts.entitled)
        grouped[key] = grouped.get(key, 0) + group.count

    single = {}
    for card in queries.cards_of(merchant):
        facts = queries.facts_of(card, NOW)
        key = (phrases.pill(facts), facts.covered, facts.entitled)
        single[key] = single.get(key, 0) + 1
    assert grouped == single


@given(
    confirmed=st.sampled_from(Confirmed),
    wished_on=st.sampled_from([None, True, False]),
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
    confirmed, wished_on, block_reason, starts, ends, covered, command
):
    merchant = make_merchant()
    card = make_card(merchant, confirmed=confirmed, wished_on=wished_on, block_reason=block_reason)
    since = NOW + starts * MINUTE
    until = None if ends is None else since + max(ends, 0) * MINUTE
    subscription = make_live_subscription(merchant, entitled_from=since, entitled_until=until)
    if covered:
        cover(card, subscription, since=NOW - MINUTE, till=NOW if covered == "closed" else None)
    if command is not None:
        make_command(card, state=command)

    [group] = estate.groups(estate.estate(merchant), estate.matching(""), NOW)

    facts = queries.facts_of(queries.cards_of(merchant).get(), NOW)
    assert (rules.card_state(group.facts), group.facts.paid) == (
        rules.card_state(facts),
        facts.paid,
    )
    assert (group.facts.covered, group.facts.entitled) == (facts.covered, facts.entitled)
    assert notices.needs_merchant(group.facts) == notices.needs_merchant(facts)
    assert offers(group.facts, Role.OWNER)[0].deed == offers(facts, Role.OWNER)[0].deed


def test_overview_groups_by_shop_and_till_in_russian_order_and_tillless_cards_last(merchant):
    yet = make_card(merchant, terminal=make_terminal(merchant, "Ясень", "Касса"))
    fir = make_card(merchant, terminal=make_terminal(merchant, "Ёлка", "Касса б"))
    first = make_card(merchant, terminal=make_terminal(merchant, "ёлка", "Касса А"))
    spruce = make_card(merchant, terminal=make_terminal(merchant, "Ель", "Касса"))
    loose, labelled = make_card(merchant), make_card(merchant, label="запасная")
    homeless = make_terminal(merchant, "Убрать", "Касса на складе")
    homeless.shop.delete()
    stray = make_card(merchant, terminal_id=homeless.pk)

    view = overview(merchant=merchant, role=Role.OWNER, wish=Wish(), at=NOW)

    assert [(place.title, [row.pk for row in place.rows]) for place in view.places] == [
        ("ёлка", [first.pk]),
        ("Ёлка", [fir.pk]),
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
def test_overview_finds_by_part_of_number_label_shop_or_till(merchant, text, found):
    till = make_terminal(merchant, "Ёлочный базар", "Касса у входа")
    make_card(
        merchant,
        iccid="8970101999123450701",
        msisdn="79165554433",
        label="летняя Веранда",
        terminal=till,
    )

    view = overview(merchant=merchant, role=Role.OWNER, wish=Wish(text=text), at=NOW)

    assert bool(view.places) is found


def test_overview_counts_what_is_found_on_the_chosen_shelf(merchant):
    till = make_terminal(merchant, "Ёлка", "Касса")
    make_card(merchant, terminal=till, **WAS_ON)
    make_card(merchant, terminal=till)
    make_card(merchant)

    view = overview(
        merchant=merchant, role=Role.OWNER, wish=Wish(text="елка", shelf=Shelf.NEW), at=NOW
    )

    assert (view.found, view.page.paginator.count, view.narrowed) == (1, 1, True)
    assert [(chip.title, chip.count, chip.current) for chip in view.chips] == [
        ("Все", 3, False),
        ("Требуют внимания", 1, False),
        ("Работают", 1, False),
        ("Новые", 2, True),
        ("Не оплачены", 1, False),
    ]


def test_overview_shows_fifty_cards_a_page_and_the_last_page_for_one_too_far(merchant):
    for _ in range(53):
        make_card(merchant)

    pages = [
        overview(merchant=merchant, role=Role.OWNER, wish=Wish(page=page), at=NOW)
        for page in ("1", "2", "99", "x")
    ]

    assert [len(view.places[0].rows) for view in pages] == [50, 3, 3, 50]


def test_overview_knows_no_cards_of_others(merchant):
    make_card(make_merchant(), **WAS_ON)
    make_card()

    view = overview(merchant=merchant, role=Role.OWNER, wish=Wish(), at=NOW)

    assert (view.tally.everything, view.places, view.notices) == (0, (), ())


@pytest.mark.parametrize(
    ("works", "off", "headline"),
    [
        (1, 0, "Смарт-карта работает"),
        (0, 1, "Смарт-карта не работает"),
        (2, 0, f"Работают все 2{NBSP}смарт-карты"),
        (0, 2, f"Не работает ни одна из 2{NBSP}смарт-карт"),
        (1, 2, f"Работает 1 из 3{NBSP}смарт-карт"),
        (2, 1, f"Работают 2 из 3{NBSP}смарт-карт"),
    ],
)
def test_headline_answers_whether_everything_works(merchant, works, off, headline):
    for _ in range(works):
        make_card(merchant, **WAS_ON)
    for _ in range(off):
        make_card(merchant, confirmed=Confirmed.INACTIVE, wished_on=False)
    make_card(merchant, confirmed=Confirmed.RETIRED)

    view = overview(merchant=merchant, role=Role.OWNER, wish=Wish(), at=NOW)

    assert view.tally.headline == headline


def test_headline_without_a_card_in_use(merchant):
    make_card(merchant, confirmed=Confirmed.RETIRED)

    view = overview(merchant=merchant, role=Role.OWNER, wish=Wish(), at=NOW)

    assert view.tally.headline == "Смарт-карт в работе нет"


def test_notices_tell_of_free_places_unpaid_unclear_and_idle_cards(merchant):
    subscription = make_live_subscription(merchant, cards=4)
    cover(make_card(merchant), subscription)
    cover(make_card(merchant, **BLOCKED, block_reason="law"), subscription)
    unclear = make_card(merchant, wished_on=True)
    cover(unclear, subscription)
    make_command(unclear, state=CommandState.CHECKING)
    make_card(merchant, **BLOCKED)

    view = overview(merchant=merchant, role=Role.OWNER, wish=Wish(), at=NOW)

    card = f"1{NBSP}смарт-карта"
    assert view.notices == (
        Notice(f"{card} не оплачена.", "Показать", "cards", "state=unpaid"),
        Notice(f"{card} отключена не вами.", "Показать", "cards", "state=attention"),
        Notice(f"Уточняем у оператора состояние: {card}.", "Показать", "cards", "state=unclear"),
        Notice(f"{card} оплачена, но не включена.", "Показать", "cards", "state=new"),
        Notice(f"Оплачено 4{NBSP}места, выбрано 3.", "Выбрать карты", "choose_cards"),
    )
    assert view.tally.needs == 4


def test_notices_lead_nobody_where_they_may_not_go(merchant):
    make_live_subscription(
        merchant, cards=1, stop_requested_at=NOW - MINUTE, entitled_until=NOW + timedelta(days=9)
    )
    make_card(merchant)

    view = overview(merchant=merchant, role=Role.CASHIER, wish=Wish(), at=NOW)

    assert view.notices == (
        Notice(f"Подписка остановлена, смарт-карты работают до 1{NBSP}декабря 2026{NBSP}г."),
        Notice(f"Оплачено 1{NBSP}место, выбрано 0."),
    )


def test_notices_say_that_no_subscription_is_live_or_that_a_payment_is_awaited(merchant):
    make_card(merchant, confirmed=Confirmed.INACTIVE, wished_on=False)
    before = overview(merchant=merchant, role=Role.OWNER, wish=Wish(), at=NOW)
    make_live_subscription(merchant, until=NOW - MINUTE, source=Source.MARKET)
    after = overview(merchant=merchant, role=Role.OWNER, wish=Wish(), at=NOW)

    assert [notice.text for notice in before.notices] == [
        "Действующей подписки нет, поэтому смарт-карты не включить."
    ]
    assert after.notices[0] == Notice(
        "Очередная оплата подписки пока не прошла. "
        "Смарт-карты работают, но оплату лучше проверить сегодня.",
        "Проверить оплату",
        "subscription",
    )


def test_paid_places_of_several_subscriptions_add_up_and_a_stop_of_one_is_not_the_end(merchant):
    make_live_subscription(merchant, cards=2)
    make_live_subscription(merchant, cards=3, stop_requested_at=NOW, entitled_until=NOW + MINUTE)
    make_live_subscription(merchant, cards=5, entitled_until=NOW)
    make_live_subscription(make_merchant(), cards=7)

    assert notices.paid_places(merchant, NOW) == Paid(places=5, live=True)


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
def test_overview_without_cards_says_what_is_paid_and_what_to_do_next(
    merchant, places, role, title, begins
):
    if places:
        make_live_subscription(merchant, cards=places)

    view = overview(merchant=merchant, role=role, wish=Wish(), at=NOW)

    assert view.no_cards.title.replace(NBSP, " ") == title
    assert view.no_cards.text.startswith(begins)


def test_an_ended_subscription_is_counted_as_the_list_shows_it(merchant):
    ended = make_live_subscription(merchant, cards=2, entitled_until=NOW - MINUTE)
    cover(make_card(merchant), ended)
    cover(make_card(merchant, **BLOCKED), ended)
    make_card(merchant)

    view = overview(merchant=merchant, role=Role.OWNER, wish=Wish(), at=NOW)

    rows = [row.payment.text for place in view.places for row in place.rows]
    assert rows.count("Не оплачена, подписка закончилась") == view.tally.unpaid == 2
    assert Notice(f"2{NBSP}смарт-карты не оплачены.", "Показать", "cards", "state=unpaid") in (
        view.notices
    )


@pytest.mark.parametrize(
    ("coverage", "role", "way"),
    [
        ("", Role.OWNER, Way("Открыть раздел", "choose_cards")),
        ("", Role.CASHIER, None),
        ("ended", Role.OWNER, Way("Открыть подписку", "subscription")),
        ("ended", Role.CASHIER, None),
        ("ended", Role.ACCOUNTANT, None),
        ("live", Role.OWNER, None),
    ],
)
def test_an_unpaid_card_leads_to_where_it_is_paid_whoever_may_go_there(
    merchant, coverage, role, way
):
    case = replace(CASES[0], card=BLOCKED, coverage=coverage)

    facts = queries.facts_of(arrange(merchant, case), NOW)

    assert offers(facts, role)[0].way == way


@pytest.mark.parametrize(
    ("subscription", "shown"),
    [
        ({}, (True, "Оплачена до", NOW + timedelta(days=30), "")),
        (
            {"stop_requested_at": NOW, "entitled_until": NOW + timedelta(days=30)},
            (True, "Оплачена до", NOW + timedelta(days=30), "Подписка остановлена"),
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
            (False, "Не оплачена, подписка закончилась", NOW, ""),
        ),
    ],
)
def test_payment_tells_till_when_and_on_what_it_rests(merchant, subscription, shown):
    card = make_card(merchant)
    cover(card, make_live_subscription(merchant, **subscription))

    payment = payment_of(queries.cards_of(merchant).get(), NOW)

    assert (payment.paid, payment.text, payment.until, payment.hint) == shown


@pytest.mark.parametrize(
    ("role", "activate", "deactivate"),
    [
        (Role.OWNER, "", ""),
        (Role.MANAGER, "", ""),
        (Role.CASHIER, "", "Это действие доступно владельцу или администратору."),
        (
            Role.ACCOUNTANT,
            "Это действие доступно владельцу, администратору или кассиру.",
            "Это действие доступно владельцу или администратору.",
        ),
    ],
)
def test_offers_carry_the_reason_of_the_role(merchant, role, activate, deactivate):
    subscription = make_live_subscription(merchant, cards=2)
    new, works = make_card(merchant), make_card(merchant, **WAS_ON)
    cover(new, subscription)
    cover(works, subscription)

    found = [offers(queries.facts_now(card, NOW), role)[0] for card in (new, works)]

    assert found == [Offer(Deed.ACTIVATE, activate), Offer(Deed.DEACTIVATE, deactivate)]


def test_whose_decision_a_switch_off_was_is_told_and_staff_stay_nameless(merchant):
    mine = make_card(merchant, confirmed=Confirmed.INACTIVE, wished_on=False)
    theirs = make_card(
        merchant,
        confirmed=Confirmed.INACTIVE,
        wished_on=False,
        wished_by=STAFF.name,
        wished_by_kind=ActorKind.STAFF,
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
    ("state", "standing", "waits_for"),
    [
        (CommandState.QUEUED, ["done", "current", "waiting"], "ждёт своей очереди"),
        (CommandState.SENDING, ["done", "current", "waiting"], "отправляем"),
        (CommandState.ACCEPTED, ["done", "done", "current"], "ждём ответ оператора"),
        (CommandState.CHECKING, ["done", "done", "current"], "уточняем у оператора"),
        (CommandState.NEEDS_STAFF, ["done", "done", "current"], "выясняет сотрудник сервиса"),
    ],
)
def test_progress_has_three_steps_and_says_what_is_awaited(merchant, state, standing, waits_for):
    card = make_card(merchant, wished_on=True)
    make_command(card, state=state)

    progress = progress_of(card=card, merchant=merchant, at=NOW)

    assert [step.state for step in progress.steps] == standing
    assert next(step.hint for step in progress.steps if step.state == "current") == waits_for
    assert progress.said == f"Включаем смарт-карту: {waits_for}"


def test_progress_tells_times_in_the_merchants_zone_and_who_asked():
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
def test_failure_of_the_last_command_says_what_comes_next(merchant, error, at, failure):
    card = make_card(merchant, wished_on=True)
    cover(card, make_live_subscription(merchant))
    make_command(card, state=CommandState.FAILED, error=error)

    page = card_page(
        card=queries.cards_of(merchant).get(), merchant=merchant, role=Role.OWNER, at=at
    )

    assert page.failure == failure
    assert page.why == Why("Последний запрос оператор не выполнил.")


@pytest.mark.parametrize(
    ("card", "later"),
    [(WAS_ON, None), ({"wished_on": True}, CommandState.QUEUED), ({}, CommandState.CANCELLED)],
)
def test_failure_is_forgotten_when_the_card_got_there_or_something_newer_came(
    merchant, card, later
):
    row = make_card(merchant, **card)
    make_command(row, state=CommandState.FAILED, error="transient")
    if later:
        make_command(row, state=later, at=NOW + MINUTE)

    page = card_page(
        card=queries.cards_of(merchant).get(), merchant=merchant, role=Role.OWNER, at=NOW + MINUTE
    )

    assert page.failure is None


def test_timeline_merges_journal_and_steps_newest_first_and_tells_nothing_twice(merchant):
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


def test_timeline_tells_the_merchant_that_the_card_came_to_them(merchant):
    card = make_card()
    services.hand_over(cards=[card], merchant=merchant, by=STAFF, at=NOW)

    [event] = timeline_of(card=SmartCard.objects.get(), merchant=merchant).events

    assert (event.title, event.who) == ("Смарт-карта передана вам", "сотрудник сервиса")


def test_timeline_shows_the_last_try_of_many_and_all_of_them_in_the_whole_history(merchant):
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
    assert (short.more, len(whole.events), whole.more) == (True, 7, False)


def test_timeline_names_the_service_and_the_operator_but_no_staff(merchant):
    card = make_card(merchant)
    make_command(card, by=SYSTEM, reason="оплата есть")
    audit.record(
        target=card,
        action="confirmed",
        text="Смарт-карта отключена",
        by=operator("МТС"),
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


def test_timeline_is_cut_and_says_so(merchant):
    card = make_card(merchant)
    for minute in range(4):
        make_command(card, state=CommandState.CANCELLED, at=NOW + minute * MINUTE)

    timeline = timeline_of(card=card, merchant=merchant, limit=5)

    assert (len(timeline.events), timeline.more) == (5, True)


def test_choice_page_ticks_what_is_covered_and_offers_no_retired_card(merchant):
    subscription = make_live_subscription(merchant, cards=3)
    chosen, free = make_card(merchant, **WAS_ON), make_card(merchant)
    gone = make_card(merchant, confirmed=Confirmed.RETIRED)
    make_card(merchant, confirmed=Confirmed.RETIRED)
    cover(chosen, subscription)
    cover(gone, subscription)

    page = choice_page(merchant=merchant, text="", number="1", chosen=None, at=NOW)

    assert [(row.pk, row.chosen) for row in page.rows] == [
        (chosen.pk, True),
        (free.pk, False),
        (gone.pk, True),
    ]
    assert (page.places.total, page.places.taken, page.places.free) == (3, 2, 1)
    assert page.shown == f"{chosen.pk},{free.pk},{gone.pk}"


def test_change_keeps_the_boxes_of_other_pages_and_lists_working_cards_that_drop_out(merchant):
    subscription = make_live_subscription(merchant, cards=9)
    elsewhere, works, off = (
        make_card(merchant, **WAS_ON),
        make_card(merchant, **WAS_ON),
        make_card(merchant, confirmed=Confirmed.INACTIVE, wished_on=False),
    )
    coming, new = make_card(merchant, wished_on=True), make_card(merchant)
    make_command(coming, state=CommandState.ACCEPTED)
    for card in (elsewhere, works, off, coming):
        cover(card, subscription)

    change = change_of(
        merchant=merchant,
        shown={works.pk, off.pk, coming.pk, new.pk},
        ticked={new.pk},
        at=NOW,
    )

    assert change.chosen == {elsewhere.pk, new.pk}
    assert [card.pk for card in change.dropped] == [works.pk, coming.pk]
    assert change.mark == f"{works.pk},{coming.pk}"
