"""Routes of the operators: the door of their signed events."""

from django.urls import re_path

from operators import webhooks

urlpatterns = [
    re_path(r"^(?P<code>[-\w]{1,32})/callback/?$", webhooks.callback, name="operator_callback"),
]
