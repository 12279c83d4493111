"""Words of the floor: roles, what a role may ask for, who acts."""

from enum import StrEnum

from django.db import models


class Role(models.TextChoices):
    """What a person is within one merchant."""

    OWNER = "owner", "владелец"
    MANAGER = "manager", "администратор"
    ACCOUNTANT = "accountant", "бухгалтер"
    CASHIER = "cashier", "кассир"


class Right(StrEnum):
    """What may be asked for; who may is the table in `rules`."""

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


class ActorKind(models.TextChoices):
    """Who did it: the first word of every line of the audit."""

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
