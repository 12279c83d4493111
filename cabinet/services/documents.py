"""Legal texts: a publication is final, the next text is a new version."""

from datetime import datetime

from django.db import transaction
from django.db.models import Max

from cabinet import audit, locks
from cabinet.actors import Actor
from cabinet.errors import Refused
from cabinet.models import LegalDocument
from cabinet.states import DocumentKind


@transaction.atomic
def draft_document(*, kind: DocumentKind, text: str, by: Actor, at: datetime) -> LegalDocument:
    """A new version that nobody sees yet."""
    locks.hold(f"document:{kind}")
    last = LegalDocument.objects.filter(kind=kind).aggregate(last=Max("version"))["last"] or 0
    document = LegalDocument.objects.create(kind=kind, version=last + 1, text=text)
    audit.record(
        target=document,
        action="document.drafted",
        text=f"Черновик: {document}",
        by=by,
        at=at,
        merchant_id=None,
    )
    return document


@transaction.atomic
def publish_document(*, document: LegalDocument, by: Actor, at: datetime) -> None:
    """From now on this is the text that people read and agree to. Raises Refused where it is published."""
    document = LegalDocument.objects.select_for_update().get(pk=document.pk)
    if document.published_at is not None:
        raise Refused("Эта редакция уже опубликована. Новый текст публикуют новой редакцией.")
    if LegalDocument.objects.filter(
        kind=document.kind, version__gt=document.version, published_at__isnull=False
    ).exists():
        raise Refused("Уже опубликована более новая редакция.")
    document.published_at = at
    document.save(update_fields=["published_at"])
    audit.record(
        target=document,
        action="document.published",
        text=f"Опубликован документ: {document}",
        by=by,
        at=at,
        merchant_id=None,
    )
