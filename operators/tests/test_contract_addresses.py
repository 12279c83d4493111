"""To which hosts a contract's keys go: the admin's form, and the check before a deployment."""

import json
from ipaddress import ip_network
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client

from cabinet.tests.people import make_staff
from operators.checks import contracts_cut_off, descriptions
from operators.models import OperatorAccount
from operators.tests.declarative_server import SMALL
from operators.tests.test_admin import ADD as ADD_MTS
from operators.tests.test_admin import CHANGED, MTS, errors, page_of
from operators.tests.test_admin_profile import ADD, UNTYPED, shown

pytestmark = pytest.mark.django_db

SECRET = "tajna-dogovora-1"
INSIDE = (
    "Адрес {} ведёт во внутреннюю сеть. Сеть оператора, до которого связь по\u00a0VPN, вписывают в\u00a0настройку"
    " OPERATOR_NETWORKS."
)
CUT_OFF = "The contract {!r} is cut off: {} leads to a network that is not in OPERATOR_NETWORKS."
OPEN = "Ключи и номера нельзя передавать открыто: адрес начинается с https://."
TWO_MEANINGS = "регистр не различается, а у «on» два разных значения"
OAUTH: dict[str, Any] = {
    "kind": "oauth2_client_credentials",
    "path": "https://auth.example.com/token",
}


def anew(host: str) -> list[str]:
    return [f"Адрес теперь другой: {host}. Введите ключ заново, сохранённый туда не\u00a0уйдёт."]


@pytest.fixture
def boss() -> Client:
    client = Client()
    client.force_login(make_staff("boss", name="Зоя Старшая"))
    return client


@pytest.fixture
def mts() -> OperatorAccount:
    return OperatorAccount.objects.create(
        code="mts",
        title="МТС",
        adapter="mts",
        base_url="https://api.mts.example",
        credentials={"key": "our-key", "secret": SECRET},
    )


def described(login: dict[str, Any], **credentials: str) -> OperatorAccount:
    return OperatorAccount.objects.create(
        code="volga",
        title="Волга",
        adapter="declared",
        base_url="https://api.volga.example",
        credentials=credentials,
        profile=SMALL | {"login": login},
    )


def credentials() -> dict[str, str]:
    return dict(OperatorAccount.objects.get().credentials)


# --- a new host --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://evil.example.com", "evil.example.com"),
        ("https://api.mts.example:8443", "api.mts.example:8443"),
        ("http://api.mts.example", "api.mts.example"),
        ("https://api.mts.example@evil.example.com", "evil.example.com"),
    ],
    ids=["host", "port", "no tls", "a host in front of @"],
)
def test_new_host_asks_for_the_secret_anew(boss, mts, address, host):
    answer = boss.post(page_of(mts), {**CHANGED, "base_url": address, "credential_secret": ""})

    stored = OperatorAccount.objects.get()
    assert errors(answer) == {"credential_secret": anew(host)}
    assert stored.base_url == "https://api.mts.example"
    assert "Оставьте пустым, чтобы не менять" not in str(
        answer.context["adminform"].form["credential_secret"].help_text
    )


def test_new_host_with_the_secret_typed_is_saved(boss, mts):
    typed = {"base_url": "https://new.mts.example", "credential_secret": "tajna-dogovora-2"}

    boss.post(page_of(mts), {**CHANGED, **typed})

    assert OperatorAccount.objects.get().base_url == "https://new.mts.example"
    assert credentials() == {"key": "our-key", "secret": "tajna-dogovora-2"}


def test_new_path_of_the_same_host_keeps_the_secret(boss, mts):
    typed = {"base_url": "https://API.mts.example:443/v2", "credential_secret": ""}

    boss.post(page_of(mts), {**CHANGED, **typed})

    assert credentials() == {"key": "our-key", "secret": SECRET}


def test_optional_secret_is_asked_for_or_taken_away_at_a_new_host(boss):
    login = {"kind": "keys", "keys": [{"field": "extra", "in": "header", "name": "X-Extra"}]}
    account = described(login, extra=SECRET)
    account.profile |= {"fields": [{"name": "extra", "label": "Ключ", "required": False}]}
    account.save()

    moved = shown(account, boss) | {"base_url": "https://evil.example.com"}
    answer = boss.post(page_of(account), moved)
    kept = credentials()
    boss.post(page_of(account), moved | {"remove_extra": "on"})

    assert errors(answer) == {"credential_extra": anew("evil.example.com")}
    assert kept == {"extra": SECRET}
    assert OperatorAccount.objects.get().base_url == "https://evil.example.com"
    assert credentials() == {}


