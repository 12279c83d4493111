"""Staff's pages about modules, tariffs and subscriptions. Importing this package registers everything."""

from subscriptions.admin import catalogue, subscriptions
from subscriptions.admin.deciding import DecidingAdmin, ReasonForm

__all__ = ["DecidingAdmin", "ReasonForm", "catalogue", "subscriptions"]
