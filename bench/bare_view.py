"""The least that a hook and a page can be: Django views that store a body by one INSERT, and say a word."""

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

TABLE = "CREATE TABLE bench_hook (id bigserial PRIMARY KEY, at timestamptz NOT NULL, body text NOT NULL)"


def store(request: HttpRequest) -> JsonResponse:
    """Keep the body."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO bench_hook (at, body) VALUES (now(), %s)", [request.body.decode()]
        )
    return JsonResponse({}, headers={"Content-Length": "2"})


def page(_request: HttpRequest) -> HttpResponse:
    """A word."""
    return HttpResponse("Касса", headers={"Content-Length": "10"})


urlpatterns = [path("api/v1/subscription/event", store), path("", page)]
