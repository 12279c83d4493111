"""Reads about people and companies: legal documents, team, consents, audit log, messages, search of staff."""

import re
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from cabinet.accounts import rules
from cabinet.enums import DocumentKind, MessageChannel, MessageEvent, Right, Role
from cabinet.formatting import phone_numbers, ru_format
from cabinet.messaging.event_rules import EVENT_RULES, is_wanted
from cabinet.models import (
    AuditEvent,
    Consent,
    LegalDocument,
    Member,
    Merchant,
    Message,
    MessagePreference,
    User,
    UserSession,
)


def newest_document(kind: DocumentKind) -> LegalDocument | None:
    """The edition in force; None where nothing is published yet."""
    return _published(kind).order_by("-version").first()


def document_edition(kind: DocumentKind, version: int) -> LegalDocument | None:
    """One published edition, in force or not."""
    return _published(kind).filter(version=version).first()


def earlier_editions(document: LegalDocument) -> QuerySet[LegalDocument]:
    """What was in force before, the latest first, without the texts."""
    rows = _published(DocumentKind(document.kind)).filter(version__lt=document.version)
    return rows.defer("text").order_by("-version")


def documents_in_force() -> list[LegalDocument]:
    """One edition of every kind that has one, in the order of the kinds."""
    return [document for kind in DocumentKind if (document := newest_document(kind))]


def _published(kind: DocumentKind) -> QuerySet[LegalDocument]:
    return LegalDocument.objects.filter(kind=kind, published_at__isnull=False)


def owners_of(merchant: Merchant) -> list[User]:
    """The owners who may sign in, the first one first."""
    members = (
        Member.objects.of(merchant)
        .filter(role=Role.OWNER, user__is_active=True, user__is_staff=False)
        .select_related("user")
        .order_by("pk")
    )
    return [member.user for member in members]


def owner_of(merchant: Merchant) -> User | None:
    """The first owner who may sign in; None before the first entry."""
    return next(iter(owners_of(merchant)), None)


def team_of(merchant: Merchant) -> list[Member]:
    """Members with their people: owners first, then by name."""
    order = [role.value for role in Role]
    members = Member.objects.of(merchant).select_related("user")
    return sorted(
        members, key=lambda row: (order.index(row.role), ru_format.sort_key(row.shown_name))
    )


def consents_of(user: User) -> list[Consent]:
    """Everything the person agreed to, the latest first."""
    return list(
        Consent.objects.filter(user=user).select_related("document").order_by("-given_at", "-pk")
    )


def audit_of(merchant: Merchant, *, limit: int) -> list[AuditEvent]:
    """The latest audit events of a merchant, the latest first."""
    return list(AuditEvent.objects.filter(merchant_id=merchant.pk).order_by("-at", "-pk")[:limit])


def merchants_found(text: str) -> QuerySet[Merchant]:
    """Merchants by part of a name, or by a whole phone, ИНН, ОГРН, userId; by the first digits of an ICCID."""
    text = text.strip()
    found, digits = named_or_numbered(text), re.sub(r"\D", "", text)
    if len(digits) >= _MIN_DIGITS:
        # By the name of the relation: smartcards imports cabinet, not the other way.
        by_card = Merchant.objects.filter(
            Q(cards__iccid__startswith=digits) | Q(cards__msisdn=phone_numbers.e164(text) or digits)
        )
        found |= Q(pk__in=by_card.values("pk"))
    return Merchant.objects.filter(found)


# Fewer would match half of the cards.
_MIN_DIGITS = 6


def named_or_numbered(text: str) -> Q:
    """Merchants by part of a name, or by a whole userId, ИНН, ОГРН or phone of the company or its people."""
    found = Q(name__icontains=text) | Q(evotor_user_id__iexact=text)
    digits = re.sub(r"\D", "", text)
    if not digits:
        return found
    phone = phone_numbers.e164(text) or digits
    members = Member.objects.filter(user__phone=phone).values("merchant_id")
    return found | Q(inn=digits) | Q(ogrn=digits) | Q(phone=phone) | Q(pk__in=members)


def sessions_of(user: User) -> QuerySet[UserSession]:
    """Where this person is signed in, last used first."""
    return UserSession.objects.filter(user=user).order_by("-seen_at", "pk")


# --- messages -------------------------------------------------------------------------------------


def messages_for(member: Member) -> QuerySet[Message]:
    """What was sent in the company, the latest first: to everybody for who manages the team, else to oneself.

    With it what the person got about themselves, which is of no company.
    """
    rows, own = Message.objects.filter(merchant_id=member.merchant_id), Q(user=member.user_id)
    if not rules.may(Role(member.role), Right.MANAGE_TEAM):
        rows = rows.filter(own)
    return (rows | Message.objects.filter(own, merchant_id=None)).order_by("-created_at", "-pk")


def member_names(merchant: Merchant) -> dict[int, str]:
    """How the company names its people, by the person."""
    rows = Member.objects.of(merchant).select_related("user")
    return {row.user_id: row.shown_name for row in rows}


@dataclass(frozen=True)
class Tick:
    """Whether a member gets messages about an event by one channel; `name` is that of the form's field."""

    name: str
    channel: MessageChannel
    wanted: bool


@dataclass(frozen=True)
class MessageChoice:
    """One event of the page «Что присылать»."""

    title: str
    optional: bool
    ticks: tuple[Tick, ...]


def message_choices(member: Member) -> tuple[MessageChoice, ...]:
    """Every event that the member's role may get, in the order of the table; one query."""
    role = Role(member.role)
    chosen = {
        (MessageEvent(row.event), MessageChannel(row.channel)): row.wanted
        for row in MessagePreference.objects.filter(member=member)
    }
    return tuple(
        MessageChoice(
            title=str(event.label),
            optional=rule.optional,
            ticks=tuple(
                Tick(f"{event}.{one}", one, is_wanted(role, event, one, chosen))
                for one in MessageChannel
            ),
        )
        for event, rule in EVENT_RULES.items()
        if role in rule.roles
    )
