"""The sandbox's first page: the panels of all parts under one another."""

from collections.abc import Sequence
from pathlib import Path

from cabinet.sandbox.http import Part, Request, Response, Route, html_response

_CSS = Path(__file__).with_name("sandbox.css")
_ICON = Path(__file__).parents[2] / "static/img/favicon.ico"

_PAGE = """<!DOCTYPE html>
<html lang="ru">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Песочница — «Кассовые сервисы»</title>
<link rel="stylesheet" href="/sandbox.css">
</head>
<body>
<header><h1>Песочница</h1>
<p>Здесь разыгрываются операторы связи, маркет и&nbsp;время.
Настоящих смарт-карт и&nbsp;денег за&nbsp;этой страницей нет.</p>
</header>
<main>
{panels}
</main>
</body>
</html>
"""


def page_routes(parts: Sequence[Part]) -> list[Route]:
    """`GET /`, its style sheet and the icon browsers ask for."""

    def first_page(_request: Request) -> Response:
        panels = (part.panel() for part in parts)
        sections = [f'<section class="panel">\n{panel}\n</section>' for panel in panels if panel]
        return html_response(_PAGE.format(panels="\n".join(sections)))

    return [
        Route("GET", "/", first_page),
        Route("GET", r"/sandbox\.css", _style),
        Route("GET", r"/favicon\.ico", _icon),
    ]


def _style(_request: Request) -> Response:
    return Response(body=_CSS.read_bytes(), content_type="text/css; charset=utf-8")


def _icon(_request: Request) -> Response:
    return Response(body=_ICON.read_bytes(), content_type="image/x-icon")
