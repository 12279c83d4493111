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
from hypothesis import given
from hypothesis import strategies as st

from cabinet.accounts.services.staff_groups import GROUPS, ensure_groups
from cabinet.actors import SYSTEM
from cabinet.models import Alert, AuditEvent
from cabinet.tests.people import make_member, make_staff
from operators import registry, services
from operators.admin.form_fields import WindowsField
from operators.classification import Health
from operators.declarative.validation import validate
from operators.events import inbox
from operators.limits import breaker, quota
from operators.limits.maintenance import window_end
from operators.models import OperatorAccount
from operators.services import BreakerRefused
from operators.tests.declarative_server import EXAMPLES, document
from operators.tests.sandbox_operator import running

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
    "maintenance_windows": "",
    "reserve_percent": "10",
    "cooldown_seconds": "0",
    "activation_fee_kopecks": "",
    "deactivation_fee_kopecks": "",
    "min_active_days": "0",
    "min_inactive_days": "0",
    "silence_hours": "72",
    "hold_hours": "24",
    "new_callback_secret": "",
    "brake_cards": "50",
    "brake_percent": "20",
}
SHORT_LEASE = (
    "Не меньше 40: два предела одного вызова. Перед командой читается подтверждение номера,"
    " и на оба вызова должно хватить одного захвата."
)
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


def test_page_shows_the_address_to_hand_over_for_events(boss, account, settings):
    settings.PUBLIC_URL = "https://cabinet.example.ru"

    page = boss.get(page_of(account)).content.decode()

    assert f"https://cabinet.example.ru/operators/{account.code}/callback" in page


def test_protocol_is_chosen_first(boss):
    answer = boss.get(f"{LIST}add/")

    assert answer.context["protocols"] == [
        (code, registry.capabilities(code).title) for code in registry.codes()
    ]
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
        "credential_status_days",
    ]


def test_contract_is_added_and_written_down_without_its_secrets(boss):
    answer = boss.post(ADD, MTS)

    account = OperatorAccount.objects.get()
    entry = AuditEvent.objects.get(action="account.added")
    assert answer.status_code == 302
    assert account.code == "mts"
    assert account.adapter == "mts"
    assert account.poll_plan == [5, 10, 0.5]
    assert account.credentials == {"key": "our-key", "secret": SECRET}
    assert entry.text == "Добавлен договор с оператором «МТС»"
    assert entry.actor_name == "Зоя Старшая"
    assert SECRET not in json.dumps(list(AuditEvent.objects.values()), default=str)


@pytest.mark.parametrize(
    ("typed", "stored"),
    [("", {}), ("0", {"status_days": "0"}), (" 031 ", {"status_days": "31"})],
)
def test_number_of_a_contract_is_kept_as_text(boss, typed, stored):
    boss.post(ADD, MTS | {"credential_status_days": typed})

    account = OperatorAccount.objects.get()
    assert account.credentials == {"key": "our-key", "secret": SECRET} | stored
    assert boss.get(page_of(account)).context["adminform"].form[
        "credential_status_days"
    ].value() == stored.get("status_days", "")


