"""Pieces of the market's pages: the frame, forms of one button, links that keep the host."""

from collections.abc import Mapping
from html import escape
from urllib.parse import urlsplit, urlunsplit

from cabinet.sandbox.http import Request

LOOPBACK = frozenset({"localhost", "127.0.0.1"})

_PAGE = """<!DOCTYPE html>
<html lang="ru">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} — маркет в песочнице</title>
<link rel="stylesheet" href="/sandbox.css">
</head>
<body>
<header><p><a href="/">Песочница</a> · <a href="/market/">Маркет</a></p>
<h1>{title}</h1>
</header>
<main>
{body}
</main>
</body>
</html>
"""


def page(title: str, *sections: str) -> str:
    """A whole page; each section is a panel."""
    panels = (f'<section class="panel">\n{section}\n</section>' for section in sections if section)
    return _PAGE.format(title=escape(title), body="\n".join(panels))


def form(action: str, fields: Mapping[str, str], inside: str, *, inline: bool = False) -> str:
    """A form that posts to `/market/<action>`."""
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{escape(value)}">'
        for name, value in fields.items()
    )
    kind = ' class="inline"' if inline else ""
    return f'<form{kind} method="post" action="/market/{action}">{hidden}{inside}</form>'


def button(text: str, kind: str = "") -> str:
    """A submit button; `kind` is main, danger or nothing."""
    mark = f' class="{kind}"' if kind else ""
    return f'<button{mark} type="submit">{escape(text)}</button>'


def near(url: str, request: Request) -> str:
    """The same address on the loopback name by which the sandbox was opened.

    Cookies of localhost are unknown at 127.0.0.1, and inside a frame they are foreign there.
    """
    parts = urlsplit(url)
    host = request.headers.get("host", "").rsplit(":", 1)[0]
    if host not in LOOPBACK or parts.hostname not in LOOPBACK:
        return url
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, f"{host}{port}", parts.path, parts.query, ""))
