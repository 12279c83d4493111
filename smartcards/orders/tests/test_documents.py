"""Papers of an order: sums, requisites, the QR code of a payment, the PDF itself."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcards.orders.documents import amounts, bank_numbers, payment_qr
from smartcards.orders.documents.content import Buyer, PaperContent, PaperLine, Requisites
from smartcards.orders.documents.invoice import drawn_code, invoice_pdf, purpose, signers
from smartcards.orders.documents.upd import upd_pdf
from smartcards.orders.documents.waybill import waybill_pdf
from smartcards.orders.tests import qr_reader
from smartcards.orders.tests.orders import REQUISITES

CONTENT = PaperContent(
    number=12,
    day=date(2026, 11, 30),
    basis="Заказ № 7 от 30 ноября 2026 г.",
    seller=Requisites(**REQUISITES),
    buyer=Buyer("ООО «Ромашка»", "7707083893", "770701001", "Пермь, Ленина, 10"),
    lines=(
        PaperLine("Смарт-карта «Билайн»", 3, "шт.", 30_000),
        PaperLine("Смарт-карта «МТС»", 2, "шт.", 30_000),
        PaperLine("Доставка", 1, "усл.", 35_050),
    ),
    vat_rate=None,
)
KOPECKS = st.integers(min_value=1, max_value=10**9)


# --- sums -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kopecks", "words"),
    [
        (1, "Ноль рублей 01\u00a0копейка"),
        (100, "Один рубль 00\u00a0копеек"),
        (202, "Два рубля 02\u00a0копейки"),
        (120_050, "Одна тысяча двести рублей 50\u00a0копеек"),
        (2_100_011, "Двадцать одна тысяча рублей 11\u00a0копеек"),
        (185_050, "Одна тысяча восемьсот пятьдесят рублей 50\u00a0копеек"),
    ],
)
def test_sum_spelled_out_has_right_plurals(kopecks, words):
    assert amounts.spelled_out(kopecks) == words


@pytest.mark.parametrize(("rate", "vat"), [(None, 0), (5, 476), (7, 654), (20, 1_667), (22, 1_803)])
def test_vat_is_inside_of_the_price(rate, vat):
    assert amounts.vat_inside(10_000, rate) == vat


@given(kopecks=KOPECKS, rate=st.sampled_from([5, 7, 20, 22]))
def test_vat_and_net_make_up_the_price(kopecks, rate):
    vat = amounts.vat_inside(kopecks, rate)

    net = kopecks - vat

    assert 0 <= vat < kopecks
    assert abs(net * rate - vat * 100) <= 100 + rate


def test_vat_of_a_document_is_the_sum_of_its_lines():
    content = replace(CONTENT, vat_rate=22)

    assert content.total == 185_050
    assert content.vat == 16_230 + 10_820 + 6_320


@pytest.mark.parametrize("rate", [None, 22])
def test_a_document_comes_back_from_json_unchanged(rate):
    content = replace(CONTENT, vat_rate=rate, payment="№ 15 от 22.11.2026")

    assert PaperContent.from_json(content.as_json()) == content


# --- accounts -------------------------------------------------------------------------------------


def test_accounts_with_right_control_digits_pass():
    wrong = bank_numbers.wrong_numbers(
        REQUISITES["bik"], REQUISITES["account"], REQUISITES["corr_account"]
    )

    assert wrong == {}


@given(
    field=st.sampled_from(["account", "corr_account"]), at=st.integers(0, 19), by=st.integers(1, 9)
)
def test_one_wrong_digit_of_an_account_is_seen(field, at, by):
    digits = list(REQUISITES[field])
    digits[at] = str((int(digits[at]) + by) % 10)
    numbers = {name: REQUISITES[name] for name in ("bik", "account", "corr_account")}

    wrong = bank_numbers.wrong_numbers(**(numbers | {field: "".join(digits)}))

    assert set(wrong) == {field}


@pytest.mark.parametrize(
    ("field", "value"),
    [("bik", "04452599"), ("account", "4070281090000000123"), ("corr_account", "٣" * 20)],
)
def test_numbers_of_wrong_length_or_alphabet_are_refused(field, value):
    numbers = {name: REQUISITES[name] for name in ("bik", "account", "corr_account")}

    assert set(bank_numbers.wrong_numbers(**(numbers | {field: value}))) == {field}


# --- the code -------------------------------------------------------------------------------------


def fields_of(payload: str) -> dict[str, str]:
    """What a bank's app reads, field by field."""
    head, *pairs = payload.split("|")
    assert head == "ST00012"
    return dict(pair.split("=", 1) for pair in pairs)


