"""The person's own page."""

import pytest
from django.test import Client

from cabinet.enums import DocumentKind
from cabinet.models import Alert, AuditEvent, Consent, User
from cabinet.tests.people import AT, make_document, make_member, make_staff, make_user, signed_in

pytestmark = pytest.mark.django_db


def make_consent(user: User, kind: DocumentKind = DocumentKind.CONSENT) -> Consent:
    return Consent.objects.create(user=user, document=make_document(kind), given_at=AT)


def who(client: Client) -> str | None:
    return client.session.get("_auth_user_id")


def test_person_changes_name_and_email(client):
    member = make_member()
    signed_in(client, member)

    client.post("/profile/", {"do": "save", "name": "Анна", "email": "anna@example.com"})

    user = User.objects.get(pk=member.user_id)
    assert user.name == "Анна"
    assert user.email == "anna@example.com"
    assert user.phone == member.user.phone
    assert list(AuditEvent.objects.values_list("action", "actor_id")) == [
        ("profile.changed", user.pk)
    ]


def test_phone_cannot_be_changed_here(client):
    member = make_member()
    signed_in(client, member)

    client.post("/profile/", {"do": "save", "name": "Анна", "phone": "79120000009"})

    assert User.objects.get(pk=member.user_id).phone == member.user.phone


def test_withdrawn_consent_alerts_staff(client):
    member = make_member()
    consent = make_consent(member.user)
    signed_in(client, member)

    client.post("/profile/", {"do": "withdraw", "consent": consent.pk, "confirm": "1"})

    consent.refresh_from_db()
    assert consent.withdrawn_at is not None
    assert list(Alert.objects.values_list("key", flat=True)) == [f"consent:{consent.pk}"]
    assert AuditEvent.objects.filter(action="consent.withdrawn").count() == 1


def test_withdrawal_is_asked_about_first(client):
    member = make_member()
    consent = make_consent(member.user)
    signed_in(client, member)

    page = client.post("/profile/", {"do": "withdraw", "consent": consent.pk}).content.decode()

    consent.refresh_from_db()
    assert "Без согласия мы не можем хранить телефон" in page
    assert '<input type="hidden" name="confirm" value="1">' in page
    assert '<a class="button button-secondary" href="/profile/">Назад</a>' in page
    assert consent.withdrawn_at is None
    assert Alert.objects.count() == 0


def test_withdrawn_consent_is_given_again_and_the_matter_is_closed(client):
    member = make_member()
    consent = make_consent(member.user)
    signed_in(client, member)
    client.post("/profile/", {"do": "withdraw", "consent": consent.pk, "confirm": "1"})
    offered = "Дать согласие снова" in client.get("/profile/").content.decode()

    client.post("/profile/", {"do": "give", "document": consent.document_id})

    consent.refresh_from_db()
    after = "Дать согласие снова" in client.get("/profile/").content.decode()
    assert offered is True
    assert after is False
    assert consent.withdrawn_at is None
    assert consent.given_at != AT
    assert Alert.objects.filter(closed_at=None).count() == 0
    assert AuditEvent.objects.filter(action="consent.given").count() == 1


def test_consent_is_given_again_to_the_edition_in_force_only(client):
    member = make_member()
    consent = make_consent(member.user)
    signed_in(client, member)
    client.post("/profile/", {"do": "withdraw", "consent": consent.pk, "confirm": "1"})
    newest = make_document(DocumentKind.CONSENT, version=2)

    client.post("/profile/", {"do": "give", "document": consent.document_id})
    by_old = Consent.objects.filter(user=member.user, withdrawn_at=None).count()
    client.post("/profile/", {"do": "give", "document": newest.pk})

    standing = Consent.objects.filter(user=member.user, withdrawn_at=None)
    assert by_old == 0
    assert list(standing.values_list("document", flat=True)) == [newest.pk]


def test_consent_that_stands_is_not_given_anew(client):
    member = make_member()
    consent = make_consent(member.user)
    signed_in(client, member)

    client.post("/profile/", {"do": "give", "document": consent.document_id})

    consent.refresh_from_db()
    assert consent.given_at == AT
    assert AuditEvent.objects.count() == 0


def test_consent_is_withdrawn_once(client):
    member = make_member()
    consent = make_consent(member.user)
    signed_in(client, member)
    client.post("/profile/", {"do": "withdraw", "consent": consent.pk, "confirm": "1"})

    again = client.post(
        "/profile/", {"do": "withdraw", "consent": consent.pk, "confirm": "1"}, follow=True
    )

    assert "Это согласие уже отозвано." in again.content.decode()
    assert AuditEvent.objects.filter(action="consent.withdrawn").count() == 1


def test_offer_is_not_withdrawn(client):
    member = make_member()
    accepted = make_consent(member.user, DocumentKind.OFFER)
    signed_in(client, member)

    client.post("/profile/", {"do": "withdraw", "consent": accepted.pk, "confirm": "1"})

    accepted.refresh_from_db()
    assert accepted.withdrawn_at is None


@pytest.mark.parametrize("number", ["", "x", "99999999999999999999999", "999999"])
def test_consent_that_never_was_is_404(client, number):
    signed_in(client, make_member())

    assert client.post("/profile/", {"do": "withdraw", "consent": number}).status_code == 404


def test_consent_of_another_person_is_404(client):
    consent = make_consent(make_user())
    signed_in(client, make_member())

    answer = client.post("/profile/", {"do": "withdraw", "consent": consent.pk, "confirm": "1"})

    consent.refresh_from_db()
    assert answer.status_code == 404
    assert consent.withdrawn_at is None


def test_ending_all_sessions_ends_them_everywhere():
    member, colleague = make_member(), make_member()
    here, elsewhere, other = Client(), Client(), Client()
    for client in (here, elsewhere):
        signed_in(client, member)
    signed_in(other, colleague)

    here.post("/profile/", {"do": "end_sessions"})

    statuses = [client.get("/profile/").status_code for client in (here, elsewhere, other)]
    assert statuses == [302, 302, 200]
    assert AuditEvent.objects.filter(action="sessions.ended").count() == 1


def test_password_of_staff_is_not_lost_by_ending_sessions(client):
    staff = make_staff(password="long-enough-words")
    client.force_login(staff)

    client.post("/profile/", {"do": "end_sessions"})

    assert User.objects.get(pk=staff.pk).check_password("long-enough-words")
    assert who(client) == str(staff.pk)


def test_page_shows_consents_and_companies(client):
    member = make_member()
    make_consent(member.user)
    make_consent(member.user, DocumentKind.OFFER)
    signed_in(client, member)

    page = client.get("/profile/").content.decode()

    assert page.count("Отозвать согласие") == 1
    assert member.merchant.name in page
    assert "Принято" in page
