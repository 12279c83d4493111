"""Routes of the orders, below /orders/."""

from django.urls import path

from smartcards.orders import views

urlpatterns = [
    path("", views.orders, name="orders"),
    path("new/", views.order_new, name="order_new"),
    path("<int:pk>/", views.order, name="order"),
    path("<int:pk>/cancel/", views.order_cancel, name="order_cancel"),
    path("<int:pk>/received/", views.order_received, name="order_received"),
    path("<int:pk>/papers/<int:paper>/", views.order_paper, name="order_paper"),
]
