"""Addresses of the cards' pages."""

from django.urls import path

from smartcards.views import card, cards, choice, exports, mass, replacement

urlpatterns = [
    path("", cards.cards, name="cards"),
    path("cards/ticks/", cards.cards_ticked, name="cards_ticked"),
    path("cards/choose/", choice.choose_cards, name="choose_cards"),
    path("cards/file/<slug:kind>/", exports.cards_file, name="cards_file"),
    path("cards/history/<slug:kind>/", exports.cards_history_file, name="cards_history_file"),
    path("cards/mass/", mass.mass_new, name="mass_new"),
    path("cards/mass/<uuid:key>/", mass.mass, name="mass"),
    path("cards/mass/<uuid:key>/progress/", mass.mass_progress, name="mass_progress"),
    path("cards/mass/<uuid:key>/confirm/", mass.mass_confirm, name="mass_confirm"),
    path("cards/mass/<uuid:key>/cancel/", mass.mass_cancel, name="mass_cancel"),
    path("cards/mass/<uuid:key>/repeat/", mass.mass_repeat, name="mass_repeat"),
    path("cards/<int:pk>/", card.card, name="card"),
    path(
        "cards/<int:pk>/history/<slug:kind>/", exports.card_history_file, name="card_history_file"
    ),
    path("cards/<int:pk>/progress/", card.progress, name="card_progress"),
    path("cards/<int:pk>/edit/", card.edit, name="card_edit"),
    path("cards/<int:pk>/activate/", card.activate, name="card_activate"),
    path("cards/<int:pk>/deactivate/", card.deactivate, name="card_deactivate"),
    path("cards/<int:pk>/cancel/", card.cancel, name="card_cancel"),
    path("cards/<int:pk>/check/", card.check, name="card_check"),
    path("cards/<int:pk>/withdraw/", replacement.withdraw, name="card_withdraw"),
    path("cards/<int:pk>/replace/", replacement.replace, name="card_replace"),
    path("cards/<int:pk>/found/", replacement.take_back, name="card_take_back"),
    path("subscription/month/", exports.month, name="month"),
    path("subscription/month/<slug:kind>/", exports.month_file, name="month_file"),
]
