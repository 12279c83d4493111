"""Stored descriptions of the old language: converted, or held off with the reason."""

import json
from collections.abc import Iterator
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from cabinet.actors import SYSTEM
from cabinet.models import Alert
from operators import services
from operators.declarative.validation import validate
from operators.models import OperatorAccount
from operators.tests.declarative_server import EXAMPLES, document
from smartcards.dispatch import worker
from smartcards.models import Command
from smartcards.services import request_activation
from smartcards.states import CommandState, OperatorState
from smartcards.tests.cards import (
    OWNER,
    cover,
    make_card,
    make_live_subscription,
    make_merchant,
)
from smartcards.tests.dispatch_setup import MovedClock

migration = import_module("operators.migrations.0009_declarative_profiles")
DATA = Path(__file__).with_name("data")
OLD: dict[str, Any] = document(DATA / "profiles_of_the_old_language.json")
SWITCH = {"method": "POST", "path": "/s/{iccid}", "success": {"200": "state"},
          "answer": {"iccid": "iccid", "state": "state"}}  # fmt: skip
READ = {"path": "/s/{iccid}", "answer": {"iccid": "iccid", "state": "state"}}
PLAIN = {"title": "Прежний", "calls": {"activate": SWITCH, "deactivate": SWITCH, "read": READ},
         "states": {"words": {"on": "active", "off": "inactive"}}}  # fmt: skip


@pytest.mark.parametrize("name", OLD)
def test_description_is_converted_to_a_valid_one(name):
    assert validate(migration.converted(deepcopy(OLD[name]))) == []


@pytest.mark.parametrize("name", ["1nce-like", "telnyx-like", "tmf640"])
def test_converted_example_is_the_example_of_today(name):
    today, made = document(EXAMPLES / f"{name}.json"), migration.converted(deepcopy(OLD[name]))
    pending = {word for word, state in today["states"]["words"].items() if state == "pending"}
    today["states"]["words"] = {
        word: state for word, state in today["states"]["words"].items() if word not in pending
    }

    assert as_lists(made) == as_lists(today)


def as_lists(profile: dict[str, Any]) -> dict[str, Any]:
    """One expression or a list of one mean the same."""
    errors = {
        name: [value] if name in {"code", "text"} and isinstance(value, str) else value
        for name, value in profile["errors"].items()
    }
    return profile | {"errors": errors}


def test_every_convertible_part_of_the_old_language_is_converted():
    made = migration.converted(deepcopy(OLD["emnify"]))

    assert made["login"] == {
        "kind": "token_call",
        "steps": [
            {
                "path": "/authenticate",
                "json": {"application_token": "{application_token}"},
                "take": {"access": "body.auth_token", "more0": "body.csrf.value"},
            }
        ],
        "seconds": "body.expires_in",
        "keys": [
            {"field": "access", "in": "header", "name": "Authorization", "prefix": "Bearer "},
            {"field": "more0", "in": "header", "name": "X-CSRF"},
        ],
        "default_seconds": 600,
    }
    assert made["calls"]["find"] == {
        "path": "/sim",
        "query": {"q": "iccid:{iccid}"},
        "answer": {"rows": "body", "iccid": "row.iccid", "take": {"id": "row.id"}},
    }
    assert made["calls"]["activate"] == {
        "method": "PATCH",
        "path": "/sim/{id}",
        "json": {"id": "{id}", "msisdn": "{msisdn:int}", "status": {"id": 1}},
        "answer": {},
    }
    assert made["calls"]["read"]["answer"] == {
        "iccid": "body.iccid",
        "state": "body.services[?code=='DATA'].status",
        "reason": 'body."odd.name".why',
    }
    assert made["calls"]["list_changes"]["answer"]["next"] == {"link": "headers.Link".lower()}
    assert made["errors"] == {"code": ["body.error"]}
    assert made["results"] == {"words": {"OK": "pending"}}


def test_password_grant_becomes_a_login_of_one_step():
    made = migration.converted(deepcopy(OLD["password"]))

    body = {"grant_type": "password", "username": "{username}", "password": "{password}",
            "client_id": "{client_id}", "client_secret": "{client_secret}", "scope": "sims"}  # fmt: skip
    assert made["login"]["steps"] == [
        {"path": "/token", "form": body, "take": {"access": "body.access_token"}}
    ]
    assert made["login"]["stale"] == [401, 403]
    assert [field["name"] for field in made["fields"]] == [
        "username", "password", "client_id", "client_secret",
    ]  # fmt: skip
    assert made["calls"]["activate"]["answer"] == {"request_id": "body.operation.href"}
    assert made["calls"]["deactivate"]["answer"] == {"request_id": "body.operation.href"}
    assert made["calls"]["read"]["answer"] == {"iccid": "body.iccid", "state": "body.a"}
    assert made["calls"]["deactivate"]["prepare"]["answer"]["take"] == {
        "card": "body",
        "etag": "headers.etag",
    }


def changed(path: str, value: Any) -> dict[str, Any]:
    copy = deepcopy(PLAIN)
    *way, last = path.split("/")
    part: Any = copy
    for name in way:
        part = part.setdefault(name, {})
    part[last] = value
    return copy