def test_payment_code_has_every_field_of_the_standard():
    assert fields_of(payment_qr.payload(CONTENT, purpose(CONTENT))) == {
        "Name": "ООО «Примерные кассы»",
        "PersonalAcc": REQUISITES["account"],
        "BankName": "ПАО «Примерный банк», г. Москва",
        "BIC": "044525999",
        "CorrespAcc": REQUISITES["corr_account"],
        "Sum": "185050",
        "Purpose": "Оплата по счёту № 12 от 30.11.2026. Без НДС",
        "PayeeINN": "7712345671",
        "KPP": "771201001",
    }


def test_payment_code_of_a_sole_trader_has_no_kpp():
    seller = replace(CONTENT.seller, inn="771234567859", kpp="")

    fields = fields_of(payment_qr.payload(replace(CONTENT, seller=seller), "Оплата"))

    assert fields["PayeeINN"] == "771234567859"
    assert "KPP" not in fields


def test_separator_and_length_cannot_break_the_payment_code():
    seller = replace(CONTENT.seller, name="ООО «А|Sum=1»", bank="Банк " * 20)

    fields = fields_of(payment_qr.payload(replace(CONTENT, seller=seller), "я" * 300))

    assert fields["Name"] == "ООО «А/Sum=1»"
    assert fields["Sum"] == "185050"
    assert (len(fields["BankName"]), len(fields["Purpose"])) == (45, 210)


@pytest.mark.parametrize("rate", [None, 22])
def test_code_drawn_in_the_invoice_is_read_field_by_field(rate):
    content = replace(CONTENT, vat_rate=rate)
    payload = payment_qr.payload(content, purpose(content))

    level, scanned = qr_reader.read(scanned_modules(drawn_code(payload)))

    assert level == "M"
    assert fields_of(scanned.decode()) == fields_of(payload)
    assert fields_of(scanned.decode())["Sum"] == "185050"


def scanned_modules(drawing):
    """The squares of the drawing as rows from the top, without the margin."""
    squares = drawing.contents
    side = squares[0].width
    left, top = min(square.x for square in squares), max(square.y for square in squares)
    dark = {(round((top - one.y) / side), round((one.x - left) / side)) for one in squares}
    size = max(row for row, _column in dark) + 1
    return [[int((row, column) in dark) for column in range(size)] for row in range(size)]


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [invoice_pdf, waybill_pdf, upd_pdf])
@pytest.mark.parametrize("rate", [None, 22])
def test_the_same_document_gives_the_same_bytes(made, rate):
    content = replace(CONTENT, vat_rate=rate)

    first, second = made(content), made(content)

    assert first == second
    assert first.startswith(b"%PDF-")


@pytest.mark.parametrize("made", [invoice_pdf, waybill_pdf, upd_pdf])
def test_markup_in_requisites_is_shown_as_typed(made):
    buyer = replace(CONTENT.buyer, name="ООО «<b>Ромашка</i>» & Ко", address="x" * 300)

    assert made(replace(CONTENT, buyer=buyer)).startswith(b"%PDF-")


@pytest.mark.parametrize(
    ("inn", "signed"),
    [
        ("7712345671", [("Руководитель", "Иванов И. И."), ("Главный бухгалтер", "Петрова А. А.")]),
        ("771234567859", [("Индивидуальный предприниматель", "Иванов И. И.")]),
    ],
)
def test_who_signs_depends_on_the_kind_of_seller(inn, signed):
    assert signers(replace(CONTENT.seller, inn=inn)) == signed