@pytest.mark.parametrize(
    ("field", "typed", "complaint"),
    [
        ("credential_secret", "", "Обязательное поле."),
        ("credential_status_days", "32", "Убедитесь, что это значение меньше либо равно 31."),
        ("credential_status_days", "-1", "Убедитесь, что это значение больше либо равно 0."),
        ("credential_status_days", "день", "Введите целое число."),
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
        (
            "lease_seconds",
            "39",
            SHORT_LEASE,
        ),
        ("timeout_seconds", "0", "Убедитесь, что это значение больше либо равно 1."),
        ("new_callback_secret", "a\nb\nc", "Не больше 2, по одному в строке."),
        ("per_second", "0", "Убедитесь, что это значение больше либо равно 1."),
        ("concurrency", "0", "Убедитесь, что это значение больше либо равно 1."),
        ("brake_percent", "101", "Убедитесь, что это значение меньше либо равно 100."),
        ("reserve_percent", "91", "Убедитесь, что это значение меньше либо равно 90."),
        (
            "maintenance_windows",
            "ежедневно 02:00–04:00\nночью",
            "Строка 2: запишите так: «пн–пт 02:00–04:30».",
        ),
        (
            "maintenance_windows",
            "пн, пм 02:00–04:00",
            "Строка 1: «пм» — не день недели. Пишите пн, вт, ср, чт, пт, сб, вс или «ежедневно».",
        ),
        ("maintenance_windows", "вс 25:00–04:00", "Строка 1: «25:00» — не время суток."),
        ("maintenance_windows", "вс 02:00–2:00", "Строка 1: начало и конец совпадают."),
        ("maintenance_windows", "вс 02:00–03:00\n" * 51, "Не больше 50 окон."),
        ("activation_fee_kopecks", "дорого", "Запишите сумму в рублях: 12 или 12,50."),
        ("deactivation_fee_kopecks", "-1", "Сумма — от нуля до миллиона рублей."),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(boss, field, typed, complaint):
    answer = boss.post(ADD, {**MTS, field: typed})

    assert errors(answer) == {field: [complaint]}
    assert OperatorAccount.objects.count() == 0


# --- an operator that takes one call at a time --------------------------------------------------------

OF_CISCO = {name: value for name, value in MTS.items() if not name.startswith("credential")} | {
    "title": "Cisco",
    "code": "cisco",
    "credential_username": "our-name",
    "credential_api_key": SECRET,
    "concurrency": "1",
}
ONE_AT_A_TIME = "Этот оператор принимает вызовы только по одному. Оставьте 1 или отметьте ниже, что он разрешил больше."


@pytest.fixture
def cisco() -> OperatorAccount:
    return OperatorAccount.objects.create(
        code="cisco",
        title="Cisco",
        adapter="control_center",
        base_url="https://api.mts.example",
        credentials={"username": "our-name", "api_key": SECRET},
        concurrency=1,
    )


@pytest.mark.parametrize(
    ("typed", "complaints", "kept"),
    [
        ({}, {}, 1),
        ({"concurrency": "4"}, {"concurrency": [ONE_AT_A_TIME]}, 1),
        ({"concurrency": "4", "concurrency_allowed": "on"}, {}, 4),
        (
            {"concurrency": "", "concurrency_allowed": ""},
            {"concurrency": ["Обязательное поле."]},
            1,
        ),
    ],
)
def test_more_calls_at_once_need_a_confirmation(boss, cisco, typed, complaints, kept):
    answer = boss.post(page_of(cisco), OF_CISCO | typed)

    cisco.refresh_from_db()
    assert (errors(answer) if complaints else {}) == complaints
    assert cisco.concurrency == kept
    assert answer.status_code == (200 if complaints else 302)


def test_what_the_operator_has_allowed_is_not_asked_for_again(boss, cisco):
    OperatorAccount.objects.filter(pk=cisco.pk).update(concurrency=4)

    answers = [
        boss.post(page_of(cisco), OF_CISCO | {"concurrency": number}).status_code
        for number in ("4", "3", "4")
    ]

    assert answers == [302, 302, 200]


def test_new_contract_without_concurrency_needs_confirmation(boss):
    add = f"{LIST}add/?adapter=control_center"

    refused = errors(boss.post(add, OF_CISCO | {"concurrency": "2"}))
    added = boss.post(add, OF_CISCO | {"concurrency": "2", "concurrency_allowed": "on"})

    assert refused == {"concurrency": [ONE_AT_A_TIME]}
    assert added.status_code == 302
    assert OperatorAccount.objects.get().concurrency == 2


@pytest.mark.parametrize(
    ("adapter", "profile", "asks"),
    [
        ("control_center", {}, True),
        ("mts", {}, False),
        ("declared", {}, False),
        ("declared", {"limits": {"concurrency": 1}}, True),
        ("declared", {"limits": {"concurrency": 2}}, False),
        ("declared", {"limits": None}, False),
    ],
)
def test_only_an_operator_s_own_rule_asks_twice(boss, adapter, profile, asks):
    account = OperatorAccount.objects.create(
        code="one", title="Один", adapter=adapter, base_url="https://a.example", profile=profile
    )

    form = boss.get(page_of(account)).context["adminform"].form

    assert ("concurrency_allowed" in form.fields) is asks


def test_new_keys_are_not_refused_before_they_are_tried(boss, account):
    since = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
    OperatorAccount.objects.update(keys_refused_since=since)

    boss.post(page_of(account), CHANGED | {"per_second": "2"})
    other = OperatorAccount.objects.get().keys_refused_since
    boss.post(page_of(account), CHANGED | {"credential_secret": "tajna-dogovora-2"})

    assert other == since
    assert OperatorAccount.objects.get().keys_refused_since is None


def test_open_http_is_for_the_sandbox_only(boss, settings):
    settings.SANDBOX = False
    refused = boss.post(ADD, {**MTS, "base_url": "http://localhost:8100/operators/mts"})
    nothing_yet = OperatorAccount.objects.count()
    settings.SANDBOX = True

    taken = boss.post(ADD, {**MTS, "base_url": "http://localhost:8100/operators/mts/"})

    assert errors(refused) == {
        "base_url": ["Ключи и номера нельзя передавать открыто: адрес начинается с https://."]
    }
    assert nothing_yet == 0
    assert taken.status_code == 302
    assert OperatorAccount.objects.get().base_url == "http://localhost:8100/operators/mts"


def test_root_certificates_are_kept(boss):
    pem = certificate()

    boss.post(ADD, {**MTS, "ca_bundle": pem + pem})

    assert OperatorAccount.objects.get().ca_bundle == (pem + pem).strip()


# --- a change ----------------------------------------------------------------------------------


def test_secret_is_never_shown_again(boss, account):
    pages = [boss.get(page_of(account)), boss.post(page_of(account), {**CHANGED, "title": ""})]

    shown = [page.content.decode() for page in pages]
    assert [page for page in shown if SECRET in page] == []
    assert [page.count("Сохранён. Оставьте пустым, чтобы не менять.") for page in shown] == [1, 1]
    assert "our-key" in shown[0]


def test_empty_secret_keeps_the_stored_one_and_changes_are_audited(boss, account):
    boss.post(
        page_of(account),
        {**CHANGED, "credential_secret": "", "per_second": "5", "poll_plan": "5,10,0.5"},
    )

    account = OperatorAccount.objects.get()
    assert account.per_second == 5
    assert account.code == "mts"
    assert account.adapter == "mts"
    assert account.credentials == {"key": "our-key", "secret": SECRET}
    assert list(AuditEvent.objects.values_list("action", "text", "actor_name")) == [
        (
            "account.changed",
            "Изменён договор с оператором «МТС»: «Вызовов в секунду»",
            "Зоя Старшая",
        )
    ]


def test_new_secret_replaces_the_old_one_outside_the_audit_log(boss, account):
    boss.post(page_of(account), {**CHANGED, "credential_secret": "другая тайна"})

    assert OperatorAccount.objects.get().credentials == {"key": "our-key", "secret": "другая тайна"}
    [text] = AuditEvent.objects.values_list("text", flat=True)
    assert text == "Изменён договор с оператором «МТС»: «Consumer Secret»"


def test_saving_without_a_change_is_not_audited(boss, account):
    answer = boss.post(page_of(account), {**CHANGED, "credential_secret": ""})

    assert answer.status_code == 302
    assert AuditEvent.objects.count() == 0


def test_optional_secret_can_be_taken_away(boss, account):
    account.adapter = "tmf640"
    account.credentials = {"token": SECRET, "token_url": "https://id.example/token"}
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

    assert listed.status_code == 200
    assert page.status_code == 200
    assert said(pinged) == [
        "Ключи договора не читаются: ключ шифрования сменился. Введите их заново."
    ]
    assert errors(incomplete) == {"credential_secret": ["Обязательное поле."]}
    assert OperatorAccount.objects.get().credentials == {"key": "our-key", "secret": SECRET}


def test_list_shows_the_last_answer_error_and_clock_skew(boss, account):
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


def test_contract_of_a_removed_protocol_can_be_viewed(boss, account):
    OperatorAccount.objects.update(adapter="telegraph")

    page = boss.get(page_of(account))
    pinged = boss.post(f"{LIST}{account.pk}/ping/", follow=True)

    assert page.status_code == 200
    assert said(pinged) == ["Связь не проверена: такого протокола в настройках больше нет."]


# --- windows of works and sums -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "rows", "shown"),
    [
        (
            "пн–пт 02:00–04:30",
            [{"days": [0, 1, 2, 3, 4], "from": "02:00", "to": "04:30"}],
            "пн–пт 02:00–04:30",
        ),
        (
            " ПН - ПТ   2:00 - 4:30 \n\nвс 03:00—05:00",
            [
                {"days": [0, 1, 2, 3, 4], "from": "02:00", "to": "04:30"},
                {"days": [6], "from": "03:00", "to": "05:00"},
            ],
            "пн–пт 02:00–04:30\nвс 03:00–05:00",
        ),
        (
            "ежедневно 23:50–00:30",
            [{"days": [], "from": "23:50", "to": "00:30"}],
            "ежедневно 23:50–00:30",
        ),
        (
            "пн–вс 22:00–24:00",
            [{"days": [], "from": "22:00", "to": "00:00"}],
            "ежедневно 22:00–00:00",
        ),
        (
            "пт–пн, ср 01:00–02:00",
            [{"days": [0, 2, 4, 5, 6], "from": "01:00", "to": "02:00"}],
            "пн, ср, пт–вс 01:00–02:00",
        ),
        (
            "сб, вс 01:00–02:00",
            [{"days": [5, 6], "from": "01:00", "to": "02:00"}],
            "сб, вс 01:00–02:00",
        ),
        ("", [], ""),
    ],
)
def test_windows_are_typed_as_people_write_them(typed, rows, shown):
    field = WindowsField(required=False)

    cleaned = field.clean(typed)

    assert cleaned == rows
    assert WindowsField().prepare_value(cleaned) == shown
    assert field.clean(shown) == rows
    assert not field.has_changed(rows, typed)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "days": st.sets(st.integers(0, 6), max_size=6).map(sorted),
                "from": st.times().map(lambda moment: f"{moment:%H:%M}"),
                "to": st.times().map(lambda moment: f"{moment:%H:%M}"),
            }
        ).filter(lambda window: window["from"] != window["to"]),
        max_size=5,
    )
)
def test_every_window_comes_back_as_it_went(rows):
    assert WindowsField(required=False).clean(WindowsField().prepare_value(rows)) == rows


