"""Links in e-mails that work without signing in: confirm an address, unsubscribe. Each only shows a button.

Their keys are signed and name nobody: an address of a page must hold no personal data. They are made when an
e-mail leaves and are stored nowhere.
"""

from datetime import timedelta

from django.conf import settings
from django.core import signing

from cabinet.crypto import fingerprint
from cabinet.enums import MessageChannel, MessageEvent
from cabinet.messaging.event_rules import EVENT_RULES
from cabinet.models import Member, Message, User

CONFIRM_WITHIN = timedelta(days=3)
UNSUBSCRIBE_WITHIN = timedelta(days=365)
_CONFIRM, _UNSUBSCRIBE = "messaging.confirm", "messaging.unsubscribe"


def confirmation_key(user: User) -> str:
    """Confirms this person's e-mail of now, for `CONFIRM_WITHIN` of real time."""
    return signing.dumps([user.pk, _mark(user.email)], salt=_CONFIRM)


def user_to_confirm(key: str) -> User | None:
    """Whose address the key confirms; None for a wrong or old key, or where the address has changed since."""
    try:
        pk, mark = signing.loads(key, salt=_CONFIRM, max_age=CONFIRM_WITHIN)
    except signing.BadSignature:
        return None
    user = User.objects.filter(pk=pk, is_active=True).first()
    return user if user is not None and user.email and _mark(user.email) == mark else None


def _mark(email: str) -> str:
    return fingerprint(f"confirm-email:{email}")[:16]


def unsubscribe_key(user_id: int, merchant_id: int, event: str) -> str:
    """Ends e-mails about one event of one company for one person."""
    return signing.dumps([user_id, merchant_id, event], salt=_UNSUBSCRIBE)


def subscription_of(key: str) -> tuple[Member, MessageEvent] | None:
    """Which member gets which event no more; None for a wrong key, or where they left the company."""
    try:
        user_id, merchant_id, event = signing.loads(
            key, salt=_UNSUBSCRIBE, max_age=UNSUBSCRIBE_WITHIN
        )
    except signing.BadSignature:
        return None
    rows = Member.objects.select_related("merchant", "user")
    member = rows.filter(user_id=user_id, merchant_id=merchant_id).first()
    return (member, MessageEvent(event)) if member else None


def text_to_send(message: Message) -> str:
    """The stored text, and for an e-mail what follows it: the link that it is about, how to end such e-mails."""
    if message.channel != MessageChannel.EMAIL or message.user is None:
        return message.text
    if message.event == MessageEvent.EMAIL_CONFIRM:
        link = f"{settings.PUBLIC_URL}/messages/confirm/?key={confirmation_key(message.user)}"
        return f"{message.text}\n\n{link}"
    return f"{message.text}{_footer(message, message.user)}"


def _footer(message: Message, user: User) -> str:
    if message.notice_id is None or message.merchant_id is None:
        return ""
    choice = f"\n\n—\nКакие сообщения получать: {settings.PUBLIC_URL}/messages/settings/"
    if message.event not in EVENT_RULES or not EVENT_RULES[MessageEvent(message.event)].optional:
        return choice
    key = unsubscribe_key(user.pk, message.merchant_id, message.event)
    link = f"{settings.PUBLIC_URL}/messages/unsubscribe/?key={key}"
    return f"{choice}\nНе присылать писем «{message.get_event_display()}»: {link}"
