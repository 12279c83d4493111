"""Reads of the floor: documents, people of a company, what staff look for."""

import re
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from cabinet import phones, wording
from cabinet.models import AuditEvent, Consent, LegalDocument, Member, Merchant, User
from cabinet.states import DocumentKind, Role


@dataclass(frozen=True)
class Retired:
    """An earlier edition of a legal text."""

    version: int
    published_at: datetime


def newest_document(kind: DocumentKind) -> LegalDocument | None:
    """The edition in force; None where nothing is published yet."""
    return _published(kind).order_by("-version").first()


def document_edition(kind: DocumentKind, version: int) -> LegalDocument | None:
    """One published edition, in force or not."""
    return _published(kind).filter(version=version).first()


def earlier_editions(document: LegalDocument) -> list[Retired]:
    """What was in force before, the latest first."""
    rows = _published(DocumentKind(document.kind)).filter(version__lt=document.version)
    return [
        Retired(version, published_at)
        for version, published_at in rows.order_by("-version").values_list(
            "version", "published_at"
        )
        if published_at is not None
    ]


def documents_in_force() -> list[LegalDocument]:
    """One edition of every kind that has one, in the order of the kinds."""
    return [document for kind in DocumentKind if (document := newest_document(kind))]


def _published(kind: DocumentKind) -> QuerySet[LegalDocument]:
    return LegalDocument.objects.filter(kind=kind, published_at__isnull=False)


def owner_of(merchant: Merchant) -> User | None:
    """The first owner who may sign in; None before the first entry."""
    member = (
        Member.objects.of(merchant)
        .filter(role=Role.OWNER, user__is_active=True, user__is_staff=False)
        .select_related("user")
        .order_by("pk")
        .first()
    )
    return member.user if member else None


def team_of(merchant: Merchant) -> list[Member]:
    """Members with their people: owners first, then by name."""
    order = [role.value for role in Role]
    members = Member.objects.of(merchant).select_related("user")
    return sorted(
        members, key=lambda row: (order.index(row.role), wording.sort_key(row.user.shown_name))
    )


def consents_of(user: User) -> list[Consent]:
    """Everything the person agreed to, the latest first."""
    return list(
        Consent.objects.filter(user=user).select_related("document").order_by("-given_at", "-pk")
    )


def audit_of(merchant: Merchant, *, limit: int) -> list[AuditEvent]:
    """The latest lines of the journal about a merchant."""
    return list(AuditEvent.objects.filter(merchant_id=merchant.pk).order_by("-at", "-pk")[:limit])


def merchants_found(text: str) -> QuerySet[Merchant]:
    """Merchants by part of a name, or by a whole phone, ИНН, ОГРН, userId; by the first digits of an ICCID."""
    words = text.strip()
    found = Q(name__icontains=words) | Q(evotor_user_id=words)
    digits = re.sub(r"\D", "", words)
    if len(digits) >= _FEWEST_DIGITS:
        found |= _by_digits(digits, phones.e164(words) or digits)
    return Merchant.objects.filter(found)


# Fewer would match half of the cards.
_FEWEST_DIGITS = 6


def _by_digits(digits: str, phone: str) -> Q:
    members = Member.objects.filter(user__phone=phone).values("merchant_id")
    # By the name of the relation: the cards belong to an app above this one.
    by_card = Merchant.objects.filter(
        Q(cards__iccid__startswith=digits) | Q(cards__msisdn=phone)
    ).values("pk")
    return Q(inn=digits) | Q(ogrn=digits) | Q(phone=phone) | Q(pk__in=members) | Q(pk__in=by_card)