def test_window_that_nobody_could_have_typed_is_put_right(boss, account):
    OperatorAccount.objects.update(maintenance_windows=[{"days": [9]}])
    form = boss.get(page_of(account)).context["adminform"].form

    boss.post(page_of(account), {**CHANGED, "maintenance_windows": "вс 03:00–05:00"})

    assert form["maintenance_windows"].value() == '{"days": [9]}'
    assert OperatorAccount.objects.get().maintenance_windows == [
        {"days": [6], "from": "03:00", "to": "05:00"}
    ]
    assert AuditEvent.objects.get().text == (
        "Изменён договор с оператором «МТС»: «Consumer Secret», «Окна работ у оператора»"
    )


def test_invalid_stored_window_is_shown_as_json():
    assert WindowsField().prepare_value([{"days": [9]}, "ночью"]) == '{"days": [9]}\n"ночью"'


def test_terms_of_the_contract_are_kept_in_kopecks_and_rows(boss):
    boss.post(
        ADD,
        {
            **MTS,
            "maintenance_windows": "вс 03:00–05:00",
            "activation_fee_kopecks": "12,50 ₽",
            "deactivation_fee_kopecks": "1 000",
            "cooldown_seconds": "600",
            "min_active_days": "30",
            "min_inactive_days": "1",
            "silence_hours": "48",
            "hold_hours": "12",
            "reserve_percent": "25",
        },
    )

    account = OperatorAccount.objects.get()
    sunday = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
    form = boss.get(page_of(account)).context["adminform"].form
    assert account.activation_fee_kopecks == 1250
    assert account.deactivation_fee_kopecks == 100000
    assert account.cooldown_seconds == 600
    assert account.min_active_days == 30
    assert account.min_inactive_days == 1
    assert account.silence_hours == 48
    assert account.hold_hours == 12
    assert account.reserve_percent == 25
    assert window_end(account.maintenance_windows, sunday) == datetime(2026, 11, 22, 2, tzinfo=UTC)
    assert [
        form[name].value()
        for name in (
            "maintenance_windows",
            "activation_fee_kopecks",
            "deactivation_fee_kopecks",
        )
    ] == ["вс 03:00–05:00", "12,50", "1000"]


