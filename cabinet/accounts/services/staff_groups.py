"""Groups of staff and what each may see and change. By codenames: cabinet imports no other app."""

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

_SUPPORT = (
    "cabinet.view_merchant",
    "cabinet.change_merchant",
    "cabinet.view_member",
    "cabinet.add_member",
    "cabinet.change_member",
    "cabinet.delete_member",
    "cabinet.view_user",
    "cabinet.change_user",
    "cabinet.view_usersession",
    "cabinet.view_shop",
    "cabinet.view_terminal",
    "cabinet.view_alert",
    "cabinet.change_alert",
    "cabinet.view_auditevent",
    "cabinet.view_consent",
    "cabinet.view_legaldocument",
    "cabinet.view_heartbeat",
    "cabinet.view_message",
    "cabinet.view_staffaction",
    "subscriptions.view_module",
    "subscriptions.view_tariff",
    "subscriptions.view_installation",
    "subscriptions.view_subscription",
    "subscriptions.view_period",
    "subscriptions.view_gift",
    "subscriptions.add_gift",
    "subscriptions.view_staffstop",
    "subscriptions.add_staffstop",
    "subscriptions.view_marketrequest",
    "evotor.view_account",
    "evotor.view_delivery",
    "evotor.change_delivery",
    "evotor.view_subscriptionevent",
    "evotor.view_installationevent",
    "evotor.view_gapdecision",
    "evotor.add_gapdecision",
    "operators.view_operatoraccount",
    "operators.view_exchange",
    "operators.view_callback",
    "smartcards.view_smartcard",
    "smartcards.change_smartcard",
    "smartcards.view_command",
    "smartcards.change_command",
    "smartcards.view_commandstep",
    "smartcards.view_coverage",
    "smartcards.view_brake",
    "smartcards.change_brake",
    "orders.view_order",
    "orders.change_order",
    "orders.view_packedcard",
    "orders.view_orderterms",
    "orders.view_seller",
)
_STOCK = (
    "cabinet.view_merchant",
    "operators.view_operatoraccount",
    "smartcards.view_smartcard",
    "smartcards.add_smartcard",
    "smartcards.change_smartcard",
    "orders.view_order",
    "orders.change_order",
    "orders.view_packedcard",
    "orders.add_packedcard",
    "orders.delete_packedcard",
)
_FINANCE = (
    "cabinet.view_merchant",
    "cabinet.view_auditevent",
    "cabinet.view_staffaction",
    "subscriptions.view_module",
    "subscriptions.view_tariff",
    "subscriptions.add_tariff",
    "subscriptions.change_tariff",
    "subscriptions.view_installation",
    "subscriptions.view_subscription",
    "subscriptions.change_subscription",
    "subscriptions.view_period",
    "subscriptions.view_gift",
    "subscriptions.add_gift",
    "subscriptions.view_staffstop",
    "subscriptions.view_marketrequest",
    "evotor.view_account",
    "evotor.view_delivery",
    "evotor.view_subscriptionevent",
    "orders.view_order",
    "orders.change_orderpaper",
    "orders.view_orderterms",
    "orders.add_orderterms",
    "orders.change_orderterms",
    "orders.view_seller",
    "orders.add_seller",
    "orders.change_seller",
    "smartcards.view_smartcard",
    "smartcards.view_coverage",
)

GROUPS: dict[str, tuple[str, ...]] = {"Поддержка": _SUPPORT, "Склад": _STOCK, "Финансы": _FINANCE}


def ensure_groups() -> None:
    """The groups exist and carry at least these rights; what staff added by hand stays.

    A permission that does not exist yet is passed over: the next migration comes back for it.
    """
    for name, wanted in GROUPS.items():
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.add(*_permissions(wanted))


def _permissions(wanted: tuple[str, ...]) -> list[Permission]:
    chosen = Q()
    for full_name in wanted:
        app, codename = full_name.split(".")
        chosen |= Q(content_type__app_label=app, codename=codename)
    return list(Permission.objects.filter(chosen))