SIGN = {"algorithm": "md5", "text": "{iccid}", "in": "header", "name": "X"}


@pytest.mark.parametrize(
    ("old", "reason"),
    [
        (changed("calls/read", None), "без чтения состояния нечем проверить"),
        (changed("calls/read/statuses", {"404": "active"}), "calls.read.statuses больше нет"),
        (changed("calls/activate/prepare", {"method": "POST", "path": "/o"}), "бывает только GET"),
        (changed("calls/activate/path", "/s/{msisdn10}"), "Поля {msisdn10} больше нет"),
        (changed("calls/activate/headers", {"X": "{nonce}"}), "Поля {nonce} больше нет"),
        (changed("calls/read/answer/echo", {"id": "{now}"}), "calls.read.answer.echo больше нет"),
        (changed("calls/read/answer/state", "flags[&4]"), "«flags[&4]» на новом языке не записать"),
        (changed("calls/read/answer/state", "blocked[?]"), "на новом языке не записать"),
        (changed("calls/read/answer/state", "s[id=7].st"), "непонятно, число там или текст"),
        (changed("calls/read/answer/iccid", "@key"), "на новом языке не записать"),
        (changed("calls/activate/answer/request_id", "header:Location:link"), "Часть ссылки"),
        (changed("calls/activate/answer/request_id", "href:query=job"), "на новом языке не записать"),
        (changed("calls/activate/answer/request_id", "{key}"), "Номером запроса больше не может быть {key}"),
        (changed("calls/read/answer/state", ["a", "b"]), "из нескольких мест ответа"),
        (changed("calls/activate/path", "/s/{today}/{iccid}"), "неизвестное поле {today}"),
        (changed("states/quality", "weak"), "«weak» больше не описывается"),
        (changed("login", {"kind": "none", "sign": SIGN}), "Подписи запросов"),
        (changed("login", {"kind": "key", "place": {"in": "cookie", "name": "a"}}), "header, query"),
        (changed("login", {"kind": "token_call", "url": "/l", "token": "t", "stale": {"codes": ["9"]},
                           "place": {"in": "header", "name": "X"}}), "login.stale.codes больше нет"),
    ],
)  # fmt: skip
def test_what_the_new_language_lacks_is_named_in_russian(old, reason):
    with pytest.raises(migration.NotConvertible) as refused:
        migration.converted(old)

    assert reason in str(refused.value)


@pytest.fixture
def _newest_schema() -> Iterator[None]:
    """The schema is the newest again when the test ends."""
    yield
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


# Not in one transaction: indexes are made and dropped concurrently.
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_newest_schema")
def test_migration_converts_accounts_and_alerts_about_the_others():
    before = [("operators", "0008_delete_hub_subscription")]
    executor = MigrationExecutor(connection)
    executor.migrate(before)
    accounts = executor.loader.project_state(before).apps.get_model("operators", "OperatorAccount")
    make = {"adapter": "declared", "base_url": "https://api.example.com", "title": "Нева"}
    for code, profile in (("good", OLD["tmf640"]), ("bad", changed("states/quality", "weak"))):
        accounts.objects.create(code=code, profile=profile, **make)
    accounts.objects.create(code="other", profile={}, **make | {"adapter": "mts"})

    MigrationExecutor(connection).migrate([("operators", "0009_declarative_profiles")])

    good, bad = (accounts.objects.get(code=code) for code in ("good", "bad"))
    assert validate(good.profile) == []
    assert bad.profile == changed("states/quality", "weak")
    assert list(Alert.objects.values_list("key", "text", "link")) == [
        (
            f"operator:account:{bad.pk}:description",
            (
                "Нева: описание протокола не удалось перевести на новый язык, команды оператору ждут."
                " Чтение состояния «weak» больше не описывается. Исправьте описание в договоре по"
                " docs/how-to/describe-an-operator.md."
            ),
            f"/admin/operators/operatoraccount/{bad.pk}/change/",
        )
    ]


@pytest.mark.django_db
def test_account_with_an_unconverted_description_sends_nothing():
    account = OperatorAccount.objects.create(
        code="bad", title="Нева", adapter="declared", base_url="https://api.example.com",
        profile=changed("states/quality", "weak"),
    )  # fmt: skip
    migration.convert(apps, None)
    clock, card = (
        MovedClock(),
        make_card(make_merchant(), account=account, confirmed=OperatorState.INACTIVE),
    )
    assert card.merchant is not None
    cover(card, make_live_subscription(card.merchant, cards=1, at=clock()), since=clock())
    request_activation(card=card, by=OWNER, at=clock())

    done = worker.drain_account(account_id=account.pk, clock=clock)

    assert done == (0, 0)
    assert [command.state for command in Command.objects.all()] == [CommandState.QUEUED]
    assert Alert.objects.filter(key=f"operator:account:{account.pk}:description").exists()

    services.note_new_keys(account_id=account.pk, by=SYSTEM, at=clock())
    closed = Alert.objects.get(key=f"operator:account:{account.pk}:description").closed_at
    assert closed is not None


def test_old_descriptions_are_kept_as_they_were():
    text = (DATA / "profiles_of_the_old_language.json").read_text(encoding="utf-8")

    assert [name for name, old in json.loads(text).items() if not validate(old)] == []