def test_new_token_address_asks_for_the_secret_anew(boss):
    account = described({**OAUTH, "path": "/token"}, client_id="kassa", client_secret=SECRET)

    answer = boss.post(
        page_of(account), shown(account, boss) | {"profile": json.dumps(SMALL | {"login": OAUTH})}
    )

    assert errors(answer) == {"credential_client_secret": anew("auth.example.com")}
    assert credentials() == {"client_id": "kassa", "client_secret": SECRET}


def test_address_brought_by_a_new_description_asks_anew(boss):
    account = described({"kind": "bearer"}, token=SECRET)
    account.profile |= {"base_url": "https://api.volga.example"}
    account.save()
    newer = account.profile | {"base_url": "https://evil.example.com"}

    answer = boss.post(page_of(account), shown(account, boss) | {"profile": json.dumps(newer)})

    assert errors(answer) == {"credential_token": anew("evil.example.com")}


def test_secret_called_open_by_a_new_description_is_forgotten(boss):
    login = {"kind": "keys", "keys": [{"field": "api_key", "in": "header", "name": "X-Api-Key"}]}
    field = {"name": "api_key", "label": "Ключ"}
    account = described(login, api_key=SECRET)
    account.profile |= {"fields": [field]}
    account.save()
    opened = account.profile | {"fields": [{**field, "secret": False}]}

    boss.post(page_of(account), shown(account, boss) | {"profile": json.dumps(opened)})

    assert credentials() == {}
    assert SECRET not in boss.get(page_of(account)).content.decode()


# --- the address of a partner's login ----------------------------------------------------------------------


LOGIN = "https://id.volga.example/token"


@pytest.fixture
def partner() -> OperatorAccount:
    return OperatorAccount.objects.create(
        code="volga",
        title="Волга",
        adapter="tmf640",
        base_url="https://api.volga.example",
        credentials={"token_url": LOGIN, "client_id": "kassa", "client_secret": SECRET},
    )


def post_login(boss: Client, partner: OperatorAccount, address: str, **typed: str) -> Any:
    unchanged = {
        name: value for name, value in CHANGED.items() if not name.startswith("credential")
    }
    keys = {"credential_token_url": address, "credential_client_id": "kassa", **typed}
    return boss.post(page_of(partner), {**unchanged, "base_url": partner.base_url, **keys})


def test_new_login_address_of_a_partner_asks_for_the_secret_anew(boss, partner):
    answer = post_login(boss, partner, "https://evil.example.com/token")

    assert errors(answer) == {"credential_client_secret": anew("evil.example.com")}
    assert credentials() == partner.credentials


def test_same_login_host_of_a_partner_keeps_the_secret(boss, partner):
    post_login(boss, partner, "https://id.volga.example/v2/token")

    assert credentials() == partner.credentials | {"token_url": "https://id.volga.example/v2/token"}


@pytest.mark.parametrize("stored", ["https://[id.volga.example", "https://id.volga.example:порт"])
def test_stored_text_that_is_no_address_is_put_right(boss, partner, settings, stored):
    partner.credentials |= {"token_url": stored}
    partner.save()
    settings.SANDBOX, settings.OPERATOR_NETWORKS = False, []

    found = cut_off()
    post_login(boss, partner, LOGIN, credential_client_secret="tajna-dogovora-2")

    assert found == []
    assert credentials() == {
        "token_url": LOGIN,
        "client_id": "kassa",
        "client_secret": "tajna-dogovora-2",
    }


@pytest.mark.parametrize(
    ("address", "refusal"),
    [
        ("https://127.0.0.1/token", INSIDE.format("https://127.0.0.1/token")),
        ("https://169.254.169.254/token", INSIDE.format("https://169.254.169.254/token")),
        ("https://10.1.2.3/token", INSIDE.format("https://10.1.2.3/token")),
        ("http://id.volga.example/token", OPEN),
        ("токен", "Введите правильный URL."),
    ],
)
def test_login_address_of_a_partner_follows_the_rules_of_every_address(
    boss, partner, settings, address, refusal
):
    settings.SANDBOX = False

    answer = post_login(boss, partner, address, credential_client_secret="tajna-dogovora-2")

    assert errors(answer) == {"credential_token_url": [refusal]}


