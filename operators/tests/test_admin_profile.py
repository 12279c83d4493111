"""What a description brings into its contract, what staff are told of it, and what the journal keeps."""

import json
from copy import deepcopy
from typing import Any

import pytest
from django.test import Client

from cabinet.models import AuditEvent
from cabinet.tests.people import make_staff
from operators.admin.answer_preview import AnswerPreview, FoundValue
from operators.admin.form_fields import PROFILE_EXAMPLE, ProfileField
from operators.admin.profile_examples import TITLES, example
from operators.admin.profile_text import changes
from operators.declarative.validation import validate
from operators.models import OperatorAccount
from operators.tests.declarative_server import SMALL
from operators.tests.test_admin import LIST, MTS, errors, page_of, said

pytestmark = pytest.mark.django_db

ADD = f"{LIST}add/?adapter=declared"
ANSWER = f"{LIST}answer/"
FIELDS = (
    "base_url, calls, errors, fields, headers, key, limits, login, results, states, times, title"
)
PROPOSED: dict[str, Any] = {
    **SMALL,
    "base_url": "https://api.volga.example/v3/",
    "limits": {"per_second": 5, "per_minute": 100, "concurrency": 2},
    "times": {"poll_plan": [2, 3, 0.5e1], "quiet_seconds": 15, "deadline_seconds": 600},
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
}
ALL_TITLES = (
    "«Адрес API», «Вызовов в секунду», «Вызовов в минуту», «Одновременных вызовов», «План опроса, с»,"
    " «Тихое время, с», «Предел ожидания исхода, с»"
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
    }

    account = added(boss, PROPOSED, **typed)

    own = {
        "base_url": "https://stand.volga.example",
        "per_second": 1,
        "quiet_seconds": 30,
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
    assert account.per_second == 5
    assert account.per_minute == 7


def test_saving_the_same_description_again_takes_nothing_back(boss):
    account = added(boss, PROPOSED)
    OperatorAccount.objects.update(per_second=None, quiet_seconds=60)

    boss.post(page_of(account), shown(account, boss))

    account.refresh_from_db()
    assert account.per_second is None
    assert account.quiet_seconds == 60


# --- the journal -----------------------------------------------------------------------------------


def test_audit_log_keeps_what_changed_in_the_description(boss):
    account = added(boss, PROPOSED)
    newer = deepcopy(PROPOSED)
    newer["calls"]["activate"]["path"] = "/v2/{iccid}"
    newer["calls"]["activate"]["headers"] = {"X-Api": "constant-key"}

    boss.post(page_of(account), shown(account, boss) | {"profile": json.dumps(newer)})

    entry = AuditEvent.objects.get(action="account.changed")
    assert entry.text.endswith("«Описание протокола»")
    assert entry.details == {
        "profile": [
            "calls.activate.path: \"/sims/{iccid}/on\" → \"/v2/{iccid}\"",
            "calls.activate.headers: добавлено",
        ]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": [1]}, {"a": [1, 2]}, ["a: [1] → [1, 2]"]),
        ({}, {"calls": {"read": 1, "b": 2}}, ["calls: нет → {read, b}"]),
        ({"login": {"path": "/a"}}, {"login": {"path": "/b"}}, ['login.path: "/a" → "/b"']),
        ({"q": {"json": {"x": 1}}}, {"q": {}}, ["q.json: убрано"]),
        ({"a": {"query": {"k": "x"}}}, {"a": {"query": {"k": "y"}}}, ["a.query.k: изменено"]),
    ],
)
def test_changes_name_fields_and_no_keys(before, after, lines):
    assert changes(before, after) == lines


# --- the field -------------------------------------------------------------------------------------


