"""Routes of the whole site; other apps are named as strings."""

from django.contrib import admin
from django.urls import include, path

from cabinet.views import company, errors, health, legal, people, profile, team

handler400 = errors.bad_request
handler403 = errors.forbidden
handler404 = errors.not_found
handler500 = errors.server_error

urlpatterns = [
    path("", include("smartcards.urls")),
    path("", include("subscriptions.urls")),
    path("", include("subscriptions.evotor.urls")),
    path("orders/", include("smartcards.orders.urls")),
    path("operators/", include("operators.urls")),
    path("login/", people.login, name="login"),
    path("login/code/", people.login_code, name="login_code"),
    path("logout/", people.logout, name="logout"),
    path("merchants/", people.merchants, name="merchants"),
    path("welcome/", people.welcome, name="welcome"),
    path("welcome/code/", people.welcome_code, name="welcome_code"),
    path("profile/", profile.profile, name="profile"),
    path("team/", team.team, name="team"),
    path("team/<int:pk>/", team.member, name="member"),
    path("company/", company.company, name="company"),
    path("documents/", legal.documents, name="documents"),
    path("legal/<slug:kind>/", legal.document, name="legal"),
    path("health/live", health.live, name="health_live"),
    path("health/ready", health.ready, name="health_ready"),
    path("admin/", admin.site.urls),
]
