"""What a description brings into its contract, what staff are told of it, and what the journal keeps."""

import json
from copy import deepcopy
from typing import Any

import pytest
from django.test import Client

from cabinet.models import AuditEvent
from cabinet.tests.people import make_staff
from operators.declared.changes import changes
from operators.declared.validate import validate
from operators.form_fields import PROFILE_EXAMPLE, ProfileField
from operators.models import OperatorAccount
from operators.tests.described import SMALL
from operators.tests.test_admin import LIST, MTS, errors, page_of, said

pytestmark = pytest.mark.django_db

ADD = f"{LIST}add/?adapter=declared"
PROPOSED: dict[str, Any] = {
    **SMALL,
    "base_url": "https://api.volga.example/v3/",
    "limits": {"per_second": 5, "per_minute": 100, "concurrency": 2},
    "times": {"poll_plan": [2, 3, 0.5e1], "quiet_seconds": 15, "deadline_seconds": 600},
    "windows": [{"days": [0, 1, 2, 3, 4, 5, 6], "from": "02:00", "to": "03:00"}],
}
# A new contract as the page gives it, with nothing typed but its names.
UNTYPED = {name: value for name, value in MTS.items() if not name.startswith("credential")} | {
    "base_url": "",
    "per_second": "",
    "per_minute": "",
    "concurrency": "1",
    "poll_plan": "5, 10, 30, 60, 120, 300",
    "quiet_seconds": "60",
    "deadline_seconds": "3600",
    "maintenance_windows": "",
}
TAKEN = {
    "base_url": "https://api.volga.example/v3",
    "per_second": 5,
    "per_minute": 100,
    "concurrency": 2,
    "poll_plan": [2, 3, 5],
    "quiet_seconds": 15,
    "deadline_seconds": 600,
    "maintenance_windows": [{"days": [], "from": "02:00", "to": "03:00"}],
}
ALL_TITLES = (
    "«Адрес API», «Вызовов в секунду», «Вызовов в минуту», «Одновременных вызовов», «План опроса, с»,"
    " «Тихое время, с», «Предел ожидания исхода, с», «Окна работ у оператора»"
)


@pytest.fixture
def boss() -> Client:
    client = Client()
    client.force_login(make_staff("boss", name="Зоя Старшая"))
    return client


def kept(account: OperatorAccount) -> dict[str, Any]:
    return {name: getattr(account, name) for name in TAKEN}


def added(boss: Client, profile: dict[str, Any], **typed: str) -> OperatorAccount:
    boss.post(ADD, {**UNTYPED, **typed, "profile": json.dumps(profile)})
    return OperatorAccount.objects.get()


def shown(account: OperatorAccount, boss: Client) -> dict[str, Any]:
    """The page's own fields, as a browser would send them back."""
    form = boss.get(page_of(account)).context["adminform"].form
    values = {name: form[name].value() for name in form.fields if name != "code"}
    return {
        name: "" if value is None or value is False else value
        for name, value in values.items()
        if value is not False
    }


def test_new_contract_takes_what_its_description_proposes_and_says_so(boss):
    answer = boss.post(ADD, {**UNTYPED, "profile": json.dumps(PROPOSED)}, follow=True)

    account = OperatorAccount.objects.get()
    assert kept(account) == TAKEN
    assert said(answer)[0] == f"Из описания протокола взято: {ALL_TITLES}."


def test_what_staff_typed_wins_over_the_description(boss):
    typed = {
        "base_url": "https://stand.volga.example",
        "per_second": "1",
        "quiet_seconds": "30",
        "maintenance_windows": "вс 03:00–05:00",
    }

    account = added(boss, PROPOSED, **typed)

    own = {
        "base_url": "https://stand.volga.example",
        "per_second": 1,
        "quiet_seconds": 30,
        "maintenance_windows": [{"days": [6], "from": "03:00", "to": "05:00"}],
    }
    assert kept(account) == {**TAKEN, **own}


def test_contract_without_any_address_is_refused(boss):
    answer = boss.post(ADD, {**UNTYPED, "profile": json.dumps(SMALL)})

    assert errors(answer) == {"base_url": ["Впишите адрес: в описании протокола его нет."]}
    assert OperatorAccount.objects.count() == 0


def test_description_without_proposals_takes_nothing(boss):
    answer = boss.post(
        ADD,
        {**UNTYPED, "base_url": "https://a.example", "profile": json.dumps(SMALL)},
        follow=True,
    )

    assert not [one for one in said(answer) if one.startswith("Из описания")]


