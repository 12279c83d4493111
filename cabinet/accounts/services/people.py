"""People: sign-in, registration of an owner, profile, consents."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from cabinet import audit
from cabinet.accounts import queries
from cabinet.accounts.services import email_confirmation, login_codes, owner_news
from cabinet.actors import Actor
from cabinet.enums import ActorKind, DocumentKind, MessageEvent, Role
from cabinet.errors import Refused
from cabinet.formatting import ru_format
from cabinet.messaging import alerts, outbox
from cabinet.models import Consent, LegalDocument, Member, Merchant, Message, User, UserSession

# News of new browsers for one owner, within an hour: whoever holds the market's token could send them for ever.
MAX_NEWS, NEWS_WINDOW = 5, timedelta(hours=1)


class SignInRefused(Refused):
    """This person cannot sign in this way."""


def user_by_phone(phone: str) -> User | None:
    """Who may sign in with this phone. Staff sign in by password at their own page and nowhere else."""
    return User.objects.filter(phone=phone, is_active=True, is_staff=False).first()


def send_sign_in_code(
    *,
    phone: str,
    address: str | None,
    browser: str,
    knows: Callable[[User], bool],
    at: datetime,
) -> None:
    """Send a code to a known phone, and a text without a code to an unknown one.

    Both take the same time and give the same answer. `browser` is its secret, `knows` says whether somebody
    has signed in with it. Raises login_codes.TooManyCodes, ForeignNumber, notifications.NotSent.
    """
    user = user_by_phone(phone)
    login_codes.send_code(
        phone=phone,
        address=address,
        sms=login_codes.SIGN_IN if user else login_codes.NO_CABINET,
        browser=browser,
        is_known=user is not None and knows(user),
        at=at,
    )


def sign_in_by_code(*, pk: int, code: str, at: datetime) -> User:
    """The person whose code it is. Raises login_codes.CodeRefused."""
    phone = login_codes.use_code(pk=pk, code=code, at=at)
    user = user_by_phone(phone)
    if user is None:  # deactivated between the two steps
        raise login_codes.CodeExpired("Этот код больше не действует. Запросите новый.")
    return user


@transaction.atomic
def tell_new_device(*, user: User, at: datetime, from_market: bool = False) -> None:
    """Tell an owner that somebody has come in as them with a browser that they had not used before.

    `from_market`: from the market's cabinet and without a code. After `MAX_NEWS` within an hour staff are told instead.
    """
    if not Member.objects.filter(user=user, role=Role.OWNER).exists():
        return
    if _is_over_news_limit(user, at):
        text = "Владельцу за час сообщили о пяти входах с новых устройств, а входы продолжаются"
        link = f"/admin/cabinet/user/{user.pk}/change/"
        alerts.raise_alert(key=f"new_devices:{user.pk}", text=text, at=at, link=link)
        return
    moment = ru_format.moment_full(at, timezone.get_default_timezone())
    way = "из кабинета Эвотор " if from_market else ""
    outbox.queue_message(
        event=MessageEvent.NEW_DEVICE,
        user=user,
        subject="Вход с нового устройства",
        text=f"В «Кассовые сервисы» вошли {way}с нового устройства: {moment} (МСК). Не вы? Завершите все сеансы "
        f"в профиле и позвоните нам: {settings.SUPPORT_PHONE}.",
        at=at,
    )


def _is_over_news_limit(user: User, at: datetime) -> bool:
    # One after another: entries at once are counted, too.
    User.objects.select_for_update().get(pk=user.pk)
    news = Message.objects.filter(
        user=user,
        event=MessageEvent.NEW_DEVICE,
        created_at__gt=at - NEWS_WINDOW,
        created_at__lte=at,
    )
    return news.values("created_at").distinct().count() >= MAX_NEWS


def check_can_be_owner(phone: str) -> None:
    """Raises SignInRefused where the phone belongs to staff or to a closed account."""
    if User.objects.filter(phone=phone).exclude(is_active=True, is_staff=False).exists():
        raise SignInRefused("Этот номер указать нельзя. Возьмите другой или позвоните в поддержку.")


def check_has_no_owner(merchant: Merchant) -> None:
    """Raises SignInRefused where the company has an owner, also one who may not sign in."""
    if queries.owner_of(merchant):
        raise SignInRefused(
            "У этой компании уже есть владелец. Откройте «Кассовые сервисы» в кабинете Эвотор ещё раз."
        )
    if Member.objects.of(merchant).filter(role=Role.OWNER).exists():
        raise SignInRefused("Вход владельца этой компании закрыт. Позвоните в поддержку.")


@transaction.atomic
def register_owner(
    *,
    merchant: Merchant,
    phone: str,
    email: str,
    name: str,
    documents: Sequence[LegalDocument],
    at: datetime,
) -> User:
    """Make the first owner of a company, with the consents given. `phone` is E.164 without plus, confirmed already.

    Raises SignInRefused where the company has an owner already, or the phone belongs to staff.
    """
    Merchant.objects.select_for_update().get(pk=merchant.pk)
    check_can_be_owner(phone)
    check_has_no_owner(merchant)
    user = User.objects.for_phone(phone)
    old_email = user.email
    user.email, user.name = email or user.email, name or user.name
    user.save(update_fields=["email", "name"])
    if old_email:
        owner_news.tell_of_new_contacts(user=user, old_phone=phone, old_email=old_email, at=at)
    email_confirmation.send_link(user=user, at=at)
    Member.objects.update_or_create(
        merchant=merchant,
        user=user,
        defaults={"role": Role.OWNER},
        create_defaults={"role": Role.OWNER, "created_at": at},
    )
    by = Actor(ActorKind.PERSON, user.shown_name, user.pk, Role.OWNER)
    for document in documents:
        _store_consent(user, document, at)
    audit.record(
        user,
        "owner.entered",
        "Первый вход владельца из кабинета Эвотор",
        by=by,
        at=at,
        merchant_id=merchant.pk,
    )
    return user


def _store_consent(user: User, document: LegalDocument, at: datetime) -> Consent:
    consent, _ = Consent.objects.update_or_create(
        user=user, document=document, defaults={"given_at": at, "withdrawn_at": None}
    )
    return consent


def record_entry(*, merchant: Merchant, owner: User, at: datetime) -> None:
    """Audit event of an entry from the market's cabinet, which knows the account and not the person."""
    by = Actor(ActorKind.MARKET, "вход из кабинета Эвотор", owner.pk, Role.OWNER)
    audit.record(
        owner,
        "owner.entered",
        "Вход владельца из кабинета Эвотор",
        by=by,
        at=at,
        merchant_id=merchant.pk,
    )


