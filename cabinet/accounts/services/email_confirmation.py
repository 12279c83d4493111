"""A person's e-mail gets messages once its owner has pressed the button behind the link that was sent to it."""

from datetime import datetime, timedelta

from django.db import transaction

from cabinet import audit
from cabinet.actors import Actor
from cabinet.enums import ActorKind, MessageEvent
from cabinet.messaging import links, outbox
from cabinet.models import Message, User

# To one person: an address that somebody typed by mistake must not be flooded.
MOST_LINKS, LINKS_WINDOW = 5, timedelta(days=1)
_TEXT = (
    "Этот адрес указан в кабинете «Кассовые сервисы». Чтобы получать на него сообщения об оплате и смарт-картах, "
    "откройте ссылку и нажмите кнопку. Ссылка действует 3 дня. Если вы ничего не указывали, просто удалите письмо."
)


@transaction.atomic
def send_link(*, user: User, at: datetime) -> bool:
    """Send a link to the person's e-mail; False where it has none, is confirmed, or had `MOST_LINKS` in a day."""
    user = User.objects.select_for_update().get(pk=user.pk)
    lately = Message.objects.filter(
        user=user,
        event=MessageEvent.EMAIL_CONFIRM,
        created_at__gt=at - LINKS_WINDOW,
        created_at__lte=at,
    )
    if not user.email or user.mailbox or lately.count() >= MOST_LINKS:
        return False
    outbox.queue_email(
        event=MessageEvent.EMAIL_CONFIRM,
        user=user,
        subject="Подтвердите эл. почту",
        text=_TEXT,
        at=at,
    )
    return True


@transaction.atomic
def confirm(*, key: str, at: datetime) -> bool:
    """Messages go to this address from now on; False where the key is wrong, old, or of an earlier address."""
    user = links.user_to_confirm(key)
    if user is None:
        return False
    user = User.objects.select_for_update().get(pk=user.pk)
    if links.user_to_confirm(key) is None or user.mailbox:
        return bool(user.mailbox)
    user.confirmed_email = user.email
    user.save(update_fields=["confirmed_email"])
    by = Actor(ActorKind.PERSON, user.shown_name, user.pk)
    audit.record(user, "email.confirmed", "Подтверждена эл. почта", by=by, at=at)
    return True
