"""The company's requisites, and the fields that understand them."""

import zoneinfo
from datetime import UTC, datetime
from importlib import resources
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st
from stdnum.ru import inn as inn_number
from stdnum.ru import ogrn as ogrn_number

from cabinet.checks import is_outdated, time_zones_are_current
from cabinet.enums import Role
from cabinet.forms.company import ZONE_LABELS, CompanyForm
from cabinet.forms.fields import InnField, KppField, OgrnField, PhoneField
from cabinet.models import AuditEvent, Merchant
from cabinet.tests.people import make_member, signed_in

TYPED = {
    "name": "ООО «Пекарня»",
    "inn": "7712 345671",
    "kpp": "771201001",
    "ogrn": "1 207712 345675",
    "address": "Москва, ул. Примерная, д. 12",
    "phone": "8 (495) 000-00-01",
    "email": "bakery@example.com",
    "timezone": "Asia/Omsk",
}
KEPT = TYPED | {"inn": "7712345671", "ogrn": "1207712345675", "phone": "74950000001"}


@pytest.mark.django_db
def test_requisites_are_kept_clean(client):
    owner = make_member()
    signed_in(client, owner)

    answer = client.post("/company/", TYPED)

    assert answer["Location"] == "/company/"
    assert Merchant.objects.filter(pk=owner.merchant_id).values(*KEPT).get() == KEPT
    event = AuditEvent.objects.get()
    assert event.action == "company.changed"
    assert event.merchant_id == owner.merchant_id
    assert "7712345671" not in event.text


@pytest.mark.django_db
def test_saving_without_a_change_writes_no_audit_event(client):
    owner = make_member()
    signed_in(client, owner)
    client.post("/company/", TYPED)

    client.post("/company/", TYPED)

    assert AuditEvent.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("role", "status"), [(Role.MANAGER, 302), (Role.ACCOUNTANT, 403), (Role.CASHIER, 403)]
)
def test_owner_and_manager_edit(client, role, status):
    member = make_member(role)
    signed_in(client, member)

    answer = client.post("/company/", TYPED)

    changed = Merchant.objects.get(pk=member.merchant_id).name == "ООО «Пекарня»"
    assert answer.status_code == status
    assert changed == (status == 302)


@pytest.mark.django_db
def test_accountant_reads_the_requisites_without_a_form(client):
    member = make_member(Role.ACCOUNTANT)
    Merchant.objects.filter(pk=member.merchant_id).update(inn="7712345671")
    signed_in(client, member)

    page = client.get("/company/").content.decode()

    assert "7712345671" in page
    assert 'name="inn"' not in page


@pytest.mark.django_db
def test_times_are_shown_in_the_companys_zone(client):
    member = make_member()
    Merchant.objects.filter(pk=member.merchant_id).update(timezone="Asia/Kamchatka")
    signed_in(client, member)

    page = client.get("/profile/")

    assert page.status_code == 200
    assert page.wsgi_request.merchant.timezone == "Asia/Kamchatka"


def errors(**changed):
    return CompanyForm(TYPED | changed).errors


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": ""}, "name"),
        ({"inn": "7712345670"}, "inn"),
        ({"inn": "771234567"}, "inn"),
        ({"kpp": "77120100"}, "kpp"),
        ({"ogrn": "1207712345674"}, "ogrn"),
        ({"ogrn": "320774600123457"}, "ogrn"),
        ({"phone": "12"}, "phone"),
        ({"email": "не почта"}, "email"),
        ({"timezone": "America/New_York"}, "timezone"),
    ],
)
def test_wrong_requisite_is_named_at_its_field(changed, field):
    assert list(errors(**changed)) == [field]


def test_sole_trader_has_no_kpp():
    found = errors(inn="771234567859", ogrn="320774600123457")

    assert found == {"kpp": ["У предпринимателя нет КПП: оставьте поле пустым."]}


def test_requisites_may_be_empty_but_for_the_name():
    empty = {"inn": "", "kpp": "", "ogrn": "", "address": "", "phone": "", "email": ""}

    assert errors(**empty) == {}


def accepted(field, text: str) -> bool:
    try:
        field.clean(text)
    except ValidationError:
        return False
    return True


@given(st.from_regex(r"[0-9]{9,13}", fullmatch=True))
def test_inn_is_accepted_when_its_check_digits_are_right(text):
    assert accepted(InnField(), text) == inn_number.is_valid(text)


@given(st.from_regex(r"[15][0-9]{11}", fullmatch=True))
def test_company_ogrn_needs_correct_check_digit(body):
    good = [digit for digit in "0123456789" if accepted(OgrnField(), body + digit)]

    assert good == [ogrn_number.calc_check_digit(body + "0")]


@given(st.from_regex(r"3[0-9]{13}", fullmatch=True))
def test_ogrn_of_a_sole_trader_has_one_check_digit(body):
    good = [digit for digit in "0123456789" if accepted(OgrnField(), body + digit)]

    assert good == [str(int(body) % 13)[-1]]


def test_kpp_may_carry_latin_letters():
    assert KppField().clean("7712aa001") == "7712AA001"


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("8 (912) 345-67-89", "79123456789"),
        ("+7 912 345 67 89", "79123456789"),
        ("912 345-67-89", "79123456789"),
        ("79123456789", "79123456789"),
        ("+375 29 123-45-67", "375291234567"),
        ("8 800 555-35-35", "78005553535"),
    ],
)
def test_phone_is_kept_in_one_form(typed, kept):
    assert PhoneField().clean(typed) == kept


@given(st.integers(min_value=9_000_000_000, max_value=9_999_999_999))
def test_phone_in_one_form_stays_as_it_is(national):
    field = PhoneField()
    typed = f"8{national}"

    if accepted(field, typed):
        kept = field.clean(typed)
        assert kept == f"7{national}"
        assert field.clean(kept) == kept
        assert field.clean(field.prepare_value(kept)) == kept


@pytest.mark.parametrize(("zone", "label"), ZONE_LABELS)
def test_label_of_a_zone_has_its_offset_from_moscow(zone, label):
    at = datetime(2026, 11, 29, 12, tzinfo=UTC)
    offsets = [at.astimezone(ZoneInfo(name)).utcoffset() for name in (zone, "Europe/Moscow")]
    hours = int((offsets[0] - offsets[1]).total_seconds() / 3600)

    assert label.endswith(f"(МСК{f'{hours:+d}'.replace('-', '−') if hours else ''})")


def test_zones_are_those_of_russia_and_kazakhstan():
    lines = resources.files("tzdata.zoneinfo").joinpath("zone1970.tab").read_text().splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    there = {row[2] for row in rows if {"RU", "KZ"} & set(row[0].split(","))}

    assert {zone for zone, _label in ZONE_LABELS} == there


@pytest.mark.parametrize(
    ("version", "year", "expected"), [("2024b", 2026, False), ("2023d", 2026, True)]
)
def test_time_zone_data_is_refused_after_two_years(version, year, expected):
    assert is_outdated(version, year) is expected


def test_time_zones_come_from_the_locked_package():
    assert zoneinfo.TZPATH == ()
    assert time_zones_are_current() == []
