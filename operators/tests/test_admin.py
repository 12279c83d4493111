"""Staff's pages about contracts with operators, through the pages."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings as django_settings
from django.contrib.auth.models import Group
from django.test import Client

from cabinet.models import AuditEvent
from cabinet.services.groups import ensure_groups
from cabinet.tests.people import make_member, make_staff
from operators import quota
from operators.models import OperatorAccount
from operators.tests.bench import running

pytestmark = pytest.mark.django_db

LIST = "/admin/operators/operatoraccount/"
ADD = f"{LIST}add/?adapter=mts"
SECRET = "tajna-dogovora-1"
MTS = {
    "title": "МТС",
    "code": "mts",
    "enabled": "on",
    "base_url": "https://api.mts.example",
    "credential_key": "our-key",
    "credential_secret": SECRET,
    "ca_bundle": "",
    "per_second": "3",
    "per_minute": "60",
    "concurrency": "3",
    "timeout_seconds": "20",
    "lease_seconds": "60",
    "quiet_seconds": "60",
    "deadline_seconds": "3600",
    "poll_plan": "5, 10, 0.5",
    "usual_seconds": "120",
    "worst_seconds": "86400",
    "brake_cards": "50",
    "brake_percent": "20",
}
CHANGED = {name: value for name, value in MTS.items() if name != "code"}


@pytest.fixture
def boss() -> Client:
    client = Client()
    client.force_login(make_staff("boss", name="Зоя Старшая"))
    return client


@pytest.fixture
def account() -> OperatorAccount:
    return OperatorAccount.objects.create(
        code="mts",
        title="МТС",
        adapter="mts",
        base_url="https://api.mts.example",
        credentials={"key": "our-key", "secret": SECRET},
        poll_plan=[5, 10, 0.5],
        per_second=3,
        per_minute=60,
        concurrency=3,
    )


def page_of(account: OperatorAccount) -> str:
    return f"{LIST}{account.pk}/change/"


def errors(answer) -> dict[str, list[str]]:
    return {name: list(found) for name, found in answer.context["adminform"].form.errors.items()}


def said(answer) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def certificate() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Invented Root")])
    since = datetime(2026, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(since)
        .not_valid_after(since + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


# --- a new contract ----------------------------------------------------------------------------


def test_protocol_is_chosen_first(boss):
    answer = boss.get(f"{LIST}add/")

    assert answer.context["protocols"] == [("mts", "МТС"), ("tmf640", "Партнёр по TMF640")]
    assert 'href="?adapter=tmf640"' in answer.content.decode()


def test_new_contract_begins_with_what_the_protocol_knows(boss):
    form = boss.get(ADD).context["adminform"].form

    begun = {
        name: form[name].value() for name in ("title", "per_second", "per_minute", "poll_plan")
    }
    assert begun == {
        "title": "МТС",
        "per_second": 3,
        "per_minute": 60,
        "poll_plan": "5, 10, 10, 10, 20, 30, 60, 120, 300",
    }
    assert [name for name in form.fields if name.startswith("credential_")] == [
        "credential_key",
        "credential_secret",
    ]


def test_contract_is_added_and_written_down_without_its_secrets(boss):
    answer = boss.post(ADD, MTS)

    account = OperatorAccount.objects.get()
    entry = AuditEvent.objects.get(action="account.added")
    assert answer.status_code == 302
    assert (account.code, account.adapter, account.poll_plan) == ("mts", "mts", [5, 10, 0.5])
    assert account.credentials == {"key": "our-key", "secret": SECRET}
    assert (entry.text, entry.actor_name) == (
        "Добавлен договор с оператором «МТС»",
        "Зоя Старшая",
    )
    assert SECRET not in json.dumps(list(AuditEvent.objects.values()), default=str)


@pytest.mark.parametrize(
    ("field", "typed", "complaint"),
    [
        ("credential_secret", "", "Обязательное поле."),
        ("poll_plan", "5, потом 10", "Запишите паузы числами через запятую: 5, 10, 30."),
        ("poll_plan", "5, 0", "Пауза больше нуля и не длиннее суток (86400 с)."),
        ("poll_plan", "5, -1", "Пауза больше нуля и не длиннее суток (86400 с)."),
        ("poll_plan", "nan", "Пауза больше нуля и не длиннее суток (86400 с)."),
        ("poll_plan", ",", "Обязательное поле."),
        ("poll_plan", ", ".join(["5"] * 31), "Не больше 30 пауз: последняя повторяется."),
        (
            "ca_bundle",
            "не сертификат",
            "Это не сертификаты PEM. Вставьте текст целиком, со строками BEGIN CERTIFICATE и END CERTIFICATE.",
        ),
        ("lease_seconds", "20", "Срок захвата должен быть больше предела одного вызова."),
        ("per_second", "0", "Убедитесь, что это значение больше либо равно 1."),
        ("concurrency", "0", "Убедитесь, что это значение больше либо равно 1."),
        ("brake_percent", "101", "Убедитесь, что это значение меньше либо равно 100."),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(boss, field, typed, complaint):
    answer = boss.post(ADD, {**MTS, field: typed})

    place = "__all__" if field == "lease_seconds" else field
    assert errors(answer) == {place: [complaint]}
    assert OperatorAccount.objects.count() == 0


def test_open_http_is_for_the_sandbox_only(boss, settings):
    settings.SANDBOX = False
    refused = boss.post(ADD, {**MTS, "base_url": "http://localhost:8100/operators/mts"})
    nothing_yet = OperatorAccount.objects.count()
    settings.SANDBOX = True

    taken = boss.post(ADD, {**MTS, "base_url": "http://localhost:8100/operators/mts/"})

    assert errors(refused) == {
        "base_url": ["Ключи и номера нельзя передавать открыто: адрес начинается с https://."]
    }
    assert (nothing_yet, taken.status_code) == (0, 302)
    assert OperatorAccount.objects.get().base_url == "http://localhost:8100/operators/mts"


def test_root_certificates_are_kept(boss):
    pem = certificate()

    boss.post(ADD, {**MTS, "ca_bundle": pem + pem})

    assert OperatorAccount.objects.get().ca_bundle == (pem + pem).strip()


# --- a change ----------------------------------------------------------------------------------


def test_secret_is_never_shown_again(boss, account):
    pages = [boss.get(page_of(account)), boss.post(page_of(account), {**CHANGED, "title": ""})]

    shown = [page.content.decode() for page in pages]
    assert [SECRET in page for page in shown] == [False, False]
    assert ["Сохранён. Оставьте пустым, чтобы не менять." in page for page in shown] == [True, True]
    assert "our-key" in shown[0]


def test_empty_secret_keeps_the_stored_one_and_the_journal_names_what_changed(boss, account):
    boss.post(
        page_of(account),
        {**CHANGED, "credential_secret": "", "per_second": "5", "poll_plan": "5,10,0.5"},
    )

    account = OperatorAccount.objects.get()
    assert (account.per_second, account.code, account.adapter) == (5, "mts", "mts")
    assert account.credentials == {"key": "our-key", "secret": SECRET}
    assert list(AuditEvent.objects.values_list("action", "text", "actor_name")) == [
        (
            "account.changed",
            "Изменён договор с оператором «МТС»: «Вызовов в секунду»",
            "Зоя Старшая",
        )
    ]


def test_new_secret_replaces_the_old_one_and_stays_out_of_the_journal(boss, account):
    boss.post(page_of(account), {**CHANGED, "credential_secret": "другая тайна"})

    assert OperatorAccount.objects.get().credentials == {"key": "our-key", "secret": "другая тайна"}
    [text] = AuditEvent.objects.values_list("text", flat=True)
    assert text == "Изменён договор с оператором «МТС»: «Consumer Secret»"


def test_saving_without_a_change_leaves_no_line_in_the_journal(boss, account):
    answer = boss.post(page_of(account), {**CHANGED, "credential_secret": ""})

    assert answer.status_code == 302
    assert AuditEvent.objects.count() == 0


def test_optional_secret_can_be_taken_away(boss, account):
    account.adapter = "tmf640"
    account.credentials = {"token": SECRET}
    account.save()
    keys = {"credential_token": "", "credential_token_url": "https://id.example/token"}
    form = {name: value for name, value in CHANGED.items() if not name.startswith("credential")}

    boss.post(page_of(account), {**form, **keys})
    kept = OperatorAccount.objects.get().credentials
    boss.post(page_of(account), {**form, **keys, "remove_token": "on"})

    assert kept == {"token": SECRET, "token_url": "https://id.example/token"}
    assert OperatorAccount.objects.get().credentials == {"token_url": "https://id.example/token"}


def test_code_and_protocol_stay(boss, account):
    boss.post(page_of(account), {**CHANGED, "code": "other", "adapter": "tmf640"})

    assert list(OperatorAccount.objects.values_list("code", "adapter")) == [("mts", "mts")]


def test_keys_of_a_lost_encryption_key_can_be_typed_anew(boss, account, settings):
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]

    listed = boss.get(LIST)
    page = boss.get(page_of(account))
    pinged = boss.post(f"{LIST}{account.pk}/ping/", follow=True)
    incomplete = boss.post(page_of(account), {**CHANGED, "credential_secret": ""})
    boss.post(page_of(account), CHANGED)

    assert (listed.status_code, page.status_code) == (200, 200)
    assert said(pinged) == [
        "Ключи договора не читаются: ключ шифрования сменился. Введите их заново."
    ]
    assert errors(incomplete) == {"credential_secret": ["Обязательное поле."]}
    assert OperatorAccount.objects.get().credentials == {"key": "our-key", "secret": SECRET}


def test_list_shows_what_was_heard_of_the_operator(boss, account):
    OperatorAccount.objects.update(
        last_answer_at=datetime(2026, 11, 22, 9, 0, tzinfo=UTC),
        last_error="HTTP 503",
        last_error_at=datetime(2026, 11, 22, 8, 0, tzinfo=UTC),
        clock_skew_seconds=-31.4,
    )

    page = boss.get(LIST).content.decode()

    assert "22 ноября 2026 г. 12:00" in page.replace("\u00a0", " ")
    assert "HTTP 503<br>22.11.2026 08:00 UTC" in page
    assert "-31 с" in page


def test_contract_is_never_deleted(boss, account):
    answer = boss.post(f"{LIST}{account.pk}/delete/", {"post": "yes"})

    assert answer.status_code == 403
    assert OperatorAccount.objects.count() == 1


def test_contract_of_a_protocol_that_is_gone_can_be_looked_at(boss, account):
    OperatorAccount.objects.update(adapter="telegraph")

    page = boss.get(page_of(account))
    pinged = boss.post(f"{LIST}{account.pk}/ping/", follow=True)

    assert page.status_code == 200
    assert said(pinged) == ["Связь не проверена: такого протокола в настройках больше нет."]


# --- «Проверить связь» -------------------------------------------------------------------------


@pytest.fixture
def _fresh_redis():
    quota.client(django_settings.REDIS_URL).flushdb()


@pytest.mark.usefixtures("_fresh_redis")
def test_link_is_checked_at_the_operator(boss, account, tmp_path):
    keys = {"key": "demo-key", "secret": "demo-secret"}
    with running("mts", keys, tmp_path / "sandbox.json") as bench:
        account.base_url, account.credentials = f"{bench.url}/operators/mts", keys
        account.save()

        good = boss.post(f"{LIST}{account.pk}/ping/", follow=True)
        OperatorAccount.objects.update(last_error="")
        bench.fault("read", "http_500", times=5)
        bad = boss.post(f"{LIST}{account.pk}/ping/", follow=True)

    account.refresh_from_db()
    assert good.redirect_chain == [(page_of(account), 302)]
    assert [message.level_tag for message in good.context["messages"]] == ["success"]
    assert [message.level_tag for message in bad.context["messages"]] == ["error"]
    assert said(bad)[0].startswith("Связи нет: ")
    assert account.last_answer_at is not None
    assert account.last_error == "HTTP 500"


def test_check_of_the_link_is_a_post_of_a_known_contract(boss, account):
    assert boss.get(f"{LIST}{account.pk}/ping/").status_code == 405
    assert boss.post(f"{LIST}999999/ping/").status_code == 404


# --- who may -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("group", "looks"), [("Поддержка", 200), ("Склад", 200), ("Финансы", 403)])
def test_groups_look_at_contracts_and_change_nothing(group, looks, account):
    ensure_groups()
    user = make_staff("colleague", is_superuser=False)
    user.groups.add(Group.objects.get(name=group))
    client = Client()
    client.force_login(user)

    page = client.get(page_of(account))
    answers = [client.post(page_of(account), {**CHANGED, "title": "Чужой"}), client.post(ADD, MTS)]

    assert page.status_code == looks
    assert SECRET not in page.content.decode()
    assert [answer.status_code for answer in answers] == [403, 403]
    assert list(OperatorAccount.objects.values_list("title", flat=True)) == ["МТС"]


def test_person_of_a_merchant_gets_nowhere(account):
    client = Client()
    client.force_login(make_member().user)

    answers = [
        client.get(LIST),
        client.post(ADD, MTS),
        client.post(f"{LIST}{account.pk}/ping/"),
    ]

    assert [answer.status_code for answer in answers] == [302, 302, 302]
    assert OperatorAccount.objects.count() == 1
