"""Legal texts: a publication is final, the next text is a new version."""

from datetime import datetime

from django.db import transaction
from django.db.models import Max

from cabinet import audit
from cabinet.actors import Actor
from cabinet.enums import DocumentKind
from cabinet.errors import Refused
from cabinet.models import LegalDocument
from cabinet.tasks import advisory_lock


@transaction.atomic
def draft_document(*, kind: DocumentKind, text: str, by: Actor, at: datetime) -> LegalDocument:
    """Create the next version, unpublished."""
    advisory_lock.acquire(f"document:{kind}")
    last = LegalDocument.objects.filter(kind=kind).aggregate(last=Max("version"))["last"] or 0
    document = LegalDocument.objects.create(kind=kind, version=last + 1, text=text)
    audit.record(document, "document.drafted", f"Черновик: {document}", by=by, at=at)
    return document


@transaction.atomic
def publish_document(*, document: LegalDocument, by: Actor, at: datetime) -> None:
    """Make this the version in force.

    Raises Refused where it or a newer version is published already.
    """
    document = LegalDocument.objects.select_for_update().get(pk=document.pk)
    if document.published_at is not None:
        raise Refused("Эта редакция уже опубликована. Новый текст публикуют новой редакцией.")
    if LegalDocument.objects.filter(
        kind=document.kind, version__gt=document.version, published_at__isnull=False
    ).exists():
        raise Refused("Уже опубликована более новая редакция.")
    document.published_at = at
    document.save(update_fields=["published_at"])
    audit.record(document, "document.published", f"Опубликован документ: {document}", by=by, at=at)
