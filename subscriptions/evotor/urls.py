"""Routes of the market: its hooks, and the entry from its cabinet."""

from django.urls import URLPattern, path, re_path

from subscriptions.evotor import entry, webhooks


def _hook(route: str, view: webhooks.View, name: str) -> URLPattern:
    """A hook with and without the version, with and without the slash at the end."""
    return re_path(rf"^(?:api/v[0-9]+/)?{route}/?$", view, name=name)


urlpatterns = [
    _hook("user/create", webhooks.user_create, "evotor_user_create"),
    _hook("user/verify", webhooks.user_verify, "evotor_user_verify"),
    _hook("user/token", webhooks.user_token, "evotor_user_token"),
    _hook("subscription/event", webhooks.subscription_event, "evotor_subscription_event"),
    _hook("installation/event", webhooks.installation_event, "evotor_installation_event"),
    _hook("inventories/devices", webhooks.devices, "evotor_devices"),
    _hook("inventories/stores", webhooks.stores, "evotor_stores"),
    _hook("inventories/employees", webhooks.employees, "evotor_employees"),
    re_path(r"^api/.*$", webhooks.unknown, name="evotor_unknown"),
    path("evotor/enter/", entry.enter, name="evotor_enter"),
    path("evotor/entered/<str:ticket>/", entry.entered, name="evotor_entered"),
    path("evotor/ticket/<str:ticket>/", entry.by_ticket, name="evotor_ticket"),
]
