"""The sandbox's first page: the panels of all parts under one another."""

from collections.abc import Sequence
from pathlib import Path

from django.template.loader import render_to_string
from werkzeug.routing import Rule

from cabinet.sandbox.http import Part, Request, Response, View, html_response, route

_CSS = Path(__file__).with_name("sandbox.css")
_ICON = Path(__file__).parents[2] / "static/img/favicon.ico"


def home_page_routes(parts: Sequence[Part]) -> list[Rule]:
    """`GET /`, its style sheet and the icon browsers ask for."""

    def home_page(_request: Request) -> Response:
        panels = [panel for part in parts if (panel := part.panel())]
        return html_response(render_to_string("sandbox/home.html", {"panels": panels}))

    return [
        route("GET", "/", home_page),
        route("GET", "/sandbox.css", _file(_CSS, "text/css; charset=utf-8")),
        route("GET", "/favicon.ico", _file(_ICON, "image/x-icon")),
    ]


def _file(path: Path, content_type: str) -> View:
    return lambda _request: Response(path.read_bytes(), content_type=content_type)
