"""Routes of the whole site; other apps are named as strings."""

from django.contrib import admin
from django.urls import include, path

from cabinet.views import (
    company,
    errors,
    health,
    legal,
    messages,
    people,
    profile,
    second_factor,
    team,
)

handler400 = errors.bad_request
handler403 = errors.forbidden
handler404 = errors.not_found
handler500 = errors.server_error

urlpatterns = [
    # First: a hook is found by the fewest patterns.
    path("", include("subscriptions.evotor.urls")),
    path("", include("smartcards.urls")),
    path("", include("subscriptions.urls")),
    path("orders/", include("smartcards.orders.urls")),
    path("operators/", include("operators.urls")),
    path("login/", people.login, name="login"),
    path("login/code/", people.login_code, name="login_code"),
    path("login/second-factor/", second_factor.ask, name="second_factor_ask"),
    path("logout/", people.logout, name="logout"),
    path("merchants/", people.merchants, name="merchants"),
    path("welcome/", people.welcome, name="welcome"),
    path("welcome/code/", people.welcome_code, name="welcome_code"),
    path("profile/", profile.profile, name="profile"),
    path("profile/second-factor/", second_factor.settings, name="second_factor"),
    path("team/", team.team, name="team"),
    path("team/<int:pk>/", team.member, name="member"),
    path("company/", company.company, name="company"),
    path("messages/", messages.sent, name="messages"),
    path("messages/settings/", messages.settings, name="message_settings"),
    path("messages/settings/link/", messages.send_link, name="message_link"),
    path("messages/confirm/", messages.confirm_email, name="confirm_email"),
    path("messages/unsubscribe/", messages.unsubscribe, name="unsubscribe"),
    path("documents/", legal.documents, name="documents"),
    path("legal/<slug:kind>/", legal.document, name="legal"),
    path("health/live", health.live, name="health_live"),
    path("health/ready", health.ready, name="health_ready"),
    path("admin/", admin.site.urls),
]
