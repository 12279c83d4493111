"""What owners are told of by SMS and e-mail: who else is an owner now, that a phone or an e-mail was changed.

Called inside the transaction of the change; the messages leave after it.
"""

from datetime import datetime

from cabinet.accounts import queries
from cabinet.enums import MessageEvent
from cabinet.messaging.outbox import queue_message
from cabinet.models import Member, User

_NOT_YOU = "Если это не вы, сразу позвоните в поддержку."


def tell_of_new_owner(*, member: Member, at: datetime) -> None:
    """Tell every owner of the company, the new one apart. `member` is named as the company names them."""
    merchant = member.merchant
    text = (
        f"В «{merchant.shown_name}» новый владелец: {member.shown_name}. Кабинет «Кассовые сервисы». "
        f"{_NOT_YOU}"
    )
    for user in queries.owners_of(merchant):
        if user != member.user:
            queue_message(
                event=MessageEvent.NEW_OWNER,
                user=user,
                subject="Новый владелец компании",
                text=text,
                at=at,
                merchant=merchant,
            )


def tell_of_new_contacts(*, user: User, old_phone: str, old_email: str, at: datetime) -> None:
    """Tell the person, at the old phone and the old e-mail if it was confirmed, what of the two was changed.

    Nothing if neither was.
    """
    phone, email = (user.phone or "") != old_phone, user.email != old_email
    if not phone and not email:
        return
    changed = [name for name, yes in (("телефон", phone), ("электронная почта", email)) if yes]
    queue_message(
        event=MessageEvent.PHONE_CHANGED if phone else MessageEvent.EMAIL_CHANGED,
        user=user,
        subject="Изменены данные для входа и связи",
        text=f"В кабинете «Кассовые сервисы» изменены: {' и '.join(changed)}. {_NOT_YOU}",
        at=at,
        phone=old_phone,
        email=old_email if old_email == user.confirmed_email else "",
    )