# --- the secret of callbacks -------------------------------------------------------------------


def test_callback_secret_is_written_kept_removed_and_never_shown(boss, account):
    keep = {**CHANGED, "credential_secret": ""}
    boss.post(page_of(account), {**keep, "new_callback_secret": "klyuch-podpisi"})
    written = OperatorAccount.objects.get().callback_secret
    page = boss.get(page_of(account)).content.decode()
    boss.post(page_of(account), keep)
    kept = OperatorAccount.objects.get().callback_secret
    boss.post(page_of(account), {**keep, "remove_callback_secret": "on"})

    assert written == "klyuch-podpisi"
    assert kept == "klyuch-podpisi"
    assert "klyuch-podpisi" not in page
    assert OperatorAccount.objects.get().callback_secret == ""
    assert "klyuch-podpisi" not in json.dumps(list(AuditEvent.objects.values()), default=str)


def field_of_the_secret(page: str) -> str:
    """The textarea and the help beside it."""
    return page.partition('name="new_callback_secret"')[2].partition("remove_callback_secret")[0]


def test_two_callback_secrets_are_kept_and_counted(boss, account):
    typed = "  novyi-klyuch \r\n\r\nstaryi-klyuch\r\nnovyi-klyuch"
    before = field_of_the_secret(boss.get(page_of(account)).content.decode())

    boss.post(page_of(account), {**CHANGED, "new_callback_secret": typed})

    stored = OperatorAccount.objects.get()
    after = field_of_the_secret(boss.get(page_of(account)).content.decode())
    counted = "Сохранено секретов: 2. Оставьте пустым, чтобы не менять."
    assert inbox.secrets_of(stored) == ["novyi-klyuch", "staryi-klyuch"]
    assert counted not in before
    assert counted in after
    assert list(AuditEvent.objects.values_list("text", flat=True)) == [
        "Изменён договор с оператором «МТС»: «Consumer Secret», «Ключ подписи уведомлений»"
    ]


