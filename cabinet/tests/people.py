"""People and companies for tests: owner, colleague, somebody of another company. Everything is invented."""

from datetime import UTC, datetime
from itertools import count

from django.test import Client

from cabinet.accounts.access import MERCHANT_KEY
from cabinet.enums import DocumentKind, Role
from cabinet.models import LegalDocument, Member, Merchant, User

AT = datetime(2027, 1, 15, 9, 0, tzinfo=UTC)

_numbers = count(1)


def make_merchant(name: str = "ООО «Ромашка»", **fields) -> Merchant:
    """A company of its own, with an Evotor userId."""
    fields.setdefault("evotor_user_id", f"01-{900000000000000 + next(_numbers):015d}")
    return Merchant.objects.create(name=name, created_at=AT, **fields)


def make_user(phone: str = "", **fields) -> User:
    """A person without a password; the phone is new unless given, an e-mail is confirmed unless asked otherwise."""
    phone = phone or f"7999{next(_numbers):07d}"
    fields.setdefault("confirmed_email", fields.get("email", ""))
    return User.objects.create(phone=phone, username=phone, password="!", **fields)


def make_member(
    role: Role = Role.OWNER, merchant: Merchant | None = None, user: User | None = None
) -> Member:
    """A person of a company; both are made where they are not given."""
    return Member.objects.create(
        merchant=merchant or make_merchant(), user=user or make_user(), role=role, created_at=AT
    )


def signed_in(client: Client, member: Member) -> Client:
    """The same client, signed in as that member and working for that company."""
    client.force_login(member.user)
    session = client.session
    session[MERCHANT_KEY] = member.merchant_id
    session.save()
    return client


def make_document(kind: DocumentKind, version: int = 1, **fields) -> LegalDocument:
    """A published text."""
    fields.setdefault("published_at", AT)
    fields.setdefault("text", f"Текст: {kind.label}")
    return LegalDocument.objects.create(kind=kind, version=version, **fields)


def make_staff(username: str = "zoya", password: str = "", **fields) -> User:
    """A member of staff; a superuser unless asked otherwise. Without a password nobody can sign in as them."""
    fields.setdefault("is_superuser", True)
    return User.objects.create_user(username, password or None, is_staff=True, **fields)