def test_new_description_moves_only_what_nobody_typed(boss):
    account = added(boss, PROPOSED)
    OperatorAccount.objects.update(quiet_seconds=40)
    newer = deepcopy(PROPOSED)
    newer["limits"]["per_second"] = 8
    newer["times"] |= {"quiet_seconds": 20, "deadline_seconds": 900}
    del newer["windows"]
    page = shown(account, boss) | {"profile": json.dumps(newer), "deadline_seconds": "700"}

    answer = boss.post(page_of(account), page, follow=True)

    account.refresh_from_db()
    expected = {"per_second": 8, "quiet_seconds": 40, "deadline_seconds": 700}
    assert kept(account) == {**TAKEN, **expected}
    assert said(answer)[0] == "Из описания протокола взято: «Вызовов в секунду»."


def test_description_that_became_unreadable_is_replaced_by_one_that_proposes(boss):
    account = added(boss, PROPOSED)
    OperatorAccount.objects.update(profile={"of": "an older kind"}, per_second=None, per_minute=7)
    page = shown(account, boss) | {"profile": json.dumps(PROPOSED)}

    boss.post(page_of(account), page)

    account.refresh_from_db()
    assert (account.per_second, account.per_minute) == (5, 7)


def test_saving_the_same_description_again_takes_nothing_back(boss):
    account = added(boss, PROPOSED)
    OperatorAccount.objects.update(per_second=None, quiet_seconds=60)

    boss.post(page_of(account), shown(account, boss))

    account.refresh_from_db()
    assert (account.per_second, account.quiet_seconds) == (None, 60)


# --- the journal -----------------------------------------------------------------------------------


def test_journal_keeps_what_changed_in_the_description(boss):
    account = added(boss, PROPOSED)
    newer = deepcopy(PROPOSED)
    newer["calls"]["activate"]["path"] = "/v2/{iccid}"
    newer["calls"]["activate"]["headers"] = {"X-Api": "constant-key"}
    del newer["windows"]

    boss.post(page_of(account), shown(account, boss) | {"profile": json.dumps(newer)})

    entry = AuditEvent.objects.get(action="account.changed")
    assert entry.text.endswith("«Описание протокола»")
    assert entry.details == {
        "profile": [
            "calls.activate.path: \"/sims/{iccid}/on\" → \"/v2/{iccid}\"",
            "calls.activate.headers: добавлено",
            "windows: список из 1 → нет",
        ]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": [1]}, {"a": [1, 2]}, ["a: [1] → [1, 2]"]),
        ({}, {"calls": {"read": 1, "b": 2}}, ["calls: нет → {read, b}"]),
        ({"login": {"url": "/a?k=1"}}, {"login": {"url": "/b"}}, ["login.url: изменено"]),
        ({"q": {"body": {"x": 1}}}, {"q": {}}, ["q.body: убрано"]),
        ({"a": {"secret": "x"}}, {"a": {"secret": "y"}}, ["a.secret: изменено"]),
    ],
)
def test_changes_tell_places_and_no_keys(before, after, lines):
    assert changes(before, after) == lines


# --- the field -------------------------------------------------------------------------------------


def test_description_is_laid_out_in_the_order_of_the_reference(boss):
    read = {"headers": {}, "body": {"b": 1, "a": [2]}, "path": "/", "method": "GET"}
    document = {"errors": {}, "own": 1, "calls": {"read": read}, "title": "Т"}

    laid = json.loads(ProfileField().prepare_value(document))

    in_order = {"method": "GET", "path": "/", "headers": {}, "body": {"b": 1, "a": [2]}}
    assert json.dumps(laid) == json.dumps(
        {"title": "Т", "calls": {"read": in_order}, "errors": {}, "own": 1}
    )


def test_field_offers_an_example_that_is_a_description_and_names_the_reference(boss):
    page = boss.get(ADD).context["adminform"].form["profile"]

    assert validate(json.loads(PROFILE_EXAMPLE)) == []
    assert page.field.widget.attrs["placeholder"] == PROFILE_EXAMPLE
    # An empty field: with anything in it the example would not be seen.
    assert str(page).endswith(">\n</textarea>")
    assert "docs/how-to/describe-an-operator.md" in page.help_text


def test_requests_page_shows_the_questions_too(boss):
    read = {"path": "/sims/{iccid}", "answer": {"iccid": "iccid", "state": "state"}}
    account = added(boss, PROPOSED | {"calls": PROPOSED["calls"] | {"read": read}})

    answer = boss.get(f"{LIST}{account.pk}/dry-run/")

    asked = [
        (draft.title, [one.title for one in draft.requests]) for draft in answer.context["drafts"]
    ]
    assert asked == [
        ("Включение", ["Включение"]),
        ("Отключение", ["Отключение"]),
        ("Вопросы", ["Чтение состояния"]),
    ]
    assert "<h2>Вопросы</h2>" in answer.content.decode()
