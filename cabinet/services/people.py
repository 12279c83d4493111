"""People: who may sign in, the first entry of an owner, the profile, consents."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from cabinet import alerts, audit
from cabinet.actors import Actor
from cabinet.errors import Refused
from cabinet.models import Consent, LegalDocument, Member, Merchant, User
from cabinet.services import codes
from cabinet.states import ActorKind, DocumentKind, Role


class NotAWayIn(Refused):
    """This person cannot come in this way."""


@dataclass(frozen=True)
class Newcomer:
    """What the owner said at the first entry. `phone` is E.164 without plus and is confirmed by a code."""

    phone: str
    email: str
    name: str


def person_by_phone(phone: str) -> User | None:
    """Who may sign in with this phone. Staff sign in by password at their own page and nowhere else."""
    return User.objects.filter(phone=phone, is_active=True, is_staff=False).first()


def send_sign_in_code(*, phone: str, address: str | None, at: datetime) -> int:
    """Send a code to somebody who has a cabinet, and a word about it to somebody who has none.

    Both take the same time and give the same answer. Raises codes.TooManyCodes, messengers.NotSent.
    """
    sms = codes.SIGN_IN if person_by_phone(phone) else codes.NO_CABINET
    return codes.send_code(phone=phone, address=address, sms=sms, at=at)


def sign_in_by_code(*, pk: int, code: str, at: datetime) -> User:
    """The person whose code it is. Raises codes.CodeRefused."""
    phone = codes.use_code(pk=pk, code=code, at=at)
    user = person_by_phone(phone)
    if user is None:  # closed between the two steps
        raise codes.CodeIsOver("Этот код больше не действует. Запросите новый.")
    return user


def check_may_own(phone: str) -> None:
    """Raises NotAWayIn where the phone belongs to staff or to a closed account."""
    if User.objects.filter(phone=phone).exclude(is_active=True, is_staff=False).exists():
        raise NotAWayIn("Этот номер указать нельзя. Возьмите другой или позвоните в поддержку.")


@transaction.atomic
def enter_first_time(
    *,
    merchant: Merchant,
    newcomer: Newcomer,
    documents: Sequence[LegalDocument],
    at: datetime,
) -> User:
    """The owner of a company that has none yet, with the consents given. The phone is proven.

    Raises NotAWayIn where an owner has come meanwhile, or the phone belongs to staff.
    """
    Merchant.objects.select_for_update().get(pk=merchant.pk)
    check_may_own(newcomer.phone)
    if Member.objects.of(merchant).filter(role=Role.OWNER).exists():
        raise NotAWayIn(
            "У этой компании уже есть владелец. Откройте «Кассовые сервисы» в кабинете Эвотор ещё раз."
        )
    user = _introduced(newcomer)
    Member.objects.update_or_create(
        merchant=merchant, user=user, defaults={"role": Role.OWNER}, create_defaults=_as_owner(at)
    )
    by = Actor(ActorKind.PERSON, user.shown_name, user.pk, Role.OWNER)
    _keep_consents(user, documents, at)
    audit.record(
        target=user,
        action="owner.entered",
        text="Первый вход владельца из кабинета Эвотор",
        by=by,
        at=at,
        merchant_id=merchant.pk,
    )
    return user


def _as_owner(at: datetime) -> dict[str, object]:
    return {"role": Role.OWNER, "created_at": at}


def _introduced(newcomer: Newcomer) -> User:
    user = User.objects.for_phone(newcomer.phone)
    user.email = newcomer.email or user.email
    user.name = newcomer.name or user.name
    user.save(update_fields=["email", "name"])
    return user


def _keep_consents(user: User, documents: Sequence[LegalDocument], at: datetime) -> None:
    for document in documents:
        Consent.objects.update_or_create(
            user=user, document=document, defaults={"given_at": at, "withdrawn_at": None}
        )


def note_entry(*, merchant: Merchant, owner: User, at: datetime) -> None:
    """The journal's line about an entry from the market's cabinet: it names the account, not the person."""
    by = Actor(ActorKind.MARKET, "вход из кабинета Эвотор", owner.pk, Role.OWNER)
    audit.record(
        target=owner,
        action="owner.entered",
        text="Вход владельца из кабинета Эвотор",
        by=by,
        at=at,
        merchant_id=merchant.pk,
    )


@transaction.atomic
def update_profile(*, user: User, name: str, email: str, by: Actor, at: datetime) -> None:
    """Name and e-mail of the person; the phone changes only through support."""
    user.name, user.email = name, email
    user.save(update_fields=["name", "email"])
    audit.record(
        target=user,
        action="profile.changed",
        text="Изменён профиль",
        by=by,
        at=at,
        merchant_id=None,
    )


@transaction.atomic
def give_consent(*, user: User, document: LegalDocument, by: Actor, at: datetime) -> Consent:
    """The person agrees again after having taken the consent back; the matter for staff is closed."""
    consent, _ = Consent.objects.update_or_create(
        user=user, document=document, defaults={"given_at": at, "withdrawn_at": None}
    )
    audit.record(
        target=consent,
        action="consent.given",
        text="Снова дано согласие на обработку данных",
        by=by,
        at=at,
        merchant_id=None,
    )
    keys = [f"consent:{one.pk}" for one in Consent.objects.filter(user=user)]
    alerts.close_alerts(keys=keys, by=by, at=at)
    return consent


@transaction.atomic
def withdraw_consent(*, consent: Consent, by: Actor, at: datetime) -> None:
    """The person takes the consent back; staff are told to act on it. Raises Refused for other documents."""
    consent = Consent.objects.select_for_update().select_related("document").get(pk=consent.pk)
    if consent.document.kind != DocumentKind.CONSENT:
        raise Refused("Принятие оферты не отзывают: договор прекращается вместе с подпиской.")
    if consent.withdrawn_at is not None:
        raise Refused("Это согласие уже отозвано.")
    consent.withdrawn_at = at
    consent.save(update_fields=["withdrawn_at"])
    audit.record(
        target=consent,
        action="consent.withdrawn",
        text="Отозвано согласие на обработку данных",
        by=by,
        at=at,
        merchant_id=None,
    )
    alerts.raise_alert(
        key=f"consent:{consent.pk}",
        text="Человек отозвал согласие на обработку персональных данных",
        at=at,
        link=f"/admin/cabinet/user/{consent.user_id}/change/",
    )


@transaction.atomic
def end_sessions(*, user: User, by: Actor, at: datetime) -> None:
    """Every session of this person stops working, this one too. Raises Refused for one with a password.

    Django ties a session to the stored password; a person without one carries a random mark there.
    """
    if user.has_usable_password():
        raise Refused("У вашей учётной записи есть пароль: смените его, и все сеансы завершатся.")
    user.set_unusable_password()
    user.save(update_fields=["password"])
    audit.record(
        target=user,
        action="sessions.ended",
        text="Завершены все сеансы",
        by=by,
        at=at,
        merchant_id=None,
    )
