"""Legal texts: what is in force, earlier editions, publication."""

from datetime import timedelta

import pytest

from cabinet.accounts.services.legal_documents import draft_document, publish_document
from cabinet.actors import SYSTEM
from cabinet.enums import DocumentKind, Role
from cabinet.errors import Refused
from cabinet.models import AuditEvent, LegalDocument
from cabinet.tests.people import AT, make_document, make_member, signed_in

pytestmark = pytest.mark.django_db

OFFER = DocumentKind.OFFER


def text_of(client, url):
    return client.get(url).content.decode()


def shown(page: str, *texts: str) -> list[str]:
    """Those of the texts that the page has."""
    return [text for text in texts if text in page]


def test_newest_published_edition_is_shown(client):
    make_document(OFFER, 1, text="Первая")
    make_document(OFFER, 2, text="Вторая")
    make_document(OFFER, 3, text="Черновик", published_at=None)

    page = text_of(client, "/legal/offer/")

    assert shown(page, "Первая", "Вторая", "Черновик") == ["Вторая"]


def test_earlier_edition_is_marked_as_such(client):
    make_document(OFFER, 1, text="Первая")
    make_document(OFFER, 2, text="Вторая")

    page = text_of(client, "/legal/offer/?edition=1")

    assert shown(page, "Первая", "Вторая", "Это прежняя редакция.") == [
        "Первая",
        "Это прежняя редакция.",
    ]


@pytest.mark.parametrize("kind", DocumentKind.values)
def test_page_without_a_published_text_has_a_notice(client, kind):
    answer = client.get(f"/legal/{kind}/")

    assert answer.status_code == 200
    assert "Документ ещё не опубликован" in answer.content.decode()


@pytest.mark.parametrize(
    "url", ["/legal/other/", "/legal/offer/?edition=2", "/legal/offer/?edition=x"]
)
def test_what_never_was_is_404(client, url):
    make_document(OFFER, 1)
    make_document(OFFER, 2, published_at=None)

    assert client.get(url).status_code == 404


def test_text_is_shown_as_text(client):
    make_document(OFFER, text="Раз <script>alert(1)</script>\n\nДва")

    page = text_of(client, "/legal/offer/")

    assert "<script>alert" not in page
    assert "<p>Раз &lt;script&gt;alert(1)&lt;/script&gt;</p>\n\n<p>Два</p>" in page


def test_legal_page_refuses_frames(client):
    answer = client.get("/legal/offer/")

    assert answer["X-Frame-Options"] == "DENY"


def test_merchant_sees_what_is_in_force(client):
    make_document(OFFER, 1)
    make_document(OFFER, 2)
    make_document(DocumentKind.PRIVACY, 1)
    signed_in(client, make_member(Role.CASHIER))

    answer = client.get("/documents/")

    shown = [(row.kind, row.version) for row in answer.context["documents"]]
    assert shown == [("offer", 2), ("privacy", 1)]


def test_drafts_are_numbered_and_published_once():
    first = draft_document(kind=OFFER, text="Первая", by=SYSTEM, at=AT)
    second = draft_document(kind=OFFER, text="Вторая", by=SYSTEM, at=AT)

    publish_document(document=second, by=SYSTEM, at=AT)

    assert first.version == 1
    assert second.version == 2
    assert LegalDocument.objects.get(pk=second.pk).published_at == AT
    with pytest.raises(Refused, match="уже опубликована"):
        publish_document(document=second, by=SYSTEM, at=AT + timedelta(days=1))
    with pytest.raises(Refused, match="более новая"):
        publish_document(document=first, by=SYSTEM, at=AT)
    assert AuditEvent.objects.filter(action="document.published").count() == 1
