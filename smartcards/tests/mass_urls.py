"""Addresses of the product with one more: a page for many cards at once, as the list posts to it."""

from typing import Any

from django.http import HttpRequest, JsonResponse
from django.urls import include, path


def mass_new(request: HttpRequest) -> JsonResponse:
    """What was posted."""
    given: dict[str, Any] = {name: request.POST.getlist(name) for name in request.POST}
    return JsonResponse(given)


urlpatterns = [path("cards/mass/", mass_new, name="mass_new"), path("", include("cabinet.urls"))]
