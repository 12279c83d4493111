"""Work on many cards of a merchant, by staff."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from cabinet.accounts.services.staff_groups import ensure_groups
from cabinet.tests.people import make_staff
from smartcards.models import Command, MassOperation, SmartCard
from smartcards.states import CommandState, OperatorState
from smartcards.tests.cards import clock_at, make_card
from smartcards.tests.mass_operations import SENT, add_card, begin, confirm, make_chain, run

pytestmark = pytest.mark.django_db

OFF = {"confirmed": OperatorState.INACTIVE, "desired_on": False}


@pytest.fixture(autouse=True)
def _clock(settings, tmp_path):
    clock_at(settings, tmp_path)


@pytest.fixture
def staff():
    client = Client()
    client.force_login(make_staff("boss", name="Зоя Старшая"))
    return client


def text(answer):
    return answer.content.decode().replace("\u00a0", " ").replace("&nbsp;", " ")


def new(chain):
    return reverse("admin:smartcards_massoperation_new", args=[chain.merchant.pk])


def one(operation):
    return reverse("admin:smartcards_massoperation_one", args=[operation.pk])


def form_of(**fields):
    form = {"action": "deactivate", "reason": "просьба клиента", "key": str(uuid4()), "iccids": ""}
    return form | fields


def test_staff_switch_off_listed_cards_with_a_reason(staff):
    chain = make_chain(2)
    card = SmartCard.objects.of(chain.merchant).order_by("pk")[0]
    spaced = f"{card.iccid[:4]} {card.iccid[4:]}"

    preview = staff.post(new(chain), form_of(iccids=f"{spaced}\n\n"))
    operation = MassOperation.objects.get()
    shown = text(staff.get(preview.url))
    staff.post(one(operation), {"do": "confirm", "number": "1"})

    assert "Причина: просьба клиента" in shown
    assert "Зоя Старшая" in shown
    assert 'value="Отключить 1 карту"' in shown
    command = Command.objects.get()
    assert (command.card, command.reason, command.asked_by) == (
        card,
        "просьба клиента",
        "Зоя Старшая",
    )


def test_all_cards_are_meant_only_where_that_is_ticked(staff):
    chain = make_chain(2)

    refused = staff.post(new(chain), form_of())
    staff.post(new(chain), form_of(everything="on"))

    assert "Отметьте все карты клиента или перечислите ICCID." in text(refused)
    assert run(MassOperation.objects.get()).total == 2


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"reason": " ", "everything": "on"}, "Укажите причину."),
        ({"iccids": "89701010000000"}, "В ICCID 14 цифр, а должно быть от 17 до 20."),
        ({"iccids": "8970101999999999999"}, "У клиента нет карты «8970101999999999999»."),
        ({"everything": "on", "key": ""}, "Откройте эту страницу заново."),
    ],
)
def test_form_with_a_mistake_begins_nothing(staff, fields, sentence):
    page = staff.post(new(make_chain(1)), form_of(**fields))

    assert sentence in text(page)
    assert MassOperation.objects.count() == 0


def test_cards_of_another_merchant_are_not_found(staff):
    card = make_card(make_chain().merchant)

    page = staff.post(new(make_chain(1)), form_of(iccids=card.iccid))

    assert f"У клиента нет карты «{card.iccid}»." in text(page)


def test_staff_take_back_and_repeat(staff):
    chain = make_chain(1)
    cancelled = confirm(chain, begin(chain))
    staff.post(one(cancelled), {"do": "cancel"})
    failed = confirm(chain, begin(chain))
    Command.objects.filter(state="queued").update(
        state=CommandState.FAILED, sent_at=SENT, finished_at=SENT
    )
    run(failed, at=SENT)
    MassOperation.objects.update(reason="просьба клиента")

    staff.post(one(failed), {"do": "repeat", "form_key": str(uuid4())})

    cancelled.refresh_from_db()
    assert cancelled.state == "cancelled"
    assert MassOperation.objects.get(repeats=failed).cards.count() == 1


def test_refused_confirmation_is_said_on_the_page(staff):
    operation = begin(make_chain(2))

    page = staff.post(one(operation), {"do": "confirm", "number": "x"})

    assert "Список изменился." in text(page)


def test_merchant_page_leads_to_mass_work(staff):
    chain = make_chain(1)
    operation = begin(chain)

    page = text(
        staff.get(reverse("admin:cabinet_merchant_whole", kwargs={"pk": chain.merchant.pk}))
    )

    assert new(chain) in page
    assert one(operation) in page


def test_progress_is_a_fragment(staff):
    chain = make_chain(1)
    operation = confirm(chain, begin(chain))

    page = text(staff.get(reverse("admin:smartcards_massoperation_progress", args=[operation.pk])))

    assert "Отправим через" in page
    assert "<html" not in page


@pytest.mark.parametrize("name", ["Склад", "Финансы"])
def test_other_staff_have_no_mass_work(name):
    ensure_groups()
    user = make_staff(f"staff-{name}", is_superuser=False)
    user.groups.add(Group.objects.get(name=name))
    client = Client()
    client.force_login(user)
    chain = make_chain()
    add_card(chain, **OFF)

    answers = [client.get(new(chain)), client.get(one(begin(chain)))]

    assert [answer.status_code for answer in answers] == [403, 403]
