"""Demo data: groups, legal texts, two invented companies with people, shops and terminals."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.template.loader import render_to_string

from cabinet.accounts.services.legal_documents import draft_document, publish_document
from cabinet.accounts.services.staff_groups import ensure_groups
from cabinet.actors import SYSTEM
from cabinet.enums import DocumentKind, Role
from cabinet.models import Consent, LegalDocument, Member, Merchant, Shop, Terminal, User

OWNER_PHONE = "79990000001"
MANAGER_PHONE = "79990000002"
_AGREED = (DocumentKind.OFFER, DocumentKind.CONSENT)


@dataclass(frozen=True)
class DemoTerminal:
    """A terminal of a demo shop."""

    evotor_id: str
    name: str
    serial_number: str
    imei: str
    model: str


@dataclass(frozen=True)
class DemoShop:
    """A demo shop with its terminals."""

    evotor_id: str
    name: str
    address: str
    terminals: tuple[DemoTerminal, ...]


@dataclass(frozen=True)
class DemoMerchant:
    """A demo company; requisites are invented and have right check digits."""

    evotor_user_id: str
    name: str
    inn: str
    kpp: str
    ogrn: str
    address: str
    shops: tuple[DemoShop, ...]


MERCHANTS = (
    DemoMerchant(
        "01-000000000000101",
        "ИП Соколова Анна Сергеевна (пример)",
        "771234567859",
        "",
        "320774600123457",
        "109012, Москва, ул. Примерная, д. 1",
        (
            DemoShop(
                "20260110-1111-4000-8000-000000000101",
                "Кофейня на Примерной",
                "Москва, ул. Примерная, д. 1",
                (
                    DemoTerminal(
                        "20260110-2222-4000-8000-000000000101",
                        "Касса у входа",
                        "00307401000101",
                        "356938035643809",
                        "Эвотор 7.3",
                    ),
                    DemoTerminal(
                        "20260110-2222-4000-8000-000000000102",
                        "Касса в зале",
                        "00307401000102",
                        "356938035643817",
                        "Эвотор 5i",
                    ),
                ),
            ),
            DemoShop(
                "20260110-1111-4000-8000-000000000102",
                "Кофейня у метро",
                "Москва, Образцовый пр-д, д. 5",
                (
                    DemoTerminal(
                        "20260110-2222-4000-8000-000000000103",
                        "Касса 1",
                        "00307401000103",
                        "356938035643825",
                        "Эвотор 5i",
                    ),
                    DemoTerminal(
                        "20260110-2222-4000-8000-000000000104",
                        "Выездная касса",
                        "00307401000104",
                        "356938035643833",
                        "Эвотор 6",
                    ),
                ),
            ),
        ),
    ),
    DemoMerchant(
        "01-000000000000102",
        "ООО «Пекарня на углу» (пример)",
        "7712345671",
        "771201001",
        "1207712345675",
        "109012, Москва, ул. Примерная, д. 12",
        (
            DemoShop(
                "20260110-1111-4000-8000-000000000201",
                "Пекарня на углу",
                "Москва, ул. Примерная, д. 12",
                (
                    DemoTerminal(
                        "20260110-2222-4000-8000-000000000201",
                        "Касса",
                        "00307401000201",
                        "356938035643841",
                        "Эвотор 7.3",
                    ),
                ),
            ),
        ),
    ),
)


@transaction.atomic
def seed(at: datetime) -> list[str]:
    """Create what is missing; a second run changes nothing. Gives lines to print."""
    ensure_groups()
    _documents(at)
    cafe, bakery = [_merchant(demo, at) for demo in MERCHANTS]
    owner = _person(OWNER_PHONE, "Анна Соколова", "anna@example.com")
    manager = _person(MANAGER_PHONE, "Пётр Ёлкин", "petr@example.com")
    _member(cafe, owner, Role.OWNER, at)
    _member(cafe, manager, Role.MANAGER, at)
    _member(bakery, owner, Role.OWNER, at)
    for document in LegalDocument.objects.filter(kind__in=_AGREED, published_at__isnull=False):
        Consent.objects.get_or_create(user=owner, document=document, defaults={"given_at": at})
    where = "на\u00a0страницу песочницы и\u00a0в\u00a0журнал веб-сервера"
    return [
        f"Владелец двух компаний: телефон +{OWNER_PHONE}, код придёт {where}.",
        f"Администратор одной из них: телефон +{MANAGER_PHONE}.",
    ]


def _documents(at: datetime) -> None:
    for kind in DocumentKind:
        if not LegalDocument.objects.filter(kind=kind).exists():
            text = render_to_string(f"legal/{kind.value}.txt").strip()
            draft = draft_document(kind=kind, text=text, by=SYSTEM, at=at)
            publish_document(document=draft, by=SYSTEM, at=at)


def _merchant(demo: DemoMerchant, at: datetime) -> Merchant:
    merchant, _ = Merchant.objects.get_or_create(
        evotor_user_id=demo.evotor_user_id,
        defaults={
            "name": demo.name,
            "inn": demo.inn,
            "kpp": demo.kpp,
            "ogrn": demo.ogrn,
            "address": demo.address,
            "created_at": at,
        },
    )
    for shop in demo.shops:
        _shop(merchant, shop, at)
    return merchant


def _shop(merchant: Merchant, demo: DemoShop, at: datetime) -> None:
    shop, _ = Shop.objects.get_or_create(
        merchant=merchant,
        evotor_id=demo.evotor_id,
        defaults={"name": demo.name, "address": demo.address, "seen_at": at},
    )
    for terminal in demo.terminals:
        Terminal.objects.get_or_create(
            merchant=merchant,
            evotor_id=terminal.evotor_id,
            defaults={
                "shop": shop,
                "name": terminal.name,
                "serial_number": terminal.serial_number,
                "imei": terminal.imei,
                "model": terminal.model,
                "seen_at": at,
            },
        )


def _person(phone: str, name: str, email: str) -> User:
    user, _ = User.objects.get_or_create(
        phone=phone,
        defaults={
            "username": phone,
            "password": "!",
            "name": name,
            "email": email,
            "confirmed_email": email,
        },
    )
    return user


def _member(merchant: Merchant, user: User, role: Role, at: datetime) -> None:
    Member.objects.get_or_create(
        merchant=merchant, user=user, defaults={"role": role, "created_at": at}
    )