def test_typed_callback_secret_is_not_shown_beside_a_mistake(boss, account):
    answer = boss.post(page_of(account), {**CHANGED, "title": "", "new_callback_secret": "klyuch"})

    assert errors(answer) == {"title": ["Обязательное поле."]}
    assert "klyuch" not in answer.content.decode()


def test_callback_secret_of_a_lost_encryption_key_is_typed_anew(boss, account, settings):
    account.callback_secret = "klyuch"
    account.save()
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]

    page = boss.get(page_of(account)).content.decode()
    boss.post(page_of(account), {**CHANGED, "new_callback_secret": "drugoi"})

    assert "Сохранённый ключ не читается: введите его заново." in page
    assert OperatorAccount.objects.get().callback_secret == "drugoi"


# --- the breaker -------------------------------------------------------------------------------


@pytest.fixture
def broken(account):
    for _ in range(breaker.THRESHOLD):
        breaker.record_result(account, Health.BAD, at=AT)
    return account


AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def test_breaker_is_shown_and_closed_with_a_reason(boss, broken):
    page = boss.get(page_of(broken)).content.decode().replace("\u00a0", " ")
    silent = boss.post(f"{LIST}{broken.pk}/breaker/", {"reason": " "})
    closed = boss.post(
        f"{LIST}{broken.pk}/breaker/", {"reason": "звонили, всё починили"}, follow=True
    )
    again = boss.post(f"{LIST}{broken.pk}/breaker/", {"reason": "ещё раз"})

    broken.refresh_from_db()
    entry = AuditEvent.objects.get(action="account.breaker_closed")
    assert "открыт с 22 ноября 2026 г., 12:00: команды ждут в очереди" in page
    assert f"{LIST}{broken.pk}/breaker/" in page
    assert silent.context["form"].errors == {"reason": ["Укажите причину."]}
    assert said(closed) == ["Предохранитель закрыт: команды пойдут снова."]
    assert again.context["form"].errors == {"__all__": ["Предохранитель уже закрыт."]}
    assert broken.broken_since is None
    assert broken.probe_at is None
    assert broken.failures_in_a_row == 0
    assert entry.text == "Закрыт предохранитель договора с оператором «МТС»"
    assert entry.reason == "звонили, всё починили"
    assert entry.actor_name == "Зоя Старшая"
    assert Alert.objects.filter(closed_at=None).count() == 0