# --- inner addresses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["https://127.0.0.1", "https://localhost:8443", "https://169.254.169.254/latest", "https://[::1]"],
)  # fmt: skip
def test_contract_with_an_inner_address_is_refused(boss, settings, address):
    settings.SANDBOX = False

    answer = boss.post(ADD_MTS, {**MTS, "base_url": address})

    assert errors(answer) == {"base_url": [INSIDE.format(address)]}


def test_contract_in_a_listed_network_is_taken(boss, settings):
    settings.SANDBOX, settings.OPERATOR_NETWORKS = False, [ip_network("10.8.0.0/16")]

    boss.post(ADD_MTS, {**MTS, "base_url": "https://10.8.0.7"})

    assert OperatorAccount.objects.get().base_url == "https://10.8.0.7"


def test_token_address_in_an_inner_network_is_refused(boss, settings):
    settings.SANDBOX = False
    profile = SMALL | {"login": OAUTH | {"path": "https://169.254.169.254/token"}}
    new = {**UNTYPED, "base_url": "https://api.volga.example", "profile": json.dumps(profile)}

    answer = boss.post(ADD, new)

    assert errors(answer) == {"profile": [INSIDE.format("https://169.254.169.254/token")]}


# --- the check before a deployment -------------------------------------------------------------------------


def cut_off() -> list[str]:
    return [str(one.msg) for one in contracts_cut_off(databases=["default"])]


def test_deploy_check_lists_contracts_that_are_cut_off(mts, settings):
    account = described(OAUTH | {"path": "https://10.1.2.3/token"})
    OperatorAccount.objects.filter(pk=mts.pk).update(base_url="https://localhost:8443/mts")
    in_sandbox = cut_off()
    settings.SANDBOX = False

    in_production = cut_off()
    OperatorAccount.objects.filter(pk=account.pk).update(enabled=False)
    settings.OPERATOR_NETWORKS = [ip_network("127.0.0.0/8")]

    assert in_sandbox == []
    assert in_production == [
        CUT_OFF.format("mts", "https://localhost:8443/mts"),
        CUT_OFF.format("volga", "https://10.1.2.3/token"),
    ]
    assert cut_off() == []


def test_deploy_check_looks_at_the_login_address_of_a_partner(partner, settings):
    partner.credentials |= {"token_url": "https://10.1.2.3/token"}
    partner.save()
    settings.SANDBOX = False

    assert cut_off() == [CUT_OFF.format("volga", "https://10.1.2.3/token")]


def test_deploy_check_passes_over_keys_that_cannot_be_read(partner, settings):
    OperatorAccount.objects.update(base_url="https://10.1.2.3")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE operators_operatoraccount SET credentials = 'lost'")
    settings.SANDBOX = False

    assert cut_off() == [CUT_OFF.format("volga", "https://10.1.2.3")]


def test_login_of_an_invalid_description_does_not_count(settings):
    account = described(OAUTH | {"path": "https://10.1.2.3/token"})
    account.profile |= {"states": {"words": {"on": "active", "ON": "inactive"}}}
    account.save()
    settings.SANDBOX = False

    assert cut_off() == []


def test_deploy_check_asks_no_database_unless_told(mts, django_assert_num_queries):
    with django_assert_num_queries(0):
        found = contracts_cut_off(databases=None)

    assert found == []


def test_deploy_check_leaves_a_missing_table_to_others():
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE operators_operatoraccount RENAME TO not_made_yet")
        found = contracts_cut_off(databases=["default"])
        transaction.set_rollback(True)

    assert found == []


def test_deploy_check_lists_descriptions_that_are_not_valid_any_more(mts):
    account = described({"kind": "none"})
    valid = descriptions(databases=["default"])
    account.profile |= {"states": {"words": {"on": "active", "ON": "inactive", "off": "inactive"}}}
    account.save()

    assert valid == []
    assert [str(one.msg) for one in descriptions(databases=["default"])] == [
        f"The contract 'volga' is cut off: its description is not valid any more: states.words: {TWO_MEANINGS}."
    ]
