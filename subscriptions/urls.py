"""Pages about money and modules."""

from django.urls import path

from subscriptions.views import market_actions, modules, payments_file, subscription

urlpatterns = [
    path("subscription/", subscription.subscription, name="subscription"),
    path("subscription/payments/<slug:kind>/", payments_file.payments_file, name="payments_file"),
    path("subscription/<int:pk>/renew/", subscription.renew, name="subscription_renew"),
    path("subscription/<int:pk>/change/", subscription.change, name="subscription_change"),
    path("subscription/<int:pk>/stop/", subscription.stop, name="subscription_stop"),
    path("subscription/<int:pk>/resume/", subscription.resume, name="subscription_resume"),
    path("subscription/market/<int:pk>/", market_actions.leave, name="market_leave"),
    path("modules/", modules.modules, name="modules"),
    path("modules/<int:pk>/install/", modules.install, name="module_install"),
    path("modules/<int:pk>/remove/", modules.remove, name="module_remove"),
]