def test_closed_breaker_says_so_and_offers_nothing(boss, account):
    OperatorAccount.objects.update(failures_in_a_row=3)

    page = boss.get(page_of(account)).content.decode()

    assert "закрыт, сбоев подряд: 3" in page
    assert "/breaker/" not in page


def test_breaker_is_not_closed_without_a_reason(broken):
    with pytest.raises(BreakerRefused) as refusal:
        services.close_breaker(account=broken, reason=" ", by=SYSTEM, at=AT)

    broken.refresh_from_db()
    assert refusal.value.sentence == "Укажите, почему предохранитель можно закрыть."
    assert broken.broken_since == AT


def test_breaker_of_a_contract_with_lost_keys_can_be_closed(boss, broken, settings):
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]

    boss.post(f"{LIST}{broken.pk}/breaker/", {"reason": "всё починили"})

    assert list(OperatorAccount.objects.values_list("broken_since", flat=True)) == [None]


# --- a protocol that staff describe ------------------------------------------------------------


EXAMPLE = document(EXAMPLES / "telnyx-like.json")
DECLARED = {name: value for name, value in MTS.items() if not name.startswith("credential")}
ADD_DECLARED = f"{LIST}add/?adapter=declared"


def test_described_protocol_is_saved_and_then_asks_for_its_keys(boss):
    added = boss.post(ADD_DECLARED, {**DECLARED, "profile": json.dumps(EXAMPLE)}, follow=True)

    account = OperatorAccount.objects.get()
    wanted = [field.name for field in registry.capabilities("declared", EXAMPLE).credentials]
    shown = added.context["adminform"].form.fields
    assert added.redirect_chain == [(page_of(account), 302)]
    assert account.profile == EXAMPLE
    assert wanted
    assert [name for name in shown if name.startswith("credential_")] == [
        f"credential_{name}" for name in wanted
    ]


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("{", "Это не JSON: ошибка в строке 1, знак 2."),
        ("[1]", "описание протокола — это объект {…}"),
        ("", "Обязательное поле."),
        ("[" * 2000 + "]" * 2000, "Слишком глубокая вложенность."),
        ("1" * 5000, "Слишком длинное число."),
    ],
)
def test_text_that_is_no_description_is_refused(boss, typed, complaint):
    answer = boss.post(ADD_DECLARED, {**DECLARED, "profile": typed})

    assert errors(answer) == {"profile": [complaint]}
    assert OperatorAccount.objects.count() == 0


def test_every_mistake_of_a_description_is_shown_with_its_field(boss):
    wrong = {name: value for name, value in EXAMPLE.items() if name != "calls"} | {"key": "x"}

    answer = boss.post(ADD_DECLARED, {**DECLARED, "profile": json.dumps(wrong)})

    assert errors(answer) == {"profile": [str(problem) for problem in validate(wrong)]}
    assert len(errors(answer)["profile"]) > 1
    assert OperatorAccount.objects.count() == 0


def test_description_is_a_matter_of_the_declarative_protocol_only(boss, account):
    form = boss.get(page_of(account)).context["adminform"].form

    boss.post(page_of(account), {**CHANGED, "profile": json.dumps(EXAMPLE)})

    assert "profile" not in form.fields
    assert OperatorAccount.objects.get().profile == {}


@pytest.fixture
def described() -> OperatorAccount:
    return OperatorAccount.objects.create(
        code="own",
        title="Свой",
        adapter="declared",
        base_url="https://api.own.example",
        credentials={
            field.name: SECRET for field in registry.capabilities("declared", EXAMPLE).credentials
        },
        profile=EXAMPLE,
    )


def test_new_description_clears_refused_keys(boss, described):
    since = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
    OperatorAccount.objects.update(keys_refused_since=since)
    form = boss.get(page_of(described)).context["adminform"].form
    shown = {name: form[name].value() for name in form.fields}
    sent = {
        name: value for name, value in shown.items() if value is not None and value is not False
    }

    boss.post(page_of(described), sent | {"per_second": "2"})
    other = OperatorAccount.objects.get()
    boss.post(page_of(described), sent | {"profile": json.dumps(EXAMPLE | {"title": "Новый"})})

    stored = OperatorAccount.objects.get()
    assert other.per_second == 2
    assert other.keys_refused_since == since
    assert stored.profile["title"] == "Новый"
    assert stored.keys_refused_since is None


