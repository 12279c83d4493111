"""Legal texts for everybody, and the merchant's page of documents."""

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from cabinet.accounts import queries
from cabinet.accounts.access import MerchantRequest, merchant_page
from cabinet.enums import DocumentKind, Right
from cabinet.models import LegalDocument


@login_not_required
@require_safe
def document(request: HttpRequest, kind: str) -> HttpResponseBase:
    """The edition in force, or the one that `?edition=` names."""
    if kind not in DocumentKind.values:
        raise Http404
    named = DocumentKind(kind)
    found = _edition(named, request.GET.get("edition", ""))
    context = {
        "title": named.label,
        "document": found,
        "newest": queries.newest_document(named),
        "earlier": list(queries.earlier_editions(found)) if found else [],
    }
    return render(request, "cabinet/legal.html", context)


def _edition(kind: DocumentKind, edition: str) -> LegalDocument | None:
    if not edition:
        return queries.newest_document(kind)
    number = int(edition) if edition.isascii() and edition.isdigit() and len(edition) < 9 else 0
    found = queries.document_edition(kind, number)
    if found is None:
        raise Http404
    return found


@require_safe
@merchant_page(Right.SEE_CARDS)
def documents(request: MerchantRequest) -> HttpResponseBase:
    """The legal documents in force, and where the market's bills are."""
    return render(request, "cabinet/documents.html", {"documents": queries.documents_in_force()})
