"""Addresses of the cards' pages."""

from django.urls import path

from smartcards.views import card, cards, choice, withdrawal

urlpatterns = [
    path("", cards.cards, name="cards"),
    path("cards/choose/", choice.choose_cards, name="choose_cards"),
    path("cards/<int:pk>/", card.card, name="card"),
    path("cards/<int:pk>/progress/", card.progress, name="card_progress"),
    path("cards/<int:pk>/edit/", card.edit, name="card_edit"),
    path("cards/<int:pk>/activate/", card.activate, name="card_activate"),
    path("cards/<int:pk>/deactivate/", card.deactivate, name="card_deactivate"),
    path("cards/<int:pk>/cancel/", card.cancel, name="card_cancel"),
    path("cards/<int:pk>/check/", card.check, name="card_check"),
    path("cards/<int:pk>/withdraw/", withdrawal.withdraw, name="card_withdraw"),
    path("cards/<int:pk>/replace/", withdrawal.replace, name="card_replace"),
    path("cards/<int:pk>/found/", withdrawal.take_back, name="card_take_back"),
]
