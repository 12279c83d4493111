"""Enumerations: roles, rights, kinds of actors, of legal documents and of messages."""

from enum import StrEnum

from django.db import models

# A user id of the market: hexadecimal in part since 2026. Compared without letter case.
EVOTOR_USER_ID = r"^[0-9A-Fa-f]{2}-[0-9A-Fa-f]{15}$"


class Role(models.TextChoices):
    """What a person is within one merchant."""

    OWNER = "owner", "владелец"
    MANAGER = "manager", "администратор"
    ACCOUNTANT = "accountant", "бухгалтер"
    CASHIER = "cashier", "кассир"


class Right(StrEnum):
    """A right; which role has it is the table in `accounts.rules`."""

    SEE_CARDS = "see_cards"
    ACTIVATE = "activate"
    DEACTIVATE = "deactivate"
    CHOOSE_CARDS = "choose_cards"
    SEE_SUBSCRIPTION = "see_subscription"
    PAY = "pay"
    STOP = "stop"
    MANAGE_MODULES = "manage_modules"
    SEE_ORDERS = "see_orders"
    ORDER = "order"
    SEE_COMPANY = "see_company"
    EDIT_COMPANY = "edit_company"
    MANAGE_TEAM = "manage_team"


class SessionKind(models.TextChoices):
    """How a session was opened."""

    STAFF = "staff", "сотрудник сервиса"
    PHONE = "phone", "по коду из СМС"
    MARKET = "market", "из Эвотор"


class ActorKind(models.TextChoices):
    """Who did it, in the audit log."""

    PERSON = "person", "сотрудник компании"
    STAFF = "staff", "сотрудник сервиса"
    MARKET = "market", "Эвотор"
    OPERATOR = "operator", "оператор"
    SYSTEM = "system", "сервис"


class DocumentKind(models.TextChoices):
    """Legal texts that staff edit."""

    OFFER = "offer", "Публичная оферта"
    PRIVACY = "privacy", "Политика обработки персональных данных"
    CONSENT = "consent", "Согласие на обработку персональных данных"


class MessageEvent(models.TextChoices):
    """What a message to a person is about."""

    CODE = "code", "код из СМС"
    NEW_DEVICE = "new_device", "вход с нового устройства"
    NEW_OWNER = "new_owner", "новый владелец"
    PHONE_CHANGED = "phone_changed", "изменён телефон"
    EMAIL_CHANGED = "email_changed", "изменена эл. почта"
    EMAIL_CONFIRM = "email_confirm", "подтверждение эл. почты"
    END_NEAR = "end_near", "до конца оплаты 14 и 7 дней"
    END_SOON = "end_soon", "до конца оплаты 3 дня и 1 день"
    RENEWAL_NEAR = "renewal_near", "через 3 дня Эвотор продлит подписку"
    PAYMENT_AWAITED = "payment_awaited", "Эвотор ещё не подтвердил оплату"
    MONTH_READY = "month_ready", "отчёт за месяц"
    CARDS_OFF = "cards_off", "смарт-карты отключились"
    CARDS_BACK = "cards_back", "смарт-карты снова работают"
    SWITCH_DONE = "switch_done", "долгое переключение закончилось"
    SWITCH_FAILED = "switch_failed", "переключить не удалось"
    OUTAGE_BEGAN = "outage_began", "сбой у оператора"
    OUTAGE_ENDED = "outage_ended", "сбой у оператора закончился"
    ORDER_SENT = "order_sent", "заказ отправлен"
    ORDER_DELIVERED = "order_delivered", "заказ доставлен"
    SEVERAL = "several", "несколько событий"


class MessageChannel(models.TextChoices):
    """How a message reaches the person."""

    SMS = "sms", "СМС"
    EMAIL = "email", "эл. почта"


class MessageState(models.TextChoices):
    """Where a message of the outbox stands; `messaging.outbox.MESSAGE_TRANSITIONS` says what follows."""

    QUEUED = "queued", "ждёт отправки"
    SENDING = "sending", "отправляется"
    SENT = "sent", "отправлено"
    REFUSED = "refused", "не принято"
    UNKNOWN = "unknown", "неизвестно"
    DROPPED = "dropped", "не отправлено"


class StaffActionState(models.TextChoices):
    """What became of one row of an action on many."""

    WAITING = "waiting", "ждёт"
    DONE = "done", "сделано"
    REFUSED = "refused", "отказано"