def test_preview_shows_requests_and_sends_nothing(boss, described):
    page = boss.get(f"{LIST}{described.pk}/dry-run/").content.decode()

    assert "https://api.own.example/" in page
    assert SECRET not in page
    assert "******" in page
    assert "<h2>Включение</h2>" in page
    assert "<h2>Отключение</h2>" in page
    assert f"{LIST}{described.pk}/dry-run/" in boss.get(page_of(described)).content.decode()


def test_broken_description_is_reported_on_every_page(boss, described):
    OperatorAccount.objects.update(profile={"title": "обрывок"})

    previews = boss.get(f"{LIST}{described.pk}/dry-run/").context["previews"]
    pinged = boss.post(f"{LIST}{described.pk}/ping/", follow=True)

    assert {preview.problem for preview in previews} == {
        "В описании протокола есть ошибки: исправьте их в договоре."
    }
    assert said(pinged) == ["Связь не проверена: в описании протокола есть ошибки."]


def test_request_of_a_protocol_in_code_is_not_shown(boss, account):
    assert boss.get(f"{LIST}{account.pk}/dry-run/").status_code == 404
    assert boss.post(f"{LIST}{account.pk}/dry-run/").status_code == 405
    assert boss.get(f"{LIST}999999/breaker/").status_code == 404


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


@pytest.mark.usefixtures("_fresh_redis")
def test_connection_that_was_not_checked_is_a_warning(boss, account, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    answer = boss.post(f"{LIST}{account.pk}/ping/", follow=True)

    assert said(answer) == [
        "Связь не проверена: не отвечает Redis, а без счётчика вызовов ничего не отправляется."
    ]
    assert [message.level_tag for message in answer.context["messages"]] == ["warning"]


def test_connection_is_checked_by_post_for_a_known_contract(boss, account):
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
    answers = [
        client.post(page_of(account), {**CHANGED, "title": "Чужой"}),
        client.post(ADD, MTS),
        client.post(f"{LIST}{account.pk}/breaker/", {"reason": "просто так"}),
    ]
    looked = [
        client.post(f"{LIST}{account.pk}/ping/").status_code,
        client.get(f"{LIST}{account.pk}/dry-run/").status_code,
    ]

    # The link may be checked by whoever looks; this protocol has no request to show.
    assert looked == ([302, 404] if looks == 200 else [403, 403])
    assert page.status_code == looks
    assert SECRET not in page.content.decode()
    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert list(OperatorAccount.objects.values_list("title", flat=True)) == ["МТС"]


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_every_right_of_a_group_exists_and_is_given(name):
    ensure_groups()

    given = Group.objects.get(name=name).permissions.select_related("content_type")

    rights = {f"{one.content_type.app_label}.{one.codename}" for one in given}
    assert rights == set(GROUPS[name])


def test_support_ends_silent_subscriptions_and_finance_only_reads_them():
    assert "subscriptions.add_staffstop" in GROUPS["Поддержка"]
    assert "subscriptions.view_subscription" in GROUPS["Финансы"]
    assert "subscriptions.add_staffstop" not in GROUPS["Финансы"]


def test_person_of_a_merchant_gets_nowhere(account):
    client = Client()
    client.force_login(make_member().user)

    answers = [
        client.get(LIST),
        client.post(ADD, MTS),
        client.post(f"{LIST}{account.pk}/ping/"),
        client.post(f"{LIST}{account.pk}/breaker/", {"reason": "просто так"}),
        client.get(f"{LIST}{account.pk}/dry-run/"),
    ]

    assert [answer.status_code for answer in answers] == [302] * 5
    assert OperatorAccount.objects.count() == 1


def test_anonymous_user_is_sent_to_staff_login(account):
    addresses = [LIST, ADD, page_of(account), "/admin/", "/admin/password_change/"]

    answers = [Client().get(address) for address in addresses]

    assert {answer["Location"].split("?")[0] for answer in answers} == {"/admin/login/"}
    assert Client().get("/admin/login/").status_code == 200