@transaction.atomic
def update_profile(*, user: User, name: str, email: str, by: Actor, at: datetime) -> None:
    """Name and e-mail of the person, who is told of a new e-mail and gets a link there to confirm it.

    The phone changes only through support.
    """
    old_email = user.email
    user.name, user.email = name, email
    user.save(update_fields=["name", "email"])
    audit.record(user, "profile.changed", "Изменён профиль", by=by, at=at)
    owner_news.tell_of_new_contacts(
        user=user, old_phone=user.phone or "", old_email=old_email, at=at
    )
    if email != old_email:
        email_confirmation.send_link(user=user, at=at)


@transaction.atomic
def give_consent(*, user: User, document: LegalDocument, by: Actor, at: datetime) -> Consent:
    """Store a consent given again after a withdrawal; closes the alert for staff."""
    consent = _store_consent(user, document, at)
    audit.record(consent, "consent.given", "Снова дано согласие на обработку данных", by=by, at=at)
    keys = [f"consent:{one.pk}" for one in Consent.objects.filter(user=user)]
    alerts.close_alerts(keys=keys, by=by, at=at)
    return consent


@transaction.atomic
def withdraw_consent(*, consent: Consent, by: Actor, at: datetime) -> None:
    """Store the withdrawal and alert staff. Raises Refused for other documents and a second time."""
    consent = Consent.objects.select_for_update().select_related("document").get(pk=consent.pk)
    if consent.document.kind != DocumentKind.CONSENT:
        raise Refused("Принятие оферты не отзывают: договор прекращается вместе с подпиской.")
    if consent.withdrawn_at is not None:
        raise Refused("Это согласие уже отозвано.")
    consent.withdrawn_at = at
    consent.save(update_fields=["withdrawn_at"])
    audit.record(
        consent, "consent.withdrawn", "Отозвано согласие на обработку данных", by=by, at=at
    )
    alerts.raise_alert(
        key=f"consent:{consent.pk}",
        text="Человек отозвал согласие на обработку персональных данных",
        at=at,
        link=f"/admin/cabinet/user/{consent.user_id}/change/",
    )


@transaction.atomic
def end_sessions(*, user: User, by: Actor, at: datetime) -> None:
    """Invalidate every session of this person, the current one too. Raises Refused with a usable password.

    The market's cabinet enters an owner's companies from now on only after a code, in each session anew.
    Django ties a session to the stored password; an unusable password is a new random mark.
    """
    if user.has_usable_password():
        raise Refused("У вашей учётной записи есть пароль: смените его, и все сеансы завершатся.")
    owned = Member.objects.filter(user=user, role=Role.OWNER).values("merchant_id")
    Merchant.objects.filter(pk__in=owned).update(entry_code_since=at)
    user.set_unusable_password()
    user.save(update_fields=["password"])
    UserSession.objects.filter(user=user).end()
    audit.record(user, "sessions.ended", "Завершены все сеансы", by=by, at=at)
