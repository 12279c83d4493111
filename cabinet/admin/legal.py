"""Legal texts and consents."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from cabinet import clock
from cabinet.accounts.services.legal_documents import draft_document, publish_document
from cabinet.admin.actor import actor_of, record_change
from cabinet.admin.readonly import ReadOnlyAdmin, presence
from cabinet.enums import DocumentKind
from cabinet.errors import Refused
from cabinet.models import Consent, LegalDocument


@admin.register(LegalDocument)
class LegalDocumentAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A draft may be edited; a published edition may not."""

    list_display = ("kind", "version", "published_at")
    list_filter = ("kind", ("published_at", presence("черновики", "опубликованные")))
    ordering = ("kind", "-version")
    fields = ("kind", "version", "text", "published_at")
    actions = ("publish",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """The kind is chosen once; version and publication are the services' doing."""
        return ("version", "published_at") if obj is None else ("kind", "version", "published_at")

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> LegalDocument | None:
        """Locked where a form is sent: a draft that is published meanwhile would be taken back by it."""
        found = super().get_object(request, object_id, from_field)
        if found is None or request.method != "POST":
            return found
        return LegalDocument.objects.select_for_update().filter(pk=found.pk).first()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Of drafts only."""
        draft = obj is None or obj.published_at is None
        return draft and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Of drafts only."""
        draft = obj is not None and obj.published_at is None
        return draft and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: LegalDocument, form: Any, change: bool) -> None:
        """A new text gets its version from the service."""
        if change:
            super().save_model(request, obj, form, change)
            record_change(request, obj, "document.drafted", f"Изменён черновик: {obj}")
            return
        made = draft_document(
            kind=DocumentKind(obj.kind),
            text=obj.text,
            by=actor_of(request),
            at=clock.now(),
        )
        # Django's admin goes on with the object it passed.
        obj.pk, obj.version = made.pk, made.version

    @admin.action(description="Опубликовать", permissions=["change"])
    def publish(self, request: HttpRequest, documents: QuerySet[LegalDocument]) -> None:
        """Publish the chosen drafts, older versions first; a refusal becomes a message."""
        for document in documents.order_by("kind", "version"):
            try:
                publish_document(document=document, by=actor_of(request), at=clock.now())
            except Refused as refusal:
                self.message_user(request, f"{document}: {refusal.sentence}", messages.ERROR)
            else:
                self.message_user(request, f"Опубликовано: {document}.")


@admin.register(Consent)
class ConsentAdmin(ReadOnlyAdmin):
    """Who gave which consent, and withdrew it."""

    list_display = ("user", "document", "given_at", "withdrawn_at")
    list_filter = ("document__kind", ("withdrawn_at", presence("действуют", "отозваны")))
    list_select_related = ("user", "document")
    search_fields = ("user__name", "user__phone")
    ordering = ("-given_at",)