def test_description_is_laid_out_in_the_order_of_the_reference(boss):
    read = {"json": {"b": 1, "a": [2]}, "headers": {}, "method": "GET"}
    document = {"errors": {}, "own": 1, "calls": {"read": read}, "title": "Т"}

    laid = json.loads(ProfileField().prepare_value(document))

    in_order = {"method": "GET", "headers": {}, "json": {"b": 1, "a": [2]}}
    assert json.dumps(laid) == json.dumps(
        {"title": "Т", "calls": {"read": in_order}, "errors": {}, "own": 1}
    )


def test_field_offers_valid_example_without_repository_paths(boss):
    page = boss.get(ADD).context["adminform"].form["profile"]

    assert validate(json.loads(PROFILE_EXAMPLE)) == []
    assert page.field.widget.attrs["placeholder"] == PROFILE_EXAMPLE
    # An empty field: with anything in it the example would not be seen.
    assert str(page).endswith(">\n</textarea>")
    assert "docs/" not in page.help_text
    assert ".json" not in page.help_text


def test_requests_page_shows_the_questions_too(boss):
    account = added(boss, PROPOSED)

    answer = boss.get(f"{LIST}{account.pk}/dry-run/")

    asked = [
        (preview.title, [one.title for one in preview.requests])
        for preview in answer.context["previews"]
    ]
    assert asked == [
        ("Включение", ["Включение"]),
        ("Отключение", ["Отключение"]),
        ("Вопросы", ["Чтение состояния"]),
    ]
    assert "<h2>Вопросы</h2>" in answer.content.decode()


# --- examples, and answers of a manual ----------------------------------------------------------------------


def test_new_description_begins_with_a_named_example(boss):
    offered = boss.get(ADD)
    begun = {name: boss.get(f"{ADD}&example={name}") for name in TITLES}
    wrong = boss.get(f"{ADD}&example=../schema")

    links = offered.content.decode()
    assert [name for name in TITLES if f"example={name}" not in links] == []
    assert {name: json.loads(typed_in(page)) for name, page in begun.items()} == {
        name: example(name) for name in TITLES
    }
    assert typed_in(wrong) == ""


def typed_in(page: Any) -> str:
    """The description as the page shows it."""
    return str(page.context["adminform"].form["profile"].value())


def read_answer(boss: Client, document: Any, **typed: Any) -> Any:
    given = {"answered_call": "read", "answer_status": "200", "answer": "", **typed}
    return boss.post(ANSWER, {"profile": json.dumps(document), **given})


def test_answer_of_a_manual_shows_what_is_read_from_it(boss):
    answer = '{"data": {"iccid": "89701990000000000017", "state": "on"}}'

    page = read_answer(boss, SMALL, answer=answer)

    assert page.context["preview"] == AnswerPreview(
        "Оператор ответил о другой смарт-карте; не найдено: answer.iccid (body.iccid), answer.state (body.state).",
        (
            FoundValue("answer.iccid", "body.iccid", "", "есть body.data.iccid"),
            FoundValue("answer.state", "body.state", "", "есть body.data.state"),
        ),
    )
    assert "есть body.data.state" in page.content.decode()
    assert OperatorAccount.objects.count() == 0


def test_answer_page_reports_mistakes_of_the_description(boss):
    broken = read_answer(boss, SMALL | {"titel": "x"})
    absent = read_answer(boss, SMALL, answered_call="check")

    assert broken.context["form"].errors["profile"] == [
        f"titel: такого поля нет, есть похожее: «title»; здесь бывают: {FIELDS}"
    ]
    assert absent.context["form"].errors == {
        "answered_call": ["Такого вызова в описании нет; есть activate, deactivate, read."]
    }


def test_form_has_the_box_for_an_answer_of_a_manual(boss):
    account = added(boss, PROPOSED)

    pages = [boss.get(ADD), boss.get(page_of(account))]

    assert [page.content.decode().count(f'formaction="{ANSWER}"') for page in pages] == [1, 1]


def test_answer_page_is_for_those_who_may_write(boss):
    support = Client()
    support.force_login(make_staff("support", name="Яна", is_superuser=False))

    assert support.get(ANSWER).status_code == 403
    assert boss.get(ANSWER).status_code == 200
