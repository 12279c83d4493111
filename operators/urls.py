"""Routes of the operators: the address that takes their signed events."""

from django.urls import re_path

from operators.events import views

urlpatterns = [
    re_path(r"^(?P<code>[-\w]{1,32})/callback/?$", views.callback, name="operator_callback"),
]
